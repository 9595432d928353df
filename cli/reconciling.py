"""The mail platform brought in line with the database, by `isp daily` and by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cli.app import App, note
from isp.errors import Fault, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.reconciling import Action

JOB: Final = "maildirs"
SIGNING: Final = "mail-signing"
OPENDKIM: Final = "OpenDKIM"


@dataclass
class Outcome:
    """What was done, what an operator should know of, and how much of that could not be done."""

    actions: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    failed: int = 0

    def tell(self, subject: str, problem: object) -> None:
        self.problems.append({"subject": subject, "problem": str(problem)})

    def fail(self, subject: str, problem: object) -> None:
        self.failed += 1
        self.tell(subject, problem)


def bring_in_line(app: App, *, dry_run: bool = False) -> Outcome:
    """Feed, sessions, Maildirs and keys; who is barred must not write into a Maildir any more."""
    from isp.database import job_lock

    outcome = Outcome()
    with nullcontext() if dry_run else job_lock(app.engine, "mail-platform"):
        _feed(app, outcome, dry_run=dry_run)
        _sessions(app, outcome, dry_run=dry_run)
        _maildirs(app, outcome, dry_run=dry_run)
        _signing(app, outcome, dry_run=dry_run)
    return outcome


def _feed(app: App, outcome: Outcome, *, dry_run: bool) -> None:
    place = app.path(app.policy.platform.feed)
    there = (place / "mail.db").exists()
    if app.engine.dialect.name != "sqlite":
        if there:
            outcome.tell(
                "platform.feed",
                f"{place} is left over from SQLite and not kept in step: remove it, once no server "
                "reads it",
            )
    elif app.policy.platform.doveadm and not there:
        outcome.tell(
            "platform.feed",
            f"{place} has no mail.db for Postfix and Dovecot: run `isp mail-platform render`",
        )
    if dry_run:
        return
    try:
        changed = app.feed_servers()
    except Fault as wrong:
        note(f"mail-platform: {wrong}")
        outcome.fail("platform.feed", wrong)
    else:
        if changed:
            outcome.actions.append({"act": "feed", "address": "", "detail": str(place)})


def _sessions(app: App, outcome: Outcome, *, dry_run: bool) -> None:
    from cli.sessions import JOB as SESSIONS
    from cli.sessions import end_parked, parked

    if dry_run:
        with app.reading() as session:
            ended = parked(session, SESSIONS)
    else:
        ended, failed = end_parked(app)
        for address, why in failed.items():
            outcome.fail(address, f"its sessions could not be ended: {why}")
    outcome.actions += [{"act": "end-sessions", "address": each, "detail": ""} for each in ended]


def _maildirs(app: App, outcome: Outcome, *, dry_run: bool) -> None:
    from cli.sessions import parked
    from provisioning.reconciling import Report
    from provisioning.runs.maildirs import carry_out, planned, root_of

    if not root_of(app.shift).is_dir():
        return  # no mail lies here, or not yet
    with app.reading() as session:
        actions = planned(session, app.shift)
        stuck = set(parked(session, JOB))
    for report in actions:
        if isinstance(report, Report):
            outcome.tell(report.place, report.why)
    if dry_run:
        outcome.actions += [_told(each) for each in actions if not isinstance(each, Report)]
        return
    failed: dict[str, str] = {}
    try:
        for action, wrong in carry_out(app.transaction, app.shift, actions):
            told = _told(action)
            if wrong:
                subject = told["address"] or told["detail"]
                failed[subject] = f"{told['act']}: {wrong}"
                outcome.fail(subject, failed[subject])
            else:
                outcome.actions.append(told)
    except Fault as full:
        note(f"mail-platform: {full}")
        outcome.fail(str(root_of(app.shift)), full)
        return
    if failed or stuck:
        _park(app, JOB, failed, stuck - failed.keys())


def _park(app: App, job: str, failed: dict[str, str], done: set[str]) -> None:
    """What could not be done is listed by `isp check` until it could."""
    from cli.parking import park, unpark

    with app.transaction() as session:
        for subject, why in failed.items():
            park(session, app.shift, job, subject, Fault(why))
        for subject in done:
            unpark(session, job, subject)


def _signing(app: App, outcome: Outcome, *, dry_run: bool) -> None:
    """OpenDKIM's files follow the keys; what it has not taken up, the next run tells it again."""
    from cli.sessions import parked
    from provisioning.runs.signing import clear, folder_of, planned

    try:
        folder = folder_of(app.shift)
        with app.reading() as session:
            waiting = bool(parked(session, SIGNING))
            plan = planned(session, app.shift, folder) if folder else None
        if folder is None or plan is None:
            if waiting and not dry_run:
                _park(app, SIGNING, {}, {OPENDKIM})
            return
        if plan.texts or waiting:
            if not dry_run:
                _hand_out(app, folder)
            outcome.actions += [
                {"act": "write", "address": "", "detail": f"{folder / name}"} for name in plan.texts
            ]
            outcome.actions.append(
                {"act": "reload", "address": "", "detail": app.policy.platform.dkim_reload}
            )
        elif plan.left_over:
            if not dry_run:
                clear(folder, plan.left_over)
            outcome.actions += [
                {"act": "clear", "address": "", "detail": f"{folder / name}"}
                for name in plan.left_over
            ]
    except (Refused, Fault) as wrong:
        outcome.fail(OPENDKIM, wrong)
        if not dry_run:
            _park(app, SIGNING, {OPENDKIM: str(wrong)}, set())


def _hand_out(app: App, folder: Path) -> None:
    """Journal, write, tell, in this order: parked until OpenDKIM has been told."""
    from isp.tables import Parked
    from provisioning.runs.signing import hand_out, planned, take_up, write

    with app.transaction() as session:
        plan = planned(session, app.shift, folder)
        hand_out(session, app.shift, plan)
        reason, since = "to be told of its keys by `isp daily`", app.day.today
        if session.get(Parked, (SIGNING, OPENDKIM)) is None:
            session.add(Parked(job=SIGNING, subject=OPENDKIM, reason=reason, since=since))
    write(folder, plan)
    take_up(app.policy.platform.dkim_reload)
    _park(app, SIGNING, {}, {OPENDKIM})


def _told(action: Action) -> dict[str, str]:
    """An action as it is printed."""
    from provisioning.reconciling import Clear, Forget, Make, PutAside, shown

    match action:
        case Make(address):
            act, subject, detail = "make", str(address), ""
        case PutAside(archive):
            act, subject, detail = "archive", str(archive.address), archive.name
        case Forget(archive):
            act, subject, detail = "forget", str(archive.address), archive.name
        case Clear(where, domain, name):
            act, subject, detail = "clear", "", f"{where}: {domain}/{shown(name)}"
        case _:
            raise TypeError(f"{type(action).__name__} is told, not done")
    return {"act": act, "address": subject, "detail": detail}
