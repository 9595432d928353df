"""Named reads of mail domains, mailboxes and connection accounts."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from isp.errors import Refused
from isp.queries import contract_named
from isp.shift import Shift
from isp.tables import Contract
from provisioning.addresses import mail_address
from provisioning.guides import Settings, client_of, settings_for
from provisioning.tables import AccessAccount, Domain, Mailbox


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
    status: str | None = None,
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


def mailboxes_kept(session: Session, contract_id: int) -> list[Mailbox]:
    """The mailboxes that count against the plan: all but the removed and those being removed."""
    return list(
        session.scalars(
            select(Mailbox)
            .where(
                Mailbox.contract_id == contract_id,
                Mailbox.status != "removed",
                Mailbox.remove_on.is_(None),
            )
            .order_by(Mailbox.id)
        )
    )


def access_of(session: Session, contract: str) -> AccessAccount | None:
    """The connection account of a contract, also one that has been removed."""
    return session.scalar(
        select(AccessAccount).join(AccessAccount.contract).where(Contract.number == contract)
    )


def guide_settings(session: Session, shift: Shift, address: str, client: str) -> Settings:
    """What the member enters into this program for an existing mailbox (ISP-17)."""
    mailbox = mailbox_named(session, address)
    if mailbox.status == "removed":
        raise Refused("address", f"{mailbox.address} has been removed, nothing reaches it")
    return settings_of(shift, mailbox, client)


def settings_of(shift: Shift, mailbox: Mailbox, client: str) -> Settings:
    """The settings of a mailbox, legacy ones for a program out of support."""
    return settings_for(
        mailbox.address,
        mailbox.display_name,
        shift.policy.mail,
        legacy=client_of(client).legacy,
    )
