"""The moves a contract may make [契約の状態]: one table, used by every run."""

from __future__ import annotations

from typing import Literal, get_args

from isp.errors import Refused

ContractStatus = Literal["applied", "active", "suspended", "cancelling", "ended", "withdrawn"]
STATUSES: tuple[ContractStatus, ...] = get_args(ContractStatus)

MOVES: dict[ContractStatus, tuple[ContractStatus, ...]] = {
    "applied": ("active", "cancelling", "withdrawn"),
    "active": ("suspended", "cancelling", "withdrawn"),
    "suspended": ("active", "cancelling", "withdrawn"),
    "cancelling": ("ended", "withdrawn"),
    "ended": (),
    "withdrawn": (),
}


def move(number: str, now: ContractStatus, to: ContractStatus) -> ContractStatus:
    """`to`, where the table allows the move from `now`; refused otherwise."""
    if to not in MOVES[now]:
        allowed = ", ".join(MOVES[now]) or "nothing, it is final"
        raise Refused("status", f"contract {number} is {now} and cannot become {to} ({allowed})")
    return to
