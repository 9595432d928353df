"""Whatever the order and repetition of runs, a life is billed to the yen, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from bureau import EVER, Bureau, month
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from billing.checks import problems
from billing.tables import Invoice, InvoiceLine
from isp.charges import Exit, Fees, PricePeriod, charges_in
from isp.month import Month
from isp.tables import Contract

FIRST = month("2026-01")
MONTHS = 9
"""Contracts open in the first five and leave by the eighth; the ninth bills what was left over."""

LATE = "2027-06-01"


@dataclass(frozen=True)
class Life:
    """A contract: when it opens, what it costs, how it ends, and before which run that is known."""

    opened: int | None
    fee: int
    later_fee: int
    opening_fee: int
    free_months: int
    lasts: int | None
    early_fee: int
    installation: int
    withdrawn: bool
    known_before_run: int
    shares_house_with_last: bool


LIVES = st.builds(
    Life,
    opened=st.none() | st.integers(0, 4),
    fee=st.sampled_from([0, 105, 4_980]),
    later_fee=st.sampled_from([0, 105, 5_500]),
    opening_fee=st.sampled_from([0, 800, 22_000]),
    free_months=st.integers(0, 3),
    lasts=st.none() | st.integers(0, 3),
    early_fee=st.sampled_from([0, 77, 4_980]),
    installation=st.sampled_from([0, 7_333]),
    withdrawn=st.booleans(),
    known_before_run=st.integers(0, 8),
    shares_house_with_last=st.booleans(),
)
RUNS = st.lists(st.integers(0, MONTHS - 1), max_size=9)
PRICE_CHANGE = FIRST + 2


def concluded(bureau: Bureau, life: Life, customer: int) -> int:
    plan = bureau.plan(
        life.fee,
        prices={str(PRICE_CHANGE): life.later_fee},
        opening_fee=life.opening_fee,
        free_months=life.free_months,
    )
    opened = None if life.opened is None else (FIRST + life.opened).day(28).isoformat()
    return bureau.contract(customer, plan, opened=opened)


def exit_of(life: Life) -> Exit | None:
    if life.lasts is None:
        return None
    last = FIRST + (life.opened or 0) + life.lasts
    withdrawn = life.withdrawn and life.opened is not None
    return Exit(last, 0 if withdrawn else life.early_fee, life.installation, withdrawn=withdrawn)


def expected(life: Life) -> Counter[tuple[str, int]]:
    """(kind, net) of everything that the rules charge over the whole life."""
    prices = (PricePeriod(EVER, life.fee), PricePeriod(PRICE_CHANGE, life.later_fee))
    fees = Fees(24, opening_fee=life.opening_fee, free_months=life.free_months)
    charged_from = None if life.opened is None else FIRST + life.opened
    return Counter(
        (charge.kind, charge.net)
        for of in FIRST.until(FIRST + (MONTHS - 1))
        for charge in charges_in(of, charged_from, prices, fees, exit_of(life))
    )


def billed(bureau: Bureau, contract: int) -> Counter[tuple[str, int]]:
    """(kind, net) of what stands billed, what was taken back being gone."""
    with bureau.transaction() as session:
        lines = session.execute(
            select(InvoiceLine.kind, InvoiceLine.net)
            .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
            .where(InvoiceLine.contract_id == contract, Invoice.status != "void")
        ).all()
    left: Counter[tuple[str, int]] = Counter()
    for kind, net in lines:
        if net > 0:
            left[kind, net] += 1
    for kind, net in lines:
        if net < 0:
            left["opening" if kind == "adjustment" else kind, -net] -= 1
    return +left if min(left.values(), default=0) >= 0 else left


def run(bureau: Bureau, of: Month) -> None:
    bureau.bill(str(of), LATE, stretch=2)


@pytest.mark.req("ISP-02", "ISP-05", "ISP-09", "ISP-11", "ISP-14", "ALL-02")
@settings(
    max_examples=settings().max_examples // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lives=st.lists(LIVES, min_size=1, max_size=3),
    runs=RUNS,
    pays=st.sampled_from(["account-transfer", "card", "invoice"]),
)
def test_a_life_is_billed_once_whatever_the_order_of_runs(
    database: Engine, tmp_path: Path, lives: list[Life], runs: list[int], pays: str
) -> None:
    with database.connect() as connection, connection.begin() as everything:
        bureau = Bureau(connection, tmp_path)
        contracts, customer = [], 0
        for life in lives:
            if not (customer and life.shares_house_with_last):
                customer = bureau.customer(pays)
            contracts.append(concluded(bureau, life, customer))
        for number, of in enumerate([*runs, None]):
            for life, contract in zip(lives, contracts, strict=True):
                leaving = exit_of(life)
                if leaving and min(life.known_before_run, len(runs)) == number:
                    bureau.leaves(
                        contract,
                        str(leaving.last_charged_month),
                        early_fee=leaving.early_fee,
                        installation=leaving.installation,
                        withdrawn=leaving.withdrawn,
                    )
            if of is not None:
                run(bureau, FIRST + of)
        for _ in range(2):  # in the end every month has been billed
            for last in FIRST.until(FIRST + (MONTHS - 1)):
                run(bureau, last)
        prove(bureau, lives, contracts)
        everything.rollback()


def prove(bureau: Bureau, lives: list[Life], contracts: list[int]) -> None:
    for life, contract in zip(lives, contracts, strict=True):
        assert billed(bureau, contract) == expected(life)
    fees = Counter(
        (invoice["customer"], invoice["month"])
        for invoice in bureau.invoices()
        if invoice["status"] != "void"
        for line in invoice["lines"]
        if line["kind"] == "transfer-fee"
    )
    assert all(times == 1 for times in fees.values())
    assert all(
        invoice["gross"] > 0 for invoice in bureau.invoices() if invoice["kind"] == "invoice"
    )
    with bureau.transaction() as session:
        assert list(problems(session, bureau.shift(LATE))) == []
        assert session.scalar(select(Contract.id).limit(1))
