"""Connection accounts [接続ID] for PPPoE: opened with a contract, re-issued by the desk (ISP-01)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import record
from isp.shift import Shift
from provisioning.passwords import generate, hash_password
from provisioning.queries import access_of
from provisioning.runs.mailboxes import held_to_serve
from provisioning.tables import AccessAccount
from provisioning.wanted import at_opening


def access_json(account: AccessAccount) -> dict[str, Any]:
    """The account as the command line shows it; never its password nor the hash of it."""
    return {
        "contract": account.contract.number,
        "connection_id": account.connection_id,
        "status": account.status,
    }


def open_access(session: Session, shift: Shift, contract: str) -> tuple[AccessAccount, str]:
    """Open the connection account of a contract, `NUMBER@REALM`; the password is returned once."""
    held = held_to_serve(session, contract)
    if access_of(session, held.number) is not None:
        raise Refused(
            "contract", f"{held.number} has a connection account already; re-issue its password"
        )
    password, hashed = _new_password(shift)
    account = AccessAccount(
        contract=held,
        connection_id=f"{held.number}@{shift.policy.access.realm}".lower(),
        password_hash=hashed,
        status=at_opening(held.status).status,
    )
    session.add(account)
    session.flush()
    record(session, shift, "access.opened", held.number, after=access_json(account))
    return account, password


def reissue_access(session: Session, shift: Shift, contract: str) -> tuple[AccessAccount, str]:
    """Give a connection account a new password [再発行], returned once; the old one is dead."""
    held = held_to_serve(session, contract)
    account = access_of(session, held.number)
    if account is None:
        raise Refused("contract", f"{held.number} has no connection account; open one first")
    password, account.password_hash = _new_password(shift)
    record(
        session,
        shift,
        "access.password-reissued",
        held.number,
        after={"connection_id": account.connection_id, "password_hash": "replaced"},
    )
    return account, password


def _new_password(shift: Shift) -> tuple[str, str]:
    """SHA512-CRYPT whatever the mail side uses: FreeRADIUS reads crypt, and no Argon2."""
    password = generate(shift.policy.mail.password)
    return password, hash_password(password, "SHA512-CRYPT")
