"""`isp guide`: setup guides for members' mail programs and their connection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli.app import App, pass_app
from cli.parameters import NEW_FILE

if TYPE_CHECKING:
    from provisioning.guides import Guide, Settings

Form = Literal["html", "text", "pdf", "json"]


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
    from provisioning.guides import clients

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
    "--as", "form", type=click.Choice(["html", "text", "pdf", "json"]), help="Form of the guide."
)
@click.option("-o", "file", type=NEW_FILE, help="Write it to a file.")
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
    """
    from provisioning import guides
    from provisioning.queries import guide_settings

    policy = app.policy
    with app.reading() as session:
        settings = guide_settings(session, app.shift, address, client)
    made = guides.guide_for(client, settings, policy.language, policy.desk, policy.operator)
    form = form or ("json" if app.format == "json" else _form_of(file))
    if form == "json" and file is None:
        app.show(guides.guide_json(made))
        return
    content = _rendered(app, made, form)
    if file is None:
        click.echo(content, nl=False)
    else:
        file.write_bytes(content)
        app.show({**guides.guide_json(made), "file": str(file)})


def _form_of(file: Path | None) -> Form:
    """By the file's name; without one, text for the terminal."""
    forms: dict[str, Form] = {".pdf": "pdf", ".html": "html", ".json": "json"}
    return forms.get(file.suffix.lower(), "text") if file else "text"


def _rendered(app: App, made: Guide[Settings], form: Form) -> bytes:
    import json

    from provisioning import guides

    language = app.policy.language
    if form == "pdf":
        return guides.guide_pdf(made, language)
    if form == "html":
        return guides.guide_html(made, language).encode()
    if form == "json":
        return json.dumps(guides.guide_json(made), ensure_ascii=False, indent=2).encode()
    return guides.guide_text(made, language).encode()
