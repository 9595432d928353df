"""Months as a type [月]: fees, terms and invoices are counted in them, never in days."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import overload

from isp.errors import Refused

_WRITTEN = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month; `index` is year x 12 + month - 1, the form in which it is stored."""

    index: int

    @classmethod
    def of(cls, day: date) -> Month:
        """The month that `day` belongs to [属する月]."""
        return cls(day.year * 12 + day.month - 1)

    @classmethod
    def parse(cls, written: str, field: str = "month") -> Month:
        """`2026-04`, from 1900 to 2999; anything else is refused naming `field`."""
        found = _WRITTEN.fullmatch(written)
        if not found or not 1 <= int(found[2]) <= 12 or not 1900 <= int(found[1]) <= 2999:
            raise Refused(field, f"{written!r} is not a month from 1900 to 2999, write YYYY-MM")
        return cls(int(found[1]) * 12 + int(found[2]) - 1)

    @property
    def year(self) -> int:
        return self.index // 12

    @property
    def number(self) -> int:
        """1 for January to 12 for December."""
        return self.index % 12 + 1

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        return self.day(31)

    def day(self, day: int) -> date:
        """The given day of this month, or its last day where the month is shorter."""
        return date(self.year, self.number, min(day, monthrange(self.year, self.number)[1]))

    def until(self, last: Month) -> Iterator[Month]:
        """The months from this one to `last`, both included; none where `last` is earlier."""
        return (Month(index) for index in range(self.index, last.index + 1))

    def __add__(self, months: int) -> Month:
        return Month(self.index + months)

    @overload
    def __sub__(self, other: Month) -> int: ...
    @overload
    def __sub__(self, other: int) -> Month: ...
    def __sub__(self, other: Month | int) -> int | Month:
        if isinstance(other, Month):
            return self.index - other.index
        return Month(self.index - other)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"
