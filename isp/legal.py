"""Legal limits on what leaving may cost a consumer [電気通信事業法施行規則] (ISP-13, ISP-14)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from isp.errors import Refused

CAPPED_FROM = date(2022, 7, 1)
"""Consumer contracts concluded from this day on: at most one monthly fee for leaving early."""

CustomerKind = Literal["individual", "sole-proprietor", "corporation"]
SoldTo = Literal["any", "consumer", "corporation"]


def is_capped(kind: CustomerKind, concluded_on: date) -> bool:
    """Whether the caps protect this contract; companies' contracts are exempt (ISP-13).

    A sole proprietor counts as a consumer: the exemption names companies only.
    """
    return kind != "corporation" and concluded_on >= CAPPED_FROM


def refuse_plan_above_cap(
    sold_to: SoldTo, early_fee: int, monthly_fee: int, sold_until: date | None, today: date
) -> None:
    """A plan on sale to consumers may not cost more than one monthly fee to leave (ISP-13).

    Plans for companies are exempt, and so are plans no longer sold when the law came into force.
    """
    last_sale = min(today, sold_until) if sold_until else today
    if sold_to == "corporation" or last_sale < CAPPED_FROM or early_fee <= monthly_fee:
        return
    raise Refused(
        "early_fee",
        f"{early_fee} yen is more than one monthly fee ({monthly_fee} yen), the legal limit for "
        "consumer contracts concluded since 2022-07-01 (ISP-13); lower it, or sell the plan "
        "with --for corporation",
    )


def refuse_contract_above_cap(
    kind: CustomerKind, concluded_on: date, early_fee: int, monthly_fee: int
) -> None:
    """A consumer contract with a higher early termination fee is not concluded (ISP-13)."""
    if is_capped(kind, concluded_on) and early_fee > monthly_fee:
        raise Refused(
            "early_fee",
            f"the plan's {early_fee} yen is more than one monthly fee ({monthly_fee} yen), which "
            f"the law forbids in a consumer contract concluded on {concluded_on} (ISP-13)",
        )


def refuse_wrong_buyer(kind: CustomerKind, sold_to: SoldTo) -> None:
    """A plan for companies is sold to companies, one for consumers to everybody else."""
    if sold_to == "corporation" and kind != "corporation":
        raise Refused("plan", f"is sold to corporations only, and the customer is {kind}")
    if sold_to == "consumer" and kind == "corporation":
        raise Refused("plan", "is sold to consumers only, and the customer is a corporation")


def last_day_to_withdraw(document_received_on: date, days: int) -> date:
    """The last day of the withdrawal period, the day of receipt being the first (ISP-14)."""
    return document_received_on + timedelta(days=days - 1)
