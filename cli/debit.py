"""`isp debit`: account transfer, the bank's file and its result."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, note, pass_app
from cli.parameters import EXISTING_FILE, MONTH, NEW_FILE
from isp.errors import Fault
from isp.month import Month

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from billing.runs.batches import Exported


@click.group()
def debit() -> None:
    """Account transfer: the bank's file and its result."""


def hand_out(app: App, file: Path, export: Callable[[Session], Exported]) -> Exported:
    """Write a file for bank or card company whole, mode 0600, and record its batch.

    It gets its name only when the batch is committed: a file that the database does not know
    could be drawn twice. After a crash in between, the next export gives the same bytes.
    """
    part = part_of(file)
    try:
        with app.transaction() as session:
            exported = export(session)
            mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(part, mode, 0o600), "wb") as out:
                out.writelines(exported.content)
                out.flush()
                os.fsync(out.fileno())
            session.flush()  # first: expunging drops what is not written yet, the journal's record too
            session.expunge_all()
        part.replace(file)
    except OSError as wrong:
        part.unlink(missing_ok=True)
        raise Fault(f"file: cannot write {file}: {wrong.strerror}") from None
    return exported


def part_of(file: Path) -> Path:
    """The name of a file until it is finished."""
    return file.with_name(f"{file.name}.part")


@debit.command("export")
@click.option("--month", required=True, type=MONTH, help="The month that was billed.")
@click.option("-o", "file", required=True, type=NEW_FILE, help="Zengin file to write.")
@pass_app
def export(app: App, month: Month, file: Path) -> None:
    """Write the bank's file for the 23rd; asked again, the very same file.

    \b
    Example:
      isp debit export --month 2026-03 -o transfer-2026-03.txt
    """
    from billing.runs.transfer import export_transfer

    done = hand_out(app, file, lambda session: export_transfer(session, app.shift, month))
    if done.again:
        note("this file was given out before: it is the same, nothing new is drawn")
    if done.batch.collect_on <= app.day.today:
        note(f"its day of transfer, {done.batch.collect_on}, is not ahead: ask the bank first")
    app.show(
        {
            "debit_on": done.batch.collect_on,
            "records": done.batch.records,
            "amount": done.batch.amount,
            "file": str(file),
            "again": done.again,
        }
    )


@debit.command("import")
@click.argument("file", type=EXISTING_FILE)
@pass_app
def bring_in(app: App, file: Path) -> None:
    """Read the bank's result: every item is settled or fails; read twice, it changes nothing.

    \b
    Example:
      isp debit import result-2026-03.txt
    """
    from dataclasses import asdict

    from billing import zengin
    from billing.runs.transfer import import_transfer

    with app.transaction() as session:
        done = import_transfer(session, app.shift, zengin.parse(read_file(file)))
        answer = {
            "debit_on": done.batch.collect_on,
            "paid": done.paid,
            "failed": [asdict(each) for each in done.failed],
            "already": done.already,
        }
    if done.already:
        note("this result was read before: nothing was changed")
    app.show(answer)


def read_file(file: Path) -> bytes:
    from isp.errors import Refused

    try:
        return file.read_bytes()
    except OSError as wrong:
        raise Refused("file", f"cannot read {file}: {wrong.strerror}") from None
