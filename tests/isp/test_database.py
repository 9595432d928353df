"""The database: types, transactions, faults in one line, one job at a time, rows that stay."""

from __future__ import annotations

import importlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import postgresql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table, Text, inspect, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import Session

from isp import database as db
from isp.errors import Fault, Refused
from isp.month import Month

SCRATCH = MetaData()
KEPT = Table(
    "kept",
    SCRATCH,
    Column("id", Integer, primary_key=True),
    Column("number", Text, unique=True),
    Column("status", Text),
    Column("month", db.MonthColumn),
    Column("at", db.Instant),
    Column("state", db.Json),
)
ROW = {
    "id": 1,
    "number": "R1",
    "status": "open",
    "month": Month(24315),
    "at": datetime(2026, 4, 10, 9, tzinfo=timezone(timedelta(hours=9))),
    "state": {"名": "山田", "n": [1, None]},
}


@pytest.fixture
def scratch(empty_url: str) -> Iterator[Engine]:
    """A database of either kind with one table of every type and one row."""
    opened = db.engine(empty_url, new=True, wait=0.2)
    with opened.begin() as connection:
        SCRATCH.create_all(connection)
        connection.execute(KEPT.insert(), ROW)
    yield opened
    opened.dispose()


def rows(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(KEPT.select()).mappings()]


# Types


def test_types_come_back_as_they_went(scratch: Engine) -> None:
    assert rows(scratch) == [ROW]
    assert rows(scratch)[0]["at"].utcoffset() == timedelta(0)


def test_absent_values_are_sql_null(scratch: Engine) -> None:
    with scratch.begin() as connection:
        connection.execute(KEPT.insert(), {"id": 2, "month": None, "at": None, "state": None})
        where = "month IS NULL AND at IS NULL AND state IS NULL"
        found = connection.execute(text(f"SELECT id FROM kept WHERE {where}"))
        assert found.scalar_one() == 2


def test_months_and_instants_compare_in_sql(scratch: Engine) -> None:
    with scratch.connect() as connection:
        until = KEPT.select().where(KEPT.c.month < Month(24316), KEPT.c.at >= ROW["at"])
        assert len(connection.execute(until).all()) == 1
        after = KEPT.select().where(KEPT.c.at > datetime(2026, 4, 10, 0, 0, 0, 1, UTC))
        assert connection.execute(after).all() == []


def test_the_journal_stays_readable_in_the_file(scratch: Engine) -> None:
    with scratch.connect() as connection:
        stored = connection.execute(text("SELECT CAST(state AS TEXT) FROM kept")).scalar_one()
    assert "山田" in stored


def test_an_instant_without_a_time_zone_is_refused(scratch: Engine) -> None:
    with scratch.connect() as connection, pytest.raises(Exception, match="has no time zone"):
        connection.execute(KEPT.insert(), ROW | {"id": 2, "at": datetime(2026, 4, 10)})  # noqa: DTZ001 - the case


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-11))])
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - Hypothesis wants them naive


@given(INSTANTS, INSTANTS)
def test_stored_instants_sort_by_time_in_sqlite(one: datetime, other: datetime) -> None:
    from sqlalchemy.dialects.sqlite import dialect

    stored = [db.Instant().process_bind_param(at, dialect()) for at in (one, other)]
    assert (stored[0] < stored[1]) == (one < other)
    assert db.Instant().process_result_value(stored[0], dialect()) == one


# Transactions


def test_a_rollback_takes_back_rows_tables_and_savepoints(scratch: Engine) -> None:
    with scratch.connect() as connection, connection.begin() as transaction:
        connection.execute(text("CREATE TABLE made (id integer)"))
        with connection.begin_nested():
            connection.execute(KEPT.insert(), ROW | {"id": 2, "number": "R2"})
        transaction.rollback()
    with scratch.connect() as connection:
        assert not scratch.dialect.has_table(connection, "made")
    assert rows(scratch) == [ROW]


def test_a_savepoint_takes_back_its_own_part_only(scratch: Engine) -> None:
    with Session(scratch) as session, session.begin():
        session.execute(KEPT.insert(), ROW | {"id": 2, "number": "R2"})
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(KEPT.insert(), ROW | {"id": 3, "number": "R3"})
            session.execute(KEPT.insert(), ROW | {"id": 4, "number": "R1"})
    assert [row["id"] for row in rows(scratch)] == [1, 2]


def test_two_jobs_that_read_and_then_write_both_succeed(empty_url: str) -> None:
    """Each adds one to what it read; taken at the first write, the lock would fail one of them."""
    engine = db.engine(empty_url, new=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n integer)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    failed: list[BaseException] = []

    def job() -> None:
        try:
            for _ in range(10):
                with engine.begin() as connection:
                    lock = " FOR UPDATE" if engine.dialect.name == "postgresql" else ""
                    n = connection.execute(text(f"SELECT n FROM counter{lock}")).scalar_one()
                    connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
        except BaseException as wrong:  # whatever it is, the test must see it
            failed.append(wrong)

    jobs = [threading.Thread(target=job) for _ in range(2)]
    for started in jobs:
        started.start()
    for started in jobs:
        started.join()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 20
    assert failed == []
    engine.dispose()


def test_foreign_keys_are_held(scratch: Engine) -> None:
    with scratch.begin() as connection:
        connection.execute(text("CREATE TABLE child (of integer REFERENCES kept (id))"))
    with scratch.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("INSERT INTO child VALUES (99)"))
        connection.commit()


def test_sqlite_survives_a_power_cut_after_a_commit(sqlite_template: Path) -> None:
    engine = db.engine(f"sqlite:///{sqlite_template}")
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        }
    engine.dispose()
    full = 2
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }


def test_a_report_sees_one_state_and_neither_waits_nor_holds_up(scratch: Engine) -> None:
    report = db.reading(scratch)
    with scratch.begin() as writer, report.connect() as reader:
        writer.execute(text("UPDATE kept SET status = 'paid'"))
        assert reader.execute(text("SELECT status FROM kept")).scalar_one() == "open"
        writer.commit()
        assert reader.execute(text("SELECT status FROM kept")).scalar_one() == "open"
    assert rows(scratch)[0]["status"] == "paid"


def test_a_report_cannot_write(scratch: Engine) -> None:
    for _ in range(2):  # the connection is used again, for either purpose
        with db.reading(scratch).connect() as connection:
            with pytest.raises((OperationalError, InternalError), match="read-?only"):
                connection.execute(text("UPDATE kept SET status = 'paid'"))
        with scratch.begin() as connection:
            connection.execute(text("UPDATE kept SET status = 'open'"))


# Faults in one line


def test_a_locked_database_is_a_fault_that_says_what_to_do(scratch: Engine) -> None:
    with scratch.begin() as connection:
        connection.execute(text("UPDATE kept SET status = 'paid'"))
        with pytest.raises(Fault, match="^database: .*another program .* try again") as fault:
            with scratch.begin() as other:
                other.execute(text("UPDATE kept SET status = 'void'"))
    assert "\n" not in str(fault.value)


def test_a_missing_file_is_a_fault_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="there is no .*isp.db: run `isp init`"):
        db.engine(f"sqlite:///{tmp_path / 'isp.db'}").connect()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot make .*No such file or directory"):
        db.engine(f"sqlite:///{tmp_path / 'nowhere' / 'isp.db'}", new=True).connect()


def test_a_file_of_something_else_is_a_fault_and_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("not a database " * 100)
    with pytest.raises(Fault, match="letter.txt: is not an SQLite database"):
        db.engine(f"sqlite:///{other}").connect()
    assert other.read_text() == "not a database " * 100


def test_a_folder_in_place_of_the_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot be opened"):
        db.engine(f"sqlite:///{tmp_path}").connect()


def test_a_damaged_file_is_a_fault(sqlite_template: Path, tmp_path: Path) -> None:
    whole = sqlite_template.read_bytes()
    (tmp_path / "isp.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(Fault, match="isp.db: is damaged; `isp db restore`"):
        db.check_revision(db.engine(f"sqlite:///{tmp_path / 'isp.db'}"))


def test_a_full_disk_is_a_fault_and_changes_nothing(tmp_path: Path) -> None:
    engine = db.engine(f"sqlite:///{tmp_path / 'isp.db'}", new=True)
    with engine.begin() as connection:
        SCRATCH.create_all(connection)
    with engine.connect() as connection, pytest.raises(Fault, match="the disk is full"):
        connection.exec_driver_sql("PRAGMA max_page_count = 20")
        connection.execute(KEPT.insert(), ROW | {"state": {"much": "x" * 100_000}})
    assert rows(engine) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("postgresql://isp:wrong@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("postgresql://isp@127.0.0.1:{port}/postgres", "no password supplied"),
        (
            "postgresql://isp@/nowhere?host={folder}&port={port}",
            'database "nowhere" does not exist',
        ),
        ("postgresql://isp:geheim@127.0.0.1:1/isp", "check database.url and the server"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_a_fault(
    cluster: postgresql.Cluster, url: str, remedy: str
) -> None:
    with pytest.raises(Fault, match=remedy) as fault:
        db.engine(url.format(folder=cluster.folder, port=cluster.port)).connect()
    assert "\n" not in str(fault.value)
    assert "wrong" not in str(fault.value) and "geheim" not in str(fault.value)


def test_a_server_that_stops_is_a_fault(new_postgresql: Callable[[], str]) -> None:
    engine = db.engine(new_postgresql())
    with engine.connect() as victim, engine.connect() as killer:
        number = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
        killer.execute(text("SELECT pg_terminate_backend(:number)"), {"number": number})
        with pytest.raises(Fault, match="^database: .*check database.url and the server"):
            victim.execute(text("SELECT 1"))
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["", "isp.db", "sqlite://", "sqlite:///:memory:", "mysql://root@localhost/isp", "a://[b"]
)
def test_a_url_of_nothing_we_know_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(Refused) as refused:
        db.engine(url)
    assert refused.value.field == "database"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_spelling_of_postgresql_works_with_a_password_and_time_in_utc(
    cluster: postgresql.Cluster, scheme: str
) -> None:
    from urllib.parse import quote

    secret = quote(postgresql.PASSWORD, safe="")
    where = f"127.0.0.1:{cluster.port}/postgres?options=-c%20work_mem%3D5MB"
    engine = db.engine(f"{scheme}://isp:{secret}@{where}", wait=3)
    with engine.connect() as connection:
        names = ("TimeZone", "lock_timeout", "application_name", "work_mem")
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    engine.dispose()
    assert shown == ["UTC", "3s", "isp", "5MB"]


@pytest.mark.parametrize("name", ["isp.db", "a b?c#d%20.db", "料金.db"])
def test_the_file_is_private_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    engine = db.engine(f"sqlite:///{path}", new=True)
    if "?" in name:
        engine = db.engine(f"sqlite:///{path}".replace("?", "%3F"), new=True)
    with engine.begin() as connection:
        SCRATCH.create_all(connection)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    engine.dispose()
    assert modes == {0o600}


# Revisions


def test_head_is_what_alembic_calls_head() -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(db.MIGRATIONS))
    assert [db.head()] == scripts.get_heads()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


def test_a_migrated_database_passes_the_check(database: Engine) -> None:
    assert db.revision(database) == db.head()
    db.check_revision(database)


def test_the_check_costs_nothing(database: Engine) -> None:
    """Every command makes it: below 2 ms, and without Alembic."""
    db.check_revision(database)
    best = min(_seconds(lambda: db.check_revision(database)) for _ in range(20))
    assert best < 0.002
    code = "import sys, isp.database as d; d.head(); print('alembic' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def _seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("found", "remedy"), [("0000", "run `isp db backup FILE`, then"), ("9999", "install the newer")]
)
def test_a_database_of_another_program_is_a_fault(
    database: Engine, found: str, remedy: str
) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {db.REVISION_TABLE} SET version_num = '{found}'"))
    with pytest.raises(Fault, match=remedy):
        db.check_revision(database)


def test_nothing_is_done_to_a_newer_database(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {db.REVISION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Fault, match="newer than this program"):
        db.upgrade(database)


def test_a_database_without_tables_is_a_fault(scratch: Engine) -> None:
    assert db.revision(scratch) is None
    with pytest.raises(Fault, match="no tables yet: run `isp db upgrade`"):
        db.check_revision(scratch)


def test_an_upgrade_may_be_run_twice_and_says_nothing(
    empty_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = db.engine(empty_url, new=True)
    for _ in range(2):
        db.upgrade(engine)
        db.check_revision(engine)
    engine.dispose()
    assert capfd.readouterr() == ("", "")


def test_a_migration_that_fails_changes_nothing(
    scratch: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not what came before it in the same upgrade, tables included."""
    folder = tmp_path / "100% migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text((db.MIGRATIONS / "env.py").read_text())
    step = """
        from alembic import op
        revision, down_revision = {revision!r}, {before!r}
        def upgrade():
            op.execute({statement!r})
    """
    steps = [("0001", None, "CREATE TABLE made (n integer)"), ("0002", "0001", "DROP nothing")]
    for revision, before, statement in steps:
        file = folder / "versions" / f"{revision}_step.py"
        file.write_text(
            textwrap.dedent(step).format(revision=revision, before=before, statement=statement)
        )
    monkeypatch.setattr(db, "MIGRATIONS", folder)
    with pytest.raises(Exception, match="syntax error"):
        db.upgrade(scratch)
    with scratch.connect() as connection:
        assert not scratch.dialect.has_table(connection, "made")
    assert db.revision(scratch) is None
    (folder / "versions" / "0002_step.py").unlink()
    db.upgrade(scratch)
    assert db.revision(scratch) == "0001" == db.head()


def test_the_migrations_make_what_the_classes_say(database: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for package in ("isp", "billing", "provisioning"):  # each adds its tables to the metadata
        importlib.import_module(f"{package}.tables")
    # On SQLite Alembic takes every default '' for a changed one.
    defaults = database.dialect.name == "postgresql"
    with database.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": db.REVISION_TABLE, "compare_server_default": defaults},
        )
        assert compare_metadata(context, db.Base.metadata) == []
        checks = {
            table: {
                str(check["name"]) for check in inspect(connection).get_check_constraints(table)
            }
            for table in db.Base.metadata.tables
        }
    assert checks == {
        table.name: {
            str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)
        }
        for table in db.Base.metadata.tables.values()
    }


# One job at a time


def test_the_second_run_of_a_job_is_refused_and_other_jobs_are_not(database: Engine) -> None:
    other = db.engine(database.url.render_as_string(hide_password=False))
    with db.job_lock(database, "bill run"):
        with db.job_lock(other, "daily"):
            pass
        with pytest.raises(Refused, match="^job: another `bill run` is running"):
            with db.job_lock(other, "bill run"):
                pass
    with db.job_lock(other, "bill run"):
        pass
    other.dispose()


def test_a_lock_is_given_back_by_a_job_that_fails(database: Engine) -> None:
    with pytest.raises(ZeroDivisionError), db.job_lock(database, "daily"):
        raise ZeroDivisionError
    with db.job_lock(database, "daily"):
        pass


@pytest.mark.req("ALL-02")
def test_a_lock_ends_with_a_killed_process(database: Engine) -> None:
    url = database.url.render_as_string(hide_password=False)
    code = (
        "import sys, time, isp.database as d\n"
        "with d.job_lock(d.engine(sys.argv[1]), 'daily'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None and job.stdout.readline() == b"held\n"
        with pytest.raises(Refused), db.job_lock(database, "daily"):
            pass
        os.kill(job.pid, signal.SIGKILL)
    for _ in range(100):  # the server needs a moment to notice
        try:
            with db.job_lock(database, "daily"):
                return
        except Refused:
            time.sleep(0.02)
    pytest.fail("the lock outlived its process")


# Rows that stay

CHANGES = [
    "UPDATE kept SET status = 'void'",
    "UPDATE kept SET number = 'R9'",
    "DELETE FROM kept",
    "INSERT INTO kept (id, number) VALUES (1, 'R1') ON CONFLICT (id) DO UPDATE SET number = 'R8'",
]


def protect(engine: Engine, statements: Callable[..., list[str]], *what: object) -> None:
    with engine.begin() as connection:
        for statement in statements("kept", *what, engine.dialect.name):
            connection.execute(text(statement))


@pytest.mark.req("ALL-03")
@pytest.mark.parametrize("change", CHANGES)
def test_append_only_rows_refuse_every_change(scratch: Engine, change: str) -> None:
    protect(scratch, db.append_only)
    with scratch.begin() as connection:
        connection.execute(KEPT.insert(), ROW | {"id": 2, "number": "R2"})
    with pytest.raises(IntegrityError, match="kept: rows are kept as they are"):
        with scratch.begin() as connection:
            connection.execute(text(change))
    assert rows(scratch) == [ROW, ROW | {"id": 2, "number": "R2"}]


@pytest.mark.req("ALL-03")
@pytest.mark.parametrize("change", CHANGES[1:])
def test_frozen_columns_refuse_change_and_rows_refuse_removal(scratch: Engine, change: str) -> None:
    protect(scratch, db.frozen, ("id", "number", "month", "at", "state"))
    with pytest.raises(IntegrityError, match="kept: rows are kept as they are"):
        with scratch.begin() as connection:
            connection.execute(text(change))
    assert rows(scratch) == [ROW]


@pytest.mark.parametrize("column", ["number", "month", "at", "state"])
def test_frozen_columns_refuse_to_become_null(scratch: Engine, column: str) -> None:
    protect(scratch, db.frozen, ("number", "month", "at", "state"))
    with pytest.raises(IntegrityError), scratch.begin() as connection:
        connection.execute(text(f"UPDATE kept SET {column} = NULL"))


def test_the_status_of_a_frozen_row_may_move(scratch: Engine) -> None:
    protect(scratch, db.frozen, ("id", "number", "month", "at", "state"))
    with scratch.begin() as connection:
        connection.execute(KEPT.update().values(ROW | {"status": "paid"}))
    assert rows(scratch) == [ROW | {"status": "paid"}]


@pytest.mark.req("ALL-03")
def test_the_ways_around_a_trigger_are_closed(scratch: Engine) -> None:
    protect(scratch, db.append_only)
    statement = {
        "sqlite": "INSERT OR REPLACE INTO kept (id, number) VALUES (7, 'R1')",
        "postgresql": "TRUNCATE kept",
    }[scratch.dialect.name]
    with pytest.raises(IntegrityError), scratch.begin() as connection:
        connection.execute(text(statement))
    assert rows(scratch) == [ROW]


def test_two_tables_may_be_protected(scratch: Engine) -> None:
    with scratch.begin() as connection:
        connection.execute(text("CREATE TABLE also (n integer)"))
        for table in ("kept", "also"):
            for statement in db.append_only(table, scratch.dialect.name):
                connection.execute(text(statement))
        connection.execute(text("INSERT INTO also VALUES (1)"))
    with pytest.raises(IntegrityError, match="also: rows"), scratch.begin() as connection:
        connection.execute(text("DELETE FROM also"))
