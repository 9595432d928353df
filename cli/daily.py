"""`isp daily`: everything that is due today, each thing once, in an order a person can read.

Where two trades meet (a contract that ends, a mailbox that goes with it), they meet here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, note, pass_app
from cli.parking import park, unpark
from isp.errors import Fault, Refused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from billing.collecting import Channel
    from billing.runs.batches import Exported
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

    Months completed before are looked at again where something is to be billed after all.
    The office bills from the month of its first contract on, concluded here or taken over: what
    came before was billed elsewhere.
    """
    from billing.queries import billed_to, months_to_look_at_again
    from isp.month import Month
    from isp.queries import first_contract_on

    today = app.day.today
    last = Month.of(today) - (1 if today.day >= app.policy.billing.run_day else 2)
    with app.reading() as session:
        billed = billed_to(session)
        begun = first_contract_on(session) if billed is None else None
        again = months_to_look_at_again(session)
    if billed is not None:
        first = min(billed + 1, last)
        return [*(month for month in again if month < first), *first.until(last)]
    return list(Month.of(begun).until(last)) if begun else []


def bill_months(app: App) -> Done:
    """Bill what has ended; the last month is looked at every day, for contracts that came late.

    A contract taken over is billed from the month of the take-over on, by this run; `isp bill run`
    bills any month that it is told to.
    """
    from billing.runs.bill import bill
    from isp.database import job_lock

    done = skipped = 0
    with job_lock(app.engine, "bill run"):
        for month in months_to_bill(app):
            result = bill(app.transaction, app.shift, month, ours_only=True)
            done += result.invoices
            skipped += result.skipped
    return Done(done, skipped)


def announce_invoices(app: App) -> Done:
    """Members are told of the invoices of the last year, each once, also when the day runs late."""
    from billing.runs.announcements import announce
    from isp.month import Month

    posted, last = 0, Month.of(app.day.today) - 1
    for month in (last - 11).until(last):
        after: int | None = 0
        while after is not None:
            with app.transaction() as session:
                told = announce(session, app.shift, month, CHUNK, after)
            posted, after = posted + told.posted, told.next_id
    return Done(posted)


def export_transfers(app: App) -> Done:
    """The bank's file, from the export day of the month of transfer until the day before it."""
    from billing.drafting import transfer_date
    from billing.runs.transfer import export_transfer
    from isp.month import Month

    shift = app.shift
    policy, today = shift.policy.transfer, app.day.today
    month = Month.of(today) - 1
    # Compared as dates: the day of transfer may be moved into the next month.
    drawn_on = transfer_date(month, policy.day, shift.day.calendar)
    if not today.replace(day=policy.export_day) <= today < drawn_on:
        return Done()
    name = f"transfer-{month}", ".txt"
    return hand_out_once(
        app, "account-transfer", month, name, lambda s: export_transfer(s, shift, month)
    )


def export_cards(app: App) -> Done:
    """The card company's file, from the day of the bill run on."""
    from billing.runs.card import export_cards
    from isp.month import Month

    shift, month = app.shift, Month.of(app.day.today) - 1
    if app.day.today.day < shift.policy.billing.run_day:
        return Done()
    name = f"card-sales-{month}", ".csv"
    return hand_out_once(app, "card", month, name, lambda s: export_cards(s, shift, month))


def hand_out_once(
    app: App,
    channel: Channel,
    month: Month,
    name: tuple[str, str],
    export: Callable[[Session], Exported],
) -> Done:
    """Write the file of what is planned, numbered after the first; never one given out before.

    What the database knows decides, not what lies in the folder: a file that the operator has
    moved away is not written again, and one whose name a crash prevented gets it now.
    """
    from billing.runs.batches import batches_of, is_anything_planned
    from cli.debit import hand_out, part_of

    folder = app.path(app.policy.files.directory)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as wrong:
        raise Fault(f"files.directory: cannot make {folder}: {wrong.strerror}") from None
    with app.reading() as session:
        waiting = is_anything_planned(session, channel, month)
        given = [batch.records for batch in batches_of(session, channel, month)]
    stem, suffix = name
    files = [
        folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        for number in range(1, len(given) + 2)
    ]
    for unfinished in filter(Path.exists, map(part_of, files[:-1])):
        unfinished.replace(unfinished.with_suffix(""))
    if not waiting:
        return Done(skipped=sum(given))
    return Done(hand_out(app, files[-1], export).batch.records, sum(given))


def reconcile_mailboxes(app: App) -> Done:
    """Mailboxes, connection accounts and web spaces follow their contracts."""
    from cli.sessions import end_later
    from provisioning.runs.nightly import reconcile

    with app.transaction() as session:
        night = reconcile(session, app.shift)
        end_later(session, app, night.barred)
    return Done(night.acts.total())


def reconcile_platform(app: App) -> Done:
    """Sessions of the barred end, Maildirs follow their mailboxes, and the keys of today sign.

    Where the mail belongs to somebody else (Dovecot's `vmail`) and the day is not run by root, this
    is left to `isp mail-platform reconcile`, which root runs after it.
    """
    from cli.reconciling import bring_in_line
    from provisioning.runs.maildirs import is_ours

    if not is_ours(app.shift):
        app.feed_servers()
        return Done(skipped=1)
    outcome = bring_in_line(app)
    if outcome.problems:
        told = "`isp mail-platform reconcile --dry-run` tells them"
        note(f"mail-platform: {len(outcome.problems)} problem(s); {told}")
    return Done(len(outcome.actions), 0, outcome.failed)


def keep_web_spaces(app: App) -> Done:
    """Folders of web spaces follow their spaces; what is removed goes to the archive."""
    from provisioning.runs.web_space import keep_folders

    return Done(keep_folders(app.reading, app.shift))


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
    Step("mail-platform", reconcile_platform),
    Step("web-space", keep_web_spaces),
    Step("outbox", deliver),
)


@click.command()
@pass_app
def daily(app: App) -> None:
    """Do everything that is due on the business date, each thing once, however often it is run.

    Ends contracts, records renewals, sends renewal notices, bills the month that has ended, tells
    members, writes the bank's and the card company's file, brings mailboxes and their Maildirs in
    line, changes signing keys, sends the outbox. What fails for one member is parked with its
    reason and tried again the next day.

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
