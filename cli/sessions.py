"""What follows a change of the mail side, once it is committed: servers hear of it, sessions end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from cli.app import App
from isp.errors import Fault

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from provisioning.sessions import NotEnded

JOB: Final = "mail-sessions"
PATIENCE: Final = 3
"""After so many failures in a row Dovecot is taken to be away: each may have cost ten seconds."""
AT_ONCE: Final = 100
"""Mailboxes between two notes of what has been ended, should the run be killed."""


def end_sessions(app: App, addresses: Sequence[str]) -> None:
    """End what members have open in Dovecot under a password or right that is no more (ISP-01).

    Without `platform.doveadm` there is no Dovecot to ask. Where it does not answer, the addresses
    are parked, and `isp daily` asks again.
    """
    if not app.policy.platform.doveadm or not addresses:
        return
    app.feed_servers()  # or the next log-in would be let in by the old state
    failed = _ended(app, addresses)
    if failed:
        raise Fault(
            f"platform.doveadm: {next(iter(failed.values()))}; the change is made, but what is "
            "open in Dovecot stays open until `isp daily` has asked again"
        )


def end_later(session: Session, app: App, addresses: Iterable[str]) -> None:
    """Put down, with the change itself, whose sessions are to be ended by `end_parked`."""
    from isp.tables import Parked

    if app.policy.platform.doveadm:
        known = {*parked(session, JOB)}
        reason, since = "to be ended by `isp daily`", app.day.today
        session.add_all(
            Parked(job=JOB, subject=address, reason=reason, since=since)
            for address in addresses
            if address not in known
        )


def end_parked(app: App) -> tuple[list[str], dict[str, NotEnded]]:
    """End the sessions that could not be ended when they should have: whose have, whose have not.

    An office that has no Dovecot any more has no sessions either.
    """
    with app.reading() as session:
        waiting = parked(session, JOB)
    if not app.policy.platform.doveadm:
        if waiting:
            _note_down(app, waiting, {})
        return [], {}
    failed: dict[str, NotEnded] = {}
    done: list[str] = []
    for start in range(0, len(waiting), AT_ONCE):
        chunk = waiting[start : start + AT_ONCE]
        wrong = _ended(app, chunk)
        failed |= wrong
        done += [address for address in chunk if address not in wrong]
        if len(wrong) >= PATIENCE:
            break  # the others stay parked
    return done, failed


def parked(session: Session, job: str) -> list[str]:
    """Whom a job has put aside, the longest waiting first."""
    from sqlalchemy import select

    from isp.tables import Parked

    wanted = select(Parked.subject).where(Parked.job == job).order_by(Parked.since, Parked.subject)
    return list(session.scalars(wanted))


def _ended(app: App, addresses: Sequence[str]) -> dict[str, NotEnded]:
    """Ask Dovecot for each, and note the outcome; whose sessions could not be ended, and why.

    The database is not held meanwhile: Dovecot may take its time.
    """
    from provisioning.sessions import NotEnded, end

    failed: dict[str, NotEnded] = {}
    in_a_row: list[NotEnded] = []
    for address in addresses:
        try:
            if len(in_a_row) >= PATIENCE:
                raise in_a_row[-1]
            end(app.policy.platform.doveadm, address)
            in_a_row = []
        except NotEnded as why:
            failed[address] = why
            in_a_row.append(why)
    _note_down(app, addresses, failed)
    return failed


def _note_down(app: App, addresses: Sequence[str], failed: dict[str, NotEnded]) -> None:
    from cli.parking import park, unpark

    with app.transaction() as session:
        for address in addresses:
            if address in failed:
                park(session, app.shift, JOB, address, failed[address])
            else:
                unpark(session, JOB, address)
