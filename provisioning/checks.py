"""What must always be true of domains, mailboxes and connection accounts; `isp check` asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from isp.checks import Problem
from isp.errors import Fault, Refused
from isp.shift import Shift
from isp.tables import Contract, Journal, Plan
from provisioning.addresses import mail_address, mail_domain, outside_address
from provisioning.passwords import check_hash
from provisioning.runs.domains import public_half
from provisioning.runs.web_space import problems_of_web_space
from provisioning.tables import (
    DEAD,
    AccessAccount,
    Alias,
    AppPassword,
    CatchAll,
    DkimKey,
    Domain,
    Forward,
    Mailbox,
    WebSpace,
)
from provisioning.wanted import Status, removal_day

AT_ONCE = 10_000
TABLES = (Domain, DkimKey, Mailbox, Alias, Forward, CatchAll, AppPassword, AccessAccount, WebSpace)


def checked(session: Session) -> int:
    """How many rows of the mail side the checks look at."""
    return sum(session.scalars(select(func.count()).select_from(table)).one() for table in TABLES)


def problems(session: Session, shift: Shift) -> Iterator[Problem]:
    """Every fault of the mail side's tables; none carries a hash."""
    yield from _domains(session)
    yield from _signing_keys(session, shift)
    yield from _mailboxes(session, shift)
    yield from _beyond_plan(session)
    yield from _routes(session)
    yield from _access_accounts(session, shift)
    yield from problems_of_web_space(session, shift)
    yield from _untold(session)


def _domains(session: Session) -> Iterator[Problem]:
    for name in session.scalars(select(Domain.name).order_by(Domain.name)):
        if not _stands(mail_domain, name):
            yield Problem("domain", name, "is not a domain name in the form that is stored")


def _signing_keys(session: Session, shift: Shift) -> Iterator[Problem]:
    """What is published must be the public half of what signs, or no mail would verify."""
    for key in session.scalars(select(DkimKey).order_by(DkimKey.domain, DkimKey.selector)):
        subject = f"{key.selector}._domainkey.{key.domain}"
        if key.sealed_key is None:
            continue
        try:
            if public_half(shift.seal.open(key.sealed_key)) != key.public_key:
                yield Problem("dkim_key", subject, "its two halves do not belong together")
        except (Fault, ValueError):
            yield Problem("dkim_key", subject, "its private half does not open: rotate the key")


def _stands(read: Callable[[str], object], text: str) -> bool:
    """Whether the rule that stores such a text would store it as it is."""
    try:
        return str(read(text)) == text
    except Refused:
        return False


def _mailboxes(session: Session, shift: Shift) -> Iterator[Problem]:
    found = session.execute(
        select(
            Mailbox.address,
            Mailbox.domain,
            Mailbox.status,
            Mailbox.password_hash,
            Mailbox.remove_on,
            Contract.number,
            Contract.ended_on,
        )
        .join(Mailbox.contract)
        .order_by(Mailbox.address)
        .execution_options(yield_per=AT_ONCE)
    )
    grace = shift.policy.mail.removal_grace_days
    for row in found:
        if not _stands(lambda text: mail_address(text, role_names=True), row.address):
            yield Problem(
                "mailbox", row.address, "is not a mail address in the form that is stored"
            )
        if row.address.rpartition("@")[2] != row.domain:
            yield Problem("mailbox", row.address, f"is kept under the domain {row.domain}")
        for what in _wrong_with_hash(row.password_hash, row.status):
            yield Problem("mailbox", row.address, what)
        due = row.remove_on
        if due is None and row.ended_on is not None:
            due = removal_day(row.ended_on, grace)
        if row.status != "removed" and _late(due, shift.day.today):
            yield Problem(
                "mailbox",
                row.address,
                f"was to be removed on {due} (contract {row.number}): run `isp daily`",
            )


def _late(due: date | None, today: date) -> bool:
    """Whether a daily run has been missed; that of today may be still to come."""
    return due is not None and due < today - timedelta(days=1)


def _wrong_with_hash(password_hash: str, status: Status) -> Iterator[str]:
    if status == "removed" and password_hash != DEAD:
        yield "has been removed, yet keeps the hash of its password"
    if status != "removed" and not _stands(check_hash, password_hash):
        yield "has no hash that a password can be verified with: re-issue the password"


def _beyond_plan(session: Session) -> Iterator[Problem]:
    found = session.execute(
        select(Contract.number, Plan.code, Plan.mailboxes, func.count(Mailbox.id).label("kept"))
        .join(Contract.plan)
        .join(Mailbox, Mailbox.contract_id == Contract.id)
        .where(Mailbox.status != "removed", Mailbox.remove_on.is_(None))
        .group_by(Contract.number, Plan.code, Plan.mailboxes)
        .having(func.count(Mailbox.id) > Plan.mailboxes)
        .order_by(Contract.number)
    )
    for row in found:
        yield Problem(
            "mailbox",
            row.number,
            f"has {row.kept} mailboxes, plan {row.code} includes {row.mailboxes}",
        )


def _routes(session: Session) -> Iterator[Problem]:
    """Where mail goes beside the mailboxes: addresses as they are stored, in their own domain."""
    for alias in session.execute(select(Alias.address, Alias.domain).order_by(Alias.address)):
        if not _stands(mail_address, alias.address):
            yield Problem(
                "alias", alias.address, "is not a mail address in the form that is stored"
            )
        if alias.address.rpartition("@")[2] != alias.domain:
            yield Problem("alias", alias.address, f"is kept under the domain {alias.domain}")
    forwards = session.execute(
        select(Mailbox.address, Forward.destination)
        .join(Mailbox, Mailbox.id == Forward.mailbox_id)
        .order_by(Mailbox.address, Forward.destination)
    )
    for address, destination in forwards:
        if not _stands(outside_address, destination):
            yield Problem("forward", address, f"goes to {destination}, which is no mail address")
    lost = session.scalars(
        select(Mailbox.address)
        .outerjoin(Forward, Forward.mailbox_id == Mailbox.id)
        .where(
            Mailbox.keeps_copy.is_(False),
            Mailbox.status != "removed",
            Forward.mailbox_id.is_(None),
        )
        .order_by(Mailbox.address)
    )
    for address in lost:
        yield Problem("mailbox", address, "keeps no copy and forwards to nobody")
    catching = session.execute(
        select(CatchAll.domain, Mailbox.address).join(CatchAll.mailbox).order_by(CatchAll.domain)
    )
    for domain, address in catching:
        if address.rpartition("@")[2] != domain:
            yield Problem("catch_all", domain, f"goes to {address} of another domain")


def _access_accounts(session: Session, shift: Shift) -> Iterator[Problem]:
    found = session.execute(
        select(
            AccessAccount.connection_id,
            AccessAccount.password_hash,
            AccessAccount.status,
            Contract.number,
            Contract.ended_on,
        )
        .join(AccessAccount.contract)
        .order_by(AccessAccount.connection_id)
        .execution_options(yield_per=AT_ONCE)
    )
    for row in found:
        if not row.connection_id.startswith(f"{row.number}@".lower()):
            yield Problem(
                "access_account",
                row.connection_id,
                f"is not the connection ID of contract {row.number}",
            )
        for what in _wrong_with_hash(row.password_hash, row.status):
            yield Problem("access_account", row.connection_id, what)
        if row.status != "removed" and _late(row.ended_on, shift.day.today):
            yield Problem(
                "access_account",
                row.connection_id,
                f"outlives contract {row.number}, over since {row.ended_on}: run `isp daily`",
            )


def _untold(session: Session) -> Iterator[Problem]:
    """What no act of the office has made (ALL-03)."""
    for table, subject, act in (
        ("domain", select(Domain.name.label("subject")), "domain."),
        ("mailbox", select(Mailbox.address.label("subject")), "mailbox."),
        (
            "access_account",
            select(Contract.number.label("subject")).join(
                AccessAccount, AccessAccount.contract_id == Contract.id
            ),
            "access.",
        ),
    ):
        made = subject.subquery()
        told = select(Journal.id).where(
            Journal.subject == made.c.subject, Journal.act.startswith(act)
        )
        for name in session.scalars(select(made.c.subject).where(~told.exists())):
            yield Problem(table, name, "is not in the journal (ALL-03)")
