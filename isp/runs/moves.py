"""Moving house [移転]: an address change where the new building has the line (ISP-18)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from isp import identity
from isp.errors import Refused
from isp.journal import record
from isp.lifecycle import move
from isp.outbox import post
from isp.queries import contract_named
from isp.runs.contracts import quote_for, quote_json, with_tax
from isp.runs.customers import change_registered
from isp.shift import Shift


def move_house(
    session: Session,
    shift: Shift,
    number: str,
    *,
    postal_code: str,
    address: str,
    line_available: bool,
) -> dict[str, Any]:
    """Move a contract to a new address, the term running on; or tell that it cannot move.

    Where the new building has no line, nothing changes: the member is told what leaving would
    cost under the ordinary rules, and when it is cheapest.
    """
    contract = contract_named(session, number)
    if contract.status in ("ended", "withdrawn"):
        raise Refused("status", f"contract {number} is {contract.status} and moves no more")
    place = {
        "postal_code": identity.postal_code(postal_code),
        "address": identity.address(address),
    }
    answer: dict[str, Any] = {"number": number, "moved": line_available, **place}
    if line_available:
        change_registered(session, shift, contract.customer, place)
        moved = record(session, shift, "contract.moved", number, after=place)
        session.flush()
        post(
            session,
            shift,
            "moved",
            contract.customer,
            f"{number}/{moved.id}",
            {"contract_number": number, "moved_on": shift.day.today, **place},
        )
        return {**answer, "leaving": None}
    move(number, contract.status, "cancelling")  # who is leaving already has no choice to make
    quote = quote_for(shift, contract, shift.day.today)
    told = record(session, shift, "contract.move-impossible", number, after=place)
    session.flush()
    post(
        session,
        shift,
        "move-impossible",
        contract.customer,
        f"{number}/{told.id}",
        {
            "contract_number": number,
            **place,
            "early_fee": with_tax(
                contract, quote.early_termination_fee, quote.last_charged_month, shift
            ),
            "installation": quote.installation,
            "total": quote.total,
            "cheapest_day": quote.cheapest.received_on,
            "cheapest_total": quote.cheapest.total,
        },
    )
    return {**answer, "leaving": quote_json(contract, quote, complete=True)}
