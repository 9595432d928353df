"""The password with which a mailbox is proved [動作確認用パスワード]: made for minutes, taken back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.shift import Shift
from isp.tables import Journal
from provisioning.proof import Subject
from provisioning.queries import directions_of, forwards_of
from provisioning.runs.app_passwords import add_app_password, revoke_app_password
from provisioning.runs.mailboxes import existing
from provisioning.tables import Mailbox
from provisioning.wanted import Directions, barred

LIFE: Final = timedelta(minutes=15)
"""Longer than any proof; should it be killed, the password is dead by then."""


NAME: Final = "isp mailbox verify "
ADDED: Final = "mailbox.app-password-added"
REVOKED: Final = "mailbox.app-password-revoked"
LOOKED_AT: Final = 100
"""Acts of the journal among which proofs are looked for."""
LAST_STEP: Final = timedelta(seconds=30)
"""The last step comes after the password is taken back, and servers delay what they refuse."""
WHOLE_SECONDS: Final = timedelta(seconds=1)
"""Logs tell no parts of a second."""


def password_name(token: str) -> str:
    """What the password is called in the list; each proof has its own."""
    return f"{NAME}{token}"


def begin(session: Session, shift: Shift, address: str, token: str, now: datetime) -> Subject:
    """The mailbox as it stands, and a password for it that the servers know once this is committed.

    `now` is by the clock, whatever the business date: servers know no other. It comes beside the
    app passwords that a mailbox may have.
    """
    mailbox = existing(session, address)
    at_once = replace(shift, day=replace(shift.day, now=now))
    _, password = add_app_password(
        session, at_once, address, password_name(token), LIFE, counts=False
    )
    may = directions_of(mailbox)
    forwarded = forwards_of(session, mailbox)
    return Subject(
        address=mailbox.address,
        password=password,
        state=_state(mailbox, may),
        may=may,
        arrives=mailbox.keeps_copy or not forwarded,
        forwarded=tuple(forwarded),
    )


def end(session: Session, shift: Shift, address: str, token: str, now: datetime) -> None:
    """Take the password back, unless somebody has been quicker (a re-issue ends all of them)."""
    at_once = replace(shift, day=replace(shift.day, now=now))
    with suppress(Refused):
        revoke_app_password(session, at_once, address, password_name(token))


def proved_between(session: Session, address: str) -> list[tuple[datetime, datetime]]:
    """When the latest proofs of a mailbox ran: what the log has of it then is not the member's."""
    acts = session.execute(
        select(Journal.act, Journal.at, Journal.before, Journal.after)
        .where(Journal.subject == address, Journal.act.in_((ADDED, REVOKED)))
        .order_by(Journal.id.desc())
        .limit(LOOKED_AT)
    ).all()
    ended = {(row.before or {}).get("name"): row.at for row in acts if row.act == REVOKED}
    begun = {(row.after or {}).get("name"): row.at for row in acts if row.act == ADDED}
    return [
        (at - WHOLE_SECONDS, ended[name] + LAST_STEP if name in ended else at + LIFE)
        for name, at in begun.items()
        if name and name.startswith(NAME)
    ]


def _state(mailbox: Mailbox, may: Directions) -> str:
    closed = barred(may)
    if not closed:
        return "active: fetch, send and receive are open"
    told = f"suspended: {', '.join(closed)} barred"
    if mailbox.contract.status == "suspended":
        return f"{told}, with contract {mailbox.contract.number}"
    return f"{told} ({mailbox.reason})" if mailbox.reason else told
