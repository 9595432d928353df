"""The mailboxes as a mail server sees them [メールボックス照会]: read from the database, never kept.

A new password, a suspension or the end of a contract counts from the next question on, before the
nightly run has written it down.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, exists, func, or_, select
from sqlalchemy.engine import Connection, Engine

from isp.database import reading
from isp.tables import Contract, Journal
from provisioning.runs.mailboxes import REISSUED
from provisioning.smtpd import Account, Route
from provisioning.tables import Alias, AppPassword, CatchAll, Domain, Forward, Mailbox
from provisioning.wanted import (
    SUSPENDED_REASON,
    ContractState,
    Directions,
    MailboxState,
    after,
    directions,
    for_mailbox,
)

CREDENTIALS_CHANGED: Final = (REISSUED, "mailbox.app-password-revoked")
"""Acts after which who has logged in before has to log in again."""

FURTHEST: Final = 50
"""So many addresses are looked up for one recipient; forwards that lead further lead nowhere."""


class DatabaseDirectory:
    """Answers the submission server (`provisioning.smtpd.Directory`), from any thread.

    Every question is a transaction of its own that only reads: a job that writes neither waits
    for it nor makes it wait. `clock` gives the instant at which it is asked, in Japan time.
    """

    def __init__(self, engine: Engine, grace_days: int, clock: Callable[[], datetime]) -> None:
        self._engine = reading(engine)
        self._grace_days = grace_days
        self._clock = clock

    def account(self, login: str) -> Account | None:
        """The mailbox of this address, with the app passwords that have not expired.

        Removed ones, and those whose contract is over for longer than the grace, are unknown.
        """
        now = self._clock()
        with self._engine.connect() as connection:
            row = connection.execute(_mailbox(Mailbox.address == login.lower())).one_or_none()
            may = None if row is None else self._may(row, now.date())
            if row is None or may is None:
                return None
            alive = or_(AppPassword.expires_at.is_(None), AppPassword.expires_at > now)
            digests = connection.scalars(
                select(AppPassword.digest).where(AppPassword.mailbox_id == row.id, alive)
            ).all()
        return Account(
            row.address,
            row.password_hash,
            may_send=may.send,
            reason=None if may.send else _why(row),
            app_digests=tuple(digests),
        )

    def route(self, address: str) -> Route | None:
        """Where mail to an own address ends up: mailboxes, and forwards to foreign domains.

        An alias leads to its mailbox, a forward also or instead to where it says, an address that
        is nobody's to the catch-all of its domain. None: the domain is a foreign one.
        """
        today = self._clock().date()
        found = Route()
        with self._engine.connect() as connection:
            if not _own(connection, address):
                return None
            ahead, seen = [address.lower()], set[str]()
            while ahead and len(seen) < FURTHEST:
                at = ahead.pop()
                if at in seen:
                    continue
                seen.add(at)
                if not _own(connection, at):
                    found = Route(found.local, (*found.foreign, at), found.closed)
                    continue
                row = _receiver(connection, at)
                may = None if row is None else self._may(row, today)
                if row is None or may is None:
                    continue
                if not may.receive:
                    found = Route(found.local, found.foreign, closed=True)
                    continue
                further = _forwards(connection, row.id)
                if (row.keeps_copy or not further) and row.address not in found.local:
                    found = Route((*found.local, row.address), found.foreign, found.closed)
                ahead += further
        return Route(
            found.local, found.foreign, found.closed and not (found.local or found.foreign)
        )

    def may_send_as(self, login: str, sender: str) -> bool:
        """A mailbox sends under its own address and its aliases."""
        if sender.lower() == login.lower():
            return True
        with self._engine.connect() as connection:
            owner = connection.scalar(
                select(Mailbox.address)
                .join(Alias, Alias.mailbox_id == Mailbox.id)
                .where(Alias.address == sender.lower(), Alias.status == "active")
            )
        return owner == login.lower()

    def mark(self) -> int:
        """The last act in the journal: a place in time that no clock moves."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.max(Journal.id))) or 0

    def credentials_changed_since(self, mark: int, login: str) -> bool:
        """Whether a password of the mailbox was re-issued or taken back after the mark."""
        with self._engine.connect() as connection:
            found = connection.scalar(
                select(Journal.id)
                .where(
                    Journal.subject == login.lower(),
                    Journal.act.in_(CREDENTIALS_CHANGED),
                    Journal.id > mark,
                )
                .limit(1)
            )
        return found is not None

    def _may(self, row: Row[Any], today: date) -> Directions | None:
        """What a mailbox may do on this day; None: it is gone, written down or not."""
        state = MailboxState(
            row.status,
            row.suspended_by,
            row.remove_on,
            Directions(row.may_fetch, row.may_send, row.may_receive),
        )
        contract = ContractState(row.contract_status, row.ended_on)
        action = for_mailbox(contract, state, today, self._grace_days)
        if action is not None:
            state = after(state, action)
        if state.status == "removed":
            return None
        return directions(contract.status, state)


def _mailbox(which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """A mailbox with what of its contract decides about it."""
    return (
        select(
            Mailbox.id,
            Mailbox.address,
            Mailbox.password_hash,
            Mailbox.reason,
            Mailbox.status,
            Mailbox.suspended_by,
            Mailbox.remove_on,
            Mailbox.may_fetch,
            Mailbox.may_send,
            Mailbox.may_receive,
            Mailbox.keeps_copy,
            Contract.status.label("contract_status"),
            Contract.ended_on,
        )
        .join_from(Mailbox, Contract, Mailbox.contract_id == Contract.id)
        .where(which)
    )


def _receiver(connection: Connection, address: str) -> Row[Any] | None:
    """The mailbox that an own address leads to: by its name, by an alias, as catch-all.

    What was somebody's and has been removed leads nowhere, not to the catch-all either.
    """
    alias = select(Alias.mailbox_id).where(Alias.address == address, Alias.status == "active")
    domain = address.rpartition("@")[2]
    removed = exists().where(Alias.address == address, Alias.status == "removed")
    catch_all = select(CatchAll.mailbox_id).where(CatchAll.domain == domain, ~removed)
    for which in (
        Mailbox.address == address,
        Mailbox.id == alias.scalar_subquery(),
        Mailbox.id == catch_all.scalar_subquery(),
    ):
        row = connection.execute(_mailbox(which)).one_or_none()
        if row is not None:
            return None if row.status == "removed" else row
    return None


def _forwards(connection: Connection, mailbox: int) -> list[str]:
    return list(
        connection.scalars(
            select(Forward.destination)
            .where(Forward.mailbox_id == mailbox)
            .order_by(Forward.destination)
        )
    )


def _own(connection: Connection, address: str) -> bool:
    domain = address.lower().rpartition("@")[2]
    return connection.scalar(select(Domain.name).where(Domain.name == domain)) is not None


def _why(row: Row[Any]) -> str | None:
    """The operator's own words, or that it is the contract's doing."""
    if row.contract_status == "suspended" or row.suspended_by == "contract":
        return SUSPENDED_REASON
    return row.reason or None
