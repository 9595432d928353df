"""Which mail domains are served [提供中のドメイン]: kept in memory, read again from time to time.

All that the portal ever reads from the database, by the view that mail servers have: a role that sees
nothing else will do. A thread of its own reads, so that a slow database holds up no answer; while
it is away, the portal goes on with what it knew.
"""

from __future__ import annotations

import logging
from threading import Event, Thread

from sqlalchemy import Select, Text, column, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from isp.database import engine, reading
from isp.errors import Fault

READ: Select[str] = select(column("name", Text)).select_from(table("mail_domain"))
LOG = logging.getLogger("uvicorn.error")
PATIENCE = 5
"""Seconds, at most, until a database that was away is asked again."""


class ServedDomains:
    """`names` are the domains as last read; None as long as they have never been read."""

    def __init__(self, url: str, seconds: int) -> None:
        self.names: frozenset[str] | None = None
        self._url = url
        self._seconds = seconds
        self._asked = Event()
        self._ended = Event()

    def start(self) -> None:
        Thread(target=self._keep, name="served domains", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def wait(self, seconds: float) -> None:
        """Until they have been asked for once, with or without success, but no longer."""
        self._asked.wait(seconds)

    def _keep(self) -> None:
        opened = engine(self._url, wait=PATIENCE)
        away = False
        while not self._ended.is_set():
            try:
                with Session(reading(opened)) as session:
                    self.names = frozenset(session.scalars(READ))
                away = False
            except (Fault, SQLAlchemyError) as error:
                if not away:
                    LOG.error("domains: not read, what was known stays: %s", _one_line(error))
                away = True
            # Not kept open: a database that was restored is another file under the same name.
            opened.dispose()
            self._asked.set()
            self._ended.wait(min(self._seconds, PATIENCE) if away else self._seconds)


def _one_line(error: Exception) -> str:
    """A Fault says what to do; of the rest the kind is enough, its text could hold anything."""
    return str(error) if isinstance(error, Fault) else type(error).__name__
