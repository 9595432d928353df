"""Proof of the invoices [整合性検査]: every yen adds up, follows from its contract, and stands right.

Set by set in the database, or streamed through the very rules that bill; memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.orm import Session, aliased

from billing.collecting import status_of
from billing.drafting import due_date, sale_date
from billing.queries import acted_in
from billing.runs import batches
from billing.tables import (
    LIVE,
    Batch,
    BillRun,
    Collection,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    Payment,
)
from isp.calendar import TOKYO, Calendar
from isp.charges import Charge, Exit, Fees, PricePeriod, charges_in, exit_charges, price_in
from isp.checks import Problem
from isp.documents import yen
from isp.month import Month
from isp.queries import price_periods
from isp.shift import Shift
from isp.tables import Cancellation, Contract, Journal, PaymentMethod, Plan
from isp.tax import tax_rate

TABLES = (BillRun, Invoice, InvoiceLine, InvoiceTax, Batch, Collection, Payment)
ROWS_AT_ONCE = 5_000
TO_BE_PAID = ("open", "collecting", "failed")


def checked(session: Session) -> int:
    """How many rows of billing the checks look at."""
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES)


def problems(session: Session, shift: Shift) -> Iterator[Problem]:
    """Every fault of the billing tables, none where all is well."""
    yield from _sums(session)
    yield from _taxes(session)
    yield from _credit_notes(session)
    yield from _invoices(session)
    yield from _standing(session)
    yield from _due_dates(session, shift)
    yield from _lines(session)
    yield from _charges(session)
    yield from _unbilled(session)
    yield from _leaving_unbilled(session)
    yield from _bill_runs(session)
    yield from _batches(session, shift.day.calendar)
    yield from _collections(session)
    yield from _payments(session)


def _streamed(session: Session, wanted: Select[*tuple[Any, ...]]) -> Iterable[Any]:
    return session.execute(wanted.execution_options(yield_per=ROWS_AT_ONCE))


def _each(
    session: Session, table: str, wanted: Select[*tuple[Any, ...]], what: Callable[..., str] | str
) -> Iterator[Problem]:
    """A problem for each row of `wanted`: its first column names it, the others say what is wrong."""
    for subject, *values in _streamed(session, wanted):
        yield Problem(table, str(subject), what if isinstance(what, str) else what(*values))


# Invoices, lines and taxes


def _sums(session: Session) -> Iterator[Problem]:
    """Net is that of the lines, net and tax are those of the rates (ALL-01)."""
    lines = (
        select(InvoiceLine.invoice_id, func.sum(InvoiceLine.net).label("net"))
        .group_by(InvoiceLine.invoice_id)
        .subquery()
    )
    taxes = (
        select(
            InvoiceTax.invoice_id,
            func.sum(InvoiceTax.net).label("net"),
            func.sum(InvoiceTax.tax).label("tax"),
        )
        .group_by(InvoiceTax.invoice_id)
        .subquery()
    )
    yield from _each(
        session,
        "invoice",
        select(Invoice.number, Invoice.net, lines.c.net)
        .outerjoin(lines, lines.c.invoice_id == Invoice.id)
        .where(func.coalesce(lines.c.net, 0) != Invoice.net),
        lambda said, summed: f"says {yen(said)} net, its lines make {yen(int(summed or 0))}",
    )
    yield from _each(
        session,
        "invoice",
        select(Invoice.number)
        .outerjoin(taxes, taxes.c.invoice_id == Invoice.id)
        .where(
            or_(
                func.coalesce(taxes.c.net, 0) != Invoice.net,
                func.coalesce(taxes.c.tax, 0) != Invoice.tax,
                Invoice.gross != Invoice.net + Invoice.tax,
            )
        ),
        "its net, tax and gross are not the sums of its tax rates",
    )


def _taxes(session: Session) -> Iterator[Problem]:
    """Per rate: the net of its lines, and the tax on it rounded one way or the other (ALL-01).

    How it is rounded is policy, which may have changed since; that it is the tax may not.
    """
    lines = (
        select(
            InvoiceLine.invoice_id,
            InvoiceLine.tax_rate,
            func.sum(InvoiceLine.net).label("net"),
        )
        .group_by(InvoiceLine.invoice_id, InvoiceLine.tax_rate)
        .subquery()
    )
    same = and_(lines.c.invoice_id == InvoiceTax.invoice_id, lines.c.tax_rate == InvoiceTax.rate)
    yield from _each(
        session,
        "invoice_tax",
        select(Invoice.number, InvoiceTax.rate)
        .join(InvoiceTax, InvoiceTax.invoice_id == Invoice.id)
        .outerjoin(lines, same)
        .where(func.coalesce(lines.c.net, 0) != InvoiceTax.net),
        lambda rate: f"net at {rate} % is not that of its lines",
    )
    yield from _each(
        session,
        "invoice_tax",
        select(Invoice.number, lines.c.tax_rate)
        .join(lines, lines.c.invoice_id == Invoice.id)
        .outerjoin(InvoiceTax, same)
        .where(InvoiceTax.invoice_id.is_(None)),
        lambda rate: f"has lines at {rate} % and no total for it",
    )
    yield from _each(
        session,
        "invoice_tax",
        select(Invoice.number, InvoiceTax.rate, InvoiceTax.net, InvoiceTax.tax)
        .join(InvoiceTax, InvoiceTax.invoice_id == Invoice.id)
        .where(
            Invoice.kind == "invoice",
            func.abs(InvoiceTax.tax * 100 - InvoiceTax.net * InvoiceTax.rate) >= 100,
        ),
        lambda rate, net, tax: f"{yen(tax)} is not the tax on {yen(net)} at {rate} %",
    )


def _credit_notes(session: Session) -> Iterator[Problem]:
    """A credit note takes back from an invoice of the same member, never more than was charged."""
    back, note = _taken_back(), aliased(Invoice)
    net, tax = InvoiceTax.net + back.c.net, InvoiceTax.tax + back.c.tax
    yield from _each(
        session,
        "invoice",
        select(Invoice.number, back.c.rate)
        .join(back, back.c.refers_to_id == Invoice.id)
        .outerjoin(
            InvoiceTax,
            and_(InvoiceTax.invoice_id == Invoice.id, InvoiceTax.rate == back.c.rate),
        )
        .where(
            or_(
                InvoiceTax.rate.is_(None),
                and_(InvoiceTax.net >= 0, or_(net < 0, tax < 0)),
                and_(net == 0, tax != 0),
            )
        ),
        lambda rate: f"its credit notes take back something else than was charged at {rate} %",
    )
    yield from _each(
        session,
        "invoice",
        select(note.number)
        .join(Invoice, Invoice.id == note.refers_to_id)
        .where(
            note.kind == "credit-note",
            or_(
                Invoice.customer_id != note.customer_id,
                Invoice.kind != "invoice",
                Invoice.status == "void",
                note.status != "paid",
            ),
        ),
        "is no credit note of an invoice of this member",
    )


def _taken_back() -> Subquery:
    """Net and tax of all credit notes of an invoice, per rate; negative."""
    credited, note = aliased(InvoiceTax), aliased(Invoice)
    return (
        select(
            note.refers_to_id,
            credited.rate,
            func.sum(credited.net).label("net"),
            func.sum(credited.tax).label("tax"),
        )
        .join(credited, credited.invoice_id == note.id)
        .where(note.kind == "credit-note")
        .group_by(note.refers_to_id, credited.rate)
        .subquery()
    )


def _invoices(session: Session) -> Iterator[Problem]:
    """Form of the number, a recipient, and issue after the month has ended."""
    prefix = func.length(func.rtrim(Invoice.number, "0123456789"))
    yield from _each(
        session,
        "invoice",
        select(Invoice.number).where(
            or_(prefix < 1, prefix > 3, func.length(Invoice.number) - prefix != 8)
        ),
        "its number is not a prefix and 8 digits",
    )
    yield from _each(
        session,
        "invoice",
        select(Invoice.number).where(
            or_(Invoice.recipient_name == "", Invoice.recipient_address == "")
        ),
        "names no recipient",
    )
    for month, first in session.execute(
        select(Invoice.month, func.min(Invoice.issued_on)).group_by(Invoice.month)
    ).all():
        if first <= month.last:
            yield from _each(
                session,
                "invoice",
                select(Invoice.number).where(
                    Invoice.month == month, Invoice.issued_on <= month.last
                ),
                f"was issued before {month} had ended",
            )


def _standing(session: Session) -> Iterator[Problem]:
    """The status follows from payments, credit notes and collections."""
    note = aliased(Invoice)
    paid = _summed(Payment.invoice_id, Payment.amount)
    credited = _summed(note.refers_to_id, note.gross, note.refers_to_id.is_not(None))
    exported = exists().where(Collection.invoice_id == Invoice.id, Collection.state == "exported")
    failed = exists().where(Collection.invoice_id == Invoice.id, Collection.state == "failed")
    rows = _streamed(
        session,
        select(
            Invoice.number,
            Invoice.status,
            Invoice.gross,
            func.coalesce(paid.c.total, 0),
            func.coalesce(credited.c.total, 0),
            case((exported, true()), else_=false()),
            case((failed, true()), else_=false()),
        )
        .outerjoin(paid, paid.c.id == Invoice.id)
        .outerjoin(credited, credited.c.id == Invoice.id)
        .where(Invoice.kind == "invoice"),
    )
    for number, status, gross, received, back, is_exported, has_failed in rows:
        received, void = int(received), status == "void"
        owed = gross - received + int(back)
        right = status_of(owed, void=void, exported=bool(is_exported), failed=bool(has_failed))
        if status != right:
            yield Problem("invoice", number, f"is {status}; with {yen(owed)} to pay it is {right}")
        if received > gross or received < 0:
            what = f"{yen(received)} were paid of {yen(gross)}"
            yield Problem("payment", number, what)
        if void and received:
            yield Problem("payment", number, f"{yen(received)} were paid, and it is void")


def _summed(of: Any, amount: Any, *where: ColumnElement[bool]) -> Any:
    return (
        select(of.label("id"), func.sum(amount).label("total"))
        .where(*where)
        .group_by(of)
        .subquery()
    )


def _due_dates(session: Session, shift: Shift) -> Iterator[Problem]:
    """What is still to be paid is due on the day that the rule says (ISP-06, ISP-07)."""
    calendar, transfer_day = shift.day.calendar, shift.policy.transfer.day
    # Failed itself, or never tried since the mandate had ended with another invoice's failure.
    failed = exists().where(
        Collection.invoice_id == Invoice.id, Collection.state.in_(("failed", "withdrawn"))
    )
    moved = and_(Invoice.method == "invoice", failed)
    wanted = and_(Invoice.kind == "invoice", Invoice.status.in_(TO_BE_PAID))
    combinations = session.execute(
        select(Invoice.method, Invoice.month, Invoice.due_on, case((moved, true()), else_=false()))
        .where(wanted)
        .distinct()
    ).all()
    for method, month, due_on, has_moved in combinations:
        if has_moved:
            ends = (Month.of(due_on), Month.of(due_on) - 1)
            right = any(calendar.on_or_after(end.last) == due_on for end in ends)
        else:
            right = due_on == due_date(method, month, transfer_day, calendar)
        if not right:
            yield from _each(
                session,
                "invoice",
                select(Invoice.number).where(
                    wanted,
                    Invoice.method == method,
                    Invoice.month == month,
                    Invoice.due_on == due_on,
                    moved if has_moved else ~moved,
                ),
                f"is due on {due_on}, which is not the day for {method} of {month}",
            )


def _lines(session: Session) -> Iterator[Problem]:
    """A line belongs to the member and month of its invoice; it is live unless taken back."""
    live = and_(Invoice.kind == "invoice", Invoice.status != "void")
    yield from _each(
        session,
        "invoice_line",
        select(Invoice.number, InvoiceLine.position)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(or_(and_(live, ~InvoiceLine.live), and_(~live, InvoiceLine.live))),
        lambda position: f"line {position} is live and its invoice is not, or the other way round",
    )
    yield from _each(
        session,
        "invoice_line",
        select(Invoice.number, InvoiceLine.position)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .outerjoin(Contract, Contract.id == InvoiceLine.contract_id)
        .where(
            or_(
                InvoiceLine.customer_id != Invoice.customer_id,
                InvoiceLine.month != Invoice.month,
                Contract.customer_id != Invoice.customer_id,
            )
        ),
        lambda position: f"line {position} is of another member or month than its invoice",
    )
    drawn = exists().where(
        Collection.invoice_id == Invoice.id, Collection.channel == "account-transfer"
    )
    yield from _each(
        session,
        "invoice_line",
        select(Invoice.number)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(
            InvoiceLine.kind == "transfer-fee",
            Invoice.kind == "invoice",
            or_(~drawn, InvoiceLine.net <= 0),
        ),
        "has a transfer fee, and was never to be drawn (ISP-05)",
    )


# What was billed, and what was not


def _charges(session: Session) -> Iterator[Problem]:
    """Every live line of a contract is what the rules charge for it (ISP-02, ISP-11, ISP-14).

    Or as much has been taken back of its invoice: a contract may turn out to have ended before.
    """
    prices = {plan.id: price_periods(plan) for plan in session.scalars(select(Plan))}

    @cache
    def expected(
        plan_id: int, month: Month, charged_from: Month | None, fees: Fees, leaving: Exit | None
    ) -> dict[str, Charge]:
        return _chargeable(month, charged_from, prices[plan_id], fees, leaving)

    rows = _streamed(session, _billed_lines())
    for number, position, kind, net, rate, month, plan_id, charged_from, *rest in rows:
        (
            opening_fee,
            free,
            taxed,
            last,
            early_fee,
            installation,
            leaves_by,
            given_back,
            taken_back,
        ) = rest
        fees = Fees(1, early_fee_tax=taxed, opening_fee=opening_fee, free_months=free)
        leaving = (
            None
            if last is None
            else Exit(last, early_fee, installation, withdrawn=leaves_by == "withdrawal")
        )
        if kind == "adjustment":
            right = leaving is not None and leaving.withdrawn and net == -(given_back or 0)
        else:
            charge = expected(plan_id, month, charged_from, fees, leaving).get(kind)
            right = charge is not None and (charge.net, charge.tax_rate) == (net, rate)
        if not right and -int(taken_back) < abs(net):
            what = f"line {position}: {kind} of {yen(net)} at {rate} % is not what the rules charge"
            yield Problem("invoice_line", number, what)


def _billed_lines() -> Select[*tuple[Any, ...]]:
    """Every live line of a contract with what its contract pinned and how it ends."""
    opening, back = aliased(InvoiceLine, name="opening"), _taken_back()
    returned = (
        select(func.max(opening.net))
        .where(opening.contract_id == Contract.id, opening.kind == "opening", text("opening.live"))
        .scalar_subquery()
    )
    return (
        select(
            Invoice.number,
            InvoiceLine.position,
            InvoiceLine.kind,
            InvoiceLine.net,
            InvoiceLine.tax_rate,
            InvoiceLine.month,
            Contract.plan_id,
            Contract.charged_from,
            Contract.opening_fee,
            Contract.free_months,
            Contract.early_fee_tax,
            Cancellation.last_charged_month,
            Cancellation.early_fee,
            Cancellation.installation,
            Cancellation.kind,
            case((InvoiceLine.kind == "adjustment", returned), else_=None),
            func.coalesce(back.c.net, 0),
        )
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .join(Contract, Contract.id == InvoiceLine.contract_id)
        .outerjoin(Cancellation, Cancellation.contract_id == Contract.id)
        .outerjoin(
            back, and_(back.c.refers_to_id == Invoice.id, back.c.rate == InvoiceLine.tax_rate)
        )
        .where(InvoiceLine.live)
    )


def _chargeable(
    month: Month,
    charged_from: Month | None,
    prices: tuple[PricePeriod, ...],
    fees: Fees,
    leaving: Exit | None,
) -> dict[str, Charge]:
    """What may stand on an invoice for `month`, by kind.

    Leaving may come with a later month than the last; an opening fee may have been billed before
    the withdrawal that gives it back.
    """
    charges = list(charges_in(month, charged_from, prices, fees, leaving))
    if leaving is not None and month > leaving.last_charged_month:
        charges += exit_charges(leaving, fees)
    if leaving is not None and leaving.withdrawn and month == charged_from and fees.opening_fee:
        charges.append(Charge("opening", fees.opening_fee, tax_rate("standard", month)))
    return {charge.kind: charge for charge in charges}


def _unbilled(session: Session) -> Iterator[Problem]:
    """In a month that has been billed to the end, nothing is left to be billed (ALL-02).

    Months before a contract was taken over were billed elsewhere.
    """
    prices = {plan.id: price_periods(plan) for plan in session.scalars(select(Plan))}
    last = Cancellation.last_charged_month
    elsewhere = exists().where(
        Journal.subject == Contract.number,
        Journal.act == "contract.taken-over",
        acted_in() > cast(BillRun.month, Integer),
    )
    monthly = _streamed(
        session,
        select(Contract.number, BillRun.month, Contract.plan_id)
        .join(BillRun, literal(True))
        .outerjoin(Cancellation, Cancellation.contract_id == Contract.id)
        .where(
            BillRun.month >= Contract.charged_from + Contract.free_months,
            or_(last.is_(None), BillRun.month <= last),
            ~_billed("monthly", InvoiceLine.month == BillRun.month),
            ~elsewhere,
        ),
    )
    for number, month, plan_id in monthly:
        if price_in(prices[plan_id], month):
            yield Problem("bill_run", number, f"{month} is complete, and its monthly fee unbilled")
    yield from _each(
        session,
        "bill_run",
        select(Contract.number, BillRun.month)
        .join(BillRun, BillRun.month == Contract.charged_from)
        .outerjoin(Cancellation, Cancellation.contract_id == Contract.id)
        .where(
            Contract.opening_fee > 0,
            or_(Cancellation.kind.is_(None), Cancellation.kind != "withdrawal"),
            or_(last.is_(None), last >= Contract.charged_from),
            ~_billed("opening"),
            ~elsewhere,
        ),
        lambda month: f"{month} is complete, and the opening fee unbilled",
    )


def _billed(kind: str, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        InvoiceLine.contract_id == Contract.id, InvoiceLine.kind == kind, LIVE, *where
    )


def _leaving_unbilled(session: Session) -> Iterator[Problem]:
    """What leaving costs is billed by the run after the last charged month at the latest."""
    last = Cancellation.last_charged_month
    after = aliased(BillRun)
    later = exists().where(after.month > last)
    for kind, fee in (
        ("early-termination", Cancellation.early_fee),
        ("installation", Cancellation.installation),
    ):
        yield from _each(
            session,
            "bill_run",
            select(Contract.number, last)
            .join(Cancellation, Cancellation.contract_id == Contract.id)
            .join(BillRun, BillRun.month == last)
            .where(fee > 0, later, ~_billed(kind)),
            lambda month, kind=kind: f"left in {month}, a later month is complete, {kind} unbilled",
        )


def _bill_runs(session: Session) -> Iterator[Problem]:
    """No month is complete before it has ended."""
    for month, at in session.execute(select(BillRun.month, BillRun.completed_at)):
        if at.astimezone(TOKYO).date() <= month.last:
            yield Problem("bill_run", str(month), "was complete before it had ended")


# Batches, collections, payments


def _batches(session: Session, calendar: Calendar) -> Iterator[Problem]:
    """A batch is the sum of its collections, and of what was settled of them; the journal has it."""
    inside = (
        select(
            Collection.batch_id,
            func.count().label("records"),
            func.sum(Collection.amount).label("amount"),
            func.sum(case((Collection.state == "paid", 1), else_=0)).label("settled"),
            func.sum(case((Collection.state == "paid", Collection.amount), else_=0)).label("drawn"),
            func.sum(case((Collection.state == "exported", 1), else_=0)).label("waiting"),
        )
        .group_by(Collection.batch_id)
        .subquery()
    )
    rows = session.execute(select(Batch, inside).outerjoin(inside, inside.c.batch_id == Batch.id))
    told_of = set(
        session.scalars(select(Journal.subject).where(Journal.act == "batch.exported")).all()
    )
    for batch, _, records, amount, settled, drawn, waiting in rows.all():
        name = batches.subject(batch)
        if name not in told_of:
            yield Problem("batch", name, "is not in the journal (ALL-03)")
        if (batch.records, batch.amount) != (records or 0, int(amount or 0)):
            yield Problem("batch", name, "its counts and sums are not those of its collections")
        imported = batch.state == "imported"
        told = (batch.settled_records, batch.settled_amount)
        if told != ((int(settled or 0), int(drawn or 0)) if imported else (None, None)):
            yield Problem("batch", name, "says something else was settled than its collections do")
        if waiting != (0 if imported else records):
            yield Problem("batch", name, f"is {batch.state}, and some of its collections are not")
        if batch.channel == "card" and batch.collect_on != sale_date(batch.month):
            yield Problem("batch", name, f"card sales of {batch.month} are not of its last day")
        if batch.channel == "account-transfer" and batch.collect_on <= batch.month.last:
            yield Problem(
                "batch", name, f"is drawn on {batch.collect_on}, before {batch.month} ends"
            )


def _collections(session: Session) -> Iterator[Problem]:
    """A collection draws what is owed, from the member, in its month, and is answered or not."""
    yield from _each(
        session,
        "collection",
        select(Invoice.number, Collection.state)
        .join(Collection, Collection.invoice_id == Invoice.id)
        .join(PaymentMethod, PaymentMethod.id == Collection.payment_method_id)
        .outerjoin(Batch, Batch.id == Collection.batch_id)
        .where(
            or_(
                PaymentMethod.customer_id != Invoice.customer_id,
                PaymentMethod.kind != Collection.channel,
                Collection.month < Invoice.month,
                Batch.channel != Collection.channel,
                Batch.month < Collection.month,
                Collection.amount > Invoice.gross,
                Invoice.kind != "invoice",
            )
        ),
        lambda state: f"a {state} collection does not fit its invoice, account or batch",
    )
    yield from _each(
        session,
        "collection",
        select(Invoice.number, Collection.state)
        .join(Collection, Collection.invoice_id == Invoice.id)
        .where(Collection.state.in_(("paid", "failed")) != Collection.result_code.is_not(None)),
        lambda state: f"a {state} collection has a result, or none, against its state",
    )
    yield from _planned(session)


def _planned(session: Session) -> Iterator[Problem]:
    """What is planned is what is owed; what is to be drawn or charged is planned."""
    note = aliased(Invoice)
    paid = _summed(Payment.invoice_id, Payment.amount)
    credited = _summed(note.refers_to_id, note.gross, note.refers_to_id.is_not(None))
    owed = Invoice.gross - func.coalesce(paid.c.total, 0) + func.coalesce(credited.c.total, 0)
    planned = exists().where(
        Collection.invoice_id == Invoice.id, Collection.state.in_(("planned", "exported"))
    )
    yield from _each(
        session,
        "collection",
        select(Invoice.number, Collection.amount, owed)
        .join(Collection, Collection.invoice_id == Invoice.id)
        .outerjoin(paid, paid.c.id == Invoice.id)
        .outerjoin(credited, credited.c.id == Invoice.id)
        .where(
            Collection.state == "planned", or_(Collection.amount != owed, Invoice.status == "void")
        ),
        lambda amount, left: f"{yen(amount)} are planned to be drawn, {yen(int(left))} are owed",
    )
    yield from _each(
        session,
        "collection",
        select(Invoice.number, Invoice.method).where(
            Invoice.kind == "invoice",
            Invoice.method != "invoice",
            Invoice.status.in_(("open", "failed")),
            ~planned,
        ),
        lambda method: f"is to be paid by {method}, and nothing is planned to collect it",
    )


def _payments(session: Session) -> Iterator[Problem]:
    """What was drawn or charged is booked once, as the collection says; nothing else is."""
    collected = Payment.channel.in_(("account-transfer", "card"))
    reference = cast(Batch.id, Text) + "/" + Invoice.number
    booked = aliased(Payment)
    yield from _each(
        session,
        "payment",
        select(Invoice.number, Collection.amount)
        .join(Collection, Collection.invoice_id == Invoice.id)
        .join(Batch, Batch.id == Collection.batch_id)
        .outerjoin(
            booked,
            and_(
                booked.invoice_id == Invoice.id,
                booked.reference == reference,
                booked.amount == Collection.amount,
                booked.paid_on == Batch.collect_on,
                booked.channel == Collection.channel,
            ),
        )
        .where(Collection.state == "paid", booked.id.is_(None)),
        lambda amount: f"{yen(amount)} were collected, and are not booked so",
    )
    yield from _each(
        session,
        "payment",
        select(Invoice.number, Payment.amount)
        .join(Payment, Payment.invoice_id == Invoice.id)
        .where(
            or_(
                Invoice.kind != "invoice",
                and_(
                    collected,
                    ~exists().where(
                        Collection.invoice_id == Invoice.id,
                        Collection.state == "paid",
                        Collection.channel == Payment.channel,
                        Collection.amount == Payment.amount,
                    ),
                ),
            )
        ),
        lambda amount: f"{yen(amount)} are booked, and no collection brought them",
    )
