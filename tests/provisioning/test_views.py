"""What mail servers and RADIUS read: the views say what the rules say, and nothing else."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from sqlalchemy import text, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from isp.errors import Fault
from isp.lifecycle import ContractStatus
from provisioning.feed import FEEDS, begin, refresh
from provisioning.runs.access import open_access
from provisioning.runs.aliases import add_alias, remove_alias, set_catch_all
from provisioning.runs.app_passwords import add_app_password
from provisioning.runs.mailboxes import add_mailbox, forward, remove, suspend
from provisioning.tables import DEAD, AccessAccount, Alias, Mailbox
from provisioning.wanted import (
    EVERYTHING,
    NOTHING,
    RECEIVE_ONLY,
    ContractState,
    Direction,
    Directions,
    MailboxState,
    barred,
    directions,
    for_access,
)

TARO, HANAKO, INFO = "taro@example.jp", "hanako@example.jp", "info@example.jp"
STATES = [
    MailboxState("active"),
    MailboxState("suspended", "contract", may=RECEIVE_ONLY),
    *(
        MailboxState("suspended", "operator", may=Directions(*may))
        for may in itertools.product((True, False), repeat=3)
        if not all(may)
    ),
    MailboxState("removed", may=NOTHING),
]
CONTRACTS: tuple[ContractStatus, ...] = get_args(ContractStatus)
OVER = ("ended", "withdrawn")


def rows(session: Session, view: str) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(text(f"SELECT * FROM {view}")).mappings()]


@pytest.mark.parametrize(
    ("contract", "mailbox", "may"),
    [
        ("active", MailboxState("active"), EVERYTHING),
        ("suspended", MailboxState("active"), RECEIVE_ONLY),
        ("suspended", STATES[1], RECEIVE_ONLY),
        # Resumed this morning, and the night has not been yet.
        ("active", STATES[1], EVERYTHING),
        # Who leaves while suspended does not get the mailbox back by it.
        ("cancelling", STATES[1], RECEIVE_ONLY),
        ("active", MailboxState("suspended", "operator", may=RECEIVE_ONLY), RECEIVE_ONLY),
        (
            "suspended",
            MailboxState("suspended", "operator", may=Directions(receive=False)),
            NOTHING,
        ),
        ("active", MailboxState("removed", may=NOTHING), NOTHING),
    ],
)
def test_isp_01_what_a_mailbox_may_do(
    contract: ContractStatus, mailbox: MailboxState, may: Directions
) -> None:
    assert directions(contract, mailbox) == may


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("state", STATES, ids=str)
def test_isp_01_the_views_say_what_the_rule_says(
    database: Engine, day: MakeDay, contract: ContractStatus, state: MailboxState
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        add_app_password(session, shift, TARO, "phone")
        becomes(session, contract, date(2026, 4, 1) if contract in OVER else None)
        session.execute(
            update(Mailbox).values(
                status=state.status,
                suspended_by=state.suspended_by,
                may_fetch=state.may.fetch,
                may_send=state.may.send,
                may_receive=state.may.receive,
                reason="why",
            )
        )
        may = directions(contract, state)
        logins = rows(session, "mail_login")
        if state.status == "removed":
            assert logins == rows(session, "mail_user") == rows(session, "mail_route") == []
            return
        assert [row["digest"] is None for row in logins] == [True, False]
        for row in logins:
            assert (bool(row["may_fetch"]), bool(row["may_send"])) == (may.fetch, may.send)
            ours = contract == "suspended" or state.suspended_by == "contract"
            assert row["reason"] == ("" if ours else "why")
        refused = [row["address"] for row in rows(session, "mail_refused")]
        assert refused == ([] if may.receive else [TARO])


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("status", ["active", "suspended", "removed"])
def test_isp_01_radius_follows_the_contract_at_once(
    database: Engine, day: MakeDay, contract: ContractStatus, status: str
) -> None:
    with Session(database) as session:
        conclude(session)
        open_access(session, shift_of(day("2026-04-10")), CONTRACT)
        ended_on = date(2026, 4, 1) if contract in OVER else None
        becomes(session, contract, ended_on)
        session.execute(update(AccessAccount).values(status=status))
        if status == "removed":
            session.execute(update(AccessAccount).values(password_hash=DEAD))
        known = session.scalars(text("SELECT DISTINCT username FROM radcheck")).all()
        rejected = session.scalars(
            text("SELECT username FROM radcheck WHERE attribute = 'Auth-Type'")
        ).all()
        action = for_access(ContractState(contract, ended_on), status)  # type: ignore[arg-type]  # of the parameters
        after = {"suspend": "suspended", "resume": "active", "remove": "removed"}.get(
            action.act if action else "", status
        )
        assert len(known) == (after != "removed")
        assert len(rejected) == (after == "suspended")


def test_mail_finds_its_way_by_the_views(database: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        add_mailbox(session, shift, HANAKO, CONTRACT)
        add_alias(session, shift, INFO, TARO)
        add_alias(session, shift, "old@example.jp", TARO)
        remove_alias(session, shift, "old@example.jp")
        forward(session, shift, TARO, ["taro@example.com", "x@example.org"])
        forward(session, shift, HANAKO, ["h@example.com"], keeps_copy=False)
        set_catch_all(session, shift, "example.jp", HANAKO)
        session.flush()
        routes = {(row["address"], row["destination"]) for row in rows(session, "mail_route")}
        assert routes == {
            (TARO, TARO),
            (TARO, "taro@example.com"),
            (TARO, "x@example.org"),
            (INFO, TARO),
            (HANAKO, "h@example.com"),
            ("@example.jp", HANAKO),
        }
        senders = {(row["address"], row["login"]) for row in rows(session, "mail_sender")}
        assert senders == {(TARO, TARO), (INFO, TARO), (HANAKO, HANAKO)}
        suspend(session, shift, TARO, bar=("receive",))
        session.flush()
        refused = {row["address"] for row in rows(session, "mail_refused")}
        assert refused == {TARO, INFO, "old@example.jp"}
        remove(session, shift, TARO, at_once=True)
        session.flush()
        # What was somebody's is nobody's, and not the catch-all's either.
        refused = {row["address"] for row in rows(session, "mail_refused")}
        assert refused == {TARO, "old@example.jp"}
        assert {row["address"] for row in rows(session, "mail_route")} == {HANAKO, "@example.jp"}
        assert {row["address"] for row in rows(session, "mail_sender")} == {HANAKO}


def test_an_address_is_a_mailbox_or_an_alias_and_the_database_says_so(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        mailbox, _ = add_mailbox(session, shift, TARO, CONTRACT)
        add_mailbox(session, shift, HANAKO, CONTRACT)
        add_alias(session, shift, INFO, TARO)
        session.commit()
        session.add(
            Alias(address=TARO, domain="example.jp", mailbox_id=mailbox.id, status="active")
        )
        with pytest.raises(IntegrityError, match="it belongs to mailbox"):
            session.flush()
        session.rollback()
        with pytest.raises(IntegrityError, match="it belongs to alias"):
            session.execute(update(Mailbox).where(Mailbox.address == HANAKO).values(address=INFO))


def test_a_direction_is_barred_by_a_suspension_and_by_nothing_else(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    everything: tuple[Direction, ...] = ("fetch", "send", "receive")
    with Session(database) as session:
        conclude(session)
        mailbox, _ = add_mailbox(session, shift, TARO, CONTRACT)
        suspend(session, shift, TARO, bar=everything)
        assert barred(Directions(mailbox.may_fetch, mailbox.may_send, mailbox.may_receive)) == (
            everything
        )
        session.commit()
        mailbox.status, mailbox.suspended_by = "active", ""
        with pytest.raises(IntegrityError, match="ck_mailbox_directions"):
            session.flush()


def feed_of(folder: Path, name: str) -> dict[str, list[Any]]:
    connection = sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)
    try:
        return {
            view: connection.execute(f"SELECT * FROM {view}").fetchall() for view in FEEDS[name]
        }
    finally:
        connection.close()


def test_the_feed_holds_the_views_and_nothing_else(
    database: Engine, day: MakeDay, tmp_path: Path
) -> None:
    shift, folder = shift_of(day("2026-04-10")), tmp_path / "feed"
    if database.dialect.name != "sqlite":
        assert refresh(database, folder) == 0
        return
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        open_access(session, shift, CONTRACT)
        session.commit()
    assert refresh(database, folder) == 0, "nobody has asked for a feed yet"
    begin(database, folder)
    assert refresh(database, folder) == 0, "it is in step"
    assert {path.name: oct(path.stat().st_mode)[-3:] for path in folder.iterdir()} == dict.fromkeys(
        FEEDS, "640"
    )
    place = (folder / "mail.db").stat().st_ino
    with Session(database) as session:
        add_app_password(session, shift, TARO, "phone", timedelta(days=1))
        add_alias(session, shift, INFO, TARO)
        session.commit()
    assert refresh(database, folder) == 1, "mail has changed, RADIUS has not"
    for name in FEEDS:
        held = feed_of(folder, name)
        with Session(database) as session:
            for view, found in held.items():
                assert found == [tuple(row.values()) for row in rows(session, view)], view
        secrets = (folder / name).read_bytes()
        assert "会員".encode() not in secrets and b"member00000001@example.net" not in secrets
    assert (folder / "mail.db").stat().st_ino == place, "servers keep the file open"
    with closing(sqlite3.connect(folder / "mail.db")) as older:
        older.execute("ALTER TABLE mail_user DROP COLUMN quota_mb")
    assert refresh(database, folder) == 1, "an upgrade has changed what a view holds"
    with Session(database) as session:
        users = feed_of(folder, "mail.db")["mail_user"]
        assert users == [tuple(row.values()) for row in rows(session, "mail_user")]


def test_a_feed_that_cannot_be_written_is_a_fault_that_says_what_to_do(
    sqlite_template: Path, tmp_path: Path
) -> None:
    import isp.database

    database = isp.database.engine(f"sqlite:///{sqlite_template}")
    begin(database, tmp_path / "feed")
    (tmp_path / "feed" / "mail.db").write_bytes(b"no database" * 100)
    with pytest.raises(Fault, match=r"mail\.db: .*isp mail-platform reconcile"):
        refresh(database, tmp_path / "feed")
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="platform.feed: cannot make"):
        begin(database, tmp_path / "file" / "feed")
    database.dispose()
