"""`isp smtpd`: the embedded submission server, bound to the mailboxes of the database."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.app import App, clock, note, pass_app
from isp.errors import Refused

if TYPE_CHECKING:
    from provisioning.smtpd import SubmissionServer


def certificate_of(app: App) -> tuple[Path, Path]:
    """Certificate and key of the policy; without one, a self-signed pair made once and kept."""
    from provisioning.certificate import self_signed

    policy = app.policy.smtpd
    if bool(policy.certificate) != bool(policy.certificate_key):
        raise Refused("smtpd.certificate", "name certificate and certificate_key, or neither")
    if policy.certificate:
        return app.path(policy.certificate), app.path(policy.certificate_key)
    return self_signed(app.root, app.policy.mail.submission.host)


def submission_server(app: App, *, host: str | None, port: int | None) -> SubmissionServer:
    """The server of the policy, on another host or port where given; port 0 takes a free one."""
    import msgspec

    from provisioning.certificate import tls_context
    from provisioning.directory import DatabaseDirectory
    from provisioning.smtpd import SubmissionServer

    policy = app.policy.smtpd
    policy = msgspec.structs.replace(
        policy,
        maildir=str(app.path(policy.maildir)),
        host=host or policy.host,
        port=policy.port if port is None else port,
    )
    return SubmissionServer(
        DatabaseDirectory(app.engine, app.policy.mail.removal_grace_days, lambda: clock().date()),
        policy,
        tls_context(*certificate_of(app)),
        app.policy.mail.submission.host,
        app.policy.language,
        clock,
    )


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [587].")
@click.option("--host", help="Address to listen on [policy].")
@pass_app
def smtpd(app: App, port: int | None, host: str | None) -> None:
    """Run the embedded submission server until SIGTERM or Ctrl-C.

    Members log in after STARTTLS with their mailbox and send in their own name; mail for own
    domains goes to Maildirs, other mail to the smarthost of the policy, or is refused.

    \b
    Example:
      isp smtpd --port 2587
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server = submission_server(app, host=host, port=port)
    server.run(lambda: note(f"listening on {server.policy.host} port {server.port}"))
