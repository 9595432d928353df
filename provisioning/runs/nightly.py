"""Mailboxes, connections and web spaces follow their contracts [夜間の突合], asked every night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from isp.journal import kept
from isp.shift import Shift
from isp.tables import Contract, Journal
from provisioning.runs.web_space import reconcile_spaces
from provisioning.tables import DEAD, AccessAccount, AppPassword, Mailbox
from provisioning.wanted import (
    SUSPENDED_REASON,
    Act,
    Action,
    ContractState,
    Directions,
    MailboxState,
    after,
    for_access,
    for_mailbox,
)

DONE: Final[Mapping[Act, str]] = {
    "suspend": "suspended",
    "resume": "resumed",
    "schedule": "removal-scheduled",
    "remove": "removed",
}
BARRING: Final = frozenset({"mailbox.suspended", "mailbox.removed"})
AT_ONCE: Final = 10_000
"""Rows read at a time, so that a hundred thousand mailboxes are never in memory together."""


@dataclass(frozen=True)
class Night:
    """How many of each act were done, and the mailboxes from which nobody may fetch any more."""

    acts: Counter[str]
    barred: tuple[str, ...] = ()


def reconcile(session: Session, shift: Shift) -> Night:
    """Do what the contracts want done; how many of each act, e.g. `mailbox.suspended`.

    Done twice, the second time finds nothing to do (ALL-02); what one night missed the next makes
    good.
    """
    night = _reconcile_mailboxes(session, shift)
    others = _reconcile_access(session, shift) + reconcile_spaces(session, shift)
    return Night(night.acts + others, night.barred)


def _reconcile_mailboxes(session: Session, shift: Shift) -> Night:
    found = session.execute(
        select(
            Mailbox.id,
            Mailbox.address,
            Mailbox.reason,
            Mailbox.status,
            Mailbox.suspended_by,
            Mailbox.remove_on,
            Mailbox.may_fetch,
            Mailbox.may_send,
            Mailbox.may_receive,
            Contract.status.label("contract_status"),
            Contract.ended_on,
        )
        .join(Mailbox.contract)
        .where(Mailbox.status != "removed")
        .order_by(Mailbox.id)
        .execution_options(yield_per=AT_ONCE)
    )
    changes, journal = [], []
    grace = shift.policy.mail.removal_grace_days
    for row in found:
        may = Directions(row.may_fetch, row.may_send, row.may_receive)
        now = MailboxState(row.status, row.suspended_by, row.remove_on, may)
        contract = ContractState(row.contract_status, row.ended_on)
        action = for_mailbox(contract, now, shift.day.today, grace)
        if action is not None:
            before = {**_columns(now), "reason": row.reason}
            columns = {**_columns(after(now, action)), "reason": _reason(row.reason, action)}
            secret = {"password_hash": DEAD} if action.act == "remove" else {}
            changes.append({"id": row.id, **columns, **secret})
            journal.append(_entry(shift, "mailbox", row.address, action, before, columns))
    if changes:
        session.execute(update(Mailbox), changes)
        session.execute(insert(Journal), journal)
        gone = [each["id"] for each in changes if each["status"] == "removed"]
        session.execute(delete(AppPassword).where(AppPassword.mailbox_id.in_(gone)))
    barred = [entry["subject"] for entry in journal if entry["act"] in BARRING]
    return Night(Counter(entry["act"] for entry in journal), tuple(barred))


def _columns(state: MailboxState) -> dict[str, Any]:
    return {
        "status": state.status,
        "suspended_by": state.suspended_by,
        "remove_on": state.remove_on,
        "may_fetch": state.may.fetch,
        "may_send": state.may.send,
        "may_receive": state.may.receive,
    }


def _reason(now: str, action: Action) -> str:
    if action.act == "schedule":
        return now
    return SUSPENDED_REASON if action.act == "suspend" else ""


def _reconcile_access(session: Session, shift: Shift) -> Counter[str]:
    found = session.execute(
        select(
            AccessAccount.contract_id,
            AccessAccount.status,
            Contract.number,
            Contract.status.label("contract_status"),
            Contract.ended_on,
        )
        .join(AccessAccount.contract)
        .where(AccessAccount.status != "removed")
        .order_by(AccessAccount.contract_id)
        .execution_options(yield_per=AT_ONCE)
    )
    changes, journal = [], []
    for row in found:
        contract = ContractState(row.contract_status, row.ended_on)
        action = for_access(contract, row.status)
        if action is not None:
            status = after(MailboxState(row.status), action).status
            secret = {"password_hash": DEAD} if action.act == "remove" else {}
            changes.append({"contract_id": row.contract_id, "status": status, **secret})
            before, columns = {"status": row.status}, {"status": status}
            journal.append(_entry(shift, "access", row.number, action, before, columns))
    if changes:
        session.execute(update(AccessAccount), changes)
        session.execute(insert(Journal), journal)
    return Counter(entry["act"] for entry in journal)


def _entry(
    shift: Shift,
    what: str,
    subject: str,
    action: Action,
    before: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "at": shift.day.now,
        "business_date": shift.day.today,
        "actor": shift.actor,
        "act": f"{what}.{DONE[action.act]}",
        "subject": subject,
        "before": kept(before),
        "after": kept(columns),
    }
