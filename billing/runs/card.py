"""Credit cards [クレジットカード]: the sales file for the card company, and its results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from billing import card_files
from billing.card_files import AnsweredSale, Sale
from billing.collecting import DECLINED, SOLD, Channel
from billing.drafting import sale_date
from billing.runs import batches
from billing.runs.batches import Answer, Exported
from billing.runs.failures import Imported, fail, failed_items
from billing.tables import Batch, Collection, Invoice
from isp.errors import Refused
from isp.month import Month
from isp.shift import Shift
from isp.tables import Customer, PaymentMethod

CHANNEL: Channel = "card"
ROWS_AT_ONCE = 1_000


def export_cards(session: Session, shift: Shift, month: Month) -> Exported:
    """The card company's file of the sales for the billed `month` and what came late (ISP-06).

    Each sale is dated the last day of the month it bills. Asked again with nothing new planned,
    it is the very same file.
    """
    batches.follow_changes(session, CHANNEL, month)

    def content(session: Session, ids: Select[int]) -> Iterator[bytes]:
        return card_files.sales_file(sale for _, sale in _sales(session, ids))

    return batches.give_out(session, shift, CHANNEL, month, sale_date(month), content)


def _sales(session: Session, ids: Select[int]) -> Iterator[tuple[int, Sale]]:
    """Collections as rows of the file, in the order in which they were planned."""
    rows = session.execute(
        select(
            Collection.id,
            Collection.amount,
            Invoice.number,
            Invoice.month,
            Customer.number,
            PaymentMethod.card_token,
            PaymentMethod.card_brand,
            PaymentMethod.card_last4,
            PaymentMethod.card_expires,
        )
        .join(Invoice, Invoice.id == Collection.invoice_id)
        .join(PaymentMethod, PaymentMethod.id == Collection.payment_method_id)
        .join(Customer, Customer.id == PaymentMethod.customer_id)
        .where(Collection.id.in_(ids))
        .order_by(Collection.id)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for id, amount, invoice, month, customer, token, brand, last4, expires in rows:
        sold_on = sale_date(month).isoformat()
        yield (
            id,
            Sale(
                *(invoice, customer, token or "", brand or "", last4 or ""),
                *(str(expires), sold_on, str(amount)),
            ),
        )


def import_cards(session: Session, shift: Shift, results: Sequence[AnsweredSale]) -> Imported:
    """Settle or fail every sale of a file of ours by the card company's results, all or nothing.

    Every sale once and as it was given, in any order; read a second time it changes nothing and
    says so. What was declined the member is asked to pay by invoice.
    """
    digest = _digest(results)
    batch = _batch(session, results)
    already = batch.state == "imported"
    if already and batch.result_sha256 != digest:
        raise Refused(
            "file", f"batch {batch.id} has been answered, and otherwise: ask the card company"
        )
    if not already:
        answers = _answers(session, batch, results)
        batches.take_in(session, shift, batch, answers, digest, "card-company")
    failures = batches.failed_in(session, batch)
    if not already:
        fail(session, shift, batch, failures)
    reasons = {each.sale.invoice: each.reason for each in results if not each.sold}
    failed = failed_items(failures, shift.policy.language, reasons)
    return Imported(batch, batch.settled_records or 0, failed, already)


def _digest(results: Sequence[AnsweredSale]) -> str:
    """What the results say, whatever their order."""
    digest = hashlib.sha256()
    for sale, sold, reason in sorted(results):
        digest.update("\x1f".join((*sale, str(sold), reason, "\n")).encode())
    return digest.hexdigest()


def _batch(session: Session, results: Sequence[AnsweredSale]) -> Batch:
    """The file of ours that holds the first sale; the latest, where it was given out again."""
    first = results[0].sale
    found = session.scalar(
        select(Batch)
        .join(Collection, Collection.batch_id == Batch.id)
        .join(Invoice, Invoice.id == Collection.invoice_id)
        .where(Batch.channel == CHANNEL, Invoice.number == first.invoice)
        .order_by(Batch.id.desc())
        .limit(1)
    )
    if found is None:
        raise Refused("file", f"line 2: {first.invoice[:20]!r} was not given to the card company")
    count, amount = len(results), sum(int(each.sale.amount) for each in results)
    if (count, amount) != (found.records, found.amount):
        raise Refused(
            "file",
            f"has {count} sales of {amount} yen, the file for {found.month} had {found.records} "
            f"of {found.amount} yen; fetch the whole file",
        )
    return found


def _answers(session: Session, batch: Batch, results: Sequence[AnsweredSale]) -> list[Answer]:
    """Every sale of the file with its result, each once; refused where one does not fit."""
    ids = select(Collection.id).where(Collection.batch_id == batch.id)
    given = {sale: id for id, sale in _sales(session, ids)}
    answers = []
    for line, (sale, sold, _) in enumerate(results, 2):
        id = given.pop(sale, None)
        if id is None:
            raise Refused(
                "file", f"line {line}: {sale.invoice[:20]!r} is not in our file as it stands here"
            )
        answers.append(Answer(id, sold, SOLD if sold else DECLINED))
    return answers
