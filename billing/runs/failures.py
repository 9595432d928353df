"""What could not be collected [振替不能・請求不能]: drawn again, or to be paid by invoice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.collecting import (
    CARD_REASONS,
    MANDATE_ENDS,
    is_drawn_again,
    next_draw,
    pay_failed_by,
)
from billing.drafting import transfer_date
from billing.queries import balances
from billing.runs.announcements import announce_invoice
from billing.runs.ledger import settle
from billing.tables import IN_COLLECTION, Batch, Collection, Invoice
from billing.zengin import RESULT_CODES
from isp.documents import Language
from isp.journal import record
from isp.outbox import post
from isp.queries import current_method
from isp.shift import Shift
from isp.tables import Customer, PaymentMethod


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that was not paid: yen, the code of the file, and what it means."""

    customer: str
    invoice: str
    amount: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a result file did: items paid, items failed; `already` where it was read before."""

    batch: Batch
    paid: int
    failed: tuple[Failed, ...]
    already: bool


def failed_items(
    failures: Sequence[Collection],
    language: Language,
    reasons: Mapping[str, str] | None = None,
) -> tuple[Failed, ...]:
    """The items of a batch that were not paid, as the desk reads them.

    `reasons`, by number of the invoice, are those of the file, where it gives any in words.
    """
    given = reasons or {}
    return tuple(
        Failed(
            each.invoice.customer.number,
            each.invoice.number,
            each.amount,
            each.result_code or "",
            given.get(each.invoice.number) or reason(each, language),
        )
        for each in failures
    )


def reason(collection: Collection, language: Language) -> str:
    """Why a collection failed, in words."""
    code = collection.result_code or ""
    if collection.channel == "card":
        return CARD_REASONS[language]
    return RESULT_CODES[code].ja if language == "ja" else RESULT_CODES[code].en


def fail(session: Session, shift: Shift, batch: Batch, failures: Sequence[Collection]) -> None:
    """What becomes of the items of a batch that were not paid (ISP-07); members are told."""
    owed = balances(session, [each.invoice_id for each in failures])
    ended = {
        each.payment_method_id: each.method
        for each in failures
        if batch.channel == "account-transfer" and each.result_code in MANDATE_ENDS
    }
    for method in ended.values():
        method.mandate = "suspended"
    session.flush()
    for collection in failures:
        invoice = collection.invoice
        again = _drawn_again(session, shift, batch, collection, owed[invoice.id])
        settle(session, invoice)
        retry_on = (
            transfer_date(again.month, shift.policy.transfer.day, shift.day.calendar)
            if again
            else None
        )
        record(
            session,
            shift,
            "collection.failed",
            invoice.number,
            after={
                "batch": batch.id,
                "amount": collection.amount,
                "code": collection.result_code,
                "retry_on": retry_on,
            },
        )
        if batch.channel == "account-transfer" and owed[invoice.id] > 0:
            _tell_failed(session, shift, batch, collection, owed[invoice.id], retry_on)
        if again is None and owed[invoice.id] > 0:
            _pay_by_invoice(session, shift, batch, invoice, owed[invoice.id])
    _pay_planned_by_invoice(session, shift, batch, list(ended))
    for method in ended.values():
        _tell_mandate_ended(session, shift, method)


def _drawn_again(
    session: Session, shift: Shift, batch: Batch, failed: Collection, owed: int
) -> Collection | None:
    """The next try at the account the member has now, where policy and mandate allow one."""
    policy, day = shift.policy.transfer, shift.day
    code = failed.result_code or ""
    now = current_method(session, failed.invoice.customer_id)
    if (
        owed <= 0
        or not is_drawn_again(batch.channel, code, policy.insufficient_funds)
        or now is None
        or now.kind != "account-transfer"
        or now.mandate != "active"
    ):
        return None
    again = Collection(
        invoice_id=failed.invoice_id,
        payment_method_id=now.id,
        channel=failed.channel,
        month=next_draw(batch.month, day.today, policy.day, day.calendar),
        amount=owed,
        state="planned",
    )
    session.add(again)
    return again


def _pay_by_invoice(
    session: Session, shift: Shift, batch: Batch, invoice: Invoice, owed: int
) -> None:
    """Ask the member to pay what could not be collected; the only time that a due date moves."""
    before = {"method": invoice.method, "due_on": invoice.due_on}
    invoice.method = "invoice"
    invoice.due_on = pay_failed_by(batch.collect_on, shift.day.today, shift.day.calendar)
    session.flush()
    record(
        session,
        shift,
        "invoice.to-be-paid-by-invoice",
        invoice.number,
        before=before,
        after={"method": invoice.method, "due_on": invoice.due_on},
    )
    announce_invoice(session, shift, invoice, owed)


def _pay_planned_by_invoice(
    session: Session, shift: Shift, batch: Batch, method_ids: Sequence[int]
) -> None:
    """Nothing more is drawn under mandates that the banks do not know (ISP-07)."""
    planned = session.scalars(
        select(Collection)
        .where(
            IN_COLLECTION,
            Collection.state == "planned",
            Collection.payment_method_id.in_(method_ids),
        )
        .order_by(Collection.id)
    ).all()
    for collection in planned:
        collection.state = "withdrawn"
        session.flush()
        owed = settle(session, collection.invoice)
        _pay_by_invoice(session, shift, batch, collection.invoice, owed)


def _tell_mandate_ended(session: Session, shift: Shift, method: PaymentMethod) -> None:
    """The mandate is suspended; the member is asked for a new one (ISP-07)."""
    customer = session.get_one(Customer, method.customer_id)
    record(
        session,
        shift,
        "mandate.suspended",
        customer.number,
        before={"mandate": "active"},
        after={"mandate": "suspended"},
    )
    post(session, shift, "mandate-needed", customer, f"{customer.number}/{method.id}", {})


def _tell_failed(
    session: Session,
    shift: Shift,
    batch: Batch,
    collection: Collection,
    owed: int,
    retry_on: date | None,
) -> None:
    invoice = collection.invoice
    post(
        session,
        shift,
        "transfer-failed",
        invoice.customer,
        f"{invoice.number}/{batch.id}",
        {
            "invoice_number": invoice.number,
            "month": invoice.month,
            "gross": owed,
            "debit_on": batch.collect_on,
            "reason": reason(collection, invoice.customer.language),
            "retry_on": retry_on,
        },
    )
