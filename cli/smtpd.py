"""`isp smtpd`: the embedded submission server, bound to the mailboxes of the database."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, business_day, clock, note, pass_app

if TYPE_CHECKING:
    from provisioning.directory import DatabaseDirectory
    from provisioning.smtpd import SubmissionServer
    from provisioning.tally import Tally


def certificate_of(app: App) -> tuple[Path, Path]:
    """Certificate and key of the policy; without one, a self-signed pair made once and kept."""
    from provisioning.certificate import named_pair, self_signed

    mail = app.policy.mail
    servers = (mail.submission, mail.submissions, mail.imap, mail.pop3)
    return named_pair(app.policy.smtpd, "smtpd", app.root) or self_signed(
        app.root, *dict.fromkeys(each.host for each in servers)
    )


def log_to_stderr() -> None:
    """What a server does, a line each, with the time in front."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def directory_of(app: App) -> DatabaseDirectory:
    """The mailboxes, asked by the clock of this machine."""
    from provisioning.directory import DatabaseDirectory

    return DatabaseDirectory(app.engine, app.policy.mail.removal_grace_days, clock)


def tally_of(app: App, server: str) -> Tally:
    """The recipients that a server has counted, in a file of its own beside the configuration."""
    from provisioning.sending import SendingLimits
    from provisioning.tally import Tally

    policy = app.policy.platform
    limits = SendingLimits(policy.recipients_per_hour, policy.recipients_per_day)
    tally = Tally(limits, app.root / f"{server}.sent", clock())
    click.get_current_context().call_on_close(tally.close)
    return tally


def replace_hash(app: App, address: str, old: str, new: str) -> None:
    """Write a new hash for the old one, as an act of the server."""
    from provisioning.runs import rehash

    shift = replace(app.shift, day=business_day(None, None), actor="smtpd")
    with app.transaction() as session:
        rehash.replace_hash(session, shift, address, old, new)


def submission_server(app: App, *, host: str | None, port: int | None) -> SubmissionServer:
    """The server of the policy, on another host or port where given; port 0 takes a free one."""
    import msgspec

    from provisioning.certificate import tls_context
    from provisioning.smtpd import Renewal, SubmissionServer

    policy = app.policy.smtpd
    policy = msgspec.structs.replace(
        policy,
        maildir=str(app.path(policy.maildir)),
        host=host or policy.host,
        port=policy.port if port is None else port,
    )
    return SubmissionServer(
        directory_of(app),
        policy,
        tls_context(*certificate_of(app)),
        app.policy.mail.submission.host,
        app.policy.language,
        clock,
        sent=tally_of(app, "smtpd"),
        renewal=Renewal(app.policy.mail.password.scheme, partial(replace_hash, app)),
    )


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [587].")
@click.option("--host", help="Address to listen on [policy].")
@pass_app
def smtpd(app: App, port: int | None, host: str | None) -> None:
    """Run the embedded submission server until SIGTERM or Ctrl-C.

    Members log in after STARTTLS with their mailbox and send in their own name; mail for own
    domains goes to Maildirs, other mail to the smarthost of the policy, or is refused. A mailbox
    writes to so many recipients an hour and a day as the policy says.

    \b
    Example:
      isp smtpd --port 2587
    """
    log_to_stderr()
    server = submission_server(app, host=host, port=port)
    server.run(lambda: note(f"listening on {server.policy.host} port {server.port}"))
