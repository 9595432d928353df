"""Notices of invoices [請求のお知らせ]: each member is told once what is due and how (ISP-04)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, lazyload

from billing.queries import balances
from billing.tables import Invoice
from isp.month import Month
from isp.outbox import message_id, post
from isp.shift import Shift
from isp.tables import Outbox

LOOK_AT = 500
"""Invoices looked at in one statement."""


class Announced(NamedTuple):
    """How many notices were put out, and where to go on; `next_id` is None at the end."""

    posted: int
    next_id: int | None


def announce(
    session: Session, shift: Shift, month: Month, limit: int, after_id: int = 0
) -> Announced:
    """Tell members of their invoices for `month`, up to `limit` of them, each once (ALL-02).

    Who pays by account transfer is told amount and day of transfer, who pays by invoice what to
    pay and by when; card payers get nothing (ISP-04). What is paid or void needs no word, what failed has had it.
    """
    posted = 0
    while True:
        found = session.scalars(
            select(Invoice)
            .where(
                Invoice.month == month,
                Invoice.id > after_id,
                Invoice.kind == "invoice",
                Invoice.method != "card",
                Invoice.status.in_(("open", "collecting")),
            )
            .order_by(Invoice.id)
            .limit(LOOK_AT)
            .options(joinedload(Invoice.customer), lazyload(Invoice.lines), lazyload(Invoice.taxes))
        ).all()
        if not found:
            return Announced(posted, None)
        told = _told(session, shift, found)
        owed = balances(session, [invoice.id for invoice in found])
        for invoice in found:
            if posted == limit:
                return Announced(posted, after_id)
            if invoice.number not in told:
                posted += announce_invoice(session, shift, invoice, owed[invoice.id])
            after_id = invoice.id


def announce_invoice(session: Session, shift: Shift, invoice: Invoice, owed: int) -> bool:
    """Tell the member of one invoice and the `owed` yen; false where it has been told already."""
    kind, key = _notice(invoice)
    values: dict[str, object] = {
        "invoice_number": invoice.number,
        "month": invoice.month,
        "gross": owed,
    }
    if kind == "transfer-announced":
        values["debit_on"] = invoice.due_on
    else:
        values |= {"due_on": invoice.due_on, "method": invoice.method}
    return post(session, shift, kind, invoice.customer, key, values)


def _notice(invoice: Invoice) -> tuple[str, str]:
    """Kind and key of the notice: a new one where the invoice is to be paid on another day."""
    transfer = invoice.method == "account-transfer"
    kind = "transfer-announced" if transfer else "invoice-issued"
    return kind, f"{invoice.number}/{invoice.due_on}"


def _told(session: Session, shift: Shift, found: Sequence[Invoice]) -> frozenset[str]:
    """Numbers of those invoices whose notice is in the outbox, sent or waiting."""
    domain = shift.policy.mail.domain
    notices = {message_id(*_notice(invoice), domain): invoice.number for invoice in found}
    there = session.scalars(select(Outbox.message_id).where(Outbox.message_id.in_(notices)))
    return frozenset(notices[identity] for identity in there)
