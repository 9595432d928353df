"""Files to and from the card company [カード売上データ・結果データ], CSV in UTF-8; see docs/card-files.md.

Pure: rows and bytes only; whether a result belongs to a file of ours is the import run's question.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from billing.collecting import DECLINED, SOLD
from isp.documents import printable
from isp.errors import Refused, RowsRefused

COLUMNS = ("invoice", "customer", "token", "brand", "last4", "expires", "sold_on", "amount")
ANSWERED = (*COLUMNS, "result", "reason")
LONGEST_REASON = 200
MOST_BYTES = 512 * 1024 * 1024


class Sale(NamedTuple):
    """One card sale as its row says it, every field as text."""

    invoice: str
    customer: str
    token: str
    brand: str
    last4: str
    expires: str
    sold_on: str
    amount: str


class AnsweredSale(NamedTuple):
    """A sale with the card company's answer: sold or not, and why not in its own words."""

    sale: Sale
    sold: bool
    reason: str


def sales_file(sales: Iterable[Sale]) -> Iterator[bytes]:
    """The sales file in lines, header first."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sale in sales:
        writer.writerow(sale)
        if line.tell() > 65_536:
            yield line.getvalue().encode()
            line.seek(0)
            line.truncate()
    yield line.getvalue().encode()


def parse_results(content: bytes) -> tuple[AnsweredSale, ...]:
    """The result file; every bad row is reported, and one bad row refuses it whole (ALL-04)."""
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        return _parsed(rows)
    except UnicodeDecodeError:
        raise Refused("file", "is not UTF-8; save it as CSV UTF-8") from None
    except csv.Error as wrong:
        raise Refused("file", f"is not CSV: {wrong}") from None


def _parsed(rows: Iterator[list[str]]) -> tuple[AnsweredSale, ...]:
    if tuple(next(rows, ())) != ANSWERED:
        raise Refused("file", f"its first line must be {','.join(ANSWERED)}")
    good: list[AnsweredSale] = []
    bad: list[tuple[int, str, str]] = []
    for number, cells in enumerate(rows, 2):
        try:
            if cells:
                good.append(_answer(cells))
        except Refused as wrong:
            bad.append((number, wrong.field, wrong.why))
    if bad:
        raise RowsRefused("file", bad)
    if not good:
        raise Refused("file", "has no rows")
    return tuple(good)


def _answer(cells: list[str]) -> AnsweredSale:
    if len(cells) != len(ANSWERED):
        raise Refused("row", f"has {len(cells)} cells, the header {len(ANSWERED)}")
    sale, (result, reason) = Sale._make(cells[: len(COLUMNS)]), cells[len(COLUMNS) :]
    if result not in (SOLD, DECLINED):
        raise Refused("result", f"{result[:20]!r} is neither {SOLD} nor {DECLINED}")
    if not re.fullmatch(r"[1-9][0-9]{0,9}", sale.amount):
        raise Refused("amount", f"{sale.amount[:20]!r} is not whole yen above 0")
    try:
        date.fromisoformat(sale.sold_on)
    except ValueError:
        raise Refused("sold_on", f"{sale.sold_on[:20]!r} is not a day, YYYY-MM-DD") from None
    return AnsweredSale(sale, result == SOLD, printable(reason).strip()[:LONGEST_REASON])
