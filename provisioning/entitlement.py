"""Which mailboxes a contract may have [利用条件]: how many, at which addresses, of which size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from isp.errors import Refused
from isp.lifecycle import ContractStatus
from provisioning.addresses import MailAddress
from provisioning.wanted import Status

QUOTA_MB: Final = range(1, 1_000_001)

Taken = Status | Literal["alias"]
"""What has an address already: a mailbox, by its status, or an alias of one."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What of a contract entitles to mailboxes: `mailboxes` is how many its plan includes."""

    number: str
    status: ContractStatus
    ended_on: date | None
    plan: str
    mailboxes: int


def refuse_when_over(held: Entitlement) -> None:
    """A contract that has ended or was withdrawn gets nothing new."""
    if held.ended_on is not None:
        raise Refused(
            "contract",
            f"{held.number} is {held.status} since {held.ended_on}; conclude a new contract first",
        )


def refuse_beyond_plan(held: Entitlement, kept: int) -> None:
    """`kept` mailboxes leave room for one more in the plan; those on their way out do not count."""
    if kept >= held.mailboxes:
        raise Refused(
            "contract",
            f"{held.number} has {kept} of the {held.mailboxes} mailboxes of plan {held.plan}; "
            "remove one with `isp mailbox remove` first, or conclude a larger plan",
        )


def refuse_address(address: MailAddress, *, served: bool, taken: Taken | None) -> None:
    """An address is free at a served domain; one that was removed is never given to anybody else."""
    if not served:
        raise Refused(
            "address",
            f"{address.domain} is no mail domain of ours; "
            f"choose one of `isp domain list`, or `isp domain add {address.domain}`",
        )
    if taken == "removed":
        raise Refused(
            "address",
            f"{address} belonged to a mailbox that was removed, and its mail is for nobody else; "
            "choose another",
        )
    if taken is not None:
        raise Refused("address", f"{address} is in use; choose another")


def quota_mb(asked: int) -> int:
    """The size of a mailbox in MB, 1 to 1,000,000."""
    if asked not in QUOTA_MB:
        raise Refused("quota_mb", f"{asked} is not between {QUOTA_MB[0]} and {QUOTA_MB[-1]} (MB)")
    return asked
