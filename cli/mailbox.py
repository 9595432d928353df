"""`isp mailbox`: mailboxes of contracts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from cli import mailbox_proof
from cli.app import App, note, pass_app
from cli.parameters import EXISTING_FILE, NEW_FILE
from cli.sessions import end_sessions
from isp.errors import Refused


@click.group()
def mailbox() -> None:
    """Mailboxes of contracts."""


@mailbox.command("add")
@click.argument("address")
@click.option("--contract", required=True, metavar="K", help="Contract that it belongs to.")
@click.option("--display-name", help="Name on outgoing mail [the member's].")
@click.option("--quota-mb", type=int, help="Size in MB [policy].")
@pass_app
def add(
    app: App, address: str, contract: str, display_name: str | None, quota_mb: int | None
) -> None:
    """Open a mailbox; its password is printed this once and kept as a hash only.

    \b
    Example:
      isp mailbox add taro@example.jp --contract K00000001
    """
    from provisioning.runs.mailboxes import add_mailbox, mailbox_json

    with app.transaction() as session:
        added, password = add_mailbox(session, app.shift, address, contract, display_name, quota_mb)
        answer = {**mailbox_json(added), "password": password}
    app.show(answer)


@mailbox.command("reissue")
@click.argument("address")
@click.option("-o", "file", type=NEW_FILE, help="Put the password into a letter (PDF) instead.")
@pass_app
def reissue(app: App, address: str, file: Path | None) -> None:
    """Give a mailbox a new password; the old one is dead at once.

    With -o the password stands in the letter and is not printed.

    \b
    Example:
      isp mailbox reissue taro@example.jp -o letter.pdf
    """
    from provisioning.runs.mailboxes import mailbox_json, reissue

    with app.transaction() as session:
        found, password = reissue(session, app.shift, address)
        answer = mailbox_json(found)
        if file is None:
            answer["password"] = password
        else:
            from provisioning.runs.welcome import mailbox_letter

            write_private(file, mailbox_letter(session, app.shift, found, password))
            answer["file"] = str(file)
    app.show(answer)
    end_sessions(app, [str(answer["address"])])


def write_private(file: Path, content: bytes) -> None:
    """Write what holds a password: mode 0600, never over another file."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
    except FileExistsError:
        raise Refused("o", f"{file} exists already; name a new file") from None
    except OSError as wrong:
        raise Refused("o", f"cannot write {file}: {wrong.strerror}") from None


@mailbox.command("suspend")
@click.argument("address")
@click.option("--reason", default="", help="Told to the member where the protocol shows it.")
@click.option(
    "--direction",
    "directions",
    type=click.Choice(["fetch", "send", "receive"]),
    multiple=True,
    default=("fetch", "send"),
    help="What to stop, given once or more [fetch and send].",
)
@pass_app
def suspend(
    app: App,
    address: str,
    reason: str,
    directions: tuple[Literal["fetch", "send", "receive"], ...],
) -> None:
    """Stop fetching and sending; mail goes on coming in, unless `receive` is named, too.

    \b
    Examples:
      isp mailbox suspend taro@example.jp --reason "unpaid invoice"
      isp mailbox suspend taro@example.jp --direction send --reason "your computer sends spam"
    """
    from provisioning.runs.mailboxes import mailbox_json, suspend

    with app.transaction() as session:
        answer = mailbox_json(suspend(session, app.shift, address, reason, directions))
    app.show(answer)
    if "fetch" in directions:
        end_sessions(app, [str(answer["address"])])


@mailbox.command("resume")
@click.argument("address")
@pass_app
def resume(app: App, address: str) -> None:
    """Undo a suspension.

    \b
    Example:
      isp mailbox resume taro@example.jp
    """
    from provisioning.runs.mailboxes import mailbox_json, resume

    with app.transaction() as session:
        answer = mailbox_json(resume(session, app.shift, address))
    app.show(answer)


@mailbox.command("remove")
@click.argument("address")
@click.option("--now", "at_once", is_flag=True, help="Without the days of grace.")
@pass_app
def remove(app: App, address: str, at_once: bool) -> None:
    """Remove a mailbox after the days of grace of the policy; the address is never given again.

    \b
    Example:
      isp mailbox remove taro@example.jp
    """
    from provisioning.runs.mailboxes import mailbox_json, remove

    with app.transaction() as session:
        answer = mailbox_json(remove(session, app.shift, address, at_once=at_once))
    app.show(answer)
    end_sessions(app, [str(answer["address"])])


@mailbox.command("forward")
@click.argument("address")
@click.option("--to", "to", multiple=True, metavar="MAIL", help="Where to, once or more.")
@click.option("--copy/--no-copy", default=True, help="Whether a copy stays in the mailbox [yes].")
@click.option("--off", is_flag=True, help="Forward no more.")
@pass_app
def forward(app: App, address: str, to: tuple[str, ...], copy: bool, off: bool) -> None:
    """Send a mailbox's mail to other addresses as well, or instead; without options, show them.

    \b
    Examples:
      isp mailbox forward taro@example.jp --to taro@example.com
      isp mailbox forward taro@example.jp --off
    """
    from provisioning.runs.mailboxes import existing, forward, forwarding_json

    if off and (to or not copy):
        raise Refused("off", "either --off, or where to")
    if not off and not to:
        if not copy:
            raise Refused("to", "without a copy the mail needs somewhere to go: name an address")
        with app.reading() as session:
            found = existing(session, address)
            app.show({"address": found.address, **forwarding_json(session, found)})
        return
    with app.transaction() as session:
        found = forward(session, app.shift, address, to, keeps_copy=copy)
        answer = {"address": found.address, **forwarding_json(session, found)}
    app.show(answer)


@mailbox.command("list")
@click.option("--contract", metavar="K", help="Of this contract only.")
@click.option("--domain", help="Of this domain only.")
@click.option(
    "--status", type=click.Choice(["active", "suspended", "removed"]), help="In this state only."
)
@pass_app
def listing(app: App, contract: str | None, domain: str | None, status: str | None) -> None:
    """List mailboxes.

    \b
    Example:
      isp mailbox list --contract K00000001
    """
    from provisioning.queries import mailboxes
    from provisioning.runs.mailboxes import mailbox_json

    with app.reading() as session:
        found = mailboxes(session, contract=contract, domain=domain, status=status)
        answer = [mailbox_json(each) for each in found]
    app.show(answer)


@mailbox.command("import")
@click.argument("file", type=EXISTING_FILE)
@click.option("-o", "passwords", type=NEW_FILE, help="New file for generated passwords (CSV).")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@pass_app
def bring_in(app: App, file: Path, passwords: Path | None, dry_run: bool) -> None:
    """Take over mailboxes from a CSV file: all rows, or none.

    Columns: address, contract, [display_name], [quota_mb], [password_hash] (`{SCHEME}hash` as
    Dovecot knows it). Rows without a hash get a new password, written to the file of -o.

    \b
    Example:
      isp mailbox import mailboxes.csv -o passwords.csv
    """
    from provisioning.runs.imports import import_mailboxes, issue_passwords, read_mailboxes

    with app.reading() as session:
        rows = read_mailboxes(session, app.shift, file)
    bare = sum(not row.password_hash for row in rows)
    if bare and passwords is None and not dry_run:
        raise Refused("o", f"{bare} rows have no password_hash: name a file for their passwords")
    if dry_run:
        note("dry run: every row is good, nothing was changed")
        app.show({"imported": len(rows), "passwords": bare, "dry_run": True})
        return
    issued = issue_passwords(app.shift, rows)
    with app.transaction() as session:
        done = import_mailboxes(session, app.shift, file, issued)
        if passwords is not None and done.passwords:
            write_private(passwords, _password_file(done.passwords))
    answer: dict[str, object] = {
        "imported": done.rows,
        "passwords": len(done.passwords),
        "dry_run": False,
    }
    if passwords is not None and done.passwords:
        answer["file"] = str(passwords)
    app.show(answer)


def _password_file(passwords: dict[str, str]) -> bytes:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["address", "password"])
    writer.writerows(passwords.items())
    return text.getvalue().encode()


mailbox.add_command(mailbox_proof.verify)
mailbox.add_command(mailbox_proof.why)
