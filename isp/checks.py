"""Proof of the core's books [整合性検査]: what the tables must say of one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Integer, cast, extract, func, or_, select
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.legal import is_capped
from isp.lifecycle import MOVES
from isp.month import Month
from isp.tables import (
    Address,
    Cancellation,
    Contract,
    Customer,
    Journal,
    Outbox,
    Parked,
    PaymentMethod,
    Plan,
    PlanPrice,
)

TABLES = (
    Customer,
    Address,
    PaymentMethod,
    Plan,
    PlanPrice,
    Contract,
    Cancellation,
    Journal,
    Outbox,
    Parked,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that breaks an invariant: where, which, and what is wrong."""

    table: str
    subject: str
    what: str


def checked(session: Session) -> int:
    """How many rows of the core the checks look at."""
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES)


def problems(session: Session, cutoff_day: int) -> Iterator[Problem]:
    """Every fault of the core's tables."""
    yield from _customers(session)
    yield from _payment_methods(session)
    yield from _plans(session)
    yield from _contracts(session)
    yield from _cancellations(session, cutoff_day)
    yield from _journal(session)
    yield from _outbox(session)
    yield from _parked(session)


def _customers(session: Session) -> Iterator[Problem]:
    from isp import identity

    homeless = select(Customer.number).where(
        ~select(Address.id)
        .where(Address.customer_id == Customer.id, Address.kind == "contract")
        .exists()
    )
    for number in session.scalars(homeless):
        yield Problem("customer", number, "has no contract address")
    companies = select(Customer.number, Customer.corporate_number).where(
        Customer.corporate_number.is_not(None)
    )
    for number, corporate_number in session.execute(companies).tuples():
        try:
            identity.corporate_number(corporate_number or "")
        except Refused as wrong:
            yield Problem("customer", number, str(wrong))
    places = select(Address.postal_code, func.min(Customer.number)).join(
        Customer, Customer.id == Address.customer_id
    )
    for postal_code, number in session.execute(places.group_by(Address.postal_code)).tuples():
        try:
            identity.postal_code(postal_code)
        except Refused as wrong:
            yield Problem("address", number, str(wrong))


def _payment_methods(session: Session) -> Iterator[Problem]:
    earlier = PaymentMethod.__table__.alias("earlier")
    overlap = (
        select(Customer.number)
        .join(PaymentMethod, PaymentMethod.customer_id == Customer.id)
        .join(earlier, earlier.c.customer_id == PaymentMethod.customer_id)
        .where(
            earlier.c.id < PaymentMethod.id,
            or_(
                earlier.c.valid_until.is_(None),
                earlier.c.valid_until > PaymentMethod.valid_from,
            ),
        )
    )
    for number in session.scalars(overlap.distinct()):
        yield Problem("payment_method", number, "two payment methods are valid on one day")
    hidden = (
        select(Customer.number)
        .join(PaymentMethod)
        .where(PaymentMethod.kind == "card", func.length(PaymentMethod.card_last4) != 4)
    )
    for number in session.scalars(hidden):
        yield Problem("payment_method", number, "keeps more or less than the last 4 digits")


def _plans(session: Session) -> Iterator[Problem]:
    unpriced = select(Plan.code).where(
        ~select(PlanPrice.plan_id).where(PlanPrice.plan_id == Plan.id).exists()
    )
    for code in session.scalars(unpriced):
        yield Problem("plan", code, "has no price")
    undated = (
        select(Plan.code)
        .join(PlanPrice)
        .group_by(Plan.code)
        .having(func.min(PlanPrice.since) > Month.parse("1900-01"))
    )
    for code in session.scalars(undated):
        yield Problem("plan_price", code, "has months before its first price")


def _contracts(session: Session) -> Iterator[Problem]:
    opened = extract("year", Contract.opened_on) * 12 + extract("month", Contract.opened_on) - 1
    wrong_month = select(Contract.number).where(
        Contract.opened_on.is_not(None),
        cast(opened, Integer) != cast(Contract.charged_from, Integer),
    )
    for number in session.scalars(wrong_month):
        yield Problem("contract", number, "is not charged from the month of its opening (ISP-02)")
    leaving = select(Contract.number, Contract.status).outerjoin(Cancellation)
    told = leaving.where(
        Contract.status.in_(("cancelling", "ended", "withdrawn")),
        Cancellation.last_charged_month.is_(None),
    )
    for number, status in session.execute(told).tuples():
        yield Problem("contract", number, f"is {status} without a complete application to leave")
    above = (
        select(Contract.number, Contract.concluded_on, Customer.kind)
        .join(Customer)
        .where(
            Contract.early_fee
            > select(func.max(PlanPrice.monthly_fee))
            .where(PlanPrice.plan_id == Contract.plan_id)
            .scalar_subquery()
        )
    )
    for number, concluded_on, kind in session.execute(above).tuples():
        if is_capped(kind, concluded_on):
            yield Problem("contract", number, "costs more than one monthly fee to leave (ISP-13)")


def _cancellations(session: Session, cutoff_day: int) -> Iterator[Problem]:
    still = [status for status, to in MOVES.items() if "cancelling" in to]
    unmoved = (
        select(Contract.number)
        .join(Cancellation)
        .where(Cancellation.completed_on.is_not(None), Contract.status.in_(still))
    )
    for number in session.scalars(unmoved):
        yield Problem("cancellation", number, "is complete, yet the contract goes on")
    completed = extract("year", Cancellation.completed_on) * 12
    completed += extract("month", Cancellation.completed_on) - 1
    late = extract("day", Cancellation.completed_on) > cutoff_day
    expected = cast(completed, Integer) + cast(late, Integer)
    wrong = (
        select(Contract.number)
        .join(Cancellation)
        .where(
            Cancellation.kind == "cancellation",
            Cancellation.completed_on.is_not(None),
            cast(Cancellation.last_charged_month, Integer) != expected,
        )
    )
    for number in session.scalars(wrong):
        yield Problem("cancellation", number, "does not end by its day of receipt (ISP-09)")


def _journal(session: Session) -> Iterator[Problem]:
    first, last, count = session.execute(
        select(func.min(Journal.id), func.max(Journal.id), func.count())
    ).one()
    if session.get_bind().dialect.name == "sqlite" and count and last - first + 1 != count:
        yield Problem(
            "journal", f"{first} to {last}", f"{last - first + 1 - count} acts are missing"
        )
    for table, column, act in (
        ("customer", Customer.number, "customer."),
        ("contract", Contract.number, "contract."),
        ("plan", Plan.code, "plan."),
    ):
        untold = select(column).where(
            ~select(Journal.id)
            .where(Journal.subject == column, Journal.act.startswith(act))
            .exists()
        )
        for subject in session.scalars(untold):
            yield Problem(table, subject, "is not in the journal (ALL-03)")


def _outbox(session: Session) -> Iterator[Problem]:
    stray = select(Outbox.id, Outbox.subject).where(
        ~select(Customer.id).where(Customer.number == Outbox.subject).exists()
    )
    for id, subject in session.execute(stray).tuples():
        yield Problem("outbox", str(id), f"is for {subject}, who is no customer")


def _parked(session: Session) -> Iterator[Problem]:
    for parked in session.scalars(select(Parked).order_by(Parked.job, Parked.subject)):
        yield Problem(
            "parked", parked.subject, f"{parked.job} since {parked.since}: {parked.reason}"
        )
