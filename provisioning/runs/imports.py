"""Mailboxes of another system [メールボックスの一括登録]: all rows of a file or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.identity import name as visible
from isp.journal import kept
from isp.runs.imports import Row, read_rows
from isp.shift import Shift
from isp.tables import Contract, Customer, Journal, Plan
from provisioning.addresses import mail_address
from provisioning.entitlement import (
    Entitlement,
    Taken,
    quota_mb,
    refuse_address,
    refuse_beyond_plan,
    refuse_when_over,
)
from provisioning.passwords import check_hash, generate_and_hash_many
from provisioning.tables import Alias, Domain, Mailbox
from provisioning.wanted import MailboxState, at_opening

COLUMNS: Final = ("address", "contract")
OPTIONAL: Final = ("display_name", "quota_mb", "password_hash")
BULK: Final = 10_000
"""Rows written by one statement; memory stays flat and the database busy."""


@dataclass(frozen=True, slots=True)
class NewMailbox:
    """A row that has passed every rule; `password_hash` is empty where a password is to be made."""

    address: str
    domain: str
    contract_id: int
    contract: str
    opens_as: MailboxState
    display_name: str
    quota_mb: int
    password_hash: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A generated password, to be shown once, and its hash, to be kept."""

    password: str = field(repr=False)
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many mailboxes a file brought, and the passwords that were made, address by address."""

    rows: int
    passwords: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the rows of a file are checked against; `kept` and `taken` grow with every good row."""

    domains: frozenset[str]
    contracts: Mapping[str, tuple[int, str, Entitlement]]
    kept: dict[int, int]
    taken: dict[str, Taken]
    quota_mb: int

    def admit(self, row: Row) -> NewMailbox:
        """The row, checked field by field; the first rule it breaks is refused (ALL-04)."""
        address = mail_address(row["address"])
        written = str(address)
        served = address.domain in self.domains
        refuse_address(address, served=served, taken=self.taken.get(written))
        if row["contract"] not in self.contracts:
            raise Refused("contract", f"there is no contract {row['contract']!r}")
        contract_id, customer, held = self.contracts[row["contract"]]
        refuse_when_over(held)
        refuse_beyond_plan(held, self.kept.get(contract_id, 0))
        own_name = row.get("display_name")
        given_hash = row.get("password_hash")
        admitted = NewMailbox(
            address=written,
            domain=address.domain,
            contract_id=contract_id,
            contract=held.number,
            opens_as=at_opening(held.status),
            display_name=visible(own_name, "display_name") if own_name else customer,
            quota_mb=_quota(row["quota_mb"]) if row.get("quota_mb") else self.quota_mb,
            password_hash=check_hash(given_hash) if given_hash else "",
        )
        self.taken[written] = "active"
        self.kept[contract_id] = self.kept.get(contract_id, 0) + 1
        return admitted


def _quota(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused("quota_mb", f"{text!r} is no whole number of MB")
    return quota_mb(int(text))


def _ground(session: Session, shift: Shift) -> _Ground:
    contracts = session.execute(
        select(
            Contract.id,
            Contract.number,
            Contract.status,
            Contract.ended_on,
            Plan.code,
            Plan.mailboxes,
            Customer.name,
        )
        .join(Contract.plan)
        .join(Contract.customer)
    )
    kept_now = session.execute(
        select(Mailbox.contract_id, func.count())
        .where(Mailbox.status != "removed", Mailbox.remove_on.is_(None))
        .group_by(Mailbox.contract_id)
    )
    return _Ground(
        domains=frozenset(session.scalars(select(Domain.name))),
        contracts={
            row.number: (
                row.id,
                row.name,
                Entitlement(row.number, row.status, row.ended_on, row.code, row.mailboxes),
            )
            for row in contracts
        },
        kept=dict(kept_now.all()),
        taken={
            **dict.fromkeys(session.scalars(select(Alias.address)), "alias"),
            **dict(session.execute(select(Mailbox.address, Mailbox.status)).all()),
        },
        quota_mb=shift.policy.mail.quota_mb,
    )


def read_mailboxes(session: Session, shift: Shift, path: Path) -> list[NewMailbox]:
    """The rows of a file, every one checked; it writes nothing, so it is the dry run as well.

    Columns: `address`, `contract`, [`display_name`, `quota_mb`, `password_hash`]. Every bad row is
    reported with its line (ALL-04).
    """
    ground = _ground(session, shift)
    return read_rows(path, COLUMNS, OPTIONAL, ground.admit)


def issue_passwords(shift: Shift, rows: Iterable[NewMailbox]) -> dict[str, Issued]:
    """Passwords for the rows that bring no hash, by address, on all cores.

    Ten thousand take minutes: made before the writing transaction, they keep nobody waiting.
    """
    addresses = [row.address for row in rows if not row.password_hash]
    made = generate_and_hash_many(len(addresses), shift.policy.mail.password)
    return {address: Issued(*pair) for address, pair in zip(addresses, made, strict=True)}


def import_mailboxes(
    session: Session, shift: Shift, path: Path, issued: Mapping[str, Issued] | None = None
) -> Imported:
    """Take over the mailboxes of a file; rows with a hash keep their password (ISP-01).

    `issued` are passwords made beforehand; without them they are made here. They are returned to
    be handed out once, only hashes are stored. No notices go out.
    """
    rows = read_mailboxes(session, shift, path)
    ready = dict(issued or {})
    ready |= issue_passwords(shift, (row for row in rows if row.address not in ready))
    for start in range(0, len(rows), BULK):
        part = rows[start : start + BULK]
        session.execute(insert(Mailbox), [_columns(row, ready) for row in part])
        session.execute(insert(Journal), [_added(shift, row) for row in part])
    made = {row.address: ready[row.address].password for row in rows if not row.password_hash}
    return Imported(len(rows), made)


def _columns(row: NewMailbox, ready: Mapping[str, Issued]) -> dict[str, Any]:
    return {
        "address": row.address,
        "domain": row.domain,
        "contract_id": row.contract_id,
        "display_name": row.display_name,
        "quota_mb": row.quota_mb,
        "password_hash": row.password_hash or ready[row.address].password_hash,
        "status": row.opens_as.status,
        "suspended_by": row.opens_as.suspended_by,
        "may_fetch": row.opens_as.may.fetch,
        "may_send": row.opens_as.may.send,
        "may_receive": row.opens_as.may.receive,
        "reason": "",
    }


def _added(shift: Shift, row: NewMailbox) -> dict[str, Any]:
    return {
        "at": shift.day.now,
        "business_date": shift.day.today,
        "actor": shift.actor,
        "act": "mailbox.added",
        "subject": row.address,
        "before": None,
        "after": kept(
            {
                "address": row.address,
                "contract": row.contract,
                "display_name": row.display_name,
                "quota_mb": row.quota_mb,
                "status": row.opens_as.status,
                "password_taken_over": bool(row.password_hash),
            }
        ),
    }
