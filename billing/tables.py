"""Invoices, collection and payments, with constraints that make wrong money impossible."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from billing.collecting import Channel, Status
from billing.drafting import MethodKind
from isp.charges import ChargeKind
from isp.database import Base
from isp.month import Month
from isp.tables import METHOD_KINDS, Contract, Customer, PaymentMethod, one_of, partial_index

DocumentKind = Literal["invoice", "credit-note"]

LINE_KINDS: tuple[ChargeKind, ...] = get_args(ChargeKind)
LIVE = text("invoice_line.live")
"""A line that counts, said as the indexes say it: as `live = 1` SQLite would use none of them."""
IN_COLLECTION = text("collection.state IN ('planned', 'exported')")
"""A collection that is planned or on its way, said as its index says it."""
ONCE_KINDS = "('opening', 'early-termination', 'installation')"


class BillRun(Base):
    """A month that has been billed to the end [請求処理]; rerun, it bills what came late."""

    __tablename__ = "bill_run"

    month: Mapped[Month] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime]


class Invoice(Base):
    """An invoice or credit note [適格請求書・適格返還請求書]; what it says was supplied never changes.

    Its status moves; `method` and `due_on` move once, where a transfer has failed and the member
    is asked to pay by invoice. The recipient stands as it was on the day of issue. Amounts are
    yen; a credit note's are negative and `refers_to_id` names the invoice that it corrects.
    """

    __tablename__ = "invoice"
    __table_args__ = (
        one_of("kind", ("invoice", "credit-note")),
        one_of("status", get_args(Status)),
        one_of("method", METHOD_KINDS),
        CheckConstraint("gross = net + tax", name="sum"),
        CheckConstraint(
            "(kind = 'credit-note') = (refers_to_id IS NOT NULL)", name="credit_refers"
        ),
        CheckConstraint("kind = 'invoice' OR gross < 0", name="credit_is_negative"),
        Index("ix_invoice_customer_id", "customer_id", "month"),
        Index("ix_invoice_month", "month"),
        partial_index("ix_invoice_refers_to_id", "refers_to_id", where="refers_to_id IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[DocumentKind] = mapped_column(Text, default="invoice", server_default="invoice")
    refers_to_id: Mapped[int | None] = mapped_column(ForeignKey("invoice.id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    month: Mapped[Month]
    issued_on: Mapped[date]
    due_on: Mapped[date]
    method: Mapped[MethodKind] = mapped_column(Text)
    status: Mapped[Status] = mapped_column(Text)
    net: Mapped[int]
    tax: Mapped[int]
    gross: Mapped[int]
    recipient_name: Mapped[str]
    recipient_postal_code: Mapped[str]
    recipient_address: Mapped[str]

    customer: Mapped[Customer] = relationship()
    refers_to: Mapped[Invoice | None] = relationship(remote_side="Invoice.id")
    lines: Mapped[list[InvoiceLine]] = relationship(
        lazy="selectin", order_by="InvoiceLine.position"
    )
    taxes: Mapped[list[InvoiceTax]] = relationship(
        lazy="selectin", order_by="InvoiceTax.rate.desc()"
    )


class InvoiceLine(Base):
    """One charge on an invoice; a contract, month and kind is billed once (ALL-02).

    `live` is false on lines of void invoices and on credit notes, so that what was taken back may
    be billed anew.
    """

    __tablename__ = "invoice_line"
    __table_args__ = (
        one_of("kind", LINE_KINDS),
        CheckConstraint("tax_rate BETWEEN 0 AND 100", name="tax_rate"),
        partial_index(
            "uq_invoice_line_charge",
            "contract_id",
            "month",
            "kind",
            where="live AND contract_id IS NOT NULL",
            unique=True,
        ),
        partial_index(
            "uq_invoice_line_once",
            "contract_id",
            "kind",
            where=f"live AND kind IN {ONCE_KINDS}",
            unique=True,
        ),
        partial_index(
            "uq_invoice_line_transfer_fee",
            "customer_id",
            "month",
            where="live AND kind = 'transfer-fee'",
            unique=True,
        ),
    )

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    contract_id: Mapped[int | None] = mapped_column(ForeignKey("contract.id"))
    month: Mapped[Month]
    kind: Mapped[ChargeKind] = mapped_column(Text)
    description: Mapped[str]
    net: Mapped[int]
    tax_rate: Mapped[int]
    live: Mapped[bool]

    contract: Mapped[Contract | None] = relationship()


class InvoiceTax(Base):
    """Net and tax of an invoice per rate, rounded once (ALL-01)."""

    __tablename__ = "invoice_tax"

    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"), primary_key=True)
    rate: Mapped[int] = mapped_column(primary_key=True)
    net: Mapped[int]
    tax: Mapped[int]


class Batch(Base):
    """A file of collections given to a bank or card company, and its result [振替依頼]."""

    __tablename__ = "batch"
    __table_args__ = (
        one_of("channel", get_args(Channel)),
        one_of("state", ("exported", "imported")),
        CheckConstraint("records > 0 AND amount > 0", name="not_empty"),
        CheckConstraint("(state = 'imported') = (result_sha256 IS NOT NULL)", name="result"),
        # Two years' files of the same members and amounts are the same bytes: they say no year.
        UniqueConstraint("file_sha256", "collect_on"),
        UniqueConstraint("result_sha256", "collect_on"),
        Index("ix_batch_month", "channel", "month"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[Channel] = mapped_column(Text)
    month: Mapped[Month]
    collect_on: Mapped[date]
    state: Mapped[str]
    records: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str]
    exported_at: Mapped[datetime]
    result_sha256: Mapped[str | None]
    settled_records: Mapped[int | None]
    settled_amount: Mapped[int | None] = mapped_column(BigInteger)


class Collection(Base):
    """One attempt to draw an invoice from an account or card [請求・振替]; one open at most."""

    __tablename__ = "collection"
    __table_args__ = (
        one_of("channel", get_args(Channel)),
        one_of("state", ("planned", "exported", "paid", "failed", "withdrawn")),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint(
            "(state IN ('planned', 'withdrawn')) = (batch_id IS NULL)", name="exported_in_batch"
        ),
        UniqueConstraint("batch_id", "invoice_id"),
        partial_index(
            "uq_collection_open",
            "invoice_id",
            where="state IN ('planned', 'exported')",
            unique=True,
        ),
        Index("ix_collection_invoice_id", "invoice_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    payment_method_id: Mapped[int] = mapped_column(ForeignKey("payment_method.id"))
    channel: Mapped[Channel] = mapped_column(Text)
    month: Mapped[Month]
    amount: Mapped[int]
    state: Mapped[str]
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"))
    new_code: Mapped[str] = mapped_column(default="0", server_default="0")
    result_code: Mapped[str | None]

    invoice: Mapped[Invoice] = relationship()
    method: Mapped[PaymentMethod] = relationship()
    batch: Mapped[Batch | None] = relationship()


class Payment(Base):
    """Money received for an invoice, or paid back (negative) [入金]; a notice is booked once."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("source", "reference"),
        one_of(
            "channel", ("account-transfer", "card", "bank", "convenience-store", "post", "cash")
        ),
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_payment_invoice_id", "invoice_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    paid_on: Mapped[date]
    amount: Mapped[int]
    channel: Mapped[str]
    source: Mapped[str]
    reference: Mapped[str]
