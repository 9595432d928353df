"""Every invoice and every quote for leaving, against arithmetic written a second time."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
import town
from arithmetic import (
    DAY,
    Books,
    Contract,
    Member,
    Plan,
    between,
    cheapest,
    early_fee,
    last_charged,
    left_to_pay,
    month_of,
    plus,
    said,
    written,
)
from office import Office

BEGUN = date(2026, 1, 5)
DAYS = 420
FIRST_PRICE = date(1900, 1, 1)
# A search takes more: SEEDS=1000 pytest tests/scenarios/test_what_a_month_costs.py
SEEDS = int(os.environ.get("SEEDS", "9"))
METHODS = ("account-transfer", "card", "invoice")


# What may happen


@dataclass
class Happening:
    """Something of a day: `act` is done by the office and noted in the books of the test."""

    on: date
    act: Callable[[Story], None]


@dataclass
class Story:
    """One office and, beside it, what it should have come to."""

    office: Office
    lots: Random
    plans: list[tuple[str, str, Plan]] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    books: Books = field(default_factory=Books)
    seen: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)

    def isp(self, today: date, *words: object) -> Any:
        return self.office.ok("--today", today.isoformat(), *words)


def a_plan(lots: Random, sold_to: str) -> Plan:
    """A plan within the law: the fee for leaving a consumer's is below every price."""
    fees = [lots.randint(100, 9_999) for _ in range(lots.randint(1, 3))]
    prices = {FIRST_PRICE: fees[0]}
    for fee in fees[1:]:
        prices[plus(month_of(BEGUN), lots.randint(1, 14))] = fee
    highest = 30_000 if sold_to == "corporation" else min(fees)
    return Plan(
        prices,
        term=lots.choice((1, 2, 3, 6, 10, 12, 24)),
        early_fee=lots.choice((0, highest, lots.randint(0, highest))),
        opening_fee=lots.choice((0, 1, 3_333)),
        free_months=lots.choice((0, 0, 1, 3)),
        installation=lots.choice((0, 19_999, 24_000)),
    )


# How it is done, in the office and beside it


def sell(story: Story, number: int) -> None:
    sold_to = ("any", "consumer", "corporation")[number]
    code, plan = f"P{number}", a_plan(story.lots, sold_to)
    town.plan(
        *(story.office, BEGUN.isoformat(), code, plan.prices[FIRST_PRICE], plan.term),
        *("--early-fee", plan.early_fee, "--opening-fee", plan.opening_fee),
        *("--free-months", plan.free_months, "--installation-fee", plan.installation),
        *("--for", sold_to),
    )
    for since, fee in plan.prices.items():
        if since != FIRST_PRICE:
            command = ("plan", "price", code, "--monthly-fee", fee, "--from", written(since))
            story.isp(BEGUN, *command)
    story.plans.append((code, sold_to, plan))


def join(story: Story) -> None:
    kind = story.lots.choice(("individual", "sole-proprietor", "corporation"))
    method = story.lots.choice((*METHODS, None))
    number = town.member(story.office, BEGUN.isoformat(), method, kind)
    story.members.append(Member(number, method or "invoice", kind != "corporation"))


def life(story: Story, member: Member) -> list[Happening]:
    """A contract's life: concluded, mostly opened, asked about, and often left, told late or not."""
    lots = story.lots
    wrong_buyer = "corporation" if member.consumer else "consumer"
    fitting = [(code, plan) for code, sold_to, plan in story.plans if sold_to != wrong_buyer]
    code, plan = lots.choice(fitting)
    concluded = BEGUN + lots.randint(0, 150) * DAY
    contract = Contract("", plan, concluded, member.consumer)
    received = concluded + lots.randint(0, 330) * DAY
    opened = concluded + lots.randint(0, 45) * DAY

    def conclude(story: Story) -> None:
        contract.number = town.contract(story.office, concluded.isoformat(), member.number, code)
        member.contracts.append(contract)

    def open_it(story: Story) -> None:
        if contract.received is None:
            story.isp(opened, "contract", "open", contract.number, "--on", opened)
            contract.opened = opened

    def leave(told: date) -> Callable[[Story], None]:
        def leaving(story: Story) -> None:
            command = ("contract", "cancel", contract.number, "--received", received)
            quoted(contract, received, story.isp(told, *command))
            contract.received = received

        return leaving

    def ask(day: date) -> Callable[[Story], None]:
        def asking(story: Story) -> None:
            command = ("contract", "cancel", contract.number, "--received", day, "--dry-run")
            if contract.received is None:
                quoted(contract, day, story.isp(day, *command))

        return asking

    found = [Happening(concluded, conclude)]
    if lots.random() < 0.9:
        found.append(Happening(opened, open_it))
    for _ in range(2):
        day = concluded + lots.randint(0, 350) * DAY
        found.append(Happening(day, ask(day)))
    if lots.random() < 0.7:
        # Later than a month after the last charged one, too much would have been billed.
        told = received + lots.choice((0, 0, 10, 20, 28)) * DAY
        found.append(Happening(told, leave(told)))
    return found


def quoted(contract: Contract, received: date, answer: dict[str, Any]) -> None:
    """`isp contract cancel` says what the arithmetic says."""
    day, total = cheapest(contract, received)
    month = month_of(received)
    assert answer["received_on"] == received.isoformat() and answer["complete"] is True
    assert answer["last_charged_month"] == written(last_charged(received))
    assert answer["in_renewal_month"] is contract.is_renewal_month(month)
    assert answer["early_termination_fee"] == early_fee(contract, received)
    assert answer["ends_on"] == (plus(last_charged(received), 1) - DAY).isoformat()
    assert answer["total"] == left_to_pay(contract, received, month)
    assert answer["cheapest"] == {"received_on": day.isoformat(), "total": total}


def bill(day: date, month: date) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        skipped = story.books.skipped(story.members, month)
        expected = story.books.run(story.members, month)
        answer = story.isp(day, "bill", "run", "--month", written(month))
        assert (answer["month"], answer["invoices"], answer["skipped"]) == (
            *(written(month), len(expected), skipped),
        )
        assert answer["gross"] == sum(each.gross for each in expected)
        assert answer["net"] + answer["tax"] == answer["gross"]
        if not expected:
            return
        found = [
            each
            for each in town.invoices(story.office, day.isoformat(), "--month", written(month))
            if each["number"] not in story.seen
        ]
        story.seen |= {each["number"] for each in found}
        assert [each["issued_on"] for each in found] == [day.isoformat()] * len(expected)
        by_customer = {each["customer"]: said(each) for each in found}
        assert by_customer == {each.customer: each for each in expected}
        for each in expected:
            story.kinds.update(line.kind for line in each.lines)

    return run


def turn(story: Story) -> Happening:
    """A member pays in another way from some day on."""
    member, method = story.lots.choice(story.members), story.lots.choice(METHODS)
    day = BEGUN + story.lots.randint(0, DAYS) * DAY

    def change(story: Story) -> None:
        town.pays_by(story.office, day.isoformat(), member.number, method)
        member.method = method

    return Happening(day, change)


def some_runs(story: Story) -> Iterator[Happening]:
    """Bill runs: on time, late, out of order and twice."""
    for _ in range(14):
        day = BEGUN + story.lots.randint(28, DAYS) * DAY
        month = plus(month_of(day), -story.lots.choice((1, 1, 1, 2, 3)))
        if month >= month_of(BEGUN):
            yield Happening(day, bill(day, month))


def tell(story: Story) -> None:
    for number in range(3):
        sell(story, number)
    for _ in range(3):
        join(story)
    to_come = [each for member in story.members * 2 for each in life(story, member)]
    to_come += [turn(story) for _ in range(2)]
    to_come += some_runs(story)
    for each in sorted(to_come, key=lambda each: each.on):
        each.act(story)
    end = max(each.on for each in to_come) + 75 * DAY
    months = between(month_of(BEGUN), plus(month_of(end), -1))
    for month in story.lots.sample(months, len(months)):
        bill(end, month)(story)
    bill(end, months[-1])(story)  # what leaving costs who left with a month that came last
    town.prove(story.office, end.isoformat())
    assert story.kinds["monthly"] > 10


@pytest.mark.req("ISP-02", "ISP-05", "ISP-09", "ISP-11", "ISP-12", "ISP-13", "ALL-01", "ALL-02")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_invoice_and_quote_is_what_the_page_says(
    seed: int, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "isp.db")
    tell(Story(Office(tmp_path, f"sqlite:///{tmp_path}/isp.db"), Random(seed)))


@pytest.mark.req("ISP-02", "ISP-05", "ISP-09", "ISP-11", "ISP-12", "ISP-13", "ALL-01", "ALL-02")
@pytest.mark.parametrize("seed", range(1000, 1002))
def test_postgresql_bills_and_quotes_the_same(
    seed: int,
    new_postgresql: Callable[[str], str],
    postgresql_template: str,
    tmp_path: Path,
) -> None:
    tell(Story(Office(tmp_path, new_postgresql(postgresql_template)), Random(seed)))
