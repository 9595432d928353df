"""`isp bill`: the monthly bill run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from cli.app import App, note, pass_app
from cli.parameters import MONTH
from isp.month import Month


@click.group()
def bill() -> None:
    """The monthly bill run."""


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, where that is a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@bill.command("run")
@click.option("--month", required=True, type=MONTH, help="Month to bill; it must have ended.")
@click.option("--dry-run", is_flag=True, help="Say what would be billed, of any month.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    help="Accepted for scripts; one writer at a time keeps numbers without gaps.",
)
@pass_app
def run(app: App, month: Month, dry_run: bool, workers: int) -> None:
    """Bill every contract charged in a month, once for ever; run again, it bills what came late.

    \b
    Examples:
      isp bill run --month 2026-03 --dry-run
      isp --today 2026-04-03 bill run --month 2026-03
    """
    from contextlib import nullcontext
    from dataclasses import asdict

    from billing.runs.bill import bill
    from isp.database import job_lock

    with nullcontext() if dry_run else job_lock(app.engine, "bill run"), progress("bill") as tell:
        transaction = app.reading if dry_run else app.transaction
        result = bill(transaction, app.shift, month, dry_run=dry_run, progress=tell)
    if dry_run:
        note("dry run: nothing was written")
    app.show({**asdict(result), "month": month, "dry_run": dry_run})
