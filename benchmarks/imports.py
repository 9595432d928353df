"""How long it takes to take over an operator: `python benchmarks/imports.py [--customers 100000]`.

Customers come from one CSV file, half of them drawn by account transfer (bank accounts are sealed)
and a quarter by card; their contracts, one each, from another. Each import is checked, written and
journalled as `isp customer import` and `isp contract import` do it; then the contracts are listed.
Without `--database` it runs on SQLite in a temporary folder; a database that is given must be empty.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy.orm import Session

from isp.calendar import TOKYO, Day
from isp.charges import Fees
from isp.database import engine, reading, upgrade
from isp.policy import parse, profile_text
from isp.queries import contracts_json
from isp.runs.imports import import_contracts, import_customers
from isp.runs.plans import add_plan
from isp.sealing import make_key
from isp.shift import Shift

TODAY = date(2026, 4, 10)
PLACES = (
    ("100-0001", "東京都千代田区千代田1-1"),
    ("530-0001", "大阪府大阪市北区梅田1-1"),
    ("060-0001", "北海道札幌市中央区北一条西1-1"),
)


def customers(count: int) -> Iterator[dict[str, str]]:
    """Members as another system gives them away: names, places and phones all different."""
    for n in range(1, count + 1):
        postal_code, address = PLACES[n % len(PLACES)]
        row = {
            "number": f"C{n:08d}",
            "name": f"会員 {n}",
            "kana": "カイイン",
            "kind": "individual",
            "email": f"member{n}@example{n % 50}.net",
            "phone": f"090-{n // 10_000:04d}-{n % 10_000:04d}",
            "postal_code": postal_code,
            "address": f"{address}-{n}",
        }
        if n % 4 < 2:
            row |= {
                "payment": "account-transfer",
                "bank": "0001",
                "branch": "001",
                "account_type": "ordinary",
                "account_number": f"{n:07d}",
                "holder": "カイイン",
            }
        elif n % 4 == 2:
            row |= {
                "payment": "card",
                "card_token": f"tok_{n:x}",
                "card_brand": "visa",
                "card_last4": f"{n % 10_000:04d}",
                "card_expires": "2029-03",
                "holder": "KAIIN",
            }
        else:
            row |= {"payment": "invoice"}
        yield row


def contracts(count: int) -> Iterator[dict[str, str]]:
    for n in range(1, count + 1):
        concluded_on = date(2022, 7, 1) + timedelta(days=n % 1300)
        yield {
            "customer": f"C{n:08d}",
            "plan": "HIKARI",
            "concluded_on": str(concluded_on),
            "opened_on": str(concluded_on + timedelta(days=14)),
        }


def written(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    """The rows as a CSV file; a column that a row does not know is empty."""
    kept = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        names = dict.fromkeys(name for row in kept for name in row)
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(kept)
    return path


def timed(act: Callable[[], Any]) -> dict[str, float]:
    wall, before = perf_counter(), sum(os.times()[:2])
    act()
    return {
        "seconds": round(perf_counter() - wall, 2),
        "of processor": round(sum(os.times()[:2]) - before, 2),
    }


def measure(folder: Path, url: str, count: int) -> dict[str, Any]:
    opened = engine(url, new=True)
    upgrade(opened)
    make_key(folder / "isp.key")
    now = datetime.combine(TODAY, datetime.min.time(), TOKYO)
    shift = Shift(parse(profile_text("consumer-isp")), Day(TODAY, now), "benchmark", folder)
    with Session(opened) as session, session.begin():
        fees = Fees(term_months=24, early_fee=5200)
        add_plan(session, shift, code="HIKARI", name="ひかり", monthly_fee=5200, fees=fees)

    def taken_over(bring_in: Callable[[Session, Shift, Path], int], file: Path) -> None:
        with Session(opened) as session, session.begin():
            assert bring_in(session, shift, file) == count

    def listed() -> None:
        with Session(reading(opened)) as session:
            assert len(contracts_json(session, TODAY, status=None, customer=None)) == count

    customer_file = written(folder / "customers.csv", customers(count))
    contract_file = written(folder / "contracts.csv", contracts(count))
    measured = {
        "customers": timed(lambda: taken_over(import_customers, customer_file)),
        "contracts": timed(lambda: taken_over(import_contracts, contract_file)),
        "list": timed(listed),
        "megabytes at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    opened.dispose()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--database", default="")
    asked = parser.parse_args()
    gc.set_threshold(100_000, 50, 50)  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        url = asked.database or f"sqlite:///{folder}/isp.db"
        print(json.dumps(measure(Path(folder), url, asked.customers), indent=2))


if __name__ == "__main__":
    main()
