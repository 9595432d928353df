"""Consumption tax [消費税] and the rounding of money."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.money import Rounding, rounded
from isp.month import Month
from isp.tax import RateTotal, TaxClass, gross, tax_rate, tax_totals

DECIMAL = {"floor": ROUND_DOWN, "half-up": ROUND_HALF_UP, "ceil": ROUND_UP}
roundings: st.SearchStrategy[Rounding] = st.sampled_from(("floor", "half-up", "ceil"))
lines = st.lists(
    st.tuples(st.integers(-10_000_000, 10_000_000), st.sampled_from((0, 5, 8, 10))), max_size=12
)


@pytest.mark.parametrize(
    ("day", "standard", "reduced"),
    [
        (date(2010, 1, 1), 5, 5),
        (date(2014, 3, 31), 5, 5),
        (date(2014, 4, 1), 8, 8),
        (date(2019, 9, 30), 8, 8),
        (date(2019, 10, 1), 10, 8),
        (date(2026, 4, 30), 10, 8),
    ],
)
def test_all_01_tax_rates_are_dated(day: date, standard: int, reduced: int) -> None:
    month = Month.of(day)
    assert tax_rate("standard", month) == standard
    assert tax_rate("reduced", month) == reduced
    assert tax_rate("none", month) == 0


@pytest.mark.parametrize(("rounding", "tax"), [("floor", 31), ("half-up", 32), ("ceil", 32)])
def test_all_01_three_lines_of_105_yen_are_31_yen_of_tax_not_30(
    rounding: Rounding, tax: int
) -> None:
    assert tax_totals([(105, 10)] * 3, rounding) == (RateTotal(10, 315, tax),)
    assert gross([(105, 10)] * 3, rounding) == 315 + tax


def test_all_01_totals_per_rate_stand_highest_rate_first_each_rounded_once() -> None:
    totals = tax_totals([(99, 8), (3000, 0), (105, 10), (99, 8), (105, 10)], "floor")
    assert totals == (RateTotal(10, 210, 21), RateTotal(8, 198, 15), RateTotal(0, 3000, 0))
    assert gross([(99, 8), (99, 10)], "floor") == 99 + 7 + 99 + 9


def test_all_01_an_invoice_without_lines_has_no_totals() -> None:
    assert tax_totals([], "floor") == ()
    assert gross([], "ceil") == 0


@pytest.mark.parametrize(
    ("amount", "floor", "half_up", "ceil"),
    [
        (Fraction(31), 31, 31, 31),
        (Fraction(0), 0, 0, 0),
        (Fraction(314, 10), 31, 31, 32),
        (Fraction(315, 10), 31, 32, 32),
        (Fraction(316, 10), 31, 32, 32),
        (Fraction(-314, 10), -31, -31, -32),
        (Fraction(-315, 10), -31, -32, -32),
        (Fraction(-316, 10), -31, -32, -32),
        (Fraction(1, 100), 0, 0, 1),
        (Fraction(-1, 100), 0, 0, -1),
    ],
)
def test_all_01_rounding_is_named_and_the_same_on_both_sides_of_zero(
    amount: Fraction, floor: int, half_up: int, ceil: int
) -> None:
    assert rounded(amount, "floor") == floor
    assert rounded(amount, "half-up") == half_up
    assert rounded(amount, "ceil") == ceil


@given(lines, roundings)
def test_all_01_tax_equals_decimal_arithmetic(
    lines: list[tuple[int, int]], rounding: Rounding
) -> None:
    expected = 0
    for rate in {rate for _, rate in lines}:
        net = sum(amount for amount, other in lines if other == rate)
        tax = (Decimal(net) * Decimal(rate) / 100).quantize(Decimal(1), DECIMAL[rounding])
        assert RateTotal(rate, net, int(tax)) in tax_totals(lines, rounding)
        expected += net + int(tax)
    assert gross(lines, rounding) == expected


@given(lines, roundings)
def test_all_01_a_credit_note_takes_back_exactly_what_the_invoice_charged(
    lines: list[tuple[int, int]], rounding: Rounding
) -> None:
    returned = [(-net, rate) for net, rate in lines]
    assert gross(returned, rounding) == -gross(lines, rounding)
    assert [(-total.net, -total.tax) for total in tax_totals(returned, rounding)] == [
        (total.net, total.tax) for total in tax_totals(lines, rounding)
    ]


@given(st.permutations(((105, 10), (99, 8), (7, 10), (3000, 0), (1, 8))), roundings)
def test_all_01_the_order_of_lines_changes_nothing(
    lines: list[tuple[int, int]], rounding: Rounding
) -> None:
    assert tax_totals(lines, rounding) == tax_totals(sorted(lines), rounding)


@given(st.integers(0, 2400), st.sampled_from(("standard", "reduced", "none")))
def test_all_01_rates_only_rose(index: int, tax_class: TaxClass) -> None:
    month = Month.parse("1990-01") + index
    assert tax_rate(tax_class, month) <= tax_rate(tax_class, month + 1)
    assert tax_rate("reduced", month) <= tax_rate("standard", month)
