"""The recipients counted [送信数の記録], kept through a restart of the server in a small SQLite file.

Questions are answered from memory; each message taken is one small write without an fsync (WAL,
`synchronous = NORMAL`), so that a killed server forgets nothing and a power cut a few seconds.
Why: docs/decisions/0045.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from isp.errors import Fault
from provisioning.sending import Reached, SendingLimits, slice_of

LOG = logging.getLogger("isp.sending")

_TABLE = """
CREATE TABLE IF NOT EXISTS sent (
  mailbox TEXT NOT NULL, slice INTEGER NOT NULL, recipients INTEGER NOT NULL,
  PRIMARY KEY (mailbox, slice)
) WITHOUT ROWID
"""
_COUNT = """
INSERT INTO sent VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients
"""
_TAKE_BACK = """
UPDATE sent SET recipients = max(0, recipients - ?) WHERE mailbox = ? AND slice = ?
"""


class Tally:
    """Counts for one server, from any thread; a context manager, since it holds a file.

    Without a path nothing outlives the process. A file that cannot be written (a full disk) stops
    no mail: counting goes on in memory, and the operator is told once.
    """

    def __init__(self, limits: SendingLimits, path: Path | None, now: datetime) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._swept = slice_of(now)
        self._file = None if path is None else _opened(path)
        self._told = False
        self._take_up(now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        trail: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def reached(self, mailbox: str, recipients: int, now: datetime) -> Reached | None:
        """The limit that so many recipients would break; nothing is counted."""
        with self._lock:
            return self._limits.reached(mailbox, recipients, now)

    def take(self, mailbox: str, recipients: int, now: datetime) -> Reached | None:
        """Count a message about to be taken, unless it would break a limit: then which."""
        with self._lock:
            reached = self._limits.reached(mailbox, recipients, now)
            if reached is None:
                self._limits.count(mailbox, recipients, now)
                if self._limits.memory:
                    self._do(_COUNT, mailbox, slice_of(now), recipients)
                self._sweep(now)
            return reached

    def give_back(self, mailbox: str, recipients: int, at: datetime) -> None:
        """The message counted at this instant was not taken: it does not count."""
        with self._lock:
            self._limits.forget(mailbox, recipients, at)
            self._do(_TAKE_BACK, recipients, mailbox, slice_of(at))

    def _take_up(self, now: datetime) -> None:
        if self._file is None:
            return
        oldest = slice_of(now - self._limits.memory)
        for mailbox, at_slice, recipients in self._file.execute(
            "SELECT mailbox, slice, recipients FROM sent WHERE slice >= ?", (oldest,)
        ):
            self._limits.restore(mailbox, at_slice, recipients)
        self._file.execute("DELETE FROM sent WHERE slice < ?", (oldest,))

    def _sweep(self, now: datetime) -> None:
        """Once in five minutes, what has lapsed goes."""
        if slice_of(now) == self._swept:
            return
        self._swept = slice_of(now)
        self._limits.sweep(now)
        self._do("DELETE FROM sent WHERE slice < ?", slice_of(now - self._limits.memory))

    def _do(self, statement: str, *values: object) -> None:
        if self._file is None:
            return
        try:
            self._file.execute(statement, values)
            self._told = False
        except sqlite3.Error as wrong:
            if not self._told:
                LOG.error("the file of sending limits cannot be written: %s", wrong)
            self._told = True


def _opened(path: Path) -> sqlite3.Connection:
    """The file, for its owner alone: it tells who writes how much."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        file = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as wrong:
        raise Fault(f"cannot keep the sending limits in {path}: {wrong}") from None
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute(_TABLE)
    except sqlite3.Error as wrong:
        file.close()
        raise Fault(
            f"the sending limits in {path} cannot be read ({wrong}): remove the file, the limits "
            "begin anew"
        ) from None
    return file
