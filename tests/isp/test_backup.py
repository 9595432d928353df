"""Backups: whole while others write, private, checked; restored whole or not at all."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import postgresql
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine, make_url

from isp import database as db
from isp.backup import backup, restore
from isp.errors import Fault, Refused


@pytest.fixture
def filled(database: Engine) -> Engine:
    """A migrated database with two parked subjects."""
    park(database, "a", "b")
    return database


def park(engine: Engine, *subjects: str) -> None:
    with engine.begin() as connection:
        for subject in subjects:
            connection.execute(
                text("INSERT INTO parked VALUES ('bill', :subject, '料金 why', '2026-04-10')"),
                {"subject": subject},
            )


def parked(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT subject FROM parked ORDER BY 1")).scalars())


def opened(engine: Engine) -> Engine:
    return db.engine(engine.url.render_as_string(hide_password=False), wait=0.2)


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    """Where backups go."""
    (tmp_path / "safe").mkdir()
    return tmp_path / "safe"


def test_a_restore_brings_back_what_was_backed_up_and_keeps_what_it_replaced(
    filled: Engine, safe: Path
) -> None:
    backup(filled, safe / "monday")
    park(filled, "c")
    kept = restore(filled, safe / "monday")
    assert parked(filled) == ["a", "b"]
    db.check_revision(filled)
    assert kept is not None and stat.S_IMODE(kept.stat().st_mode) == 0o600
    beside = safe if filled.dialect.name == "postgresql" else safe.parent
    assert kept.parent == beside and kept.name.endswith(".replaced-1")
    second = restore(filled, kept)
    assert parked(filled) == ["a", "b", "c"]
    assert second is not None and second != kept


def test_triggers_and_constraints_come_back_too(filled: Engine, safe: Path) -> None:
    backup(filled, safe / "monday")
    restore(filled, safe / "monday")
    with filled.begin() as connection:
        for table in ("journal", "invoice"):
            triggers = {
                "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND "
                "tbl_name = :table",
                "postgresql": "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND "
                "tgrelid = CAST(:table AS regclass)",
            }[filled.dialect.name]
            assert connection.execute(text(triggers), {"table": table}).scalar_one() >= 2


def test_a_backup_is_private_and_leaves_nothing_else_behind(filled: Engine, safe: Path) -> None:
    backup(filled, safe / "monday")
    assert [file.name for file in safe.iterdir()] == ["monday"]
    assert stat.S_IMODE((safe / "monday").stat().st_mode) == 0o600


def test_a_backup_never_replaces_a_file(filled: Engine, safe: Path) -> None:
    (safe / "monday").write_text("the only copy")
    with pytest.raises(Refused, match=r"^file: .*monday exists already; name another"):
        backup(filled, safe / "monday")
    assert (safe / "monday").read_text() == "the only copy"
    assert [file.name for file in safe.iterdir()] == ["monday"]


def test_a_backup_to_nowhere_is_a_fault(filled: Engine, safe: Path) -> None:
    with pytest.raises(Fault, match=r"cannot write .*No such file or directory"):
        backup(filled, safe / "no" / "monday")


def test_a_database_without_tables_is_not_backed_up(empty_url: str, safe: Path) -> None:
    engine = db.engine(empty_url, new=True)
    engine.connect().close()
    with pytest.raises(Fault, match="no tables yet: run `isp db upgrade`"):
        backup(engine, safe / "monday")
    assert list(safe.iterdir()) == []
    engine.dispose()


@pytest.mark.parametrize("content", [b"", b"not a backup", b"PGDMP", b"SQLite format 3\0"])
def test_a_file_of_something_else_is_refused(filled: Engine, safe: Path, content: bytes) -> None:
    (safe / "letter").write_bytes(content)
    with pytest.raises(Refused, match=r"^file: .*letter is not a backup of this program"):
        restore(filled, safe / "letter")
    with pytest.raises(Refused, match=r"^file: there is no file .*nothing"):
        restore(filled, safe / "nothing")
    assert parked(filled) == ["a", "b"]


def test_the_database_of_another_program_is_refused(
    filled: Engine, safe: Path, sqlite_template: Path
) -> None:
    with sqlite3.connect(safe / "foreign") as other:
        other.execute("CREATE TABLE alembic_version (version_num text)")
        other.execute("INSERT INTO alembic_version VALUES ('0001')")
    other.close()
    with pytest.raises(Refused, match="is not a backup of this program"):
        restore(filled, safe / "foreign")


@pytest.mark.parametrize("damage", [b"", b"\xff", b"\0", b"a\n"])
@pytest.mark.parametrize("percent", [1, 10, 30, 50, 70])
def test_a_damaged_backup_is_refused(
    filled: Engine, safe: Path, percent: int, damage: bytes
) -> None:
    """Cut off, or overwritten to the end, anywhere."""
    backup(filled, safe / "monday")
    whole = (safe / "monday").read_bytes()
    good = whole[: len(whole) * percent // 100]
    (safe / "monday").write_bytes(good + damage * ((len(whole) - len(good)) // (len(damage) or 1)))
    with pytest.raises((Refused, Fault)) as refused:
        restore(filled, safe / "monday")
    assert str(refused.value).isprintable()
    assert parked(filled) == ["a", "b"]


def test_a_backup_of_a_newer_program_is_refused(filled: Engine, safe: Path) -> None:
    with filled.begin() as connection:
        connection.execute(text(f"UPDATE {db.REVISION_TABLE} SET version_num = '9999'"))
    backup(filled, safe / "future")
    with pytest.raises(Refused, match=r"made by a newer program \(9999\)"):
        restore(filled, safe / "future")


def test_a_backup_of_an_older_program_asks_for_an_upgrade(filled: Engine, safe: Path) -> None:
    with filled.begin() as connection:
        connection.execute(text(f"UPDATE {db.REVISION_TABLE} SET version_num = '0000'"))
    backup(filled, safe / "past")
    restore(filled, safe / "past")
    with pytest.raises(Fault, match="then `isp db upgrade`"):
        db.check_revision(filled)


def test_a_restore_waits_for_nobody_and_pulls_nothing_from_under_anybody(
    filled: Engine, safe: Path
) -> None:
    backup(filled, safe / "monday")
    other = opened(filled)
    with other.connect() as connection:
        connection.execute(text("SELECT 1 FROM parked"))
        with pytest.raises(Fault, match=r"use it; stop|in use; stop"):
            restore(filled, safe / "monday")
    other.dispose()
    with db.job_lock(opened(filled), "daily"):
        if filled.dialect.name == "postgresql":
            with pytest.raises(Fault, match="use it; stop them"):
                restore(filled, safe / "monday")
    assert restore(filled, safe / "monday") is not None


def test_a_lost_database_comes_back(
    filled: Engine, safe: Path, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """The machine burnt: nothing is there but the backup."""
    backup(filled, safe / "monday")
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if filled.dialect.name == "postgresql":
        url = new_postgresql()
    empty = db.engine(url, new=True)
    assert restore(empty, safe / "monday") is None
    assert parked(empty) == ["a", "b"]
    if filled.dialect.name == "sqlite":
        assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
    empty.dispose()


@pytest.mark.parametrize("first_bad_page", [0, 1])
def test_a_damaged_database_is_set_aside_and_replaced(
    sqlite_template: Path, safe: Path, first_bad_page: int
) -> None:
    path = safe / "isp.db"
    whole = sqlite_template.read_bytes()
    good = whole[: first_bad_page * 4096]
    path.write_bytes(good + b"\xff" * (len(whole) - len(good)))
    damaged = path.read_bytes()
    engine = db.engine(f"sqlite:///{path}")
    kept = restore(engine, sqlite_template)
    db.check_revision(engine)
    assert kept is not None and kept.read_bytes() == damaged
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    engine.dispose()


def test_a_restore_that_the_server_refuses_changes_nothing(
    new_postgresql: Callable[[str], str], postgresql_template: str, safe: Path
) -> None:
    """Half of the statements were run when it refuses one."""
    engine = db.engine(new_postgresql(postgresql_template))
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE dear; CREATE TABLE zzz (n integer)"))
        connection.execute(text("CREATE POLICY p ON zzz TO dear"))
    backup(engine, safe / "monday")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE zzz; DROP ROLE dear"))
    park(engine, "after")
    with pytest.raises(Fault, match=r'psql: .*role "dear" does not exist; nothing was changed'):
        restore(engine, safe / "monday")
    assert parked(engine) == ["after"]
    db.check_revision(engine)
    engine.dispose()


def test_a_restore_onto_a_full_disk_changes_nothing(sqlite_template: Path, safe: Path) -> None:
    """The limit on a file's size stands for the disk that fills while the pages are written."""
    path = shutil.copy(sqlite_template, safe / "isp.db")
    engine = db.engine(f"sqlite:///{path}")
    park(engine, "x" * 2_000_000)
    backup(engine, safe / "monday")
    engine.dispose()
    shutil.copy(sqlite_template, path)
    park(engine, "after")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(Fault, match="was not restored, nothing changed"):
            restore(engine, safe / "monday")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert parked(engine) == ["after"]
    db.check_revision(engine)
    engine.dispose()


def test_a_backup_is_one_moment_while_others_write(filled: Engine, safe: Path) -> None:
    """A writer moves pairs; no copy shows half a pair."""
    stop, other = threading.Event(), opened(filled)

    def write() -> None:
        number = 0
        while not stop.is_set():
            park(other, f"x{number}", f"y{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            backup(filled, safe / str(number))
    finally:
        stop.set()
        writer.join()
        other.dispose()
    seen = []
    for number in range(3):
        restore(filled, safe / str(number))
        seen.append(parked(filled))
        pairs = [subject for subject in seen[-1] if subject[0] in "xy"]
        assert {subject[1:] for subject in pairs if subject[0] == "x"} == {
            subject[1:] for subject in pairs if subject[0] == "y"
        }
    assert seen[0] != seen[-1]


# Passwords


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the arguments of every PostgreSQL program; the real ones run."""
    told, folder = tmp_path / "arguments", tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "psql"):
        wrapper = folder / name
        wrapper.write_text(f'#!/bin/sh\necho "$0 $@" >> {told}\nexec {shutil.which(name)} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return told


@pytest.mark.parametrize(
    "form",
    [
        "isp:{secret}@127.0.0.1:{port}/{name}",
        "isp@/{name}?host=127.0.0.1&port={port}&password={secret}",
    ],
)
def test_the_password_is_in_no_process_list(
    cluster: postgresql.Cluster,
    new_postgresql: Callable[[str], str],
    postgresql_template: str,
    watched: Path,
    safe: Path,
    form: str,
) -> None:
    name = make_url(new_postgresql(postgresql_template)).database
    secret = quote(postgresql.PASSWORD, safe="")
    engine = db.engine("postgresql://" + form.format(secret=secret, port=cluster.port, name=name))
    backup(engine, safe / "monday")
    restore(engine, safe / "monday")
    engine.dispose()
    said = watched.read_text()
    assert "pg_dump" in said and "psql" in said
    assert secret not in said and postgresql.PASSWORD not in said


def test_without_the_programs_of_postgresql_the_remedy_is_told(
    filled: Engine, safe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if filled.dialect.name == "sqlite":
        backup(filled, safe / "monday")
    else:
        with pytest.raises(Fault, match="pg_dump is not installed: apt-get install"):
            backup(filled, safe / "monday")
