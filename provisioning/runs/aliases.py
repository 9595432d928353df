"""Other addresses of mailboxes [別名アドレス], and who gets what is sent to no address at all."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from isp.errors import Refused
from isp.journal import record
from isp.shift import Shift
from provisioning.addresses import mail_address, mail_domain
from provisioning.entitlement import refuse_address
from provisioning.queries import mailbox_named
from provisioning.runs.mailboxes import existing, who_has
from provisioning.tables import Alias, CatchAll, Domain, Mailbox


def alias_json(alias: Alias) -> dict[str, Any]:
    """The alias as the command line shows it."""
    return {
        "alias": alias.address,
        "address": alias.mailbox.address,
        "contract": alias.mailbox.contract.number,
        "status": alias.status,
    }


def add_alias(session: Session, shift: Shift, alias: str, address: str) -> Alias:
    """Give a mailbox another address: mail to it arrives there, and the member may send from it.

    One that was removed may come back to the contract that had it, and to nobody else.
    """
    wished = mail_address(alias)
    mailbox = existing(session, address)
    before = session.scalar(select(Alias).where(Alias.address == str(wished)))
    ours = before is not None and before.mailbox.contract_id == mailbox.contract_id
    comes_back = before is not None and ours and before.status == "removed"
    refuse_address(
        wished,
        served=session.get(Domain, wished.domain) is not None,
        taken=None if comes_back else who_has(session, str(wished)),
    )
    _refuse_beyond(session, shift, mailbox)
    added = before or Alias(address=str(wished), domain=wished.domain)
    added.mailbox, added.status = mailbox, "active"
    session.add(added)
    session.flush()
    record(session, shift, "mailbox.alias-added", mailbox.address, after={"alias": added.address})
    return added


def _refuse_beyond(session: Session, shift: Shift, mailbox: Mailbox) -> None:
    kept = session.scalars(
        select(func.count(Alias.id)).where(Alias.mailbox_id == mailbox.id, Alias.status == "active")
    ).one()
    most = shift.policy.platform.aliases
    if kept >= most:
        raise Refused(
            "address",
            f"{mailbox.address} has {kept} aliases of at most {most}; "
            "remove one with `isp alias remove`",
        )


def remove_alias(session: Session, shift: Shift, alias: str) -> Alias:
    """Mail to it is refused from now on; nobody else may ever have it."""
    found = alias_named(session, alias)
    if found.status == "removed":
        raise Refused("alias", f"{found.address} has been removed already")
    found.status = "removed"
    record(
        session,
        shift,
        "mailbox.alias-removed",
        found.mailbox.address,
        before={"alias": found.address},
    )
    return found


def alias_named(session: Session, alias: str) -> Alias:
    """The alias with this address, also a removed one."""
    found = session.scalar(
        select(Alias).where(Alias.address == str(mail_address(alias, role_names=True)))
    )
    if found is None:
        raise Refused("alias", f"there is no alias {alias!r}: see `isp alias list`")
    return found


def aliases(session: Session, address: str | None = None) -> list[Alias]:
    """All aliases in the order of their addresses, or those of one mailbox."""
    wanted = (
        select(Alias)
        .join(Alias.mailbox)
        .options(contains_eager(Alias.mailbox))
        .order_by(Alias.address)
    )
    if address is not None:
        wanted = wanted.where(Alias.mailbox_id == mailbox_named(session, address).id)
    return list(session.scalars(wanted))


def set_catch_all(session: Session, shift: Shift, name: str, address: str | None) -> dict[str, Any]:
    """Who gets what is sent to no address of a domain [キャッチオール]; None: nobody, it is refused."""
    domain = session.get(Domain, mail_domain(name))
    if domain is None:
        raise Refused("domain", f"{name} is no mail domain of ours: see `isp domain list`")
    mailbox = existing(session, address) if address is not None else None
    if mailbox is not None and mailbox.domain != domain.name:
        raise Refused("address", f"{mailbox.address} is not in {domain.name}")
    now = session.get(CatchAll, domain.name)
    before = {"catch_all": now.mailbox.address if now else None}
    if now is not None and mailbox is None:
        session.delete(now)
    elif now is not None and mailbox is not None:
        now.mailbox = mailbox
    elif mailbox is not None:
        session.add(CatchAll(domain=domain.name, mailbox=mailbox))
    session.flush()
    after = {"catch_all": mailbox.address if mailbox else None}
    record(session, shift, "domain.catch-all-set", domain.name, before=before, after=after)
    return {"domain": domain.name, **after}
