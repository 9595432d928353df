"""Copies of the database for the safe, and back [バックアップ・復元]: whole, private, checked."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, Engine

from isp.database import (
    READ_REVISION,
    REVISION_TABLE,
    head,
    job_lock,
    lock_name,
    make_private,
    revision,
    sqlite_path,
)
from isp.errors import Fault, Refused


def backup(engine: Engine, file: Path) -> None:
    """Write the database as it is at this moment to `file`, mode 0600, while others go on working.

    SQLite: one SQLite file. PostgreSQL: `pg_dump` in its custom format. The copy is checked before
    it gets its name, and a file that exists is refused. The key file is not in it: keep that apart.
    """
    with _new_file(file) as part:
        if engine.dialect.name == "postgresql":
            _program(engine, "pg_dump", "--format=custom", "--no-owner", "--no-acl", f"-f{part}")
        else:
            _copy(sqlite_path(engine), part)
        if _revision_in(engine, part) is None:
            raise Fault("database: it has no tables yet: run `isp db upgrade`")


def restore(engine: Engine, file: Path) -> Path | None:
    """Put the database back as it was when `file` was written: all of it or, on any error, nothing.

    Nobody else may have the database open. What it held before is kept in a new file, which is
    returned: beside an SQLite database, for PostgreSQL beside `file`; None where it held nothing.
    A file of something else, a damaged one, or one of a newer program is refused.
    """
    found = _revision_in(engine, file)
    if found is None:
        raise Refused(
            "file", f"{file} is not a backup of this program's database on {_kind(engine)}"
        )
    if found > head():
        raise Refused("file", f"{file} was made by a newer program ({found}); install that first")
    with job_lock(engine, "db restore"):
        if engine.dialect.name == "postgresql":
            return _restore_postgresql(engine, file)
        return _restore_sqlite(engine, file)


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A private file to fill, which gets the name `file` once it is whole; never over another."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # ours from here on
        opened, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except FileExistsError:
        raise Refused("file", f"{file} exists already; name another") from None
    except OSError as wrong:
        raise Fault(f"backup: cannot write {file}: {wrong.strerror}") from None
    os.close(opened)
    part = Path(name)
    try:
        yield part
        _sync(part)
        part.replace(file)
        _sync(file.parent)
    except BaseException:
        file.unlink()
        part.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _kind(engine: Engine) -> str:
    return "PostgreSQL" if engine.dialect.name == "postgresql" else "SQLite"


def _free_name(beside: Path) -> Path:
    """`NAME.replaced-1`, or the next number that is free."""
    number = 1
    while (free := beside.with_name(f"{beside.name}.replaced-{number}")).exists():
        number += 1
    return free


def _revision_in(engine: Engine, file: Path) -> str | None:
    """The revision of the tables in a backup; None for any other file, or a damaged one."""
    if not file.is_file():
        raise Refused("file", f"there is no file {file}")
    if engine.dialect.name == "postgresql":
        return _revision_in_dump(file)
    try:
        with closing(_open(file, "ro")) as copy:
            if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return None
            if copy.execute("PRAGMA foreign_key_check").fetchone():
                return None
            row = copy.execute(READ_REVISION).fetchone()
            return None if row is None else str(row[0])
    except sqlite3.DatabaseError:
        return None


# SQLite -------------------------------------------------------------------------------------------


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=1
    )


def _copy(source: Path, target: Path) -> None:
    """All pages in one step: one moment's state, which writers neither change nor wait for."""
    if not source.exists():
        raise Fault(f"database: there is no {source}: run `isp init`, or correct database.url")
    try:
        with closing(_open(source, "rw")) as live, closing(_open(target, "rw")) as copy:
            live.execute("SELECT count(*) FROM sqlite_master")  # refused here when locked
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    except sqlite3.Error as wrong:
        raise Fault(f"backup: {source} was not copied: {wrong}") from None


def _restore_sqlite(engine: Engine, file: Path) -> Path | None:
    path, kept = sqlite_path(engine), _free_name(sqlite_path(engine))
    damaged = _set_aside_damaged(path, kept)
    holds_something = not damaged and revision(engine) is not None
    engine.dispose()  # our own connections count as somebody else's
    with closing(_open(path, "rw")) as live, closing(_open(file, "ro")) as copy:
        try:
            live.execute("PRAGMA locking_mode = EXCLUSIVE")
            live.execute("BEGIN EXCLUSIVE")
            live.execute("COMMIT")  # the file stays locked until it is closed
        except sqlite3.OperationalError:
            raise Fault(
                f"database: {path} is in use; stop every other `isp` and try again"
            ) from None
        try:
            if holds_something:
                with _new_file(kept) as part, closing(_open(part, "rw")) as saved:
                    live.backup(saved)
                    saved.execute("PRAGMA journal_mode = DELETE")
            copy.backup(live)  # one transaction of the database file
        except sqlite3.Error as wrong:
            raise Fault(f"database: {file} was not restored, nothing changed: {wrong}") from None
    return kept if holds_something or damaged else None


def _set_aside_damaged(path: Path, kept: Path) -> bool:
    """Give a file that SQLite cannot read another name, with its log, and an empty one its place."""
    make_private(path)
    try:
        with closing(_open(path, "rw")) as live:
            live.execute("SELECT count(*) FROM sqlite_master")
        return False
    except sqlite3.DatabaseError as wrong:
        if wrong.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Fault(f"database: {path} cannot be opened: {wrong}") from None
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    make_private(path)
    return True


# PostgreSQL ---------------------------------------------------------------------------------------


def _revision_in_dump(file: Path) -> str | None:
    read = subprocess.run(
        [_found("pg_restore"), "--data-only", f"--table={REVISION_TABLE}", "--file=-", str(file)],
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",  # they quote damaged files
    )
    lines = iter(read.stdout.splitlines())
    for line in lines:
        if line.startswith("COPY ") and REVISION_TABLE in line:
            found = next(lines, "\\.")
            return None if read.returncode or found == "\\." else found
    return None


def _restore_postgresql(engine: Engine, file: Path) -> Path | None:
    kept = _free_name(file) if revision(engine) is not None else None
    engine.dispose()
    _refuse_others(engine)
    if kept is not None:
        backup(engine, kept)
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        script = Path(folder) / "restore.sql"
        script.write_text(
            "SET client_min_messages = warning; DROP SCHEMA IF EXISTS public CASCADE; "
            "CREATE SCHEMA public;\n"
        )
        contents = Path(folder) / "contents.sql"
        _run([_found("pg_restore"), "--no-owner", "--no-acl", f"--file={contents}", str(file)], {})
        # Everything, the removal too, is one transaction, ended by the first error.
        _program(
            engine,
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--output=/dev/null",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
            f"--file={script}",
            f"--file={contents}",
        )
    return kept


def _refuse_others(engine: Engine) -> None:
    """A Fault while anybody is connected but us and the connection that holds our lock."""
    with engine.connect() as connection:
        others = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity AS a WHERE datname = current_database() "
            "AND usesysid IS NOT NULL AND pid <> pg_backend_pid() AND NOT EXISTS (SELECT "
            "FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND "
            "(l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(%s, 0))",
            (lock_name("db restore"),),
        ).scalar_one()
    engine.dispose()
    if others:
        raise Fault(f"database: {others} other connection(s) use it; stop them and try again")


def _program(engine: Engine, name: str, *options: str) -> None:
    """Run a program of PostgreSQL's on the database; the password goes by the environment.

    A process list shows arguments to every user of the machine, the environment only to ours.
    """
    url = engine.url
    query = dict(url.query)
    secret = str(url.password or query.pop("password", ""))
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    target = f"--dbname={address.render_as_string()}"
    _run(
        [_found(name), "--no-password", target, *options],
        {"PGOPTIONS": "-c lock_timeout=10s"} | ({"PGPASSWORD": secret} if secret else {}),
    )


def _found(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Fault(f"database: {name} is not installed: apt-get install postgresql-client")
    return found


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, "PGAPPNAME": "isp", "PGCONNECT_TIMEOUT": "10", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",  # they quote damaged files
    )
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"ended with {done.returncode}"
        raise Fault(f"database: {Path(command[0]).name}: {said[:500]}; nothing was changed")
