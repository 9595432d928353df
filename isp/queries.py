"""Named reads of the subscription core."""

from __future__ import annotations

from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from isp.cancellation import Agreement
from isp.charges import Exit, Fees, PricePeriod
from isp.errors import Refused
from isp.tables import Address, Cancellation, Contract, Customer, Journal, PaymentMethod, Plan


def customer_named(session: Session, number: str) -> Customer:
    found = session.scalar(select(Customer).where(Customer.number == number))
    if found is None:
        raise Refused("customer", f"there is no customer {number!r}")
    return found


def contract_named(session: Session, number: str) -> Contract:
    found = session.scalar(select(Contract).where(Contract.number == number))
    if found is None:
        raise Refused("contract", f"there is no contract {number!r}")
    return found


def plan_named(session: Session, code: str) -> Plan:
    found = session.scalar(select(Plan).where(Plan.code == code))
    if found is None:
        raise Refused("plan", f"there is no plan {code!r}: see `isp plan list`")
    return found


def current_method(session: Session, customer_id: int) -> PaymentMethod | None:
    """How the member pays now [現在の支払方法] (ISP-03)."""
    return session.scalar(
        select(PaymentMethod).where(
            PaymentMethod.customer_id == customer_id, PaymentMethod.valid_until.is_(None)
        )
    )


def address_of(session: Session, customer_id: int, kind: str = "contract") -> Address:
    """The address of this kind; the contract address stands in for one that is missing."""
    found = {
        address.kind: address
        for address in session.scalars(select(Address).where(Address.customer_id == customer_id))
    }
    return found.get(kind) or found["contract"]


def price_periods(plan: Plan) -> tuple[PricePeriod, ...]:
    return tuple(PricePeriod(price.since, price.monthly_fee) for price in plan.prices)


def fees_of(contract: Contract) -> Fees:
    """What the contract pinned at conclusion."""
    return Fees(
        term_months=contract.term_months,
        early_fee=contract.early_fee,
        early_fee_tax=contract.early_fee_tax,
        opening_fee=contract.opening_fee,
        free_months=contract.free_months,
        installation_fee=contract.installation_fee,
    )


def agreement_of(contract: Contract) -> Agreement:
    """What the rules of leaving need to know of the contract."""
    return Agreement(
        customer_kind=contract.customer.kind,
        concluded_on=contract.concluded_on,
        charged_from=contract.charged_from,
        prices=price_periods(contract.plan),
        fees=fees_of(contract),
    )


def exit_of(cancellation: Cancellation | None) -> Exit | None:
    """How the contract ends, once the application to leave is complete (ISP-09)."""
    if cancellation is None or cancellation.last_charged_month is None:
        return None
    return Exit(
        cancellation.last_charged_month,
        cancellation.early_fee,
        cancellation.installation,
        withdrawn=cancellation.kind == "withdrawal",
    )


def first_contract_on(session: Session) -> date | None:
    """The business date on which the office got its first contract, concluded or taken over."""
    return session.scalar(
        select(func.min(Journal.business_date)).where(
            Journal.act.in_(("contract.concluded", "contract.taken-over"))
        )
    )
