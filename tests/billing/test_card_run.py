"""The card sales file and its result: dated as the rule says, given out and answered once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bureau import Bureau, month
from sqlalchemy import Engine, select

from billing.card_files import parse_results
from billing.collecting import billed_months, statement_months
from billing.queries import card_statement
from billing.runs.card import export_cards, import_cards
from billing.tables import Batch, Collection, Payment
from isp.errors import Refused, RowsRefused
from isp.month import Month
from isp.tables import Customer, Journal, Outbox

HEADER = "invoice,customer,token,brand,last4,expires,sold_on,amount"


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def members(bureau: Bureau, *fees: int) -> list[int]:
    made = []
    for fee in fees:
        customer = bureau.customer("card")
        bureau.contract(customer, bureau.plan(fee))
        made.append(customer)
    bureau.bill("2026-04")
    return made


def export(bureau: Bureau, billed: str = "2026-04", today: str = "2026-05-08") -> bytes:
    return b"".join(bureau.act(today, export_cards, month(billed)).content)


def answer(content: bytes, declined: dict[int, str] | None = None) -> list[list[str]]:
    """The rows of the company's answer: everything sold but the rows (from 1) with a reason."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    why = declined or {}
    return [[*rows[0], "result", "reason"]] + [
        [*row, "declined" if number in why else "ok", why.get(number, "")]
        for number, row in enumerate(rows[1:], 1)
    ]


def written(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def take_in(bureau: Bureau, rows: list[list[str]], today: str = "2026-05-28") -> Any:
    return bureau.act(today, import_cards, parse_results(written(rows)))


def state(bureau: Bureau) -> list[Any]:
    standing = [(invoice["status"], invoice["method"]) for invoice in bureau.invoices()]
    with bureau.transaction() as session:
        return [
            *session.execute(select(Collection.id, Collection.state).order_by(Collection.id)),
            *session.execute(select(Payment.paid_on, Payment.amount).order_by(Payment.id)),
            *session.scalars(select(Outbox.kind)),
            *standing,
        ]


@pytest.mark.req("ISP-04", "ISP-06")
def test_sales_are_dated_the_last_day_of_the_month_billed(bureau: Bureau) -> None:
    members(bureau, 1_000, 2_000)
    lines = export(bureau).decode().splitlines()
    [first, second] = bureau.invoices()
    assert lines == [
        HEADER,
        f"{first['number']},{first['customer']},tok_1,visa,4242,2030-12,2026-04-30,1100",
        f"{second['number']},{second['customer']},tok_1,visa,4242,2030-12,2026-04-30,2200",
    ]
    with bureau.transaction() as session:
        [batch] = session.scalars(select(Batch))
        assert (batch.collect_on, batch.records, batch.amount) == (date(2026, 4, 30), 2, 3_300)
        journal = str([entry.after for entry in session.scalars(select(Journal))])
        assert "tok_1" not in journal


@pytest.mark.req("ALL-02")
def test_asked_again_it_is_the_very_same_file(bureau: Bureau) -> None:
    members(bureau, 1_000)
    first = export(bureau)
    assert export(bureau, today="2026-06-01") == first
    bureau.contract(bureau.customer("card"), bureau.plan(3_000))
    bureau.bill("2026-04", "2026-06-02")
    late = export(bureau, today="2026-06-02").decode().splitlines()
    assert len(late) == 2 and late[1].endswith("2026-04-30,3300")
    # What came after the file of its month goes with a later one, under its own date.
    bureau.contract(bureau.customer("card"), bureau.plan(4_000))
    bureau.bill("2026-04", "2026-06-03")
    bureau.bill("2026-05", "2026-06-03")
    ends = [line[-15:] for line in export(bureau, "2026-05", "2026-06-04").decode().splitlines()]
    assert ends.count("2026-04-30,4400") == 1 and ends.count("2026-05-31,4400") == 1


@pytest.mark.req("ISP-03")
def test_a_new_card_is_charged(bureau: Bureau) -> None:
    [customer] = members(bureau, 1_000)
    bureau.pays(customer, "card", since="2026-05-04", token="tok_new")
    assert b",tok_new," in export(bureau)


@pytest.mark.req("ISP-06", "ALL-02")
def test_results_settle_or_fail_each_sale_once(bureau: Bureau) -> None:
    members(bureau, 1_000, 2_000)
    rows = answer(export(bureau), {2: "有効期限切れ"})
    done = take_in(bureau, rows)
    [failed] = done.failed
    assert (done.paid, failed.amount, failed.code, failed.reason) == (
        *(1, 2_200),
        *("declined", "有効期限切れ"),
    )
    first, second = bureau.invoices()
    assert (first["status"], first["balance"]) == ("paid", 0)
    # Declined: to be paid by invoice, and told so.
    assert (second["status"], second["method"], second["due_on"]) == (
        *("failed", "invoice"),
        date(2026, 6, 30),
    )
    before = state(bureau)
    assert (date(2026, 4, 30), 1_100) in before and "invoice-issued" in before
    again = take_in(bureau, [rows[0], *rows[:0:-1]], "2026-06-01")
    assert (again.already, again.paid, again.failed) == (True, 1, done.failed)
    assert state(bureau) == before
    bureau.bill("2026-05")
    assert len(export(bureau, "2026-05", "2026-06-08").splitlines()) == 3


@pytest.mark.req("ALL-05")
def test_a_card_company_that_says_nothing_has_declined_all_the_same(bureau: Bureau) -> None:
    members(bureau, 1_000)
    [failed] = take_in(bureau, answer(export(bureau), {1: ""})).failed
    assert failed.reason == "カード会社が承認しませんでした"


Change = Callable[[list[list[str]]], list[list[str]]]


def cell(row: int, column: str, value: str) -> Change:
    def change(rows: list[list[str]]) -> list[list[str]]:
        rows[row][rows[0].index(column)] = value
        return rows

    return change


@pytest.mark.req("ISP-06", "ALL-04")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[:2], "has 1 sales of 1100 yen"),
        (lambda rows: [rows[0], rows[1], rows[1]], "has 2 sales of 2200 yen"),
        (cell(1, "invoice", "R00009999"), "line 2: 'R00009999' was not given"),
        (cell(2, "invoice", "R00009999"), "line 3: 'R00009999' is not in our file"),
        (cell(2, "customer", "C00009999"), "line 3: 'R00000002' is not in our file"),
        (cell(2, "sold_on", "2026-04-29"), "line 3: 'R00000002' is not in our file"),
        (lambda rows: rows[1:], "its first line must be invoice,"),
        (lambda rows: rows[:1], "has no rows"),
        (lambda rows: [], "its first line must be"),
    ],
)
def test_a_file_that_answers_no_sales_is_refused_whole(
    bureau: Bureau, change: Change, why: str
) -> None:
    members(bureau, 1_000, 2_000)
    rows = answer(export(bureau))
    before = state(bureau)
    with pytest.raises(Refused, match=f"^file: {why}"):
        take_in(bureau, change(rows))
    assert state(bureau) == before


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("change", "column"),
    [
        (cell(1, "result", "maybe"), "result"),
        (cell(1, "amount", "-5"), "amount"),
        (cell(1, "amount", "１"), "amount"),
        (cell(1, "sold_on", "30/04/2026"), "sold_on"),
        (lambda rows: [rows[0], rows[1][:-1], rows[2]], "row"),
    ],
)
def test_every_bad_row_is_named(bureau: Bureau, change: Change, column: str) -> None:
    members(bureau, 1_000, 2_000)
    with pytest.raises(RowsRefused) as refused:
        parse_results(written(change(answer(export(bureau)))))
    assert [(line, where) for line, where, _ in refused.value.rows] == [(2, column)]


def test_bytes_that_are_no_csv_are_refused() -> None:
    for content in (b"\xff\xfe", b'invoice,"', b""):
        with pytest.raises(Refused, match="^file: "):
            parse_results(content)


def test_another_answer_to_the_same_sales_is_refused(bureau: Bureau) -> None:
    members(bureau, 1_000)
    content = export(bureau)
    take_in(bureau, answer(content))
    with pytest.raises(Refused, match="has been answered, and otherwise"):
        take_in(bureau, answer(content, {1: "x"}))


@pytest.mark.req("ISP-06")
def test_a_statement_line_belongs_to_a_month_one_to_three_before(bureau: Bureau) -> None:
    """A line in July's statement may be of April, May or June; its date of sale tells which."""
    [customer] = members(bureau, 1_000)
    for billed in ("2026-05", "2026-06", "2026-07"):
        bureau.bill(billed)
    with bureau.transaction() as session:
        number = session.get_one(Customer, customer).number
        july = card_statement(session, number, statement=month("2026-07"))
        assert [(str(each.month), each.sold_on.isoformat(), each.amount) for each in july] == [
            ("2026-04", "2026-04-30", 1_100),
            ("2026-05", "2026-05-31", 1_100),
            ("2026-06", "2026-06-30", 1_100),
        ]
        [may] = card_statement(session, number, sold_on=date(2026, 5, 31))
        assert str(may.month) == "2026-05"
        assert [str(shown) for shown in may.statements] == ["2026-06", "2026-07", "2026-08"]
        with pytest.raises(Refused, match="^sold_on: .*last day"):
            card_statement(session, number, sold_on=date(2026, 5, 30))


@pytest.mark.req("ISP-06")
def test_months_of_statements_and_bills_mirror_each_other() -> None:
    billed = Month.parse("2026-11")
    assert [str(shown) for shown in statement_months(billed)] == ["2026-12", "2027-01", "2027-02"]
    for shown in statement_months(billed):
        assert billed in billed_months(shown)
