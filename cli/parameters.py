"""Words of the command line with a meaning: days, months, yen, choices of the spec."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import click

from isp.calendar import read_day
from isp.errors import Refused
from isp.month import Month


def field_of(parameter: click.Parameter | None) -> str:
    """The name that an error gives a parameter: the option as typed, without its dashes."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-").replace("-", "_")
    return (parameter and parameter.name) or "command"


class DayType(click.ParamType[date]):
    """A date as `YYYY-MM-DD`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        return value if isinstance(value, date) else read_day(field_of(param), value)


class MonthType(click.ParamType[Month]):
    """A month as `YYYY-MM`."""

    name = "YYYY-MM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Month:
        return value if isinstance(value, Month) else Month.parse(value, field_of(param))


class YenType(click.ParamType[int]):
    """Whole yen, digits only."""

    name = "YEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"-?\d{1,12}", value, re.ASCII):
            raise Refused(
                field_of(param), f"{shown(value)} is not an amount, write whole yen in digits"
            )
        return int(value)


DAY = DayType()
MONTH = MonthType()
YEN = YenType()
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
NEW_FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
