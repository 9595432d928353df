"""Mail domains and mailboxes [メールボックス]: opened, re-issued, suspended, resumed, removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.identity import name as visible
from isp.journal import record
from isp.outbox import post
from isp.queries import contract_named
from isp.shift import Shift
from isp.tables import Contract, Journal
from provisioning.addresses import mail_address, mail_domain
from provisioning.entitlement import (
    Entitlement,
    refuse_address,
    refuse_beyond_plan,
    refuse_when_over,
)
from provisioning.entitlement import quota_mb as quota_checked
from provisioning.passwords import generate, hash_password
from provisioning.queries import mailbox_named, mailboxes_kept
from provisioning.tables import DEAD, Domain, Mailbox
from provisioning.wanted import at_opening

REISSUED = "mailbox.password-reissued"


def mailbox_json(mailbox: Mailbox) -> dict[str, Any]:
    """The mailbox as the command line shows it; never its password nor the hash of it."""
    return {
        "address": mailbox.address,
        "contract": mailbox.contract.number,
        "display_name": mailbox.display_name,
        "quota_mb": mailbox.quota_mb,
        **_state(mailbox),
    }


def _state(mailbox: Mailbox) -> dict[str, Any]:
    return {
        "status": mailbox.status,
        "suspended_by": mailbox.suspended_by,
        "reason": mailbox.reason,
        "remove_on": mailbox.remove_on,
    }


def add_domain(session: Session, shift: Shift, name: str) -> Domain:
    """Serve a mail domain; mailboxes are opened in served domains only."""
    name = mail_domain(name)
    if session.get(Domain, name):
        raise Refused("domain", f"{name} is served already")
    domain = Domain(name=name, added_on=shift.day.today)
    session.add(domain)
    record(session, shift, "domain.added", name, after={"domain": name})
    return domain


def add_mailbox(
    session: Session,
    shift: Shift,
    address: str,
    contract: str,
    display_name: str | None = None,
    quota_mb: int | None = None,
) -> tuple[Mailbox, str]:
    """Open a mailbox for a contract; the password is returned this once, its hash is kept (ISP-01).

    Without a display name mail goes out in the member's own name; without a quota (MB) the
    policy's counts.
    """
    wished = mail_address(address)
    address = str(wished)
    refuse_address(
        wished,
        served=session.get(Domain, wished.domain) is not None,
        taken=session.scalar(select(Mailbox.status).where(Mailbox.address == address)),
    )
    held = held_to_serve(session, contract)
    refuse_beyond_plan(entitlement(held), len(mailboxes_kept(session, held.id)))
    quota = quota_checked(shift.policy.mail.quota_mb if quota_mb is None else quota_mb)
    password, hashed = new_password(shift)
    state = at_opening(held.status)
    mailbox = Mailbox(
        address=address,
        domain=wished.domain,
        contract=held,
        display_name=visible(display_name or held.customer.name, "display_name"),
        quota_mb=quota,
        password_hash=hashed,
        status=state.status,
        suspended_by=state.suspended_by,
        reason="",
    )
    session.add(mailbox)
    session.flush()
    record(session, shift, "mailbox.added", address, after=mailbox_json(mailbox))
    return mailbox, password


def entitlement(contract: Contract) -> Entitlement:
    """What of the contract entitles to mailboxes."""
    return Entitlement(
        contract.number,
        contract.status,
        contract.ended_on,
        contract.plan.code,
        contract.plan.mailboxes,
    )


def held_to_serve(session: Session, number: str) -> Contract:
    """A contract that is not over, held so that nobody else takes its last mailbox meanwhile."""
    session.execute(select(Contract.id).where(Contract.number == number).with_for_update())
    contract = contract_named(session, number)
    refuse_when_over(entitlement(contract))
    return contract


def new_password(shift: Shift) -> tuple[str, str]:
    """A generated password and its hash, by the policy."""
    rule = shift.policy.mail.password
    password = generate(rule)
    return password, hash_password(password, rule.scheme)


def reissue(session: Session, shift: Shift, address: str) -> tuple[Mailbox, str]:
    """Give a mailbox a new password [再発行], returned this once; the old one is dead (ISP-01).

    The member is told by mail that it happened, without the password. A suspended mailbox stays
    suspended.
    """
    mailbox = existing(session, address)
    password = renew_password(session, shift, mailbox)
    times = session.scalars(
        select(func.count(Journal.id)).where(
            Journal.subject == mailbox.address, Journal.act == REISSUED
        )
    ).one()
    post(
        session,
        shift,
        "mailbox-password-reissued",
        mailbox.contract.customer,
        f"{mailbox.address}/{times}",
        {"address": mailbox.address, "contract_number": mailbox.contract.number},
    )
    return mailbox, password


def renew_password(session: Session, shift: Shift, mailbox: Mailbox) -> str:
    """A new password in place of the old, recorded without either."""
    password, mailbox.password_hash = new_password(shift)
    record(session, shift, REISSUED, mailbox.address, after={"password_hash": "replaced"})
    return password


def existing(session: Session, address: str) -> Mailbox:
    """A mailbox that has not been removed."""
    mailbox = mailbox_named(session, address)
    if mailbox.status == "removed":
        raise Refused("address", f"{mailbox.address} has been removed, it cannot come back")
    return mailbox


def suspend(session: Session, shift: Shift, address: str, reason: str = "") -> Mailbox:
    """Stop log-in and sending until an operator resumes it; mail is received on.

    It outlasts a suspension of the contract.
    """
    mailbox = existing(session, address)
    if mailbox.suspended_by == "operator":
        raise Refused("status", f"{mailbox.address} is suspended already; see `isp mailbox resume`")
    before = _state(mailbox)
    mailbox.status, mailbox.suspended_by, mailbox.reason = "suspended", "operator", reason.strip()
    record(
        session, shift, "mailbox.suspended", mailbox.address, before=before, after=_state(mailbox)
    )
    return mailbox


def resume(session: Session, shift: Shift, address: str) -> Mailbox:
    """Lift an operator's suspension, or call off a removal whose day has not come.

    While the contract is suspended the mailbox stays so, and comes back with it.
    """
    mailbox = existing(session, address)
    contract = held_to_serve(session, mailbox.contract.number)
    waits = contract.status == "suspended"
    if mailbox.status == "active" and mailbox.remove_on is None:
        raise Refused("status", f"{mailbox.address} is active, there is nothing to resume")
    if waits and mailbox.suspended_by == "contract" and mailbox.remove_on is None:
        raise Refused(
            "status", f"contract {contract.number} is suspended; its mailboxes resume with it"
        )
    if mailbox.remove_on is not None:
        refuse_beyond_plan(entitlement(contract), len(mailboxes_kept(session, contract.id)))
    before = _state(mailbox)
    mailbox.status = "suspended" if waits else "active"
    mailbox.suspended_by = "contract" if waits else ""
    mailbox.reason = ""
    mailbox.remove_on = None
    record(session, shift, "mailbox.resumed", mailbox.address, before=before, after=_state(mailbox))
    return mailbox


def remove(session: Session, shift: Shift, address: str, *, at_once: bool = False) -> Mailbox:
    """Close a mailbox: log-in and sending stop now, it is gone after the days of grace.

    Until then `resume` brings it back; `at_once` waits for nothing. The address is never given
    to anybody again.
    """
    mailbox = existing(session, address)
    if mailbox.remove_on is not None and not at_once:
        raise Refused(
            "status",
            f"{mailbox.address} is to be removed on {mailbox.remove_on} already; "
            "call it off with `isp mailbox resume`, or remove it at once",
        )
    before = _state(mailbox)
    if at_once:
        mailbox.status, mailbox.suspended_by, mailbox.reason = "removed", "", ""
        mailbox.remove_on = shift.day.today
        mailbox.password_hash = DEAD
    else:
        if mailbox.suspended_by != "operator":
            mailbox.reason = ""
        mailbox.status, mailbox.suspended_by = "suspended", "operator"
        grace = timedelta(days=shift.policy.mail.removal_grace_days)
        mailbox.remove_on = shift.day.today + grace
    act = "mailbox.removed" if at_once else "mailbox.removal-scheduled"
    record(session, shift, act, mailbox.address, before=before, after=_state(mailbox))
    return mailbox
