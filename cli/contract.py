"""`isp contract`: concluded, opened, cancelled, withdrawn, moved."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.customer import doubt_address
from cli.parameters import DAY, EXISTING_FILE
from isp.errors import Refused
from isp.lifecycle import STATUSES


@click.group()
def contract() -> None:
    """Contracts: conclude, open, cancel, withdraw, move."""


@contract.command("apply")
@click.argument("customer", metavar="C")
@click.argument("plan")
@click.option("--applied-on", type=DAY, help="Day of the application [by the conclusion].")
@click.option(
    "--concluded-on", type=DAY, required=True, help="Day of conclusion; terms count from it."
)
@click.option("--document-received-on", type=DAY, help="When the document arrived [that day].")
@pass_app
def conclude(
    app: App,
    customer: str,
    plan: str,
    applied_on: date | None,
    concluded_on: date,
    document_received_on: date | None,
) -> None:
    """Conclude a contract; its document goes out to the member.

    \b
    Example:
      isp contract apply C00000001 HIKARI --concluded-on 2026-04-10
    """
    from isp.queries import contract_json
    from isp.runs.contracts import Application, apply

    application = Application(
        customer,
        plan,
        concluded_on,
        applied_on=applied_on,
        document_received_on=document_received_on,
    )
    with app.transaction() as session:
        answer = contract_json(apply(session, app.shift, application), app.day.today)
    app.show(answer)


@contract.command("open")
@click.argument("number", metavar="K")
@click.option("--on", "opened_on", type=DAY, required=True, help="Day the line works.")
@pass_app
def start(app: App, number: str, opened_on: date) -> None:
    """Open the service; fees run from that month on, for whole months.

    \b
    Example:
      isp contract open K00000001 --on 2026-04-20
    """
    from isp.queries import contract_json
    from isp.runs.contracts import open_contract

    with app.transaction() as session:
        opened = open_contract(session, app.shift, number, opened_on)
        answer = contract_json(opened, app.day.today)
    app.show(answer)


@contract.command("show")
@click.argument("number", metavar="K")
@pass_app
def show(app: App, number: str) -> None:
    """Show a contract with the term that runs on the business date.

    \b
    Example:
      isp --today 2028-04-01 contract show K00000001
    """
    from isp.queries import contract_json, contract_named

    with app.reading() as session:
        answer = contract_json(contract_named(session, number), app.day.today)
    app.show(answer)


@contract.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="In this state only.")
@click.option("--customer", metavar="C", help="Of this member only.")
@pass_app
def listing(app: App, status: str | None, customer: str | None) -> None:
    """List contracts.

    \b
    Example:
      isp contract list --status cancelling
    """
    from isp.queries import contracts_json

    with app.reading() as session:
        answer = contracts_json(session, app.day.today, status=status, customer=customer)
    app.show(answer)


@contract.command("cancel")
@click.argument("number", metavar="K")
@click.option("--received", type=DAY, required=True, help="Day the complete application arrived.")
@click.option("--incomplete", is_flag=True, help="Record it; it does not count until completed.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, change nothing.")
@pass_app
def cancel(app: App, number: str, received: date, incomplete: bool, dry_run: bool) -> None:
    """Receive an application to leave, or ask what it would cost and which day is cheapest.

    Complete by the 15th, charges end with that month, later with the next. An application
    recorded as incomplete is completed by the same command without --incomplete.

    \b
    Example:
      isp contract cancel K00000001 --received 2027-01-10 --dry-run
    """
    from isp.lifecycle import move
    from isp.queries import contract_named
    from isp.runs.contracts import cancel, quote_for, quote_json

    if dry_run:
        with app.reading() as session:
            found = contract_named(session, number)
            move(number, found.status, "cancelling")
            quote = quote_for(app.shift, found, received)
            answer = quote_json(found, quote, complete=not incomplete)
    else:
        with app.transaction() as session:
            found, quote = cancel(session, app.shift, number, received, complete=not incomplete)
            answer = quote_json(found, quote, complete=not incomplete)
    if incomplete:
        note("the application is incomplete and does not count until it is completed (ISP-09)")
    app.show(answer)


@contract.command("withdraw")
@click.argument("number", metavar="K")
@click.option(
    "--received", type=DAY, required=True, help="Day it arrived; of a letter, the day it was sent."
)
@pass_app
def withdraw(app: App, number: str, received: date) -> None:
    """Withdraw within 8 days of receiving the contract document, a consumer's right.

    \b
    Example:
      isp contract withdraw K00000001 --received 2026-04-17
    """
    from isp.queries import contract_json
    from isp.runs.contracts import withdraw

    with app.transaction() as session:
        found, charges = withdraw(session, app.shift, number, received)
        answer = {**contract_json(found, app.day.today), "charges": charges}
    app.show(answer)


@contract.command("document-received")
@click.argument("number", metavar="K")
@click.option("--on", "received_on", type=DAY, required=True, help="Day it reached the member.")
@pass_app
def document(app: App, number: str, received_on: date) -> None:
    """Note when the contract document reached the member; the right to withdraw counts from it.

    \b
    Example:
      isp contract document-received K00000001 --on 2026-04-14
    """
    from isp.queries import contract_json
    from isp.runs.contracts import document_received

    with app.transaction() as session:
        found = document_received(session, app.shift, number, received_on)
        answer = contract_json(found, app.day.today)
    app.show(answer)


@contract.command("suspend")
@click.argument("number", metavar="K")
@pass_app
def suspend(app: App, number: str) -> None:
    """Suspend an open contract: its connection, and fetching and sending of mail, stop at once.

    Mail is received on. The daily run writes it into each mailbox.

    \b
    Example:
      isp contract suspend K00000001
    """
    from cli.sessions import end_sessions
    from isp.queries import contract_json
    from isp.runs.contracts import suspend
    from provisioning.queries import mailboxes

    with app.transaction() as session:
        answer = contract_json(suspend(session, app.shift, number), app.day.today)
        addresses = [each.address for each in mailboxes(session, contract=number)]
    app.show(answer)
    end_sessions(app, addresses)


@contract.command("resume")
@click.argument("number", metavar="K")
@pass_app
def resume(app: App, number: str) -> None:
    """Resume a suspended contract.

    \b
    Example:
      isp contract resume K00000001
    """
    from isp.queries import contract_json
    from isp.runs.contracts import resume

    with app.transaction() as session:
        answer = contract_json(resume(session, app.shift, number), app.day.today)
    app.show(answer)


@contract.command("move")
@click.argument("number", metavar="K")
@click.option("--postal-code", required=True, help="Of the new building.")
@click.option("--address", required=True, help="New address.")
@click.option(
    "--line/--no-line",
    "line_available",
    default=None,
    help="Whether the new building has the line.",
)
@pass_app
def move_away(
    app: App, number: str, postal_code: str, address: str, line_available: bool | None
) -> None:
    """Move a contract to a new address; without a line there, tell the member what leaving costs.

    \b
    Example:
      isp contract move K00000001 --postal-code 530-0001 --address 大阪府大阪市北区梅田1-1 --line
    """
    from isp.runs.moves import move_house

    if line_available is None:
        raise Refused("line", "is missing: give --line or --no-line")
    with app.transaction() as session:
        answer = move_house(
            session,
            app.shift,
            number,
            postal_code=postal_code,
            address=address,
            line_available=line_available,
        )
    doubt_address(answer["postal_code"], answer["address"])
    app.show(answer)


@contract.command("import")
@click.argument("file", type=EXISTING_FILE)
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@pass_app
def bring_in(app: App, file: Path, dry_run: bool) -> None:
    """Take over contracts from a CSV file: all rows, or none; no notices go out.

    Columns: customer, plan, concluded_on, [number], [applied_on], [opened_on],
    [document_received_on].

    \b
    Example:
      isp contract import contracts.csv --dry-run
    """
    from isp.runs.imports import import_contracts

    with app.transaction() as session:
        imported = import_contracts(session, app.shift, file)
        if dry_run:
            session.rollback()
    if dry_run:
        note("dry run: every row is good, nothing was changed")
    app.show({"imported": imported, "dry_run": dry_run})
