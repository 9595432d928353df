"""Many rows at once [一括書込]: ids allocated here, `executemany` in SQLite, COPY in PostgreSQL.

Rows are plain tuples in the order of `COLUMNS`; months as their index, dates as ISO text, which
both databases take. All is written in the session's own transaction.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

INVOICE = (
    *("id", "number", "kind", "customer_id", "month", "issued_on", "due_on", "method", "status"),
    *("net", "tax", "gross", "recipient_name", "recipient_postal_code", "recipient_address"),
)
LINE = (
    *("invoice_id", "position", "customer_id", "contract_id", "month", "kind", "description"),
    *("net", "tax_rate", "live"),
)
TAX = ("invoice_id", "rate", "net", "tax")
COLLECTION = ("invoice_id", "payment_method_id", "channel", "month", "amount", "state", "new_code")
COLUMNS = {"invoice": INVOICE, "invoice_line": LINE, "invoice_tax": TAX, "collection": COLLECTION}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector away: it would look through all rows, and none is garbage.

    That costs a sixth of the time; what a stretch of rows leaves behind is freed without it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def alone(session: Session) -> None:
    """Let no other transaction write invoices until this one ends; reading goes on.

    SQLite has let this transaction alone write since it began.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE invoice IN SHARE ROW EXCLUSIVE MODE")


def first_id(session: Session, table: str, count: int) -> int:
    """The first of `count` new ids, in a row; the caller is `alone`."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        sequence = f"pg_get_serial_sequence('{table}', 'id')"
        last = connection.exec_driver_sql(
            f"SELECT setval({sequence}, nextval({sequence}) + {count - 1:d})"
        ).scalar_one()
        return int(last) - count + 1
    highest = connection.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar()  # noqa: S608 - a constant
    return int(highest or 0) + 1


def write(session: Session, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Append `rows` to `table`, a key of `COLUMNS`."""
    if not rows:
        return
    columns = COLUMNS[table]
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - constants
        list(rows),
    )
