"""The transfer file and its result: every item given out, settled and failed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bureau import ACCOUNT, Bureau, month
from sqlalchemy import Engine, func, select

from billing import zengin
from billing.runs.corrections import credit, void
from billing.runs.payments import record_payment
from billing.runs.transfer import export_transfer, import_transfer
from billing.tables import Batch, Collection, Payment
from isp.errors import Refused
from isp.journal import history
from isp.tables import Outbox, PaymentMethod


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def members(bureau: Bureau, *fees: int) -> list[int]:
    """Members paying by account transfer, billed for April 2026 with these monthly fees."""
    made = []
    for fee in fees:
        customer = bureau.customer("account-transfer")
        bureau.contract(customer, bureau.plan(fee))
        made.append(customer)
    bureau.bill("2026-04")
    return made


def export(bureau: Bureau, billed: str = "2026-04", today: str = "2026-05-08") -> bytes:
    """The file as the bank gets it."""
    exported = bureau.act(today, export_transfer, month(billed))
    content = b"".join(exported.content)
    sent = zengin.parse(content, expects="request")
    assert (sent.trailer.count, sent.trailer.amount) == (
        exported.batch.records,
        exported.batch.amount,
    )
    return content


Change = Callable[[zengin.TransferFile], zengin.TransferFile]


def answer(
    content: bytes, codes: Mapping[int, str], change: Change | None = None
) -> zengin.TransferFile:
    """The bank's answer: everything paid but the items (from 0) with a code."""
    sent = zengin.parse(content, expects="request")
    items = [
        replace(item, result_code=codes.get(index, "0")) for index, item in enumerate(sent.items)
    ]
    written = b"".join(zengin.result(sent.header, items, line_end="none"))
    result = zengin.parse(written)
    if change is None:
        return result
    changed = change(result)
    return zengin.parse(b"".join(zengin.result(changed.header, changed.items, line_end="none")))


def take_in(bureau: Bureau, result: zengin.TransferFile, today: str = "2026-05-28") -> Any:
    return bureau.act(today, import_transfer, result)


def statuses(bureau: Bureau) -> list[tuple[str, int]]:
    return [(invoice["status"], invoice["balance"]) for invoice in bureau.invoices()]


def states(bureau: Bureau) -> list[tuple[str, str, int]]:
    with bureau.transaction() as session:
        return [
            (str(each.month), each.state, each.amount)
            for each in session.scalars(select(Collection).order_by(Collection.id))
        ]


def notices(bureau: Bureau) -> list[str]:
    with bureau.transaction() as session:
        return list(session.scalars(select(Outbox.kind).order_by(Outbox.id)))


def count(bureau: Bureau, table: type[Any]) -> int:
    with bureau.transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# Giving out


@pytest.mark.req("ISP-07")
def test_the_file_draws_what_was_billed(bureau: Bureau) -> None:
    members(bureau, 1_000, 2_000)
    sent = zengin.parse(export(bureau), expects="request")
    assert sent.header.month_day == "0525"
    assert sent.header.consignor_code == bureau.policy.transfer.consignor_code
    first = sent.items[0]
    assert (first.bank, first.branch, first.account_type) == ("0001", "001", "1")
    assert (first.account_number, first.holder) == (ACCOUNT.account_number, ACCOUNT.holder)
    assert [(item.customer_number, item.amount, item.new_code) for item in sent.items] == [
        (invoice["customer"], gross, "1")
        for invoice, gross in zip(bureau.invoices(), (1_320, 2_420), strict=True)
    ]
    assert statuses(bureau) == [("collecting", 1_320), ("collecting", 2_420)]
    with bureau.transaction() as session:
        [batch] = session.scalars(select(Batch))
        assert (batch.records, batch.amount, batch.collect_on) == (2, 3_740, date(2026, 5, 25))
        assert [entry.act for entry in history(session, f"batch {batch.id}")] == ["batch.exported"]


@pytest.mark.req("ALL-02", "ISP-07")
def test_asked_again_it_is_the_very_same_file(bureau: Bureau) -> None:
    members(bureau, 1_000, 2_000)
    first = export(bureau)
    assert export(bureau, today="2026-05-20") == first
    assert count(bureau, Batch) == 1
    take_in(bureau, answer(first, {1: "1"}))
    assert export(bureau, today="2026-05-29") == first
    assert bureau.act("2026-05-29", export_transfer, month("2026-04")).again


@pytest.mark.req("ALL-02")
def test_a_file_that_would_look_different_is_not_made_again(bureau: Bureau) -> None:
    members(bureau, 1_000)
    export(bureau)
    bureau.with_policy("transfer", consignor_name="ベツノナマエ")
    with pytest.raises(Refused, match="^month: .* would look different"):
        export(bureau)


@pytest.mark.req("ALL-02")
def test_what_comes_late_makes_a_second_file_for_the_same_day(bureau: Bureau) -> None:
    [customer] = members(bureau, 1_000)
    export(bureau)
    bureau.contract(customer, bureau.plan(3_000))
    bureau.bill("2026-04", "2026-05-10")
    second = zengin.parse(export(bureau, today="2026-05-10"), expects="request")
    assert [(item.amount, item.new_code) for item in second.items] == [(3_300, "0")]
    assert export(bureau, today="2026-05-11") != b""
    assert count(bureau, Batch) == 2


@pytest.mark.parametrize("billed", ["2026-03", "2026-04"])
def test_nothing_to_collect_is_refused(bureau: Bureau, billed: str) -> None:
    bureau.contract(bureau.customer("card"), bureau.plan())
    bureau.bill("2026-04")
    with pytest.raises(Refused, match="^month: nothing is to be collected"):
        export(bureau, billed)
    assert count(bureau, Batch) == 0


@pytest.mark.req("ISP-03", "ISP-07")
def test_a_new_account_is_drawn_on_and_marked(bureau: Bureau) -> None:
    """1 on the first transfer, 0 on later ones, 2 on the first from another account."""
    [customer] = members(bureau, 1_000)
    drawn = []
    for billed, today in (
        ("2026-04", "2026-05-08"),
        ("2026-05", "2026-06-08"),
        ("2026-06", "2026-07-08"),
    ):
        bureau.bill(billed, today)
        if billed == "2026-06":  # the account changes between billing and drawing
            other = replace(ACCOUNT, account_number="7654321")
            bureau.pays(customer, "account-transfer", since="2026-07-05", account=other)
        sent = zengin.parse(export(bureau, billed, today), expects="request")
        drawn += [(item.account_number, item.new_code) for item in sent.items]
    assert drawn == [("1234567", "1"), ("1234567", "0"), ("7654321", "2")]


@pytest.mark.req("ISP-03")
def test_a_member_who_turned_to_card_is_drawn_as_announced(bureau: Bureau) -> None:
    [customer] = members(bureau, 1_000)
    bureau.pays(customer, "card", since="2026-05-04")
    assert len(zengin.parse(export(bureau), expects="request").items) == 1


def test_a_branch_that_is_gone_names_the_member(bureau: Bureau) -> None:
    account = replace(ACCOUNT, branch="999")
    bureau.contract(bureau.customer("account-transfer", account=account), bureau.plan())
    bureau.bill("2026-04")
    with pytest.raises(Refused, match=r"^C[0-9]{8}: branch: .* has no branch 999"):
        export(bureau)
    assert statuses(bureau) == [("open", 5_720)]


# Results


@pytest.mark.req("ISP-07")
def test_paid_items_are_settled_on_the_day_of_transfer(bureau: Bureau) -> None:
    members(bureau, 1_000, 2_000)
    result = answer(export(bureau), {})
    done = take_in(bureau, result)
    assert (done.paid, done.failed, done.already) == (2, (), False)
    assert statuses(bureau) == [("paid", 0), ("paid", 0)]
    with bureau.transaction() as session:
        paid = session.scalars(select(Payment).order_by(Payment.id)).all()
        assert [(each.paid_on, each.amount, each.channel) for each in paid] == [
            (date(2026, 5, 25), 1_320, "account-transfer"),
            (date(2026, 5, 25), 2_420, "account-transfer"),
        ]
        [batch] = session.scalars(select(Batch))
        assert (batch.state, batch.settled_records, batch.settled_amount) == ("imported", 2, 3_740)
    assert notices(bureau) == []


@pytest.mark.req("ALL-02", "ISP-07")
@pytest.mark.parametrize("order", [1, -1])
def test_a_second_import_changes_nothing_and_says_so(bureau: Bureau, order: int) -> None:
    members(bureau, 1_000, 2_000, 3_000)
    content = export(bureau)
    take_in(bureau, answer(content, {1: "1"}))
    before = (statuses(bureau), states(bureau), notices(bureau), count(bureau, Payment))
    again = take_in(
        bureau, answer(content, {1: "1"}, lambda file: replace(file, items=file.items[::order]))
    )
    assert (again.already, again.paid, [each.code for each in again.failed]) == (True, 2, ["1"])
    assert (statuses(bureau), states(bureau), notices(bureau), count(bureau, Payment)) == before


@pytest.mark.req("ISP-07")
@pytest.mark.parametrize(
    ("code", "policy", "drawn_again", "mandate", "told"),
    [
        ("1", "retry", True, "active", ["transfer-failed"]),
        ("9", "retry", True, "active", ["transfer-failed"]),
        ("8", "retry", False, "active", ["transfer-failed", "invoice-issued"]),
        ("1", "invoice", False, "active", ["transfer-failed", "invoice-issued"]),
        ("9", "invoice", False, "active", ["transfer-failed", "invoice-issued"]),
        *[
            (
                code,
                policy,
                False,
                "suspended",
                ["transfer-failed", "invoice-issued", "mandate-needed"],
            )
            for code in "234"
            for policy in ("retry", "invoice")
        ],
    ],
)
def test_what_follows_each_result_code(
    bureau: Bureau, code: str, policy: str, drawn_again: bool, mandate: str, told: list[str]
) -> None:
    bureau.with_policy("transfer", insufficient_funds=policy)
    members(bureau, 1_000)
    done = take_in(bureau, answer(export(bureau), {0: code}))
    [invoice] = bureau.invoices()
    [failed] = done.failed
    assert (failed.customer, failed.invoice, failed.amount, failed.code, failed.reason) == (
        *(invoice["customer"], invoice["number"], 1_320),
        *(code, zengin.RESULT_CODES[code].ja),
    )
    assert (invoice["status"], invoice["balance"]) == ("failed", 1_320)
    again = [("2026-05", "planned", 1_320)] if drawn_again else []
    assert states(bureau) == [("2026-04", "failed", 1_320), *again]
    if drawn_again:
        assert (invoice["method"], invoice["due_on"]) == ("account-transfer", date(2026, 5, 25))
    else:
        assert (invoice["method"], invoice["due_on"]) == ("invoice", date(2026, 6, 30))
    with bureau.transaction() as session:
        assert session.scalars(select(PaymentMethod.mandate)).all() == [mandate]
    assert notices(bureau) == told


@pytest.mark.req("ISP-07")
def test_a_failed_item_is_drawn_again_with_the_next_month(bureau: Bureau) -> None:
    members(bureau, 1_000)
    take_in(bureau, answer(export(bureau), {0: "1"}))
    bureau.bill("2026-05")
    june = export(bureau, "2026-05", "2026-06-08")
    sent = zengin.parse(june, expects="request")
    # Two items that are alike to the byte: the same member, account, amount.
    assert [(item.amount, item.new_code) for item in sent.items] == [(1_320, "0")] * 2
    take_in(bureau, answer(june, {1: "1"}), "2026-06-26")
    assert sorted(statuses(bureau)) == [("failed", 1_320), ("paid", 0)]
    bureau.bill("2026-06")
    july = export(bureau, "2026-06", "2026-07-08")
    assert len(zengin.parse(july, expects="request").items) == 2


@pytest.mark.req("ISP-07")
def test_a_result_read_late_is_drawn_again_on_a_day_to_come(bureau: Bureau) -> None:
    members(bureau, 1_000)
    take_in(bureau, answer(export(bureau), {0: "1"}), "2026-06-24")
    assert states(bureau)[1] == ("2026-06", "planned", 1_320)


@pytest.mark.req("ISP-07")
def test_a_suspended_mandate_stops_all_that_is_planned_under_it(bureau: Bureau) -> None:
    [customer] = members(bureau, 1_000)
    content = export(bureau)
    bureau.bill("2026-05", "2026-06-03")
    take_in(bureau, answer(content, {0: "4"}), "2026-06-03")
    assert states(bureau) == [("2026-04", "failed", 1_320), ("2026-05", "withdrawn", 1_320)]
    assert [(each["status"], each["method"]) for each in bureau.invoices()] == [
        ("failed", "invoice"),
        ("open", "invoice"),
    ]
    bureau.bill("2026-06")
    assert [line[1:] for line in bureau.lines()[4:]] == [("monthly", 1_000)]  # no fee
    bureau.pays(customer, "account-transfer", since="2026-08-01")
    bureau.bill("2026-07", "2026-08-03")
    assert bureau.invoices()[-1]["method"] == "account-transfer"


@pytest.mark.req("ISP-07")
def test_one_failing_item_ends_the_mandate_for_another_in_the_same_file(bureau: Bureau) -> None:
    [customer] = members(bureau, 1_000)
    bureau.contract(customer, bureau.plan(7_000))
    bureau.bill("2026-04", "2026-05-04")
    take_in(bureau, answer(export(bureau), {0: "1", 1: "2"}))
    assert [state for _, state, _ in states(bureau)] == ["failed", "failed"]
    assert notices(bureau).count("mandate-needed") == 1


@pytest.mark.req("ISP-07")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda file: replace(file, header=replace(file.header, consignor_code="9" * 10)),
            "is of consignor 9999999999",
        ),
        (
            lambda file: replace(file, header=replace(file.header, month_day="0623")),
            "no transfer was requested for 06-23",
        ),
        (lambda file: replace(file, items=file.items[:1]), "has 1 items of 1320 yen"),
        (lambda file: replace(file, items=file.items[:1] * 2), "has 2 items of 2640 yen"),
        (
            lambda file: replace(
                file,
                items=(replace(file.items[0], amount=1_321), replace(file.items[1], amount=2_419)),
            ),
            "line 2: C00000001, 1321 yen: is not in the request",
        ),
        (
            lambda file: replace(
                file, items=(file.items[0], replace(file.items[1], account_number="7777777"))
            ),
            "line 3: C00000004, 2420 yen: is not in the request",
        ),
        (
            lambda file: replace(
                file,
                items=tuple(replace(item, customer_number="C00000001") for item in file.items),
            ),
            "line 3: C00000001, 2420 yen: is not in the request",
        ),
    ],
)
def test_a_file_that_answers_no_request_is_refused_whole(
    bureau: Bureau, change: Change, why: str
) -> None:
    members(bureau, 1_000, 2_000)
    content = export(bureau)
    before = (statuses(bureau), states(bureau))
    with pytest.raises(Refused, match=f"^file: {why}"):
        take_in(bureau, answer(content, {0: "1"}, change))
    assert (statuses(bureau), states(bureau)) == before
    assert count(bureau, Payment) == 0


@pytest.mark.req("ISP-07")
def test_a_different_answer_to_the_same_request_is_refused(bureau: Bureau) -> None:
    members(bureau, 1_000)
    content = export(bureau)
    take_in(bureau, answer(content, {0: "1"}))
    with pytest.raises(Refused, match="has been answered, and otherwise"):
        take_in(bureau, answer(content, {}))


@pytest.mark.req("ALL-02", "ISP-07")
def test_files_of_two_years_alike_to_the_byte_are_told_apart(bureau: Bureau) -> None:
    """23 June 2025 and 2026 are business days; a file says no year."""
    customer = bureau.customer("account-transfer")
    bureau.contract(customer, bureau.plan(1_000), opened="2025-04-10")
    files = []
    for billed, today in (
        ("2025-04", "2025-05-08"),
        ("2025-05", "2025-06-08"),
        ("2026-05", "2026-06-08"),
    ):
        bureau.bill(billed, today)
        files.append(export(bureau, billed, today))
        if billed == "2025-05":
            last_year = answer(files[-1], {})
            assert not take_in(bureau, last_year, "2025-06-26").already
    assert files[1] == files[2]
    # Last year's result read again before this year's transfer is last year's.
    assert take_in(bureau, last_year, "2026-06-10").already
    assert not take_in(bureau, answer(files[2], {}), "2026-06-26").already
    assert take_in(bureau, answer(files[2], {}), "2026-06-26").already
    assert [status for status, _ in statuses(bureau)] == ["collecting", "paid", "paid"]


@pytest.mark.req("ALL-02")
def test_money_and_credit_before_and_during_a_transfer(bureau: Bureau) -> None:
    """What was paid or credited before is drawn less; what is with the bank is not touched."""
    members(bureau, 1_000, 2_000, 3_000, 4_000)
    numbers = [invoice["number"] for invoice in bureau.invoices()]
    bureau.act("2026-05-05", record_payment, numbers[0], 320, date(2026, 5, 5), "bank")
    bureau.act("2026-05-05", record_payment, numbers[1], 2_420, date(2026, 5, 5), "bank")
    bureau.act("2026-05-05", void, numbers[2], "誤り")
    content = export(bureau)
    sent = zengin.parse(content, expects="request")
    assert [item.amount for item in sent.items] == [1_000, 4_620]
    with pytest.raises(Refused, match="is being collected"):
        bureau.act("2026-05-09", record_payment, numbers[3], 1, date(2026, 5, 9), "bank")
    with pytest.raises(Refused, match="is being collected"):
        bureau.act("2026-05-09", void, numbers[3], "誤り")
    bureau.act("2026-05-09", credit, numbers[3], "お詫び", lines=[1, 2])
    assert statuses(bureau)[3] == ("collecting", 0)
    take_in(bureau, answer(content, {1: "1"}))
    # What has been credited in the meantime is neither drawn again nor asked for.
    assert statuses(bureau)[:4] == [("paid", 0), ("paid", 0), ("void", 0), ("paid", 0)]
    assert [state for _, state, _ in states(bureau)] == ["paid", "withdrawn", "withdrawn", "failed"]
    assert "transfer-failed" not in notices(bureau)


@pytest.mark.req("ALL-05")
def test_reasons_and_notices_speak_japanese_and_english(bureau: Bureau) -> None:
    customer = bureau.customer("account-transfer", language="en")
    bureau.contract(customer, bureau.plan(1_000))
    bureau.bill("2026-04")
    content = export(bureau)
    bureau.policy = msgspec.structs.replace(bureau.policy, language="en")
    [failed] = take_in(bureau, answer(content, {0: "1"})).failed
    assert failed.reason == "insufficient funds"
    with bureau.transaction() as session:
        [message] = session.scalars(select(Outbox.message))
    assert "Reason: insufficient funds" in message_from_bytes(message, policy=default).get_content()
