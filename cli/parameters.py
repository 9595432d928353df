"""Words of the command line with a meaning: days, months, yen, choices of the spec."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import click

from isp.errors import Refused
from isp.month import Month


def read_day(field: str, written: str) -> date:
    """`2026-04-10`; anything else, an impossible date too, is refused naming `field`."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", written, re.ASCII):
            raise ValueError
        return date.fromisoformat(written)
    except ValueError:
        raise Refused(field, f"{written!r} is not a date, write YYYY-MM-DD") from None


class DayType(click.ParamType[date]):
    """A date as `YYYY-MM-DD`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> date:
        return value if isinstance(value, date) else read_day(param.name, value)


class MonthType(click.ParamType[Month]):
    """A month as `YYYY-MM`."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Month:
        return value if isinstance(value, Month) else Month.parse(value, param.name)


class YenType(click.ParamType[int]):
    """Whole yen, digits only."""

    name = "YEN"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"-?\d{1,12}", value, re.ASCII):
            raise Refused(param.name, f"{value!r} is not an amount, write whole yen in digits")
        return int(value)


DAY = DayType()
MONTH = MonthType()
YEN = YenType()
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False)
NEW_FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
