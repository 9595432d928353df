"""Mail domains with their keys, mailboxes and what leads to them, connection accounts, web space.

What mail servers and RADIUS read of these are the views of migration 0003 (`mail_login` and
others), which count a contract's suspension at once.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, Literal

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, true
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

    A suspension bars one or more of fetching, sending and receiving; `suspended_by` tells an
    operator's from one that follows the contract. A mailbox to be removed stays until `remove_on`,
    and a removed one keeps its row, so that nobody else inherits the address by accident.
    Without `keeps_copy` its mail goes to where it is forwarded, and not into the mailbox.
    """

    __tablename__ = "mailbox"
    __table_args__ = (
        one_of("status", ("active", "suspended", "removed")),
        one_of("suspended_by", ("", "operator", "contract")),
        CheckConstraint("(status = 'suspended') = (suspended_by <> '')", name="suspension"),
        CheckConstraint(
            "(status = 'active') = (may_fetch AND may_send AND may_receive)", name="directions"
        ),
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
    may_fetch: Mapped[bool] = mapped_column(default=True, server_default=true())
    may_send: Mapped[bool] = mapped_column(default=True, server_default=true())
    may_receive: Mapped[bool] = mapped_column(default=True, server_default=true())
    reason: Mapped[str] = mapped_column(default="", server_default="")
    remove_on: Mapped[date | None]
    keeps_copy: Mapped[bool] = mapped_column(default=True, server_default=true())

    contract: Mapped[Contract] = relationship()


class Alias(Base):
    """Another address of a mailbox [別名アドレス]: mail to it arrives there, and it may be sent from.

    Triggers refuse an address that a mailbox has, and the other way round. A removed alias keeps
    its row: only the same contract may have the address again.
    """

    __tablename__ = "alias"
    __table_args__ = (
        one_of("status", ("active", "removed")),
        Index("ix_alias_mailbox_id", "mailbox_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(unique=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domain.name"))
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.id"))
    status: Mapped[Literal["active", "removed"]] = mapped_column(Text)

    mailbox: Mapped[Mailbox] = relationship()


class Forward(Base):
    """Where mail to a mailbox goes as well [転送先], or instead when it keeps no copy."""

    __tablename__ = "forward"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.id"), primary_key=True)
    destination: Mapped[str] = mapped_column(primary_key=True)


class CatchAll(Base):
    """The mailbox that gets what is sent to no address of a domain [キャッチオール]."""

    __tablename__ = "catch_all"
    __table_args__ = (Index("ix_catch_all_mailbox_id", "mailbox_id"),)

    domain: Mapped[str] = mapped_column(ForeignKey("domain.name"), primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.id"))

    mailbox: Mapped[Mailbox] = relationship()


class AppPassword(Base):
    """A further password of a mailbox, for one device or program [アプリパスワード].

    It is generated, 90 random bits, so that a plain SHA-256 in hexadecimal keeps it as safe as a
    slow hash does. Dovecot finds it by the first four digits, which differ within a mailbox. After
    `expires_at` it opens nothing.
    """

    __tablename__ = "app_password"
    __table_args__ = (
        CheckConstraint("length(digest) = 64", name="digest"),
        CheckConstraint("expires_at > created_at", name="life"),
        Index("uq_app_password_name", "mailbox_id", "name", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]

    mailbox: Mapped[Mailbox] = relationship()


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


class WebSpace(Base):
    """A member's web pages [ホームページ], one per contract (ISP-20); a name is never given again."""

    __tablename__ = "web_space"
    __table_args__ = (
        one_of("status", ("active", "suspended", "removed")),
        CheckConstraint("quota_mb > 0", name="quota_mb"),
        CheckConstraint("password_hash LIKE '{%}%'", name="password_hash"),
    )

    contract_id: Mapped[int] = mapped_column(ForeignKey("contract.id"), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    quota_mb: Mapped[int]
    status: Mapped[Status] = mapped_column(Text)
    remove_on: Mapped[date | None]

    contract: Mapped[Contract] = relationship()
