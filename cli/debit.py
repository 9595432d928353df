"""`isp debit`: account transfer, the bank's file and its result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cli.app import App, note, pass_app
from cli.parameters import EXISTING_FILE, MONTH, NEW_FILE
from isp.errors import Fault
from isp.month import Month


@click.group()
def debit() -> None:
    """Account transfer: the bank's file and its result."""


def write_file(file: Path, blocks: Iterable[bytes]) -> None:
    """Write a file whole or not at all, mode 0600: bank files carry account numbers."""
    part = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.writelines(blocks)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as wrong:
        part.unlink(missing_ok=True)
        raise Fault(f"file: cannot write {file}: {wrong.strerror}") from None


def write_transfer_file(app: App, month: Month, file: Path) -> dict[str, Any]:
    """The bank's file for the transfer of a billed month, and what stands in it.

    The file is written before the transaction is committed: a crash between leaves a file that the
    next export writes again, byte for byte.
    """
    from billing.runs.transfer import export_transfer

    with app.transaction() as session:
        exported = export_transfer(session, app.shift, month)
        write_file(file, exported.content)
        return {
            "debit_on": exported.batch.collect_on,
            "records": exported.batch.records,
            "amount": exported.batch.amount,
            "file": str(file),
            "again": exported.again,
        }


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
    answer = write_transfer_file(app, month, file)
    if answer["again"]:
        note("this file was given out before: it is the same, nothing new is drawn")
    app.show(answer)


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
