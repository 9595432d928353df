"""Minimum terms and auto-renewal [最低利用期間・自動更新]: arithmetic from the month of conclusion.

Terms are not stored: they follow from the month in which the contract was concluded (ISP-10).
"""

from __future__ import annotations

from dataclasses import dataclass

from isp.month import Month


@dataclass(frozen=True, slots=True)
class Term:
    """One minimum term: `number` counts from 1, `start` and `end` are both inside it."""

    number: int
    start: Month
    end: Month

    @property
    def renewal_month(self) -> Month:
        """The month after the term, in which leaving is free [更新月]."""
        return self.end + 1


def term_in(concluded: Month, term_months: int, month: Month) -> Term:
    """The term that counts in `month`, the month of conclusion being the first of term 1 (ISP-10).

    The next term counts from the renewal month; yet during the renewal month the term that has
    just ended is the one that counts, since the member may still leave it. Months before the
    conclusion belong to term 1.
    """
    ended, into = divmod(max(month - concluded, 0), term_months)
    number = ended if into == 0 and ended else ended + 1
    start = concluded + (number - 1) * term_months
    return Term(number, start, start + (term_months - 1))


def is_renewal_month(concluded: Month, term_months: int, month: Month) -> bool:
    """Whether a cancellation received in `month` is free [更新月] (ISP-11)."""
    return month > concluded and (month - concluded) % term_months == 0


def next_renewal_month(concluded: Month, term_months: int, month: Month) -> Month:
    """The first renewal month that is `month` or later: in it the ended term still counts."""
    return term_in(concluded, term_months, month).renewal_month
