"""`isp web-space`: members' web pages."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, note, pass_app
from cli.parameters import FOLDER, NEW_FILE
from isp.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from isp.shift import Shift
    from provisioning.tables import WebSpace

MB = 1024 * 1024


@click.group("web-space")
def web_space() -> None:
    """Web pages of members: one space per contract."""


def _acted(app: App, act: Callable[[Session, Shift], tuple[WebSpace, str]]) -> dict[str, Any]:
    """Do it in the database, then in the folders: what a crash leaves undone, the night makes good."""
    from provisioning.runs.web_space import keep_folder, web_space_json

    with app.transaction() as session:
        space, password = act(session, app.shift)
        answer = web_space_json(space, app.shift)
    with app.reading() as session:
        keep_folder(session, app.shift, answer["name"])
    return {**answer, "password": password} if password else answer


@web_space.command("open")
@click.argument("contract", metavar="K")
@click.option("--name", required=True, help="Name in the address: a-z, 0-9 and hyphens.")
@click.option("--quota-mb", type=int, help="Size in MB [policy].")
@pass_app
def start(app: App, contract: str, name: str, quota_mb: int | None) -> None:
    """Open the web space of a contract; its password is printed this once.

    The member uploads by WebDAV to the address, under the name and this password.

    \b
    Example:
      isp web-space open K00000001 --name taro
    """
    from provisioning.runs.web_space import open_space

    app.show(
        _acted(app, lambda session, shift: open_space(session, shift, contract, name, quota_mb))
    )


@web_space.command("reissue")
@click.argument("name", metavar="K|NAME")
@click.option("-o", "file", type=NEW_FILE, help="Put the password into a letter (PDF) instead.")
@pass_app
def reissue(app: App, name: str, file: Path | None) -> None:
    """Give a web space a new password; the old one is dead at once.

    \b
    Example:
      isp web-space reissue taro -o letter.pdf
    """
    from provisioning.runs.web_space import reissue_space

    def act(session: Session, shift: Shift) -> tuple[WebSpace, str]:
        space, password = reissue_space(session, shift, name)
        if file is None:
            return space, password
        from cli.mailbox import write_private
        from provisioning.runs.welcome import space_letter

        write_private(file, space_letter(session, shift, space, password))
        return space, ""

    answer = _acted(app, act)
    app.show({**answer, "file": str(file)} if file is not None else answer)


@web_space.command("close")
@click.argument("name", metavar="K|NAME")
@pass_app
def close(app: App, name: str) -> None:
    """Take a web space from the net, and remove it after the days of grace of the policy.

    \b
    Example:
      isp web-space close taro
    """
    from provisioning.runs.web_space import close_space

    app.show(_acted(app, lambda session, shift: (close_space(session, shift, name), "")))


@web_space.command("resume")
@click.argument("name", metavar="K|NAME")
@pass_app
def resume(app: App, name: str) -> None:
    """Call off a removal whose day has not come.

    \b
    Example:
      isp web-space resume taro
    """
    from provisioning.runs.web_space import resume_space

    app.show(_acted(app, lambda session, shift: (resume_space(session, shift, name), "")))


@web_space.command("show")
@click.argument("name", metavar="K|NAME")
@pass_app
def show(app: App, name: str) -> None:
    """Show the web space of a contract, and how full it is.

    \b
    Example:
      isp web-space show K00000001
    """
    from provisioning.runs.web_space import space_named

    with app.reading() as session:
        [answer] = _measured(app, [space_named(session, name)])
    app.show(answer)


@web_space.command("list")
@click.option(
    "--status", type=click.Choice(["active", "suspended", "removed"]), help="In this state only."
)
@click.option("--over-quota", is_flag=True, help="Those that take more than their quota only.")
@pass_app
def listing(app: App, status: str | None, over_quota: bool) -> None:
    """List web spaces, and how full they are.

    \b
    Example:
      isp web-space list --over-quota
    """
    from provisioning.runs.web_space import spaces

    with app.reading() as session:
        found = _measured(app, spaces(session, status))
    app.show([each for each in found if each["over_quota"] or not over_quota])


def _measured(app: App, rows: list[WebSpace]) -> list[dict[str, Any]]:
    from provisioning.runs.web_space import used, web_space_json

    sizes = used(app.shift, rows)
    return [
        {
            **web_space_json(row, app.shift),
            "used_mb": -(-sizes.get(row.name, 0) // MB),
            "over_quota": sizes.get(row.name, 0) > row.quota_mb * MB,
        }
        for row in rows
    ]


@web_space.command("render")
@click.option(
    "-o",
    "folder",
    required=True,
    type=FOLDER,
    help="Folder for the files, from which the server reads them.",
)
@click.option("--listen", default="*", help="Address on which it listens [all].")
@click.option("--port", type=click.IntRange(1, 65535), default=443, help="Port of HTTPS [443].")
@click.option("--http-port", type=click.IntRange(1, 65535), default=80, help="Port of HTTP [80].")
@pass_app
def render(app: App, folder: Path, listen: str, port: int, http_port: int) -> None:
    """Write the configuration of nginx for web spaces, its pages, quotas, and how to install it.

    \b
    Example:
      isp web-space render -o /etc/isp-web
    """
    from cli.rendered import write_rendered
    from provisioning.runs.web_space import all_spaces
    from provisioning.web_space import WebServer, web_server_files

    policy, folder = app.policy.web_space, folder.absolute()
    certificate, key = _certificate(app)
    server = WebServer(
        host=policy.host,
        root=PurePosixPath(app.path(policy.root)),
        folder=PurePosixPath(folder),
        certificate=PurePosixPath(certificate),
        key=PurePosixPath(key),
        group=policy.group,
        quota_mb=policy.quota_mb,
        listen=listen,
        port=port,
        http_port=http_port,
    )
    with app.reading() as session:
        files = web_server_files(server, all_spaces(session), app.policy.operator, app.policy.desk)
    written = write_rendered(folder, files, mode=0o644)
    note(f"{folder / 'README.txt'} says how to install it")
    app.show({"folder": str(folder), "files": written})


def _certificate(app: App) -> tuple[Path, Path]:
    """Certificate and key of the policy; without one, a self-signed pair made once and kept."""
    from provisioning.certificate import named_pair, self_signed

    policy = app.policy.web_space
    if not policy.host:
        raise Refused("web_space.host", "is empty: name the host under which spaces are served")
    return named_pair(policy, "web_space", app.root) or self_signed(
        app.root, f"*.{policy.host}", name="web-space"
    )
