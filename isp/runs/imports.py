"""Files that come in [一括登録]: all rows or none, every bad row reported with its line number."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from isp.banks import BankAccount
from isp.cards import Card
from isp.errors import Refused, RowsRefused
from isp.journal import kept
from isp.numbers import given_number, next_ordinal, written
from isp.runs.contracts import Application, conclusion
from isp.runs.customers import Method, NewCustomer, add_customers, checked, method_columns
from isp.shift import Shift
from isp.tables import Contract, Customer, Journal, PaymentMethod, Plan

Row = Mapping[str, str]
Read = TypeVar("Read")

CUSTOMER_COLUMNS = ("name", "kana", "kind", "email", "phone", "postal_code", "address")
CUSTOMER_OPTIONAL = (
    *("number", "corporate_number", "language", "payment"),
    *("bank", "branch", "account_type", "account_number", "holder"),
    *("card_token", "card_brand", "card_last4", "card_expires"),
)
CONTRACT_COLUMNS = ("customer", "plan", "concluded_on")
CONTRACT_OPTIONAL = ("number", "applied_on", "opened_on", "document_received_on")

BULK = 10_000
"""Rows written by one statement; memory stays flat and the database busy."""


@contextmanager
def opened(path: Path) -> Iterator[Iterator[list[str]]]:
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
        if not header:
            raise Refused("file", f"{path} is empty: the first line names the columns")
        _check_header([column.strip() for column in header], needed, optional)
        names = [column.strip() for column in header]
        for cells in rows:
            if not any(cells):
                continue
            line = rows.line_num  # type: ignore[attr-defined] # csv.reader, typed as an iterator
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
    if not text:
        return None
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(field, f"{text!r} is not a date, write YYYY-MM-DD") from None


def method_of(row: Row, shift: Shift) -> Method:
    """The payment method of a row of customers."""
    kind = row.get("payment", "")
    policy = shift.policy
    if kind == "account-transfer":
        return BankAccount.validated(
            row.get("bank", ""),
            row.get("branch", ""),
            row.get("account_type", ""),
            row.get("account_number", ""),
            row.get("holder", ""),
            small_kana=policy.transfer.small_kana,
            long_vowel=policy.transfer.long_vowel,
        )
    if kind == "card":
        return Card.validated(
            row.get("card_token", ""),
            row.get("card_brand", ""),
            row.get("card_last4", ""),
            row.get("card_expires", ""),
            row.get("holder") or row["name"],
            accepted=policy.card.brands,
            today=shift.day.today,
        )
    if kind in ("", "invoice"):
        return None
    raise Refused("payment", f"{kind!r} is none of account-transfer, card, invoice")


def import_customers(session: Session, shift: Shift, path: Path) -> int:
    """Take on the members of a file with their payment methods; how many."""
    taken = set(session.scalars(select(Customer.number)))

    def read(row: Row) -> tuple[Any, str, Method]:
        given = {field: row.get(field, "") for field in NewCustomer.__slots__ if field in row}
        customer = checked(NewCustomer(**given | {"language": row.get("language") or "ja"}), shift)
        if customer.number is not None:
            if customer.number in taken:
                raise Refused("number", f"{customer.number} is in use already")
            taken.add(customer.number)
        return customer, row.get("payment", ""), method_of(row, shift)

    rows = read_rows(path, CUSTOMER_COLUMNS, CUSTOMER_OPTIONAL, read)
    for start in range(0, len(rows), BULK):
        part = rows[start : start + BULK]
        added = add_customers(session, shift, [customer for customer, _, _ in part])
        methods = [
            {"customer_id": id, "valid_from": shift.day.today, **method_columns(method, shift)}
            for (id, _), (_, payment, method) in zip(added, part, strict=True)
            if payment
        ]
        for kind in ("account-transfer", "card", "invoice"):
            if alike := [row for row in methods if row["kind"] == kind]:
                session.execute(insert(PaymentMethod), alike)
    return len(rows)


def import_contracts(session: Session, shift: Shift, path: Path) -> int:
    """Take over contracts of another system; how many. No notices go out: members know them."""
    customers = {
        number: (id, kind)
        for number, id, kind in session.execute(
            select(Customer.number, Customer.id, Customer.kind)
        ).tuples()
    }
    plans = {plan.code: plan for plan in session.scalars(select(Plan))}
    taken = set(session.scalars(select(Contract.number)))

    def read(row: Row) -> dict[str, Any]:
        if row["customer"] not in customers:
            raise Refused("customer", f"there is no customer {row['customer']!r}")
        if row["plan"] not in plans:
            raise Refused("plan", f"there is no plan {row['plan']!r}")
        id, kind = customers[row["customer"]]
        application = _application(row)
        columns = conclusion(application, kind, plans[row["plan"]], shift.day.today)
        if number := row.get("number"):
            columns["number"] = given_number(number, shift.policy.numbers.contract)
            if number in taken:
                raise Refused("number", f"{number} is in use already")
            taken.add(number)
        return {**columns, "customer_id": id}

    rows = read_rows(path, CONTRACT_COLUMNS, CONTRACT_OPTIONAL, read)
    prefix = shift.policy.numbers.contract
    ordinal = next_ordinal(session, Contract.number, prefix)
    for columns in rows:
        if "number" not in columns:
            while written(prefix, ordinal) in taken:
                ordinal += 1
            columns["number"] = written(prefix, ordinal)
            ordinal += 1
    for start in range(0, len(rows), BULK):
        part = rows[start : start + BULK]
        session.execute(insert(Contract), part)
        session.execute(insert(Journal), [_taken_over(shift, columns) for columns in part])
    return len(rows)


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


def _taken_over(shift: Shift, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": shift.day.now,
        "business_date": shift.day.today,
        "actor": shift.actor,
        "act": "contract.taken-over",
        "subject": columns["number"],
        "before": None,
        "after": kept(columns),
    }
