"""`isp letter`: letters to members as PDF."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.mailbox import write_private
from cli.parameters import NEW_FILE


@click.group()
def letter() -> None:
    """Letters to members as PDF."""


@letter.command("welcome")
@click.argument("contract", metavar="K")
@click.option("-o", "file", type=NEW_FILE, required=True, help="New PDF file (mode 0600).")
@pass_app
def welcome(app: App, contract: str, file: Path) -> None:
    """Make the joining letter: IDs and passwords, servers, the first guide.

    Nobody can read an existing password, so the letter carries NEW ones for the connection and
    for each mailbox of the contract; passwords given out before are dead at once.

    \b
    Example:
      isp letter welcome K00000001 -o welcome.pdf
    """
    from provisioning.letters import welcome_pdf
    from provisioning.runs.welcome import welcome

    with app.transaction() as session:
        content = welcome_pdf(welcome(session, app.shift, contract, app.language))
        write_private(file, content)
    note("the passwords in this letter are new; those given out before are dead")
    app.show({"file": str(file), "contract": contract})


@letter.command("contract")
@click.argument("number", metavar="K")
@click.option("-o", "file", type=NEW_FILE, required=True, help="PDF file.")
@pass_app
def contract_document(app: App, number: str, file: Path) -> None:
    """Make the contract document, with term, fees, right to withdraw and how to leave.

    \b
    Example:
      isp letter contract K00000001 -o contract.pdf
    """
    from isp.letters import contract_document_pdf
    from isp.queries import contract_named
    from isp.runs.papers import contract_document

    with app.reading() as session:
        found = contract_named(session, number)
        content = contract_document_pdf(contract_document(session, app.shift, found, app.language))
    file.write_bytes(content)
    app.show({"file": str(file), "contract": number})


@letter.command("renewal")
@click.argument("number", metavar="K")
@click.option("-o", "file", type=NEW_FILE, required=True, help="PDF file.")
@pass_app
def renewal_notice(app: App, number: str, file: Path) -> None:
    """Make the renewal notice: renewal month, fee outside it, the day to apply by.

    \b
    Example:
      isp letter renewal K00000001 -o renewal.pdf
    """
    from isp.letters import renewal_notice_pdf
    from isp.queries import contract_named
    from isp.runs.papers import renewal_notice

    with app.reading() as session:
        found = contract_named(session, number)
        content = renewal_notice_pdf(renewal_notice(session, app.shift, found, app.language))
    file.write_bytes(content)
    app.show({"file": str(file), "contract": number})
