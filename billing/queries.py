"""Named reads of invoices and what is still to be paid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    SQLColumnExpression,
    and_,
    cast,
    exists,
    extract,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from billing import explain
from billing.collecting import billed_months, statement_months
from billing.drafting import sale_date
from billing.explain import Explanation
from billing.tables import Batch, BillRun, Collection, Invoice, InvoiceLine, Payment
from isp.errors import Refused
from isp.month import Month
from isp.queries import customer_named, price_periods
from isp.shift import Shift
from isp.tables import Cancellation, Contract, Journal
from isp.tax import RateTotal

AT_ONCE = 500
"""Invoices in memory at once when a list is read."""


def invoice_named(session: Session, number: str) -> Invoice:
    found = session.scalar(select(Invoice).where(Invoice.number == number))
    if found is None:
        raise Refused("invoice", f"there is no invoice {number!r}")
    return found


def invoice_to_change(session: Session, number: str) -> Invoice:
    """The invoice, kept from other writers until the transaction ends; credit notes are refused."""
    found = session.scalar(
        select(Invoice)
        .where(Invoice.number == number)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise Refused("invoice", f"there is no invoice {number!r}")
    if found.kind == "credit-note":
        raise Refused("invoice", f"{number} is a credit note; name the invoice it belongs to")
    return found


def invoices(
    session: Session,
    *,
    customer: str | None = None,
    month: Month | None = None,
    status: str | None = None,
) -> Iterator[Invoice]:
    """Invoices and credit notes in the order of issue, read as they are taken."""
    wanted = select(Invoice).order_by(Invoice.id)
    if customer is not None:
        wanted = wanted.where(Invoice.customer_id == customer_named(session, customer).id)
    if month is not None:
        wanted = wanted.where(Invoice.month == month)
    if status is not None:
        wanted = wanted.where(Invoice.status == status)
    wanted = wanted.options(
        joinedload(Invoice.customer),
        joinedload(Invoice.refers_to),
        selectinload(Invoice.lines).joinedload(InvoiceLine.contract),
    )
    yield from session.scalars(wanted.execution_options(yield_per=AT_ONCE))


def balances(session: Session, invoice_ids: Sequence[int]) -> dict[int, int]:
    """Yen still to be paid by invoice id [未払残高]: gross - payments + credit notes.

    Negative where more was paid than is owed; nothing is owed on void invoices and credit notes.
    """
    credit = aliased(Invoice)
    paid = dict(
        session.execute(
            select(Payment.invoice_id, func.sum(Payment.amount))
            .where(Payment.invoice_id.in_(invoice_ids))
            .group_by(Payment.invoice_id)
        ).all()
    )
    credited = dict(
        session.execute(
            select(credit.refers_to_id, func.sum(credit.gross))
            .where(credit.refers_to_id.in_(invoice_ids))
            .group_by(credit.refers_to_id)
        ).all()
    )
    owed = session.execute(
        select(Invoice.id, Invoice.gross, Invoice.kind, Invoice.status).where(
            Invoice.id.in_(invoice_ids)
        )
    )
    return {
        id: 0
        if kind == "credit-note" or status == "void"
        else gross - int(paid.get(id, 0)) + int(credited.get(id, 0))
        for id, gross, kind, status in owed
    }


def balance(session: Session, invoice: Invoice) -> int:
    """Yen still to be paid of one invoice, see `balances`."""
    session.flush()
    return balances(session, [invoice.id])[invoice.id]


def open_collection(session: Session, invoice_id: int) -> Collection | None:
    """The collection of the invoice that is planned or on its way; there is one at most."""
    return session.scalar(
        select(Collection).where(
            Collection.invoice_id == invoice_id, Collection.state.in_(("planned", "exported"))
        )
    )


def has_failed(session: Session, invoice_id: int) -> bool:
    """Whether a collection of the invoice came back unpaid."""
    failed = select(Collection.id).where(
        Collection.invoice_id == invoice_id, Collection.state == "failed"
    )
    return session.scalar(failed.limit(1)) is not None


def invoice_json(session: Session, invoice: Invoice) -> dict[str, Any]:
    """The invoice as the command line shows it; amounts in yen."""
    return _json(invoice, balance(session, invoice))


def invoices_json(session: Session, found: Iterable[Invoice]) -> Iterator[dict[str, Any]]:
    """Many invoices as the command line shows them."""
    some: list[Invoice] = []
    for invoice in found:
        some.append(invoice)
        if len(some) == AT_ONCE:
            yield from _some_json(session, some)
            some.clear()
    yield from _some_json(session, some)


def _some_json(session: Session, some: Sequence[Invoice]) -> Iterator[dict[str, Any]]:
    owed = balances(session, [invoice.id for invoice in some])
    for invoice in some:
        yield _json(invoice, owed[invoice.id])


def _json(invoice: Invoice, owed: int) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "kind": invoice.kind,
        "refers_to": invoice.refers_to.number if invoice.refers_to else None,
        "customer": invoice.customer.number,
        "month": invoice.month,
        "issued_on": invoice.issued_on,
        "due_on": invoice.due_on,
        "method": invoice.method,
        "status": invoice.status,
        "lines": [
            {
                "kind": line.kind,
                "description": line.description,
                "contract": line.contract.number if line.contract else None,
                "net": line.net,
                "tax_rate": line.tax_rate,
            }
            for line in invoice.lines
        ],
        "taxes": [
            {"rate": total.rate, "net": total.net, "tax": total.tax} for total in invoice.taxes
        ],
        "net": invoice.net,
        "tax": invoice.tax,
        "gross": invoice.gross,
        "balance": owed,
    }


def billed_to(session: Session) -> Month | None:
    """The last month that has been billed to the end [請求済みの月], None before the first."""
    return session.scalar(select(func.max(BillRun.month)))


def months_to_look_at_again(session: Session) -> list[Month]:
    """Months billed to the end in which something is to be billed after all [再請求].

    A contract charged in them was opened at the desk since, or its invoice was voided. Contracts
    taken over are not meant: what they cost before was billed elsewhere.
    """
    return sorted({*session.scalars(_opened_late()), *session.scalars(_voided())})


def acted_in() -> ColumnElement[int]:
    """The index of the month in which an act of the journal was done."""
    day = Journal.business_date
    return cast(extract("year", day) * 12 + extract("month", day) - 1, Integer)


def _still_charged(month: SQLColumnExpression[Month]) -> ColumnElement[bool]:
    last = Cancellation.last_charged_month
    return or_(last.is_(None), last >= month)


def _opened_late() -> Select[Month]:
    """Complete months without a line of a contract that was opened after they were billed."""
    return (
        select(BillRun.month)
        .select_from(Contract)
        .join(Journal, Journal.subject == Contract.number)
        .join(BillRun, BillRun.completed_at < Journal.at)
        .outerjoin(Cancellation, Cancellation.contract_id == Contract.id)
        .where(
            Journal.act == "contract.opened",
            acted_in() > cast(Contract.charged_from, Integer),
            or_(
                BillRun.month >= Contract.charged_from + Contract.free_months,
                and_(BillRun.month == Contract.charged_from, Contract.opening_fee > 0),
            ),
            _still_charged(BillRun.month),
            ~exists().where(
                InvoiceLine.contract_id == Contract.id,
                InvoiceLine.month == BillRun.month,
                InvoiceLine.live,
            ),
        )
    )


def _voided() -> Select[Month]:
    """Months of void invoices with a line that no other invoice has taken up."""
    again = aliased(InvoiceLine)
    return (
        select(Invoice.month)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .join(BillRun, BillRun.month == Invoice.month)
        .outerjoin(Cancellation, Cancellation.contract_id == InvoiceLine.contract_id)
        .where(
            Invoice.status == "void",
            InvoiceLine.contract_id.is_not(None),
            _still_charged(Invoice.month),
            ~exists().where(
                again.contract_id == InvoiceLine.contract_id,
                again.month == InvoiceLine.month,
                again.kind == InvoiceLine.kind,
                again.live,
            ),
        )
    )


class CardSale(NamedTuple):
    """A card sale: the month it bills, and the statements in which it may show (ISP-06)."""

    invoice: str
    month: Month
    sold_on: date
    amount: int
    state: str
    statements: tuple[Month, ...]


def card_statement(
    session: Session,
    customer: str,
    *,
    statement: Month | None = None,
    sold_on: date | None = None,
) -> list[CardSale]:
    """Which months the lines of a card statement bill [カード明細の照会] (ISP-06).

    By the month of the statement, in which sales of one to three months before may show, or by
    the date of sale on the line, which is the last day of the month it bills.
    """
    if sold_on is not None:
        months = [Month.of(sold_on)]
        if sold_on != sale_date(months[0]):
            raise Refused(
                "sold_on",
                f"{sold_on} is no sale of ours: they are dated the last day of a month",
            )
    elif statement is not None:
        months = list(billed_months(statement))
    else:
        raise Refused("statement", "give the month of the statement or the date of sale")
    rows = session.execute(
        select(Invoice.number, Invoice.month, Collection.amount, Collection.state)
        .join(Collection, Collection.invoice_id == Invoice.id)
        .where(
            Invoice.customer_id == customer_named(session, customer).id,
            Invoice.month.in_(months),
            Collection.channel == "card",
            Collection.state != "withdrawn",
        )
        .order_by(Invoice.month, Invoice.id)
    )
    return [
        CardSale(number, month, sale_date(month), amount, state, tuple(statement_months(month)))
        for number, month, amount, state in rows
    ]


def explained(session: Session, shift: Shift, number: str) -> list[Explanation]:
    """Why an invoice says what it says: each line, the tax per rate and the due date."""
    invoice = invoice_named(session, number)
    policy = shift.policy
    reasons = [explain.explain_line(_facts(line)) for line in invoice.lines]
    reasons += [
        explain.explain_tax(
            RateTotal(total.rate, total.net, total.tax), invoice.month, policy.billing.rounding
        )
        for total in invoice.taxes
    ]
    if invoice.kind == "invoice":
        failed_on = session.scalar(
            select(func.max(Batch.collect_on))
            .join(Collection, Collection.batch_id == Batch.id)
            .where(Collection.invoice_id == invoice.id, Collection.state == "failed")
        )
        reasons.append(
            explain.explain_due_date(
                invoice.method, invoice.month, invoice.due_on, policy.transfer.day, failed_on
            )
        )
    return reasons


def explanation_json(reason: Explanation) -> dict[str, Any]:
    """A reason as the command line shows it."""
    return {
        "line": reason.about,
        "kind": reason.kind,
        "amount": reason.amount,
        "rule": reason.rule["ja"],
        "rule_en": reason.rule["en"],
        "dates": dict(reason.dates),
        "price": reason.price,
        "requirements": list(reason.requirements),
    }


def _facts(line: InvoiceLine) -> explain.Line:
    """What the rules of explaining need to know of a line."""
    contract = line.contract
    if contract is None:
        return explain.Line(line.kind, line.description, line.month, line.net, None)
    left = contract.cancellation
    leaving = None
    if left is not None and left.completed_on is not None and left.last_charged_month is not None:
        leaving = explain.Leaving(
            left.completed_on, left.last_charged_month, left.kind == "withdrawal"
        )
    terms = explain.ContractTerms(
        corporation=contract.customer.kind == "corporation",
        concluded_on=contract.concluded_on,
        opened_on=contract.opened_on,
        charged_from=contract.charged_from,
        term_months=contract.term_months,
        free_months=contract.free_months,
        installation_fee=contract.installation_fee,
        prices=price_periods(contract.plan),
        leaving=leaving,
    )
    return explain.Line(line.kind, line.description, line.month, line.net, terms)
