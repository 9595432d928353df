"""The bill run: what each member is billed, once for ever, on both databases."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bureau import Bureau, month
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from billing.queries import invoice_json, invoices, invoices_json
from billing.runs.corrections import credit, void
from billing.runs.payments import record_payment
from billing.tables import BillRun, Collection, Invoice, InvoiceLine, InvoiceTax
from isp.errors import Refused
from isp.journal import history
from isp.tables import Customer


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def rows(bureau: Bureau) -> int:
    with bureau.transaction() as session:
        return sum(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (Invoice, InvoiceLine, InvoiceTax, Collection, BillRun)
        )


# What is billed


def test_isp_02_a_contract_is_billed_from_the_month_of_its_opening_on(bureau: Bureau) -> None:
    customer = bureau.customer("invoice", billing_address="大阪府大阪市北区梅田1-1")
    bureau.contract(customer, bureau.plan(5_000, opening_fee=3_000), opened="2026-04-30")
    assert bureau.bill("2026-03").invoices == 0
    april = bureau.bill("2026-04")
    assert (april.contracts, april.invoices, april.skipped) == (1, 1, 0)
    assert (april.net, april.tax, april.gross) == (8_000, 800, 8_800)
    bureau.bill("2026-05")
    first, second = bureau.invoices()
    assert first == {
        "number": "R00000001",
        "kind": "invoice",
        "refers_to": None,
        "customer": first["customer"],
        "month": month("2026-04"),
        "issued_on": date(2026, 5, 3),
        "due_on": date(2026, 6, 1),  # 31 May is a Sunday
        "method": "invoice",
        "status": "open",
        "lines": [
            {
                "kind": "monthly",
                "description": "月額料金 光ベーシック 2026年4月分",
                "contract": first["lines"][0]["contract"],
                "net": 5_000,
                "tax_rate": 10,
            },
            {
                "kind": "opening",
                "description": "初期費用 光ベーシック",
                "contract": first["lines"][0]["contract"],
                "net": 3_000,
                "tax_rate": 10,
            },
        ],
        "taxes": [{"rate": 10, "net": 8_000, "tax": 800}],
        "net": 8_000,
        "tax": 800,
        "gross": 8_800,
        "balance": 8_800,
    }
    assert [line["kind"] for line in second["lines"]] == ["monthly"]
    with bureau.transaction() as session:
        stored = session.scalars(select(Invoice).order_by(Invoice.id)).first()
        assert stored is not None
        assert stored.recipient_name.startswith("山田 太郎")
        assert stored.recipient_postal_code == "530-0001"
        assert stored.recipient_address == "大阪府大阪市北区梅田1-1"


@pytest.mark.req("ISP-02")
@pytest.mark.parametrize(
    ("plan", "prices", "kinds"),
    [
        ({"fee": 0}, {}, []),
        ({"fee": 0, "opening_fee": 800}, {}, [("2026-04", "opening", 800)]),
        (
            {"fee": 900},
            {"2026-05": 1_000},
            [
                ("2026-04", "monthly", 900),
                ("2026-05", "monthly", 1_000),
                ("2026-06", "monthly", 1_000),
            ],
        ),
        ({"fee": 900}, {"2026-05": 0}, [("2026-04", "monthly", 900)]),
        ({"fee": 900, "free_months": 2}, {}, [("2026-06", "monthly", 900)]),
        (
            {"fee": 900, "free_months": 2, "opening_fee": 500},
            {},
            [("2026-04", "opening", 500), ("2026-06", "monthly", 900)],
        ),
    ],
)
def test_price_changes_and_free_months(
    bureau: Bureau,
    plan: dict[str, Any],
    prices: dict[str, int],
    kinds: list[tuple[str, str, int]],
) -> None:
    bureau.contract(bureau.customer("invoice"), bureau.plan(prices=prices, **plan))
    for billed in ("2026-04", "2026-05", "2026-06"):
        bureau.bill(billed)
    assert bureau.lines() == kinds


@pytest.mark.req("ISP-02")
def test_months_out_of_order_and_with_gaps_give_the_same_lines(bureau: Bureau) -> None:
    plan = bureau.plan(900, prices={"2026-06": 1_000}, opening_fee=500, early_fee=300)
    for opened in ("2026-04-10", "2026-05-20"):
        contract = bureau.contract(bureau.customer("account-transfer"), plan, opened=opened)
        bureau.leaves(contract, "2026-07", early_fee=300, installation=100)
    for billed in ("2026-07", "2026-04", "2026-08", "2026-06", "2026-05"):
        bureau.bill(billed, "2026-09-01")
    assert sorted(bureau.lines()) == [
        ("2026-04", "monthly", 900),
        ("2026-04", "opening", 500),
        ("2026-04", "transfer-fee", 200),
        *[("2026-05", "monthly", 900)] * 2,
        ("2026-05", "opening", 500),
        *[("2026-05", "transfer-fee", 200)] * 2,
        *[("2026-06", "monthly", 1_000)] * 2,
        *[("2026-06", "transfer-fee", 200)] * 2,
        *[("2026-07", "early-termination", 300)] * 2,
        *[("2026-07", "installation", 100)] * 2,
        *[("2026-07", "monthly", 1_000)] * 2,
        *[("2026-07", "transfer-fee", 200)] * 2,
    ]


@pytest.mark.req("ISP-05", "ALL-01")
def test_one_invoice_for_all_contracts_in_the_order_of_their_numbers(bureau: Bureau) -> None:
    """Three lines of 105 yen net are 31 yen of tax, rounded once; one handling fee for all."""
    customer = bureau.customer("account-transfer")
    plan = bureau.plan(105)
    for number in ("K00000903", "K00000901", "K00000902"):
        bureau.contract(customer, plan, number=number)
    bureau.with_policy("transfer", fee=0)
    bureau.bill("2026-04")
    bureau.with_policy("transfer", fee=200)
    bureau.bill("2026-05")
    april, may = bureau.invoices()
    assert [line["contract"] for line in april["lines"]] == ["K00000901", "K00000902", "K00000903"]
    assert (april["net"], april["tax"], april["gross"]) == (315, 31, 346)
    assert may["lines"][-1] == {
        "kind": "transfer-fee",
        "description": "口座振替手数料 2026年5月分",
        "contract": None,
        "net": 200,
        "tax_rate": 10,
    }
    assert [line["kind"] for line in may["lines"]] == ["monthly"] * 3 + ["transfer-fee"]
    assert (may["net"], may["tax"]) == (515, 51)


@pytest.mark.req("ALL-01")
@pytest.mark.parametrize(("rounding", "tax"), [("floor", 31), ("half-up", 32), ("ceil", 32)])
def test_rounding_is_policy(bureau: Bureau, rounding: str, tax: int) -> None:
    bureau.with_policy("billing", rounding=rounding)
    bureau.contract(bureau.customer("invoice"), bureau.plan(315))
    assert bureau.bill("2026-04").tax == tax


@pytest.mark.req("ALL-01")
@pytest.mark.parametrize(
    ("billed", "rate", "tax"), [("2014-03", 5, 50), ("2014-04", 8, 80), ("2019-10", 10, 100)]
)
def test_tax_is_that_of_the_month(bureau: Bureau, billed: str, rate: int, tax: int) -> None:
    bureau.contract(bureau.customer("invoice"), bureau.plan(1_000), opened="2014-01-01")
    bureau.bill(billed)
    assert bureau.invoices()[0]["taxes"] == [{"rate": rate, "net": 1_000, "tax": tax}]


# How it is paid, and when


@pytest.mark.req("ISP-03", "ISP-05", "ISP-06", "ISP-07")
@pytest.mark.parametrize(
    ("pays", "mandate", "method", "due_on", "net"),
    [
        ("account-transfer", "active", "account-transfer", "2026-05-25", 5_200),  # 23rd: Saturday
        ("account-transfer", "suspended", "invoice", "2026-06-01", 5_000),
        ("card", "none", "card", "2026-04-30", 5_000),
        ("invoice", "none", "invoice", "2026-06-01", 5_000),
        (None, "none", "invoice", "2026-06-01", 5_000),
    ],
)
def test_method_decides_fee_due_date_and_collection(
    bureau: Bureau, pays: str | None, mandate: str, method: str, due_on: str, net: int
) -> None:
    customer = bureau.customer(pays, mandate=mandate)
    bureau.contract(customer, bureau.plan(5_000))
    bureau.bill("2026-04")
    [invoice] = bureau.invoices()
    assert (invoice["method"], str(invoice["due_on"]), invoice["net"]) == (method, due_on, net)
    with bureau.transaction() as session:
        planned = session.scalars(select(Collection)).all()
        assert [(each.channel, each.state, each.amount) for each in planned] == (
            [] if method == "invoice" else [(method, "planned", invoice["gross"])]
        )


@pytest.mark.req("ISP-07")
@pytest.mark.parametrize(
    ("billed", "drawn_on"),
    [
        ("2026-05", "2026-06-23"),  # a Tuesday
        ("2026-07", "2026-08-24"),  # Sunday
        ("2026-10", "2026-11-24"),  # the 23rd is Labour Thanksgiving Day
        ("2020-01", "2020-02-25"),  # Sunday, and Monday the Emperor's birthday observed
        ("2023-11", "2023-12-25"),  # Saturday
    ],
)
def test_the_23rd_moves_to_a_bank_business_day(bureau: Bureau, billed: str, drawn_on: str) -> None:
    customer = bureau.customer("account-transfer")
    bureau.contract(customer, bureau.plan(), opened="2020-01-06")
    bureau.bill(billed)
    assert str(bureau.invoices()[0]["due_on"]) == drawn_on


@pytest.mark.req("ALL-05")
def test_lines_speak_the_members_language(bureau: Bureau) -> None:
    customer = bureau.customer("account-transfer", language="en")
    contract = bureau.contract(customer, bureau.plan(name="Hikari", opening_fee=1))
    bureau.leaves(contract, "2026-04", early_fee=1, installation=1)
    bureau.bill("2026-04")
    assert [line["description"] for line in bureau.invoices()[0]["lines"]] == [
        "Monthly fee, Hikari, April 2026",
        "Opening fee, Hikari",
        "Early termination fee, Hikari",
        "Remaining installation cost, Hikari",
        "Account transfer handling fee, April 2026",
    ]


# Once for ever


@pytest.mark.req("ALL-02")
def test_a_second_run_bills_nothing(bureau: Bureau) -> None:
    plan = bureau.plan(opening_fee=100)
    for _ in range(3):
        bureau.contract(bureau.customer("account-transfer"), plan)
    bureau.bill("2026-04")
    before = rows(bureau)
    again = bureau.bill("2026-04", "2027-01-01")
    assert (again.contracts, again.invoices, again.gross, again.skipped) == (0, 0, 0, 3)
    assert rows(bureau) == before


@pytest.mark.req("ALL-02", "ISP-05")
def test_a_contract_that_came_late_gets_an_invoice_without_a_second_fee(bureau: Bureau) -> None:
    customer = bureau.customer("account-transfer")
    plan = bureau.plan(1_000)
    bureau.contract(customer, plan)
    bureau.bill("2026-04")
    bureau.contract(customer, plan)
    late = bureau.bill("2026-04", "2026-05-20")
    assert (late.contracts, late.invoices, late.skipped, late.net) == (1, 1, 1, 1_000)
    kinds = [[line["kind"] for line in invoice["lines"]] for invoice in bureau.invoices()]
    assert kinds == [["monthly", "transfer-fee"], ["monthly"]]


@pytest.mark.req("ALL-02")
def test_a_void_invoice_is_billed_anew(bureau: Bureau) -> None:
    customer = bureau.customer("account-transfer")
    bureau.contract(customer, bureau.plan(1_000, opening_fee=500))
    bureau.bill("2026-04")
    [first] = bureau.invoices()
    bureau.act("2026-05-04", void, first["number"], "宛名の誤り")
    bureau.bill("2026-04", "2026-05-05")
    old, new = bureau.invoices()
    assert (old["status"], old["balance"], new["status"]) == ("void", 0, "open")
    assert [line["net"] for line in new["lines"]] == [1_000, 500, 200]
    assert new["lines"] == old["lines"]
    with bureau.transaction() as session:
        assert session.scalars(select(Collection.state).order_by(Collection.id)).all() == [
            "withdrawn",
            "planned",
        ]


@pytest.mark.req("ALL-02")
def test_a_dry_run_tells_the_same_and_writes_nothing(bureau: Bureau) -> None:
    plan = bureau.plan(5_000, opening_fee=300)
    for pays in ("account-transfer", "card", "invoice", None):
        bureau.contract(bureau.customer(pays), plan)
    empty = rows(bureau)
    foreseen = bureau.bill("2026-04", "2026-04-01", dry_run=True)
    assert rows(bureau) == empty
    with bureau.transaction() as session:
        assert history(session, "2026-04") == []
    assert bureau.bill("2026-04") == foreseen
    assert foreseen.gross == sum(invoice["gross"] for invoice in bureau.invoices())


@pytest.mark.parametrize(
    ("today", "ended"), [("2026-04-30", False), ("2026-05-01", True), ("2026-03-01", False)]
)
def test_a_month_is_billed_once_it_has_ended(bureau: Bureau, today: str, ended: bool) -> None:
    bureau.contract(bureau.customer(), bureau.plan())
    if ended:
        assert bureau.bill("2026-04", today).invoices == 1
    else:
        with pytest.raises(Refused, match="^month: 2026-04 has not ended"):
            bureau.bill("2026-04", today)
        assert rows(bureau) == 0


@pytest.mark.req("ALL-02")
@pytest.mark.parametrize("stretch", [1, 2, 3, 100])
def test_stretches_make_no_difference(bureau: Bureau, stretch: int) -> None:
    plan = bureau.plan(1_000)
    for number in range(5):
        customer = bureau.customer("card")
        for _ in range(number % 3):
            bureau.contract(customer, plan)
    told: list[tuple[int, int]] = []
    result = bureau.bill(
        "2026-04", stretch=stretch, progress=lambda done, of: told.append((done, of))
    )
    assert (result.contracts, result.invoices, result.net) == (4, 3, 4_000)
    assert told[-1] == (5, 5)
    assert [invoice["number"] for invoice in bureau.invoices()] == [
        "R00000001",
        "R00000002",
        "R00000003",
    ]


@pytest.mark.req("ALL-02")
def test_two_runs_at_once_bill_each_contract_once(bureau: Bureau) -> None:
    plan = bureau.plan(1_000)
    for _ in range(30):
        bureau.contract(bureau.customer("account-transfer"), plan)
    results, ready = [], threading.Barrier(2)

    def run() -> None:
        ready.wait()
        results.append(bureau.bill("2026-04", stretch=3))

    runs = [threading.Thread(target=run) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert sum(result.contracts for result in results) == 30
    assert sum(result.skipped for result in results) == 30
    assert len(bureau.lines()) == 60


@pytest.mark.req("ALL-03")
def test_the_journal_names_each_stretch(bureau: Bureau) -> None:
    plan = bureau.plan(1_000)
    for _ in range(3):
        bureau.contract(bureau.customer("invoice"), plan)
    bureau.bill("2026-04", stretch=2)
    with bureau.transaction() as session:
        acts = [(entry.act, entry.after) for entry in history(session, "2026-04")]
    assert [
        (act, after and after.get("first"), after and after["gross"]) for act, after in acts
    ] == [
        ("month.billed", "R00000001", 2_200),
        ("month.billed", "R00000003", 1_100),
        ("month.complete", None, 3_300),
    ]


# Leaving


@pytest.mark.req("ISP-09", "ISP-11")
@pytest.mark.parametrize(
    ("early_fee_tax", "tax"), [("none", 100 + 220), ("standard", 100 + 220 + 300)]
)
def test_leaving_is_billed_with_the_last_month(
    bureau: Bureau, early_fee_tax: str, tax: int
) -> None:
    contract = bureau.contract(
        bureau.customer("invoice"), bureau.plan(1_000, early_fee_tax=early_fee_tax)
    )
    bureau.leaves(contract, "2026-05", early_fee=3_000, installation=2_200)
    bureau.bill("2026-04")
    bureau.bill("2026-05")
    assert bureau.bill("2026-06").invoices == 0
    assert bureau.lines() == [
        ("2026-04", "monthly", 1_000),
        ("2026-05", "monthly", 1_000),
        ("2026-05", "early-termination", 3_000),
        ("2026-05", "installation", 2_200),
    ]
    assert bureau.invoices()[1]["tax"] == tax


@pytest.mark.req("ISP-11")
def test_leaving_recorded_after_the_last_month_was_billed_comes_with_the_next_run(
    bureau: Bureau,
) -> None:
    contract = bureau.contract(bureau.customer("account-transfer"), bureau.plan(1_000))
    bureau.bill("2026-04")
    bureau.leaves(contract, "2026-04", early_fee=900)
    assert bureau.bill("2026-04").invoices == 0  # that month has been billed
    assert bureau.bill("2026-03").invoices == 0
    assert bureau.bill("2026-06").invoices == 1
    assert bureau.bill("2026-05", "2026-08-01").invoices == 0
    assert bureau.bill("2026-07").invoices == 0
    assert bureau.lines()[2:] == [
        ("2026-06", "early-termination", 900),
        ("2026-06", "transfer-fee", 200),
    ]


@pytest.mark.req("ISP-11")
def test_a_later_month_run_first_leaves_the_fee_to_the_last_month(bureau: Bureau) -> None:
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(1_000))
    bureau.leaves(contract, "2026-04", early_fee=900)
    assert bureau.bill("2026-05").invoices == 0
    bureau.bill("2026-04", "2026-07-01")
    assert bureau.lines() == [
        ("2026-04", "monthly", 1_000),
        ("2026-04", "early-termination", 900),
    ]


@pytest.mark.req("ISP-11")
@pytest.mark.parametrize("complete", [False, True])
def test_a_contract_never_opened_owes_its_early_fee(bureau: Bureau, complete: bool) -> None:
    if complete:
        bureau.bill("2026-04")
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(1_000), opened=None)
    bureau.leaves(contract, "2026-04", early_fee=900)
    bureau.bill("2026-05" if complete else "2026-04", "2026-06-03")
    bureau.bill("2026-06")
    assert [line[1:] for line in bureau.lines()] == [("early-termination", 900)]


@pytest.mark.req("ISP-14")
def test_a_withdrawal_in_time_bills_use_without_the_opening_fee(bureau: Bureau) -> None:
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(1_000, opening_fee=3_000))
    bureau.leaves(contract, "2026-04", installation=500, withdrawn=True)
    bureau.bill("2026-04")
    assert bureau.lines() == [("2026-04", "monthly", 1_000), ("2026-04", "installation", 500)]


@pytest.mark.req("ISP-14")
def test_an_opening_fee_billed_before_the_withdrawal_is_given_back(bureau: Bureau) -> None:
    customer = bureau.customer("account-transfer")
    contract = bureau.contract(customer, bureau.plan(4_000, opening_fee=3_000), opened="2026-04-28")
    bureau.bill("2026-04")
    bureau.leaves(contract, "2026-05", withdrawn=True)
    for billed in ("2026-05", "2026-05", "2026-06"):
        bureau.bill(billed)
    assert bureau.lines()[3:] == [
        ("2026-05", "monthly", 4_000),
        ("2026-05", "adjustment", -3_000),
        ("2026-05", "transfer-fee", 200),
    ]
    assert bureau.invoices()[1]["gross"] == 1_320


@pytest.mark.req("ISP-14")
def test_an_opening_fee_that_no_invoice_can_bear_waits_or_is_credited(bureau: Bureau) -> None:
    """While another contract is charged it waits for enough; with nothing to come, a credit note."""
    plan, small = bureau.plan(1_000, opening_fee=3_000), bureau.plan(1_700)
    alone, other = bureau.customer("account-transfer"), bureau.customer("account-transfer")
    for customer in (alone, other):
        contract = bureau.contract(customer, plan)
        bureau.act("2026-05-01", lambda *_: None)
        bureau.bill("2026-04", "2026-05-03")
        bureau.leaves(contract, "2026-04", withdrawn=True)
    bureau.contract(other, small, opened="2026-05-10")
    may = bureau.bill("2026-05")
    assert (may.contracts, may.invoices, may.corrections) == (1, 1, 1)
    first, _, borne, note = bureau.invoices()
    assert note["kind"] == "credit-note" and note["refers_to"] == first["number"]
    assert (note["number"], note["gross"], first["balance"]) == ("CN00000001", -3_300, 1_320)
    assert [line["kind"] for line in borne["lines"]] == ["monthly", "transfer-fee"]
    bureau.contract(other, small, opened="2026-06-10")
    june = bureau.bill("2026-06")
    assert (june.invoices, june.net, june.corrections) == (1, 600, 0)
    assert (bureau.bill("2026-07").net, bureau.bill("2026-06").invoices) == (3_600, 0)
    with bureau.transaction() as session:
        planned = session.scalars(select(Collection.amount).order_by(Collection.id)).all()
        assert planned[0] == 1_320  # the credit note has reduced what is drawn


@pytest.mark.req("ISP-09", "ISP-05")
def test_months_billed_after_the_end_are_taken_back(bureau: Bureau) -> None:
    """The application of April is recorded when May and June have been billed."""
    payer, alone = bureau.customer("account-transfer"), bureau.customer("account-transfer")
    contracts = [
        bureau.contract(customer, bureau.plan(fee))
        for customer, fee in ((payer, 1_000), (payer, 5_000), (alone, 2_000))
    ]
    for billed in ("2026-04", "2026-05", "2026-06"):
        bureau.bill(billed)
    may = [each["number"] for each in bureau.invoices() if str(each["month"]) == "2026-05"]
    bureau.act("2026-07-04", record_payment, may[1], 2_420, date(2026, 7, 4), "bank")
    bureau.leaves(contracts[0], "2026-04")
    bureau.leaves(contracts[2], "2026-04")
    foreseen = bureau.bill("2026-06", "2026-07-05", dry_run=True)
    done = bureau.bill("2026-06", "2026-07-05")
    assert (done.corrections, done.invoices) == (4, 0) and done == foreseen
    standing = [
        (str(each["month"]), each["kind"], each["status"], each["gross"], each["balance"])
        for each in bureau.invoices()
    ]
    assert sorted(standing[2:]) == [
        ("2026-05", "credit-note", "paid", -2_200, 0),  # paid: to be paid back but for the fee
        ("2026-05", "credit-note", "paid", -1_100, 0),
        ("2026-05", "invoice", "open", 6_820, 5_720),
        ("2026-05", "invoice", "paid", 2_420, -2_200),
        ("2026-06", "credit-note", "paid", -1_100, 0),
        ("2026-06", "invoice", "open", 6_820, 5_720),
        ("2026-06", "invoice", "void", 2_420, 0),  # nothing else on it, and nothing paid
    ]
    for billed in ("2026-06", "2026-05", "2026-07"):
        again = bureau.bill(billed, "2026-08-05")
        assert (again.corrections, again.contracts) == (0, int(billed == "2026-07"))


@pytest.mark.req("ISP-09")
def test_what_an_operator_took_back_by_hand_is_not_taken_back_again(bureau: Bureau) -> None:
    contract = bureau.contract(bureau.customer("invoice"), bureau.plan(1_000, opening_fee=100))
    bureau.bill("2026-04")
    bureau.bill("2026-05")
    bureau.act("2026-06-04", credit, "R00000002", "解約済み", amount=1_100)
    bureau.leaves(contract, "2026-04")
    assert bureau.bill("2026-05", "2026-06-05").corrections == 0
    assert [each["balance"] for each in bureau.invoices()] == [1_210, 0, 0]


# Reading


def test_invoices_are_found_by_customer_month_and_status(bureau: Bureau) -> None:
    plan = bureau.plan()
    for _ in range(2):
        bureau.contract(bureau.customer("invoice"), plan)
    bureau.bill("2026-04")
    bureau.bill("2026-05")
    with bureau.transaction() as session:
        number = session.scalars(select(Customer.number).order_by(Customer.id)).all()[1]
        found = list(invoices(session, customer=number, month=month("2026-05")))
        assert [invoice.number for invoice in found] == ["R00000004"]
        assert list(invoices_json(session, found)) == [invoice_json(session, found[0])]
        assert len(list(invoices(session, status="open"))) == 4
        assert list(invoices(session, status="paid")) == []


def test_what_the_database_says_of_a_line_billed_twice(bureau: Bureau) -> None:
    """The last guard: the unique index over live lines (design: the database says no)."""
    from sqlalchemy.exc import IntegrityError

    bureau.contract(bureau.customer("invoice"), bureau.plan())
    bureau.bill("2026-04")
    with pytest.raises(IntegrityError), Session(bureau.engine) as session:
        [line] = session.scalars(select(InvoiceLine))
        session.add(
            InvoiceLine(
                invoice_id=line.invoice_id,
                position=2,
                customer_id=line.customer_id,
                contract_id=line.contract_id,
                month=line.month,
                kind="monthly",
                description="",
                net=1,
                tax_rate=10,
                live=True,
            )
        )
        session.flush()
