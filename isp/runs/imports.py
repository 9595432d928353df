"""Files that come in [一括登録]: all rows or none, every bad row reported with its line number."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from isp.banks import BankAccount
from isp.calendar import read_day
from isp.cards import Card
from isp.errors import Refused, RowsRefused
from isp.journal import record_all
from isp.numbers import given_number, next_ordinal, written
from isp.queries import method_json
from isp.runs.contracts import Application, conclusion
from isp.runs.customers import (
    BULK,
    CheckedCustomer,
    Method,
    NewCustomer,
    add_customers,
    checked,
    method_columns,
)
from isp.shift import Shift
from isp.tables import METHOD_KINDS, Contract, Customer, PaymentMethod, Plan

if TYPE_CHECKING:
    from _csv import Reader

Row = Mapping[str, str]
Read = TypeVar("Read")

ACCOUNT = ("bank", "branch", "account_type", "account_number")
CARD = ("card_token", "card_brand", "card_last4", "card_expires")
CUSTOMER_COLUMNS = ("name", "kana", "kind", "email", "phone", "postal_code", "address")
CUSTOMER_OPTIONAL = (
    *("number", "corporate_number", "language", "payment", "holder"),
    *ACCOUNT,
    *CARD,
)
CONTRACT_COLUMNS = ("customer", "plan", "concluded_on")
CONTRACT_OPTIONAL = ("number", "applied_on", "opened_on", "document_received_on")

METHOD_COLUMNS = {
    "account-transfer": (*ACCOUNT, "holder"),
    "card": (*CARD, "holder"),
    "invoice": (),
    "": (),
}
"""Which columns belong to which payment; what is given beside them is not silently lost."""


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """The rows of a CSV file in UTF-8, with or without BOM."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, strict=True)
    except OSError as wrong:
        raise Refused("file", f"cannot read {path}: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise Refused("file", f"{path} is not UTF-8; save it as CSV UTF-8") from None
    except csv.Error as wrong:
        raise Refused("file", f"{path} is not CSV: {wrong}") from None


def read_rows(
    path: Path,
    needed: tuple[str, ...],
    optional: tuple[str, ...],
    read: Callable[[Row], Read],
) -> list[Read]:
    """Every row through `read`; a file with one bad row is refused whole (ALL-04).

    The header names the columns, the first line is line 1. Blank lines are passed over.
    """
    good: list[Read] = []
    bad: list[tuple[int, str, str]] = []
    with opened(path) as rows:
        header = next(rows, None)
        read_to = rows.line_num
        if not header:
            raise Refused("file", f"{path} is empty: the first line names the columns")
        _check_header([column.strip() for column in header], needed, optional)
        names = [column.strip() for column in header]
        for cells in rows:
            # A cell may go on over several lines: the row is known by its first.
            line, read_to = read_to + 1, rows.line_num
            if not any(cells):
                continue
            if len(cells) != len(names):
                bad.append((line, "row", f"has {len(cells)} cells, the header {len(names)}"))
                continue
            try:
                good.append(read(dict(zip(names, map(str.strip, cells), strict=True))))
            except Refused as why:
                bad.append((line, why.field, why.why))
    if bad:
        raise RowsRefused("file", bad)
    return good


def _check_header(names: list[str], needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if missing := [column for column in needed if column not in names]:
        raise Refused("file", f"the header lacks {', '.join(missing)}")
    if unknown := [column for column in names if column not in needed + optional]:
        raise Refused("file", f"the header has unknown columns: {', '.join(map(repr, unknown))}")
    if len(set(names)) < len(names):
        raise Refused("file", "the header names a column twice")


def day_of(row: Row, field: str) -> date | None:
    """A date as `YYYY-MM-DD`, or None where the cell is empty."""
    text = row.get(field, "")
    return read_day(field, text) if text else None


def method_of(row: Row, shift: Shift) -> Method:
    """The payment method of a row of customers; a card is in the member's own name (ISP-04)."""
    kind = row.get("payment", "")
    policy = shift.policy
    if kind not in METHOD_COLUMNS:
        raise Refused("payment", f"{shown(kind)} is none of account-transfer, card, invoice")
    for field in (*ACCOUNT, *CARD, "holder"):
        if row.get(field) and field not in METHOD_COLUMNS[kind]:
            by = f"does not belong to payment by {kind}" if kind else "is given without a payment"
            raise Refused(field, by)
    if kind == "account-transfer":
        given = {field: row.get(field, "") for field in METHOD_COLUMNS[kind]}
        return BankAccount.validated(
            **given | {"account_type": given["account_type"] or "ordinary"},
            small_kana=policy.transfer.small_kana,
            long_vowel=policy.transfer.long_vowel,
        )
    if kind == "card":
        try:
            return Card.validated(
                **{field.removeprefix("card_"): row.get(field, "") for field in CARD},
                holder=row.get("holder") or row["name"],
                accepted=policy.card.brands,
                today=shift.day.today,
            )
        except Refused as wrong:
            column = f"card_{wrong.field}"
            raise Refused(column if column in CARD else wrong.field, wrong.why) from None
    return None


def import_customers(session: Session, shift: Shift, path: Path) -> int:
    """Take on the members of a file with their payment methods; how many."""
    taken = set(session.scalars(select(Customer.number)))
    own: set[str] = set()

    def read(row: Row) -> tuple[CheckedCustomer, str, Method]:
        given = {field: row.get(field, "") for field in NewCustomer.__slots__ if field in row}
        customer = checked(NewCustomer(**given | {"language": row.get("language") or "ja"}), shift)
        if customer.number is not None:
            _refuse_number_in_use(customer.number, taken, own)
        return customer, row.get("payment", ""), method_of(row, shift)

    rows = read_rows(path, CUSTOMER_COLUMNS, CUSTOMER_OPTIONAL, read)
    added = add_customers(session, shift, [customer for customer, _, _ in rows])
    methods = [
        (id, number, method)
        for (id, number), (_, payment, method) in zip(added, rows, strict=True)
        if payment
    ]
    for start in range(0, len(methods), BULK):
        _set_methods(session, shift, methods[start : start + BULK])
    return len(rows)


def _refuse_number_in_use(number: str, taken: set[str], own: set[str]) -> None:
    if number in own:
        raise Refused("number", f"{number} stands in the file twice")
    own.add(number)
    if number in taken:
        raise Refused("number", f"{number} is in use already")


def _set_methods(
    session: Session, shift: Shift, methods: Sequence[tuple[int, str, Method]]
) -> None:
    """The first payment methods of new members: (id, number, method) each."""
    rows = [
        {"customer_id": id, "valid_from": shift.day.today, **method_columns(method, shift)}
        for id, _, method in methods
    ]
    for kind in METHOD_KINDS:
        if alike := [row for row in rows if row["kind"] == kind]:
            session.execute(insert(PaymentMethod), alike)
    told = (
        (number, method_json(PaymentMethod(**row)))
        for row, (_, number, _) in zip(rows, methods, strict=True)
    )
    record_all(session, shift, "payment-method.set", told)


def import_contracts(session: Session, shift: Shift, path: Path) -> int:
    """Take over contracts of another system; how many. No notices go out: members know them."""
    customers = {
        number: (id, kind)
        for number, id, kind in session.execute(select(Customer.number, Customer.id, Customer.kind))
    }
    plans = {plan.code: plan for plan in session.scalars(select(Plan))}
    taken = set(session.scalars(select(Contract.number)))
    own: set[str] = set()

    def read(row: Row) -> tuple[Row, dict[str, Any]]:
        if row["customer"] not in customers:
            raise Refused("customer", f"there is no customer {shown(row['customer'])}")
        if row["plan"] not in plans:
            raise Refused("plan", f"there is no plan {shown(row['plan'])}")
        id, kind = customers[row["customer"]]
        application = _application(row)
        columns = conclusion(application, kind, plans[row["plan"]], shift.day.today)
        if number := row.get("number"):
            columns["number"] = given_number(number, shift.policy.numbers.contract)
            _refuse_number_in_use(number, taken, own)
        return row, {**columns, "customer_id": id}

    rows = read_rows(path, CONTRACT_COLUMNS, CONTRACT_OPTIONAL, read)
    prefix = shift.policy.numbers.contract
    ordinal = next_ordinal(session, Contract.number, prefix)
    for _, columns in rows:
        if "number" not in columns:
            while written(prefix, ordinal) in own:
                ordinal += 1
            columns["number"] = written(prefix, ordinal)
            ordinal += 1
    for start in range(0, len(rows), BULK):
        part = rows[start : start + BULK]
        session.execute(insert(Contract), [columns for _, columns in part])
        told = ((columns["number"], _taken_over(row, columns)) for row, columns in part)
        record_all(session, shift, "contract.taken-over", told)
    return len(rows)


def _taken_over(row: Row, columns: Mapping[str, Any]) -> dict[str, Any]:
    """As the journal tells it: customer and plan by their names, not by the ids of rows."""
    kept = {field: value for field, value in columns.items() if not field.endswith("_id")}
    return {**kept, "customer": row["customer"], "plan": row["plan"]}


def _application(row: Row) -> Application:
    concluded_on = day_of(row, "concluded_on")
    if concluded_on is None:
        raise Refused("concluded_on", "is missing, write YYYY-MM-DD")
    return Application(
        customer=row["customer"],
        plan=row["plan"],
        concluded_on=concluded_on,
        applied_on=day_of(row, "applied_on"),
        opened_on=day_of(row, "opened_on"),
        document_received_on=day_of(row, "document_received_on"),
    )
