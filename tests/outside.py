"""The world outside the office: the bank and the card company, who answer the files they are given.

Nothing here is taken from the package: the files are cut by the columns of the formats they are in,
so that what the office writes is read by somebody else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RECORD = 120


@dataclass(frozen=True)
class Drawn:
    """One item of a transfer file, as the bank sees it."""

    customer: str
    amount: int
    bank: str
    branch: str
    account: str
    new_code: str


def records(file: Path) -> list[bytes]:
    """The records of a Zengin file, each 120 bytes, without line ends."""
    whole = file.read_bytes().replace(b"\r\n", b"")
    assert len(whole) % RECORD == 0
    return [whole[at : at + RECORD] for at in range(0, len(whole), RECORD)]


def drawn(file: Path) -> list[Drawn]:
    """What a transfer file asks for, in its order."""
    header, *items, trailer, end = records(file)
    assert (header[:4], trailer[:1], end) == (b"1910", b"8", b"9" + b" " * 119)
    found = [
        Drawn(
            customer=item[91:111].decode("ascii").strip(),
            amount=int(item[80:90]),
            bank=item[1:5].decode("ascii"),
            branch=item[20:23].decode("ascii"),
            account=item[43:50].decode("ascii"),
            new_code=item[90:91].decode("ascii"),
        )
        for item in items
    ]
    assert {item[:1] for item in items} <= {b"2"} and {item[111:112] for item in items} <= {b"0"}
    assert (int(trailer[1:7]), int(trailer[7:19])) == (
        len(found),
        sum(item.amount for item in found),
    )
    return found


def transfer_day(file: Path) -> str:
    """The day on which the bank is to draw, as MM-DD."""
    day = records(file)[0][54:58].decode("ascii")
    return f"{day[:2]}-{day[2:]}"


@dataclass
class Purse:
    """What has been paid to the office from outside, in yen, whoever paid."""

    paid: int = 0
    by: dict[str, int] = field(default_factory=dict)

    def pay(self, customer: str, amount: int) -> None:
        self.paid += amount
        self.by[customer] = self.by.get(customer, 0) + amount


def bank_answers(request: Path, purse: Purse, codes: Mapping[str, str] | None = None) -> Path:
    """The bank's result file: each item with its code (by customer, else 0), and new sums."""
    codes = codes or {}
    header, *items, _, end = records(request)
    answered, sums = [], {True: [0, 0], False: [0, 0]}
    for item, asked in zip(items, drawn(request), strict=True):
        code = codes.get(asked.customer, "0")
        answered.append(item[:111] + code.encode("ascii") + item[112:])
        sums[code == "0"][0] += 1
        sums[code == "0"][1] += asked.amount
        if code == "0":
            purse.pay(asked.customer, asked.amount)
    (settled, settled_yen), (failed, failed_yen) = sums[True], sums[False]
    trailer = (
        f"8{len(items):06}{settled_yen + failed_yen:012}"
        f"{settled:06}{settled_yen:012}{failed:06}{failed_yen:012}{'':65}"
    ).encode("ascii")
    result = request.with_name(f"{request.stem}-result.txt")
    result.write_bytes(b"".join(each + b"\r\n" for each in [header, *answered, trailer, end]))
    return result


def sales(file: Path) -> list[dict[str, str]]:
    """The rows of a card sales file."""
    return list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))


def card_company_answers(
    file: Path, purse: Purse, declined: Mapping[str, str] | None = None
) -> Path:
    """The card company's result file: each sale `ok`, or `declined` with a reason (by customer)."""
    declined = declined or {}
    rows = sales(file)
    answer = io.StringIO()
    writer = csv.writer(answer, lineterminator="\r\n")
    writer.writerow([*rows[0], "result", "reason"])
    for row in rows:
        customer = row["customer"]
        if customer not in declined:
            purse.pay(customer, int(row["amount"]))
        result = ("declined", declined[customer]) if customer in declined else ("ok", "")
        writer.writerow([*row.values(), *result])
    result_file = file.with_name(f"{file.stem}-result.csv")
    result_file.write_text(answer.getvalue(), "utf-8", newline="")
    return result_file
