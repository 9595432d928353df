"""`isp policyd`: Postfix asks here whether a mailbox may still send, and to how many."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, clock, note, pass_app
from cli.smtpd import directory_of, log_to_stderr, tally_of
from isp.errors import Refused


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on [127.0.0.1].")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=10587, help="Port; 0 takes a free one [10587]."
)
@click.option(
    "--socket", "path", type=click.Path(path_type=Path), help="Unix socket, instead of a port."
)
@click.pass_context
@pass_app
def policyd(app: App, context: click.Context, host: str, port: int, path: Path | None) -> None:
    """Answer Postfix's policy questions until SIGTERM or Ctrl-C.

    Mail of a suspended mailbox, of a session older than the last re-issue of its password, and
    beyond the recipients that the policy allows an hour and a day is refused. Postfix asks at RCPT and
    END-OF-MESSAGE, where platform.policy_service names the place (then `isp mail-platform render`
    anew); a socket is for its owner and the group of its folder.

    \b
    Example:
      isp policyd --port 10587
    """
    typed = click.core.ParameterSource.COMMANDLINE
    if path and typed in (context.get_parameter_source(each) for each in ("host", "port")):
        raise Refused("socket", "a socket has no host and no port: give one or the other")
    from provisioning.policyd import PolicyServer

    log_to_stderr()
    if not app.policy.platform.policy_service:
        note("platform.policy_service is empty: Postfix asks nobody, and no limit holds")
    server = PolicyServer(
        directory_of(app),
        tally_of(app, "policyd"),
        app.policy.language,
        clock,
        host=host,
        port=port,
        path=None if path is None else path.absolute(),
    )
    server.run(lambda: note(f"listening at {server.place}"))
