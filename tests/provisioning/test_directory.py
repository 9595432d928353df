"""The mailboxes as the submission server sees them, while other programs write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import TOKYO
from isp.database import engine
from isp.errors import Fault
from isp.journal import history
from isp.lifecycle import ContractStatus
from provisioning.directory import DatabaseDirectory
from provisioning.passwords import digest_of, verify
from provisioning.runs.aliases import add_alias, remove_alias, set_catch_all
from provisioning.runs.app_passwords import add_app_password, revoke_app_password
from provisioning.runs.mailboxes import add_mailbox, forward, reissue, remove, resume, suspend
from provisioning.runs.rehash import replace_hash
from provisioning.smtpd import Account, Directory, Route
from provisioning.tables import Mailbox
from provisioning.wanted import SUSPENDED_REASON, Direction

TARO = "taro@example.jp"
JIRO = "jiro@example.jp"
NOW = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)
ELSEWHERE = "hanako@example.com"


def directory_of(database: Engine, clock: Callable[[], datetime] = lambda: NOW) -> Directory:
    return DatabaseDirectory(database, 30, clock)


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
    assert directory.route(TARO) == Route((TARO,))
    with office(database) as session:
        resume(session, shift, TARO)
    account = directory.account(TARO)
    assert account is not None and account.may_send
    with office(database) as session:
        remove(session, shift, TARO, at_once=True)
    assert directory.account(TARO) is None
    assert directory.route(TARO) == Route()


@pytest.mark.parametrize(
    ("address", "route"),
    [
        (TARO, Route((TARO,))),
        ("TARO@EXAMPLE.JP", Route((TARO,))),
        ("hanako@example.jp", Route()),
        ("taro@example.net", None),
        ("taro@sub.example.jp", None),
        ('"taro@example.net"@example.jp', Route()),
        ("", None),
    ],
)
def test_own_domains_are_delivered_to_their_mailboxes_only(
    database: Engine, day: MakeDay, address: str, route: Route | None
) -> None:
    with office(database) as session:
        conclude(session)
        add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
    directory = directory_of(database)
    assert directory.route(address) == route
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
    directory = directory_of(database, lambda: datetime.fromisoformat(f"{today}T09:00+09:00"))
    with office(database) as session:
        conclude(session)
        add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
    with office(database) as session:
        becomes(session, status, ended_on)
    account = directory.account(TARO)
    assert directory.route(TARO) == Route((TARO,) if may_send is not None else ())
    if may_send is None:
        assert account is None
    else:
        assert account is not None
        assert (account.may_send, account.reason) == (
            may_send,
            None if may_send else SUSPENDED_REASON,
        )


@pytest.mark.parametrize(
    ("bar", "may_send", "route"),
    [
        (("fetch",), True, Route((TARO,))),
        (("send",), False, Route((TARO,))),
        (("receive",), True, Route(closed=True)),
        (("fetch", "send", "receive"), False, Route(closed=True)),
    ],
)
@pytest.mark.parametrize("contract", ["active", "suspended"])
def test_isp_01_each_direction_is_barred_by_itself_and_a_suspended_contract_bars_sending(
    database: Engine,
    day: MakeDay,
    bar: tuple[Direction, ...],
    may_send: bool,
    route: Route,
    contract: ContractStatus,
) -> None:
    shift, directory = shift_of(day("2026-04-10")), directory_of(database)
    with office(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        suspend(session, shift, TARO, "see the letter", bar)
    with office(database) as session:
        becomes(session, contract)
    account = directory.account(TARO)
    assert account is not None and directory.route(TARO) == route
    assert account.may_send is (may_send and contract == "active")
    if not account.may_send:
        unpaid = contract == "suspended"
        assert account.reason == (SUSPENDED_REASON if unpaid else "see the letter")


def two_mailboxes(database: Engine, day: MakeDay) -> None:
    with office(database) as session:
        conclude(session)
        for address in (TARO, JIRO):
            add_mailbox(session, shift_of(day("2026-04-10")), address, CONTRACT)


def test_aliases_arrive_in_their_mailbox_and_may_be_sent_from(
    database: Engine, day: MakeDay
) -> None:
    two_mailboxes(database, day)
    shift, directory = shift_of(day("2026-04-10")), directory_of(database)
    with office(database) as session:
        add_alias(session, shift, "yamada@example.jp", TARO)
    assert directory.route("Yamada@Example.jp") == Route((TARO,))
    assert directory.account("yamada@example.jp") is None, "nobody logs in by an alias"
    for sender, login, may in [
        ("yamada@example.jp", TARO, True),
        ("YAMADA@example.jp", TARO.upper(), True),
        ("yamada@example.jp", JIRO, False),
        (TARO, JIRO, False),
        (TARO, "yamada@example.jp", False),
        ("yamada@example.com", TARO, False),
    ]:
        assert directory.may_send_as(login, sender) is may, (sender, login)
    with office(database) as session:
        suspend(session, shift, TARO, bar=("receive",))
    assert directory.route("yamada@example.jp") == Route(closed=True)
    with office(database) as session:
        remove_alias(session, shift, "yamada@example.jp")
    assert directory.route("yamada@example.jp") == Route()
    assert not directory.may_send_as(TARO, "yamada@example.jp")


FORWARDS: list[tuple[dict[str, tuple[list[str], bool]], Route]] = [
    ({TARO: ([ELSEWHERE], True)}, Route((TARO,), (ELSEWHERE,))),
    ({TARO: ([ELSEWHERE], False)}, Route((), (ELSEWHERE,))),
    ({TARO: ([JIRO], False)}, Route((JIRO,))),
    ({TARO: ([JIRO, ELSEWHERE], True)}, Route((TARO, JIRO), (ELSEWHERE,))),
    # To one another, with copies: each gets it once.
    ({TARO: ([JIRO], True), JIRO: ([TARO], True)}, Route((TARO, JIRO))),
    ({TARO: ([JIRO], False), JIRO: ([ELSEWHERE], True)}, Route((JIRO,), (ELSEWHERE,))),
    ({TARO: (["nobody@example.jp"], True)}, Route((TARO,))),
    ({TARO: (["nobody@example.jp"], False)}, Route()),
]


@pytest.mark.parametrize(("forwards", "route"), FORWARDS)
def test_forwards_are_followed_to_their_end(
    database: Engine,
    day: MakeDay,
    forwards: dict[str, tuple[list[str], bool]],
    route: Route,
) -> None:
    two_mailboxes(database, day)
    with office(database) as session:
        for address, (to, keeps_copy) in forwards.items():
            shift = shift_of(day("2026-04-10"))
            forward(session, shift, address, to, keeps_copy=keeps_copy)
    assert directory_of(database).route(TARO) == route


def test_the_catch_all_gets_what_is_nobodys(database: Engine, day: MakeDay) -> None:
    two_mailboxes(database, day)
    shift, directory = shift_of(day("2026-04-10")), directory_of(database)
    with office(database) as session:
        set_catch_all(session, shift, "example.jp", JIRO)
    assert directory.route("whoever@example.jp") == Route((JIRO,))
    assert directory.route(TARO) == Route((TARO,)), "it steals nobody's mail"
    assert not directory.may_send_as(JIRO, "whoever@example.jp")
    with office(database) as session:
        add_alias(session, shift, "gone@example.jp", TARO)
        remove_alias(session, shift, "gone@example.jp")
        remove(session, shift, TARO, at_once=True)
    assert directory.route("gone@example.jp") == directory.route(TARO) == Route()
    with office(database) as session:
        suspend(session, shift, JIRO, bar=("receive",))
    assert directory.route("whoever@example.jp") == Route(closed=True)


def test_app_passwords_open_until_they_expire_or_are_taken_back(
    database: Engine, day: MakeDay
) -> None:
    two_mailboxes(database, day)
    shift = shift_of(day("2026-04-10", "09:00"))
    with office(database) as session:
        _, phone = add_app_password(session, shift, TARO, "phone")
        _, tablet = add_app_password(session, shift, TARO, "tablet", timedelta(hours=1))

    def digests(now: datetime) -> set[str]:
        account = directory_of(database, lambda: now).account(TARO)
        assert account is not None
        return set(account.app_digests)

    expires_at = datetime(2026, 4, 10, 10, tzinfo=TOKYO)
    assert digests(expires_at - timedelta(microseconds=1)) == {digest_of(phone), digest_of(tablet)}
    assert digests(expires_at) == {digest_of(phone)}
    other = directory_of(database).account(JIRO)
    assert other is not None and other.app_digests == ()
    assert digest_of(phone) not in repr(directory_of(database).account(TARO))
    with office(database) as session:
        revoke_app_password(session, shift, TARO, "phone")
    assert digests(expires_at) == set()


def test_isp_01_who_has_logged_in_before_a_change_of_passwords_is_known(
    database: Engine, day: MakeDay
) -> None:
    two_mailboxes(database, day)
    shift, directory = shift_of(day("2026-04-10")), DatabaseDirectory(database, 30, lambda: NOW)
    with office(database) as session:
        add_app_password(session, shift, TARO, "phone")
    before = directory.mark()
    assert before > 0 and not directory.credentials_changed_since(before, TARO)
    with office(database) as session:
        revoke_app_password(session, shift, TARO, "phone")
    between = directory.mark()
    assert directory.credentials_changed_since(before, TARO)
    with office(database) as session:
        reissue(session, shift, TARO)
    assert directory.credentials_changed_since(between, TARO.upper())
    assert not directory.credentials_changed_since(before, JIRO)
    assert not directory.credentials_changed_since(directory.mark(), TARO)


SSHA512 = "{SSHA512}" + "A" * 92


@pytest.mark.req("EQ-01")
def test_eq_01_a_hash_is_replaced_only_while_it_is_the_same(database: Engine, day: MakeDay) -> None:
    two_mailboxes(database, day)
    shift = shift_of(day("2026-04-10"), "smtpd")

    def hash_of(session: Session) -> str:
        return session.scalars(select(Mailbox.password_hash).where(Mailbox.address == TARO)).one()

    with office(database) as session:
        session.execute(update(Mailbox).values(password_hash=SSHA512))
    with office(database) as session:
        assert replace_hash(session, shift, TARO, SSHA512, "{ARGON2ID}$new")
        assert not replace_hash(session, shift, TARO, SSHA512, "{ARGON2ID}$too-late")
        assert not replace_hash(session, shift, "nobody@example.jp", SSHA512, "{ARGON2ID}$x")
    with office(database) as session:
        assert hash_of(session) == "{ARGON2ID}$new"
        [act] = [each for each in history(session, TARO) if each.act == "mailbox.password-rehashed"]
        assert (act.actor, act.before, act.after) == (
            "smtpd",
            {"scheme": "SSHA512"},
            {"scheme": "ARGON2ID"},
        )


def test_a_database_that_is_away_is_a_fault_and_no_answer(tmp_path: Path) -> None:
    gone = engine(f"sqlite:///{tmp_path}/nowhere/isp.db", wait=1)
    directory = directory_of(gone)
    for question in (
        lambda: directory.account(TARO),
        lambda: directory.route(TARO),
        lambda: directory.may_send_as(TARO, "yamada@example.jp"),
    ):
        with pytest.raises(Fault, match=r"^database: "):
            question()


WRITER = """
import sys
from sqlalchemy import text
from isp.database import engine
opened = engine(sys.argv[1])
print("ready", flush=True)
with opened.begin() as connection:
    connection.execute(text("UPDATE mailbox SET reason = :a, status = 'suspended', "
        "suspended_by = 'operator', may_fetch = false, may_send = false "
        "WHERE address = :a"), {"a": sys.argv[2]})
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
