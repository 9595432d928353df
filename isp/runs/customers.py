"""Members [会員]: taken on one by one or from a file, changed with history, and how they pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from isp import identity
from isp.banks import BankAccount
from isp.cards import Card
from isp.errors import Refused
from isp.journal import record, record_all
from isp.numbers import given_number, next_ordinal, written
from isp.outbox import post
from isp.queries import current_method, customer_json, customer_named, method_json
from isp.shift import Shift
from isp.tables import CUSTOMER_KINDS, Address, Customer, Journal, PaymentMethod

BULK = 10_000
"""Rows written by one statement; memory stays flat and the database busy."""

Method = BankAccount | Card | None
"""An account to draw on, a card to charge, or neither: paid by invoice."""


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """What a new member gives, as written; `number` is kept when given (migration)."""

    name: str
    kana: str
    kind: str
    email: str
    phone: str
    postal_code: str
    address: str
    corporate_number: str = ""
    number: str = ""
    language: str = "ja"
    no_number_because: str = ""


@dataclass(frozen=True, slots=True)
class CheckedCustomer:
    """A new member whose every field has passed its rule, in the form that is stored."""

    number: str | None
    columns: Mapping[str, Any]
    postal_code: str
    address: str


def checked(new: NewCustomer, shift: Shift) -> CheckedCustomer:
    """Every field by its rule; the first that breaks one is refused by name (ALL-04)."""
    if new.kind not in CUSTOMER_KINDS:
        raise Refused("kind", f"{shown(new.kind)} is none of {', '.join(CUSTOMER_KINDS)}")
    if new.language not in ("ja", "en"):
        raise Refused("language", f"{shown(new.language)} is neither ja nor en")
    corporate_number = None
    if new.kind == "corporation":
        if new.corporate_number:
            corporate_number = identity.corporate_number(new.corporate_number)
        elif not new.no_number_because:
            raise Refused("corporate_number", "a corporation gives its 13 digits, or says why not")
    elif new.corporate_number or new.no_number_because:
        raise Refused("corporate_number", f"is for corporations, the customer is {new.kind}")
    prefix = shift.policy.numbers.customer
    columns = {
        "kind": new.kind,
        "name": identity.name(new.name),
        "kana": identity.kana(new.kana),
        "email": identity.email(new.email),
        "phone": identity.phone(new.phone),
        "corporate_number": corporate_number,
        "no_number_because": new.no_number_because and identity.name(new.no_number_because),
        "language": new.language,
        "joined_on": shift.day.today,
    }
    return CheckedCustomer(
        given_number(new.number, prefix) if new.number else None,
        columns,
        identity.postal_code(new.postal_code),
        identity.address(new.address),
    )


def add_customers(
    session: Session, shift: Shift, taken_on: Sequence[CheckedCustomer]
) -> list[tuple[int, str]]:
    """Take on members, one or a hundred thousand: (id, number) in the order given.

    Numbers already in use are refused by the caller's check or by the database.
    """
    prefix = shift.policy.numbers.customer
    ordinal = next_ordinal(session, Customer.number, prefix)
    own = {customer.number for customer in taken_on if customer.number}
    numbers = []
    for customer in taken_on:
        while customer.number is None and written(prefix, ordinal) in own:
            ordinal += 1
        numbers.append(customer.number or written(prefix, ordinal))
        ordinal += customer.number is None
    added: list[tuple[int, str]] = []
    for start in range(0, len(numbers), BULK):
        part = slice(start, start + BULK)
        ids = _insert_customers(session, shift, taken_on[part], numbers[part])
        added += zip(ids, numbers[part], strict=True)
    return added


def _insert_customers(
    session: Session, shift: Shift, taken_on: Sequence[CheckedCustomer], numbers: Sequence[str]
) -> Sequence[int]:
    rows = [
        {**customer.columns, "number": number}
        for customer, number in zip(taken_on, numbers, strict=True)
    ]
    places = [
        {"postal_code": customer.postal_code, "address": customer.address} for customer in taken_on
    ]
    ids = session.scalars(
        insert(Customer).returning(Customer.id, sort_by_parameter_order=True), rows
    ).all()
    session.execute(
        insert(Address),
        [
            {"customer_id": id, "kind": "contract", **place}
            for id, place in zip(ids, places, strict=True)
        ],
    )
    told = ((row["number"], {**row, **place}) for row, place in zip(rows, places, strict=True))
    record_all(session, shift, "customer.added", told)
    return ids


_PLAIN_FIELDS = {
    "name": identity.name,
    "kana": identity.kana,
    "email": identity.email,
    "phone": identity.phone,
}


def set_customer(
    session: Session, shift: Shift, number: str, changes: Mapping[str, str]
) -> Customer:
    """Change registered data; who, when, before and after are kept (ISP-08), and the member told.

    Documents already made keep what they said. What is set to the value it has changes nothing.
    """
    customer = customer_named(session, number)
    changed = change_registered(session, shift, customer, changes)
    if changed is not None:
        assert changed.after is not None
        post(
            session,
            shift,
            "data-changed",
            customer,
            f"{number}/{changed.id}",
            {"changed_on": shift.day.today, "changed": tuple(sorted(changed.after))},
        )
    return customer


def change_registered(
    session: Session, shift: Shift, customer: Customer, changes: Mapping[str, str]
) -> Journal | None:
    """Change registered data and record it; the act, or None where everything stays as it was."""
    before = customer_json(session, customer)
    for field, value in changes.items():
        if field in _PLAIN_FIELDS:
            setattr(customer, field, _PLAIN_FIELDS[field](value))
        elif field == "language":
            if value not in ("ja", "en"):
                raise Refused("language", f"{shown(value)} is neither ja nor en")
            customer.language = "en" if value == "en" else "ja"
        elif field == "corporate_number":
            if customer.kind != "corporation":
                raise Refused(field, f"is for corporations, the customer is {customer.kind}")
            customer.corporate_number = identity.corporate_number(value)
            customer.no_number_because = ""
    _set_address(customer, "contract", "", changes)
    _set_address(customer, "billing", "billing_", changes)
    session.flush()
    after = customer_json(session, customer)
    changed = [field for field in after if after[field] != before[field]]
    if not changed:
        return None
    act = record(
        session,
        shift,
        "customer.changed",
        customer.number,
        before={field: before[field] for field in changed},
        after={field: after[field] for field in changed},
    )
    session.flush()
    return act


def _set_address(customer: Customer, kind: str, prefix: str, changes: Mapping[str, str]) -> None:
    code_field, line_field = f"{prefix}postal_code", f"{prefix}address"
    postal_code, address = changes.get(code_field), changes.get(line_field)
    if postal_code is None and address is None:
        return
    place = next((place for place in customer.addresses if place.kind == kind), None)
    if place is None:
        if postal_code is None or address is None:
            missing = code_field if postal_code is None else line_field
            raise Refused(missing, "is missing; give postcode and address together")
        place = Address(kind=kind)
        customer.addresses.append(place)
    if postal_code is not None:
        place.postal_code = identity.postal_code(postal_code, code_field)
    if address is not None:
        place.address = identity.address(address, line_field)


def method_columns(method: Method, shift: Shift) -> dict[str, Any]:
    """A payment method as it is stored: the account sealed, of a card no number (ISP-04)."""
    if isinstance(method, BankAccount):
        return {
            "kind": "account-transfer",
            "mandate": "active",
            "bank": method.bank,
            "branch": method.branch,
            "sealed_account": shift.seal.seal(method.to_json()),
        }
    if isinstance(method, Card):
        return {
            "kind": "card",
            "mandate": "none",
            "card_token": method.token,
            "card_brand": method.brand,
            "card_last4": method.last4,
            "card_expires": method.expires,
            "holder": method.holder,
        }
    return {"kind": "invoice", "mandate": "none"}


def set_payment_method(
    session: Session, shift: Shift, number: str, method: Method
) -> PaymentMethod:
    """From today on the member pays this way; the method before stays as history (ISP-03).

    Of two methods set on one day the first was never valid. History only goes forward: on a
    business date before that of the last change, the new method begins with it.
    """
    customer = customer_named(session, number)
    before = current_method(session, customer.id)
    begins = shift.day.today
    if before is not None:
        begins = max(begins, before.valid_from)
        before.valid_until = begins
        session.flush()
    columns = method_columns(method, shift)
    new = PaymentMethod(customer_id=customer.id, valid_from=begins, **columns)
    session.add(new)
    session.flush()
    record(
        session,
        shift,
        "payment-method.set",
        number,
        before=method_json(before) if before else None,
        after=method_json(new),
    )
    return new
