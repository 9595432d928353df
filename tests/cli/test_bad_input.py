"""Hostile and mistaken input at the command line: one line, the right exit code, nothing changed."""

from __future__ import annotations

import functools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import desk
import pytest
from desk import TARO, everything, joined, member, on, options
from office import Answer, Office
from sqlalchemy import text
from sqlalchemy.engine import Engine

import isp.database

ISP = Path(sys.executable).with_name("isp")


@pytest.fixture
def sqlite_office(sqlite_template: Path, tmp_path: Path) -> Office:
    """For what concerns the words alone: on SQLite."""
    (tmp_path / "isp.db").write_bytes(sqlite_template.read_bytes())
    return Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")


def fault(answer: Answer) -> str:
    """The one line of a fault."""
    assert (answer.exit_code, answer.stdout) == (1, ""), answer
    [line] = answer.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.isprintable()
    return line.removeprefix("Error: ")


# Words


def test_all_04_words_that_are_none_are_refused_in_one_line(sqlite_office: Office) -> None:
    with desk.untouched(sqlite_office):
        for words, named in (
            (("sell",), "command"),
            (("\x1b[2J\x07",), "command"),
            (("customer", "sell"), "command"),
            (("customer", "list", "--colour", "red"), "command"),
            (("customer", "show"), "number"),
            (("customer", "show", "C1", "C2"), "command"),
            (("customer", "show", ""), "customer"),
            (("customer", "show", "C1' OR '1'='1"), "customer"),
            (("customer", "list", "--kind"), "command"),
            (("contract", "list", "--status", "ACTIVE"), "status"),
            (("plan", "add", "X", "--monthly-fee", "1", "--term-months", "1"), "name"),
            (("journal", "--last", "-1"), "last"),
            (("journal", "--last", "10001"), "last"),
            (("--format", "yaml", "plan", "list"), "format"),
            (("--lang", "de", "plan", "list"), "lang"),
            (("--unknown", "plan", "list"), "command"),
        ):
            refusal = sqlite_office.refused(*words)
            assert refusal.startswith(f"{named}: "), (words, refusal)
            assert refusal.isprintable()


@pytest.mark.parametrize("words", [(), ("customer",), ("contract",), ("db",)])
def test_a_group_alone_shows_its_help_and_does_nothing(
    sqlite_office: Office, words: tuple[str, ...]
) -> None:
    answer = sqlite_office(*words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("Usage: ")
    assert "Commands:" in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        [b"customer", b"show", b"C\xff"],
        [b"customer", b"add", b"--name", b"\x8e\x52\x93\x63"],  # 山田 in Shift JIS
        [b"customer", b"import", b"\xff.csv"],
        [b"\xff"],
    ],
)
def test_all_04_words_that_are_not_utf_8_are_refused(
    sqlite_office: Office, words: list[bytes]
) -> None:
    done = subprocess.run(
        [os.fsencode(ISP), b"--config", os.fsencode(sqlite_office.config), *words],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("Error: command: ")
    assert "is not UTF-8" in line


def test_all_04_an_environment_that_is_not_utf_8_is_refused(sqlite_office: Office) -> None:
    done = subprocess.run(
        [ISP, "--config", str(sqlite_office.config), "plan", "list"],
        env={**os.environb, b"ISP_ACTOR": b"\xff"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1


# Days and instants


@pytest.mark.parametrize(
    "today",
    [
        *("2026-02-30", "2026-13-01", "2026-00-01", "2026-1-1", "26-01-01", "20260410", "today"),
        *("2026-04-10T00:00:00", " 2026-04-10", "2026-04-10 ", "2026/04/10", "２０２６-04-10"),
        *("2026-W15-5", "0000-01-01", "0001-01-01", "1899-12-31", "3000-01-01", "9999-12-31"),
        *("-2026-04-10", "2026-04-10\n", "2026-04-\x0010", "1" * 1000),
    ],
)
def test_all_04_a_business_date_that_is_none_is_refused(sqlite_office: Office, today: str) -> None:
    refusal = sqlite_office.refused("--today", today, "plan", "list")
    assert refusal.startswith("today: ")
    assert refusal.isprintable()
    assert len(refusal) < 150


@pytest.mark.parametrize(
    "now",
    [
        *("2026-11-15", "2026-11-15T", "2026-11-15T25:00:00", "2026-11-15T23:60:00", "now"),
        *("2026-02-30T00:00:00", "2026-11-15T23:59:59+99:00", "2026-11-15x23:59:59"),
        *("1899-12-31T23:59:59", "9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00"),
        *("2026-W46-7T00:00:00", "1763218799", "2026-11-15T23:59:59 JST"),
    ],
)
def test_all_04_an_instant_that_is_none_is_refused(sqlite_office: Office, now: str) -> None:
    assert sqlite_office.refused("--now", now, "plan", "list").startswith("now: ")


@pytest.mark.parametrize(
    ("now", "at", "on_day"),
    [
        ("2026-11-15T23:59:59", "2026-11-15T23:59:59+09:00", "2026-11-15"),
        ("2026-11-15 23:59:59", "2026-11-15T23:59:59+09:00", "2026-11-15"),
        ("2026-11-15T23:59", "2026-11-15T23:59:00+09:00", "2026-11-15"),
        ("2026-11-15T23:59:59+09:00", "2026-11-15T23:59:59+09:00", "2026-11-15"),
        ("2026-11-15T23:59:59Z", "2026-11-16T08:59:59+09:00", "2026-11-16"),
        ("2026-11-15T23:59:59-10:00", "2026-11-16T18:59:59+09:00", "2026-11-16"),
        ("2026-11-15T23:59:59.5+0900", "2026-11-15T23:59:59.500000+09:00", "2026-11-15"),
    ],
)
def test_an_instant_is_japan_time_unless_it_says_otherwise(
    sqlite_office: Office, now: str, at: str, on_day: str
) -> None:
    sqlite_office.ok("--now", now, "customer", "add", *options(TARO))
    [act] = sqlite_office.ok("journal")
    assert (act["at"], act["business_date"]) == (at, on_day)


def test_the_first_and_the_last_day_that_are_known_work(sqlite_office: Office) -> None:
    """No arithmetic leaves the calendar, however far the terms reach."""
    for first, number in (("1900-01-01", "A"), ("2999-12-31", "B")):
        plan = options(desk.HIKARI | {"term_months": 120, "for": "corporation"})
        sqlite_office.ok(*on(first), "plan", "add", number, *plan)
        who = desk.company(sqlite_office, first)
        made = desk.contract(sqlite_office, who, first, first, number)
        shown = sqlite_office.ok(*on(first), "contract", "show", made)
        assert shown["term_start"] == first[:7]
        sqlite_office.ok(
            *(*on(first), "contract", "cancel", made, "--received", first, "--dry-run")
        )
        assert sqlite_office.ok(*on(first), "contract", "list")
        assert sqlite_office.ok(*on(first), "check")["checked"]


# The database


def test_a_locked_database_is_a_fault(
    sqlite_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader goes on, a writer is told after a while; nothing is half done."""
    waits_less = functools.partial(isp.database.engine, wait=0.2)
    monkeypatch.setattr(isp.database, "engine", waits_less)
    member(sqlite_office)
    with sqlite3.connect(sqlite_office.folder / "isp.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE customer SET name = 'other'")
        told = fault(sqlite_office("customer", "add", *options(TARO)))
        assert told.startswith("database: ")
        assert "another program is writing; try again" in told
        assert sqlite_office.ok("customer", "list")[0]["name"] == TARO["name"]
        other.execute("ROLLBACK")
    other.close()
    assert len(sqlite_office.ok("customer", "list")) == 1


def test_a_missing_database_is_a_fault_and_is_not_made(tmp_path: Path) -> None:
    office = Office(tmp_path, f"sqlite:///{tmp_path / 'none.db'}")
    for words in (("customer", "list"), ("customer", "add", *options(TARO)), ("check",)):
        told = fault(office(*words))
        assert told.startswith(f"database: there is no {tmp_path / 'none.db'}")
    assert not list(tmp_path.glob("none.db*"))


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("UPDATE isp_revision SET version_num = '9999'", "install the newer program"),
        ("UPDATE isp_revision SET version_num = '0000'", "then `isp db upgrade`"),
        ("DROP TABLE isp_revision", "run `isp db upgrade`"),
    ],
)
def test_a_database_of_another_program_is_a_fault(
    office: Office, database: Engine, statement: str, remedy: str
) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))
    with desk.untouched(office):
        for words in (("customer", "list"), ("customer", "add", *options(TARO))):
            told = fault(office(*words))
            assert told.startswith("database: ")
            assert remedy in told


def test_a_newer_database_is_not_upgraded_downwards(office: Office, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE isp_revision SET version_num = '9999'"))
    with desk.untouched(office):
        assert "newer than this program" in fault(office("db", "upgrade"))


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\x00" * 100])
def test_a_file_that_is_no_database_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "isp.db").write_bytes(content)
    office = Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")
    assert fault(office("customer", "list")).startswith("database: ")


@pytest.mark.parametrize("stands_in", ["environment", "configuration"])
@pytest.mark.parametrize(
    "url",
    [
        *("mysql://isp@localhost/isp", "sqlite://", "sqlite:///:memory:", "isp.db", "://"),
        *("postgresql://isp@localhost:port/isp", "sqlite:////none/none/isp.db"),
    ],
)
def test_all_04_a_database_url_that_is_none_is_one_line(
    sqlite_office: Office, url: str, stands_in: str
) -> None:
    office = sqlite_office
    if stands_in == "environment":
        office.database_url = url
    else:
        written = office.config.read_text("utf-8").replace("sqlite:///isp.db", url)
        office.config.write_text(written, "utf-8")
        office.database_url = ""
    answer = office("customer", "list")
    assert answer.exit_code in (1, 2)
    assert answer.stdout == ""
    [line] = answer.stderr.splitlines()
    assert line.startswith("Error: database: ")
    assert line.isprintable()


def test_a_constraint_speaks_without_the_row(office: Office, database: Engine) -> None:
    """PostgreSQL would show the whole row, secrets included."""
    number = member(office)
    card = ("--brand", "visa", "--last4", "4242", "--expires", "2039-03", "--holder", "T Y")
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE payment_method ADD COLUMN extra integer"))
        if database.dialect.name == "sqlite":
            refusing = "CREATE TRIGGER refuses BEFORE INSERT ON payment_method "
            refusing += "BEGIN SELECT RAISE(ABORT, 'extra is missing'); END"
        else:
            refusing = "ALTER TABLE payment_method ALTER extra SET NOT NULL"
        connection.execute(text(refusing))
    before = everything(office.database_url)
    paid = ("payment-method", "set", number, "card", "--token", "tok_9f3a", *card)
    refusal = office.refused(*paid)
    assert refusal.startswith("database: refused by a constraint: ")
    assert "tok_9f3a" not in refusal
    assert everything(office.database_url) == before


# The configuration


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"profile = ",
        b"profile = 5",
        b'unknown = "knob"',
        b'[operator]\nname = "a\x1b[2Jb"',
        b"[" * 10_000,
    ],
)
def test_all_04_a_configuration_that_is_none_is_one_line(
    sqlite_office: Office, content: bytes
) -> None:
    sqlite_office.config.write_bytes(content)
    answer = sqlite_office("customer", "list")
    assert answer.exit_code in (1, 2)
    assert answer.stdout == ""
    [line] = answer.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.isprintable()


def test_a_missing_configuration_names_the_remedy(sqlite_office: Office) -> None:
    sqlite_office.config.unlink()
    assert "run `isp init`" in fault(sqlite_office("customer", "list"))


# Twice over: the same wrong thing changes nothing, whatever came before


def test_all_04_nothing_of_a_refused_command_stays(office: Office) -> None:
    """A field that is wrong after others that were right, in each act of several steps."""
    number = joined(office)
    place = ("--postal-code", "530-0001")
    with desk.untouched(office):
        for words in (
            ("customer", "set", "C00000001", "--name", "山田花子", "--email", "x"),
            ("customer", "set", "C00000001", *place, "--address", "大阪", "--phone", "1"),
            ("contract", "move", number, *place, "--address", "\x07", "--line"),
            ("plan", "set", "HIKARI", "--sold-until", "2030-01-01", "--early-fee", "99999"),
            ("payment-method", "set", "C00000001", "card", "--token", "t", "--brand", "visa"),
        ):
            office.refused(*on(desk.TODAY), *words)
