"""The mailboxes as a mail server sees them [メールボックス照会]: read from the database, never kept.

A new password, a suspension or the end of a contract counts from the next question on, before the
nightly run has written it down.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from sqlalchemy import select
from sqlalchemy.engine import Engine

from isp.database import reading
from isp.tables import Contract
from provisioning.smtpd import Account
from provisioning.tables import Domain, Mailbox
from provisioning.wanted import SUSPENDED_REASON, ContractState, MailboxState, after, for_mailbox


class DatabaseDirectory:
    """Answers the submission server (`provisioning.smtpd.Directory`), from any thread.

    Every question is a transaction of its own that only reads: a job that writes neither waits
    for it nor makes it wait. `today` gives the date of the day on which it is asked.
    """

    def __init__(self, engine: Engine, grace_days: int, today: Callable[[], date]) -> None:
        self._engine = reading(engine)
        self._grace_days = grace_days
        self._today = today

    def account(self, login: str) -> Account | None:
        """The mailbox of this address; one that is suspended may not send.

        Removed ones, and those whose contract is over for longer than the grace, are unknown.
        """
        address = login.lower()
        with self._engine.connect() as connection:
            row = connection.execute(
                select(
                    Mailbox.password_hash,
                    Mailbox.reason,
                    Mailbox.status,
                    Mailbox.suspended_by,
                    Mailbox.remove_on,
                    Contract.status.label("contract_status"),
                    Contract.ended_on,
                )
                .join_from(Mailbox, Contract, Mailbox.contract_id == Contract.id)
                .where(Mailbox.address == address)
            ).one_or_none()
        if row is None:
            return None
        state = MailboxState(row.status, row.suspended_by, row.remove_on)
        contract = ContractState(row.contract_status, row.ended_on)
        action = for_mailbox(contract, state, self._today(), self._grace_days)
        if action is not None:
            state = after(state, action)
        if state.status == "removed":
            return None
        if state.status == "active":
            return Account(address, row.password_hash, may_send=True)
        reason = SUSPENDED_REASON if state.suspended_by == "contract" else row.reason
        return Account(address, row.password_hash, may_send=False, reason=reason or None)

    def delivers_locally(self, address: str) -> bool | None:
        """A suspended mailbox receives on; at an own domain nothing else does but mailboxes."""
        if self.account(address) is not None:
            return True
        domain = address.lower().rpartition("@")[2]
        with self._engine.connect() as connection:
            own = connection.scalar(select(Domain.name).where(Domain.name == domain))
        return False if own else None

    def may_send_as(self, login: str, sender: str) -> bool:
        """A mailbox sends under its own address and no other."""
        return sender.lower() == login.lower()
