"""Proof of the core's books [整合性検査]: what the tables must say of one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    CheckConstraint,
    ColumnExpressionArgument,
    Integer,
    Table,
    UniqueConstraint,
    and_,
    cast,
    extract,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import DeclarativeBase, Session

from isp.cards import holds_card_number
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
from isp.terms import is_renewal_month

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
    yield from broken_constraints(session, TABLES)
    yield from _customers(session)
    yield from _payment_methods(session)
    yield from _plans(session)
    yield from _contracts(session)
    yield from _promises(session)
    yield from _cancellations(session, cutoff_day)
    yield from _exits(session)
    yield from _journal(session)
    yield from _outbox(session)
    yield from _parked(session)


def broken_constraints(
    session: Session, tables: Sequence[type[DeclarativeBase]]
) -> Iterator[Problem]:
    """Rows that the database should never have taken, each constraint asked anew.

    A constraint may have been switched off for a repair by hand, or lost with a table that was made
    again.
    """
    for mapped in tables:
        table = mapped.__table__
        assert isinstance(table, Table)
        names = [column for column in ("number", "code", "subject") if column in table.c]
        subject = table.c[names[0]] if names else next(iter(table.primary_key))
        for what, wrong in _violations(table):
            for found in session.scalars(select(subject).where(wrong)):
                yield Problem(table.name, str(found), what)


def _violations(table: Table) -> Iterator[tuple[str, ColumnExpressionArgument[bool]]]:
    """What a row may not be, with how to name it; a check that is neither true nor false holds."""
    for column in table.columns:
        if not column.nullable:
            yield f"{column.name} is missing", column.is_(None)
        for key in column.foreign_keys:
            parent = key.column.table.alias().c[key.column.name]
            orphan = ~select(parent).where(parent == column).exists()
            yield f"{column.name} refers to nothing", and_(column.is_not(None), orphan)
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, CheckConstraint):
            yield f"breaks {constraint.name}", text(f"NOT ({constraint.sqltext})")
        if isinstance(constraint, UniqueConstraint):
            columns = tuple(constraint.columns)
            twice = select(*columns).group_by(*columns).having(func.count() > 1)
            what = " and ".join(column.name for column in columns)
            yield f"{what} is there twice", tuple_(*columns).in_(twice)


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
    for number, corporate_number in session.execute(companies):
        try:
            identity.corporate_number(corporate_number or "")
        except Refused as wrong:
            yield Problem("customer", number, str(wrong))
    places = select(Address.postal_code, func.min(Customer.number)).join(
        Customer, Customer.id == Address.customer_id
    )
    for postal_code, number in session.execute(places.group_by(Address.postal_code)):
        if not re.fullmatch(r"[0-9]{3}-[0-9]{4}", postal_code, re.ASCII):
            yield Problem("address", number, f"{postal_code!r} is no postcode, write 100-0001")


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
    without = (
        select(Customer.number)
        .join(PaymentMethod)
        .group_by(Customer.number)
        .having(func.count() == func.count(PaymentMethod.valid_until))
    )
    for number in session.scalars(without):
        yield Problem("payment_method", number, "has a history of payment methods, and none now")
    cards = (
        select(Customer.number, PaymentMethod.card_token, PaymentMethod.card_last4)
        .join(PaymentMethod)
        .where(PaymentMethod.kind == "card")
        .execution_options(yield_per=10_000)
    )
    for number, token, last4 in session.execute(cards):
        if holds_card_number(token or ""):
            yield Problem("payment_method", number, "keeps a card number for a token (ISP-04)")
        if not re.fullmatch(r"[0-9]{4}", last4 or "", re.ASCII):
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
    for number, status in session.execute(told):
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
    for number, concluded_on, kind in session.execute(above):
        if is_capped(kind, concluded_on):
            yield Problem("contract", number, "costs more than one monthly fee to leave (ISP-13)")


def _promises(session: Session) -> Iterator[Problem]:
    """Who may buy, and what members were told."""
    buyers = (
        select(Contract.number)
        .join(Customer)
        .join(Plan)
        .where(
            or_(
                and_(Plan.sold_to == "corporation", Customer.kind != "corporation"),
                and_(Plan.sold_to == "consumer", Customer.kind == "corporation"),
            )
        )
    )
    for number in session.scalars(buyers):
        yield Problem("contract", number, "is for a plan that is not sold to such a customer")
    announced = select(
        Contract.number, Contract.concluded_on, Contract.term_months, Contract.renewal_announced
    ).where(Contract.renewal_announced.is_not(None))
    for number, concluded_on, term_months, month in session.execute(announced):
        if month and not is_renewal_month(Month.of(concluded_on), term_months, month):
            yield Problem("contract", number, f"was told {month}, which is no renewal month")


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


def _exits(session: Session) -> Iterator[Problem]:
    """What leaving costs, and how it ends."""
    dearer = (
        select(Contract.number)
        .join(Cancellation)
        .where(
            or_(
                Cancellation.early_fee > Contract.early_fee,
                Cancellation.installation > Contract.installation_fee,
                and_(Cancellation.kind == "withdrawal", Cancellation.early_fee > 0),
                and_(Cancellation.in_renewal_month, Cancellation.early_fee > 0),
            )
        )
    )
    for number in session.scalars(dearer):
        yield Problem("cancellation", number, "costs more than was agreed (ISP-11, ISP-14)")
    withdrawn = (
        select(Contract.number)
        .join(Cancellation)
        .where((Contract.status == "withdrawn") != (Cancellation.kind == "withdrawal"))
    )
    for number in session.scalars(withdrawn):
        yield Problem("cancellation", number, "is withdrawn on one side only (ISP-14)")
    ended = extract("year", Contract.ended_on) * 12 + extract("month", Contract.ended_on) - 1
    late_end = (
        select(Contract.number)
        .join(Cancellation)
        .where(
            Contract.status == "ended",
            cast(ended, Integer) != cast(Cancellation.last_charged_month, Integer),
        )
    )
    for number in session.scalars(late_end):
        yield Problem("cancellation", number, "does not end with the last month charged (ISP-09)")


def _journal(session: Session) -> Iterator[Problem]:
    first, last, count = session.execute(
        select(func.min(Journal.id), func.max(Journal.id), func.count())
    ).one()
    # PostgreSQL leaves a gap for every act that was rolled back, SQLite none.
    if session.get_bind().dialect.name == "sqlite" and count and last != count:
        yield Problem("journal", f"{first} to {last}", f"{last - count} acts are missing")
    for trigger in sorted(_JOURNAL_TRIGGERS - _triggers(session, "journal")):
        yield Problem("journal", trigger, "is gone: acts could be changed (ALL-03)")
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
    status = Journal.after["status"].as_string()
    last_told = (
        select(func.max(Journal.id))
        .where(
            Journal.subject == Contract.number,
            Journal.act.startswith("contract."),
            status.is_not(None),
        )
        .correlate(Contract)
        .scalar_subquery()
    )
    moved = (
        select(Contract.number, Contract.status, status)
        .join(Journal, Journal.id == last_told)
        .where(status != Contract.status)
    )
    for number, now, told in session.execute(moved):
        yield Problem("contract", number, f"is {now}, and {told} by the journal (ALL-03)")


_JOURNAL_TRIGGERS = {"journal_no_update", "journal_no_delete"}


def _triggers(session: Session, table: str) -> set[str]:
    """The triggers that watch over a table."""
    if session.get_bind().dialect.name == "postgresql":
        watching = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:name)"
        watching += " AND tgenabled <> 'D'"
    else:
        watching = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name"
    return set(session.scalars(text(watching), {"name": table}))


def _outbox(session: Session) -> Iterator[Problem]:
    stray = select(Outbox.id, Outbox.subject).where(
        ~select(Customer.id).where(Customer.number == Outbox.subject).exists()
    )
    for id, subject in session.execute(stray):
        yield Problem("outbox", str(id), f"is for {subject}, who is no customer")


def _parked(session: Session) -> Iterator[Problem]:
    for parked in session.scalars(select(Parked).order_by(Parked.job, Parked.subject)):
        yield Problem(
            "parked", parked.subject, f"{parked.job} since {parked.since}: {parked.reason}"
        )
