"""When a log-in has to wait after others have failed [ログイン試行の制限]."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

ENTRIES = 50_000
"""So many are remembered; beyond that the oldest are forgotten."""

Key = tuple[str, ...]


@dataclass(slots=True)
class LoginThrottle:
    """Counts failed log-ins per client address, per login name, and per pair of both.

    From `limit` failures on, with no more than `window` between each and the next, log-ins from
    that address, or to that name, are held until `window` after the last. A pair that has logged
    in before is held for its own failures only: neither a stranger who guesses at a mailbox nor
    a neighbour behind the same address (households share one) locks its owner out.
    """

    limit: int
    window: timedelta
    _failed: dict[Key, tuple[int, datetime]] = field(default_factory=dict)
    _known: dict[Key, None] = field(default_factory=dict)

    def held(self, login: str, client: str, now: datetime) -> Literal["client", "login"] | None:
        """What has failed too often: the client address, the login name, or nothing."""
        if (login, client) in self._known:
            return "login" if self._failures((login, client), now) >= self.limit else None
        if self._failures(("client", client), now) >= self.limit:
            return "client"
        if self._failures(("login", login), now) >= self.limit:
            return "login"
        return None

    def failed(self, login: str, client: str, now: datetime) -> None:
        """Count a wrong password or an unknown name."""
        for key in (("client", client), ("login", login), (login, client)):
            count = self._failures(key, now) + 1
            self._failed.pop(key, None)
            self._failed[key] = (count, now)
        self._forget(now)

    def succeeded(self, login: str, client: str) -> None:
        """Remember the pair; what others did from this address or to this name stays counted."""
        self._failed.pop((login, client), None)
        self._known.pop((login, client), None)
        self._known[login, client] = None
        if len(self._known) > ENTRIES:
            del self._known[next(iter(self._known))]

    def _failures(self, key: Key, now: datetime) -> int:
        count, last_at = self._failed.get(key, (0, now))
        return count if now - last_at <= self.window else 0

    def _forget(self, now: datetime) -> None:
        """Drop what has run out, and the oldest beyond the limit; the oldest stand first."""
        while self._failed:
            oldest = next(iter(self._failed))
            if len(self._failed) <= ENTRIES and self._failures(oldest, now):
                break
            del self._failed[oldest]
