"""The mailboxes as the submission server sees them, while other programs write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from time import monotonic

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.lifecycle import ContractStatus
from provisioning.directory import DatabaseDirectory
from provisioning.passwords import verify
from provisioning.runs.mailboxes import add_mailbox, reissue, remove, resume, suspend
from provisioning.smtpd import Account, Directory
from provisioning.wanted import SUSPENDED_REASON

TARO = "taro@example.jp"
TODAY = date(2026, 4, 10)


def directory_of(database: Engine, today: Callable[[], date] = lambda: TODAY) -> Directory:
    return DatabaseDirectory(database, 30, today)


@contextmanager
def office(database: Engine) -> Iterator[Session]:
    """A transaction, committed, so that the directory sees what was done in it."""
    with Session(database) as session:
        yield session
        session.commit()


def test_isp_01_what_an_operator_does_counts_from_the_next_question(
    database: Engine, day: MakeDay
) -> None:
    shift, directory = shift_of(day("2026-04-10")), directory_of(database)
    with office(database) as session:
        conclude(session)
        _, first = add_mailbox(session, shift, TARO, CONTRACT)
    account = directory.account("Taro@Example.jp")
    assert account is not None and account.may_send
    assert (account.address, verify(first, account.password_hash)) == (TARO, True)
    with office(database) as session:
        _, second = reissue(session, shift, TARO)
    account = directory.account(TARO)
    assert account is not None
    assert verify(second, account.password_hash) and not verify(first, account.password_hash)
    with office(database) as session:
        suspend(session, shift, TARO, "too much mail")
    account = directory.account(TARO)
    assert account == Account(
        TARO, account.password_hash if account else "", False, "too much mail"
    )
    assert directory.delivers_locally(TARO) is True
    with office(database) as session:
        resume(session, shift, TARO)
    account = directory.account(TARO)
    assert account is not None and account.may_send
    with office(database) as session:
        remove(session, shift, TARO, at_once=True)
    assert directory.account(TARO) is None
    assert directory.delivers_locally(TARO) is False


@pytest.mark.parametrize(
    ("address", "delivered"),
    [
        (TARO, True),
        ("TARO@EXAMPLE.JP", True),
        ("hanako@example.jp", False),
        ("taro@example.net", None),
        ("taro@sub.example.jp", None),
        ('"taro@example.net"@example.jp', False),
        ("", None),
    ],
)
def test_own_domains_are_delivered_to_their_mailboxes_only(
    database: Engine, day: MakeDay, address: str, delivered: bool | None
) -> None:
    with office(database) as session:
        conclude(session)
        add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
    directory = directory_of(database)
    assert directory.delivers_locally(address) is delivered
    assert directory.account("nobody@example.jp") is None
    assert directory.may_send_as(TARO, "Taro@example.jp")
    assert not directory.may_send_as(TARO, "hanako@example.jp")
    assert not directory.may_send_as(TARO, "")


@pytest.mark.parametrize(
    ("status", "ended_on", "today", "may_send"),
    [
        ("active", None, "2026-05-01", True),
        ("suspended", None, "2026-05-01", False),
        ("cancelling", None, "2026-05-01", True),
        ("ended", date(2026, 4, 30), "2026-05-29", True),
        ("ended", date(2026, 4, 30), "2026-05-30", None),
        ("withdrawn", date(2026, 4, 30), "2026-05-30", None),
    ],
)
def test_the_contract_decides_before_the_night_has_written_it_down(
    database: Engine,
    day: MakeDay,
    status: ContractStatus,
    ended_on: date | None,
    today: str,
    may_send: bool | None,
) -> None:
    """A suspended mailbox may not send and receives on; past the grace nobody knows it."""
    directory = directory_of(database, lambda: date.fromisoformat(today))
    with office(database) as session:
        conclude(session)
        add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
    with office(database) as session:
        becomes(session, status, ended_on)
    account = directory.account(TARO)
    assert directory.delivers_locally(TARO) is (may_send is not None)
    if may_send is None:
        assert account is None
    else:
        assert account is not None
        assert (account.may_send, account.reason) == (
            may_send,
            None if may_send else SUSPENDED_REASON,
        )


WRITER = """
import sys
from sqlalchemy import text
from isp.database import engine
opened = engine(sys.argv[1])
print("ready", flush=True)
with opened.begin() as connection:
    connection.execute(text("UPDATE mailbox SET reason = :a, status = 'suspended', "
        "suspended_by = 'operator' WHERE address = :a"), {"a": sys.argv[2]})
    print("written", flush=True)
    sys.stdin.read()
"""


def writing(database_url: str, address: str) -> subprocess.Popen[str]:
    """A program that suspends a mailbox and commits when its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(word: str, program: subprocess.Popen[str]) -> None:
    assert program.stdout is not None
    assert word in iter(program.stdout.readline, "")


def test_two_programs_that_write_hold_up_no_log_in(
    database: Engine, database_url: str, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    boxes = [TARO, "jiro@example.jp"]
    with office(database) as session:
        conclude(session)
        for address in boxes:
            add_mailbox(session, shift, address, CONTRACT)
    directory = directory_of(database)
    with writing(database_url, boxes[0]) as first:
        wait_for("written\n", first)
        # On SQLite the second waits for the first; neither may make a log-in wait.
        with writing(database_url, boxes[1]) as second:
            wait_for("ready\n", second)
            asked = monotonic()
            with ThreadPoolExecutor(4) as threads:
                answers = list(threads.map(directory.account, boxes * 50))
            assert monotonic() - asked < 5
            assert all(account is not None and account.may_send for account in answers)
            for program in (first, second):
                program.communicate(timeout=30)
                assert program.returncode == 0
    for address in boxes:
        account = directory.account(address)
        assert account is not None and not account.may_send and account.reason == address
