"""What the servers read where the office is on SQLite [連携用データベース]: copies of the views, no more.

The office's own file holds everything in one, and its write-ahead log asks readers for the right
to write. So mail servers and RADIUS get small files with the very rows of the views made for
them, and the group of the server gets the right to read them. On PostgreSQL roles do the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import Engine

from isp.database import sqlite_path
from isp.errors import Fault

FEEDS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "mail.db": {
        "mail_domain": ("name",),
        "mail_login": ("login",),
        "mail_user": ("address",),
        "mail_route": ("address",),
        "mail_sender": ("address",),
        "mail_refused": ("address",),
    },
    "radius.db": {"radcheck": ("username",), "radreply": ("username",)},
}
"""File, the views in it, and by what columns they are asked."""


def begin(engine: Engine, folder: Path) -> None:
    """Make the files where they are not yet, mode 0640, and fill them.

    Whoever owns the server's group is given the file once: it is changed in place for ever.
    """
    try:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name in FEEDS:
            os.close(os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o640))
    except OSError as wrong:
        raise Fault(f"platform.feed: cannot make {wrong.filename}: {wrong.strerror}") from None
    refresh(engine, folder)


def refresh(engine: Engine, folder: Path) -> int:
    """Bring the files that have been begun in step with the office; how many were out of step.

    Each in one transaction: a server reads the old state or the new one, never something between.
    """
    if engine.dialect.name != "sqlite":
        return 0
    return sum(
        _refresh(sqlite_path(engine), folder / name, views)
        for name, views in FEEDS.items()
        if (folder / name).exists()
    )


def _refresh(office: Path, feed: Path, views: Mapping[str, tuple[str, ...]]) -> bool:
    source = f"file:{quote(str(office.resolve()))}?mode=ro"
    try:
        with closing(sqlite3.connect(feed, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            # Readers are shut out while the commit is written, not while the rows are gathered.
            connection.execute("PRAGMA cache_spill = OFF")
            connection.execute("ATTACH ? AS office", (source,))
            connection.execute("BEGIN")
            stale = [view for view in views if _differs(connection, view)]
            if stale:
                # Only now: servers are held up while it is written, and not while it is compared.
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
                for view in stale:
                    _copy(connection, view, views[view])
            connection.execute("COMMIT")
            return bool(stale)
    except sqlite3.Error as wrong:
        raise Fault(
            f"platform.feed: {feed}: {wrong}; the servers go on with what they knew: mend it, "
            "then run `isp mail-platform reconcile`"
        ) from None


def _differs(connection: sqlite3.Connection, view: str) -> bool:
    if not _has_its_columns(connection, view):
        return True
    counts = {
        connection.execute(f"SELECT count(*) FROM {schema}.{view}").fetchone()[0]  # noqa: S608 - constants
        for schema in ("main", "office")
    }
    return len(counts) > 1 or bool(
        connection.execute(
            f"SELECT EXISTS (SELECT * FROM office.{view} EXCEPT SELECT * FROM main.{view})"  # noqa: S608 - constants
        ).fetchone()[0]
    )


def _has_its_columns(connection: sqlite3.Connection, view: str) -> bool:
    columns = [
        [
            row[0]
            for row in connection.execute(
                "SELECT name FROM pragma_table_info(?, ?) ORDER BY cid", (view, schema)
            )
        ]
        for schema in ("main", "office")
    ]
    return columns[0] == columns[1]


def _copy(connection: sqlite3.Connection, view: str, keys: tuple[str, ...]) -> None:
    """The rows, in a table that stays: Dovecot's next question fails when a table has been made anew.

    That is done only where an upgrade has changed what the view holds.
    """
    if not _has_its_columns(connection, view):
        connection.execute(f"DROP TABLE IF EXISTS main.{view}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS main.{view} AS SELECT * FROM office.{view} WHERE false"  # noqa: S608 - constants
    )
    connection.execute(f"CREATE INDEX IF NOT EXISTS main.ix_{view} ON {view} ({', '.join(keys)})")
    connection.execute(f"DELETE FROM main.{view}")  # noqa: S608 - constants
    connection.execute(f"INSERT INTO main.{view} SELECT * FROM office.{view}")  # noqa: S608 - constants
