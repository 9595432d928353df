"""Named reads of mail domains, mailboxes and connection accounts."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, contains_eager

from isp.errors import Refused
from isp.queries import contract_named
from isp.shift import Shift
from isp.tables import Contract
from provisioning.addresses import mail_address
from provisioning.client_files import client_of
from provisioning.settings import (
    ConnectionSettings,
    MailSettings,
    Settings,
    connection_settings,
    settings_for,
)
from provisioning.tables import AccessAccount, Alias, CatchAll, Domain, Forward, Mailbox
from provisioning.wanted import Directions, MailboxState, directions


def domains(session: Session) -> list[Domain]:
    """The mail domains that the operator serves, in the order of their names."""
    return list(session.scalars(select(Domain).order_by(Domain.name)))


def catch_alls(session: Session) -> dict[str, str]:
    """Domains whose mail to no address goes to a mailbox, and to which."""
    found = session.execute(select(CatchAll.domain, Mailbox.address).join(CatchAll.mailbox))
    return dict(found.all())


def mailbox_named(session: Session, address: str) -> Mailbox:
    """The mailbox with this address, also one that has been removed."""
    found = session.scalar(
        select(Mailbox).where(Mailbox.address == str(mail_address(address, role_names=True)))
    )
    if found is None:
        raise Refused("address", _no_mailbox(session, address))
    return found


def _no_mailbox(session: Session, address: str) -> str:
    """Members name their alias, too: then whose it is."""
    named = str(mail_address(address, role_names=True))
    behind = session.scalar(
        select(Mailbox.address)
        .join(Alias, Alias.mailbox_id == Mailbox.id)
        .where(Alias.address == named, Alias.status == "active")
    )
    if behind is not None:
        return f"{named} is an alias: its mailbox is {behind}"
    return f"there is no mailbox {address!r}: see `isp mailbox list`"


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


def forwards_of(session: Session, mailbox: Mailbox) -> list[str]:
    """Where the mailbox forwards to, in the order of the addresses."""
    return list(
        session.scalars(
            select(Forward.destination)
            .where(Forward.mailbox_id == mailbox.id)
            .order_by(Forward.destination)
        )
    )


def stored_directions(mailbox: Mailbox) -> Directions:
    """What the mailbox may do as far as its own row says."""
    return Directions(mailbox.may_fetch, mailbox.may_send, mailbox.may_receive)


def directions_of(mailbox: Mailbox) -> Directions:
    """What the mailbox may do at this moment, its contract counted in."""
    stored = stored_directions(mailbox)
    state = MailboxState(mailbox.status, mailbox.suspended_by, mailbox.remove_on, stored)
    return directions(mailbox.contract.status, state)


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


def access_named(session: Session, name: str) -> AccessAccount:
    """The connection account with this ID, or of the contract with this number; also a removed one."""
    found = session.scalar(
        select(AccessAccount)
        .join(AccessAccount.contract)
        .where(
            or_(
                AccessAccount.connection_id == name.strip().lower(), Contract.number == name.strip()
            )
        )
    )
    if found is None:
        raise Refused(
            "address",
            f"there is no connection account {name!r}: give the contract number or the connection "
            "ID; `isp access open CONTRACT` opens one",
        )
    return found


def guide_settings(session: Session, shift: Shift, address: str, client: str) -> Settings:
    """What the member enters into this client: for a mailbox by its address (ISP-17), for the
    connection by the contract number or the connection ID (ISP-16). Nothing that has been removed.
    """
    if client_of(client).kind == "connection":
        return _connection_settings(session, shift, address)
    mailbox = mailbox_named(session, address)
    if mailbox.status == "removed":
        raise Refused("address", f"{mailbox.address} has been removed, nothing reaches it")
    return settings_of(shift, mailbox, client)


def _connection_settings(session: Session, shift: Shift, name: str) -> ConnectionSettings:
    account = access_named(session, name)
    if account.status == "removed":
        raise Refused("address", f"{account.connection_id} has been removed, it connects no more")
    line = account.contract.plan.line
    return connection_settings(account.connection_id, line, shift.policy.language)


def settings_of(shift: Shift, mailbox: Mailbox, client: str) -> MailSettings:
    """The settings of a mailbox, legacy ones for a program out of support."""
    return settings_for(
        mailbox.address,
        mailbox.display_name,
        shift.policy.mail,
        legacy=client_of(client).legacy,
    )
