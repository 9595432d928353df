"""A desk at which anything may happen in any order: every yen adds up, whatever was done."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import outside
import pytest
import town
from office import Answer, Office

BEGUN = date(2026, 1, 5)
DAYS = 120
# A search takes more: SEEDS=100 pytest tests/scenarios/test_busy_desk.py
SEEDS = int(os.environ.get("SEEDS", "3"))
METHODS = ("account-transfer", "account-transfer", "card", "invoice")


class Desk:
    """Acts picked at random; what the office refuses is refused in one line and changes nothing."""

    def __init__(self, office: Office, lots: Random) -> None:
        self.office, self.lots, self.purse = office, lots, outside.Purse()
        self.today = BEGUN
        self.members: list[str] = []
        self.contracts: list[str] = []
        self.answered: set[str] = set()
        self.done: Counter[str] = Counter()
        self.addresses = 0
        begun = BEGUN.isoformat()
        office.ok("--today", begun, "domain", "add", "example.jp")
        fees = ("--early-fee", 900, "--installation-fee", 9999, "--opening-fee", 777)
        town.plan(office, begun, "LONG", 999, 3, *fees)
        town.plan(office, begun, "SHORT", 333, 1, "--free-months", 1, "--mailboxes", 1)
        for _ in range(3):
            self.joins()

    def try_to(self, *words: object) -> Any:
        """The answer of a command, or None where it was refused as it should be."""
        answer: Answer = self.office("--today", self.today.isoformat(), *words)
        what = " ".join(str(word) for word in words[:2])
        if answer.exit_code == 0:
            self.done[what] += 1
            return answer.json
        assert (answer.exit_code, answer.stdout) == (2, ""), answer
        assert answer.stderr.startswith("Error: "), answer
        self.done[f"{what} refused"] += 1
        return None

    def some_day(self, back: int) -> str:
        return (self.today - timedelta(days=self.lots.randint(0, back))).isoformat()

    # Acts of the desk

    def joins(self) -> None:
        kind = self.lots.choice(("individual", "individual", "corporation"))
        method = self.lots.choice((*METHODS, None))
        self.members.append(town.member(self.office, self.today.isoformat(), method, kind))
        self.concludes()

    def concludes(self) -> None:
        member, plan = self.lots.choice(self.members), self.lots.choice(("LONG", "SHORT"))
        concluded = self.some_day(40)
        words = ("contract", "apply", member, plan, "--concluded-on", concluded)
        if made := self.try_to(*words):
            self.contracts.append(made["number"])
            if self.lots.random() < 0.8:
                self.try_to("contract", "open", made["number"], "--on", self.some_day(40))

    def opens(self) -> None:
        self.try_to("contract", "open", self.lots.choice(self.contracts), "--on", self.some_day(40))

    def cancels(self) -> None:
        words = ("contract", "cancel", self.lots.choice(self.contracts))
        more = self.lots.choice(((), (), ("--incomplete",)))
        self.try_to(*words, "--received", self.some_day(70), *more)

    def withdraws(self) -> None:
        words = ("contract", "withdraw", self.lots.choice(self.contracts))
        self.try_to(*words, "--received", self.some_day(10))

    def suspends(self) -> None:
        self.try_to("contract", "suspend", self.lots.choice(self.contracts))

    def resumes(self) -> None:
        self.try_to("contract", "resume", self.lots.choice(self.contracts))

    def changes_method(self) -> None:
        method = self.lots.choice(METHODS)
        town.pays_by(self.office, self.today.isoformat(), self.lots.choice(self.members), method)

    def changes_price(self) -> None:
        month = f"{self.today + timedelta(days=self.lots.randint(0, 90)):%Y-%m}"
        fee = self.lots.randint(900, 1200)
        self.try_to("plan", "price", "LONG", "--monthly-fee", fee, "--from", month)

    def opens_mailbox(self) -> None:
        self.addresses += 1
        address = f"m{self.addresses}@example.jp"
        self.try_to("mailbox", "add", address, "--contract", self.lots.choice(self.contracts))

    def treats_mailbox(self) -> None:
        act = self.lots.choice(("suspend", "resume", "remove"))
        if self.addresses:
            number = self.lots.randint(1, self.addresses)
            self.try_to("mailbox", act, f"m{number}@example.jp")

    def moves(self) -> None:
        line = self.lots.choice(("--line", "--no-line"))
        words = ("contract", "move", self.lots.choice(self.contracts), line)
        self.try_to(*words, "--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")

    # Money

    def some_invoice(self) -> dict[str, Any] | None:
        found = [
            each
            for each in town.invoices(self.office, self.today.isoformat())
            if each["kind"] == "invoice"
        ]
        return self.lots.choice(found) if found else None

    def pays(self) -> None:
        if invoice := self.some_invoice():
            amount = self.lots.choice((invoice["balance"], max(invoice["balance"] // 2, 1), 100))
            by = self.lots.choice(("bank", "convenience-store", "post", "cash"))
            words = ("payment", "record", invoice["number"], "--amount", amount, "--by", by)
            booked = self.try_to(*words, "--on", self.some_day(3))
            if booked and not booked["already"]:
                self.purse.pay(invoice["customer"], amount)

    def is_paid_back(self) -> None:
        for invoice in town.invoices(self.office, self.today.isoformat()):
            if invoice["balance"] < 0:
                amount = -invoice["balance"]
                words = ("payment", "refund", invoice["number"], "--amount", amount)
                booked = self.try_to(*words, "--on", self.today, "--by", "bank")
                if booked and not booked["already"]:
                    self.purse.pay(invoice["customer"], -amount)

    def credits(self) -> None:
        if invoice := self.some_invoice():
            by_line = ("--line", self.lots.randint(1, 3))
            by_amount = ("--amount", self.lots.randint(1, 1500), "--tax-rate", 10)
            what = self.lots.choice((by_line, by_amount))
            self.try_to("invoice", "credit", invoice["number"], "--reason", "障害", *what)

    def voids(self) -> None:
        if invoice := self.some_invoice():
            self.try_to("invoice", "void", invoice["number"], "--reason", "誤り")

    def bills(self) -> None:
        month = f"{self.today - timedelta(days=self.lots.randint(0, 100)):%Y-%m}"
        if month >= "2026-01":
            self.try_to("bill", "run", "--month", month)

    # Bank and card company

    def answers_come(self) -> None:
        """For every file given out that has not been answered, once its day has come."""
        for file in sorted((self.office.folder / "out").glob("*")):
            if "result" in file.name or file.name in self.answered:
                continue
            if file.name.startswith("transfer"):
                drawn_on = outside.transfer_day(file)
                if f"{self.today:%m-%d}" < drawn_on:
                    continue
                who = {item.customer for item in outside.drawn(file)}
                codes = {each: self.lots.choice("00000013489") for each in sorted(who)}
                self.try_to("debit", "import", outside.bank_answers(file, self.purse, codes))
            else:
                who = {row["customer"] for row in outside.sales(file)}
                declined = {each: "x" for each in sorted(who) if self.lots.random() < 0.2}
                answer = outside.card_company_answers(file, self.purse, declined)
                self.try_to("card", "import", answer)
            self.answered.add(file.name)

    # The days

    def works(self) -> None:
        acts = (
            *(self.joins, self.concludes, self.opens, self.cancels, self.withdraws),
            *(self.suspends, self.resumes, self.changes_method, self.changes_price),
            *(self.opens_mailbox, self.treats_mailbox, self.moves, self.bills),
            *(self.pays, self.pays, self.credits, self.voids, self.is_paid_back),
        )
        while self.today < BEGUN + timedelta(days=DAYS):
            self.today += timedelta(days=self.lots.choice((1, 1, 2, 3, 6)))
            for _ in range(self.lots.randint(0, 2)):
                self.lots.choice(acts)()
            if self.lots.random() < 0.4:
                self.closes()
        self.closes()
        self.answers_for_everything()

    def answers_for_everything(self) -> None:
        """Whatever has come of an invoice, the desk can say why each line is what it is."""
        for invoice in town.invoices(self.office, self.today.isoformat()):
            told = self.try_to("explain", invoice["number"])
            kinds = Counter(each["kind"] for each in told["lines"])
            assert Counter(line["kind"] for line in invoice["lines"]) <= kinds

    def closes(self) -> None:
        """The daily run, and what came in; then the books are in order."""
        today = self.today.isoformat()
        town.daily(self.office, today)
        self.answers_come()
        again = town.daily(self.office, today)
        assert again["bill"]["done"] == 0
        town.prove(self.office, today, self.purse)


@pytest.mark.req("ALL-01", "ALL-02", "ALL-04")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_02_whatever_is_done_in_whatever_order_every_yen_adds_up(
    seed: int, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "isp.db")
    desk = Desk(Office(tmp_path, f"sqlite:///{tmp_path}/isp.db"), Random(seed))
    desk.works()
    assert desk.purse.paid > 0 and desk.done["contract apply"] > 5


@pytest.mark.req("ALL-01", "ALL-02", "ALL-04")
@pytest.mark.parametrize("seed", [1002])
def test_all_02_every_yen_adds_up_on_postgresql(
    seed: int, new_postgresql: Callable[[str], str], postgresql_template: str, tmp_path: Path
) -> None:
    Desk(Office(tmp_path, new_postgresql(postgresql_template)), Random(seed)).works()
