"""`isp check` on invoices: a life without fault passes, and a fault in any table is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from bureau import Bureau, month
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from billing import zengin
from billing.card_files import parse_results
from billing.checks import TABLES, checked, problems
from billing.runs.card import export_cards, import_cards
from billing.runs.corrections import credit, void
from billing.runs.payments import record_payment, refund
from billing.runs.transfer import export_transfer, import_transfer

TODAY = "2026-07-10"


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def found(bureau: Bureau) -> list[tuple[str, str, str]]:
    with bureau.transaction() as session:
        return [
            (problem.table, problem.subject, problem.what)
            for problem in problems(session, bureau.shift(TODAY))
        ]


def lived(bureau: Bureau) -> None:
    """Three months with everything that may happen to an invoice."""
    plan = bureau.plan(4_000, opening_fee=3_000, prices={"2026-05": 4_200})
    for _ in range(4):  # transfers: R1 paid, R2 drawn again, R3 without a mandate, R4 credited
        bureau.contract(bureau.customer("account-transfer"), plan)
    for _ in range(2):  # cards: R5 sold, R6 declined
        bureau.contract(bureau.customer("card"), plan)
    by_invoice = bureau.customer("invoice")  # R7 paid in part, credited and paid back
    withdrawn = bureau.contract(by_invoice, plan, opened="2026-04-28")
    bureau.contract(by_invoice, bureau.plan(9_000), opened="2026-04-01")
    left = bureau.contract(bureau.customer(), bureau.plan(500, free_months=1))  # nothing in April
    bureau.bill("2026-04")
    bureau.leaves(withdrawn, "2026-05", installation=700, withdrawn=True)
    bureau.leaves(left, "2026-04", early_fee=400)
    bureau.act("2026-05-04", credit, "R00000004", "お詫び", amount=1_000)
    bureau.act("2026-05-04", record_payment, "R00000007", 9_000, date(2026, 5, 4), "bank")
    bureau.act("2026-05-05", record_payment, "R00000007", 8_600, date(2026, 5, 5), "post")
    bureau.act("2026-05-06", credit, "R00000007", "お詫び", amount=110)
    bureau.act("2026-05-06", refund, "R00000007", 110, date(2026, 5, 6), "bank")
    sent = bureau.act("2026-05-08", export_transfer, month("2026-04")).content
    parsed = zengin.parse(b"".join(sent), expects="request")
    items = [replace(i, result_code=c) for i, c in zip(parsed.items, "0140", strict=True)]
    answer = zengin.parse(b"".join(zengin.result(parsed.header, items, line_end="crlf")))
    bureau.act("2026-05-28", import_transfer, answer)
    sales = b"".join(bureau.act("2026-05-08", export_cards, month("2026-04")).content).decode()
    head, first, second = sales.splitlines()
    results = f"{head},result,reason\n{first},ok,\n{second},declined,no\n"
    bureau.act("2026-05-28", import_cards, parse_results(results.encode()))
    bureau.bill("2026-05")
    bureau.act("2026-06-04", void, "R00000008", "誤り")
    bureau.bill("2026-05", "2026-06-05")
    bureau.act("2026-06-08", export_transfer, month("2026-05"))
    bureau.bill("2026-06")


@pytest.mark.req("ALL-01", "ALL-02")
def test_a_life_without_fault_has_no_problems(bureau: Bureau) -> None:
    assert found(bureau) == []
    lived(bureau)
    assert found(bureau) == []
    with bureau.transaction() as session:
        counted = {
            table.__tablename__: session.scalar(text(f"SELECT count(*) FROM {table.__tablename__}"))
            for table in TABLES
        }
        assert all(counted.values()), counted
        assert checked(session) == sum(int(rows or 0) for rows in counted.values())


LINE = "(SELECT id FROM invoice WHERE number = '{}')"
R1, R3, R7 = (LINE.format(number) for number in ("R00000001", "R00000003", "R00000007"))
APRIL, MAY, JULY = (month(written).index for written in ("2026-04", "2026-05", "2026-07"))
CREDITED = LINE.format("CN00000001")

FAULTS = [
    # bill_run
    ("bill_run", f"INSERT INTO bill_run VALUES ({JULY}, '2026-07-10 09:00:00+00:00')", "before it"),
    (
        "bill_run",
        "UPDATE contract SET charged_from = charged_from - 1 WHERE id = 1; "
        f"INSERT INTO bill_run VALUES ({APRIL - 1}, '2026-07-10 09:00:00+00:00')",
        "monthly fee unbilled",
    ),
    ("bill_run", "UPDATE contract SET opening_fee = 5 WHERE plan_id = 2", "opening fee unbilled"),
    (
        "bill_run",
        "UPDATE cancellation SET installation = 5 WHERE kind = 'cancellation'",
        "unbilled",
    ),
    # invoice
    (
        "invoice",
        f"UPDATE invoice SET net = net + 1, gross = gross + 1 WHERE id = {R1}",
        "lines make",
    ),
    (
        "invoice",
        f"UPDATE invoice SET tax = tax + 1, gross = gross + 1 WHERE id = {R1}",
        "not the sums",
    ),
    ("invoice", f"UPDATE invoice SET number = 'R1' WHERE id = {R1}", "8 digits"),
    ("invoice", f"UPDATE invoice SET number = 'R0000001X' WHERE id = {R1}", "8 digits"),
    ("invoice", f"UPDATE invoice SET recipient_name = '' WHERE id = {R1}", "no recipient"),
    ("invoice", f"UPDATE invoice SET issued_on = '2026-04-30' WHERE id = {R1}", "before 2026-04"),
    ("invoice", f"UPDATE invoice SET status = 'open' WHERE id = {R1}", "it is paid"),
    ("invoice", f"UPDATE invoice SET status = 'paid' WHERE id = {R3}", "it is failed"),
    ("invoice", f"UPDATE invoice SET due_on = '2026-06-29' WHERE id = {R3}", "not the day"),
    (
        "invoice",
        f"UPDATE invoice SET due_on = '2026-06-22' WHERE status = 'collecting' AND month = {MAY}",
        "not the day",
    ),
    ("invoice", f"UPDATE invoice SET refers_to_id = {R1} WHERE id = {CREDITED}", "no credit note"),
    (
        "invoice",
        f"UPDATE invoice SET net = -9000, tax = -900, gross = -9900 WHERE id = {CREDITED}; "
        f"UPDATE invoice_tax SET net = -9000, tax = -900 WHERE invoice_id = {CREDITED}; "
        f"UPDATE invoice_line SET net = -9000 WHERE invoice_id = {CREDITED}",
        "take back something else",
    ),
    # invoice_line
    ("invoice_line", f"UPDATE invoice_line SET live = NOT live WHERE invoice_id = {R1}", "is live"),
    ("invoice_line", f"UPDATE invoice_line SET customer_id = 8 WHERE invoice_id = {R1}", "another"),
    ("invoice_line", f"UPDATE invoice_line SET month = {JULY} WHERE invoice_id = {R1}", "another"),
    (
        "invoice_line",
        f"UPDATE invoice_line SET net = net + 1 WHERE invoice_id = {R1} AND position = 1",
        "not what the rules",
    ),
    (
        "invoice_line",
        f"UPDATE invoice_line SET tax_rate = 8 WHERE invoice_id = {R1} AND position = 2",
        "not what the rules",
    ),
    ("invoice_line", "UPDATE contract SET charged_from = charged_from + 1 WHERE id = 1", "rules"),
    (
        "invoice_line",
        "UPDATE invoice_line SET net = -1 WHERE kind = 'adjustment' AND live",
        "rules",
    ),
    (
        "invoice_line",
        "UPDATE invoice_line SET kind = 'early-termination' WHERE kind = 'monthly' AND invoice_id "
        f"= {R1}",
        "not what the rules",
    ),
    (
        "invoice_line",
        "UPDATE invoice_line SET kind = 'transfer-fee', contract_id = NULL WHERE position = 1 AND "
        f"invoice_id = {R7}",
        "never to be drawn",
    ),
    # invoice_tax
    ("invoice_tax", f"UPDATE invoice_tax SET tax = tax + 1 WHERE invoice_id = {R1}", "not the tax"),
    (
        "invoice_tax",
        f"UPDATE invoice_tax SET net = net + 1 WHERE invoice_id = {R1}",
        "of its lines",
    ),
    ("invoice_tax", f"DELETE FROM invoice_tax WHERE invoice_id = {R1}", "no total"),
    # batch
    ("batch", "UPDATE batch SET records = records + 1 WHERE id = 1", "counts and sums"),
    ("batch", "UPDATE batch SET amount = amount + 1 WHERE id = 1", "counts and sums"),
    ("batch", "DELETE FROM journal WHERE act = 'batch.exported'", "not in the journal"),
    ("batch", "UPDATE batch SET settled_amount = 1 WHERE id = 1", "something else was settled"),
    (
        "batch",
        "UPDATE batch SET state = 'exported', result_sha256 = NULL, settled_records = NULL, "
        "settled_amount = NULL WHERE id = 1",
        "is exported, and some",
    ),
    ("batch", "UPDATE batch SET collect_on = '2026-04-29' WHERE channel = 'card'", "last day"),
    (
        "batch",
        "UPDATE batch SET collect_on = '2026-04-23' WHERE channel = 'account-transfer'",
        "before 2026-04 ends",
    ),
    # collection
    ("collection", "UPDATE collection SET payment_method_id = 2 WHERE id = 1", "does not fit"),
    ("collection", "UPDATE collection SET channel = 'card' WHERE id = 1", "does not fit"),
    ("collection", f"UPDATE collection SET month = {JULY} WHERE id = 1", "does not fit"),
    ("collection", "UPDATE collection SET amount = 99999 WHERE id = 1", "does not fit"),
    ("collection", "UPDATE collection SET result_code = NULL WHERE id = 1", "against its state"),
    (
        "collection",
        "UPDATE collection SET amount = 1 WHERE state = 'planned'",
        "planned to be drawn",
    ),
    ("collection", "DELETE FROM collection WHERE state = 'planned'", "nothing is planned"),
    # payment
    ("payment", "UPDATE payment SET amount = amount + 1 WHERE channel = 'card'", "are booked"),
    ("payment", f"DELETE FROM payment WHERE invoice_id = {R1}", "are not booked so"),
    (
        "payment",
        "UPDATE payment SET paid_on = '2026-05-26' WHERE channel = 'card'",
        "not booked so",
    ),
    ("payment", f"UPDATE payment SET invoice_id = {CREDITED} WHERE channel = 'post'", "are booked"),
    (
        "payment",
        f"UPDATE payment SET amount = 99999 WHERE invoice_id = {R7} AND channel = 'post'",
        "were paid of",
    ),
    (
        "payment",
        "UPDATE invoice SET status = 'void' WHERE id = " + R7,
        "and it is void",
    ),
]


def planted(bureau: Bureau, statements: str) -> list[tuple[str, str]]:
    """What is found after a change past the triggers that would refuse it; then it is undone."""
    with Session(bureau.engine) as session:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            triggers = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for name in connection.scalars(triggers).all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in statements.split("; "):
            assert connection.exec_driver_sql(statement).rowcount, statement
        said = problems(session, bureau.shift(TODAY))
        return [(problem.table, problem.what) for problem in said]


def test_a_fault_planted_in_any_table_is_found(bureau: Bureau) -> None:
    assert {table for table, _, _ in FAULTS} == {table.__tablename__ for table in TABLES}
    lived(bureau)
    unseen = []
    for table, statements, what in FAULTS:
        said = planted(bureau, statements)
        if not any(where == table and what in why for where, why in said):
            unseen.append((statements, said))
    assert unseen == []
    assert found(bureau) == []
