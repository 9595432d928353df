"""`isp card`: card sales, the card company's file and its result."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.debit import hand_out, read_file
from cli.parameters import DAY, EXISTING_FILE, MONTH, NEW_FILE
from isp.month import Month


@click.group()
def card() -> None:
    """Card sales: the card company's file and its result."""


@card.command("export")
@click.option("--month", required=True, type=MONTH, help="The month that was billed.")
@click.option("-o", "file", required=True, type=NEW_FILE, help="CSV file to write.")
@pass_app
def export(app: App, month: Month, file: Path) -> None:
    """Write the card sales of a billed month, dated its last day; asked again, the same file.

    \b
    Example:
      isp card export --month 2026-03 -o card-sales-2026-03.csv
    """
    from billing.runs.card import export_cards

    done = hand_out(app, file, lambda session: export_cards(session, app.shift, month))
    if done.again:
        note("this file was given out before: it is the same, nothing new is charged")
    app.show(
        {
            "sold_on": done.batch.collect_on,
            "records": done.batch.records,
            "amount": done.batch.amount,
            "file": str(file),
            "again": done.again,
        }
    )


@card.command("import")
@click.argument("file", type=EXISTING_FILE)
@pass_app
def bring_in(app: App, file: Path) -> None:
    """Read the card company's results: the columns of the sales file, `result` and `reason`.

    \b
    Example:
      isp card import card-results-2026-03.csv
    """
    from dataclasses import asdict

    from billing.card_files import parse_results
    from billing.runs.card import import_cards

    with app.transaction() as session:
        done = import_cards(session, app.shift, parse_results(read_file(file)))
        answer = {
            "sold_on": done.batch.collect_on,
            "records": done.batch.records,
            "amount": done.batch.amount,
            "paid": done.paid,
            "failed": [asdict(each) for each in done.failed],
            "already": done.already,
        }
    if done.already:
        note("these results were read before: nothing was changed")
    app.show(answer)


@card.command("statement")
@click.argument("number", metavar="C")
@click.option("--sold-on", type=DAY, help="Day of use on the statement line.")
@click.option("--statement", type=MONTH, help="Month of the card company's statement.")
@pass_app
def statement(app: App, number: str, sold_on: date | None, statement: Month | None) -> None:
    """Tell a member which month a line of the card statement belongs to.

    A sale is dated the last day of the month it bills; the card company shows it one to three
    months later. Name the day on the line, or the month of the statement.

    \b
    Example:
      isp card statement C00000012 --sold-on 2026-03-31
    """
    from billing.queries import card_statement

    with app.reading() as session:
        found = card_statement(session, number, sold_on=sold_on, statement=statement)
    app.show([sale._asdict() for sale in found])
