"""Months: the unit in which fees, terms and invoices are counted."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.month import Month

days = st.dates(date(1900, 1, 1), date(2999, 12, 31))
months = days.map(Month.of)


@pytest.mark.parametrize(
    ("written", "year", "number", "last"),
    [
        ("2026-01", 2026, 1, date(2026, 1, 31)),
        ("2026-04", 2026, 4, date(2026, 4, 30)),
        ("2026-12", 2026, 12, date(2026, 12, 31)),
        ("2026-02", 2026, 2, date(2026, 2, 28)),
        ("2028-02", 2028, 2, date(2028, 2, 29)),
        ("2100-02", 2100, 2, date(2100, 2, 28)),
        ("1900-01", 1900, 1, date(1900, 1, 31)),
        ("2999-12", 2999, 12, date(2999, 12, 31)),
    ],
)
def test_a_month_is_read_and_written(written: str, year: int, number: int, last: date) -> None:
    month = Month.parse(written)
    assert (month.year, month.number, month.first, month.last) == (
        year,
        number,
        date(year, number, 1),
        last,
    )
    assert str(month) == written
    assert month.index == year * 12 + number - 1


@pytest.mark.parametrize(
    "written",
    [
        "", "2026", "2026-4", "2026-00", "2026-13", "26-04", "2026/04", "2026-04-01", " 2026-04",
        "2026-04\n", "２０２６-０４", "1899-12", "3000-01", "9999-12", "-2026-04", "2026-04x",
    ],
)  # fmt: skip
def test_all_04_what_is_no_month_is_refused_by_its_field(written: str) -> None:
    with pytest.raises(Refused) as refused:
        Month.parse(written, "from")
    assert refused.value.field == "from"
    assert repr(written) in refused.value.why
    assert "YYYY-MM" in refused.value.why
    assert "\n" not in str(refused.value)
    with pytest.raises(Refused, match="^month: "):
        Month.parse(written)


@pytest.mark.parametrize(
    ("written", "day", "expected"),
    [
        ("2026-02", 23, date(2026, 2, 23)),
        ("2026-02", 30, date(2026, 2, 28)),
        ("2028-02", 30, date(2028, 2, 29)),
        ("2026-04", 31, date(2026, 4, 30)),
        ("2026-04", 1, date(2026, 4, 1)),
    ],
)
def test_a_day_of_the_month_or_its_last(written: str, day: int, expected: date) -> None:
    assert Month.parse(written).day(day) == expected


@given(days)
def test_a_day_lies_in_its_month(day: date) -> None:
    month = Month.of(day)
    assert month.first <= day <= month.last
    assert (month.first - timedelta(days=1)).month != day.month
    assert (month.year, month.number) == (day.year, day.month)
    assert Month.parse(str(month)) == month


@given(months)
def test_the_next_month_begins_the_day_after_the_last(month: Month) -> None:
    if month.index < Month.parse("2999-12").index:
        assert (month + 1).first == month.last + timedelta(days=1)
    assert (month + 1) - 1 == month


@given(months, st.integers(-1200, 1200))
def test_adding_and_taking_months_are_inverse(month: Month, count: int) -> None:
    assert (month + count) - month == count
    assert (month + count) - count == month
    assert ((month + count) > month) == (count > 0)


def test_months_until_count_both_ends() -> None:
    first, last = Month.parse("2026-11"), Month.parse("2027-02")
    assert [str(month) for month in first.until(last)] == [
        "2026-11", "2026-12", "2027-01", "2027-02",
    ]  # fmt: skip
    assert list(first.until(first)) == [first]
    assert list(last.until(first)) == []


def test_months_stand_in_order_and_in_sets() -> None:
    april, may = Month.parse("2026-04"), Month.parse("2026-05")
    assert sorted([may, april]) == [april, may]
    assert len({april, Month.of(date(2026, 4, 10)), may}) == 2
