"""What a month costs, computed a second time: from the command line's page alone, naively.

Nothing here is taken from the package. Months are the first of the month as a date, tax is a
fraction, every day of the next three years is looked at one by one, and holidays follow from the
law of national holidays (from 2022 on).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import groupby
from math import floor
from typing import Any

DAY = timedelta(days=1)


def month_of(day: date) -> date:
    return day.replace(day=1)


@cache
def plus(month: date, count: int) -> date:
    """The first of the month `count` months on."""
    years, months = divmod(month.year * 12 + month.month - 1 + count, 12)
    return date(years, months + 1, 1)


def between(first: date, last: date) -> list[date]:
    """The months from `first` to `last`, both included."""
    found = []
    while first <= last:
        found.append(first)
        first = plus(first, 1)
    return found


def last_day(month: date) -> date:
    return plus(month, 1) - DAY


def written(month: date) -> str:
    return f"{month:%Y-%m}"


# Business days


def _monday(year: int, month: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(7 - first.weekday()) % 7 + 7 * (nth - 1))


@cache
def national_holidays(year: int) -> frozenset[date]:
    """National holidays [国民の祝日], with those that stand in for Sundays and those between two."""
    leap = (year - 1980) // 4
    march = int(20.8431 + 0.242194 * (year - 1980)) - leap
    september = int(23.2488 + 0.242194 * (year - 1980)) - leap
    days = [(1, 1), (2, 11), (2, 23), (3, march), (4, 29), (5, 3), (5, 4), (5, 5), (8, 11)]
    days += [(9, september), (11, 3), (11, 23)]
    found = {date(year, month, day) for month, day in days}
    found |= {_monday(year, month, nth) for month, nth in ((1, 2), (7, 3), (9, 3), (10, 2))}
    for holiday in sorted(found):
        if holiday.weekday() == 6:
            instead = holiday
            while instead in found:
                instead += DAY
            found.add(instead)
    for holiday in sorted(found):
        if holiday + 2 * DAY in found and (holiday + DAY).weekday() != 6:
            found.add(holiday + DAY)
    return frozenset(found)


def business_day(day: date) -> date:
    """The day itself, or the next on which banks are open."""
    while (
        day.weekday() >= 5
        or day in national_holidays(day.year)
        or (day.month, day.day) in ((12, 31), (1, 1), (1, 2), (1, 3))
    ):
        day += DAY
    return day


# Plans and contracts


@dataclass
class Plan:
    """A plan as it was sold; `prices` by the month from which each is valid."""

    prices: dict[date, int]
    term: int = 24
    early_fee: int = 0
    opening_fee: int = 0
    free_months: int = 0
    installation: int = 0

    def price(self, month: date) -> int:
        valid = max(since for since in self.prices if since <= month)
        return self.prices[valid]


@dataclass
class Contract:
    """A contract; `received` is the day of the complete application to leave."""

    number: str
    plan: Plan
    concluded: date
    consumer: bool = True
    opened: date | None = None
    received: date | None = None

    def term(self, today: date) -> tuple[date, date, date]:
        """Start, end and renewal month of the term running on `today`."""
        start = month_of(self.concluded)
        while plus(start, self.plan.term) < month_of(today):
            start = plus(start, self.plan.term)
        return start, plus(start, self.plan.term - 1), plus(start, self.plan.term)

    def is_renewal_month(self, month: date) -> bool:
        return month == self.term(month)[2]

    @property
    def last(self) -> date | None:
        """The last charged month."""
        return None if self.received is None else last_charged(self.received)


def last_charged(received: date) -> date:
    return month_of(received) if received.day <= 15 else plus(month_of(received), 1)


def early_fee(contract: Contract, received: date) -> int:
    month = month_of(received)
    if contract.is_renewal_month(month):
        return 0
    if contract.consumer and contract.concluded >= date(2022, 7, 1):
        return min(contract.plan.early_fee, contract.plan.price(month))
    return contract.plan.early_fee


def installation_left(contract: Contract, received: date) -> int:
    if contract.opened is None:
        return 0
    used = len(between(month_of(contract.concluded), last_charged(received)))
    left = Fraction(contract.plan.term - used + 1, contract.plan.term)
    return floor(contract.plan.installation * max(left, Fraction(0)))


def monthly_fee(contract: Contract, month: date) -> int:
    if contract.opened is None or month < plus(
        month_of(contract.opened), contract.plan.free_months
    ):
        return 0
    return contract.plan.price(month)


def with_tax(taxed: int, untaxed: int = 0) -> int:
    return taxed + floor(taxed * Fraction(10, 100)) + untaxed


def left_to_pay(contract: Contract, received: date, since: date) -> int:
    """What is to be paid from the month `since` on by who leaves on `received`, tax included."""
    last, total = last_charged(received), 0
    for month in between(since, last):
        if month < last:
            total += with_tax(monthly_fee(contract, month))
        else:
            taxed = monthly_fee(contract, month) + installation_left(contract, received)
            total += with_tax(taxed, early_fee(contract, received))
    return total


def cheapest(contract: Contract, received: date) -> tuple[date, int]:
    """The latest of the later days of the next 36 months with the lowest total."""
    since = month_of(received)
    until = plus(since, 36)
    until = until.replace(day=min(received.day, last_day(until).day))
    paid = {since: 0}  # before each month
    for month in between(since, plus(since, 38)):
        paid[plus(month, 1)] = paid[month] + with_tax(monthly_fee(contract, month))
    best: tuple[date, int] | None = None
    day = received + DAY
    while day <= until:
        last = last_charged(day)
        total = paid[last] + left_to_pay(contract, day, last)
        if best is None or total <= best[1]:
            best = day, total
        day += DAY
    assert best is not None
    return best


# Bill runs


@dataclass(frozen=True)
class Line:
    kind: str
    contract: str | None
    net: int
    rate: int


@dataclass(frozen=True)
class Expected:
    """An invoice as it must be; lines in any order within a contract."""

    customer: str
    month: str
    method: str
    due_on: str
    lines: Counter[Line]
    contracts: tuple[str, ...]
    taxes: dict[int, tuple[int, int]]
    gross: int


def said(invoice: dict[str, Any]) -> Expected:
    """What an invoice says, in the form of what it should say."""
    assert invoice["net"] + invoice["tax"] == invoice["gross"]
    assert sum(each["tax"] for each in invoice["taxes"]) == invoice["tax"]
    found = [
        Line(line["kind"], line["contract"], line["net"], line["tax_rate"])
        for line in invoice["lines"]
    ]
    contracts = [line.contract for line in found if line.contract]
    return Expected(
        *(invoice["customer"], invoice["month"], invoice["method"], invoice["due_on"]),
        Counter(found),
        tuple(contract for contract, _ in groupby(contracts)),
        {each["rate"]: (each["net"], each["tax"]) for each in invoice["taxes"]},
        invoice["gross"],
    )


@dataclass
class Member:
    number: str
    method: str
    consumer: bool
    contracts: list[Contract] = field(default_factory=list)


def due_on(method: str, month: date) -> date:
    if method == "account-transfer":
        return business_day(plus(month, 1).replace(day=23))
    return last_day(month) if method == "card" else business_day(last_day(plus(month, 1)))


@dataclass
class Books:
    """All that has been billed: contract and month, ways out, transfer fees."""

    billed: set[tuple[str, date]] = field(default_factory=set)
    complete: set[date] = field(default_factory=set)
    skippable: set[tuple[str, date]] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    fees: set[tuple[str, date]] = field(default_factory=set)

    def run(self, members: list[Member], month: date) -> list[Expected]:
        """The invoices that the run of a month makes now."""
        invoices = [made for member in members if (made := self._invoice(member, month))]
        self.complete.add(month)
        return invoices

    def skipped(self, members: list[Member], month: date) -> int:
        """Contracts charged in the month that an earlier run has billed."""
        return sum(
            (contract.number, month) in self.skippable
            for member in members
            for contract in member.contracts
        )

    def _invoice(self, member: Member, month: date) -> Expected | None:
        lines: list[Line] = []
        for contract in sorted(member.contracts, key=lambda each: each.number):
            lines += self._lines(contract, month)
        if not lines:
            return None
        if member.method == "account-transfer" and (member.number, month) not in self.fees:
            self.fees.add((member.number, month))
            lines.append(Line("transfer-fee", None, 200, 10))
        nets: dict[int, int] = {}
        for line in lines:
            nets[line.rate] = nets.get(line.rate, 0) + line.net
        taxes = {rate: (net, floor(Fraction(net * rate, 100))) for rate, net in nets.items()}
        order = dict.fromkeys(line.contract for line in lines if line.contract)
        return Expected(
            member.number,
            written(month),
            member.method,
            due_on(member.method, month).isoformat(),
            Counter(lines),
            tuple(order),
            taxes,
            sum(net + tax for net, tax in taxes.values()),
        )

    def _lines(self, contract: Contract, month: date) -> list[Line]:
        first = month_of(contract.opened) if contract.opened else None
        lines = []
        last, key = contract.last, (contract.number, month)
        charged = first is not None and first <= month and (last is None or month <= last)
        had_last_month = last is not None and (contract.number, last) in self.billed
        if charged and key not in self.billed:
            self.billed.add(key)
            if fee := monthly_fee(contract, month):
                lines.append(Line("monthly", contract.number, fee, 10))
            if month == first and contract.plan.opening_fee:
                lines.append(Line("opening", contract.number, contract.plan.opening_fee, 10))
            if lines:
                self.skippable.add(key)
        if last is not None and contract.number not in self.left:
            # With the last charged month; that having been billed already, with the next run.
            over = had_last_month or last in self.complete
            if (month == last and not had_last_month) or (month > last and over):
                lines += self._leaving(contract)
        return lines

    def _leaving(self, contract: Contract) -> list[Line]:
        assert contract.received is not None
        self.left.add(contract.number)
        lines = []
        if fee := early_fee(contract, contract.received):
            lines.append(Line("early-termination", contract.number, fee, 0))
        if left := installation_left(contract, contract.received):
            lines.append(Line("installation", contract.number, left, 10))
        return lines
