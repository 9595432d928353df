"""Named reads of the subscription core."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, joinedload, lazyload, load_only

from isp.charges import Exit, Fees, PricePeriod
from isp.errors import Refused
from isp.month import Month
from isp.tables import Address, Cancellation, Contract, Customer, Journal, PaymentMethod, Plan
from isp.terms import term_in

if TYPE_CHECKING:
    from isp.cancellation import Agreement

EVER = Month.parse("1900-01")
"""From when the first price of a plan is valid: contracts taken over may be older than the plan."""


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
    from isp.cancellation import Agreement  # late: most commands ask nothing about leaving

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


# Records as the command line shows them: here, so that a command that only looks loads no rules -----


def customer_json(session: Session, customer: Customer) -> dict[str, Any]:
    """The registered data as the desk sees it (ISP-08)."""
    places = {address.kind: address for address in customer.addresses}
    billing = places.get("billing")
    method = current_method(session, customer.id)
    return {
        "number": customer.number,
        "kind": customer.kind,
        "name": customer.name,
        "kana": customer.kana,
        "email": customer.email,
        "phone": customer.phone,
        "postal_code": places["contract"].postal_code,
        "address": places["contract"].address,
        "billing_postal_code": billing.postal_code if billing else None,
        "billing_address": billing.address if billing else None,
        "corporate_number": customer.corporate_number,
        "no_number_because": customer.no_number_because or None,
        "language": customer.language,
        "joined_on": customer.joined_on,
        "payment_method": method_json(method) if method else None,
    }


def customers_json(
    session: Session, *, kind: str | None, search: str | None
) -> list[dict[str, Any]]:
    """Members in the order of their numbers, all or those that match, in short."""
    fields = (Customer.name, Customer.kana, Customer.email, Customer.phone)
    wanted = (
        select(Customer.number, Customer.kind, *fields, PaymentMethod.kind.label("payment_method"))
        .outerjoin(
            PaymentMethod,
            (PaymentMethod.customer_id == Customer.id) & PaymentMethod.valid_until.is_(None),
        )
        .order_by(Customer.number)
    )
    if kind is not None:
        wanted = wanted.where(Customer.kind == kind)
    if search:
        wanted = wanted.where(or_(*(field.contains(search, autoescape=True) for field in fields)))
    return [dict(found) for found in session.execute(wanted).mappings()]


def method_json(method: PaymentMethod) -> dict[str, Any]:
    """A payment method without what is secret: of a card the last four digits (ISP-04)."""
    shown: dict[str, Any] = {
        "kind": method.kind,
        "from": method.valid_from,
        "until": method.valid_until,
    }
    if method.kind == "account-transfer":
        shown |= {"bank": method.bank, "branch": method.branch, "mandate": method.mandate}
    if method.kind == "card":
        shown |= {
            "brand": method.card_brand,
            "last4": method.card_last4,
            "expires": method.card_expires,
        }
    return shown


def payment_methods(session: Session, number: str) -> list[PaymentMethod]:
    """All payment methods of a member, the current one last (ISP-03)."""
    customer = customer_named(session, number)
    return list(
        session.scalars(
            select(PaymentMethod)
            .where(PaymentMethod.customer_id == customer.id)
            .order_by(PaymentMethod.id)
        )
    )


def contracts_json(
    session: Session, today: date, *, status: str | None, customer: str | None
) -> list[dict[str, Any]]:
    """Contracts in the order of their numbers, all or by status and customer; one query for all."""
    wanted = (
        select(Contract)
        .options(
            joinedload(Contract.customer, innerjoin=True).options(
                load_only(Customer.number), lazyload(Customer.addresses)
            ),
            joinedload(Contract.plan, innerjoin=True).options(
                load_only(Plan.code), lazyload(Plan.prices)
            ),
        )
        .order_by(Contract.number)
    )
    if status is not None:
        wanted = wanted.where(Contract.status == status)
    if customer is not None:
        wanted = wanted.where(Contract.customer_id == customer_named(session, customer).id)
    return [contract_json(found, today) for found in session.scalars(wanted)]


def contract_json(contract: Contract, today: date) -> dict[str, Any]:
    """The contract as the command line shows it, with the term that runs on `today`."""
    term = term_in(Month.of(contract.concluded_on), contract.term_months, Month.of(today))
    return {
        "number": contract.number,
        "customer": contract.customer.number,
        "plan": contract.plan.code,
        "status": contract.status,
        "applied_on": contract.applied_on,
        "concluded_on": contract.concluded_on,
        "document_received_on": contract.document_received_on,
        "opened_on": contract.opened_on,
        "charged_from": contract.charged_from,
        "ended_on": contract.ended_on,
        "term_months": contract.term_months,
        "term_number": term.number,
        "term_start": term.start,
        "term_end": term.end,
        "renewal_month": term.renewal_month,
        "early_fee": contract.early_fee,
        "opening_fee": contract.opening_fee,
        "free_months": contract.free_months,
        "installation_fee": contract.installation_fee,
        "cancellation": cancellation_json(contract.cancellation),
    }


def cancellation_json(cancellation: Cancellation | None) -> dict[str, Any] | None:
    if cancellation is None:
        return None
    last = cancellation.last_charged_month
    return {
        "kind": cancellation.kind,
        "received_on": cancellation.completed_on or cancellation.first_received_on,
        "first_received_on": cancellation.first_received_on,
        "complete": cancellation.completed_on is not None,
        "last_charged_month": last,
        "in_renewal_month": cancellation.in_renewal_month,
        "early_termination_fee": cancellation.early_fee,
        "early_fee_basis": cancellation.early_fee_basis,
        "installation": cancellation.installation,
        "ends_on": last.last if last else None,
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as the command line shows it; money in yen net."""
    return {
        "code": plan.code,
        "name": plan.name,
        "line": plan.line,
        "monthly_fee": plan.prices[-1].monthly_fee,
        "term_months": plan.term_months,
        "early_fee": plan.early_fee,
        "early_fee_tax": plan.early_fee_tax,
        "opening_fee": plan.opening_fee,
        "free_months": plan.free_months,
        "installation_fee": plan.installation_fee,
        "for": plan.sold_to,
        "sold_until": plan.sold_until,
        "mailboxes": plan.mailboxes,
        "prices": prices_json(plan),
    }


def prices_json(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"from": None if price.since == EVER else price.since, "monthly_fee": price.monthly_fee}
        for price in plan.prices
    ]
