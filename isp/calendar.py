"""Bank business days in Japan [銀行営業日] and the one frozen day that a run works on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cache
from reprlib import repr as shown

from isp.errors import Refused

TOKYO = timezone(timedelta(hours=9), "Asia/Tokyo")
"""Japan has kept UTC+9 without daylight saving since 1951, so a fixed offset is exact."""


def read_day(field: str, written: str) -> date:
    """`2026-04-10`, from 1900 to 2999 as months are; anything else is refused naming `field`."""
    try:
        # The standard library would take 2026-W15-5 and 20260410 too.
        if not re.fullmatch(r"(19|2\d)\d\d-\d\d-\d\d", written, re.ASCII):
            raise ValueError
        return date.fromisoformat(written)
    except ValueError:
        raise Refused(
            field, f"{shown(written)} is not a date from 1900 to 2999, write YYYY-MM-DD"
        ) from None


@cache
def _bank_holidays(year: int) -> frozenset[date]:
    import holidays  # late: the tables cost 0.15 s, and most commands never ask

    found = frozenset(holidays.country_holidays("JP", years=year, categories=("public", "bank")))
    if not found:  # the tables end: without them every weekday would pass for a business day
        raise Refused("date", f"no holidays are known for {year}; use a year from 1949 to 2099")
    return found


@dataclass(frozen=True, slots=True)
class Calendar:
    """Business days: no Saturday, Sunday, national holiday, nor 31 Dec to 3 Jan.

    `closed` are days that the operator's policy adds.
    """

    closed: frozenset[date] = frozenset()

    def is_business_day(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.closed and day not in _bank_holidays(day.year)

    def on_or_after(self, day: date) -> date:
        """`day`, or the next business day where it is none (ISP-07, BIZ-13)."""
        while not self.is_business_day(day):
            day += timedelta(days=1)
        return day

    def add(self, day: date, business_days: int) -> date:
        """The nth business day after `day` (n > 0) or before it (n < 0)."""
        step = timedelta(days=1 if business_days > 0 else -1)
        for _ in range(abs(business_days)):
            day += step
            while not self.is_business_day(day):
                day += step
        return day


@dataclass(frozen=True, slots=True)
class Day:
    """What a run knows of time: the business date, the instant, the calendar."""

    today: date
    now: datetime
    calendar: Calendar = field(default_factory=Calendar)
