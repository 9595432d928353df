"""`isp mail-platform`: Postfix and Dovecot beside the office."""

from __future__ import annotations

import secrets
from datetime import date
from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.parameters import DAY, FOLDER
from isp.errors import Fault


@click.group("mail-platform")
def mail_platform() -> None:
    """Postfix and Dovecot, which read the office's database."""


@mail_platform.command("render")
@click.option(
    "-o",
    "folder",
    required=True,
    type=FOLDER,
    help="Folder for the files; those that are there are written anew, with their passwords kept.",
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another place, user or address than on Debian 12, such as mx_port=2525.",
)
@pass_app
def render(app: App, folder: Path, values: tuple[str, ...]) -> None:
    """Write the configuration of Postfix and Dovecot, and how to install it (README.md).

    With PostgreSQL the servers get a role of their own (database.sql), which sees the views made for
    them and nothing else; with SQLite they get the feed, which is begun by this.

    \b
    Example:
      isp mail-platform render -o platform
    """
    from cli.rendered import kept_password, read_by_servers, write_rendered
    from cli.smtpd import certificate_of
    from provisioning.feed import begin
    from provisioning.platform import ROLE, Feed, Layout, Platform, rendered

    certificate, key = certificate_of(app)
    source = read_by_servers(app) or Feed(str(app.path(app.policy.platform.feed) / "mail.db"))
    kept = folder / f"{ROLE}.password"
    password = "" if isinstance(source, Feed) else kept_password(kept)
    files = rendered(
        Platform(
            policy=app.policy,
            layout=Layout().with_values(values),
            source=source,
            mail_root=str(app.path(app.policy.smtpd.maildir)),
            certificate=str(certificate),
            key=str(key),
            password=password,
            salt=secrets.token_bytes(16),
            dkim=str(app.path(app.policy.platform.dkim)) if app.policy.platform.dkim else "",
        )
    )
    texts = {file.path: file.text for file in files}
    private = {file.path for file in files if file.private} | {kept.name}
    if isinstance(source, Feed):
        begin(app.engine, Path(source.path).parent)
    else:
        texts[kept.name] = f"{password}\n"
    written = write_rendered(folder, texts, private=private)
    note(f"{folder / 'README.md'} says how to install them")
    app.show({"folder": str(folder), "files": written})


@mail_platform.command("reconcile")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@pass_app
def reconcile(app: App, dry_run: bool) -> None:
    """Bring feed, sessions, Maildirs and signing keys in line; `isp daily` does it, too.

    Missing Maildirs are made, those of removed mailboxes go to the archive, old archives are
    forgotten. A Maildir that no mailbox has is told and left as it is. OpenDKIM gets the keys that
    sign today (platform.dkim) and is told to read them.

    \b
    Example:
      isp mail-platform reconcile --dry-run
    """
    from cli.reconciling import bring_in_line

    outcome = bring_in_line(app, dry_run=dry_run)
    app.show(
        {
            "date": app.day.today,
            "dry_run": dry_run,
            "actions": outcome.actions,
            "problems": outcome.problems,
        }
    )
    if outcome.failed:
        raise Fault(f"mail-platform: {outcome.failed} could not be done; see the problems")


@mail_platform.command("archives")
@click.argument("address", required=False)
@pass_app
def archives(app: App, address: str | None) -> None:
    """List the archives of removed mailboxes, or of one.

    \b
    Example:
      isp mail-platform archives taro@example.jp
    """
    from provisioning.addresses import mail_address
    from provisioning.runs.maildirs import archives_kept

    wanted = None if address is None else mail_address(address, role_names=True)
    app.show(
        [
            {
                "address": str(kept.archive.address),
                "archived_on": kept.archive.archived_on,
                "forgotten_on": kept.archive.kept_until(app.policy.platform.archive_days),
                "bytes": kept.bytes,
                "archive": kept.archive.name,
            }
            for kept in archives_kept(app.shift, wanted.domain if wanted else None)
            if wanted in (None, kept.archive.address)
        ]
    )


@mail_platform.command("restore")
@click.argument("address")
@click.option(
    "--into", metavar="ADDRESS", help="Another mailbox of the member, where ADDRESS is removed."
)
@click.option("--on", "archived_on", type=DAY, help="The day it was archived on [the latest].")
@pass_app
def restore(app: App, address: str, into: str | None, archived_on: date | None) -> None:
    """Bring mail back from the archive, as a folder of its own beside what is in the mailbox.

    A removed address never comes back: its mail goes into another mailbox of the same member. Mail
    programs show the folder when they log in the next time.

    \b
    Example:
      isp mail-platform restore taro@example.jp --into jiro@example.jp
    """
    from isp.database import job_lock
    from provisioning.runs.maildirs import restore

    with job_lock(app.engine, "mail-platform"):
        done = restore(app.transaction, app.shift, address, into, archived_on)
    if done.bytes > done.quota_mb * 2**20:
        note(
            f"{done.into} holds more than its {done.quota_mb} MB now: no mail gets in until it is less"
        )
    app.show(
        {
            "address": str(done.archive.address),
            "archive": done.archive.name,
            "into": str(done.into),
            "folder": done.folder,
            "messages": done.messages,
            "bytes": done.bytes,
        }
    )
