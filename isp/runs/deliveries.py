"""Sending what waits in the outbox [通知の送信], each message once (ALL-02)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.policy import SMTP

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from isp import identity
from isp.errors import Fault, Refused
from isp.journal import record
from isp.policy import Outbox as OutboxPolicy
from isp.queries import customer_named
from isp.shift import Shift
from isp.tables import Outbox, Parked


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that the server would not take, with its answer."""

    id: int
    recipient: str
    reason: str


def waiting(session: Session, today: date, limit: int | None = None) -> list[int]:
    """Messages that are due and not sent, oldest first."""
    return list(
        session.scalars(
            select(Outbox.id)
            .where(Outbox.sent_at.is_(None), Outbox.due_on <= today)
            .order_by(Outbox.id)
            .limit(limit)
        )
    )


@contextmanager
def connected(policy: OutboxPolicy) -> Iterator[smtplib.SMTP]:
    """The server that takes the notices; a Fault where it cannot be reached."""
    try:
        with smtplib.SMTP(policy.host, policy.port, timeout=30) as server:
            if policy.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            yield server
    except OSError as wrong:  # what smtplib and ssl raise is one too
        raise Fault(f"outbox: {policy.host}:{policy.port} does not take mail: {wrong}") from None


def send(
    session: Session, server: smtplib.SMTP, sender: str, id: int, now: datetime
) -> Undelivered | None:
    """Send one message and mark it sent in the same transaction.

    The Message-ID is its own, so that a message sent just before a crash and sent again is known
    as the same by the reader's mail server.
    """
    # Locked, so that of two senders the second waits, and sees that it is sent.
    message = session.get_one(Outbox, id, with_for_update=True)
    if message.sent_at is not None:
        return None
    answer: tuple[int, bytes | str]
    try:
        server.sendmail(sender, [message.recipient], message.message)
    except smtplib.SMTPRecipientsRefused as refused:
        [answer] = refused.recipients.values()
    except smtplib.SMTPDataError as refused:
        answer = (refused.smtp_code, refused.smtp_error)
    else:
        message.sent_at = now
        return None
    server.rset()
    said = answer[1] if isinstance(answer[1], str) else answer[1].decode("utf-8", "replace")
    return Undelivered(id, message.recipient, f"{answer[0]} {' '.join(said.split())}"[:200])


def readdress(session: Session, shift: Shift, id: int) -> Outbox:
    """Send a waiting message to the address that the member has now, not the one it was made for."""
    message = unsent(session, id)
    customer = customer_named(session, message.subject)
    before = message.recipient
    parsed = message_from_bytes(message.message, policy=SMTP)
    [to] = parsed["To"].addresses
    parsed.replace_header("To", Address(to.display_name, addr_spec=customer.email))
    message.message = parsed.as_bytes()
    message.recipient = customer.email
    record(
        session,
        shift,
        "outbox.readdressed",
        message.subject,
        before={"id": id, "recipient": before},
        after={"id": id, "recipient": customer.email},
    )
    return message


def drop(session: Session, shift: Shift, id: int, reason: str) -> Outbox:
    """Give a waiting message up, for example when the desk has told the member by phone."""
    message = unsent(session, id)
    record(
        session,
        shift,
        "outbox.dropped",
        message.subject,
        before={"id": id, "kind": message.kind, "recipient": message.recipient},
        after={"reason": identity.name(reason, "reason")},
    )
    session.execute(delete(Parked).where(Parked.job == "outbox", Parked.subject == str(id)))
    message.sent_at = shift.day.now
    message.dropped = True
    return message


def unsent(session: Session, id: int) -> Outbox:
    """A message that has not gone out yet; refused where there is none."""
    message = session.get(Outbox, id, with_for_update=True)
    if message is None:
        raise Refused("id", f"there is no notice {id}: see `isp outbox list`")
    if message.sent_at is not None:
        raise Refused("id", f"notice {id} is settled since {message.sent_at:%Y-%m-%d}")
    return message
