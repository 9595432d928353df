"""What the bill run reads of a stretch of members [請求対象]: contracts, payers, what was billed.

Core rows in the order of members, never mapped objects: a hundred thousand of them are read in
seconds and forgotten chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased

from billing.drafting import LEAVING, RUNNING
from billing.tables import LIVE, BillRun, Invoice, InvoiceLine
from isp.charges import PricePeriod
from isp.month import Month
from isp.queries import price_periods
from isp.tables import Address, Cancellation, Contract, Customer, Journal, PaymentMethod, Plan

MANY = 5_000
"""Contracts asked for by number of id in one statement."""


class Candidate(NamedTuple):
    """A contract that may have something to be billed, with its payer; months are indexes."""

    customer_id: int
    customer_name: str
    language: str
    postal_code: str
    address: str
    method_id: int | None
    method_kind: str | None
    mandate: str | None
    contract_id: int
    number: str
    plan_id: int
    charged_from: int | None
    opening_fee: int
    free_months: int
    last_charged: int | None
    leaving_kind: str | None
    early_fee: int | None
    installation: int | None
    early_fee_tax: str


class OpeningFee(NamedTuple):
    """An opening fee that was billed [初期費用], yen net, and the line it stands on."""

    net: int
    tax_rate: int
    invoice: str
    position: int


class Tariff(NamedTuple):
    """A plan as lines of an invoice need it."""

    name: str
    prices: tuple[PricePeriod, ...]


def stretch_after(session: Session, customer_id: int, size: int) -> tuple[int, int]:
    """The next stretch of members after `customer_id`: the last id in it, and how many they are."""
    ids = (
        select(Customer.id)
        .where(Customer.id > customer_id)
        .order_by(Customer.id)
        .limit(size)
        .subquery()
    )
    last, count = session.execute(select(func.max(ids.c.id), func.count())).one()
    return last or customer_id, count


def tariffs(session: Session) -> dict[int, Tariff]:
    """All plans by id; they are few."""
    return {
        plan.id: Tariff(plan.name, price_periods(plan)) for plan in session.scalars(select(Plan))
    }


def complete_months(session: Session) -> frozenset[int]:
    """Indexes of the months that have been billed to the end."""
    return frozenset(month.index for month in session.scalars(select(BillRun.month)))


def taken_over_after(session: Session, month: Month) -> frozenset[int]:
    """Contracts that came from another system after `month` [移管契約]: it was billed there."""
    return frozenset(
        session.scalars(
            select(Contract.id)
            .join(Journal, Journal.subject == Contract.number)
            .where(Journal.act == "contract.taken-over", Journal.business_date > month.last)
        )
    )


def candidates(session: Session, month: Month, after: int, to: int) -> list[Candidate]:
    """Contracts of members with ids in (after, to] that the run of `month` has to look at.

    Those charged in the month; those left earlier whose leaving has not been billed; those
    withdrawn whose opening fee has to be given back.
    """
    home, billing = aliased(Address), aliased(Address)
    found = session.execute(
        select(
            Customer.id,
            Customer.name,
            Customer.language,
            func.coalesce(billing.postal_code, home.postal_code, ""),
            func.coalesce(billing.address, home.address, ""),
            PaymentMethod.id,
            PaymentMethod.kind,
            PaymentMethod.mandate,
            Contract.id,
            Contract.number,
            Contract.plan_id,
            type_coerce(Contract.charged_from, Integer),
            Contract.opening_fee,
            Contract.free_months,
            type_coerce(Cancellation.last_charged_month, Integer),
            Cancellation.kind,
            Cancellation.early_fee,
            Cancellation.installation,
            Contract.early_fee_tax,
        )
        .join(Customer, Customer.id == Contract.customer_id)
        .outerjoin(home, and_(home.customer_id == Customer.id, home.kind == "contract"))
        .outerjoin(billing, and_(billing.customer_id == Customer.id, billing.kind == "billing"))
        .outerjoin(
            PaymentMethod,
            and_(
                PaymentMethod.customer_id == Customer.id,
                text("payment_method.valid_until IS NULL"),
            ),
        )
        .outerjoin(Cancellation, Cancellation.contract_id == Contract.id)
        .where(Contract.customer_id > after, Contract.customer_id <= to)
        .where(or_(_charged_in(month), _leaving_owed(month), _withdrawn(month)))
        .order_by(Contract.customer_id)
    )
    return [Candidate._make(row) for row in found]


def _charged_in(month: Month) -> ColumnElement[bool]:
    last = Cancellation.last_charged_month
    return and_(Contract.charged_from <= month, or_(last.is_(None), last >= month))


def _leaving_owed(month: Month) -> ColumnElement[bool]:
    """Leaving that costs something which stands on no invoice yet."""

    def unbilled(kind: str) -> ColumnElement[bool]:
        return ~exists().where(
            InvoiceLine.contract_id == Contract.id,
            InvoiceLine.kind == kind,
            LIVE,
        )

    return and_(
        Cancellation.last_charged_month <= month,
        or_(
            and_(Cancellation.early_fee > 0, unbilled("early-termination")),
            and_(Cancellation.installation > 0, unbilled("installation")),
        ),
    )


def _withdrawn(month: Month) -> ColumnElement[bool]:
    """Early withdrawal after an opening fee may have been billed; see `openings_to_return`."""
    return and_(
        Cancellation.kind == "withdrawal",
        Contract.opening_fee > 0,
        Contract.charged_from < month,
    )


def _opening_not_returned(month: Month) -> Select[int | None, int, int, str, int]:
    """Opening fees on live lines before `month` that no adjustment or credit note has returned."""
    adjusted = aliased(InvoiceLine, name="adjusted")
    credited, credit = aliased(InvoiceLine), aliased(Invoice)
    return (
        select(
            InvoiceLine.contract_id,
            InvoiceLine.net,
            InvoiceLine.tax_rate,
            Invoice.number,
            InvoiceLine.position,
        )
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            InvoiceLine.kind == "opening",
            InvoiceLine.month < month,
            LIVE,
            ~exists().where(
                adjusted.contract_id == InvoiceLine.contract_id,
                adjusted.kind == "adjustment",
                text("adjusted.live"),
            ),
            ~exists().where(
                credit.refers_to_id == InvoiceLine.invoice_id,
                credited.invoice_id == credit.id,
                credited.contract_id == InvoiceLine.contract_id,
                credited.kind.in_(("opening", "adjustment")),
            ),
        )
    )


def billed_in(session: Session, month: Month, after: int, to: int) -> dict[int, set[str]]:
    """Kinds of lines that stand already on invoices for `month`, by contract id."""
    billed: dict[int, set[str]] = {}
    for contract_id, kind in session.execute(
        select(Contract.id, InvoiceLine.kind)
        .join(InvoiceLine, InvoiceLine.contract_id == Contract.id)
        .where(Contract.customer_id > after, Contract.customer_id <= to)
        .where(InvoiceLine.month == month, LIVE)
    ):
        billed.setdefault(contract_id, set()).add(kind)
    return billed


def fee_billed_in(session: Session, month: Month, after: int, to: int) -> frozenset[int]:
    """Members whose handling fee for `month` stands on an invoice already (ISP-05)."""
    return frozenset(
        session.scalars(
            select(InvoiceLine.customer_id).where(
                InvoiceLine.customer_id > after,
                InvoiceLine.customer_id <= to,
                InvoiceLine.month == month,
                text("invoice_line.live AND invoice_line.kind = 'transfer-fee'"),
            )
        )
    )


def _in_parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + MANY] for start in range(0, len(ids), MANY))


def billed_of_leavers(
    session: Session, contract_ids: Sequence[int]
) -> tuple[dict[int, set[str]], set[int]]:
    """Of contracts that end: kinds of leaving that are billed; those whose last month is."""
    kinds: dict[int, set[str]] = {}
    last_billed: set[int] = set()
    for part in _in_parts(contract_ids):
        for contract_id, kind in session.execute(
            select(Cancellation.contract_id, InvoiceLine.kind)
            .join(InvoiceLine, InvoiceLine.contract_id == Cancellation.contract_id)
            .where(
                Cancellation.contract_id.in_(part),
                LIVE,
                or_(
                    InvoiceLine.kind.in_(LEAVING),
                    and_(
                        InvoiceLine.month == Cancellation.last_charged_month,
                        InvoiceLine.kind.in_(RUNNING),
                    ),
                ),
            )
        ):
            if kind in LEAVING:
                kinds.setdefault(contract_id, set()).add(kind)
            else:
                last_billed.add(contract_id)
    return kinds, last_billed


def openings_to_return(
    session: Session, contract_ids: Sequence[int], month: Month
) -> dict[int, OpeningFee]:
    """Opening fees billed before `month` and not returned, by contract id (ISP-14)."""
    found: dict[int, OpeningFee] = {}
    for part in _in_parts(contract_ids):
        wanted = _opening_not_returned(month).where(InvoiceLine.contract_id.in_(part))
        for contract_id, net, rate, invoice, position in session.execute(wanted):
            if contract_id is not None:
                found[contract_id] = OpeningFee(net, rate, invoice, position)
    return found


def billed_beyond(session: Session, after: int, to: int) -> dict[str, list[int]]:
    """Monthly fees billed of months after the last charged one and not taken back (ISP-09).

    Positions of the lines by number of the invoice: an application to leave may be recorded when
    later months have been billed already.
    """
    credit, credited = aliased(Invoice), aliased(InvoiceLine)
    beyond: dict[str, list[int]] = {}
    for invoice, position in session.execute(
        select(Invoice.number, InvoiceLine.position)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .join(Contract, Contract.id == InvoiceLine.contract_id)
        .join(Cancellation, Cancellation.contract_id == Contract.id)
        .where(
            Contract.customer_id > after,
            Contract.customer_id <= to,
            InvoiceLine.kind == "monthly",
            InvoiceLine.month > Cancellation.last_charged_month,
            LIVE,
            ~exists().where(
                credit.refers_to_id == InvoiceLine.invoice_id,
                credited.invoice_id == credit.id,
                credited.contract_id == InvoiceLine.contract_id,
                credited.kind == "monthly",
            ),
        )
        .order_by(Invoice.id, InvoiceLine.position)
    ):
        beyond.setdefault(invoice, []).append(position)
    return beyond
