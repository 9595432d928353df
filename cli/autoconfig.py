"""`isp autoconfig`: settings that mail programs fetch, as files for any web server, or to look at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import click

from cli.app import App, note, pass_app
from cli.parameters import FOLDER, NEW_FILE
from isp.errors import Refused

Program = Literal["thunderbird", "outlook", "apple"]


@click.group()
def autoconfig() -> None:
    """Settings that mail programs fetch by themselves."""


@autoconfig.command("show")
@click.argument("address")
@click.option(
    "--as",
    "program",
    type=click.Choice(["thunderbird", "outlook", "apple"]),
    required=True,
    help="The mail program that asks.",
)
@click.option("-o", "file", type=NEW_FILE, help="Write it to a file.")
@pass_app
def show(app: App, address: str, program: Program, file: Path | None) -> None:
    """Show what `isp serve` answers for an address, whether or not there is such a mailbox.

    \b
    Examples:
      isp autoconfig show taro@example.jp --as thunderbird
      isp autoconfig show taro@example.jp --as apple -o mail.mobileconfig
    """
    answer = _answer(app, address, program)
    if file is not None:
        file.write_bytes(answer)
        app.show({"address": address, "program": program, "file": str(file)})
    elif app.format == "table":
        click.echo(answer, nl=False)
    else:
        # What is signed is no text, and is seen as the Latin-1 that keeps each byte.
        text = answer.decode("latin-1" if answer[:1] == b"0" else "utf-8")
        app.show({"address": address, "program": program, "content": text})


def _answer(app: App, written: str, program: Program) -> bytes:
    from portal.signing import signer
    from provisioning import autoconfig as rules

    policy = app.policy
    address = rules.address_at(written, _served(app), "address")
    if program == "thunderbird":
        return rules.thunderbird(address.domain, policy)
    if program == "outlook":
        return rules.outlook(address, policy.mail)
    profile = rules.apple(address, policy, policy.language)
    who = signer(policy.web, app.root)
    return profile if who is None else rules.signed(profile, who)


def _served(app: App) -> list[str]:
    from provisioning.queries import domains

    with app.reading() as session:
        return [each.name for each in domains(session)]


@autoconfig.command("render")
@click.option(
    "-o",
    "folder",
    type=FOLDER,
    required=True,
    help="Folder to write to.",
)
@click.option("--domain", help="This domain only [all that are served].")
@pass_app
def render(app: App, folder: Path, domain: str | None) -> None:
    """Write the settings as files, a folder for each domain, and the lines for nginx and Apache.

    What can be a file needs no `isp serve`; the lines pass on to it what cannot: Outlook, Apple
    Mail and the guides, which carry the member's own address.

    \b
    Example:
      isp autoconfig render -o /var/lib/isp/autoconfig
    """
    from isp.documents import environment
    from provisioning.addresses import mail_domain
    from provisioning.autoconfig import static_files

    served = _served(app)
    named = served if domain is None else [mail_domain(domain)]
    if domain is not None and named[0] not in served:
        raise Refused("domain", f"{named[0]} is not served: see `isp domain list`")
    if not served:
        note("no domain is served yet: run `isp domain add DOMAIN`")
    root = folder.resolve()
    if not re.fullmatch(r"[\w./+@ -]+", str(root)):
        raise Refused("o", "the folder's name must not hold quotes, dollar signs and the like")
    content: dict[str, bytes] = {}
    for each in named:
        for path, answer in static_files(each, app.policy).items():
            content[f"{each}/{path}"] = answer
    for server in ("nginx", "apache"):
        template = environment().get_template(f"autoconfig/{server}.conf.j2")
        lines = template.render(domains=named, root=root, web=app.policy.dns.web)
        content[f"{server}.conf"] = lines.encode()
    for path, answer in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(answer)
    app.show({"folder": str(root), "domains": named, "files": sorted(content)})
