"""Mail domains in DNS: what they publish, and the keys that sign their mail [DKIM 署名鍵]."""

from __future__ import annotations

from base64 import b64encode
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import record
from isp.shift import Shift
from provisioning.addresses import mail_domain
from provisioning.dkim import Key, Pace, move, moves_due, new_selector, next_move
from provisioning.opendkim import SigningKey
from provisioning.tables import DkimKey, Domain

if TYPE_CHECKING:
    from provisioning.dns_findings import Wanted
    from provisioning.dns_records import Record

KEY_BITS = 2048
"""What signers should use at least (RFC 8301, 3.2); longer ones outgrow an answer by UDP."""


def domain_named(session: Session, name: str) -> Domain:
    """The mail domain of this name; one that the operator does not serve is refused."""
    found = session.get(Domain, mail_domain(name))
    if found is None:
        raise Refused("domain", f"{mail_domain(name)} is not served here: see `isp domain list`")
    return found


def keys_of(session: Session, domain: str) -> list[DkimKey]:
    """The keys of a domain, the oldest first, those that are removed too."""
    return list(
        session.scalars(
            select(DkimKey)
            .where(DkimKey.domain == domain_named(session, domain).name)
            .order_by(DkimKey.selector)
        )
    )


def key_json(shift: Shift, key: DkimKey) -> dict[str, Any]:
    """A key as the command line shows it, with what the days bring next; nothing of it secret."""
    coming = next_move(_state(key), _pace(shift))
    return {
        "domain": key.domain,
        "selector": key.selector,
        "state": key.state,
        "since": key.since,
        "next": None if coming is None else coming[0],
        "next_on": None if coming is None else coming[1],
    }


# Keys ---------------------------------------------------------------------------------------------


def rotate(session: Session, shift: Shift, domain: str) -> DkimKey:
    """Begin a change of keys [鍵の交代]: a new one is published, and the days do the rest.

    Refused while the change before is under way.
    """
    name = domain_named(session, domain).name
    session.execute(select(Domain).where(Domain.name == name).with_for_update())
    states = [_state(key) for key in keys_of(session, name)]
    selector = new_selector(name, states, shift.day.today, _pace(shift))
    public_key, private_key = _generated()
    key = DkimKey(
        domain=name,
        selector=selector,
        state="published",
        since=shift.day.today,
        public_key=public_key,
        sealed_key=shift.seal.seal(private_key),
    )
    session.add(key)
    session.flush()
    record(session, shift, "dkim.published", name, after=_journalled(key))
    return key


def advance_keys(session: Session, shift: Shift) -> int:
    """Do the moves of all keys that are due today; how many. Done twice, the second finds none."""
    living = session.scalars(
        select(DkimKey)
        .where(DkimKey.state != "removed")
        .order_by(DkimKey.domain, DkimKey.selector)
        .with_for_update()
    )
    done = 0
    for _, keys in groupby(living.all(), key=lambda key: key.domain):
        by_selector = {key.selector: key for key in keys}
        states = [_state(key) for key in by_selector.values()]
        for step in moves_due(states, shift.day.today, _pace(shift)):
            key = by_selector[step.selector]
            before = _journalled(key)
            key.state = move(key.selector, key.state, step.to)
            key.since = shift.day.today
            if step.to == "retired":
                key.sealed_key = None
            session.flush()  # one signs at a time, also within the transaction
            record(
                session, shift, f"dkim.{step.to}", key.domain, before=before, after=_journalled(key)
            )
            done += 1
    return done


def hand_out_key(session: Session, shift: Shift, domain: str) -> SigningKey:
    """The key that signs the domain's mail today, for a mail server; the journal tells who took it.

    Refused while there is none.
    """
    for key in keys_of(session, domain):
        if key.state == "signing" and key.sealed_key is not None:
            private_key = shift.seal.open(key.sealed_key)
            record(session, shift, "dkim.handed-out", key.domain, after=_journalled(key))
            return SigningKey(key.domain, key.selector, private_key)
    raise Refused("domain", f"no key signs for {domain} yet: see `isp domain dkim list {domain}`")


def _generated() -> tuple[str, str]:
    """A new RSA key: the public half in base64 of DER, the private one as PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    private_key = pem.decode("ascii")
    return public_half(private_key), private_key


def public_half(private_key: str) -> str:
    """The public half of a private key in PEM, as DNS has it; ValueError where it is none."""
    from cryptography.hazmat.primitives import serialization as form

    private = form.load_pem_private_key(private_key.encode(), password=None)
    public = private.public_key().public_bytes(
        form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    )
    return b64encode(public).decode("ascii")


def _state(key: DkimKey) -> Key:
    return Key(key.selector, key.state, key.since)


def _pace(shift: Shift) -> Pace:
    return Pace(shift.policy.dns.dkim_publish_days, shift.policy.dns.dkim_retire_days)


def _journalled(key: DkimKey) -> dict[str, str | date]:
    return {"selector": key.selector, "state": key.state, "since": key.since}


# What is published --------------------------------------------------------------------------------


def published(session: Session, shift: Shift, domain: str) -> tuple[Record, ...]:
    """Everything that the domain must publish today, its keys among it."""
    from provisioning.dns_records import PublishedKey, records

    name = domain_named(session, domain).name
    policy = shift.policy
    keys = [
        PublishedKey(key.selector, key.public_key)
        for key in keys_of(session, name)
        if key.state != "removed"
    ]
    return records(name, policy.mail, policy.dns, keys, policy.language)


def wanted(session: Session, shift: Shift, domain: str) -> Wanted:
    """What name servers must say of the domain today."""
    from provisioning.dns_findings import Wanted
    from provisioning.dns_records import hosts

    name = domain_named(session, domain).name
    policy = shift.policy
    removed = [key.selector for key in keys_of(session, name) if key.state == "removed"]
    return Wanted(
        name,
        published(session, shift, name),
        tuple(removed),
        policy.dns.senders,
        tuple(hosts(policy.mail, policy.dns)),
        policy.dns.mx,
        policy.dns.ttl,
        policy.language,
    )
