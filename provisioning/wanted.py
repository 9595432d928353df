"""What mailboxes and connection accounts should be, given the contracts as they stand [状態の突合].

Asked every night about everything, so that a missed event heals by itself (ISP-01, ALL-02). What an
operator has suspended stays suspended; what is removed stays removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from isp.lifecycle import ContractStatus

Status = Literal["active", "suspended", "removed"]
SuspendedBy = Literal["", "operator", "contract"]
Act = Literal["suspend", "resume", "schedule", "remove"]
Direction = Literal["fetch", "send", "receive"]


@dataclass(frozen=True, slots=True)
class Directions:
    """What a mailbox may do: fetch (log in by IMAP and POP3), send (port 587), receive."""

    fetch: bool = True
    send: bool = True
    receive: bool = True


EVERYTHING: Final = Directions()
RECEIVE_ONLY: Final = Directions(fetch=False, send=False)
"""Of who does not pay, mail is not lost [受信は継続]."""
NOTHING: Final = Directions(fetch=False, send=False, receive=False)

SUSPENDED_REASON: Final = "contract suspended"
"""Why a mailbox is suspended that follows its contract; mail servers say it, so ASCII."""


@dataclass(frozen=True, slots=True)
class ContractState:
    """What of a contract decides about its mailboxes; `ended_on` is the last day of service."""

    status: ContractStatus
    ended_on: date | None = None


@dataclass(frozen=True, slots=True)
class MailboxState:
    """What of a mailbox is decided: `remove_on` is the first day on which it is to be gone.

    `may` is what is stored; what counts now is `directions`.
    """

    status: Status
    suspended_by: SuspendedBy = ""
    remove_on: date | None = None
    may: Directions = EVERYTHING


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do; `remove_on` comes with `schedule` only."""

    act: Act
    remove_on: date | None = None


def removal_day(ended_on: date, grace_days: int) -> date:
    """Mailboxes outlive their contract by the days of grace, so that mail can still be fetched."""
    return ended_on + timedelta(days=grace_days)


def at_opening(contract: ContractStatus) -> MailboxState:
    """A new mailbox or account of a suspended contract starts suspended, any other active."""
    if contract == "suspended":
        return MailboxState("suspended", "contract", may=RECEIVE_ONLY)
    return MailboxState("active")


def barred(may: Directions) -> tuple[Direction, ...]:
    """The directions that are not open."""
    every: tuple[tuple[Direction, bool], ...] = (
        ("fetch", may.fetch),
        ("send", may.send),
        ("receive", may.receive),
    )
    return tuple(direction for direction, is_open in every if not is_open)


def directions(contract: ContractStatus, mailbox: MailboxState) -> Directions:
    """What a mailbox may do at this moment, before the night has written it down.

    A suspended contract bars fetching and sending at once, and lets both again when it is resumed;
    what the operator has barred stays so.
    """
    if mailbox.status == "removed":
        return NOTHING
    may = mailbox.may
    if mailbox.suspended_by == "contract" and contract in ("applied", "active", "suspended"):
        may = EVERYTHING
    if contract == "suspended":
        may = Directions(fetch=False, send=False, receive=may.receive)
    return may


def for_mailbox(
    contract: ContractState, mailbox: MailboxState, today: date, grace_days: int
) -> Action | None:
    """The one thing to do about a mailbox tonight, or nothing.

    A day of removal that has been set is kept, whoever set it: the member has been told. An
    application to leave lifts no suspension; the desk may.
    """
    if mailbox.status == "removed":
        return None
    remove_on = mailbox.remove_on
    if remove_on is None and contract.ended_on is not None:
        remove_on = removal_day(contract.ended_on, grace_days)
    if remove_on is not None and remove_on <= today:
        return Action("remove")
    if remove_on != mailbox.remove_on:
        return Action("schedule", remove_on)
    if contract.status == "suspended" and mailbox.status == "active":
        return Action("suspend")
    if contract.status in ("applied", "active") and mailbox.suspended_by == "contract":
        return Action("resume")
    return None


def for_access(contract: ContractState, status: Status) -> Action | None:
    """The one thing to do about a connection account: it has no grace, the line ends on the day."""
    if status == "removed":
        return None
    if contract.ended_on is not None:
        return Action("remove")
    if contract.status == "suspended" and status == "active":
        return Action("suspend")
    if contract.status in ("applied", "active") and status == "suspended":
        return Action("resume")
    return None


def after(mailbox: MailboxState, action: Action) -> MailboxState:
    """The mailbox once the action is done."""
    if action.act == "suspend":
        return MailboxState("suspended", "contract", mailbox.remove_on, RECEIVE_ONLY)
    if action.act == "resume":
        return MailboxState("active", "", mailbox.remove_on)
    if action.act == "schedule":
        return MailboxState(mailbox.status, mailbox.suspended_by, action.remove_on, mailbox.may)
    return MailboxState("removed", "", mailbox.remove_on, NOTHING)
