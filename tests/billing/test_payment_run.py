"""Payments, refunds, credit notes and voids: booked once, to the yen, and told."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from bureau import Bureau, month
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from billing.crediting import split, taken_back
from billing.queries import invoice_json, invoice_named
from billing.runs.corrections import credit, void
from billing.runs.payments import record_payment, refund
from billing.runs.transfer import export_transfer
from billing.tables import Collection, Payment
from isp.errors import Refused
from isp.journal import history
from isp.money import Rounding, rounded
from isp.tables import Outbox
from isp.tax import RateTotal

NUMBER = "R00000001"
TODAY = "2026-05-20"


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def billed(bureau: Bureau, pays: str = "invoice", fee: int = 5_000, **fees: Any) -> None:
    bureau.contract(bureau.customer(pays), bureau.plan(fee, **fees))
    bureau.bill("2026-04")


def pay(bureau: Bureau, amount: int, *words: Any, on: str = "2026-05-19", by: str = "bank") -> Any:
    return bureau.act(TODAY, record_payment, NUMBER, amount, date.fromisoformat(on), by, *words)


def payments(bureau: Bureau) -> list[tuple[int, str]]:
    with bureau.transaction() as session:
        return [
            (each.amount, each.channel)
            for each in session.scalars(select(Payment).order_by(Payment.id))
        ]


def notices(bureau: Bureau) -> list[str]:
    with bureau.transaction() as session:
        return list(session.scalars(select(Outbox.kind).order_by(Outbox.id)))


# Payments


@pytest.mark.req("ALL-02", "ALL-03")
def test_parts_keep_an_invoice_open_until_it_is_paid(bureau: Bureau) -> None:
    billed(bureau)
    first = pay(bureau, 2_000)
    assert (first.invoice.status, first.balance, first.already) == ("open", 3_500, False)
    last = pay(bureau, 3_500, by="convenience-store")
    assert (last.invoice.status, last.balance) == ("paid", 0)
    assert payments(bureau) == [(2_000, "bank"), (3_500, "convenience-store")]
    assert notices(bureau) == ["payment-received"] * 2
    with bureau.transaction() as session:
        acts = [(entry.act, entry.after) for entry in history(session, NUMBER)]
        assert [(act, after and after["balance"]) for act, after in acts] == [
            ("payment.received", 3_500),
            ("payment.received", 0),
        ]


@pytest.mark.req("ALL-02")
@pytest.mark.parametrize("reference", [None, "振込 20260519-001"])
def test_the_same_notice_twice_is_booked_once(bureau: Bureau, reference: str | None) -> None:
    billed(bureau)
    pay(bureau, 2_000, reference)
    again = pay(bureau, 2_000, reference)
    assert (again.already, again.balance, again.invoice.status) == (True, 3_500, "open")
    assert payments(bureau) == [(2_000, "bank")]
    assert notices(bureau) == ["payment-received"]
    # Two payments alike on one day: the number of the notice tells them apart.
    assert not pay(bureau, 2_000, "other").already
    assert not pay(bureau, 1_500, reference, by="post").already


@pytest.mark.req("ALL-02")
def test_a_notice_that_booked_something_else_is_refused(bureau: Bureau) -> None:
    billed(bureau)
    pay(bureau, 2_000, "N-1")
    with pytest.raises(Refused, match=r"^reference: 'N-1' booked 2000 yen of 2026-05-19 for R0"):
        pay(bureau, 2_001, "N-1")


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("amount", "on", "by", "why"),
    [
        (0, "2026-05-19", "bank", "^amount: 0 must be"),
        (-1, "2026-05-19", "bank", "^amount: -1 must be"),
        (5_501, "2026-05-19", "bank", "^amount: 5501 yen are more than the 5500 yen left"),
        (1, "2026-05-21", "bank", "^on: 2026-05-21 is still to come"),
        (1, "2026-05-19", "cheque", "^by: 'cheque' is none of bank,"),
    ],
)
def test_what_cannot_be_booked_is_refused(
    bureau: Bureau, amount: int, on: str, by: str, why: str
) -> None:
    billed(bureau)
    with pytest.raises(Refused, match=why):
        pay(bureau, amount, on=on, by=by)
    assert payments(bureau) == []


@pytest.mark.req("ALL-04")
def test_paid_void_unknown_and_credit_notes_take_no_payment(bureau: Bureau) -> None:
    billed(bureau)
    bureau.act(TODAY, credit, NUMBER, "お詫び", amount=500)
    for number, why in (("CN00000001", "is a credit note"), ("R00000009", "there is no invoice")):
        with pytest.raises(Refused, match=f"^invoice: .*{why}"):
            bureau.act(TODAY, record_payment, number, 1, date(2026, 5, 1), "cash")
    pay(bureau, 5_000)
    with pytest.raises(Refused, match="^invoice: R00000001 is paid"):
        pay(bureau, 1)


@pytest.mark.req("ISP-07")
@pytest.mark.parametrize(("amount", "planned"), [(5_720, "withdrawn"), (720, "planned")])
def test_what_was_paid_otherwise_is_not_drawn(bureau: Bureau, amount: int, planned: str) -> None:
    billed(bureau, "account-transfer")
    pay(bureau, amount)
    with bureau.transaction() as session:
        [collection] = session.scalars(select(Collection))
        assert collection.state == planned
        assert collection.amount == (5_000 if planned == "planned" else 5_720)


@pytest.mark.req("ISP-07")
def test_a_payment_meanwhile_is_refused_and_says_why(bureau: Bureau) -> None:
    billed(bureau, "account-transfer")
    bureau.act(TODAY, export_transfer, month("2026-04"))
    with pytest.raises(Refused, match="^invoice: R00000001 is being collected by account-transfer"):
        pay(bureau, 720)


# Credit notes and refunds


@pytest.mark.req("ALL-01", "ALL-03")
def test_crediting_all_lines_takes_back_every_yen(bureau: Bureau) -> None:
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(105, opening_fee=105))
    bureau.leaves(contract, "2026-04", early_fee=77, installation=105)
    bureau.bill("2026-04")
    [invoice] = bureau.invoices()
    assert (invoice["net"], invoice["tax"]) == (392, 31)
    done = bureau.act(TODAY, credit, NUMBER, "全額取消", lines=[4, 1, 2, 3])
    assert (done.balance, done.invoice.status) == (0, "paid")
    invoice, note = bureau.invoices()
    assert (note["kind"], note["refers_to"], note["status"]) == ("credit-note", NUMBER, "paid")
    assert note["taxes"] == [
        {"rate": 10, "net": -315, "tax": -31},
        {"rate": 0, "net": -77, "tax": 0},
    ]
    assert [line["net"] for line in note["lines"]] == [-105, -105, -77, -105]
    with bureau.transaction() as session:
        [entry] = history(session, NUMBER)
        assert entry.after and entry.after["credit_note"] == "CN00000001"
    # What was taken back is not billed anew.
    assert bureau.bill("2026-04", "2026-06-03").invoices == 0


@pytest.mark.req("ALL-01")
def test_lines_credited_one_by_one_take_back_the_tax_that_was_charged(bureau: Bureau) -> None:
    customer = bureau.customer("invoice")
    for _ in range(3):
        bureau.contract(customer, bureau.plan(105))
    bureau.bill("2026-04")
    for line in (1, 2, 3):
        bureau.act(TODAY, credit, NUMBER, "お詫び", lines=[line])
    assert [each["tax"] for each in bureau.invoices()] == [31, -10, -10, -11]
    with pytest.raises(Refused, match="^lines: line 2 has been taken back by CN00000002"):
        bureau.act(TODAY, credit, NUMBER, "お詫び", lines=[2])


@pytest.mark.req("ALL-01")
def test_an_amount_is_credited_with_the_tax_in_it(bureau: Bureau) -> None:
    billed(bureau)
    done = bureau.act(TODAY, credit, NUMBER, "お詫び", amount=1_000)
    assert (done.credit_note.net, done.credit_note.tax) == (-910, -90)
    assert (done.balance, done.invoice.status) == (4_500, "open")
    done = bureau.act(TODAY, credit, NUMBER, "お詫び", amount=4_500)
    assert (done.credit_note.net, done.credit_note.tax) == (-4_090, -410)
    assert (done.balance, done.invoice.status) == (0, "paid")


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({}, "^lines: name either"),
        ({"lines": [1], "amount": 5}, "^lines: name either"),
        ({"lines": [9]}, "^lines: R00000001 has no line 9"),
        ({"amount": 5_501, "tax_rate": 10}, "^amount: 5501 yen at 10 % are not between"),
        ({"amount": 0, "tax_rate": 10}, "^amount: 0 yen"),
        ({"amount": 5}, "^tax_rate: R00000001 has lines at 10 % and 0 %"),
        ({"amount": 5, "tax_rate": 8}, "^tax_rate: R00000001 has no line at 8 %"),
    ],
)
def test_a_credit_that_takes_back_what_was_not_charged_is_refused(
    bureau: Bureau, knobs: dict[str, Any], why: str
) -> None:
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(5_000))
    bureau.leaves(contract, "2026-04", early_fee=300)
    bureau.bill("2026-04")
    with pytest.raises(Refused, match=why):
        bureau.act(TODAY, credit, NUMBER, "お詫び", **knobs)
    with pytest.raises(Refused, match="^reason: "):
        bureau.act(TODAY, credit, NUMBER, "", lines=[1])
    assert len(bureau.invoices()) == 1


@pytest.mark.req("ALL-02")
def test_what_was_paid_beyond_is_paid_back_once(bureau: Bureau) -> None:
    billed(bureau)
    pay(bureau, 5_500)
    with pytest.raises(Refused, match="^amount: R00000001 has 0 yen to be paid back"):
        bureau.act(TODAY, refund, NUMBER, 1, date(2026, 5, 20), "bank")
    assert bureau.act(TODAY, credit, NUMBER, "お詫び", amount=550).balance == -550
    for already in (False, True):
        done = bureau.act(TODAY, refund, NUMBER, 550, date(2026, 5, 20), "bank")
        assert (done.balance, done.already, done.invoice.status) == (0, already, "paid")
    assert payments(bureau) == [(5_500, "bank"), (-550, "bank")]
    with pytest.raises(Refused, match="^amount: R00000001 has 0 yen"):
        bureau.act(TODAY, refund, NUMBER, 551, date(2026, 5, 20), "bank")


RATE = st.sampled_from([0, 5, 8, 10])
ROUNDING: st.SearchStrategy[Rounding] = st.sampled_from(["floor", "half-up", "ceil"])


STEP = st.tuples(st.booleans(), st.integers(-3, 20) | st.integers(100, 50_000))
"""By net or by amount with tax, and how much; below zero: all but so many yen of what is left."""


@pytest.mark.req("ALL-01")
@given(
    net=st.integers(1, 300) | st.integers(1, 100_000),
    rate=RATE,
    rounding=ROUNDING,
    steps=st.lists(STEP, max_size=8),
)
@example(net=10, rate=10, rounding="floor", steps=[(False, 1), (False, -1)])
def test_however_it_is_credited_no_yen_is_left_or_made_up(
    net: int, rate: int, rounding: Rounding, steps: list[tuple[bool, int]]
) -> None:
    left = RateTotal(rate, net, rounded(Fraction(net * rate, 100), rounding))
    for by_net, part in [*steps, (True, 0)]:
        if not left.net:
            break
        whole = left.net if by_net else left.net + left.tax
        amount = min(max(part if part > 0 else whole + part, 1), whole)
        if by_net:
            back = taken_back(amount, left, rounding)
        else:
            back = split(amount, left, rounding)
            assert back.net + back.tax == -amount
        assert back.net <= 0 and back.tax <= 0
        left = RateTotal(rate, left.net + back.net, left.tax + back.tax)
        assert left.net >= 0 and left.tax >= 0
    assert (left.net, left.tax) == (0, 0)


# Voids


@pytest.mark.req("ALL-03", "ALL-04")
def test_what_has_been_touched_is_not_voided(bureau: Bureau) -> None:
    billed(bureau)
    pay(bureau, 1)
    with pytest.raises(Refused, match="^invoice: something has been paid of R00000001"):
        bureau.act(TODAY, void, NUMBER, "誤り")
    bureau.bill("2026-05")
    bureau.act("2026-06-04", credit, "R00000002", "お詫び", amount=5)
    with pytest.raises(Refused, match="^invoice: CN00000001 has taken back part of R00000002"):
        bureau.act("2026-06-04", void, "R00000002", "誤り")
    bureau.bill("2026-06")
    bureau.act("2026-07-04", void, "R00000003", "誤り")
    with pytest.raises(Refused, match="^invoice: R00000003 is void already"):
        bureau.act("2026-07-04", void, "R00000003", "誤り")
    with pytest.raises(Refused, match="^invoice: R00000003 is void"):
        bureau.act("2026-07-04", credit, "R00000003", "お詫び", amount=5)
    with pytest.raises(Refused, match="^invoice: R00000003 is void: book it for"):
        bureau.act("2026-07-04", record_payment, "R00000003", 1, date(2026, 7, 1), "bank")
    with bureau.transaction() as session:
        [entry] = history(session, "R00000003")
        assert (entry.before, entry.after) == (
            {"status": "open"},
            {"status": "void", "reason": "誤り"},
        )
        assert invoice_json(session, invoice_named(session, "R00000003"))["balance"] == 0


@pytest.mark.req("ISP-14")
def test_an_opening_fee_given_back_later_is_not_voided_from_under_it(bureau: Bureau) -> None:
    contract = bureau.contract(
        bureau.customer("invoice"), bureau.plan(5_000, opening_fee=300), opened="2026-04-30"
    )
    bureau.bill("2026-04")
    bureau.leaves(contract, "2026-05", withdrawn=True)
    bureau.bill("2026-05")
    with pytest.raises(Refused, match="^invoice: R00000002 gives back its opening fee"):
        bureau.act("2026-06-04", void, "R00000001", "誤り")
    bureau.act("2026-06-04", void, "R00000002", "誤り")
    bureau.act("2026-06-04", void, "R00000001", "誤り")
    bureau.bill("2026-04", "2026-06-05")
    bureau.bill("2026-05", "2026-06-05")
    assert bureau.lines()[4:] == [("2026-04", "monthly", 5_000), ("2026-05", "monthly", 5_000)]
