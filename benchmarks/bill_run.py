"""How fast a month is billed, beside Python's own sqlite3 writing the very same rows.

    python benchmarks/bill_run.py [--contracts 100000] [--million] [--postgresql URL]

Rounds alternate and the best of each counts, as machines are shared; memory is that of a process of
its own.

Each contract gets an invoice with two lines (monthly fee, transfer fee), a tax row and a planned
collection. The rival is given the finished rows: it neither reads contracts nor works out charges,
taxes or numbers, and writes all in one transaction into tables with the same indexes.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from billing.runs.bill import BillResult, bill
from billing.runs.bulk import COLUMNS
from isp import database
from isp.calendar import TOKYO, Day
from isp.month import Month
from isp.policy import parse, profile_text
from isp.shift import Shift
from isp.tables import Address, Contract, Customer, PaymentMethod, Plan, PlanPrice

MONTH = Month.parse("2026-04")
BLOCK = 10_000
GOAL = 0.5
MOST_MB = 300


def shift() -> Shift:
    today = date(2026, 5, 3)
    day = Day(today, datetime(2026, 5, 3, 9, tzinfo=TOKYO))
    return Shift(parse(profile_text("consumer-isp")), day, "benchmark", Path())


def seed(engine: Engine, contracts: int) -> None:
    """Members with one contract each, twelve plans, all paying by account transfer."""
    with Session(engine) as session:
        plans = range(1, 13)
        session.execute(insert(Plan), [_plan(number) for number in plans])
        session.execute(
            insert(PlanPrice),
            [
                {
                    "plan_id": plan,
                    "since": Month.parse("2020-01"),
                    "monthly_fee": 3_000 + 137 * plan,
                }
                for plan in plans
            ],
        )
        session.commit()
        for start in range(1, contracts + 1, BLOCK):
            numbers = range(start, min(start + BLOCK, contracts + 1))
            session.execute(insert(Customer), [_customer(number) for number in numbers])
            session.execute(insert(Address), [_address(number) for number in numbers])
            session.execute(insert(PaymentMethod), [_method(number) for number in numbers])
            session.execute(insert(Contract), [_contract(number) for number in numbers])
            session.commit()


def _plan(number: int) -> dict[str, object]:
    return {
        "id": number,
        "code": f"P{number}",
        "name": f"光プラン{number}",
        "line": "flets-hikari-next",
        "term_months": 24,
        "early_fee": 3_000,
        "early_fee_tax": "none",
        "opening_fee": 3_000,
        "free_months": 0,
        "installation_fee": 22_000,
        "sold_to": "any",
        "mailboxes": 5,
    }


def _customer(number: int) -> dict[str, object]:
    return {
        "id": number,
        "number": f"C{number:08d}",
        "kind": "individual",
        "name": f"山田 太郎{number}",
        "kana": "ヤマダ タロウ",
        "email": f"member{number}@example.jp",
        "phone": "+81312345678",
        "language": "ja",
        "joined_on": date(2024, 1, 1),
    }


def _address(number: int) -> dict[str, object]:
    return {
        "customer_id": number,
        "kind": "contract",
        "postal_code": "100-0001",
        "address": f"東京都千代田区千代田1-{number}",
    }


def _method(number: int) -> dict[str, object]:
    return {
        "customer_id": number,
        "kind": "account-transfer",
        "valid_from": date(2024, 1, 1),
        "mandate": "active",
        "bank": "0001",
        "branch": "001",
        "sealed_account": b"sealed",
    }


def _contract(number: int) -> dict[str, object]:
    opened = Month.parse("2022-01") + number % 48
    return {
        "id": number,
        "number": f"K{number:08d}",
        "customer_id": number,
        "plan_id": number % 12 + 1,
        "status": "active",
        "applied_on": opened.first,
        "concluded_on": opened.first,
        "document_received_on": opened.first,
        "opened_on": opened.day(10),
        "charged_from": opened,
        "term_months": 24,
        "early_fee": 3_000,
        "early_fee_tax": "none",
        "opening_fee": 3_000,
        "free_months": 0,
        "installation_fee": 22_000,
        "term_number": 1,
    }


def billed(engine: Engine) -> tuple[BillResult, float]:
    """The bill run, and the seconds that it took."""

    @contextmanager
    def transaction() -> Iterator[Session]:
        with Session(engine) as session:
            yield session
            session.commit()

    begun = time.perf_counter()
    result = bill(transaction, shift(), MONTH)
    return result, time.perf_counter() - begun


def written_by_sqlite3(source: Path, target: Path) -> float:
    """Seconds in which plain `executemany` writes the rows of `source` into `target`."""
    read = sqlite3.connect(source)
    write = sqlite3.connect(target, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
                   "recursive_triggers = ON", "trusted_schema = OFF", "cache_size = -65536"):  # fmt: skip
        write.execute(f"PRAGMA {pragma}")
    rows = {
        table: read.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid").fetchall()
        for table, columns in COLUMNS.items()
    }
    begun = time.perf_counter()
    write.execute("BEGIN IMMEDIATE")
    for table, columns in COLUMNS.items():
        marks = ", ".join("?" * len(columns))
        write.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows[table]
        )
    write.execute("COMMIT")
    return time.perf_counter() - begun


def peak_mb() -> float:
    """The most memory this program has ever held; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def fresh(folder: Path, contracts: int) -> Path:
    """A migrated and seeded SQLite database."""
    path = folder / "seeded.db"
    engine = database.engine(f"sqlite:///{path}", new=True)
    database.upgrade(engine)
    seed(engine, contracts)
    engine.dispose()
    return path


def in_own_process(contracts: int, path: Path) -> tuple[float, float]:
    """Seconds of the run and its peak memory, in a process that has done nothing else."""
    code = (
        "import sys; from pathlib import Path; from benchmarks import bill_run as b;"
        "from isp import database;"
        "e = database.engine('sqlite:///' + sys.argv[1]);"
        "r, s = b.billed(e); assert r.invoices == int(sys.argv[2]);"
        "print(s, b.peak_mb())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(contracts)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def on_sqlite(folder: Path, contracts: int, rounds: int) -> None:
    """Ours and plain sqlite3 in turn, the best round of each, since machines are shared."""
    seeded = fresh(folder, contracts)
    ours, theirs = [], []
    for number in range(rounds):
        run, rival = folder / f"run{number}.db", folder / f"rival{number}.db"
        shutil.copy(seeded, run)
        shutil.copy(seeded, rival)
        engine = database.engine(f"sqlite:///{run}")
        result, seconds = billed(engine)
        engine.dispose()
        assert (result.contracts, result.invoices) == (contracts, contracts)
        ours.append(seconds)
        theirs.append(written_by_sqlite3(run, rival))
        run.unlink()
        rival.unlink()
        print(
            f"  round {number + 1}: bill run {contracts / ours[-1]:>9,.0f} contracts/s, "
            f"sqlite3 executemany {contracts / theirs[-1]:>9,.0f}"
        )
    ratio = min(theirs) / min(ours)
    print(f"bill run, SQLite, {contracts:,} contracts: {contracts / min(ours):,.0f} contracts/s")
    print(f"sqlite3 executemany, the very same rows: {contracts / min(theirs):,.0f} contracts/s")
    print(f"ratio {ratio:.2f} (goal {GOAL} or more)")
    if ratio < GOAL:
        raise SystemExit("too slow")


def memory(folder: Path, contracts: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        seconds, megabytes = in_own_process(contracts, fresh(Path(own), contracts))
    print(
        f"memory, {contracts:,} contracts: peak {megabytes:.0f} MB (goal below {MOST_MB}), "
        f"{contracts / seconds:,.0f} contracts/s"
    )
    if megabytes >= MOST_MB:
        raise SystemExit("too much memory")


def on_postgresql(url: str, contracts: int) -> None:
    """In a database of its own, which must be new."""
    engine = database.engine(url)
    if database.revision(engine) is not None:
        raise SystemExit("--postgresql: name an empty database, it is filled with samples")
    database.upgrade(engine)
    seed(engine, contracts)
    result, seconds = billed(engine)
    assert result.invoices == contracts
    print(f"bill run, PostgreSQL, {contracts:,} contracts: {contracts / seconds:,.0f} contracts/s")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--contracts", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--million", action="store_true", help="memory with a million, too")
    options.add_argument("--postgresql", metavar="URL", help="an empty database")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        on_sqlite(folder, asked.contracts, asked.rounds)
        memory(folder, asked.contracts)
        if asked.million:
            memory(folder, 1_000_000)
    if asked.postgresql:
        on_postgresql(asked.postgresql, asked.contracts)


if __name__ == "__main__":
    main()
