"""`isp outbox`: notices to members, waiting and sent."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, pass_app
from cli.parameters import NEW_FILE
from isp.errors import Fault, Refused

NOTICE = click.IntRange(1, 2**31 - 1)


@click.group()
def outbox() -> None:
    """Notices to members: waiting, sent."""


@outbox.command("list")
@click.option("--waiting", is_flag=True, help="Only those not sent yet.")
@click.option("--customer", metavar="C", help="Of this member only.")
@click.option(
    "--last", type=click.IntRange(1, 100_000), default=1000, help="How many notices [1000]."
)
@pass_app
def listing(app: App, waiting: bool, customer: str | None, last: int) -> None:
    """List notices, oldest first.

    \b
    Example:
      isp outbox list --waiting
    """
    from sqlalchemy import select
    from sqlalchemy.orm import defer

    from isp.tables import Outbox

    wanted = select(Outbox).options(defer(Outbox.message)).order_by(Outbox.id.desc()).limit(last)
    if waiting:
        wanted = wanted.where(Outbox.sent_at.is_(None))
    if customer is not None:
        wanted = wanted.where(Outbox.subject == customer)
    with app.reading() as session:
        answer = [
            {
                "id": found.id,
                "kind": found.kind,
                "customer": found.subject,
                "recipient": found.recipient,
                "due_on": found.due_on,
                "sent_at": None if found.dropped else found.sent_at,
                "dropped": found.dropped,
            }
            for found in reversed(session.scalars(wanted).all())
        ]
    app.show(answer)


@outbox.command("show")
@click.argument("id", type=NOTICE, metavar="N")
@click.option("-o", "file", type=NEW_FILE, help="Write the message to a file (.eml).")
@pass_app
def show(app: App, id: int, file: Path | None) -> None:
    """Show a notice as the member reads it.

    \b
    Example:
      isp outbox show 12
    """
    from email import message_from_bytes
    from email.policy import default

    from isp.tables import Outbox

    with app.reading() as session:
        found = session.get(Outbox, id)
        if found is None:
            raise Refused("id", f"there is no notice {id}: see `isp outbox list`")
        message = message_from_bytes(found.message, policy=default)
        if file is not None:
            file.write_bytes(found.message)
        body = message.get_body(("plain",))
        answer = {
            "id": id,
            "kind": found.kind,
            "recipient": found.recipient,
            "sent_at": found.sent_at,
            "subject": str(message["Subject"]),
            "text": body.get_content().replace("\r\n", "\n") if body else "",
        }
    app.show(answer)


@outbox.command("send")
@pass_app
def deliver(app: App) -> None:
    """Send what is due to the server of the policy's [outbox]; the daily run does so too.

    \b
    Example:
      isp outbox send
    """
    from cli.daily import send_notices

    if not app.policy.outbox.host:
        raise Refused("outbox.host", "is empty in the policy: notices wait until it names a server")
    done, failed = send_notices(app)
    app.show({"sent": done, "failed": failed})
    if failed:
        raise Fault(f"outbox: {failed} could not be sent; see `isp check`")


@outbox.command("readdress")
@click.argument("id", type=NOTICE, metavar="N")
@pass_app
def readdress(app: App, id: int) -> None:
    """Send a waiting notice to the mail address that the member has now.

    \b
    Example:
      isp customer set C00000001 --email new@example.com && isp outbox readdress 12
    """
    from isp.runs.deliveries import readdress

    with app.transaction() as session:
        message = readdress(session, app.shift, id)
        answer = {"id": id, "kind": message.kind, "recipient": message.recipient}
    app.show(answer)


@outbox.command("drop")
@click.argument("id", type=NOTICE, metavar="N")
@click.option("--reason", required=True, help="Why, for the journal.")
@pass_app
def drop(app: App, id: int, reason: str) -> None:
    """Give a waiting notice up, for example when the member has been told by phone.

    \b
    Example:
      isp outbox drop 12 --reason "told by phone"
    """
    from isp.runs.deliveries import drop

    with app.transaction() as session:
        message = drop(session, app.shift, id, reason)
        answer = {"id": id, "kind": message.kind, "dropped": True}
    app.show(answer)
