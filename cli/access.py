"""`isp access`: connection accounts of contracts."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, pass_app
from cli.parameters import NEW_FILE
from isp.errors import Refused


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
