"""Minimum terms and renewal months [最低利用期間・更新月]."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.month import Month
from isp.terms import Term, is_renewal_month, next_renewal_month, term_in

concluded_months = st.builds(Month, st.integers(2000 * 12, 2060 * 12))
lengths = st.integers(1, 120)


def _term(number: int, start: str, end: str) -> Term:
    return Term(number, Month.parse(start), Month.parse(end))


@pytest.mark.parametrize(
    ("today", "number", "start", "end", "renewal_month"),
    [
        ("2026-04-10", 1, "2026-04", "2028-03", "2028-04"),
        ("2027-01-31", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-03-31", 1, "2026-04", "2028-03", "2028-04"),
        # during the renewal month it is still the term which has just ended
        ("2028-04-01", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-04-30", 1, "2026-04", "2028-03", "2028-04"),
        # once it has passed, the next term, counted from the renewal month
        ("2028-05-01", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-03-31", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-04-15", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-05-01", 3, "2030-04", "2032-03", "2032-04"),
        # an application dated before conclusion looks at the first term
        ("2026-03-31", 1, "2026-04", "2028-03", "2028-04"),
    ],
)
def test_isp_10_concluded_2026_04_10_for_24_months(
    today: str, number: int, start: str, end: str, renewal_month: str
) -> None:
    concluded = Month.of(date(2026, 4, 10))
    found = term_in(concluded, 24, Month.of(date.fromisoformat(today)))
    assert found == _term(number, start, end)
    assert found.renewal_month == Month.parse(renewal_month)


@pytest.mark.parametrize("concluded_on", ["2028-02-29", "2028-02-01"])
def test_isp_10_the_day_of_conclusion_does_not_matter_nor_does_february_29(
    concluded_on: str,
) -> None:
    concluded = Month.of(date.fromisoformat(concluded_on))
    assert term_in(concluded, 12, concluded) == _term(1, "2028-02", "2029-01")
    assert term_in(concluded, 12, Month.parse("2029-03")) == _term(2, "2029-02", "2030-01")


@pytest.mark.parametrize(
    ("month", "number", "start", "renewal_month", "free"),
    [
        ("2026-04", 1, "2026-04", "2026-05", False),
        ("2026-05", 1, "2026-04", "2026-05", True),
        ("2026-06", 2, "2026-05", "2026-06", True),
        ("2026-07", 3, "2026-06", "2026-07", True),
        ("2027-01", 9, "2026-12", "2027-01", True),
    ],
)
def test_isp_10_a_term_of_one_month_is_always_in_its_renewal_month_after_the_first(
    month: str, number: int, start: str, renewal_month: str, free: bool
) -> None:
    concluded, now = Month.parse("2026-04"), Month.parse(month)
    found = term_in(concluded, 1, now)
    assert found == _term(number, start, start)
    assert found.renewal_month == Month.parse(renewal_month)
    assert is_renewal_month(concluded, 1, now) == free


@pytest.mark.parametrize(
    ("month", "free", "next_free"),
    [
        ("2026-03", False, "2028-04"),
        ("2026-04", False, "2028-04"),
        ("2028-03", False, "2028-04"),
        ("2028-04", True, "2028-04"),
        ("2028-05", False, "2030-04"),
        ("2030-04", True, "2030-04"),
        ("2024-04", False, "2028-04"),  # before conclusion nothing renews
    ],
)
def test_isp_11_the_renewal_month_is_the_month_after_the_end(
    month: str, free: bool, next_free: str
) -> None:
    concluded, now = Month.parse("2026-04"), Month.parse(month)
    assert is_renewal_month(concluded, 24, now) == free
    assert next_renewal_month(concluded, 24, now) == Month.parse(next_free)


@given(concluded_months, lengths)
def test_isp_10_terms_share_out_all_months_without_gap_or_overlap(
    concluded: Month, length: int
) -> None:
    terms: list[Term] = []
    for month in concluded.until(concluded + 4 * length):
        found = term_in(concluded, length, month)
        if not terms or terms[-1] != found:
            terms.append(found)
    shared = [month for term in terms for month in term.start.until(term.end)]
    assert shared == list(concluded.until(concluded + (len(terms) * length - 1)))
    assert [term.number for term in terms] == list(range(1, 5))


@given(concluded_months, lengths, st.integers(0, 600))
def test_isp_10_walking_month_by_month_gives_the_same_term(
    concluded: Month, length: int, passed: int
) -> None:
    number, start = 1, concluded
    while concluded + passed > start + length:  # its renewal month has passed: renewed by itself
        number, start = number + 1, start + length
    found = term_in(concluded, length, concluded + passed)
    assert found == Term(number, start, start + (length - 1))
    assert found.renewal_month == found.end + 1
    assert is_renewal_month(concluded, length, concluded + passed) == (
        concluded + passed == found.renewal_month
    )


@given(concluded_months, lengths, st.integers(-24, 600))
def test_isp_11_the_next_renewal_month_is_the_first_that_comes(
    concluded: Month, length: int, passed: int
) -> None:
    month = concluded + passed
    found = next_renewal_month(concluded, length, month)
    assert found >= month
    assert is_renewal_month(concluded, length, found)
    earlier = month.until(found - 1)
    assert not any(is_renewal_month(concluded, length, other) for other in earlier)
