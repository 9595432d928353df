"""How fast mailboxes are provisioned, measured against the limit: hashes a second x cores.

    python benchmarks/mailboxes.py [--mailboxes 10000] [--rows 100000] [--database URL]

`--mailboxes` get new passwords (the cost is the hash, and meant to be); `--rows` are a migration
that brings its hashes. Without `--database` both run on SQLite in a temporary folder; a database
that is given must be empty, and keeps what was put into it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from time import perf_counter

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import TOKYO, Day
from isp.database import engine, reading, upgrade
from isp.policy import parse, profile_text
from isp.shift import Shift
from isp.tables import Contract, Customer, Plan
from provisioning.passwords import generate, hash_password
from provisioning.runs.imports import import_mailboxes, issue_passwords, read_mailboxes
from provisioning.runs.mailboxes import add_domain
from provisioning.tables import Mailbox

TODAY = date(2026, 4, 10)
PER_CONTRACT = 10
SAMPLE = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = asked.database or f"sqlite:///{folder}/isp.db"
        opened = engine(url, new=True)
        upgrade(opened)
        now = datetime.combine(TODAY, datetime.min.time(), TOKYO)
        policy = parse(profile_text("consumer-isp"))
        shift = Shift(policy, Day(TODAY, now), "benchmark", Path(folder))
        conclude(opened, shift, (asked.mailboxes + asked.rows) // PER_CONTRACT + 2)
        measured = {
            **new_passwords(opened, shift, Path(folder), asked.mailboxes),
            **migration(opened, shift, Path(folder), asked.rows, asked.mailboxes),
        }
        with Session(reading(opened)) as session:
            stored = session.scalars(select(func.count(Mailbox.id))).one()
        assert stored == asked.mailboxes + asked.rows, stored
        opened.dispose()
    print(json.dumps(measured, indent=2))


def conclude(database: Engine, shift: Shift, contracts: int) -> None:
    """A member with that many contracts, each good for ten mailboxes."""
    fees = {
        "term_months": 1,
        "early_fee": 0,
        "early_fee_tax": "none",
        "opening_fee": 0,
        "free_months": 0,
        "installation_fee": 0,
    }
    with Session(database) as session, session.begin():
        add_domain(session, shift, "example.jp")
        plan = Plan(
            code="P", name="P", line="hikari", sold_to="any", mailboxes=PER_CONTRACT, **fees
        )
        customer = Customer(
            number="C00000001",
            kind="individual",
            name="会員",
            kana="カイイン",
            email="member@example.net",
            phone="03-1234-5678",
            joined_on=TODAY,
        )
        session.add_all((plan, customer))
        session.flush()
        common = {
            "customer_id": customer.id,
            "plan_id": plan.id,
            "status": "applied",
            "applied_on": TODAY,
            "concluded_on": TODAY,
            "document_received_on": TODAY,
            **fees,
        }
        session.execute(
            insert(Contract), [{**common, "number": f"K{n:08d}"} for n in range(contracts)]
        )


@dataclass
class Taken:
    """Seconds on the wall and of processor, worker processes included once they have ended."""

    wall: float = 0
    processor: float = 0


@contextmanager
def timed() -> Iterator[Taken]:
    taken = Taken()
    wall, before = perf_counter(), sum(os.times()[:4])
    yield taken
    taken.wall = perf_counter() - wall
    taken.processor = sum(os.times()[:4]) - before


def new_passwords(
    database: Engine, shift: Shift, folder: Path, count: int
) -> dict[str, float | int]:
    """Mailboxes with generated passwords; a share of 1.0 is all cores hashing and nothing else.

    The share of the limit sinks when others use the machine, that of the processor does not.
    """
    rule, cores = shift.policy.mail.password, len(os.sched_getaffinity(0))
    hash_password("the library loads", rule.scheme)
    with timed() as alone:
        for _ in range(SAMPLE):
            hash_password(generate(rule), rule.scheme)
    path = written(folder / "new.csv", count, 0, "")
    with timed() as taken:
        with Session(reading(database)) as session:
            rows = read_mailboxes(session, shift, path)
        issued = issue_passwords(shift, rows)
        with Session(database) as session, session.begin():
            import_mailboxes(session, shift, path, issued)
    return {
        "mailboxes": count,
        "cores": cores,
        "hashes_per_second_and_core": round(SAMPLE / alone.wall, 1),
        "seconds": round(taken.wall, 2),
        "share_of_the_limit": round(count * alone.wall / SAMPLE / cores / taken.wall, 3),
        "share_of_the_processor": round(count * alone.processor / SAMPLE / taken.processor, 3),
    }


def migration(
    database: Engine, shift: Shift, folder: Path, count: int, first: int
) -> dict[str, float | int]:
    """Mailboxes that bring their hashes, in one transaction."""
    hashed = hash_password(generate(shift.policy.mail.password), "SHA512-CRYPT")
    path = written(folder / "old.csv", count, first, hashed)
    with timed() as taken, Session(database) as session, session.begin():
        import_mailboxes(session, shift, path)
    return {
        "migrated": count,
        "migration_seconds": round(taken.wall, 2),
        "migration_processor_seconds": round(taken.processor, 2),
    }


def written(path: Path, count: int, first: int, hashed: str) -> Path:
    """A file of mailboxes, numbered from `first`, ten to a contract."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("address", "contract", "display_name", "quota_mb", "password_hash"))
        for n in range(first, first + count):
            contract = f"K{n // PER_CONTRACT:08d}"
            rows.writerow((f"user{n}@example.jp", contract, f"会員 {n}", 1000, hashed))
    return path


if __name__ == "__main__":
    main()
