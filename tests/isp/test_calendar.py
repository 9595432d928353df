"""Bank business days: the transfer on the 23rd, due dates, New Year."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.calendar import TOKYO, Calendar, Day
from isp.errors import Refused

calendar = Calendar()
days = st.dates(date(1990, 1, 1), date(2090, 12, 31))

# The holidays as the Cabinet Office announced them [国民の祝日], substitutes included.
HOLIDAYS = {
    2019: "0101 0114 0211 0321 0429 0430 0501 0502 0503 0504 0505 0506 0715 0811 0812 0916 0923 "
    "1014 1022 1103 1104 1123",
    2021: "0101 0111 0211 0223 0320 0429 0503 0504 0505 0722 0723 0808 0809 0920 0923 1103 1123",
    2026: "0101 0112 0211 0223 0320 0429 0503 0504 0505 0506 0720 0811 0921 0922 0923 1012 1103 "
    "1123",
    2027: "0101 0111 0211 0223 0321 0322 0429 0503 0504 0505 0719 0811 0920 0923 1011 1103 1123",
}


@pytest.mark.parametrize("year", HOLIDAYS)
def test_isp_07_every_day_of_a_year(year: int) -> None:
    closed = {date(year, int(day[:2]), int(day[2:])) for day in HOLIDAYS[year].split()}
    closed |= {date(year, 1, 2), date(year, 1, 3), date(year, 12, 31)}
    for count in range(365):
        day = date(year, 1, 1) + timedelta(days=count)
        weekend = day.strftime("%a") in {"Sat", "Sun"}
        assert calendar.is_business_day(day) == (not weekend and day not in closed), day


@pytest.mark.parametrize(
    ("wanted_on", "drawn_on"),
    [
        (date(2026, 1, 23), date(2026, 1, 23)),  # a Friday
        (date(2026, 2, 23), date(2026, 2, 24)),  # the Emperor's birthday, a Monday
        (date(2026, 3, 23), date(2026, 3, 23)),
        (date(2026, 5, 23), date(2026, 5, 25)),  # a Saturday
        (date(2026, 8, 23), date(2026, 8, 24)),  # a Sunday
        (date(2026, 9, 23), date(2026, 9, 24)),  # autumnal equinox, after two more holidays
        (date(2026, 11, 23), date(2026, 11, 24)),  # Labour Thanksgiving Day, a Monday
        (date(2025, 2, 23), date(2025, 2, 25)),  # a Sunday with its substitute Monday
        (date(2019, 2, 23), date(2019, 2, 25)),  # no holiday yet, but a Saturday
        (date(2018, 2, 23), date(2018, 2, 23)),  # no holiday before 2020
        (date(2018, 12, 23), date(2018, 12, 25)),  # the birthday of the Emperor before
    ],
)
def test_isp_07_the_23rd_moves_to_the_next_business_day(wanted_on: date, drawn_on: date) -> None:
    assert calendar.on_or_after(wanted_on) == drawn_on


@pytest.mark.parametrize(
    ("due_on", "moved_to"),
    [
        (date(2026, 12, 30), date(2026, 12, 30)),
        (date(2026, 12, 31), date(2027, 1, 4)),
        (date(2027, 1, 1), date(2027, 1, 4)),
        (date(2027, 1, 2), date(2027, 1, 4)),
        (date(2027, 1, 3), date(2027, 1, 4)),
        (date(2027, 1, 4), date(2027, 1, 4)),
        (date(2025, 12, 31), date(2026, 1, 5)),  # the 4th is a Sunday
        (date(2028, 12, 31), date(2029, 1, 4)),
        (date(2028, 2, 29), date(2028, 2, 29)),
        (date(2020, 2, 29), date(2020, 3, 2)),  # a Saturday
    ],
)
def test_biz_13_banks_are_closed_from_31_december_to_3_january(
    due_on: date, moved_to: date
) -> None:
    assert calendar.on_or_after(due_on) == moved_to


@given(days)
def test_isp_07_new_year_is_closed_every_year(day: date) -> None:
    if (day.month, day.day) in {(12, 31), (1, 1), (1, 2), (1, 3)}:
        assert not calendar.is_business_day(day)
    assert not calendar.is_business_day(date(day.year, 12, 31))
    assert not calendar.is_business_day(date(day.year, 1, 3))


@given(days)
def test_isp_07_nothing_open_lies_between_the_day_and_the_day_it_moves_to(day: date) -> None:
    moved = calendar.on_or_after(day)
    assert calendar.is_business_day(moved)
    assert calendar.on_or_after(moved) == moved
    between = (day + timedelta(days=count) for count in range((moved - day).days))
    assert moved >= day
    assert not any(calendar.is_business_day(passed) for passed in between)


@given(days, st.integers(-30, 30))
def test_the_nth_business_day_has_n_business_days_up_to_it(day: date, count: int) -> None:
    found = calendar.add(day, count)
    span = range(1, abs((found - day).days) + 1)
    step = 1 if count > 0 else -1
    passed = [day + timedelta(days=step * number) for number in span]
    assert sum(calendar.is_business_day(other) for other in passed) == abs(count)
    assert (found > day, found < day) == (count > 0, count < 0)
    assert count == 0 or calendar.is_business_day(found)


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        (date(2026, 4, 30), 3, date(2026, 5, 8)),  # Golden Week: 1, 7, 8 May
        (date(2026, 5, 7), -1, date(2026, 5, 1)),
        (date(2026, 12, 28), 3, date(2027, 1, 4)),
        (date(2026, 4, 25), 1, date(2026, 4, 27)),  # from a Saturday
        (date(2026, 4, 25), 0, date(2026, 4, 25)),
    ],
)
def test_business_days_are_counted_across_holidays(day: date, count: int, expected: date) -> None:
    assert calendar.add(day, count) == expected


def test_days_that_the_operator_adds_are_closed() -> None:
    own = Calendar(frozenset({date(2026, 4, 23), date(2026, 4, 24)}))
    assert calendar.on_or_after(date(2026, 4, 23)) == date(2026, 4, 23)
    assert own.on_or_after(date(2026, 4, 23)) == date(2026, 4, 27)
    assert own.add(date(2026, 4, 22), 1) == date(2026, 4, 27)


@pytest.mark.parametrize("year", [1900, 1948, 2100, 9000])
def test_a_year_without_holiday_tables_is_refused_not_guessed(year: int) -> None:
    first_wednesday = next(
        day for day in (date(year, 6, number) for number in range(1, 8)) if day.weekday() == 2
    )
    with pytest.raises(Refused) as refused:
        calendar.is_business_day(first_wednesday)
    assert (refused.value.field, str(year) in refused.value.why) == ("date", True)


@pytest.mark.parametrize("year", [1949, 2099])
def test_the_first_and_the_last_year_of_the_tables_are_known(year: int) -> None:
    assert not calendar.is_business_day(date(year, 1, 1))
    assert not calendar.is_business_day(date(year, 12, 31))


def test_japan_time_is_nine_hours_ahead_and_a_day_carries_its_calendar() -> None:
    midnight = datetime(2026, 4, 1, tzinfo=TOKYO)
    assert midnight.utcoffset() == timedelta(hours=9)
    assert Day(midnight.date(), midnight).calendar == Calendar()
