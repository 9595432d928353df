"""App passwords of mailboxes [アプリパスワード]: one for each device, taken back one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.identity import name as visible
from isp.journal import record
from isp.shift import Shift
from provisioning.passwords import digest_of, generate_app_password
from provisioning.runs.mailboxes import existing
from provisioning.tables import AppPassword, Mailbox


def app_password_json(one: AppPassword, now: datetime) -> dict[str, Any]:
    """The app password as the command line shows it; never itself nor its digest."""
    return {
        "address": one.mailbox.address,
        "name": one.name,
        "created_at": one.created_at,
        "expires_at": one.expires_at,
        "expired": one.expires_at is not None and one.expires_at <= now,
    }


def add_app_password(
    session: Session,
    shift: Shift,
    address: str,
    name: str,
    life: timedelta | None = None,
    *,
    counts: bool = True,
) -> tuple[AppPassword, str]:
    """A further password for a mailbox, returned this once; after `life` it opens nothing.

    Each has a name of its own in its mailbox, "phone" say. A suspended mailbox may get one: it
    opens nothing until the mailbox is resumed. The office's own, which does not count, comes beside
    those that the policy lets a mailbox have.
    """
    mailbox = existing(session, address)
    name = visible(name, "name")
    if life is not None and life <= timedelta():
        raise Refused("days", "a password that has expired already opens nothing")
    now = shift.day.now
    alive = session.scalars(
        select(func.count(AppPassword.id)).where(
            AppPassword.mailbox_id == mailbox.id,
            or_(AppPassword.expires_at.is_(None), AppPassword.expires_at > now),
        )
    ).one()
    most = shift.policy.platform.app_passwords
    if counts and alive >= most:
        raise Refused(
            "address",
            f"{mailbox.address} has {alive} app passwords of at most {most}; "
            "take one back with `isp app-password revoke`",
        )
    if session.scalar(_named(mailbox, name)):
        raise Refused(
            "name", f"{mailbox.address} has an app password {name!r}; revoke it, or choose another"
        )
    password = _new_password(session, mailbox)
    added = AppPassword(
        mailbox_id=mailbox.id,
        mailbox=mailbox,
        name=name,
        digest=digest_of(password),
        created_at=now,
        expires_at=None if life is None else now + life,
    )
    session.add(added)
    session.flush()
    record(
        session,
        shift,
        "mailbox.app-password-added",
        mailbox.address,
        after={"name": name, "expires_at": added.expires_at},
    )
    return added, password


def _new_password(session: Session, mailbox: Mailbox) -> str:
    """One whose digest begins unlike the others': Dovecot finds it by the first 16 bits."""
    taken = {
        digest[:4]
        for digest in session.scalars(
            select(AppPassword.digest).where(AppPassword.mailbox_id == mailbox.id)
        )
    }
    while True:
        password = generate_app_password()
        if digest_of(password)[:4] not in taken:
            return password


def app_passwords(session: Session, address: str) -> list[AppPassword]:
    """Those of a mailbox, the oldest first, expired ones too."""
    mailbox = existing(session, address)
    return list(
        session.scalars(
            select(AppPassword).where(AppPassword.mailbox_id == mailbox.id).order_by(AppPassword.id)
        )
    )


def revoke_app_password(session: Session, shift: Shift, address: str, name: str) -> Mailbox:
    """Take one back: it is dead at once, the others go on."""
    mailbox = existing(session, address)
    found = session.scalar(_named(mailbox, name))
    if found is None:
        raise Refused(
            "name",
            f"{mailbox.address} has no app password {name!r}: "
            f"see `isp app-password list {mailbox.address}`",
        )
    session.delete(found)
    record(session, shift, "mailbox.app-password-revoked", mailbox.address, before={"name": name})
    return mailbox


def _named(mailbox: Mailbox, name: str) -> Select[AppPassword]:
    return select(AppPassword).where(
        AppPassword.mailbox_id == mailbox.id, func.lower(AppPassword.name) == name.strip().lower()
    )
