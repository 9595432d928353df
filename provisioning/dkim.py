"""Keys that sign a domain's mail [DKIM 署名鍵] and how one takes over from another [鍵の交代].

A change takes days, since others keep old records: the new key is published before it signs, the
old one stays published after its last signature. So at most two keys of a domain are published.
Each key has a selector of its own: a selector that is used again makes a signature that is out of
date look like a forged one (RFC 6376, 3.1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, get_args

from isp.errors import Refused

KeyState = Literal["published", "signing", "retired", "removed"]
STATES: Final[tuple[KeyState, ...]] = get_args(KeyState)

MOVES: Final[dict[KeyState, tuple[KeyState, ...]]] = {
    "published": ("signing",),
    "signing": ("retired",),
    "retired": ("removed",),
    "removed": (),
}
"""The moves a key may make; there is no way back."""


@dataclass(frozen=True, slots=True)
class Key:
    """What of a key decides about its moves: `since` is the day on which it came to its state."""

    selector: str
    state: KeyState
    since: date


@dataclass(frozen=True, slots=True)
class Move:
    """One step of one key."""

    selector: str
    to: KeyState


@dataclass(frozen=True, slots=True)
class Pace:
    """Days that a new key is published before it signs, and an old one after it has signed."""

    publish_days: int
    retire_days: int


def move(selector: str, now: KeyState, to: KeyState) -> KeyState:
    """`to`, where the table allows the move from `now`; refused otherwise."""
    if to not in MOVES[now]:
        allowed = ", ".join(MOVES[now]) or "nothing, it is gone"
        raise Refused("state", f"key {selector} is {now} and cannot become {to} ({allowed})")
    return to


def next_move(key: Key, pace: Pace) -> tuple[KeyState, date] | None:
    """What the days bring to a key by themselves, and from which day on.

    A signing key waits for its successor, a removed one for nothing.
    """
    if key.state == "published":
        return "signing", key.since + timedelta(days=pace.publish_days)
    if key.state == "retired":
        return "removed", key.since + timedelta(days=pace.retire_days)
    return None


def moves_due(keys: Collection[Key], today: date, pace: Pace) -> tuple[Move, ...]:
    """The moves of one domain's keys that are due today, in the order in which they are made.

    Whoever signs so far retires before the successor signs: there are never two. Days count from
    when the move before was really made, so a daily run that comes late delays the rest.
    """
    due = [
        Move(key.selector, coming[0])
        for key in keys
        if (coming := next_move(key, pace)) is not None and coming[1] <= today
    ]
    if any(step.to == "signing" for step in due):
        retiring = [Move(key.selector, "retired") for key in keys if key.state == "signing"]
        return (*retiring, *due)
    return tuple(due)


def new_selector(domain: str, keys: Collection[Key], today: date, pace: Pace) -> str:
    """The selector of a new key, named for the day; refused while the last change is under way."""
    for key in keys:
        coming = next_move(key, pace)
        if coming is not None:
            raise Refused(
                "domain",
                f"the keys of {domain} are changing already: {key.selector} is {key.state} and "
                f"will be {coming[0]} from {coming[1]} on; rotate again after that",
            )
    selector = f"s{today:%Y%m%d}"
    if selector in {key.selector for key in keys}:
        raise Refused("domain", f"{domain} has had a key {selector}; rotate on another day")
    return selector


def key_text(public_key: str) -> str:
    """What is published of a key: the public half, RSA, base64 of its DER form (RFC 6376, 3.6.1)."""
    return f"v=DKIM1; k=rsa; p={public_key}"
