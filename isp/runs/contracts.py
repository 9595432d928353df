"""A contract's life [契約]: concluded, opened, moved, cancelled, withdrawn, renewed, ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session

from isp import legal
from isp.cancellation import Quote, exit_quote, withdrawal_exit
from isp.charges import charges_in, price_in
from isp.errors import Refused
from isp.journal import record
from isp.lifecycle import MOVES, ContractStatus, move
from isp.month import Month
from isp.numbers import next_ordinal, written
from isp.outbox import post
from isp.queries import (
    agreement_of,
    cancellation_json,
    contract_json,
    contract_named,
    customer_named,
    exit_of,
    fees_of,
    plan_named,
    price_periods,
)
from isp.shift import Shift
from isp.tables import Cancellation, Contract, Plan
from isp.tax import gross, tax_rate
from isp.terms import term_in


@dataclass(frozen=True, slots=True)
class Application:
    """What an application for a contract says [申込]."""

    customer: str
    plan: str
    concluded_on: date
    applied_on: date | None = None
    opened_on: date | None = None
    document_received_on: date | None = None


def conclusion(
    application: Application, kind: legal.CustomerKind, plan: Plan, today: date
) -> dict[str, Any]:
    """The columns of a contract as it is concluded: dates in order, law kept, fees pinned.

    One rule for contracts taken on at the desk and those taken over from a file (ISP-10, ISP-13).
    """
    concluded_on, opened_on = application.concluded_on, application.opened_on
    applied_on = application.applied_on or min(today, concluded_on)
    received_on = application.document_received_on or concluded_on
    _refuse_far("concluded_on", concluded_on, today)
    if applied_on > concluded_on:
        raise Refused("applied_on", f"{applied_on} is after the conclusion on {concluded_on}")
    if received_on < concluded_on:
        raise Refused(
            "document_received_on", f"{received_on} is before the conclusion on {concluded_on}"
        )
    if opened_on is not None and opened_on < concluded_on:
        raise Refused("opened_on", f"{opened_on} is before the conclusion on {concluded_on}")
    if plan.sold_until is not None and concluded_on > plan.sold_until:
        raise Refused("plan", f"{plan.code} is not sold after {plan.sold_until}")
    legal.refuse_wrong_buyer(kind, plan.sold_to)
    monthly_fee = price_in(price_periods(plan), Month.of(concluded_on))
    legal.refuse_contract_above_cap(kind, concluded_on, plan.early_fee, monthly_fee)
    return {
        "plan_id": plan.id,
        "status": "applied" if opened_on is None else "active",
        "applied_on": applied_on,
        "concluded_on": concluded_on,
        "document_received_on": received_on,
        "opened_on": opened_on,
        "charged_from": None if opened_on is None else Month.of(opened_on),
        "term_months": plan.term_months,
        "early_fee": plan.early_fee,
        "early_fee_tax": plan.early_fee_tax,
        "opening_fee": plan.opening_fee,
        "free_months": plan.free_months,
        "installation_fee": plan.installation_fee,
        # Terms that ended before today ended elsewhere: nobody is told of them again.
        "term_number": term_in(Month.of(concluded_on), plan.term_months, Month.of(today)).number,
    }


def apply(session: Session, shift: Shift, application: Application) -> Contract:
    """Conclude a contract: term and fees are pinned, the legal limits checked (ISP-10, ISP-13).

    The contract document goes out by mail on conclusion and counts as received that day unless
    another day is given (ISP-14, ISP-15).
    """
    customer = customer_named(session, application.customer)
    plan = plan_named(session, application.plan)
    prefix = shift.policy.numbers.contract
    contract = Contract(
        number=written(prefix, next_ordinal(session, Contract.number, prefix)),
        customer=customer,
        plan=plan,
        **conclusion(application, customer.kind, plan, shift.day.today),
    )
    session.add(contract)
    session.flush()
    record(
        session,
        shift,
        "contract.concluded",
        contract.number,
        after=contract_json(contract, application.concluded_on),
    )
    _send_document(session, shift, contract)
    return contract


def _send_document(session: Session, shift: Shift, contract: Contract) -> None:
    """The contract document [契約書面] goes out with the conclusion (ISP-15)."""
    post(
        session,
        shift,
        "contract-concluded",
        contract.customer,
        contract.number,
        {
            "contract_number": contract.number,
            "plan_name": contract.plan.name,
            "concluded_on": contract.concluded_on,
            **terms_said(contract, shift),
        },
    )


def with_tax(contract: Contract, early_fee: int, month: Month, shift: Shift) -> int:
    """An early termination fee as members read it: with tax, where the plan says it is due."""
    rate = tax_rate(contract.early_fee_tax, month)
    return gross([(early_fee, rate)], shift.policy.billing.rounding)


def terms_said(contract: Contract, shift: Shift) -> dict[str, Any]:
    """What every contract document says of a contract's terms (ISP-13 to ISP-15, ISP-19)."""
    policy = shift.policy
    month = Month.of(contract.charged_from.first if contract.charged_from else shift.day.today)
    monthly_fee = price_in(price_periods(contract.plan), month)
    term = term_in(Month.of(contract.concluded_on), contract.term_months, month)
    return {
        "line": contract.plan.line,
        "monthly_fee": monthly_fee,
        "monthly_fee_gross": gross(
            [(monthly_fee, tax_rate("standard", month))], policy.billing.rounding
        ),
        "opening_fee": contract.opening_fee,
        "free_months": contract.free_months,
        "installation_fee": contract.installation_fee,
        "term_months": contract.term_months,
        "term_start": term.start,
        "term_end": term.end,
        "renewal_month": term.renewal_month,
        "early_fee": with_tax(contract, contract.early_fee, month, shift),
        "cutoff_day": policy.contract.cutoff_day,
        "withdrawal_days": policy.contract.withdrawal_days,
        "withdrawal_until": legal.last_day_to_withdraw(
            contract.document_received_on, policy.contract.withdrawal_days
        ),
        "consumer": contract.customer.kind != "corporation",
    }


def _change(
    session: Session, shift: Shift, contract: Contract, act: str, to: ContractStatus
) -> None:
    """Move the contract and record it; called before the fields that the act sets."""
    before: ContractStatus = contract.status
    contract.status = move(contract.number, before, to)
    session.flush()
    record(
        session,
        shift,
        act,
        contract.number,
        before={"status": before},
        after=contract_json(contract, shift.day.today),
    )


def open_contract(session: Session, shift: Shift, number: str, opened_on: date) -> Contract:
    """Open the service [開通]; fees run from the month of that day, whole months (ISP-02)."""
    contract = contract_named(session, number)
    if contract.status != "applied":
        move(number, contract.status, "active")
        raise Refused("status", f"contract {number} is opened already, on {contract.opened_on}")
    _refuse_far("on", opened_on, shift.day.today)
    if opened_on < contract.concluded_on:
        raise Refused("on", f"{opened_on} is before the conclusion on {contract.concluded_on}")
    contract.opened_on = opened_on
    contract.charged_from = Month.of(opened_on)
    _change(session, shift, contract, "contract.opened", "active")
    post(
        session,
        shift,
        "opened",
        contract.customer,
        f"{number}/{opened_on}",
        {
            "contract_number": number,
            "plan_name": contract.plan.name,
            "opened_on": opened_on,
            "charged_from": contract.charged_from,
        },
    )
    return contract


def suspend(session: Session, shift: Shift, number: str) -> Contract:
    """Stop the service of an open contract; its fees run on (the arithmetic knows no pause)."""
    contract = contract_named(session, number)
    _change(session, shift, contract, "contract.suspended", "suspended")
    return contract


def resume(session: Session, shift: Shift, number: str) -> Contract:
    contract = contract_named(session, number)
    if contract.status != "suspended":
        raise Refused("status", f"contract {number} is {contract.status}, not suspended")
    _change(session, shift, contract, "contract.resumed", "active")
    return contract


def document_received(session: Session, shift: Shift, number: str, received_on: date) -> Contract:
    """Note the day on which the contract document reached the member (ISP-14, ISP-15)."""
    contract = contract_named(session, number)
    if not MOVES[contract.status]:
        raise Refused("status", f"contract {number} is {contract.status}: its papers are closed")
    if received_on < contract.concluded_on:
        raise Refused("on", f"{received_on} is before the conclusion on {contract.concluded_on}")
    _refuse_future("on", received_on, shift)
    before = contract.document_received_on
    contract.document_received_on = received_on
    record(
        session,
        shift,
        "contract.document-received",
        number,
        before={"document_received_on": before},
        after={"document_received_on": received_on},
    )
    return contract


FORESEEN = timedelta(days=731)
"""Appointments two years ahead may be recorded; what is further is a slip of the pen."""


def _refuse_far(field: str, day: date, today: date) -> None:
    if day > today + FORESEEN:
        raise Refused(field, f"{day} is more than two years after {today}; check the year")


def _refuse_future(field: str, day: date, shift: Shift) -> None:
    if day > shift.day.today:
        raise Refused(field, f"{day} is still to come (today is {shift.day.today})")


def quote_for(shift: Shift, contract: Contract, received_on: date) -> Quote:
    """What leaving would cost (ISP-12)."""
    if received_on < contract.applied_on:
        raise Refused(
            "received", f"{received_on} is before the application for it on {contract.applied_on}"
        )
    policy = shift.policy
    return exit_quote(agreement_of(contract), received_on, policy.contract, policy.billing.rounding)


def quote_json(contract: Contract, quote: Quote, *, complete: bool) -> dict[str, Any]:
    """The answer of `isp contract cancel`; an incomplete application moves nothing yet (ISP-09)."""
    answer: dict[str, Any] = {
        "number": contract.number,
        "status": contract.status,
        "received_on": quote.received_on,
        "complete": complete,
        "last_charged_month": quote.last_charged_month if complete else None,
        "in_renewal_month": quote.in_renewal_month,
        "early_termination_fee": quote.early_termination_fee if complete else None,
        "early_fee_basis": quote.early_fee_basis if complete else None,
        "installation": quote.installation if complete else None,
        "ends_on": quote.ends_on if complete else None,
        "cheapest": {"received_on": quote.cheapest.received_on, "total": quote.cheapest.total},
        "total": quote.total if complete else None,
    }
    return answer


def cancel(
    session: Session, shift: Shift, number: str, received_on: date, *, complete: bool
) -> tuple[Contract, Quote]:
    """Receive an application to leave [解約申込]: it counts from the day it is complete (ISP-09).

    An incomplete one is recorded and moves nothing; the same command completes it later.
    """
    contract = contract_named(session, number)
    move(number, contract.status, "cancelling")
    quote = quote_for(shift, contract, received_on)
    _refuse_future("received", received_on, shift)
    cancellation = contract.cancellation
    if cancellation is None:
        cancellation = Cancellation(
            contract_id=contract.id, kind="cancellation", first_received_on=received_on
        )
        contract.cancellation = cancellation
    elif not complete:
        raise Refused("incomplete", f"an incomplete application for {number} is recorded already")
    elif received_on < cancellation.first_received_on:
        raise Refused(
            "received",
            f"completed before it was first received on {cancellation.first_received_on}",
        )
    if not complete:
        session.flush()
        record(
            session,
            shift,
            "contract.cancellation-incomplete",
            number,
            after=cancellation_json(cancellation),
        )
        _tell_incomplete(session, shift, contract, quote)
        return contract, quote
    cancellation.completed_on = received_on
    cancellation.last_charged_month = quote.last_charged_month
    cancellation.in_renewal_month = quote.in_renewal_month
    cancellation.early_fee = quote.early_termination_fee
    cancellation.early_fee_basis = quote.early_fee_basis
    cancellation.installation = quote.installation
    _change(session, shift, contract, "contract.cancelled", "cancelling")
    _tell_cancelled(session, shift, contract, quote)
    return contract, quote


def _tell_incomplete(session: Session, shift: Shift, contract: Contract, quote: Quote) -> None:
    post(
        session,
        shift,
        "cancellation-incomplete",
        contract.customer,
        f"{contract.number}/{quote.received_on}",
        {
            "contract_number": contract.number,
            "received_on": quote.received_on,
            "cutoff_day": shift.policy.contract.cutoff_day,
        },
    )


def _tell_cancelled(session: Session, shift: Shift, contract: Contract, quote: Quote) -> None:
    post(
        session,
        shift,
        "cancellation-received",
        contract.customer,
        f"{contract.number}/{quote.received_on}",
        {
            "contract_number": contract.number,
            "received_on": quote.received_on,
            "last_charged_month": quote.last_charged_month,
            "ends_on": quote.ends_on,
            "early_fee": with_tax(
                contract, quote.early_termination_fee, quote.last_charged_month, shift
            ),
            "installation": quote.installation,
            "total": quote.total,
        },
    )


def withdraw(
    session: Session, shift: Shift, number: str, received_on: date
) -> tuple[Contract, list[dict[str, Any]]]:
    """Early withdrawal by a consumer [初期契約解除] (ISP-14): the contract and its last charges.

    Within the legal days of receiving the contract document, the day of receipt being the first.
    """
    contract = contract_named(session, number)
    if contract.customer.kind == "corporation":
        raise Refused("customer", "early withdrawal is for consumers, not for corporations")
    move(number, contract.status, "withdrawn")
    last_day = legal.last_day_to_withdraw(
        contract.document_received_on, shift.policy.contract.withdrawal_days
    )
    if received_on > last_day:
        raise Refused(
            "received",
            f"{received_on} is after {last_day}, the last day to withdraw (document received on "
            f"{contract.document_received_on}); see `isp contract cancel`",
        )
    if received_on < contract.applied_on:
        raise Refused("received", f"{received_on} is before the application")
    _refuse_future("received", received_on, shift)
    leaving = withdrawal_exit(
        agreement_of(contract),
        received_on,
        shift.policy.contract,
        used=contract.opened_on is not None and contract.opened_on <= received_on,
    )
    cancellation = contract.cancellation or Cancellation(
        contract_id=contract.id, first_received_on=received_on
    )
    contract.cancellation = cancellation
    cancellation.first_received_on = min(cancellation.first_received_on, received_on)
    cancellation.kind = "withdrawal"
    cancellation.completed_on = received_on
    cancellation.last_charged_month = leaving.last_charged_month
    cancellation.in_renewal_month = False
    cancellation.early_fee = 0
    cancellation.early_fee_basis = "early withdrawal, free (ISP-14)"
    cancellation.installation = leaving.installation
    contract.ended_on = received_on
    _change(session, shift, contract, "contract.withdrawn", "withdrawn")
    charges = last_charges(contract)
    post(
        session,
        shift,
        "withdrawn",
        contract.customer,
        number,
        {
            "contract_number": number,
            "received_on": received_on,
            "charges_net": sum(charge["net"] for charge in charges),
        },
    )
    return contract, charges


def last_charges(contract: Contract) -> list[dict[str, Any]]:
    """All that a withdrawn contract costs from its opening on, yen net."""
    leaving = exit_of(contract.cancellation)
    assert leaving is not None
    first = contract.charged_from or leaving.last_charged_month
    prices, fees = price_periods(contract.plan), fees_of(contract)
    return [
        {"month": month, "kind": charge.kind, "net": charge.net, "tax_rate": charge.tax_rate}
        for month in first.until(leaving.last_charged_month)
        for charge in charges_in(month, contract.charged_from, prices, fees, leaving)
    ]
