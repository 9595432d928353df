"""The one database of the office [台帳], SQLite or PostgreSQL by URL: what every table stands on."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from sqlalchemy import JSON, Date, DateTime, Dialect, Integer, MetaData, Text, create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from isp.errors import Fault, Refused
from isp.month import Month

MIGRATIONS = Path(__file__).parent / "migrations"
REVISION_TABLE = "isp_revision"
"""Where Alembic keeps the revision; a name of our own tells our backups from foreign files."""
READ_REVISION = f"SELECT version_num FROM {REVISION_TABLE}"  # noqa: S608 - a constant


class MonthColumn(TypeDecorator[Month]):
    """A month [月], stored as year x 12 + month - 1, so that ranges are plain arithmetic in SQL."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Month | None, dialect: Dialect) -> int | None:
        return None if value is None else value.index

    def process_result_value(self, value: int | None, dialect: Dialect) -> Month | None:
        return None if value is None else Month(value)


class Instant(TypeDecorator[datetime]):
    """A moment [日時] with its time zone; without one it is refused, since nobody could place it.

    PostgreSQL: `timestamptz`. SQLite: ISO text in UTC of a fixed width, so that text order is
    time order. Read back in UTC.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the instant {value} has no time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class Json(TypeDecorator[dict[str, Any]]):
    """A state as JSON, `jsonb` in PostgreSQL; None is SQL NULL: no state, not the word null."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB  # late: costs SQLite users 40 ms

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))


class Base(DeclarativeBase):
    """What every table is mapped on; constraints get names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        Month: MonthColumn,
        date: Date,
        datetime: Instant,
        dict[str, Any]: Json,
    }


# Opening ------------------------------------------------------------------------------------------


def engine(url: str, *, new: bool = False, wait: float = 10) -> Engine:
    """The database at `url`: `sqlite:///FILE` or `postgresql://USER@HOST/NAME`.

    `new` allows an SQLite file to be made (mode 0600); without it a missing file is a Fault.
    `wait` is how many seconds a locked row or file is waited for. Transactions write by default,
    see `reading`. What is wrong with the machine (locked, missing, full, unreachable) is raised as
    `Fault` with its remedy; a broken constraint stays SQLAlchemy's `IntegrityError`.
    """
    address = _address(url)
    serializer = partial(json.dumps, ensure_ascii=False)  # the journal stays readable by people
    if address.get_backend_name() == "sqlite":
        opened = create_engine(
            address, json_serializer=serializer, connect_args={"timeout": wait, "uri": True}
        )
        _speak_sqlite(opened, new)
    else:
        options = f"{address.query.get('options', '')} -c lock_timeout={int(wait * 1000)}"
        try:
            opened = create_engine(
                address.difference_update_query(["options"]),
                json_serializer=serializer,
                pool_pre_ping=True,
                connect_args={
                    "options": f"{options} -c timezone=UTC".strip(),
                    "application_name": "isp",
                    "connect_timeout": 10,
                },
            )
        except ImportError:
            raise Fault(
                "database: PostgreSQL needs psycopg: pip install 'isp-backoffice[postgresql]'"
            ) from None
    event.listen(opened, "handle_error", _translate)
    return opened


def reading(engine: Engine) -> Engine:
    """The same database for reports: transactions see one state and cannot write.

    They neither wait for a job that writes nor hold it up.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(isp_reading=True)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except (ArgumentError, ValueError):
        raise Refused(
            "database", "not a database URL; write sqlite:///isp.db or postgresql://user@host/name"
        ) from None
    if backend in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise Refused("database", f"{backend!r} is not known, only sqlite and postgresql are")
    if address.database in (None, "", ":memory:"):
        raise Refused("database", "SQLite needs a file: sqlite:///isp.db")
    return address.set(drivername="sqlite")


def sqlite_path(engine: Engine) -> Path:
    """The file of an SQLite database."""
    return Path(str(engine.url.database))


def _speak_sqlite(engine: Engine, new: bool) -> None:
    path = sqlite_path(engine)

    @event.listens_for(engine, "do_connect")
    def _(dialect: Dialect, record: object, cargs: list[Any], cparams: dict[str, Any]) -> None:
        if new:
            make_private(path)
        elif not path.exists():
            raise Fault(f"database: there is no {path}: run `isp init`, or correct database.url")
        cargs[:] = [f"file:{quote(str(path))}?mode=rw"]

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, record: object) -> None:
        # The driver begins nothing by itself: it would leave DDL and savepoints outside.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        # An fsync at each commit: after a power cut the office must still know the file it gave to
        # the bank and the mail it sent, or both would go out twice. Runs commit by the chunk.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE must not slip past triggers
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cache_size = -65536")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        is_reading = bool(connection.get_execution_options().get("isp_reading"))
        if connection.info.get("isp_reading", False) != is_reading:
            connection.exec_driver_sql(f"PRAGMA query_only = {int(is_reading)}")
            connection.info["isp_reading"] = is_reading
        # Taking the write lock at once makes the second job wait; taken at the first write it
        # would fail, since what was read before may have changed.
        connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def make_private(path: Path) -> None:
    """Make `path` an empty file that its owner alone may read; one that is there is left alone."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as wrong:
        raise Fault(f"database: cannot make {path}: {wrong.strerror}") from None


_SQLITE_FAULTS = {
    sqlite3.SQLITE_BUSY: "another program is writing; try again when it has ended",
    sqlite3.SQLITE_LOCKED: "another program is writing; try again when it has ended",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the folder and its permissions",
    sqlite3.SQLITE_PERM: "cannot be opened; check the folder and its permissions",
    sqlite3.SQLITE_READONLY: "cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was changed",
    sqlite3.SQLITE_IOERR: "the disk fails; check it, then `isp db restore` the last backup",
    sqlite3.SQLITE_CORRUPT: "is damaged; `isp db restore` the last backup",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; correct database.url",
}
_POSTGRESQL_FAULTS = {
    "55P03": "another program holds what is needed; try again when it has ended",
    "40P01": "two programs waited for one another; nothing was changed, try again",
    "40001": "another program changed the same rows; nothing was changed, try again",
    "53100": "the disk of the server is full; nothing was changed",
}


def _translate(context: ExceptionContext) -> None:
    """Raise what is the machine's fault as a Fault of one line; leave the rest as it is."""
    error = context.original_exception
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        told = context.connection and context.connection.info.get("isp_reading")
        if code == sqlite3.SQLITE_READONLY and told:
            return  # our own ban: a report that writes is a defect of the program
        if code in _SQLITE_FAULTS:
            name = context.engine.url.database if context.engine else "the file"
            raise Fault(f"database: {name}: {_SQLITE_FAULTS[code]}") from error
        return
    state = getattr(error, "sqlstate", None)
    if state in _POSTGRESQL_FAULTS:
        raise Fault(f"database: {_POSTGRESQL_FAULTS[state]}") from error
    if type(error).__name__ in ("OperationalError", "ConnectionTimeout", "AdminShutdown"):
        said = " ".join(str(error).split())
        raise Fault(f"database: {said}; check database.url and the server") from error


# The revision of the tables -----------------------------------------------------------------------


def head() -> str:
    """The revision this program works with: migrations are named `NNNN_what.py`, the last wins.

    Read from the names of the files, since Alembic would cost every command 100 ms.
    """
    names = (entry.name for entry in os.scandir(MIGRATIONS / "versions"))
    return max((name[:4] for name in names if re.match(r"\d{4}_\w+\.py$", name)), default="")


def revision(engine: Engine) -> str | None:
    """The revision of the database, or None where it has no tables yet."""
    try:
        with reading(engine).connect() as connection:
            found = connection.exec_driver_sql(READ_REVISION).scalar()
            return None if found is None else str(found)
    except (OperationalError, ProgrammingError):  # no such table; the rest became a Fault
        return None


def check_revision(engine: Engine) -> None:
    """A Fault unless the tables are those of this program; called before every command."""
    found, needed = revision(engine), head()
    if found == needed:
        return
    if found is None:
        raise Fault("database: it has no tables yet: run `isp db upgrade`")
    if found < needed:
        raise Fault(
            f"database: it is at revision {found} and this program needs {needed}: "
            "run `isp db backup FILE`, then `isp db upgrade`"
        )
    raise Fault(
        f"database: it is at revision {found}, newer than this program ({needed}): "
        "install the newer program"
    )


def upgrade(engine: Engine) -> None:
    """Bring the tables to `head()`, all migrations in one transaction or none of them."""
    if (revision(engine) or "") > head():
        check_revision(engine)
    from alembic import command  # late: costs 100 ms, and only this act needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with job_lock(engine, "db upgrade"), engine.connect() as connection:
        config.attributes["connection"] = connection
        with _foreign_keys_off(connection), connection.begin():
            command.upgrade(config, "head")
            if connection.dialect.name == "sqlite":
                lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if lost:
                    raise Fault(f"database: a row of {lost[0]} refers to nothing; nothing changed")


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by copying and dropping it, which foreign keys would forbid."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys = OFF")  # outside a transaction, inside it does nothing
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


# One job at a time --------------------------------------------------------------------------------


def lock_name(job: str) -> str:
    """The name under which PostgreSQL's advisory locks know a job."""
    return f"isp {job}"


@contextmanager
def job_lock(engine: Engine, job: str) -> Iterator[None]:
    """Hold the only permission to run `job` on this database; a second one is refused at once.

    The permission ends with the process, however it ends: it is a lock of the kernel on a file
    beside an SQLite database, and of the server on a connection of its own in PostgreSQL.
    """
    busy = Refused("job", f"another `{job}` is running on this database; wait until it has ended")
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # closed at the end, not pooled: the lock goes with it
            taken = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
            if not connection.exec_driver_sql(taken, (lock_name(job),)).scalar():
                raise busy
            try:
                yield
            finally:
                # Given back by word: that the connection is closed the server notices only later.
                given_back = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
                with suppress(DBAPIError, Fault):
                    connection.exec_driver_sql(given_back, (lock_name(job),))
        return
    path = sqlite_path(engine)
    lock = path.with_name(f".{path.name}.{job.replace(' ', '-')}.lock")
    make_private(lock)
    with lock.open("r+") as file:  # the file stays: to remove it would let two hold it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield


# What the database itself refuses -----------------------------------------------------------------


def append_only(table: str, dialect: str) -> list[str]:
    """DDL for a migration: rows of `table` are never changed nor removed (ALL-03).

    `dialect` is `op.get_bind().dialect.name`. Breaking it is an `IntegrityError`.
    """
    return [
        *_refusing_function(dialect),
        _refusing(table, "update", "UPDATE", dialect),
        *_refusing_removal(table, dialect),
    ]


def frozen(table: str, columns: Sequence[str], dialect: str) -> list[str]:
    """DDL for a migration: in rows of `table`, `columns` keep their values, and no row is removed.

    For what has been issued [発行済み]: a status may move, the document says for ever what it said.
    """
    differ = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}[dialect]
    changed = " OR ".join(f"OLD.{column} {differ} NEW.{column}" for column in columns)
    return [
        *_refusing_function(dialect),
        _refusing(table, "change", "UPDATE", dialect, f"WHEN ({changed})"),
        *_refusing_removal(table, dialect),
    ]


def _refusing_function(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return []
    return [
        "CREATE OR REPLACE FUNCTION isp_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '%: rows are kept as they are', TG_TABLE_NAME "
        "USING ERRCODE = 'restrict_violation'; END $$"
    ]


def _refusing_removal(table: str, dialect: str) -> list[str]:
    removals = [_refusing(table, "delete", "DELETE", dialect)]
    if dialect == "postgresql":
        removals.append(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION isp_refuse()"
        )
    return removals


def _refusing(table: str, name: str, act: str, dialect: str, when: str = "") -> str:
    trigger = f"CREATE TRIGGER {table}_no_{name} BEFORE {act} ON {table} FOR EACH ROW {when}"
    if dialect == "sqlite":
        return f"{trigger} BEGIN SELECT RAISE(ABORT, '{table}: rows are kept as they are'); END"
    return f"{trigger} EXECUTE FUNCTION isp_refuse()"
