"""Mail domains with their keys, mailboxes and connection accounts, bound to contracts."""

from __future__ import annotations

from datetime import date
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isp.database import Base
from isp.tables import Contract, one_of, partial_index
from provisioning.dkim import STATES, KeyState
from provisioning.wanted import Status, SuspendedBy

DEAD: Final = "{SHA512-CRYPT}!"
"""What stands in place of the hash once a mailbox or account is removed: no password fits it."""


class Domain(Base):
    """A mail domain that the operator serves."""

    __tablename__ = "domain"

    name: Mapped[str] = mapped_column(primary_key=True)
    added_on: Mapped[date]


class DkimKey(Base):
    """A key that signs a domain's mail [DKIM 署名鍵]; both halves in base64 of DER, ours sealed.

    The private half is there while it signs or will, and is forgotten when the key retires; the
    row stays, so that no selector is used twice.
    """

    __tablename__ = "dkim_key"
    __table_args__ = (
        one_of("state", STATES),
        CheckConstraint(
            "(state IN ('published', 'signing')) = (sealed_key IS NOT NULL)", name="sealed_key"
        ),
        partial_index(
            "uq_dkim_key_state", "domain", "state", where="state <> 'removed'", unique=True
        ),
    )

    domain: Mapped[str] = mapped_column(ForeignKey("domain.name"), primary_key=True)
    selector: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[KeyState] = mapped_column(Text)
    since: Mapped[date]
    public_key: Mapped[str]
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)


class Mailbox(Base):
    """A mailbox [メールボックス] of a contract; its password is kept as a hash only (ISP-01).

    `suspended_by` tells an operator's suspension from one that follows the contract; a mailbox to
    be removed stays until `remove_on`, and a removed one keeps its row, so that nobody else
    inherits the address by accident.
    """

    __tablename__ = "mailbox"
    __table_args__ = (
        one_of("status", ("active", "suspended", "removed")),
        one_of("suspended_by", ("", "operator", "contract")),
        CheckConstraint("(status = 'suspended') = (suspended_by <> '')", name="suspension"),
        CheckConstraint("quota_mb > 0", name="quota_mb"),
        CheckConstraint("password_hash LIKE '{%}%'", name="password_hash"),
        Index("ix_mailbox_contract_id", "contract_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(unique=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domain.name"))
    contract_id: Mapped[int] = mapped_column(ForeignKey("contract.id"))
    display_name: Mapped[str]
    quota_mb: Mapped[int]
    password_hash: Mapped[str]
    status: Mapped[Status] = mapped_column(Text)
    suspended_by: Mapped[SuspendedBy] = mapped_column(Text, default="", server_default="")
    reason: Mapped[str] = mapped_column(default="", server_default="")
    remove_on: Mapped[date | None]

    contract: Mapped[Contract] = relationship()


class AccessAccount(Base):
    """The connection account of a contract [接続ID], `USER@REALM`, for PPPoE (ISP-01)."""

    __tablename__ = "access_account"
    __table_args__ = (
        one_of("status", ("active", "suspended", "removed")),
        CheckConstraint("password_hash LIKE '{%}%'", name="password_hash"),
    )

    contract_id: Mapped[int] = mapped_column(ForeignKey("contract.id"), primary_key=True)
    connection_id: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    status: Mapped[Status] = mapped_column(Text)

    contract: Mapped[Contract] = relationship()
