"""`isp daily`: everything that is due today, each thing once, in an order a person can read.

Where two trades meet (a contract that ends, a mailbox that goes with it), they meet here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, note, pass_app
from isp.errors import Fault, Refused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from isp.month import Month
    from isp.shift import Shift

CHUNK = 200
"""Subjects of one transaction."""


@dataclass(frozen=True)
class Step:
    """One thing of the day: `run` answers how many were done, skipped and parked."""

    name: str
    run: Callable[[App], Done]


@dataclass(frozen=True)
class Done:
    done: int = 0
    skipped: int = 0
    failed: int = 0


def each(
    app: App,
    job: str,
    due: Callable[[Session], Sequence[str]],
    act: Callable[[Session, Shift, str], None],
) -> Done:
    """Do `act` for each subject that is due, chunk by chunk in transactions of their own.

    One subject's failure stops nobody: it is parked with its reason, listed by `isp check`, and
    tried again the next day.
    """
    with app.reading() as session:
        subjects = due(session)
    failed = 0
    for start in range(0, len(subjects), CHUNK):
        with app.transaction() as session:
            for subject in subjects[start : start + CHUNK]:
                try:
                    with session.begin_nested():
                        act(session, app.shift, subject)
                        unpark(session, job, subject)
                except Exception as why:  # whatever one subject's trouble is, the others go on
                    failed += 1
                    park(session, app.shift, job, subject, why)
    return Done(len(subjects) - failed, 0, failed)


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


def end_contracts(app: App) -> Done:
    from isp.runs.renewals import end, ends_due

    return each(app, "end-contracts", lambda session: ends_due(session, app.shift.day), end)


def renew_contracts(app: App) -> Done:
    from isp.runs.renewals import renew, renewals_due

    return each(app, "renew", lambda session: renewals_due(session, app.shift.day), renew)


def announce_renewals(app: App) -> Done:
    from isp.runs.renewals import announce_renewal, notices_due

    days = app.policy.contract.renewal_notice_days
    return each(
        app,
        "renewal-notices",
        lambda session: notices_due(session, app.shift.day, days),
        announce_renewal,
    )


def months_to_bill(app: App) -> list[Month]:
    """The last month once its run day has come, and those before it that no run has completed.

    The office bills from the month of its first act on: earlier months were billed elsewhere.
    """
    from billing.queries import billed_to
    from isp.month import Month
    from isp.queries import first_act_on

    today = app.day.today
    last = Month.of(today) - (1 if today.day >= app.policy.billing.run_day else 2)
    with app.reading() as session:
        begun = first_act_on(session)
        billed = billed_to(session)
    if begun is None:
        return []
    first = last if billed is None else min(billed + 1, last)
    if billed is None:
        first = Month.of(begun)
    return list(first.until(last))


def bill_months(app: App) -> Done:
    """Bill what has ended; the last month is looked at every day, for contracts that came late."""
    from billing.runs.bill import bill
    from isp.database import job_lock

    done = skipped = 0
    with job_lock(app.engine, "bill run"):
        for month in months_to_bill(app):
            result = bill(app.transaction, app.shift, month)
            done += result.invoices
            skipped += result.skipped
    return Done(done, skipped)


def announce_invoices(app: App) -> Done:
    """Members are told of the last month's invoices, each once."""
    from billing.runs.announcements import announce
    from isp.month import Month

    month, posted, after = Month.of(app.day.today) - 1, 0, 0
    while True:
        with app.transaction() as session:
            told = announce(session, app.shift, month, CHUNK, after)
        posted += told.posted
        if told.next_id is None:
            return Done(posted)
        after = told.next_id


def export_transfers(app: App) -> Done:
    """The bank's file, from the export day of the month of transfer until the day before it."""
    from billing.drafting import transfer_date
    from cli.debit import write_transfer_file
    from isp.month import Month

    shift = app.shift
    policy, today = shift.policy.transfer, app.day.today
    month = Month.of(today) - 1
    due = policy.export_day <= today.day
    if not due or today >= transfer_date(month, policy.day, shift.day.calendar):
        return Done()
    file = app.path(shift.policy.files.directory) / f"transfer-{month}.txt"
    return _file_once(app, file, lambda: write_transfer_file(app, month, file))


def export_cards(app: App) -> Done:
    from cli.card import write_sales_file
    from isp.month import Month

    month = Month.of(app.day.today) - 1
    if app.day.today.day < app.policy.billing.run_day:
        return Done()
    file = app.path(app.policy.files.directory) / f"card-sales-{month}.csv"
    return _file_once(app, file, lambda: write_sales_file(app, month, file))


def _file_once(app: App, file: Any, write: Callable[[], dict[str, Any]]) -> Done:
    if file.exists():
        return Done(skipped=1)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return Done(write()["records"])
    except Refused as nothing:
        note(f"{file.name}: {nothing}")
        return Done()


def reconcile_mailboxes(app: App) -> Done:
    """Mailboxes and connection accounts follow their contracts."""
    from provisioning.runs.nightly import reconcile

    with app.transaction() as session:
        return Done(reconcile(session, app.shift).total())


def advance_dkim(app: App) -> Done:
    """Keys that sign the domains' mail change over days."""
    from provisioning.runs.domains import advance_keys

    with app.transaction() as session:
        return Done(advance_keys(session, app.shift))


def send_notices(app: App) -> tuple[int, int]:
    """Send what is due in the outbox, a transaction a message; how many went and how many not."""
    from isp.runs.deliveries import connected, send, waiting

    policy = app.policy.outbox
    with app.reading() as session:
        due = waiting(session, app.day.today)
    if not due:
        return 0, 0
    failed = 0
    with connected(policy) as server:
        for id in due:
            with app.transaction() as session:
                refused = send(session, server, policy.sender, id, app.day.now)
                if refused is not None:
                    failed += 1
                    why = Refused(refused.recipient, refused.reason)
                    park(session, app.shift, "outbox", str(id), why)
                else:
                    unpark(session, "outbox", str(id))
    return len(due) - failed, failed


def deliver(app: App) -> Done:
    """Without a server in the policy notices wait; one that is away is tried again tomorrow."""
    from isp.runs.deliveries import waiting

    if not app.policy.outbox.host:
        with app.reading() as session:
            return Done(skipped=len(waiting(session, app.day.today)))
    done, failed = send_notices(app)
    return Done(done, 0, failed)


STEPS = (
    Step("end-contracts", end_contracts),
    Step("renew", renew_contracts),
    Step("renewal-notices", announce_renewals),
    Step("bill", bill_months),
    Step("invoice-notices", announce_invoices),
    Step("transfer-file", export_transfers),
    Step("card-file", export_cards),
    Step("mailboxes", reconcile_mailboxes),
    Step("dkim", advance_dkim),
    Step("outbox", deliver),
)


@click.command()
@pass_app
def daily(app: App) -> None:
    """Do everything that is due on the business date, each thing once, however often it is run.

    Ends contracts, records renewals, sends renewal notices, bills the month that has ended, tells
    members, writes the bank's and the card company's file, brings mailboxes in line, changes
    signing keys, sends the outbox. What fails for one member is parked with its reason and tried
    again the next day.

    \b
    Example (cron):
      15 4 * * *  isp --config /var/lib/isp/isp.toml --format json daily
    """
    from isp.database import job_lock

    steps: list[dict[str, Any]] = []
    broken = 0
    with job_lock(app.engine, "daily"):
        for step in STEPS:
            try:
                result = step.run(app)
            except (Refused, Fault) as why:
                # A step that cannot run today must not keep the others from running.
                note(f"{step.name}: {why}")
                result = Done(failed=1)
            broken += result.failed
            steps.append(
                {
                    "name": step.name,
                    "done": result.done,
                    "skipped": result.skipped,
                    "failed": result.failed,
                }
            )
    app.show({"date": app.day.today, "steps": steps})
    if broken:
        raise Fault(f"daily: {broken} could not be done; see above, and `isp check`")
