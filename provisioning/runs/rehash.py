"""Hashes taken over from another system, replaced when they are next opened [ハッシュの更新]."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from isp.journal import record
from isp.shift import Shift
from provisioning.tables import Mailbox


def replace_hash(session: Session, shift: Shift, address: str, old: str, new: str) -> bool:
    """Keep a mailbox's password by the policy's scheme from now on; the password stays the same.

    Only while the hash is still the old one: a password re-issued meanwhile stays as it is, and
    then nothing is recorded. The journal names the schemes, never a hash (EQ-01).
    """
    replaced = session.execute(
        update(Mailbox)
        .where(Mailbox.address == address, Mailbox.password_hash == old)
        .values(password_hash=new)
        .returning(Mailbox.id)
        .execution_options(synchronize_session=False)
    ).all()
    if replaced:
        record(
            session,
            shift,
            "mailbox.password-rehashed",
            address,
            before={"scheme": _scheme(old)},
            after={"scheme": _scheme(new)},
        )
    return bool(replaced)


def _scheme(stored: str) -> str:
    return stored.partition("}")[0].removeprefix("{")
