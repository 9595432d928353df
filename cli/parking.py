"""What a job could not do [保留]: put aside with its reason, told, and tried again the next day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.app import note

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from isp.shift import Shift


def park(session: Session, shift: Shift, job: str, subject: str, why: Exception) -> None:
    """Put a subject aside with its reason, for the report and the next day."""
    from isp.tables import Parked

    reason = " ".join(f"{type(why).__name__}: {why}".split())[:500]
    note(f"{job}: {subject}: {reason}")
    parked = session.get(Parked, (job, subject))
    if parked is None:
        session.add(Parked(job=job, subject=subject, reason=reason, since=shift.day.today))
    else:
        parked.reason = reason


def unpark(session: Session, job: str, subject: str) -> None:
    from sqlalchemy import delete

    from isp.tables import Parked

    session.execute(delete(Parked).where(Parked.job == job, Parked.subject == subject))
