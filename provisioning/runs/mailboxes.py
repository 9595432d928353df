"""Mail domains and mailboxes [メールボックス]: opened, re-issued, suspended, resumed, removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, delete, exists, func, literal, select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.identity import name as visible
from isp.journal import record
from isp.outbox import post
from isp.queries import contract_named
from isp.shift import Shift
from isp.tables import Contract, Journal
from provisioning.addresses import mail_address, mail_domain, outside_address
from provisioning.entitlement import (
    Entitlement,
    Taken,
    refuse_address,
    refuse_beyond_plan,
    refuse_when_over,
)
from provisioning.entitlement import quota_mb as quota_checked
from provisioning.passwords import generate, hash_password
from provisioning.queries import forwards_of, mailbox_named, mailboxes_kept, stored_directions
from provisioning.tables import DEAD, Alias, AppPassword, Domain, Forward, Mailbox
from provisioning.wanted import (
    EVERYTHING,
    NOTHING,
    RECEIVE_ONLY,
    Direction,
    Directions,
    at_opening,
    barred,
)

REISSUED = "mailbox.password-reissued"
FORWARDS = 5
"""Addresses that a mailbox may forward to; more is a mailing list."""


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
        "barred": list(barred(stored_directions(mailbox))),
    }


def _let(mailbox: Mailbox, may: Directions) -> None:
    mailbox.may_fetch, mailbox.may_send, mailbox.may_receive = astuple(may)


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
        taken=who_has(session, address),
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
    _let(mailbox, state.may)
    session.add(mailbox)
    session.flush()
    record(session, shift, "mailbox.added", address, after=mailbox_json(mailbox))
    return mailbox, password


def who_has(session: Session, address: str) -> Taken | None:
    """What an address belongs to already: a mailbox or an alias, and in which state."""
    found = session.scalar(select(Mailbox.status).where(Mailbox.address == address))
    return found or session.scalar(
        select(literal("alias")).where(exists().where(Alias.address == address))
    )


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
    """A new password in place of the old and of all app passwords, recorded without any of them.

    Whoever asks for a new password may have lost the old to somebody, who could have made app
    passwords of his own.
    """
    password, mailbox.password_hash = new_password(shift)
    dropped = drop_app_passwords(session, mailbox)
    record(
        session,
        shift,
        REISSUED,
        mailbox.address,
        after={"password_hash": "replaced", "app_passwords_dropped": dropped},
    )
    return password


def drop_app_passwords(session: Session, mailbox: Mailbox) -> list[str]:
    """Take back all app passwords; the names they had."""
    names = session.scalars(
        select(AppPassword.name)
        .where(AppPassword.mailbox_id == mailbox.id)
        .order_by(AppPassword.id)
    ).all()
    session.execute(delete(AppPassword).where(AppPassword.mailbox_id == mailbox.id))
    return list(names)


def forward(
    session: Session, shift: Shift, address: str, to: Iterable[str], *, keeps_copy: bool = True
) -> Mailbox:
    """Send a mailbox's mail to other addresses as well, or instead; to none: no more [転送設定].

    Without a copy the mail would go round between two own mailboxes that forward to each other:
    refused.
    """
    mailbox = existing(session, address)
    given = {outside_address(each) for each in to}
    wished = sorted(given - {mailbox.address})
    if given and not wished:
        raise Refused("to", f"{mailbox.address} is the mailbox itself: name another address")
    if len(wished) > FORWARDS:
        raise Refused("to", f"at most {FORWARDS} addresses")
    if not keeps_copy and not given:
        raise Refused("to", "without a copy the mail needs somewhere to go: name an address")
    if not keeps_copy:
        _refuse_circle(session, mailbox, wished)
    before = forwarding_json(session, mailbox)
    session.execute(delete(Forward).where(Forward.mailbox_id == mailbox.id))
    session.add_all(Forward(mailbox_id=mailbox.id, destination=each) for each in wished)
    mailbox.keeps_copy = keeps_copy
    session.flush()
    record(
        session,
        shift,
        "mailbox.forwarding-set",
        mailbox.address,
        before=before,
        after=forwarding_json(session, mailbox),
    )
    return mailbox


def forwarding_json(session: Session, mailbox: Mailbox) -> dict[str, Any]:
    """Where the mailbox forwards to, and whether it keeps a copy."""
    return {
        "forwards_to": forwards_of(session, mailbox),
        "keeps_copy": mailbox.keeps_copy,
    }


def _refuse_circle(session: Session, mailbox: Mailbox, wished: list[str]) -> None:
    """Follow the mail through mailboxes that keep no copy; it must come to rest somewhere."""
    seen, ahead = set[str](), list(wished)
    while ahead:
        at = ahead.pop().lower()  # own addresses are in small letters
        if at == mailbox.address:
            raise Refused("to", f"the mail of {mailbox.address} would go round for ever")
        if at in seen:
            continue
        seen.add(at)
        at = session.scalar(_mailbox_of_alias(at)) or at
        ahead += session.scalars(
            select(Forward.destination)
            .join(Mailbox, Mailbox.id == Forward.mailbox_id)
            .where(Mailbox.address == at, Mailbox.keeps_copy.is_(False))
        )


def _mailbox_of_alias(address: str) -> Select[str]:
    return select(Mailbox.address).join(Alias).where(Alias.address == address)


def existing(session: Session, address: str) -> Mailbox:
    """A mailbox that has not been removed."""
    mailbox = mailbox_named(session, address)
    if mailbox.status == "removed":
        raise Refused("address", f"{mailbox.address} has been removed, it cannot come back")
    return mailbox


def suspend(
    session: Session,
    shift: Shift,
    address: str,
    reason: str = "",
    bar: Iterable[Direction] = ("fetch", "send"),
) -> Mailbox:
    """Bar directions until an operator resumes it; unless told otherwise mail is received on.

    It outlasts a suspension of the contract. The reason is told to the member where the protocol
    shows it.
    """
    mailbox = existing(session, address)
    if mailbox.suspended_by == "operator":
        raise Refused("status", f"{mailbox.address} is suspended already; see `isp mailbox resume`")
    chosen = frozenset(bar)
    if not chosen:
        raise Refused("direction", "name at least one of fetch, send, receive")
    before = _state(mailbox)
    mailbox.status, mailbox.suspended_by = "suspended", "operator"
    mailbox.reason = said(reason)
    _let(mailbox, Directions(*(each not in chosen for each in ("fetch", "send", "receive"))))
    record(
        session, shift, "mailbox.suspended", mailbox.address, before=before, after=_state(mailbox)
    )
    return mailbox


def said(reason: str) -> str:
    """A reason as servers say it to the member: one line that can be printed, 200 characters."""
    reason = reason.strip()
    if len(reason) > 200 or not reason.isprintable():
        raise Refused("reason", "one line of at most 200 characters")
    return reason


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
    _let(mailbox, RECEIVE_ONLY if waits else EVERYTHING)
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
        _let(mailbox, NOTHING)
        drop_app_passwords(session, mailbox)
    else:
        if mailbox.suspended_by != "operator":
            mailbox.reason = ""
        mailbox.status, mailbox.suspended_by = "suspended", "operator"
        _let(mailbox, Directions(fetch=False, send=False, receive=mailbox.may_receive))
        grace = timedelta(days=shift.policy.mail.removal_grace_days)
        mailbox.remove_on = shift.day.today + grace
    act = "mailbox.removed" if at_once else "mailbox.removal-scheduled"
    record(session, shift, act, mailbox.address, before=before, after=_state(mailbox))
    return mailbox
