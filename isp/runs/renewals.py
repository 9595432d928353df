"""What time does to contracts [更新・満了]: renewal notices, renewals, ends. Each once (ALL-02)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, extract, or_, select
from sqlalchemy.orm import Session

from isp.calendar import Day
from isp.cancellation import early_termination_fee
from isp.errors import Refused
from isp.journal import record
from isp.lifecycle import move
from isp.month import Month
from isp.outbox import post
from isp.queries import agreement_of, contract_named, exit_of
from isp.runs.contracts import with_tax
from isp.shift import Shift
from isp.tables import Cancellation, Contract
from isp.terms import is_renewal_month, next_renewal_month, term_in


def _months_since_conclusion(month: Month) -> ColumnElement[int]:
    concluded = extract("year", Contract.concluded_on) * 12 + extract(
        "month", Contract.concluded_on
    )
    return month.index + 1 - cast(concluded, Integer)


_RUNNING = Contract.status.in_(("applied", "active", "suspended"))


def renewals_due(session: Session, day: Day) -> list[str]:
    """Contracts whose renewal month has passed without a cancellation, not yet recorded (ISP-10)."""
    since = _months_since_conclusion(Month.of(day.today))
    return list(
        session.scalars(
            select(Contract.number)
            .where(
                _RUNNING,
                since > Contract.term_months,
                (since - 1) // Contract.term_months + 1 > Contract.term_number,
            )
            .order_by(Contract.number)
        )
    )


def renew(session: Session, shift: Shift, number: str) -> None:
    """Record that a contract has renewed by itself for another term, counted from the renewal month.

    Run late, every term that has begun meanwhile is recorded. Terms of one month renew without a
    word: their every month is free to leave.
    """
    contract = contract_named(session, number)
    concluded = Month.of(contract.concluded_on)
    now = term_in(concluded, contract.term_months, Month.of(shift.day.today))
    for term_number in range(contract.term_number + 1, now.number + 1):
        start = concluded + (term_number - 1) * contract.term_months
        record(
            session,
            shift,
            "contract.renewed",
            number,
            before={"term_number": term_number - 1},
            after={
                "term_number": term_number,
                "term_start": start,
                "term_end": start + (contract.term_months - 1),
                "renewal_month": start + contract.term_months,
            },
        )
        contract.term_number = term_number
    if contract.term_months > 1:
        post(
            session,
            shift,
            "renewed",
            contract.customer,
            f"{number}/{now.number}",
            {
                "contract_number": number,
                "plan_name": contract.plan.name,
                "term_start": now.start,
                "term_end": now.end,
                "renewal_month": now.renewal_month,
            },
        )


def _announced_months(day: Day, notice_days: int) -> Iterable[Month]:
    """Renewal months of which members are to be told today, the running one included when late."""
    return Month.of(day.today).until(Month.of(day.today + timedelta(days=notice_days)))


def notices_due(session: Session, day: Day, notice_days: int) -> list[str]:
    """Contracts before their renewal month whose members have not been told of it (ISP-15)."""
    due = [
        and_(
            _months_since_conclusion(month) > 0,
            _months_since_conclusion(month) % Contract.term_months == 0,
            or_(Contract.renewal_announced.is_(None), Contract.renewal_announced < month),
        )
        for month in _announced_months(day, notice_days)
    ]
    return list(
        session.scalars(
            select(Contract.number)
            .where(_RUNNING, Contract.term_months > 1, or_(*due))
            .order_by(Contract.number)
        )
    )


def renewal_said(contract: Contract, shift: Shift, renewal: Month | None = None) -> dict[str, Any]:
    """What notice and letter say of the coming renewal: the month, the fee outside it, the days.

    Complete by the cutoff, only the renewal month itself is charged: that day is the cheapest,
    and once it is past, the last day of the month.
    """
    if renewal is None:
        concluded, today = Month.of(contract.concluded_on), Month.of(shift.day.today)
        renewal = next_renewal_month(concluded, contract.term_months, today)
    policy = shift.policy.contract
    cutoff = renewal.day(policy.cutoff_day)
    outside, _ = early_termination_fee(agreement_of(contract), (renewal + 1).first, policy)
    return {
        "contract_number": contract.number,
        "plan_name": contract.plan.name,
        "renewal_month": renewal,
        "early_fee": with_tax(contract, outside, renewal + 1, shift),
        "cheapest_day": cutoff if shift.day.today <= cutoff else renewal.last,
        "last_free_day": renewal.last,
        "next_term_end": renewal + (contract.term_months - 1),
    }


def announce_renewal(session: Session, shift: Shift, number: str) -> None:
    """Tell the member the renewal month, the fee outside it and the last free day (ISP-15).

    Where terms are short, two renewal months may be due at once; each is told, once.
    """
    contract = contract_named(session, number)
    concluded, told = Month.of(contract.concluded_on), contract.renewal_announced
    for month in _announced_months(shift.day, shift.policy.contract.renewal_notice_days):
        if told is not None and month <= told:
            continue
        if not is_renewal_month(concluded, contract.term_months, month):
            continue
        said = renewal_said(contract, shift, month)
        post(session, shift, "renewal-notice", contract.customer, f"{number}/{month}", said)
        contract.renewal_announced = month
        record(session, shift, "contract.renewal-announced", number, after={"renewal_month": month})


def ends_due(session: Session, day: Day) -> list[str]:
    """Contracts in cancellation whose last charged month is over."""
    return list(
        session.scalars(
            select(Contract.number)
            .join(Cancellation, Cancellation.contract_id == Contract.id)
            .where(
                Contract.status == "cancelling",
                Cancellation.last_charged_month < Month.of(day.today),
            )
            .order_by(Contract.number)
        )
    )


def end(session: Session, shift: Shift, number: str) -> None:
    """The service ends with the last day of the last month charged (ISP-09)."""
    contract = contract_named(session, number)
    leaving = exit_of(contract.cancellation)
    if leaving is None:
        raise Refused("contract", f"{number} has no complete application to leave")
    contract.status = move(number, contract.status, "ended")
    contract.ended_on = leaving.last_charged_month.last
    record(
        session,
        shift,
        "contract.ended",
        number,
        before={"status": "cancelling"},
        after={"status": "ended", "ended_on": contract.ended_on},
    )
    post(
        session,
        shift,
        "contract-ended",
        contract.customer,
        number,
        {"contract_number": number, "plan_name": contract.plan.name, "ended_on": contract.ended_on},
    )
