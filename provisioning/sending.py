"""How many recipients a mailbox may write to [送信数の制限]: in any hour, and in any day.

Who has stolen a password sends to thousands within minutes, and then the mail of all members is
refused elsewhere; few members ever write to two hundred people in an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

SLICE_SECONDS: Final = 300
"""Recipients are counted by slices of five minutes, so that a mailbox costs 289 numbers at most."""

HOUR: Final = 3_600
DAY: Final = 86_400

Window = Literal["hour", "day"]


def slice_of(at: datetime) -> int:
    """The number of the five minutes that an instant lies in."""
    return int(at.timestamp()) // SLICE_SECONDS


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that one more message would break: so many recipients in one window."""

    limit: int
    window: Window

    @property
    def told(self) -> str:
        """What the sender is told; replies of SMTP are ASCII."""
        return (
            f"This mailbox may send to {self.limit} recipients in one {self.window}, "
            "and has: try again later, or call the support desk"
        )


@dataclass(slots=True)
class SendingLimits:
    """Counts recipients of messages taken, by mailbox; 0 is no limit.

    Never more than the limit in any stretch of one hour or one day, wherever it begins; what was
    sent is forgiven up to five minutes later than that. Only what has been taken is remembered,
    and no longer than the longest window asks.
    """

    per_hour: int
    per_day: int
    _sent: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def memory(self) -> timedelta:
        """How long a message matters."""
        seconds = DAY if self.per_day else HOUR if self.per_hour else 0
        return timedelta(seconds=seconds + SLICE_SECONDS if seconds else 0)

    def reached(self, mailbox: str, recipients: int, now: datetime) -> Reached | None:
        """The limit that so many more recipients would break, if any: the day's before the hour's."""
        sent = self._sent.get(mailbox, {})
        windows: tuple[tuple[int, Window, int], ...] = (
            (self.per_day, "day", DAY),
            (self.per_hour, "hour", HOUR),
        )
        for limit, window, seconds in windows:
            if not limit:
                continue
            oldest = slice_of(now - timedelta(seconds=seconds))  # a part of it may count still
            if sum(count for at, count in sent.items() if at >= oldest) + recipients > limit:
                return Reached(limit, window)
        return None

    def count(self, mailbox: str, recipients: int, at: datetime) -> None:
        """Remember a message to so many recipients."""
        if not self.memory:
            return
        oldest = slice_of(at - self.memory)
        sent = self._sent.setdefault(mailbox, {})
        for lapsed in [each for each in sent if each < oldest]:
            del sent[lapsed]
        now = slice_of(at)
        sent[now] = sent.get(now, 0) + recipients

    def forget(self, mailbox: str, recipients: int, at: datetime) -> None:
        """Take back what was counted at this instant, for a message that was not taken after all."""
        sent = self._sent.get(mailbox, {})
        left = sent.get(slice_of(at), 0) - recipients
        sent[slice_of(at)] = left
        if left <= 0:
            del sent[slice_of(at)]
        if not sent:
            self._sent.pop(mailbox, None)

    def sweep(self, now: datetime) -> None:
        """Drop what does not matter any more, of mailboxes that have fallen silent too."""
        oldest = slice_of(now - self.memory)
        for mailbox, sent in list(self._sent.items()):
            for lapsed in [each for each in sent if each < oldest]:
                del sent[lapsed]
            if not sent:
                del self._sent[mailbox]

    def restore(self, mailbox: str, at_slice: int, recipients: int) -> None:
        """Take up what was remembered before a restart."""
        self._sent.setdefault(mailbox, {})[at_slice] = recipients

    def remembered(self) -> Iterator[tuple[str, int, int]]:
        """Everything that counts: mailbox, slice, recipients."""
        for mailbox, sent in self._sent.items():
            for at_slice, recipients in sent.items():
                yield mailbox, at_slice, recipients
