"""Named reads of mail domains, mailboxes and connection accounts."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from isp.errors import Refused
from isp.queries import contract_named
from isp.tables import Contract
from provisioning.addresses import mail_address
from provisioning.tables import AccessAccount, Domain, Mailbox
from provisioning.wanted import Status


def domains(session: Session) -> list[Domain]:
    """The mail domains that the operator serves, in the order of their names."""
    return list(session.scalars(select(Domain).order_by(Domain.name)))


def mailbox_named(session: Session, address: str) -> Mailbox:
    """The mailbox with this address, also one that has been removed."""
    found = session.scalar(
        select(Mailbox).where(Mailbox.address == str(mail_address(address, role_names=True)))
    )
    if found is None:
        raise Refused("address", f"there is no mailbox {address!r}: see `isp mailbox list`")
    return found


def mailboxes(
    session: Session,
    *,
    contract: str | None = None,
    domain: str | None = None,
    status: Status | None = None,
) -> list[Mailbox]:
    """Mailboxes in the order of their addresses; a contract that does not exist is refused."""
    wanted = (
        select(Mailbox)
        .join(Mailbox.contract)
        .options(contains_eager(Mailbox.contract))
        .order_by(Mailbox.address)
    )
    if contract is not None:
        wanted = wanted.where(Mailbox.contract_id == contract_named(session, contract).id)
    if domain is not None:
        wanted = wanted.where(Mailbox.domain == domain)
    if status is not None:
        wanted = wanted.where(Mailbox.status == status)
    return list(session.scalars(wanted))


def mailboxes_kept(session: Session, contract_id: int) -> int:
    """How many mailboxes count against the plan: all but the removed and those being removed."""
    return session.scalars(
        select(func.count(Mailbox.id)).where(
            Mailbox.contract_id == contract_id,
            Mailbox.status != "removed",
            Mailbox.remove_on.is_(None),
        )
    ).one()


def access_of(session: Session, contract: str) -> AccessAccount | None:
    """The connection account of a contract, also one that has been removed."""
    return session.scalar(
        select(AccessAccount).join(AccessAccount.contract).where(Contract.number == contract)
    )
