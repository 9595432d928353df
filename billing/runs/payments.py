"""Payments [入金・返金] that reach the office another way than by transfer or card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.queries import balance, invoice_to_change, open_collection
from billing.runs.ledger import settle
from billing.tables import Batch, Invoice, Payment
from isp.errors import Refused
from isp.identity import name
from isp.journal import record
from isp.outbox import post
from isp.shift import Shift

PaidBy = Literal["bank", "convenience-store", "post", "cash"]


@dataclass(frozen=True, slots=True)
class Booked:
    """An invoice after a payment: `balance` yen are left; `already` where it was booked before."""

    invoice: Invoice
    balance: int
    already: bool


def record_payment(
    session: Session,
    shift: Shift,
    number: str,
    amount: int,
    paid_on: date,
    channel: PaidBy,
    reference: str | None = None,
) -> Booked:
    """Book money received for an invoice [消込]; the same notice twice is booked once (ALL-02).

    `reference` is the number on the bank's or shop's notice; without one invoice, day, amount and
    way of payment tell notices apart. A part keeps the invoice open; more than is owed is refused.
    """
    _check(shift, amount, paid_on, channel)
    invoice = invoice_to_change(session, number)
    reference = _reference(reference, f"{number}/{paid_on}/{amount}")
    booked = _booked(session, invoice, channel, reference, amount, paid_on)
    if booked is not None:
        return booked
    owed = balance(session, invoice)
    _refuse_unpayable(session, invoice, amount, owed)
    return _book(session, shift, invoice, amount, paid_on, channel, reference)


def refund(
    session: Session,
    shift: Shift,
    number: str,
    amount: int,
    paid_on: date,
    channel: PaidBy,
    reference: str | None = None,
) -> Booked:
    """Pay back what was paid beyond what is owed [返金], after a credit note; booked once."""
    _check(shift, amount, paid_on, channel)
    invoice = invoice_to_change(session, number)
    reference = _reference(reference, f"refund/{number}/{paid_on}/{amount}")
    booked = _booked(session, invoice, channel, reference, -amount, paid_on)
    if booked is not None:
        return booked
    owed = balance(session, invoice)
    if amount > -owed:
        raise Refused(
            "amount",
            f"{number} has {max(-owed, 0)} yen to be paid back, not {amount}; credit it first",
        )
    return _book(session, shift, invoice, -amount, paid_on, channel, reference)


def _check(shift: Shift, amount: int, paid_on: date, channel: str) -> None:
    if amount <= 0:
        raise Refused("amount", f"{amount} must be whole yen above 0")
    if paid_on > shift.day.today:
        raise Refused("on", f"{paid_on} is still to come (today is {shift.day.today})")
    if channel not in get_args(PaidBy):
        raise Refused("by", f"{channel!r} is none of {', '.join(get_args(PaidBy))}")


def _reference(given: str | None, default: str) -> str:
    return default if given is None else name(given, "reference")


def _booked(
    session: Session,
    invoice: Invoice,
    source: str,
    reference: str,
    amount: int,
    paid_on: date,
) -> Booked | None:
    """What this very notice has booked before; refused where it booked something else."""
    found = session.scalar(
        select(Payment).where(Payment.source == source, Payment.reference == reference)
    )
    if found is None:
        return None
    if (found.invoice_id, found.amount, found.paid_on) != (invoice.id, amount, paid_on):
        other = session.get_one(Invoice, found.invoice_id)
        raise Refused(
            "reference",
            f"{reference!r} booked {found.amount} yen of {found.paid_on} for {other.number}; "
            "a notice is booked once",
        )
    return Booked(invoice, balance(session, invoice), already=True)


def _refuse_unpayable(session: Session, invoice: Invoice, amount: int, owed: int) -> None:
    number = invoice.number
    if invoice.status == "void":
        raise Refused("invoice", f"{number} is void: book it for the invoice that replaced it")
    collection = open_collection(session, invoice.id)
    if collection is not None and collection.batch_id is not None:
        batch = session.get_one(Batch, collection.batch_id)
        raise Refused(
            "invoice",
            f"{number} is being collected by {batch.channel} of {batch.collect_on}: read the "
            "result in first, then book this payment, or pay it back",
        )
    if owed <= 0:
        raise Refused("invoice", f"{number} is paid: book it for another invoice, or pay it back")
    if amount > owed:
        raise Refused(
            "amount",
            f"{amount} yen are more than the {owed} yen left of {number}: book {owed}, and the "
            "rest for another invoice or pay it back",
        )


def _book(
    session: Session,
    shift: Shift,
    invoice: Invoice,
    amount: int,
    paid_on: date,
    channel: PaidBy,
    reference: str,
) -> Booked:
    payment = Payment(
        invoice_id=invoice.id,
        paid_on=paid_on,
        amount=amount,
        channel=channel,
        source=channel,
        reference=reference,
    )
    session.add(payment)
    session.flush()
    owed = settle(session, invoice)
    act = "payment.received" if payment.amount > 0 else "payment.returned"
    after = {
        "amount": payment.amount,
        "paid_on": payment.paid_on,
        "channel": payment.channel,
        "reference": payment.reference,
        "status": invoice.status,
        "balance": owed,
    }
    record(session, shift, act, invoice.number, after=after)
    if payment.amount > 0:
        post(
            session,
            shift,
            "payment-received",
            invoice.customer,
            f"{payment.source}/{payment.reference}",
            {
                "invoice_number": invoice.number,
                "month": invoice.month,
                "amount": payment.amount,
                "paid_on": payment.paid_on,
                "balance": owed,
            },
        )
    return Booked(invoice, owed, already=False)
