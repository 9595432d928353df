"""`isp access`: connection accounts of contracts."""

from __future__ import annotations

import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from cli.app import App, note, pass_app
from cli.parameters import FOLDER, NEW_FILE
from isp.errors import Refused

if TYPE_CHECKING:
    from provisioning.radius_log import Login


@click.group()
def access() -> None:
    """Connection accounts (PPPoE) of contracts."""


@access.command("open")
@click.argument("contract", metavar="K")
@pass_app
def start(app: App, contract: str) -> None:
    """Open the connection account of a contract; its password is printed this once.

    \b
    Example:
      isp access open K00000001
    """
    from provisioning.runs.access import access_json, open_access

    with app.transaction() as session:
        account, password = open_access(session, app.shift, contract)
        answer = {**access_json(account), "password": password}
    app.show(answer)


@access.command("reissue")
@click.argument("contract", metavar="K")
@click.option("-o", "file", type=NEW_FILE, help="Put the password into a letter (PDF) instead.")
@pass_app
def reissue(app: App, contract: str, file: Path | None) -> None:
    """Give a connection account a new password; the old one is dead at once.

    \b
    Example:
      isp access reissue K00000001 -o letter.pdf
    """
    from provisioning.runs.access import access_json, reissue_access

    with app.transaction() as session:
        account, password = reissue_access(session, app.shift, contract)
        answer = access_json(account)
        if file is None:
            answer["password"] = password
        else:
            from cli.mailbox import write_private
            from provisioning.runs.welcome import access_letter

            write_private(file, access_letter(session, app.shift, account, password))
            answer["file"] = str(file)
    app.show(answer)


@access.command("show")
@click.argument("contract", metavar="K")
@pass_app
def show(app: App, contract: str) -> None:
    """Show the connection account of a contract.

    \b
    Example:
      isp access show K00000001
    """
    from provisioning.queries import access_of
    from provisioning.runs.access import access_json

    with app.reading() as session:
        account = access_of(session, contract)
        if account is None:
            raise Refused("contract", f"{contract} has no connection account")
        answer = access_json(account)
    app.show(answer)


@access.command("why")
@click.argument("name", metavar="K|CONNECTION-ID")
@click.option("--last", type=click.IntRange(1, 1000), default=10, help="So many log-ins [10].")
@pass_app
def why(app: App, name: str, last: int) -> None:
    """Say whether a connection is let in, and show its last log-ins.

    Log-ins come from the log of FreeRADIUS, where platform.radius_log names it; those with the
    right first part and another realm are among them.

    \b
    Example:
      isp access why k00000001@ppp.example.jp
    """
    from provisioning.runs.access import access_state

    with app.reading() as session:
        answer = access_state(session, app.shift, name)
    log = app.policy.platform.radius_log
    if log:
        from provisioning.radius_log import logins

        found = logins(app.path(log), answer["connection_id"], last)
        answer["logins"] = [_login_json(each, app.policy.language) for each in found]
    else:
        note("platform.radius_log is empty: no log-ins are known here")
    app.show(answer)


def _login_json(login: Login, language: str) -> dict[str, object]:
    from provisioning.radius_log import SAID

    said = SAID[login.why]
    return {
        "at": login.at,
        "accepted": login.accepted,
        "name": login.name,
        "why": login.why,
        "explanation": said[0] if language == "ja" else said[1],
        "client": login.client,
        "station": login.station,
    }


@access.command("render")
@click.option(
    "-o",
    "folder",
    required=True,
    type=FOLDER,
    help="Folder for the files, from which the server reads them.",
)
@click.option("--nas", default="192.0.2.1", help="Address of the access server [an example].")
@click.option("--listen", default="*", help="Address on which it listens [all].")
@click.option("--port", type=click.IntRange(1, 65535), default=1812, help="Its port [1812].")
@click.option("--run-dir", default="/run/freeradius", help="Folder of its PID file.")
@click.option("--user", default="freerad", help="User and group that it runs as.")
@pass_app
def render(
    app: App,
    folder: Path,
    nas: str,
    listen: str,
    port: int,
    run_dir: str,
    user: str,
) -> None:
    """Write the whole configuration of FreeRADIUS for the connection accounts, and how to install it.

    With PostgreSQL it reads two views in a role of its own (role.sql); with SQLite it reads the
    feed, which is begun by this. Rendered again, clients.conf and the role's password stay.

    \b
    Example:
      isp access render -o /etc/isp-radius --nas 203.0.113.10
    """
    from cli.rendered import kept_password, read_by_servers, write_rendered
    from provisioning.radius import OWN, ROLE, Radius, Secrets, radius_files

    folder = folder.absolute()
    kept = folder / f"{ROLE}.password"
    password = kept_password(kept)
    log = app.policy.platform.radius_log
    radius = Radius(
        folder=PurePosixPath(folder),
        source=read_by_servers(app)
        or PurePosixPath(app.path(app.policy.platform.feed) / "radius.db"),
        log=PurePosixPath(app.path(log) if log else "/var/log/freeradius/radius.log"),
        nas=nas,
        listen=listen,
        port=port,
        run_dir=run_dir,
        user=user,
    )
    made = Secrets(nas=secrets.token_hex(16), role=password, salt=secrets.token_bytes(16))
    files = radius_files(radius, app.policy.operator, app.policy.desk, made)
    if isinstance(radius.source, PurePosixPath):
        from provisioning.feed import begin

        begin(app.engine, app.path(app.policy.platform.feed))
    else:
        files[kept.name] = f"{password}\n"
    written = write_rendered(folder, files, own=OWN, private={kept.name})
    note(f"{folder / 'README.txt'} says how to install it")
    app.show({"folder": str(folder), "files": written})
