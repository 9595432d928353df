"""What a contract costs in a month: whole months, from the month of opening on."""

from __future__ import annotations

from datetime import date
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.charges import (
    Charge,
    Exit,
    Fees,
    PricePeriod,
    charges_in,
    exit_charges,
    price_in,
    running_charges,
)
from isp.month import Month

APRIL = Month.parse("2026-04")
PRICES = (
    PricePeriod(Month.parse("2025-01"), 4000),
    PricePeriod(Month.parse("2026-07"), 4500),
    PricePeriod(Month.parse("2027-01"), 3800),
)

months = st.builds(Month, st.integers(2012 * 12, 2032 * 12))
yen = st.integers(0, 50_000)
penalty_taxes: st.SearchStrategy[Literal["none", "standard"]] = st.sampled_from(
    ("none", "standard")
)
all_fees = st.builds(
    Fees,
    term_months=st.integers(1, 60),
    early_fee=yen,
    early_fee_tax=penalty_taxes,
    opening_fee=yen,
    free_months=st.integers(0, 14),
    installation_fee=yen,
)
price_lists = (
    st.dictionaries(months, yen, min_size=1, max_size=4)
    .map(lambda prices: sorted(prices.items()))
    .map(lambda prices: tuple(PricePeriod(since, fee) for since, fee in prices))
)


@pytest.mark.parametrize(
    ("month", "fee"),
    [
        ("2024-12", 4000),  # before the first period, the first
        ("2025-01", 4000),
        ("2026-06", 4000),
        ("2026-07", 4500),
        ("2026-12", 4500),
        ("2027-01", 3800),
        ("2040-01", 3800),
    ],
)
def test_the_monthly_fee_is_the_price_valid_in_the_month(month: str, fee: int) -> None:
    assert price_in(PRICES, Month.parse(month)) == fee


@pytest.mark.parametrize("opened_on", [date(2026, 4, 1), date(2026, 4, 16), date(2026, 4, 30)])
def test_isp_02_whole_months_from_the_opening_month_whatever_the_day(opened_on: date) -> None:
    opened = Month.of(opened_on)
    assert running_charges(APRIL - 1, opened, PRICES, Fees(24)) == ()
    assert running_charges(APRIL, opened, PRICES, Fees(24)) == (Charge("monthly", 4000, 10),)
    assert running_charges(APRIL + 3, opened, PRICES, Fees(24)) == (Charge("monthly", 4500, 10),)


def test_isp_02_what_is_not_open_costs_nothing() -> None:
    fees = Fees(24, early_fee=4000, opening_fee=3000, installation_fee=24000)
    for month in APRIL.until(APRIL + 30):
        assert charges_in(month, None, PRICES, fees) == ()


def test_the_opening_fee_comes_with_the_opening_month_only() -> None:
    fees = Fees(24, opening_fee=3000)
    assert running_charges(APRIL, APRIL, PRICES, fees) == (
        Charge("monthly", 4000, 10),
        Charge("opening", 3000, 10),
    )
    assert running_charges(APRIL + 1, APRIL, PRICES, fees) == (Charge("monthly", 4000, 10),)
    assert running_charges(APRIL - 1, APRIL, PRICES, fees) == ()


@pytest.mark.parametrize(
    ("free", "kinds"),
    [
        (0, (("monthly", "opening"), ("monthly",), ("monthly",))),
        (1, (("opening",), ("monthly",), ("monthly",))),
        (2, (("opening",), (), ("monthly",))),
        (3, (("opening",), (), ())),
    ],
)
def test_the_first_free_months_count_from_the_opening_month(
    free: int, kinds: tuple[tuple[str, ...], ...]
) -> None:
    fees = Fees(24, opening_fee=3000, free_months=free)
    billed = [running_charges(APRIL + count, APRIL, PRICES, fees) for count in range(3)]
    assert tuple(tuple(charge.kind for charge in month) for month in billed) == kinds


def test_a_plan_has_no_fees_but_those_it_names() -> None:
    assert Fees(24) == Fees(24, 0, "none", 0, 0, 0)
    assert not Exit(APRIL, 0, 0).withdrawn


def test_a_price_of_nothing_is_no_line() -> None:
    assert running_charges(APRIL, APRIL, (PricePeriod(APRIL, 0),), Fees(24)) == ()


@pytest.mark.parametrize(
    ("month", "rate"),
    [("2014-03", 5), ("2014-04", 8), ("2019-09", 8), ("2019-10", 10)],
)
def test_all_01_a_month_is_taxed_at_its_own_rate(month: str, rate: int) -> None:
    now = Month.parse(month)
    fees = Fees(24, opening_fee=3000)
    assert [charge.tax_rate for charge in running_charges(now, now, PRICES, fees)] == [rate, rate]


@pytest.mark.parametrize(("early_fee_tax", "rate"), [("none", 0), ("standard", 10)])
def test_a_penalty_is_taxed_as_the_plan_says_and_installation_always(
    early_fee_tax: Literal["none", "standard"], rate: int
) -> None:
    fees = Fees(24, early_fee=4000, early_fee_tax=early_fee_tax)
    assert exit_charges(Exit(APRIL, 4000, 15000), fees) == (
        Charge("early-termination", 4000, rate),
        Charge("installation", 15000, 10),
    )


def test_what_leaving_costs_is_taxed_at_the_rate_of_the_last_charged_month() -> None:
    september = Month.parse("2019-09")
    late = exit_charges(Exit(september, 4000, 15000), Fees(24, early_fee_tax="standard"))
    assert [charge.tax_rate for charge in late] == [8, 8]


def test_isp_09_charges_end_with_the_last_charged_month_and_leaving_is_billed_with_it() -> None:
    fees = Fees(24, early_fee=4000)
    leaving = Exit(APRIL + 2, 4000, 15000)
    assert charges_in(APRIL + 1, APRIL, PRICES, fees, leaving) == (Charge("monthly", 4000, 10),)
    assert charges_in(APRIL + 2, APRIL, PRICES, fees, leaving) == (
        Charge("monthly", 4000, 10),
        Charge("early-termination", 4000, 0),
        Charge("installation", 15000, 10),
    )
    assert charges_in(APRIL + 3, APRIL, PRICES, fees, leaving) == ()


def test_isp_11_leaving_for_nothing_adds_no_line() -> None:
    leaving = Exit(APRIL, 0, 0)
    assert charges_in(APRIL, APRIL, PRICES, Fees(24), leaving) == (Charge("monthly", 4000, 10),)


def test_isp_11_the_fee_for_leaving_before_opening_is_billed_alone() -> None:
    leaving = Exit(APRIL, 4000, 0)
    assert charges_in(APRIL, None, PRICES, Fees(24, early_fee=4000), leaving) == (
        Charge("early-termination", 4000, 0),
    )


def test_isp_14_who_withdraws_owes_no_opening_fee() -> None:
    fees = Fees(24, early_fee=4000, opening_fee=3000)
    leaving = Exit(APRIL, 0, 24000, withdrawn=True)
    assert charges_in(APRIL, APRIL, PRICES, fees, leaving) == (
        Charge("monthly", 4000, 10),
        Charge("installation", 24000, 10),
    )


@given(months, price_lists, all_fees, st.integers(0, 40), yen, yen, st.booleans())
def test_isp_02_the_months_of_a_life_sum_to_its_fees(
    opened: Month,
    prices: tuple[PricePeriod, ...],
    fees: Fees,
    stayed: int,
    early_fee: int,
    installation: int,
    withdrawn: bool,
) -> None:
    last = opened + stayed
    leaving = Exit(last, early_fee, installation, withdrawn)
    billed = [
        charge
        for month in (opened - 3).until(last + 3)
        for charge in charges_in(month, opened, prices, fees, leaving)
    ]
    running = [
        charge
        for month in opened.until(last)
        for charge in running_charges(month, opened, prices, fees)
    ]
    opening = 0 if withdrawn else fees.opening_fee
    monthly = sum(price_in(prices, month) for month in (opened + fees.free_months).until(last))
    assert sum(charge.net for charge in billed) == monthly + opening + early_fee + installation
    assert sum(charge.net for charge in running) == monthly + fees.opening_fee
    assert all(charge.net > 0 for charge in billed)


@given(months, months, price_lists, all_fees)
def test_isp_02_without_an_exit_charges_run_on(
    month: Month, opened: Month, prices: tuple[PricePeriod, ...], fees: Fees
) -> None:
    running = running_charges(month, opened, prices, fees)
    assert charges_in(month, opened, prices, fees) == running
    assert charges_in(month, opened, prices, fees, Exit(month + 1, 1, 1)) == running


@given(months, price_lists)
def test_the_price_is_that_of_the_latest_period_begun(
    month: Month, prices: tuple[PricePeriod, ...]
) -> None:
    begun = {period.since: period.monthly_fee for period in prices if period.since <= month}
    expected = begun[max(begun)] if begun else prices[0].monthly_fee
    assert price_in(prices, month) == expected
