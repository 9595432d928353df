"""Web spaces [ホームページ]: opened by the member, re-issued, closed, and gone with the contract (ISP-20)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.orm import Session

from isp.checks import Problem
from isp.errors import Refused
from isp.journal import kept, record
from isp.shift import Shift
from isp.tables import Contract, Journal
from provisioning.entitlement import quota_mb as quota_checked
from provisioning.passwords import generate, hash_password
from provisioning.runs.mailboxes import held_to_serve
from provisioning.tables import DEAD, WebSpace
from provisioning.wanted import Act, ContractState, at_opening
from provisioning.web_folders import (
    Folders,
    bring_in_step,
    forget_archived,
    held,
    measure,
    names_with_folders,
    used_bytes,
)
from provisioning.web_space import Space, SpaceState, for_space, space_after, space_name

DONE: dict[Act, str] = {
    "suspend": "web-space.suspended",
    "resume": "web-space.resumed",
    "schedule": "web-space.closed",
    "remove": "web-space.removed",
}
AT_ONCE = 10_000


def web_space_json(space: WebSpace, shift: Shift) -> dict[str, Any]:
    """The space as the command line shows it; never its password nor the hash of it."""
    host = shift.policy.web_space.host
    return {
        "contract": space.contract.number,
        "name": space.name,
        "url": f"https://{space.name}.{host}/" if host else "",
        **_state(space),
        "quota_mb": space.quota_mb,
    }


def _state(space: WebSpace) -> dict[str, Any]:
    return {"status": space.status, "remove_on": space.remove_on}


def space_named(session: Session, name: str) -> WebSpace:
    """The space with this name, or of the contract with this number; also a removed one."""
    wanted = select(WebSpace).join(WebSpace.contract)
    found = session.scalar(wanted.where(Contract.number == name.strip())) or session.scalar(
        wanted.where(WebSpace.name == name.strip().lower())
    )
    if found is None:
        raise Refused(
            "contract",
            f"there is no web space of {name!r}; `isp web-space open CONTRACT --name NAME` opens one",
        )
    return found


def spaces(session: Session, status: str | None = None) -> list[WebSpace]:
    """All spaces in the order of their names."""
    wanted = select(WebSpace).order_by(WebSpace.name)
    return list(session.scalars(wanted.where(WebSpace.status == status) if status else wanted))


def open_space(
    session: Session, shift: Shift, contract: str, name: str, quota_mb: int | None = None
) -> tuple[WebSpace, str]:
    """Open the web space of a contract that is not over; the password is returned this once.

    A name is never given to another contract; the same contract may have its own again, empty.
    """
    if not shift.policy.web_space.host:
        raise Refused("web_space.host", "is empty in isp.toml: there is no web space here")
    name = space_name(name)
    held_contract = held_to_serve(session, contract)
    quota = quota_checked(shift.policy.web_space.quota_mb if quota_mb is None else quota_mb)
    space = session.get(WebSpace, held_contract.id)
    _refuse_taken(session, held_contract, space, name)
    if space is None:
        space = WebSpace(contract=held_contract, name=name)
        session.add(space)
    password, space.password_hash = _new_password(shift)
    space.quota_mb, space.remove_on = quota, None
    space.status = at_opening(held_contract.status).status
    session.flush()
    record(session, shift, "web-space.opened", name, after=web_space_json(space, shift))
    return space, password


def _refuse_taken(session: Session, contract: Contract, own: WebSpace | None, name: str) -> None:
    if own is not None and own.status != "removed":
        raise Refused(
            "contract", f"{contract.number} has the web space {own.name} already (ISP-20)"
        )
    if own is not None and own.name != name:
        raise Refused("name", f"{contract.number} had {own.name}, and may have that name only")
    taken = session.scalar(select(WebSpace.contract_id).where(WebSpace.name == name))
    if taken is not None and taken != contract.id:
        raise Refused("name", f"{name} is or was another member's; choose another")


def reissue_space(session: Session, shift: Shift, name: str) -> tuple[WebSpace, str]:
    """Give a space a new password [再発行], returned this once; the old one is dead (ISP-01)."""
    space = _existing(session, name)
    password, space.password_hash = _new_password(shift)
    after = {"password_hash": "replaced"}
    record(session, shift, "web-space.password-reissued", space.name, after=after)
    return space, password


def close_space(session: Session, shift: Shift, name: str) -> WebSpace:
    """Take a space from the net; it is gone after the days of grace, until then it can resume."""
    space = _existing(session, name)
    if space.remove_on is not None:
        raise Refused(
            "status",
            f"{space.name} is to be removed on {space.remove_on} already; `isp web-space resume` "
            "calls it off",
        )
    before = _state(space)
    space.status = "suspended"
    space.remove_on = shift.day.today + timedelta(days=shift.policy.web_space.removal_grace_days)
    record(session, shift, "web-space.closed", space.name, before=before, after=_state(space))
    return space


def resume_space(session: Session, shift: Shift, name: str) -> WebSpace:
    """Call off a removal whose day has not come; the contract must not be over."""
    space = _existing(session, name)
    contract = held_to_serve(session, space.contract.number)
    if space.remove_on is None:
        raise Refused(
            "status",
            f"{space.name} is not to be removed; one that is suspended resumes with its contract",
        )
    before = _state(space)
    space.status, space.remove_on = at_opening(contract.status).status, None
    record(session, shift, "web-space.resumed", space.name, before=before, after=_state(space))
    return space


def _existing(session: Session, name: str) -> WebSpace:
    space = space_named(session, name)
    if space.status == "removed":
        raise Refused(
            "status", f"{space.name} has been removed; `isp web-space open` begins an empty one"
        )
    return space


def _new_password(shift: Shift) -> tuple[str, str]:
    """SHA512-CRYPT whatever the mail side uses: nginx reads crypt, and no Argon2."""
    password = generate(shift.policy.mail.password)
    return password, hash_password(password, "SHA512-CRYPT")


def reconcile_spaces(session: Session, shift: Shift) -> Counter[str]:
    """Do what the contracts want done with their spaces; how many of each act."""
    found = session.execute(
        select(
            *(WebSpace.contract_id, WebSpace.name, WebSpace.status, WebSpace.remove_on),
            *(Contract.status.label("contract_status"), Contract.ended_on),
        )
        .join(WebSpace.contract)
        .where(WebSpace.status != "removed")
        .order_by(WebSpace.contract_id)
        .execution_options(yield_per=AT_ONCE)
    )
    changes, journal = [], []
    for row in found:
        now = SpaceState(row.status, row.remove_on)
        contract = ContractState(row.contract_status, row.ended_on)
        grace = shift.policy.web_space.removal_grace_days
        action = for_space(contract, now, shift.day.today, grace)
        if action is None:
            continue
        then = space_after(now, action)
        columns = {"status": then.status, "remove_on": then.remove_on}
        secret = {"password_hash": DEAD} if action.act == "remove" else {}
        changes.append({"contract_id": row.contract_id, **columns, **secret})
        before = {"status": row.status, "remove_on": row.remove_on}
        journal.append(
            {
                "at": shift.day.now,
                "business_date": shift.day.today,
                "actor": shift.actor,
                "act": DONE[action.act],
                "subject": row.name,
                "before": kept(before),
                "after": kept(columns),
            }
        )
    if changes:
        session.execute(update(WebSpace), changes)
        session.execute(insert(Journal), journal)
    return Counter(entry["act"] for entry in journal)


# Folders


def folders_of(shift: Shift) -> Folders:
    """Where the policy has the spaces; relative paths count from the configuration."""
    policy = shift.policy.web_space
    return Folders(shift.root / policy.root, shift.root / policy.archive, policy.group)


def _for_the_server(wanted: Select[WebSpace], session: Session) -> Iterator[Space]:
    for row in session.scalars(wanted.execution_options(yield_per=AT_ONCE)):
        yield Space(row.contract_id, row.name, row.status, row.password_hash, row.quota_mb)


def keep_folder(session: Session, shift: Shift, name: str) -> None:
    """Bring one space's folder in step, after what has been committed; `session` is a new one."""
    folders = folders_of(shift)
    with held(folders):
        for space in _for_the_server(select(WebSpace).where(WebSpace.name == name), session):
            bring_in_step(folders, space, shift.day.today)


def keep_folders(reading: Callable[[], Any], shift: Shift) -> int:
    """Bring all folders in step, measure them, and forget old archives; how many things were done.

    What is not used costs nothing: without a space there is no folder.
    """
    folders = folders_of(shift)
    with reading() as session:
        if session.scalar(select(func.count(WebSpace.contract_id))) == 0:
            return 0
    with held(folders), reading() as session:
        every = list(_for_the_server(select(WebSpace).order_by(WebSpace.contract_id), session))
        changed = sum(bring_in_step(folders, space, shift.day.today) for space in every)
    for space in every:
        if space.status != "removed":
            measure(folders, space)
    days = shift.policy.web_space.archive_days
    return changed + forget_archived(folders, shift.day.today, days)


def used(shift: Shift, rows: list[WebSpace]) -> dict[str, int]:
    """Bytes that each space with a folder takes now."""
    root = folders_of(shift).root
    return {row.name: used_bytes(root / row.name) for row in rows if (root / row.name).is_dir()}


def all_spaces(session: Session) -> list[Space]:
    """Every space, for the quotas of the file system."""
    return list(_for_the_server(select(WebSpace).order_by(WebSpace.contract_id), session))


def problems_of_web_space(session: Session, shift: Shift) -> Iterator[Problem]:
    """What must always be true of web spaces and their folders (ISP-20); none carries a hash."""
    rows = {row.name: row for row in session.scalars(select(WebSpace).order_by(WebSpace.name))}
    yesterday = shift.day.today - timedelta(days=1)
    for row in rows.values():
        if not _stands(row.name):
            yield Problem("web_space", row.name, "is not a name in the form that is stored")
        if row.status == "removed" and row.password_hash != DEAD:
            yield Problem("web_space", row.name, "has been removed, yet keeps its password's hash")
        if row.status != "removed" and not row.password_hash.startswith("{SHA512-CRYPT}$6$"):
            yield Problem("web_space", row.name, "has no hash that nginx reads: re-issue it")
        over = row.contract.ended_on
        if row.status == "active" and over is not None and over < yesterday:
            why = f"outlives contract {row.contract.number}, over since {over}: run `isp daily`"
            yield Problem("web_space", row.name, why)
        if row.status != "removed" and row.remove_on is not None and row.remove_on < yesterday:
            why = f"was to be removed on {row.remove_on}: run `isp daily`"
            yield Problem("web_space", row.name, why)
    there = names_with_folders(folders_of(shift).root)
    for name in sorted(there - rows.keys()):
        yield Problem("web_space", name, "has a folder, and belongs to no contract: move it away")
    for name in sorted(rows.keys() - there):
        if rows[name].status != "removed":
            yield Problem("web_space", name, "has no folder: run `isp daily`")
    yield from _untold(session)


def _stands(name: str) -> bool:
    try:
        return space_name(name) == name
    except Refused:
        return False


def _untold(session: Session) -> Iterator[Problem]:
    told = select(Journal.id).where(
        Journal.subject == WebSpace.name, Journal.act == "web-space.opened"
    )
    for name in session.scalars(select(WebSpace.name).where(~told.exists())):
        yield Problem("web_space", name, "is not in the journal (ALL-03)")
