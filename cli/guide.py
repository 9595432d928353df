"""`isp guide`: setup guides for members' mail programs and their connection."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cli.app import App, pass_app
from cli.parameters import NEW_FILE
from isp.errors import Refused

if TYPE_CHECKING:
    from provisioning.guides import ConfigurationFile, Guide
    from provisioning.settings import Settings

Form = Literal["html", "text", "pdf", "json", "config"]
PLACE = click.Path(path_type=Path, writable=True)


@click.group()
def guide() -> None:
    """Setup guides for mail programs and for the connection."""


@guide.command("list")
@pass_app
def listing(app: App) -> None:
    """List the mail programs, systems and routers that there is a guide for.

    \b
    Example:
      isp guide list
    """
    from provisioning.client_files import clients

    app.show(
        [
            {
                "client": client.key,
                "title": client.title.said(app.policy.language),
                "legacy": client.legacy,
                "kind": client.kind,
            }
            for client in clients()
        ]
    )


@guide.command("show")
@click.argument("address")
@click.option("--client", required=True, metavar="KEY", help="See `isp guide list`.")
@click.option(
    "--as",
    "form",
    type=click.Choice(["html", "text", "pdf", "json", "config"]),
    help="Form of the guide; config: the configuration file alone.",
)
@click.option("-o", "file", type=PLACE, help="Write it to a file; config: or into a folder.")
@pass_app
def show(app: App, address: str, client: str, form: Form | None, file: Path | None) -> None:
    """Show a guide with the member's own values; a password is never in it.

    ADDRESS is the mailbox for a mail program; for a connection it is the contract number or the
    connection ID.

    \b
    Examples:
      isp guide show taro@example.jp --client thunderbird
      isp guide show taro@example.jp --client outlook-2003 --as pdf -o guide.pdf
      isp guide show K00000001 --client router --as pdf -o connection.pdf
      isp guide show taro@example.jp --client msmtp --as config -o ~/.msmtprc
    """
    from provisioning import guides
    from provisioning.queries import guide_settings

    policy = app.policy
    with app.reading() as session:
        settings = guide_settings(session, app.shift, address, client)
    made = guides.guide_for(client, settings, policy.language, policy.desk, policy.operator)
    form = form or ("json" if app.format == "json" else _form_of(file))
    if form != "config" and file is not None and file.is_dir():
        raise Refused("o", f"{file} is a folder, name a file")
    if form == "config" and file is not None:
        app.show({**_told(app, made), "file": place(made, file)})
        return
    if form == "json" and file is None:
        app.show(guides.guide_json(made))
        return
    if form == "pdf" and file is None and sys.stdout.isatty():
        raise Refused("o", "a PDF is nothing for a terminal: name a file")
    content = _rendered(app, made, form)
    if file is None:
        click.echo(content, nl=False)
    else:
        file.write_bytes(content)
        app.show({**_told(app, made), "file": str(file)})


@guide.command("figure")
@click.argument("address")
@click.option("--client", required=True, metavar="KEY", help="See `isp guide list`.")
@click.option("--step", "number", type=int, required=True, help="Which step, from 1.")
@click.option("-o", "file", type=NEW_FILE, help="Write it to a file (SVG).")
@pass_app
def drawn(app: App, address: str, client: str, number: int, file: Path | None) -> None:
    """Draw one step of a guide as a picture (SVG), for a page or a chat with the member.

    \b
    Example:
      isp guide figure taro@example.jp --client thunderbird --step 3 -o step-3.svg
    """
    from provisioning import guides
    from provisioning.figures import figure
    from provisioning.queries import guide_settings

    policy = app.policy
    with app.reading() as session:
        settings = guide_settings(session, app.shift, address, client)
    made = guides.guide_for(client, settings, policy.language, policy.desk, policy.operator)
    if not 1 <= number <= len(made.steps):
        raise Refused("step", f"{made.client} has steps 1 to {len(made.steps)}, not {number}")
    step = made.steps[number - 1]
    svg = figure(step, made.title)
    if not svg:
        raise Refused("step", f"step {number} of {made.client} is all in its text: nothing to draw")
    if file is not None:
        file.write_text(svg, encoding="utf-8")
    if file is None and app.format != "json":
        click.echo(svg)
        return
    told = {"client": made.client, "address": made.address, "step": number, "path": list(step.path)}
    app.show({**told, "file": str(file)} if file else {**told, "figure": svg})


@guide.command("send")
@click.argument("address")
@click.option("--client", required=True, metavar="KEY", help="See `isp guide list`.")
@click.option("--to", metavar="MAIL", help="Another address [the member's registered one].")
@pass_app
def send(app: App, address: str, client: str, to: str | None) -> None:
    """Mail a guide to the member, as text and PDF, in the member's language.

    It goes out with the next notices (`isp outbox send`). Each sending stands in the journal.

    \b
    Examples:
      isp guide send taro@example.jp --client thunderbird
      isp guide send K00000001 --client router --to taro@example.com
    """
    from provisioning.runs.guides import send_guide

    with app.transaction() as session:
        answer = send_guide(session, app.shift, address, client, to)
    app.show(answer)


def _told(app: App, made: Guide[Settings]) -> dict[str, Any]:
    """What is told of a guide that went into a file: all of it to programs, its name to people."""
    from provisioning.guides import guide_json

    if app.format == "json":
        return guide_json(made)
    return {"client": made.client, "title": made.title, "address": made.address}


def _form_of(file: Path | None) -> Form:
    """By the file's name; without one, text for the terminal."""
    forms: dict[str, Form] = {".pdf": "pdf", ".html": "html", ".json": "json"}
    return forms.get(file.suffix.lower(), "text") if file else "text"


def _rendered(app: App, made: Guide[Settings], form: Form) -> bytes:
    import json

    from provisioning import guides

    language = app.policy.language
    if form == "config":
        return bare(_files_of(made)).encode()
    if form == "pdf":
        return guides.guide_pdf(made, language)
    if form == "html":
        return guides.guide_html(made, language).encode()
    if form == "json":
        return json.dumps(guides.guide_json(made), ensure_ascii=False, indent=2).encode()
    return guides.guide_text(made, language).encode()


def _files_of(made: Guide[Settings]) -> tuple[ConfigurationFile, ...]:
    if not made.files:
        from provisioning.client_files import clients

        having = ", ".join(client.key for client in clients() if client.files)
        raise Refused("as", f"{made.client} has no configuration file; these have: {having}")
    return made.files


def bare(files: tuple[ConfigurationFile, ...]) -> str:
    """One file as it is; several one after the other, each under its name."""
    if len(files) == 1:
        return files[0].content
    return "\n".join(f"# ==== {file.path} ====\n{file.content}" for file in files)


def place(made: Guide[Settings], place: Path) -> str:
    """Write the files so that only their owner can read them, as msmtp and fetchmail insist.

    Several, and one into a folder that is there, get their own names.
    """
    files = _files_of(made)
    inside = len(files) > 1 or place.is_dir()
    if inside:
        place.mkdir(mode=0o700, exist_ok=True)
    for file in files:
        path = place / Path(file.path).name if inside else place
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), int(file.mode, 8))
            out.write(file.content)
    return str(place)
