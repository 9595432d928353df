"""The bill run [月次請求処理]: every contract charged in a month is billed once for ever (ISP-02).

Members are taken in stretches, each in a transaction of its own that reads what has been billed,
drafts what is missing and writes it. A run that was killed goes on where it stopped; a run after
it bills what came late, and nothing twice (ALL-02).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from billing.drafting import MethodKind, due_date
from billing.runs import bulk, facts
from billing.runs.corrections import BILLED_BEYOND, OPENING_RETURNED, is_left, take_back
from billing.runs.drafts import Draft, Drafts
from billing.tables import BillRun, Invoice
from isp.errors import Refused
from isp.journal import record
from isp.month import Month
from isp.numbers import next_ordinal, written
from isp.shift import Shift
from isp.tables import Customer

Transaction = Callable[[], AbstractContextManager[Session]]

STRETCH = 10_000
"""Members billed in one transaction: a second or less, and memory that stays flat."""


@dataclass(frozen=True, slots=True)
class BillResult:
    """What a run did: contracts and invoices billed now, their sums in yen.

    `skipped` are contracts charged in the month that were billed before; `corrections` took back,
    by credit note or void, what had been billed of contracts that turned out to have ended.
    """

    month: Month
    contracts: int = 0
    invoices: int = 0
    net: int = 0
    tax: int = 0
    gross: int = 0
    skipped: int = 0
    corrections: int = 0

    def __add__(self, other: BillResult) -> BillResult:
        return BillResult(
            self.month,
            self.contracts + other.contracts,
            self.invoices + other.invoices,
            self.net + other.net,
            self.tax + other.tax,
            self.gross + other.gross,
            self.skipped + other.skipped,
            self.corrections + other.corrections,
        )


def bill(
    transaction: Transaction,
    shift: Shift,
    month: Month,
    *,
    dry_run: bool = False,
    ours_only: bool = False,
    stretch: int = STRETCH,
    progress: Callable[[int, int], None] | None = None,
) -> BillResult:
    """Bill a month that has ended; `dry_run` takes any month and writes nothing.

    `transaction` opens a session and commits it at the end; `progress` is told how many members
    of all are done. The caller holds the job's lock; without it two runs still bill nothing twice,
    as each stretch is read and written alone. `ours_only` passes over contracts that were taken
    over after the month: it was billed where they came from.
    """
    if not dry_run and shift.day.today <= month.last:
        raise Refused(
            "month",
            f"{month} has not ended on {shift.day.today}; see what it would be by --dry-run",
        )
    result, after, done = BillResult(month), 0, 0
    with transaction() as session:
        everybody = session.scalar(select(func.count()).select_from(Customer)) or 0
        elsewhere = facts.taken_over_after(session, month) if ours_only else frozenset()
    while True:
        with transaction() as session:
            if not dry_run:
                bulk.alone(session)
            last, size = facts.stretch_after(session, after, stretch)
            if not size:
                break
            with bulk.undisturbed():
                result += _bill_stretch(session, shift, month, after, last, dry_run, elsewhere)
        after, done = last, done + size
        if progress:
            progress(min(done, everybody), everybody)
    if not dry_run:
        with transaction() as session:
            bulk.alone(session)
            _complete(session, shift, result)
    return result


def _bill_stretch(
    session: Session,
    shift: Shift,
    month: Month,
    after: int,
    to: int,
    dry_run: bool,
    elsewhere: frozenset[int],
) -> BillResult:
    """Bill the members with ids in (after, to]."""
    drafts = Drafts(session, shift, month, after, to, elsewhere)
    drafted = list(drafts)
    if drafted and not dry_run:
        first, last = _write(session, shift, month, drafted)
    corrections = _correct(session, shift, drafts, after, to, dry_run)
    result = BillResult(
        month,
        drafts.contracts,
        len(drafted),
        sum(draft.totals.net for draft in drafted),
        sum(draft.totals.tax for draft in drafted),
        sum(draft.totals.gross for draft in drafted),
        drafts.skipped,
        corrections,
    )
    if drafted and not dry_run:
        told = asdict(result) | {"month": month, "first": first, "last": last}
        record(session, shift, "month.billed", str(month), after=told)
    return result


def _correct(
    session: Session, shift: Shift, drafts: Drafts, after: int, to: int, dry_run: bool
) -> int:
    """Take back what should not have been billed, as was recorded afterwards; how often."""
    wrong = [
        (number, positions, BILLED_BEYOND)
        for number, positions in facts.billed_beyond(session, after, to).items()
    ]
    wrong += [(each.invoice, [each.position], OPENING_RETURNED) for each in drafts.to_return]
    done = 0
    for number, positions, reason in wrong:
        if is_left(session, number, positions):
            done += 1
            if not dry_run:
                take_back(session, shift, number, positions, reason)
    return done


def _write(
    session: Session, shift: Shift, month: Month, drafts: Sequence[Draft]
) -> tuple[str, str]:
    """Write the invoices of one stretch; their first and last number."""
    day, policy = shift.day, shift.policy
    prefix = policy.numbers.invoice
    ordinal = next_ordinal(session, Invoice.number, prefix)
    first = bulk.first_id(session, "invoice", len(drafts))
    issued_on, index = day.today.isoformat(), month.index

    @cache
    def due_on(method: MethodKind) -> str:
        return due_date(method, month, policy.transfer.day, day.calendar).isoformat()

    invoices, lines, taxes, collections = [], [], [], []
    for id, (payer, method, charges, totals) in enumerate(drafts, first):
        invoices.append(
            (
                *(id, written(prefix, ordinal + id - first), "invoice", payer.customer_id, index),
                *(issued_on, due_on(method), method, "open"),
                *(totals.net, totals.tax, totals.gross),
                *(payer.customer_name, payer.postal_code, payer.address),
            )
        )
        for position, (contract_id, words, charge) in enumerate(charges, 1):
            lines.append(
                (
                    *(id, position, payer.customer_id, contract_id, index, charge.kind, words),
                    *(charge.net, charge.tax_rate, True),
                )
            )
        for total in totals.taxes:
            taxes.append((id, total.rate, total.net, total.tax))
        if method != "invoice":
            collections.append((id, payer.method_id, method, index, totals.gross, "planned", "0"))
    bulk.write(session, "invoice", invoices)
    bulk.write(session, "invoice_line", lines)
    bulk.write(session, "invoice_tax", taxes)
    bulk.write(session, "collection", collections)
    return written(prefix, ordinal), written(prefix, ordinal + len(drafts) - 1)


def _complete(session: Session, shift: Shift, result: BillResult) -> None:
    """Note that the month has been billed to the end; a rerun changes nothing of it."""
    if session.get(BillRun, result.month) is None:
        session.add(BillRun(month=result.month, completed_at=shift.day.now))
        told = asdict(result) | {"month": result.month}
        record(session, shift, "month.complete", str(result.month), after=told)
