"""How fast mailboxes are provisioned, measured against the limit: hashes a second x cores.

    python benchmarks/mailboxes.py [--mailboxes 10000] [--rows 100000] [--rounds 10] [--database URL]

`--mailboxes` get new passwords (the cost is the hash, and meant to be), in as many files as there are
rounds. Before and after each file all cores hash, bare: the library of the reference implementation,
one fixed password, nothing kept. So the limit is measured beside what is held against it, and other
work on the machine slows both; the median of the rounds counts. Goal: 0.9. `--rows` are a migration that brings its hashes. Without `--database` both run on SQLite in a temporary folder; a database
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
from statistics import median
from threading import Thread
from time import perf_counter

from argon2.low_level import Type, hash_secret
from sqlalchemy import func, insert, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import TOKYO, Day
from isp.database import engine, reading, upgrade
from isp.policy import parse, profile_text
from isp.shift import Shift
from isp.tables import Contract, Customer, Plan
from provisioning.passwords import ARGON2_KIB, ARGON2_PASSES, generate, hash_password
from provisioning.runs.imports import import_mailboxes, issue_passwords, read_mailboxes
from provisioning.runs.mailboxes import add_domain
from provisioning.tables import Mailbox

TODAY = date(2026, 4, 10)
PER_CONTRACT = 10
SAMPLE = 40
PASSWORD, SALT = b"Wm7rTk3vQz9xHd", b"0123456789abcdef"
GOAL = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
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
            **new_passwords(opened, shift, Path(folder), asked.mailboxes, asked.rounds),
            **migration(opened, shift, Path(folder), asked.rows, asked.mailboxes),
        }
        with Session(reading(opened)) as session:
            stored = session.scalars(select(func.count(Mailbox.id))).one()
        assert stored == asked.mailboxes // asked.rounds * asked.rounds + asked.rows, stored
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


def bare(hashes: int, cores: int) -> Taken:
    """All cores hashing at the policy's cost and nothing else: the limit."""

    def share(count: int) -> None:
        for _ in range(count):
            hash_secret(PASSWORD, SALT, ARGON2_PASSES, ARGON2_KIB, 1, 32, Type.ID)

    threads = [Thread(target=share, args=(hashes // cores,)) for _ in range(cores)]
    with timed() as taken:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Taken(taken.wall / hashes, taken.processor / hashes)


def provisioned(database: Engine, shift: Shift, path: Path) -> Taken:
    """A file of mailboxes without hashes, taken in as `isp mailbox import` does."""
    with timed() as taken:
        with Session(reading(database)) as session:
            rows = read_mailboxes(session, shift, path)
        issued = issue_passwords(shift, rows)
        with Session(database) as session, session.begin():
            import_mailboxes(session, shift, path, issued)
    return taken


def new_passwords(
    database: Engine, shift: Shift, folder: Path, count: int, rounds: int
) -> dict[str, float | int | str]:
    """Mailboxes with generated passwords; a share of 1.0 is all cores hashing and nothing else.

    By the clock on the wall, and by the processor's time, which others do not take away.
    """
    cores = len(os.sched_getaffinity(0))
    size, total = count // rounds, Taken()
    by_wall, by_processor = [], []
    limits = [bare(SAMPLE * cores, cores)]
    for number in range(rounds):
        taken = provisioned(database, shift, written(folder / "new.csv", size, number * size, ""))
        limits.append(bare(SAMPLE * cores, cores))
        before, after = limits[-2:]
        by_wall.append(size * (before.wall + after.wall) / 2 / taken.wall)
        by_processor.append(size * (before.processor + after.processor) / 2 / taken.processor)
        total.wall += taken.wall
    return {
        "mailboxes": size * rounds,
        "cores": cores,
        "bare_hashes_per_second": round(1 / median(each.wall for each in limits), 1),
        "seconds": round(total.wall, 2),
        "share_of_the_limit": round(median(by_wall), 3),
        "lowest_and_highest_share": f"{min(by_wall):.3f} to {max(by_wall):.3f}",
        "share_of_the_processor": round(median(by_processor), 3),
        "goal": GOAL,
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
