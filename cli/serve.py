"""`isp serve`: settings for mail programs and guides by HTTP, for a web server in front of it."""

from __future__ import annotations

import signal
import socket
from functools import partial

import click

from cli.app import App, note, pass_app
from isp.errors import Fault

BACKLOG = 2048
GRACE_SECONDS = 10
"""How long requests under way may take once the server is to stop."""


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on [127.0.0.1].")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 takes a free one [8080]."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes that answer [1].")
@pass_app
def serve(app: App, host: str, port: int, workers: int) -> None:
    """Answer mail programs and members by HTTP until SIGTERM or Ctrl-C.

    Thunderbird, Outlook and Apple Mail find their settings here, other mail servers the MTA-STS
    policy, members their guides. It belongs behind a web server that speaks HTTPS and passes the
    Host header on: `isp autoconfig render` writes the lines for one.

    \b
    Example:
      isp serve --port 8080 --workers 2
    """
    from uvicorn import Config, Server
    from uvicorn.supervisors import Multiprocess

    from portal.app import portal
    from portal.signing import signer

    signer(app.policy.web, app.root)  # a wrong certificate is told here, in one line
    url = app.open_engine().url.render_as_string(hide_password=False)
    config = Config(
        partial(portal, app.policy, app.root, url),
        factory=True,
        workers=workers,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_level="error",  # a warning for each question that is no HTTP would fill the disk
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    listening = _listening(host, port)
    note(f"listening on {host} port {listening.getsockname()[1]}")
    if workers > 1:
        Multiprocess(config, sockets=[listening]).run()
        return
    # After its graceful stop uvicorn raises the signal again; by then there is nothing left to do.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: None)
    Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections at once, even before the first process is there to answer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as wrong:
        told = str((isinstance(wrong, OSError) and wrong.strerror) or "no such name")
        why = told.partition(" (while")[0]  # Python repeats the address
        raise Fault(f"cannot listen on {host} port {port}: {why}") from None
