"""How answers are printed: one JSON value, a table for people, or CSV for spreadsheets."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import zip_longest
from typing import Any

import click

from isp.calendar import TOKYO
from isp.month import Month

_FORMULA = frozenset("=+-@\t\n＝＋－＠")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def plain(value: object) -> Any:
    """Dates, instants (in Japan time) and months as the text that the spec promises."""
    if isinstance(value, datetime):
        return value.astimezone(TOKYO).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Month):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be printed")


def write(value: object, form: str) -> None:
    """Print `value`, a mapping or a sequence of mappings, as `json`, `csv` or `table`."""
    if form == "json":
        _write_json(value)
    elif form == "csv":
        _write_csv(value)
    else:
        _write_table(value)
    sys.stdout.flush()  # here, where a reader that has gone is still answered for


def _write_json(value: object) -> None:
    """One JSON value: an object over several lines, of a list each element on a line of its own."""
    # A terminal that is not UTF-8 gets its Japanese escaped, which is the same value.
    in_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    if isinstance(value, Mapping):
        click.echo(json.dumps(value, ensure_ascii=not in_utf8, indent=2, default=plain))
        return
    encode = json.JSONEncoder(ensure_ascii=not in_utf8, default=plain).encode
    rows = _rows(value)
    click.echo("[\n" + ",\n".join(map(encode, rows)) + "\n]" if rows else "[]")


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
        return value
    raise TypeError("an answer is a mapping or a sequence of mappings")


def _write_csv(value: object) -> None:
    rows = _rows(value)
    names = _names(rows)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if rows:
        writer.writerow(names)
    for row in rows:
        writer.writerow([_harmless(row.get(name)) for name in names])


def _names(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The columns of all rows: not every kind of record has every field."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _harmless(entry: object) -> str:
    """A text that a spreadsheet would take for a formula is led by an apostrophe; numbers are not.

    Full-width signs count: programs set to Japanese read them as the plain ones.
    """
    # A line end of its own kind would not be quoted, and break the row in two.
    cell = _cell(entry).replace("\r\n", "\n").replace("\r", "\n")
    return f"'{cell}" if isinstance(entry, str) and cell[:1] in _FORMULA else cell


def _cell(entry: object) -> str:
    if entry is None:
        return ""
    if isinstance(entry, bool):
        return "yes" if entry else "no"
    if isinstance(entry, str | int):
        return str(entry)
    if isinstance(entry, date | Month):
        return str(plain(entry))
    return json.dumps(entry, ensure_ascii=False, default=plain)


def _write_table(value: object) -> None:
    """Columns for a list, a line for each field of a single answer; nothing is cut or wrapped.

    Where a terminal is too narrow for the columns, each element of the list is shown like a single
    answer.
    """
    rows = _rows(value)
    if not rows:
        click.echo("(none)", err=True)
        return
    lines = _fields(rows) if isinstance(value, Mapping) else _columns(rows)
    if sys.stdout.isatty() and not isinstance(value, Mapping):
        columns = shutil.get_terminal_size().columns
        if any(_width(line) > columns for line in lines):
            lines = _fields(rows)
    click.echo("\n".join(lines))


def _fields(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """`name  value`, a line each, and a blank line between elements."""
    indent = max(_width(name) for row in rows for name in row) + 2
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for name, entry in row.items():
            first, *more = _shown(entry).split("\n")
            lines.append(f"{_padded(name, indent)}{first}".rstrip())
            lines += [f"{'':{indent}}{part}".rstrip() for part in more]
    return lines


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A line of names and a line for each element, or several where a cell has several."""
    names = _names(rows)
    table = [[[name] for name in names]]
    table += [[_shown(row.get(name)).split("\n") for name in names] for row in rows]
    widths = [
        max(_width(part) for cell in column for part in cell) for column in zip(*table, strict=True)
    ]
    numeric = [all(isinstance(row.get(name), int | None) for row in rows) for name in names]
    layout = list(zip(widths, numeric, strict=True))
    return [
        "  ".join(
            _padded(part, width, right) for part, (width, right) in zip(line, layout, strict=True)
        ).rstrip()
        for row in table
        for line in zip_longest(*row, fillvalue="")
    ]


def _width(text: str) -> int:
    """Columns of a terminal: kanji and kana take two, marks that sit on a letter none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


def _padded(text: str, width: int, right: bool = False) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def _shown(entry: object) -> str:
    """As people read it: thousands in groups, lists of records a line each."""
    if isinstance(entry, int) and not isinstance(entry, bool):
        return f"{entry:,}"
    if isinstance(entry, Mapping):
        return "  ".join(f"{name}={_shown(part)}" for name, part in entry.items())
    if isinstance(entry, Sequence) and not isinstance(entry, str | bytes):
        return "\n".join(_shown(part) for part in entry)
    # What steers a terminal is not sent to one.
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _cell(entry))
