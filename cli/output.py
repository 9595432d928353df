"""How answers are printed: one JSON value, a table for people, or CSV for spreadsheets."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import click

from isp.month import Month


def plain(value: object) -> Any:
    """Dates, instants and months as the text that the spec promises."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Month):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be printed")


def write(value: object, form: str) -> None:
    """Print `value`, a mapping or a sequence of mappings, as `json`, `csv` or `table`."""
    if form == "json":
        click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=plain))
    elif form == "csv":
        _write_csv(value)
    else:
        _write_table(value)


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
        return value
    raise TypeError("an answer is a mapping or a sequence of mappings")


def _write_csv(value: object) -> None:
    rows = _rows(value)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if rows:
        writer.writerow(rows[0].keys())
    for row in rows:
        writer.writerow([_harmless(_cell(entry)) for entry in row.values()])


def _harmless(cell: str) -> str:
    """A text that a spreadsheet would take for a formula is quoted by an apostrophe."""
    return f"'{cell}" if cell[:1] in ("=", "@", "\t") else cell


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
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = _rows(value)
    # A pipe has no width: take enough that no number is cut.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=not isinstance(value, Mapping))
    if isinstance(value, Mapping):
        table.add_column()
        table.add_column(overflow="fold")
        for name, entry in value.items():
            table.add_row(escape(name), escape(_shown(entry)))
    else:
        if not rows:
            click.echo("(none)", err=True)
            return
        for name, entry in rows[0].items():
            table.add_column(name, justify="right" if isinstance(entry, int) else "left")
        for row in rows:
            table.add_row(*(escape(_shown(entry)) for entry in row.values()))
    console.print(table)


def _shown(entry: object) -> str:
    """As people read it: thousands in groups, lists of records a line each."""
    if isinstance(entry, int) and not isinstance(entry, bool):
        return f"{entry:,}"
    if isinstance(entry, Mapping):
        return "  ".join(f"{name}={_shown(part)}" for name, part in entry.items())
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        return "\n".join(_shown(part) for part in entry)
    return _cell(entry)
