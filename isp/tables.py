"""The entities of the subscription core, with constraints that make wrong data impossible."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isp.charges import PenaltyTax
from isp.database import Base
from isp.documents import Language
from isp.legal import CustomerKind, SoldTo
from isp.lifecycle import STATUSES, ContractStatus
from isp.month import Month


def one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    """A column that takes these words only."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over some rows only.

    Said for SQLite alone: to name PostgreSQL here would load its dialect into every command
    (40 ms). The migrations, which make the tables, say it for both.
    """
    return Index(name, *columns, unique=unique, sqlite_where=text(where))


CUSTOMER_KINDS = ("individual", "sole-proprietor", "corporation")
METHOD_KINDS = ("account-transfer", "card", "invoice")


class Customer(Base):
    """A member [会員]: household, sole proprietor or company."""

    __tablename__ = "customer"
    __table_args__ = (
        one_of("kind", CUSTOMER_KINDS),
        one_of("language", ("ja", "en")),
        CheckConstraint(
            "(kind = 'corporation') = (corporate_number IS NOT NULL OR no_number_because <> '')",
            name="corporate_number",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[CustomerKind] = mapped_column(Text)
    name: Mapped[str]
    kana: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str]
    corporate_number: Mapped[str | None]
    no_number_because: Mapped[str] = mapped_column(default="", server_default="")
    language: Mapped[Language] = mapped_column(Text, default="ja", server_default="ja")
    joined_on: Mapped[date]

    addresses: Mapped[list[Address]] = relationship(cascade="all", lazy="selectin")


class Address(Base):
    """Where a member lives, is billed or receives goods; one of each kind."""

    __tablename__ = "address"
    __table_args__ = (
        UniqueConstraint("customer_id", "kind"),
        one_of("kind", ("contract", "billing", "delivery")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    kind: Mapped[str]
    postal_code: Mapped[str]
    address: Mapped[str]


class PaymentMethod(Base):
    """How a member pays, from a day until another [支払方法] (ISP-03); rows are never reused.

    The bank account is sealed (`isp.sealing`); bank and branch stay readable, the number does not.
    """

    __tablename__ = "payment_method"
    __table_args__ = (
        one_of("kind", METHOD_KINDS),
        one_of("mandate", ("none", "active", "suspended")),
        partial_index(
            "uq_payment_method_current", "customer_id", where="valid_until IS NULL", unique=True
        ),
        Index("ix_payment_method_customer_id", "customer_id"),
        CheckConstraint("valid_until IS NULL OR valid_until >= valid_from", name="dates"),
        CheckConstraint(
            "(kind = 'account-transfer') = (sealed_account IS NOT NULL)", name="account"
        ),
        CheckConstraint("(kind = 'card') = (card_token IS NOT NULL)", name="card"),
        CheckConstraint("(kind = 'account-transfer') = (mandate <> 'none')", name="has_mandate"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    kind: Mapped[str]
    valid_from: Mapped[date]
    valid_until: Mapped[date | None]
    mandate: Mapped[str] = mapped_column(default="none", server_default="none")
    bank: Mapped[str | None]
    branch: Mapped[str | None]
    sealed_account: Mapped[bytes | None] = mapped_column(LargeBinary)
    card_token: Mapped[str | None]
    card_brand: Mapped[str | None]
    card_last4: Mapped[str | None]
    card_expires: Mapped[Month | None]
    holder: Mapped[str | None]


class Plan(Base):
    """What is sold [料金プラン]: minimum term and fees in yen net; contracts pin them."""

    __tablename__ = "plan"
    __table_args__ = (
        one_of("sold_to", ("any", "consumer", "corporation")),
        one_of("early_fee_tax", ("none", "standard")),
        CheckConstraint("term_months BETWEEN 1 AND 120", name="term_months"),
        CheckConstraint(
            "early_fee >= 0 AND opening_fee >= 0 AND installation_fee >= 0 AND free_months >= 0",
            name="fees",
        ),
        CheckConstraint("mailboxes >= 0", name="mailboxes"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    line: Mapped[str]
    term_months: Mapped[int]
    early_fee: Mapped[int]
    early_fee_tax: Mapped[PenaltyTax] = mapped_column(Text)
    opening_fee: Mapped[int]
    free_months: Mapped[int]
    installation_fee: Mapped[int]
    sold_to: Mapped[SoldTo] = mapped_column(Text)
    sold_until: Mapped[date | None]
    mailboxes: Mapped[int]

    prices: Mapped[list[PlanPrice]] = relationship(
        cascade="all", lazy="selectin", order_by="PlanPrice.since"
    )


class PlanPrice(Base):
    """The monthly fee of a plan from a month on, yen net."""

    __tablename__ = "plan_price"
    __table_args__ = (CheckConstraint("monthly_fee >= 0", name="monthly_fee"),)

    plan_id: Mapped[int] = mapped_column(ForeignKey("plan.id"), primary_key=True)
    since: Mapped[Month] = mapped_column(primary_key=True)
    monthly_fee: Mapped[int]


class Contract(Base):
    """A member's contract for a plan [契約]; term and fees are pinned at conclusion.

    `charged_from` is the month of `opened_on` (ISP-02), kept as a column for the bill run.
    `term_number` is the term that the daily run last recorded, `renewal_announced` the renewal
    month that the member was last told of: both keep each thing from being done twice.
    """

    __tablename__ = "contract"
    __table_args__ = (
        one_of("status", STATUSES),
        one_of("early_fee_tax", ("none", "standard")),
        CheckConstraint("applied_on <= concluded_on", name="concluded_after_application"),
        CheckConstraint(
            "document_received_on >= concluded_on", name="document_received_after_conclusion"
        ),
        CheckConstraint(
            "opened_on IS NULL OR opened_on >= concluded_on", name="opened_after_conclusion"
        ),
        CheckConstraint(
            "(opened_on IS NULL) = (charged_from IS NULL)", name="charged_from_opening"
        ),
        CheckConstraint(
            "(status IN ('ended', 'withdrawn')) = (ended_on IS NOT NULL)", name="ended_on"
        ),
        CheckConstraint(
            "status NOT IN ('active', 'suspended') OR opened_on IS NOT NULL", name="active_is_open"
        ),
        CheckConstraint("term_months BETWEEN 1 AND 120", name="term_months"),
        CheckConstraint(
            "early_fee >= 0 AND opening_fee >= 0 AND installation_fee >= 0 AND free_months >= 0",
            name="fees",
        ),
        Index("ix_contract_customer_id", "customer_id"),
        Index("ix_contract_status", "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    plan_id: Mapped[int] = mapped_column(ForeignKey("plan.id"))
    status: Mapped[ContractStatus] = mapped_column(Text)
    applied_on: Mapped[date]
    concluded_on: Mapped[date]
    document_received_on: Mapped[date]
    opened_on: Mapped[date | None]
    charged_from: Mapped[Month | None]
    ended_on: Mapped[date | None]
    term_months: Mapped[int]
    early_fee: Mapped[int]
    early_fee_tax: Mapped[PenaltyTax] = mapped_column(Text)
    opening_fee: Mapped[int]
    free_months: Mapped[int]
    installation_fee: Mapped[int]
    term_number: Mapped[int] = mapped_column(default=1, server_default="1")
    renewal_announced: Mapped[Month | None]

    customer: Mapped[Customer] = relationship()
    plan: Mapped[Plan] = relationship()
    cancellation: Mapped[Cancellation | None] = relationship(lazy="joined")


class Cancellation(Base):
    """An application to leave [解約申込], one per contract: it counts once it is complete.

    `kind` tells cancellation from early withdrawal; fees are yen net with their legal basis.
    """

    __tablename__ = "cancellation"
    __table_args__ = (
        one_of("kind", ("cancellation", "withdrawal")),
        CheckConstraint(
            "(completed_on IS NULL) = (last_charged_month IS NULL)", name="complete_has_end"
        ),
        CheckConstraint("completed_on IS NULL OR completed_on >= first_received_on", name="dates"),
        CheckConstraint("early_fee >= 0 AND installation >= 0", name="fees"),
    )

    contract_id: Mapped[int] = mapped_column(ForeignKey("contract.id"), primary_key=True)
    kind: Mapped[str]
    first_received_on: Mapped[date]
    completed_on: Mapped[date | None]
    last_charged_month: Mapped[Month | None]
    in_renewal_month: Mapped[bool] = mapped_column(default=False)
    early_fee: Mapped[int] = mapped_column(default=0)
    early_fee_basis: Mapped[str] = mapped_column(default="")
    installation: Mapped[int] = mapped_column(default=0)


class Journal(Base):
    """Every act of the office, append-only [監査記録]: triggers refuse update and delete (ALL-03)."""

    __tablename__ = "journal"
    __table_args__ = (Index("ix_journal_subject", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    business_date: Mapped[date]
    actor: Mapped[str]
    act: Mapped[str]
    subject: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]


class Outbox(Base):
    """Messages rendered in the transaction that caused them, sent afterwards, each once.

    A `dropped` one has been given up by the desk; it keeps its row, so that it is not made anew.
    """

    __tablename__ = "outbox"
    __table_args__ = (partial_index("ix_outbox_waiting", "due_on", where="sent_at IS NULL"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    subject: Mapped[str]
    recipient: Mapped[str]
    message: Mapped[bytes] = mapped_column(LargeBinary)
    due_on: Mapped[date]
    sent_at: Mapped[datetime | None]
    dropped: Mapped[bool] = mapped_column(default=False, server_default=false())


class Parked(Base):
    """What a job could not do, with its reason; tried again the next day."""

    __tablename__ = "parked"

    job: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    since: Mapped[date]
