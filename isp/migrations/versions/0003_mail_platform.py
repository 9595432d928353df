"""What the mail platform, RADIUS and the web server need, and the views by which they read it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from isp import database as db

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MAIL_STATE = """
SELECT mailbox.id, mailbox.address, mailbox.password_hash, mailbox.quota_mb, mailbox.keeps_copy,
  customer.language,
  CASE WHEN contract.status = 'suspended' THEN false
    WHEN mailbox.suspended_by = 'contract' AND contract.status IN ('applied', 'active') THEN true
    ELSE mailbox.may_fetch END AS may_fetch,
  CASE WHEN contract.status = 'suspended' THEN false
    WHEN mailbox.suspended_by = 'contract' AND contract.status IN ('applied', 'active') THEN true
    ELSE mailbox.may_send END AS may_send,
  CASE WHEN mailbox.suspended_by = 'contract' THEN true
    ELSE mailbox.may_receive END AS may_receive,
  CASE WHEN contract.status = 'suspended' OR mailbox.suspended_by = 'contract' THEN ''
    ELSE mailbox.reason END AS reason
FROM mailbox
JOIN contract ON contract.id = mailbox.contract_id
JOIN customer ON customer.id = contract.customer_id
WHERE mailbox.status <> 'removed'
"""
"""Every mailbox as it is at this moment: `provisioning.wanted.directions` in SQL.

A contract's suspension counts before the nightly run has written it into the mailbox, and so does
its end; a test holds the two together over the whole truth table.
"""

ACCESS_STATE = """
SELECT contract.id, access_account.connection_id, access_account.password_hash,
  contract.status = 'suspended'
    OR (access_account.status = 'suspended' AND contract.status = 'cancelling') AS suspended
FROM access_account
JOIN contract ON contract.id = access_account.contract_id
WHERE access_account.status <> 'removed' AND contract.ended_on IS NULL
"""

VIEWS = {
    "mail_state": MAIL_STATE,
    "mail_domain": "SELECT name FROM domain",
    "mail_login": """
SELECT address AS login, password_hash AS password, NULL AS digest, NULL AS expires_at,
  may_fetch, may_send, reason, language, quota_mb
FROM mail_state
UNION ALL
SELECT mail_state.address, '{SHA256.HEX}' || app_password.digest, app_password.digest,
  app_password.expires_at, may_fetch, may_send, reason, language, quota_mb
FROM mail_state JOIN app_password ON app_password.mailbox_id = mail_state.id
""",
    "mail_user": "SELECT address, quota_mb FROM mail_state",
    "mail_route": """
SELECT address, address AS destination FROM mail_state
WHERE keeps_copy OR NOT EXISTS (SELECT 1 FROM forward WHERE forward.mailbox_id = mail_state.id)
UNION ALL
SELECT mail_state.address, forward.destination
FROM mail_state JOIN forward ON forward.mailbox_id = mail_state.id
UNION ALL
SELECT alias.address, mail_state.address
FROM alias JOIN mail_state ON mail_state.id = alias.mailbox_id WHERE alias.status = 'active'
UNION ALL
SELECT '@' || catch_all.domain, mail_state.address
FROM catch_all JOIN mail_state ON mail_state.id = catch_all.mailbox_id
""",
    "mail_sender": """
SELECT address, address AS login FROM mail_state
UNION ALL
SELECT alias.address, mail_state.address
FROM alias JOIN mail_state ON mail_state.id = alias.mailbox_id WHERE alias.status = 'active'
""",
    "mail_refused": """
SELECT address FROM mail_state WHERE NOT may_receive
UNION ALL
SELECT alias.address
FROM alias JOIN mail_state ON mail_state.id = alias.mailbox_id
WHERE alias.status = 'active' AND NOT may_receive
UNION ALL
SELECT mailbox.address
FROM mailbox JOIN catch_all ON catch_all.domain = mailbox.domain WHERE mailbox.status = 'removed'
UNION ALL
SELECT alias.address
FROM alias JOIN catch_all ON catch_all.domain = alias.domain WHERE alias.status = 'removed'
""",
    "access_state": ACCESS_STATE,
    "radcheck": """
SELECT 2 * id AS id, connection_id AS username, 'Crypt-Password' AS attribute, ':=' AS op,
  substr(password_hash, 15) AS value
FROM access_state WHERE password_hash LIKE '{SHA512-CRYPT}%'
UNION ALL
SELECT 2 * id + 1, connection_id, 'Auth-Type', ':=', 'Reject' FROM access_state WHERE suspended
""",
    "radreply": """
SELECT 3 * id AS id, connection_id AS username, 'Service-Type' AS attribute, '=' AS op,
  'Framed-User' AS value
FROM access_state WHERE NOT suspended
UNION ALL
SELECT 3 * id + 1, connection_id, 'Framed-Protocol', '=', 'PPP'
FROM access_state WHERE NOT suspended
UNION ALL
SELECT 3 * id + 2, connection_id, 'Reply-Message', '=', 'Your contract is suspended'
FROM access_state WHERE suspended
""",
}
"""In the order in which they rest on each other."""


def one_address(dialect: str) -> list[str]:
    """DDL: an address belongs to a mailbox or to an alias, never to both.

    On PostgreSQL a new alias waits for mailboxes being added (and they for it), since a trigger
    sees only what is committed.
    """
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_address_{event.split()[0].lower()} BEFORE {event} ON {table} "  # noqa: S608 - constants
            f"WHEN EXISTS (SELECT 1 FROM {other} WHERE address = NEW.address) "
            f"BEGIN SELECT RAISE(ABORT, 'address: it belongs to {other}'); END"
            for table, other in (("mailbox", "alias"), ("alias", "mailbox"))
            for event in ("INSERT", "UPDATE OF address")
        ]
    made = []
    for table, other in (("mailbox", "alias"), ("alias", "mailbox")):
        wait = "LOCK TABLE mailbox IN SHARE MODE; " if table == "alias" else ""
        made += [
            f"CREATE FUNCTION isp_one_address_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ "  # noqa: S608 - constants
            f"BEGIN {wait}IF EXISTS (SELECT 1 FROM {other} WHERE address = NEW.address) THEN "
            f"RAISE EXCEPTION 'address: it belongs to {other}' "
            "USING ERRCODE = 'unique_violation'; END IF; RETURN NEW; END $$",
            f"CREATE TRIGGER {table}_address BEFORE INSERT OR UPDATE OF address ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION isp_one_address_{table}()",
        ]
    return made


def _mailbox() -> None:
    with op.batch_alter_table("mailbox") as table:
        for column in ("may_fetch", "may_send", "may_receive", "keeps_copy"):
            table.add_column(
                sa.Column(column, sa.Boolean(), server_default=sa.true(), nullable=False)
            )
    op.execute(
        "UPDATE mailbox SET may_fetch = false, may_send = false, may_receive = status <> 'removed' "
        "WHERE status <> 'active'"
    )
    with op.batch_alter_table("mailbox") as table:
        table.create_check_constraint(
            op.f("ck_mailbox_directions"),
            "(status = 'active') = (may_fetch AND may_send AND may_receive)",
        )


def _alias() -> None:
    op.create_table(
        "alias",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'removed')", name=op.f("ck_alias_status")),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_alias_domain")),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name=op.f("fk_alias_mailbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias")),
        sa.UniqueConstraint("address", name=op.f("uq_alias_address")),
    )
    op.create_index("ix_alias_mailbox_id", "alias", ["mailbox_id"], unique=False)


def _forward() -> None:
    op.create_table(
        "forward",
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name=op.f("fk_forward_mailbox_id")),
        sa.PrimaryKeyConstraint("mailbox_id", "destination", name=op.f("pk_forward")),
    )


def _catch_all() -> None:
    op.create_table(
        "catch_all",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domain.name"], name=op.f("fk_catch_all_domain")),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailbox.id"], name=op.f("fk_catch_all_mailbox_id")
        ),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_catch_all")),
    )
    op.create_index("ix_catch_all_mailbox_id", "catch_all", ["mailbox_id"], unique=False)


def _app_password() -> None:
    op.create_table(
        "app_password",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", db.Instant(), nullable=False),
        sa.Column("expires_at", db.Instant(), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_app_password_life")),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_app_password_digest")),
        sa.ForeignKeyConstraint(
            ["mailbox_id"], ["mailbox.id"], name=op.f("fk_app_password_mailbox_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_password")),
        sa.UniqueConstraint("digest", name=op.f("uq_app_password_digest")),
    )
    op.create_index("uq_app_password_name", "app_password", ["mailbox_id", "name"], unique=True)


def _web_space() -> None:
    op.create_table(
        "web_space",
        sa.Column("contract_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("quota_mb", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("remove_on", sa.Date(), nullable=True),
        sa.CheckConstraint("password_hash LIKE '{%}%'", name=op.f("ck_web_space_password_hash")),
        sa.CheckConstraint(
            "status IN ('active', 'suspended', 'removed')", name=op.f("ck_web_space_status")
        ),
        sa.CheckConstraint("quota_mb > 0", name=op.f("ck_web_space_quota_mb")),
        sa.ForeignKeyConstraint(
            ["contract_id"], ["contract.id"], name=op.f("fk_web_space_contract_id")
        ),
        sa.PrimaryKeyConstraint("contract_id", name=op.f("pk_web_space")),
        sa.UniqueConstraint("name", name=op.f("uq_web_space_name")),
    )


def upgrade() -> None:
    _mailbox()
    _alias()
    _forward()
    _catch_all()
    _app_password()
    _web_space()
    for statement in one_address(op.get_bind().dialect.name):
        op.execute(statement)
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    raise NotImplementedError("aliases and app passwords would be lost: restore a backup instead")
