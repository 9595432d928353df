"""Why a mailbox cannot be used [なぜ使えないか]: its state, its quota, the log, and the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.policy import Mail
from isp.shift import Shift
from provisioning.log_tail import lines_with
from provisioning.mail_log import Event, event, instant
from provisioning.mail_verdicts import GOOD, Facts, causes, told
from provisioning.mailbox_size import used_mb
from provisioning.queries import directions_of, mailbox_named
from provisioning.runs.mailboxes import forwarding_json
from provisioning.runs.proof import proved_between
from provisioning.tables import Alias, AppPassword, Mailbox

IsOld = Callable[[bytes], bool]

LOOKED_BACK: Final = timedelta(days=14)
ENOUGH: Final = 100
"""So many events with a good log-in among them end the search; so many are read at most, too."""
MOST_KEPT: Final = 1_000
MOST_BYTES_OF_NAMELESS: Final = 32 << 20
MOST_CLIENTS: Final = 5
MOST_MESSAGES: Final = 20
MOST_SHOWN: Final = 30
CHATTY: Final = frozenset({"sent", "delivered"})
"""What goes well in great numbers: a few of them tell enough."""
MOST_CHATTY: Final = 5


def why(session: Session, shift: Shift, address: str, zone: tzinfo) -> dict[str, Any]:
    """All that the desk needs at the phone, as the command line shows it; never a secret.

    `zone` is that of the log's stamps without one. A log that is not there is part of the answer.
    """
    mailbox = mailbox_named(session, address)
    policy, now = shift.policy, shift.day.now
    aliases = _aliases(session, mailbox)
    passwords = session.scalars(
        select(AppPassword).where(AppPassword.mailbox_id == mailbox.id).order_by(AppPassword.id)
    ).all()
    seen = seen_in(shift, [mailbox.address, *aliases], zone)
    if seen is not None:  # without our own proofs, wrong passwords and all
        proofs = proved_between(session, mailbox.address)
        seen = [each for each in seen if not any(a <= each.at <= z for a, z in proofs)]
    used = used_mb(policy.platform.doveadm, shift.root / policy.smtpd.maildir, mailbox.address)
    contract = mailbox.contract
    facts = Facts(
        address=mailbox.address,
        contract=contract.status,
        status=mailbox.status,
        may=directions_of(mailbox),
        now=now,
        quota_mb=mailbox.quota_mb,
        ended_on=contract.ended_on,
        remove_on=mailbox.remove_on,
        reason=mailbox.reason,
        used_mb=used,
        expired=tuple(
            (each.name, each.expires_at)
            for each in passwords
            if each.expires_at is not None and each.expires_at <= now
        ),
        log_read=seen is not None,
        events=tuple(seen or ()),
        servers=_servers(policy.mail),
    )
    return {
        "address": mailbox.address,
        "contract": _contract_json(mailbox),
        "mailbox": _mailbox_json(session, mailbox, facts, aliases),
        "quota": {"used_mb": used, "quota_mb": mailbox.quota_mb},
        "app_passwords": [
            {"name": each.name, "created_at": each.created_at, "expires_at": each.expires_at}
            for each in passwords
        ],
        "events": [_event_json(each) for each in _worth_showing(facts.events)],
        "verdicts": [
            dict(zip(("finding", "mend"), told(each, policy.language), strict=True))
            for each in causes(facts)
        ],
    }


def _aliases(session: Session, mailbox: Mailbox) -> list[str]:
    return list(
        session.scalars(
            select(Alias.address)
            .where(Alias.mailbox_id == mailbox.id, Alias.status == "active")
            .order_by(Alias.address)
        )
    )


def _contract_json(mailbox: Mailbox) -> dict[str, Any]:
    contract = mailbox.contract
    leaving = contract.cancellation
    return {
        "number": contract.number,
        "status": contract.status,
        "ended_on": contract.ended_on,
        "last_charged_month": leaving and leaving.last_charged_month,
    }


def _mailbox_json(
    session: Session, mailbox: Mailbox, facts: Facts, aliases: list[str]
) -> dict[str, Any]:
    return {
        "status": mailbox.status,
        "suspended_by": mailbox.suspended_by,
        "reason": mailbox.reason,
        "may_fetch": facts.may.fetch,
        "may_send": facts.may.send,
        "may_receive": facts.may.receive,
        "remove_on": mailbox.remove_on,
        "aliases": aliases,
        **forwarding_json(session, mailbox),
    }


def _event_json(each: Event) -> dict[str, Any]:
    times = f"{each.times} times" if each.times > 1 else ""
    return {
        "at": each.at,
        "protocol": each.protocol,
        "client": each.client,
        "what": each.what,
        "detail": "; ".join(filter(None, (times, each.detail))),
    }


def _worth_showing(events: Iterable[Event]) -> list[Event]:
    shown: list[Event] = []
    chatty = 0
    for each in events:
        chatty += each.what in CHATTY
        if each.what not in CHATTY or chatty <= MOST_CHATTY:
            shown.append(each)
    return shown[:MOST_SHOWN]


def _servers(mail: Mail) -> str:
    words = {"ssl": "SSL/TLS", "starttls": "STARTTLS", "none": "-"}
    return ", ".join(
        f"{name} {server.host} {server.port} {words[server.security]}"
        for name, server in (
            ("IMAP", mail.imap),
            ("POP3", mail.pop3),
            ("SMTP", mail.submission),
            ("SMTP", mail.submissions),
        )
    )


# The log


def seen_in(shift: Shift, addresses: list[str], zone: tzinfo) -> list[Event] | None:
    """What the log has of a mailbox (its address and aliases), newest first; None without a log.

    Lines that tell no name but a client that the mailbox was used from, and what became of
    messages sent from it, are found in a second look.
    """
    written = shift.policy.platform.mail_log
    if not written:
        return None
    log, now = shift.root / written, shift.day.now

    def is_old(line: bytes) -> bool:
        at = instant(line.decode("utf-8", "replace"), now, zone)
        return at is not None and now - at > LOOKED_BACK

    names = frozenset([*addresses, addresses[0].rpartition("@")[0]])
    try:
        named = _named(log, names, is_old, now, zone)
        others = _nameless(log, names, named, is_old, now, zone)
    except OSError:
        return None
    return sorted([*named, *others], key=lambda each: each.at, reverse=True)


def _needles(names: Iterable[str]) -> list[bytes]:
    """An address as it is; a bare name as log-ins have it, since it is part of many words."""
    found: list[bytes] = []
    for name in names:
        plain = name.lower().encode()
        found += [plain] if b"@" in plain else [b"<%b>" % plain, b"=%b\n" % plain, b"=%b," % plain]
    return found


def _named(
    log: Path, names: frozenset[str], is_old: IsOld, now: datetime, zone: tzinfo
) -> list[Event]:
    found: list[Event] = []
    good = False
    counted = 0
    for line in lines_with(log, _needles(names), is_old):
        each = event(line, now, zone)
        if each is None or not names & each.names or now - each.at > LOOKED_BACK:
            continue
        found.append(each)
        good = good or each.what in GOOD
        counted += each.what not in CHATTY
        if (good and counted >= ENOUGH) or len(found) >= MOST_KEPT:
            break
    return found


def _nameless(
    log: Path,
    own: frozenset[str],
    named: list[Event],
    is_old: IsOld,
    now: datetime,
    zone: tzinfo,
) -> list[Event]:
    """TLS that failed before any name was told, and deliveries that know the message only."""
    clients = list(dict.fromkeys(each.client for each in named if each.client))[:MOST_CLIENTS]
    queued = {each.queue_id for each in named if each.what == "accepted" and each.queue_id}
    messages = [each.queue_id for each in named if each.queue_id in queued][:MOST_MESSAGES]
    needles = [f"{queue_id}: to=<".lower().encode() for queue_id in dict.fromkeys(messages)]
    for client in clients:
        needles += [f"[{client}]".encode(), f"rip={client},".encode(), f"client={client}".encode()]
    if not needles:
        return []
    found = []
    for line in lines_with(log, needles, is_old, MOST_BYTES_OF_NAMELESS):
        each = event(line, now, zone)
        if each is None or now - each.at > LOOKED_BACK:
            continue
        if each.queue_id in queued and not each.names & own:
            # What is full is the mailbox that it was sent to.
            found.append(replace(each, what="bounced") if each.what == "mailbox-full" else each)
        elif not each.names and each.client in clients:
            found.append(each)
        if len(found) >= ENOUGH:
            break
    return found
