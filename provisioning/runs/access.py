"""Connection accounts [接続ID] for PPPoE: opened with a contract, re-issued by the desk (ISP-01)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import record
from isp.shift import Shift
from provisioning.passwords import generate, hash_password
from provisioning.queries import access_named, access_of
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


def access_state(session: Session, shift: Shift, name: str) -> dict[str, Any]:
    """Whether this connection ID, or that of this contract, is let in now, and if not, why.

    What RADIUS is told, from the same facts: a contract's suspension and end count at once.
    """
    account = access_named(session, name)
    contract = account.contract
    reason = _barred(account)
    said = _BARRED[reason]
    return {
        **access_json(account),
        "contract_status": contract.status,
        "ended_on": contract.ended_on,
        "connects": reason == "",
        "why": reason,
        "explanation": said[0] if shift.policy.language == "ja" else said[1],
    }


_BARRED = {
    "": (
        "正しい接続IDとパスワードで接続できます。",
        "The connection ID with its present password is let in.",
    ),
    "removed": (
        "接続IDは削除されています。元に戻すことはできません。",
        "The connection ID has been removed, and cannot come back.",
    ),
    "contract-over": (
        "契約が終了しているため接続できません。",
        "The contract is over, so nobody is let in.",
    ),
    "suspended": (
        "契約が停止中のため接続できません。再開は isp contract resume で行います。",
        "The contract is suspended, so nobody is let in; `isp contract resume` resumes it.",
    ),
    "suspended-while-leaving": (
        "停止中に退会の申込があったため、終了日まで接続できません。",
        "The contract was suspended when the member applied to leave, and stays so until its end.",
    ),
}


def _barred(account: AccessAccount) -> str:
    contract = account.contract
    if account.status == "removed":
        return "removed"
    if contract.ended_on is not None:
        return "contract-over"
    if contract.status == "suspended":
        return "suspended"
    if contract.status == "cancelling" and account.status == "suspended":
        return "suspended-while-leaving"
    return ""
