"""The journal [監査記録]: what, whom, who did it, before and after, in the same transaction (ALL-03)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from isp.month import Month
from isp.shift import Shift
from isp.tables import Journal

SECRET = frozenset({"password_hash", "sealed_account", "card_token", "message"})
"""Columns that never enter the journal; that they changed is told, their value is not."""


def plain(value: object) -> Any:
    """A value as the journal keeps it: JSON scalars, dates and months as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    assert isinstance(value, Month), f"the journal cannot keep a {type(value).__name__}"
    return str(value)


def kept(row: Mapping[str, object] | None) -> dict[str, Any] | None:
    """What may be kept of a record: everything but secrets."""
    if row is None:
        return None
    return {key: "***" if key in SECRET and value else plain(value) for key, value in row.items()}


def record(
    session: Session,
    shift: Shift,
    act: str,
    subject: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> Journal:
    """Append one act, e.g. `contract.opened` of `K00000012`."""
    act_done = Journal(
        at=shift.day.now,
        business_date=shift.day.today,
        actor=shift.actor,
        act=act,
        subject=subject,
        before=kept(before),
        after=kept(after),
    )
    session.add(act_done)
    return act_done


def record_all(
    session: Session, shift: Shift, act: str, done: Iterable[tuple[str, Mapping[str, object]]]
) -> None:
    """Append the same act of many subjects at once: (subject, state after) each."""
    common = {
        "at": shift.day.now,
        "business_date": shift.day.today,
        "actor": shift.actor,
        "act": act,
        "before": None,
    }
    rows = [{**common, "subject": subject, "after": kept(after)} for subject, after in done]
    if rows:
        session.execute(insert(Journal), rows)


def history(session: Session, subject: str) -> list[Journal]:
    """All acts on a subject, oldest first (ISP-08)."""
    return list(
        session.scalars(select(Journal).where(Journal.subject == subject).order_by(Journal.id))
    )
