"""Leaving [退会・解約]: the last charged month, the fee, the rest of installation, the cheapest day.

The second half holds the arithmetic a second time, written from the specification with plain dates
and Decimal and without any rule of the product, and compares the two over every day.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal
from functools import cached_property
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.cancellation import (
    Agreement,
    CheapestDay,
    cheapest_day,
    early_termination_fee,
    exit_on,
    exit_quote,
    last_charged_month,
    remaining_installation,
    still_to_pay,
    withdrawal_exit,
)
from isp.charges import Exit, Fees, PricePeriod
from isp.legal import CustomerKind
from isp.money import Rounding
from isp.month import Month
from isp.policy import ContractPolicy

POLICY = ContractPolicy()
BY_RECEIPT = ContractPolicy(installation_counted_to="received")
APRIL = Month.parse("2026-04")
FEES = Fees(24, early_fee=4000, installation_fee=24000)


def _agreement(
    concluded_on: date = date(2026, 4, 10),
    kind: CustomerKind = "individual",
    fees: Fees = FEES,
    *,
    opened: bool = True,
    monthly_fee: int = 4000,
) -> Agreement:
    concluded = Month.of(concluded_on)
    prices = (PricePeriod(concluded, monthly_fee),)
    return Agreement(kind, concluded_on, concluded if opened else None, prices, fees)


def _fee(agreement: Agreement, received_on: date, policy: ContractPolicy = POLICY) -> int:
    return early_termination_fee(agreement, received_on, policy)[0]


@pytest.mark.parametrize(
    ("received_on", "last", "ends_on"),
    [
        (date(2026, 5, 1), "2026-05", date(2026, 5, 31)),
        (date(2026, 5, 15), "2026-05", date(2026, 5, 31)),
        (date(2026, 5, 16), "2026-06", date(2026, 6, 30)),
        (date(2026, 5, 31), "2026-06", date(2026, 6, 30)),
        (date(2026, 12, 15), "2026-12", date(2026, 12, 31)),
        (date(2026, 12, 16), "2027-01", date(2027, 1, 31)),
        (date(2027, 1, 31), "2027-02", date(2027, 2, 28)),
        (date(2028, 2, 15), "2028-02", date(2028, 2, 29)),
        (date(2028, 2, 29), "2028-03", date(2028, 3, 31)),
    ],
)
def test_isp_09_complete_by_the_15th_ends_with_the_month_from_the_16th_with_the_next(
    received_on: date, last: str, ends_on: date
) -> None:
    assert last_charged_month(received_on, 15) == Month.parse(last)
    quote = exit_quote(_agreement(), received_on, POLICY, "floor")
    assert (quote.last_charged_month, quote.ends_on) == (Month.parse(last), ends_on)


@pytest.mark.parametrize(("cutoff", "last"), [(19, "2026-06"), (20, "2026-05"), (28, "2026-05")])
def test_isp_09_the_cutoff_is_policy(cutoff: int, last: str) -> None:
    policy = ContractPolicy(cutoff_day=cutoff)
    assert exit_on(_agreement(), date(2026, 5, 20), policy).last_charged_month == Month.parse(last)


@pytest.mark.parametrize(
    ("received_on", "in_renewal_month", "fee", "last"),
    [
        (date(2026, 4, 10), False, 4000, "2026-04"),
        (date(2028, 3, 15), False, 4000, "2028-03"),
        # received before the renewal month, though charged through it
        (date(2028, 3, 31), False, 4000, "2028-04"),
        (date(2028, 4, 1), True, 0, "2028-04"),
        (date(2028, 4, 15), True, 0, "2028-04"),
        # after the 15th still free, but that month and the next are charged
        (date(2028, 4, 16), True, 0, "2028-05"),
        (date(2028, 4, 30), True, 0, "2028-05"),
        (date(2028, 5, 1), False, 4000, "2028-05"),
        (date(2030, 4, 30), True, 0, "2030-05"),
    ],
)
def test_isp_11_outside_the_renewal_month_it_costs_the_fee_inside_nothing(
    received_on: date, in_renewal_month: bool, fee: int, last: str
) -> None:
    quote = exit_quote(_agreement(), received_on, POLICY, "floor")
    assert quote.in_renewal_month == in_renewal_month
    assert quote.early_termination_fee == fee
    assert quote.last_charged_month == Month.parse(last)
    assert ("renewal month, free" in quote.early_fee_basis) == in_renewal_month


@pytest.mark.parametrize(
    ("received_on", "total"),
    [
        # May 4,400 with tax, the fee 4,000 without, 23/24 of 24,000 with tax
        (date(2026, 5, 15), 4400 + 4000 + 25300),
        (date(2026, 5, 16), 2 * 4400 + 4000 + 24200),
        (date(2028, 4, 15), 4400),
        (date(2028, 4, 16), 2 * 4400),
    ],
)
def test_isp_12_the_total_is_what_is_still_to_be_paid_from_the_month_of_receipt(
    received_on: date, total: int
) -> None:
    assert exit_quote(_agreement(), received_on, POLICY, "floor").total == total


def test_isp_12_each_month_is_taxed_as_an_invoice_of_its_own() -> None:
    # 1,005 yen at 10 % are 100 yen of tax in each of two months, not 201 for both
    agreement = _agreement(monthly_fee=1005, fees=Fees(24))
    assert exit_quote(agreement, date(2026, 5, 16), POLICY, "floor").total == 2 * 1105
    # in the last month fee, penalty and installation stand on one invoice: 2,015 x 10 % = 201
    fees = Fees(24, early_fee=1005, early_fee_tax="standard", installation_fee=5)
    last = exit_quote(_agreement(monthly_fee=1005, fees=fees), date(2026, 4, 15), POLICY, "floor")
    assert last.total == 2015 + 201


def test_isp_12_opening_fee_and_transfer_fees_are_left_out() -> None:
    plain, opening = _agreement(), _agreement(fees=replace(FEES, opening_fee=3000))
    for received_on in (date(2026, 4, 10), date(2026, 4, 20)):
        quoted = exit_quote(plain, received_on, POLICY, "floor")
        assert exit_quote(opening, received_on, POLICY, "floor") == quoted


def test_isp_12_free_months_are_not_counted_and_price_changes_are() -> None:
    prices = (PricePeriod(APRIL, 4000), PricePeriod(APRIL + 2, 5000))
    agreement = replace(_agreement(fees=Fees(24, free_months=1)), prices=prices)
    assert exit_quote(agreement, date(2026, 4, 20), POLICY, "floor").total == 4400
    assert exit_quote(agreement, date(2026, 5, 20), POLICY, "floor").total == 4400 + 5500


@pytest.mark.parametrize(
    ("received_on", "cheapest_on", "total"),
    [
        # the month before: two months of 4,400 are less than 4,400 and the fee of 10,000
        (date(2028, 3, 1), date(2028, 4, 15), 2 * 4400),
        (date(2028, 3, 15), date(2028, 4, 15), 2 * 4400),
        (date(2028, 4, 1), date(2028, 4, 15), 4400),
        (date(2028, 4, 14), date(2028, 4, 15), 4400),
        # the cutoff day is over: only later days count
        (date(2028, 4, 15), date(2028, 4, 30), 2 * 4400),
        (date(2028, 4, 29), date(2028, 4, 30), 2 * 4400),
        # the last free day is over: two months and the fee
        (date(2028, 4, 30), date(2028, 5, 15), 2 * 4400 + 10000),
    ],
)
def test_isp_12_the_cheapest_later_day_is_the_latest_with_the_lowest_total(
    received_on: date, cheapest_on: date, total: int
) -> None:
    agreement = _agreement(kind="corporation", fees=Fees(24, early_fee=10000))
    found = cheapest_day(agreement, received_on, POLICY, "floor")
    assert found == CheapestDay(cheapest_on, total)


def test_isp_12_where_waiting_is_dearer_than_the_fee_this_month_is_cheapest() -> None:
    prices = (PricePeriod(APRIL, 4000), PricePeriod(APRIL + 23, 9000))
    agreement = replace(
        _agreement(kind="corporation", fees=Fees(24, early_fee=10_000)), prices=prices
    )
    found = cheapest_day(agreement, date(2028, 2, 1), POLICY, "floor")
    assert found == CheapestDay(date(2028, 2, 15), 4400 + 10_000)


@pytest.mark.parametrize(
    ("received_on", "months", "last_day_looked_at"),
    [
        (date(2026, 4, 10), 36, date(2029, 4, 10)),
        (date(2028, 2, 29), 36, date(2031, 2, 28)),
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2026, 4, 15), 1, date(2026, 5, 15)),
        (date(2026, 4, 20), 1, date(2026, 5, 20)),
    ],
)
def test_isp_12_every_later_day_within_the_horizon_is_looked_at(
    received_on: date, months: int, last_day_looked_at: date
) -> None:
    costs_nothing = _agreement(received_on, fees=Fees(24), monthly_fee=0)
    policy = ContractPolicy(cheapest_within_months=months)
    found = cheapest_day(costs_nothing, received_on, policy, "floor")
    assert found == CheapestDay(last_day_looked_at, 0)


@pytest.mark.parametrize(
    ("received_on", "left"),
    [
        (date(2026, 4, 10), 24),  # the first month: all of it
        (date(2026, 5, 10), 23),
        (date(2027, 1, 15), 15),  # 15/24 in the 10th of 24 months
        (date(2028, 3, 15), 1),
        (date(2028, 4, 1), 0),
        (date(2029, 1, 1), 0),
    ],
)
def test_isp_13_installation_only_in_proportion_15_24ths_in_the_10th_of_24_months(
    received_on: date, left: int
) -> None:
    quote = exit_quote(_agreement(), received_on, POLICY, "floor")
    assert quote.installation == left * 1000
    assert quote.exit == Exit(Month.of(received_on), quote.early_termination_fee, left * 1000)


def test_isp_13_the_month_of_cancellation_is_the_last_charged_or_by_policy_received() -> None:
    tenth = date(2027, 1, 16)
    assert exit_on(_agreement(), tenth, POLICY).installation == 14_000
    assert exit_on(_agreement(), tenth, BY_RECEIPT).installation == 15_000
    assert exit_on(_agreement(), date(2028, 3, 31), POLICY).installation == 0
    assert exit_on(_agreement(), date(2028, 3, 31), BY_RECEIPT).installation == 1_000


def test_isp_13_a_part_of_a_yen_is_dropped_in_favour_of_the_member() -> None:
    agreement = _agreement(fees=Fees(24, installation_fee=19_999))
    assert remaining_installation(agreement, APRIL + 9) == 12_499  # 15/24 are 12,499.375
    assert remaining_installation(agreement, APRIL + 23) == 833  # 1/24 is 833.29


def test_isp_13_no_work_done_nothing_left_of_it() -> None:
    assert remaining_installation(_agreement(opened=False), APRIL) == 0
    assert remaining_installation(_agreement(fees=Fees(24)), APRIL) == 0


@pytest.mark.parametrize(
    ("concluded_on", "kind", "fee", "capped"),
    [
        (date(2022, 6, 30), "individual", 9500, False),
        (date(2022, 7, 1), "individual", 4000, True),
        (date(2022, 6, 30), "sole-proprietor", 9500, False),
        (date(2022, 7, 1), "sole-proprietor", 4000, True),
        (date(2022, 6, 30), "corporation", 9500, False),
        (date(2022, 7, 1), "corporation", 9500, False),
    ],
)
def test_isp_13_the_fee_is_capped_for_consumers_since_2022_07_01(
    concluded_on: date, kind: CustomerKind, fee: int, capped: bool
) -> None:
    agreement = _agreement(concluded_on, kind, Fees(24, early_fee=9500))
    quote = exit_quote(agreement, date(2023, 1, 10), POLICY, "floor")
    assert quote.early_termination_fee == fee
    assert ("at most one monthly fee" in quote.early_fee_basis) == capped
    assert ("exempt from the cap" in quote.early_fee_basis) == (not capped)


def test_isp_13_the_cap_follows_the_price_of_the_month_of_receipt() -> None:
    prices = (PricePeriod(APRIL, 4000), PricePeriod(APRIL + 6, 3500), PricePeriod(APRIL + 9, 5000))
    agreement = replace(_agreement(), prices=prices)
    assert _fee(agreement, date(2026, 9, 30)) == 4000
    assert _fee(agreement, date(2026, 10, 1)) == 3500
    assert _fee(agreement, date(2026, 12, 31)) == 3500  # not the dearer month that follows
    assert _fee(agreement, date(2027, 1, 1)) == 4000  # never more than was agreed
    assert _fee(replace(agreement, customer_kind="corporation"), date(2026, 10, 1)) == 4000


def test_isp_11_before_opening_the_fee_is_due_unless_the_policy_waives_it() -> None:
    applied = _agreement(opened=False)
    waives = ContractPolicy(early_fee_before_opening=False)
    received_on = date(2026, 4, 12)
    quote = exit_quote(applied, received_on, POLICY, "floor")
    assert (quote.early_termination_fee, quote.installation, quote.total) == (4000, 0, 4000)
    waived = exit_quote(applied, received_on, waives, "floor")
    assert (waived.early_termination_fee, waived.total) == (0, 0)
    assert waived.early_fee_basis == "not opened, free by policy"
    assert _fee(_agreement(), received_on, waives) == 4000  # once open, the policy has no say


@pytest.mark.parametrize("received_on", [date(2026, 5, 20), date(2026, 6, 1), date(2027, 1, 31)])
def test_isp_10_a_term_of_one_month_is_left_free_after_the_first(received_on: date) -> None:
    monthly = _agreement(fees=Fees(1, early_fee=4000, installation_fee=12000))
    quote = exit_quote(monthly, received_on, POLICY, "floor")
    assert quote.in_renewal_month
    assert (quote.early_termination_fee, quote.installation) == (0, 0)
    first = exit_quote(monthly, date(2026, 4, 15), POLICY, "floor")
    assert (first.in_renewal_month, first.early_termination_fee) == (False, 4000)
    assert first.installation == 12000


@pytest.mark.parametrize(
    ("installation_fee", "maximum", "owed"),
    [(24_000, 25_000, 24_000), (25_000, 25_000, 25_000), (40_000, 25_000, 25_000), (0, 25_000, 0)],
)
def test_isp_14_withdrawal_costs_the_months_used_and_installation_up_to_the_legal_maximum(
    installation_fee: int, maximum: int, owed: int
) -> None:
    policy = ContractPolicy(withdrawal_installation_maximum=maximum)
    agreement = _agreement(fees=Fees(24, early_fee=4000, installation_fee=installation_fee))
    for received_on in (date(2026, 4, 15), date(2026, 4, 16)):  # the cutoff day has no say
        leaving = withdrawal_exit(agreement, received_on, policy)
        assert leaving == Exit(APRIL, 0, owed, withdrawn=True)
    unopened = replace(agreement, charged_from=None)
    assert withdrawal_exit(unopened, date(2026, 5, 2), policy) == Exit(
        APRIL + 1, 0, 0, withdrawn=True
    )


# The arithmetic of the specification, a second time: plain dates, Decimal, every day.

_ROUNDING = {"floor": ROUND_DOWN, "half-up": ROUND_HALF_UP, "ceil": ROUND_UP}


def _next_first(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _firsts(first: date, last: date) -> list[date]:
    found = []
    while first <= last:
        found.append(first)
        first = _next_first(first)
    return found


def _months_later(day: date, months: int) -> date:
    year, month = day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1
    for shorter in range(4):
        try:
            return date(year, month, day.day - shorter)
        except ValueError:
            continue
    raise AssertionError(day)


@dataclass
class ByHand:
    """One contract as the specification's text reads; months are their first days."""

    agreement: Agreement
    policy: ContractPolicy
    rounding: Rounding
    paid: dict[tuple[date, date], int] = field(default_factory=dict)

    def price(self, first: date) -> int:
        fee = self.agreement.prices[0].monthly_fee
        for period in self.agreement.prices:
            if period.since.first <= first:
                fee = period.monthly_fee
        return fee

    def running(self, first: date) -> int:
        """The monthly fee billed for a month, net."""
        if self.agreement.charged_from is None:
            return 0
        begins = self.agreement.charged_from.first
        for _ in range(self.agreement.fees.free_months):
            begins = _next_first(begins)
        return self.price(first) if first >= begins else 0

    def with_tax(self, first: date, taxed: int, untaxed: int = 0) -> int:
        rate = "0.10"
        if first <= date(2019, 9, 30):
            rate = "0.08"
        if first <= date(2014, 3, 31):
            rate = "0.05"
        tax = (Decimal(taxed) * Decimal(rate)).quantize(Decimal(1), _ROUNDING[self.rounding])
        return taxed + untaxed + int(tax)

    def paid_before(self, since: date, last: date) -> int:
        """Month by month up to the last one, tax included."""
        if (since, last) not in self.paid:
            self.paid[since, last] = sum(
                self.with_tax(first, self.running(first)) for first in _firsts(since, last)[:-1]
            )
        return self.paid[since, last]

    @cached_property
    def renewal_months(self) -> set[date]:
        """Walk term after term: the month after each is its renewal month."""
        found = set()
        month = self.agreement.concluded_on.replace(day=1)
        for _ in range(120):
            for _ in range(self.agreement.fees.term_months):
                month = _next_first(month)
            found.add(month)
        return found

    def last_charged(self, received_on: date) -> date:
        first = received_on.replace(day=1)
        return first if received_on.day <= self.policy.cutoff_day else _next_first(first)

    def fee(self, received_on: date) -> int:
        first = received_on.replace(day=1)
        a = self.agreement
        if first in self.renewal_months:
            return 0
        if a.charged_from is None and not self.policy.early_fee_before_opening:
            return 0
        if a.customer_kind == "corporation" or a.concluded_on < date(2022, 7, 1):
            return a.fees.early_fee
        return min(a.fees.early_fee, self.price(first))

    def installation(self, received_on: date) -> int:
        a = self.agreement
        first = received_on.replace(day=1)
        if self.policy.installation_counted_to == "last-charged":
            first = self.last_charged(received_on)
        years, months = first.year - a.concluded_on.year, first.month - a.concluded_on.month
        used = years * 12 + months + 1
        if a.charged_from is None or used > a.fees.term_months:
            return 0
        parts = a.fees.term_months - used + 1
        return a.fees.installation_fee * parts // a.fees.term_months

    def total(self, received_on: date, since: date) -> int:
        last = self.last_charged(received_on)
        before = self.paid_before(since, last)
        fee = self.fee(received_on)
        taxed = self.running(last) + self.installation(received_on)
        if self.agreement.fees.early_fee_tax == "standard":
            return before + self.with_tax(last, taxed + fee)
        return before + self.with_tax(last, taxed, fee)

    def cheapest(self, received_on: date) -> CheapestDay:
        since = received_on.replace(day=1)
        until = _months_later(received_on, self.policy.cheapest_within_months)
        best: CheapestDay | None = None
        day = received_on + timedelta(days=1)
        while day <= until:
            total = self.total(day, since)
            if best is None or total <= best.total:
                best = CheapestDay(day, total)
            day += timedelta(days=1)
        assert best is not None
        return best


kinds: st.SearchStrategy[CustomerKind] = st.sampled_from(
    ("individual", "sole-proprietor", "corporation")
)
roundings: st.SearchStrategy[Rounding] = st.sampled_from(("floor", "half-up", "ceil"))
penalty_taxes: st.SearchStrategy[Literal["none", "standard"]] = st.sampled_from(
    ("none", "standard")
)
counted: st.SearchStrategy[Literal["last-charged", "received"]] = st.sampled_from(
    ("last-charged", "received")
)
policies = st.builds(
    ContractPolicy,
    cutoff_day=st.integers(1, 28),
    cheapest_within_months=st.integers(1, 14) | st.just(36),
    installation_counted_to=counted,
    early_fee_before_opening=st.booleans(),
)
yen = st.integers(0, 12_000)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Agreement, date]:
    """A contract, and a day of its life on which it is left."""
    around = st.dates(date(2012, 1, 1), date(2030, 12, 31)) | st.dates(
        date(2022, 6, 1), date(2022, 7, 31)
    )
    concluded_on = draw(around)
    concluded = Month.of(concluded_on)
    fees = Fees(
        term_months=draw(st.integers(1, 36)),
        early_fee=draw(st.sampled_from((0, 4000)) | st.integers(0, 60_000)),
        early_fee_tax=draw(penalty_taxes),
        opening_fee=draw(st.sampled_from((0, 3000))),
        free_months=draw(st.integers(0, 14)),
        installation_fee=draw(st.sampled_from((0, 24_000)) | st.integers(0, 40_000)),
    )
    changes = draw(st.dictionaries(st.integers(-6, 60), yen, min_size=1, max_size=4))
    prices = tuple(PricePeriod(concluded + month, fee) for month, fee in sorted(changes.items()))
    opened_after = draw(st.none() | st.integers(0, 3))
    charged_from = None if opened_after is None else concluded + opened_after
    received_on = concluded_on + timedelta(days=draw(st.integers(0, 60) | st.integers(0, 1900)))
    return Agreement(draw(kinds), concluded_on, charged_from, prices, fees), received_on


@given(cases(), policies, roundings)
def test_isp_12_the_cheapest_day_is_that_of_a_search_over_every_day(
    case: tuple[Agreement, date], policy: ContractPolicy, rounding: Rounding
) -> None:
    agreement, received_on = case
    by_hand = ByHand(agreement, policy, rounding)
    quote = exit_quote(agreement, received_on, policy, rounding)
    assert quote.cheapest == by_hand.cheapest(received_on)
    assert quote.total == by_hand.total(received_on, received_on.replace(day=1))
    assert quote.early_termination_fee == by_hand.fee(received_on)
    assert quote.installation == by_hand.installation(received_on)
    assert quote.last_charged_month.first == by_hand.last_charged(received_on)
    assert quote.in_renewal_month == (received_on.replace(day=1) in by_hand.renewal_months)


@given(cases(), policies, roundings)
def test_isp_12_the_quote_for_the_cheapest_day_is_the_quote_on_it(
    case: tuple[Agreement, date], policy: ContractPolicy, rounding: Rounding
) -> None:
    agreement, received_on = case
    found = cheapest_day(agreement, received_on, policy, rounding)
    leaving = exit_on(agreement, found.received_on, policy)
    assert found.received_on > received_on
    assert found.total == still_to_pay(agreement, leaving, Month.of(received_on), rounding)


@given(cases(), policies, roundings, yen, yen, yen)
def test_isp_12_the_total_never_falls_when_fees_rise(
    case: tuple[Agreement, date],
    policy: ContractPolicy,
    rounding: Rounding,
    penalty: int,
    work: int,
    monthly: int,
) -> None:
    agreement, received_on = case
    fees = agreement.fees
    dearer = replace(
        agreement,
        prices=tuple(PricePeriod(p.since, p.monthly_fee + monthly) for p in agreement.prices),
        fees=replace(
            fees,
            early_fee=fees.early_fee + penalty,
            installation_fee=fees.installation_fee + work,
        ),
    )
    before = exit_quote(agreement, received_on, policy, rounding)
    after = exit_quote(dearer, received_on, policy, rounding)
    assert after.total >= before.total
    assert after.cheapest.total >= before.cheapest.total


@given(st.integers(1, 60), st.integers(0, 60_000), st.integers(-3, 80))
def test_isp_13_what_remains_of_installation_only_falls_and_stays_within_the_fee(
    term: int, fee: int, passed: int
) -> None:
    agreement = _agreement(fees=Fees(term, installation_fee=fee))
    now = remaining_installation(agreement, APRIL + passed)
    assert 0 <= remaining_installation(agreement, APRIL + passed + 1) <= now <= fee
    assert remaining_installation(agreement, APRIL) == fee
    assert remaining_installation(agreement, APRIL + term) == 0
