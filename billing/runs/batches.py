"""Batches of collections [請求データ], to the bank or the card company: given out once, answered once.

A batch is drawn from what is planned; whoever asks again gets the very same file. The answer is
taken in whole or not at all, and a second time it changes nothing (ALL-02).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from billing.collecting import Channel
from billing.tables import IN_COLLECTION, Batch, Collection, Invoice, Payment
from isp.errors import Fault, Refused
from isp.journal import record
from isp.month import Month
from isp.shift import Shift
from isp.tables import PaymentMethod

Content = Callable[[Session, Select[int]], Iterable[bytes]]
"""Makes the file of the collections with these ids, always the same way."""


class Exported(NamedTuple):
    """A batch and the bytes of its file; `again` where it had been given out before."""

    batch: Batch
    content: list[bytes]
    again: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bank or card company says of one collection; `code` as its file has it."""

    collection_id: int
    settled: bool
    code: str


def planned(channel: Channel, month: Month) -> ColumnElement[bool]:
    """Collections to be given out with the file for `month`: those planned for it or before.

    Nothing is drawn under a mandate that has been suspended (ISP-07).
    """
    suspended = select(PaymentMethod.id).where(PaymentMethod.mandate == "suspended")
    return and_(
        IN_COLLECTION,
        Collection.state == "planned",
        Collection.channel == channel,
        Collection.month <= month,
        Collection.payment_method_id.not_in(suspended),
    )


def follow_changes(session: Session, channel: Channel, month: Month) -> None:
    """What is planned goes to the account or card that the member has now (ISP-03).

    A member who has turned to another way of paying is collected from as it was announced.
    """
    now = aliased(PaymentMethod)
    changed = session.execute(
        select(Collection.id, now.id)
        .join(PaymentMethod, PaymentMethod.id == Collection.payment_method_id)
        .join(now, now.customer_id == PaymentMethod.customer_id)
        .where(
            planned(channel, month),
            PaymentMethod.valid_until.is_not(None),
            now.valid_until.is_(None),
            now.kind == channel,
            now.mandate != "suspended",
        )
    ).all()
    if changed:
        session.execute(
            update(Collection),
            [{"id": id, "payment_method_id": method_id} for id, method_id in changed],
        )


def mark_new(session: Session, channel: Channel, month: Month) -> None:
    """Note which accounts are drawn on for the first time: 1, or 2 where another came before.

    The note stays with the collection, so that the file can be made again as it was.
    """
    drawn = (
        select(Collection.payment_method_id, PaymentMethod.customer_id)
        .join(PaymentMethod, PaymentMethod.id == Collection.payment_method_id)
        .where(Collection.batch_id.is_not(None), Collection.channel == channel)
        .subquery()
    )
    known_members = select(PaymentMethod.id).where(
        PaymentMethod.customer_id.in_(select(drawn.c.customer_id))
    )
    session.execute(
        update(Collection)
        .where(planned(channel, month))
        .values(
            new_code=case(
                (Collection.payment_method_id.in_(select(drawn.c.payment_method_id)), "0"),
                (Collection.payment_method_id.in_(known_members), "2"),
                else_="1",
            )
        )
        .execution_options(synchronize_session=False)
    )


def give_out(
    session: Session,
    shift: Shift,
    channel: Channel,
    month: Month,
    collect_on: date,
    content: Content,
) -> Exported:
    """One file of all that is planned; with nothing planned, the last file of the month again.

    A month still running is refused: what was planned for an earlier day would be drawn late.
    """
    if shift.day.today <= month.last:
        raise Refused("month", f"{month} has not ended on {shift.day.today}; see `isp bill run`")
    chosen = planned(channel, month)
    records, amount = session.execute(
        select(func.count(), func.sum(Collection.amount)).where(chosen)
    ).one()
    if not records:
        return _again(session, channel, month, content)
    made = list(content(session, select(Collection.id).where(chosen)))
    digest = _digest(made)
    _refuse_same(session, digest, collect_on)
    batch = Batch(
        channel=channel,
        month=month,
        collect_on=collect_on,
        state="exported",
        records=records,
        amount=int(amount),
        file_sha256=digest,
        exported_at=shift.day.now,
    )
    session.add(batch)
    session.flush()
    marked = session.execute(
        update(Collection)
        .where(chosen)
        .values(state="exported", batch_id=batch.id)
        .execution_options(synchronize_session=False)
    )
    if marked.rowcount != records:  # type: ignore[attr-defined] # an UPDATE has a row count
        raise Fault("collections changed while the file was made; nothing was changed, try again")
    _set_status(session, batch, "exported", "collecting")
    record(session, shift, "batch.exported", subject(batch), after=batch_json(batch))
    return Exported(batch, made, again=False)


def _again(session: Session, channel: Channel, month: Month, content: Content) -> Exported:
    batch = session.scalar(
        select(Batch)
        .where(Batch.channel == channel, Batch.month == month)
        .order_by(Batch.id.desc())
        .limit(1)
    )
    if batch is None:
        raise Refused("month", f"nothing is to be collected for {month}; has it been billed?")
    made = list(content(session, select(Collection.id).where(Collection.batch_id == batch.id)))
    if _digest(made) != batch.file_sha256:
        raise Refused(
            "month",
            f"the file for {month} was given out before and would look different now: the policy "
            "or names of banks have changed since; use the file that was made then",
        )
    return Exported(batch, made, again=True)


def _digest(content: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in content:
        digest.update(block)
    return digest.hexdigest()


def _refuse_same(session: Session, digest: str, collect_on: date) -> None:
    """Two files of one day with the same bytes: nobody could tell whose answer comes back."""
    same = select(Batch.id).where(Batch.file_sha256 == digest, Batch.collect_on == collect_on)
    if session.scalar(same) is not None:
        raise Refused(
            "month",
            f"a file with these very items was given out for {collect_on} already; collect them "
            "with the next month",
        )


def take_in(
    session: Session,
    shift: Shift,
    batch: Batch,
    answers: Sequence[Answer],
    digest: str,
    source: str,
) -> None:
    """Note every answer of a batch: what was paid is booked on the day of collection.

    What failed is left to the caller, which knows what its codes mean.
    """
    session.execute(
        update(Collection),
        [
            {
                "id": answer.collection_id,
                "state": "paid" if answer.settled else "failed",
                "result_code": answer.code,
            }
            for answer in answers
        ],
    )
    paid = session.execute(
        select(Invoice.id, Invoice.number, Collection.amount)
        .join(Invoice, Invoice.id == Collection.invoice_id)
        .where(Collection.batch_id == batch.id, Collection.state == "paid")
        .order_by(Collection.id)
    ).all()
    if paid:
        session.execute(
            insert(Payment),
            [
                {
                    "invoice_id": id,
                    "paid_on": batch.collect_on,
                    "amount": amount,
                    "channel": batch.channel,
                    "source": source,
                    "reference": f"{batch.id}/{number}",
                }
                for id, number, amount in paid
            ],
        )
    _set_status(session, batch, "paid", "paid")
    batch.state = "imported"
    batch.result_sha256 = digest
    batch.settled_records = len(paid)
    batch.settled_amount = sum(amount for _, _, amount in paid)
    session.flush()
    session.expire_all()
    record(session, shift, "batch.imported", subject(batch), after=batch_json(batch))


def _set_status(session: Session, batch: Batch, state: str, status: str) -> None:
    """Invoices whose collection in this batch is in `state` get `status`, all at once."""
    theirs = select(Collection.invoice_id).where(
        Collection.batch_id == batch.id, Collection.state == state
    )
    session.execute(
        update(Invoice)
        .where(Invoice.id.in_(theirs))
        .values(status=status)
        .execution_options(synchronize_session=False)
    )


def failed_in(session: Session, batch: Batch) -> Sequence[Collection]:
    """The collections of an imported batch that were not paid, in the order of the file."""
    return session.scalars(
        select(Collection)
        .where(Collection.batch_id == batch.id, Collection.state == "failed")
        .order_by(Collection.id)
    ).all()


def subject(batch: Batch) -> str:
    """Under which name the journal keeps a batch."""
    return f"batch {batch.id}"


def batch_json(batch: Batch) -> dict[str, object]:
    """A batch as journal and command line show it."""
    return {
        "batch": batch.id,
        "channel": batch.channel,
        "month": batch.month,
        "collect_on": batch.collect_on,
        "state": batch.state,
        "records": batch.records,
        "amount": batch.amount,
        "settled_records": batch.settled_records,
        "settled_amount": batch.settled_amount,
        "file_sha256": batch.file_sha256,
    }


def batches_of(session: Session, channel: Channel, month: Month) -> list[Batch]:
    """The files given out for a billed month, in the order in which they were."""
    return list(
        session.scalars(
            select(Batch).where(Batch.channel == channel, Batch.month == month).order_by(Batch.id)
        )
    )


def is_anything_planned(session: Session, channel: Channel, month: Month) -> bool:
    """Whether there is something to draw with the file of a billed month."""
    return session.scalar(select(Collection.id).where(planned(channel, month)).limit(1)) is not None
