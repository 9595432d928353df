"""Keys that sign the domains' mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dkim_key",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('published', 'signing', 'retired', 'removed')",
            name=op.f("ck_dkim_key_state"),
        ),
        sa.CheckConstraint(
            "(state IN ('published', 'signing')) = (sealed_key IS NOT NULL)",
            name=op.f("ck_dkim_key_sealed_key"),
        ),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_dkim_key_domain")),
        sa.PrimaryKeyConstraint("domain", "selector", name=op.f("pk_dkim_key")),
    )
    op.create_index(
        "uq_dkim_key_state",
        "dkim_key",
        ["domain", "state"],
        unique=True,
        sqlite_where=sa.text("state <> 'removed'"),
        postgresql_where=sa.text("state <> 'removed'"),
    )


def downgrade() -> None:
    raise NotImplementedError("keys that sign are not thrown away: restore a backup instead")
