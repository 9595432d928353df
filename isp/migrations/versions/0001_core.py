"""The core: people, contracts, invoices, collections, mailboxes, journal and outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import isp.database as db

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FROZEN = {
    "invoice": (
        "number",
        "kind",
        "refers_to_id",
        "customer_id",
        "month",
        "issued_on",
        "net",
        "tax",
        "gross",
        "recipient_name",
        "recipient_postal_code",
        "recipient_address",
    ),
    "invoice_line": (
        "invoice_id",
        "position",
        "customer_id",
        "contract_id",
        "month",
        "kind",
        "description",
        "net",
        "tax_rate",
    ),
    "invoice_tax": ("invoice_id", "rate", "net", "tax"),
    "payment": ("invoice_id", "paid_on", "amount", "channel", "source", "reference"),
}
"""Issued rows never change but for their status, and are never deleted."""


def _batch() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("month", db.MonthColumn(), nullable=False),
        sa.Column("collect_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("exported_at", db.Instant(), nullable=False),
        sa.Column("result_sha256", sa.Text(), nullable=True),
        sa.Column("settled_records", sa.Integer(), nullable=True),
        sa.Column("settled_amount", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(state = 'imported') = (result_sha256 IS NOT NULL)", name=op.f("ck_batch_result")
        ),
        sa.CheckConstraint(
            "channel IN ('account-transfer', 'card')", name=op.f("ck_batch_channel")
        ),
        sa.CheckConstraint("state IN ('exported', 'imported')", name=op.f("ck_batch_state")),
        sa.CheckConstraint("records > 0 AND amount > 0", name=op.f("ck_batch_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint(
            "file_sha256", "collect_on", name=op.f("uq_batch_file_sha256_collect_on")
        ),
        sa.UniqueConstraint(
            "result_sha256", "collect_on", name=op.f("uq_batch_result_sha256_collect_on")
        ),
    )
    op.create_index("ix_batch_month", "batch", ["channel", "month"], unique=False)


def _bill_run() -> None:
    op.create_table(
        "bill_run",
        sa.Column("month", db.MonthColumn(), nullable=False),
        sa.Column("completed_at", db.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_bill_run")),
    )


def _customer() -> None:
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kana", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("corporate_number", sa.Text(), nullable=True),
        sa.Column("no_number_because", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="ja", nullable=False),
        sa.Column("joined_on", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'corporation') = (corporate_number IS NOT NULL OR no_number_because <> '')",
            name=op.f("ck_customer_corporate_number"),
        ),
        sa.CheckConstraint(
            "kind IN ('individual', 'sole-proprietor', 'corporation')",
            name=op.f("ck_customer_kind"),
        ),
        sa.CheckConstraint("language IN ('ja', 'en')", name=op.f("ck_customer_language")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("number", name=op.f("uq_customer_number")),
    )


def _domain() -> None:
    op.create_table(
        "domain",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_domain")),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", db.Instant(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", db.Json, nullable=True),
        sa.Column("after", db.Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_subject", "journal", ["subject"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("sent_at", db.Instant(), nullable=True),
        sa.Column("dropped", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["due_on"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def _parked() -> None:
    op.create_table(
        "parked",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("job", "subject", name=op.f("pk_parked")),
    )


def _plan() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("term_months", sa.Integer(), nullable=False),
        sa.Column("early_fee", sa.Integer(), nullable=False),
        sa.Column("early_fee_tax", sa.Text(), nullable=False),
        sa.Column("opening_fee", sa.Integer(), nullable=False),
        sa.Column("free_months", sa.Integer(), nullable=False),
        sa.Column("installation_fee", sa.Integer(), nullable=False),
        sa.Column("sold_to", sa.Text(), nullable=False),
        sa.Column("sold_until", sa.Date(), nullable=True),
        sa.Column("mailboxes", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "early_fee_tax IN ('none', 'standard')", name=op.f("ck_plan_early_fee_tax")
        ),
        sa.CheckConstraint(
            "sold_to IN ('any', 'consumer', 'corporation')", name=op.f("ck_plan_sold_to")
        ),
        sa.CheckConstraint(
            "early_fee >= 0 AND opening_fee >= 0 AND installation_fee >= 0 AND free_months >= 0",
            name=op.f("ck_plan_fees"),
        ),
        sa.CheckConstraint("mailboxes >= 0", name=op.f("ck_plan_mailboxes")),
        sa.CheckConstraint("term_months BETWEEN 1 AND 120", name=op.f("ck_plan_term_months")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan")),
        sa.UniqueConstraint("code", name=op.f("uq_plan_code")),
    )


def _address() -> None:
    op.create_table(
        "address",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("postal_code", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('contract', 'billing', 'delivery')", name=op.f("ck_address_kind")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_address_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address")),
        sa.UniqueConstraint("customer_id", "kind", name=op.f("uq_address_customer_id_kind")),
    )


def _contract() -> None:
    op.create_table(
        "contract",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("applied_on", sa.Date(), nullable=False),
        sa.Column("concluded_on", sa.Date(), nullable=False),
        sa.Column("document_received_on", sa.Date(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=True),
        sa.Column("charged_from", db.MonthColumn(), nullable=True),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("term_months", sa.Integer(), nullable=False),
        sa.Column("early_fee", sa.Integer(), nullable=False),
        sa.Column("early_fee_tax", sa.Text(), nullable=False),
        sa.Column("opening_fee", sa.Integer(), nullable=False),
        sa.Column("free_months", sa.Integer(), nullable=False),
        sa.Column("installation_fee", sa.Integer(), nullable=False),
        sa.Column("term_number", sa.Integer(), server_default="1", nullable=False),
        sa.Column("renewal_announced", db.MonthColumn(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('ended', 'withdrawn')) = (ended_on IS NOT NULL)",
            name=op.f("ck_contract_ended_on"),
        ),
        sa.CheckConstraint(
            "early_fee_tax IN ('none', 'standard')", name=op.f("ck_contract_early_fee_tax")
        ),
        sa.CheckConstraint(
            "status IN ('applied', 'active', 'suspended', 'cancelling', 'ended', 'withdrawn')",
            name=op.f("ck_contract_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('active', 'suspended') OR opened_on IS NOT NULL",
            name=op.f("ck_contract_active_is_open"),
        ),
        sa.CheckConstraint(
            "(opened_on IS NULL) = (charged_from IS NULL)",
            name=op.f("ck_contract_charged_from_opening"),
        ),
        sa.CheckConstraint(
            "applied_on <= concluded_on", name=op.f("ck_contract_concluded_after_application")
        ),
        sa.CheckConstraint(
            "document_received_on >= concluded_on",
            name=op.f("ck_contract_document_received_after_conclusion"),
        ),
        sa.CheckConstraint(
            "early_fee >= 0 AND opening_fee >= 0 AND installation_fee >= 0 AND free_months >= 0",
            name=op.f("ck_contract_fees"),
        ),
        sa.CheckConstraint(
            "opened_on IS NULL OR opened_on >= concluded_on",
            name=op.f("ck_contract_opened_after_conclusion"),
        ),
        sa.CheckConstraint("term_months BETWEEN 1 AND 120", name=op.f("ck_contract_term_months")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_contract_customer_id")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name=op.f("fk_contract_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
        sa.UniqueConstraint("number", name=op.f("uq_contract_number")),
    )
    op.create_index("ix_contract_customer_id", "contract", ["customer_id"], unique=False)
    op.create_index("ix_contract_status", "contract", ["status"], unique=False)


def _invoice() -> None:
    op.create_table(
        "invoice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="invoice", nullable=False),
        sa.Column("refers_to_id", sa.Integer(), nullable=True),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("month", db.MonthColumn(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("net", sa.Integer(), nullable=False),
        sa.Column("tax", sa.Integer(), nullable=False),
        sa.Column("gross", sa.Integer(), nullable=False),
        sa.Column("recipient_name", sa.Text(), nullable=False),
        sa.Column("recipient_postal_code", sa.Text(), nullable=False),
        sa.Column("recipient_address", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'credit-note') = (refers_to_id IS NOT NULL)",
            name=op.f("ck_invoice_credit_refers"),
        ),
        sa.CheckConstraint(
            "kind = 'invoice' OR gross < 0", name=op.f("ck_invoice_credit_is_negative")
        ),
        sa.CheckConstraint("kind IN ('invoice', 'credit-note')", name=op.f("ck_invoice_kind")),
        sa.CheckConstraint(
            "method IN ('account-transfer', 'card', 'invoice')", name=op.f("ck_invoice_method")
        ),
        sa.CheckConstraint(
            "status IN ('open', 'collecting', 'paid', 'failed', 'void')",
            name=op.f("ck_invoice_status"),
        ),
        sa.CheckConstraint("gross = net + tax", name=op.f("ck_invoice_sum")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_invoice_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["refers_to_id"], ["invoice.id"], name=op.f("fk_invoice_refers_to_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("number", name=op.f("uq_invoice_number")),
    )
    op.create_index("ix_invoice_customer_id", "invoice", ["customer_id", "month"], unique=False)
    op.create_index("ix_invoice_month", "invoice", ["month"], unique=False)
    op.create_index(
        "ix_invoice_refers_to_id",
        "invoice",
        ["refers_to_id"],
        unique=False,
        sqlite_where=sa.text("refers_to_id IS NOT NULL"),
        postgresql_where=sa.text("refers_to_id IS NOT NULL"),
    )


def _payment_method() -> None:
    op.create_table(
        "payment_method",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("mandate", sa.Text(), server_default="none", nullable=False),
        sa.Column("bank", sa.Text(), nullable=True),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("sealed_account", sa.LargeBinary(), nullable=True),
        sa.Column("card_token", sa.Text(), nullable=True),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.Text(), nullable=True),
        sa.Column("card_expires", db.MonthColumn(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'account-transfer') = (mandate <> 'none')",
            name=op.f("ck_payment_method_has_mandate"),
        ),
        sa.CheckConstraint(
            "(kind = 'account-transfer') = (sealed_account IS NOT NULL)",
            name=op.f("ck_payment_method_account"),
        ),
        sa.CheckConstraint(
            "(kind = 'card') = (card_token IS NOT NULL)", name=op.f("ck_payment_method_card")
        ),
        sa.CheckConstraint(
            "kind IN ('account-transfer', 'card', 'invoice')", name=op.f("ck_payment_method_kind")
        ),
        sa.CheckConstraint(
            "mandate IN ('none', 'active', 'suspended')", name=op.f("ck_payment_method_mandate")
        ),
        sa.CheckConstraint(
            "valid_until IS NULL OR valid_until >= valid_from", name=op.f("ck_payment_method_dates")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_payment_method_customer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_method")),
    )
    op.create_index(
        "ix_payment_method_customer_id", "payment_method", ["customer_id"], unique=False
    )
    op.create_index(
        "uq_payment_method_current",
        "payment_method",
        ["customer_id"],
        unique=True,
        sqlite_where=sa.text("valid_until IS NULL"),
        postgresql_where=sa.text("valid_until IS NULL"),
    )


def _plan_price() -> None:
    op.create_table(
        "plan_price",
        sa.Column("plan_id", sa.Integer(), nullable=False),
        sa.Column("since", db.MonthColumn(), nullable=False),
        sa.Column("monthly_fee", sa.Integer(), nullable=False),
        sa.CheckConstraint("monthly_fee >= 0", name=op.f("ck_plan_price_monthly_fee")),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name=op.f("fk_plan_price_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "since", name=op.f("pk_plan_price")),
    )


def _access_account() -> None:
    op.create_table(
        "access_account",
        sa.Column("contract_id", sa.Integer(), nullable=False),
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "password_hash LIKE '{%}%'", name=op.f("ck_access_account_password_hash")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'suspended', 'removed')", name=op.f("ck_access_account_status")
        ),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contract.id"], name=op.f("fk_access_account_contract_id")
        ),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_access_account")),
        sa.UniqueConstraint("connection_id", name=op.f("uq_access_account_connection_id")),
    )


def _cancellation() -> None:
    op.create_table(
        "cancellation",
        sa.Column("contract_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("first_received_on", sa.Date(), nullable=False),
        sa.Column("completed_on", sa.Date(), nullable=True),
        sa.Column("last_charged_month", db.MonthColumn(), nullable=True),
        sa.Column("in_renewal_month", sa.Boolean(), nullable=False),
        sa.Column("early_fee", sa.Integer(), nullable=False),
        sa.Column("early_fee_basis", sa.Text(), nullable=False),
        sa.Column("installation", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('cancellation', 'withdrawal')", name=op.f("ck_cancellation_kind")
        ),
        sa.CheckConstraint(
            "(completed_on IS NULL) = (last_charged_month IS NULL)",
            name=op.f("ck_cancellation_complete_has_end"),
        ),
        sa.CheckConstraint(
            "completed_on IS NULL OR completed_on >= first_received_on",
            name=op.f("ck_cancellation_dates"),
        ),
        sa.CheckConstraint(
            "early_fee >= 0 AND installation >= 0", name=op.f("ck_cancellation_fees")
        ),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contract.id"], name=op.f("fk_cancellation_contract_id")
        ),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_cancellation")),
    )


def _collection() -> None:
    op.create_table(
        "collection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("payment_method_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("month", db.MonthColumn(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("new_code", sa.Text(), server_default="0", nullable=False),
        sa.Column("result_code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('planned', 'withdrawn')) = (batch_id IS NULL)",
            name=op.f("ck_collection_exported_in_batch"),
        ),
        sa.CheckConstraint(
            "channel IN ('account-transfer', 'card')", name=op.f("ck_collection_channel")
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'exported', 'paid', 'failed', 'withdrawn')",
            name=op.f("ck_collection_state"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_collection_amount")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_collection_batch_id")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_collection_invoice_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_method_id"],
            ["payment_method.id"],
            name=op.f("fk_collection_payment_method_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint(
            "batch_id", "invoice_id", name=op.f("uq_collection_batch_id_invoice_id")
        ),
    )
    op.create_index("ix_collection_invoice_id", "collection", ["invoice_id"], unique=False)
    op.create_index(
        "uq_collection_open",
        "collection",
        ["invoice_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('planned', 'exported')"),
        postgresql_where=sa.text("state IN ('planned', 'exported')"),
    )


def _invoice_line() -> None:
    op.create_table(
        "invoice_line",
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("contract_id", sa.Integer(), nullable=True),
        sa.Column("month", db.MonthColumn(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("net", sa.Integer(), nullable=False),
        sa.Column("tax_rate", sa.Integer(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('monthly', 'opening', 'transfer-fee', 'early-termination', 'installation', 'discount', 'points', 'item', 'adjustment')",
            name=op.f("ck_invoice_line_kind"),
        ),
        sa.CheckConstraint("tax_rate BETWEEN 0 AND 100", name=op.f("ck_invoice_line_tax_rate")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contract.id"], name=op.f("fk_invoice_line_contract_id")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_invoice_line_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_line_invoice_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_line")),
    )
    op.create_index(
        "uq_invoice_line_charge",
        "invoice_line",
        ["contract_id", "month", "kind"],
        unique=True,
        sqlite_where=sa.text("live AND contract_id IS NOT NULL"),
        postgresql_where=sa.text("live AND contract_id IS NOT NULL"),
    )
    op.create_index(
        "uq_invoice_line_once",
        "invoice_line",
        ["contract_id", "kind"],
        unique=True,
        sqlite_where=sa.text("live AND kind IN ('opening', 'early-termination', 'installation')"),
        postgresql_where=sa.text(
            "live AND kind IN ('opening', 'early-termination', 'installation')"
        ),
    )
    op.create_index(
        "uq_invoice_line_transfer_fee",
        "invoice_line",
        ["customer_id", "month"],
        unique=True,
        sqlite_where=sa.text("live AND kind = 'transfer-fee'"),
        postgresql_where=sa.text("live AND kind = 'transfer-fee'"),
    )


def _invoice_tax() -> None:
    op.create_table(
        "invoice_tax",
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("net", sa.Integer(), nullable=False),
        sa.Column("tax", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_tax_invoice_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "rate", name=op.f("pk_invoice_tax")),
    )


def _mailbox() -> None:
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("contract_id", sa.Integer(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("quota_mb", sa.Integer(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("suspended_by", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("remove_on", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "(status = 'suspended') = (suspended_by <> '')", name=op.f("ck_mailbox_suspension")
        ),
        sa.CheckConstraint("password_hash LIKE '{%}%'", name=op.f("ck_mailbox_password_hash")),
        sa.CheckConstraint(
            "status IN ('active', 'suspended', 'removed')", name=op.f("ck_mailbox_status")
        ),
        sa.CheckConstraint(
            "suspended_by IN ('', 'operator', 'contract')", name=op.f("ck_mailbox_suspended_by")
        ),
        sa.CheckConstraint("quota_mb > 0", name=op.f("ck_mailbox_quota_mb")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contract.id"], name=op.f("fk_mailbox_contract_id")
        ),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_mailbox_domain")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox")),
        sa.UniqueConstraint("address", name=op.f("uq_mailbox_address")),
    )
    op.create_index("ix_mailbox_contract_id", "mailbox", ["contract_id"], unique=False)


def _payment() -> None:
    op.create_table(
        "payment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "channel IN ('account-transfer', 'card', 'bank', 'convenience-store', 'post', 'cash')",
            name=op.f("ck_payment_channel"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_payment_amount")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_payment_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("source", "reference", name=op.f("uq_payment_source_reference")),
    )
    op.create_index("ix_payment_invoice_id", "payment", ["invoice_id"], unique=False)


def upgrade() -> None:
    _batch()
    _bill_run()
    _customer()
    _domain()
    _journal()
    _outbox()
    _parked()
    _plan()
    _address()
    _contract()
    _invoice()
    _payment_method()
    _plan_price()
    _access_account()
    _cancellation()
    _collection()
    _invoice_line()
    _invoice_tax()
    _mailbox()
    _payment()
    dialect = op.get_bind().dialect.name
    for statement in db.append_only("journal", dialect):
        op.execute(statement)
    for table, columns in FROZEN.items():
        for statement in db.frozen(table, columns, dialect):
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first version has nothing before it: restore a backup instead")
