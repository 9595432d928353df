"""One household from joining to the removal of its last mailbox, five years, at the command line."""

from __future__ import annotations

from datetime import date
from typing import Any

import outside
import pytest
import town
from arithmetic import Books, Contract, Member, Plan, between, plus, said, written
from office import Office

JOINED, OPENED = "2026-04-10", "2026-04-20"
ADDRESS = "taro@example.jp"
FIRST, LAST = date(2026, 4, 1), date(2030, 5, 1)

LACKS_FUNDS, NO_MANDATE = "2026-10", "2027-05"
"""Months whose transfer fails, with the bank's codes 1 and 4."""


class Household:
    """What one member and the bank do, month by month, and what each bill must be."""

    def __init__(self, office: Office) -> None:
        self.office, self.purse, self.books = office, outside.Purse(), Books()
        self.isp(JOINED, "domain", "add", "example.jp")
        town.plan(
            *(office, JOINED, "HIKARI", 5200, 24, "--early-fee", 5200, "--opening-fee", 3000),
            *("--free-months", 1, "--installation-fee", 24000),
        )
        number = town.member(office, JOINED, "account-transfer")
        self.contract = town.contract(office, JOINED, number, "HIKARI", OPENED)
        prices = {date(2026, 1, 1): 5200}
        self.plan = Plan(prices, 24, 5200, 3000, 1, 24000)
        held = Contract(self.contract, self.plan, date(2026, 4, 10), opened=date(2026, 4, 20))
        self.member = Member(number, "account-transfer", True, [held])
        self.password = self.isp(OPENED, "mailbox", "add", ADDRESS, "--contract", self.contract)

    def isp(self, day: date | str, *words: object) -> Any:
        return self.office.ok("--today", str(day), *words)

    def notices(self, kind: str) -> list[Any]:
        return [each for each in self.isp(LAST, "outbox", "list") if each["kind"] == kind]

    def shown(self, day: str) -> dict[str, Any]:
        found: dict[str, Any] = self.isp(day, "contract", "show", self.contract)
        return found

    def status(self, month: str) -> str:
        found = self.isp(LAST, "invoice", "list", "--month", month)
        assert len(found) == 1
        return str(found[0]["status"])

    def bill(self, month: date) -> None:
        """The daily run of the 3rd bills what the page says, and nothing else."""
        third = plus(month, 1).replace(day=3)
        town.daily(self.office, third.isoformat())
        expected = self.books.run([self.member], month)
        found = town.invoices(self.office, third.isoformat(), "--month", written(month))
        assert [said(each) for each in found] == expected

    def draw(self, month: date) -> None:
        """The daily run of the 10th writes the bank's file; the bank answers by the 25th."""
        tenth = plus(month, 1).replace(day=10)
        town.daily(self.office, tenth.isoformat())
        request = self.office.folder / "out" / f"transfer-{written(month)}.txt"
        if not request.exists():
            return
        code = {LACKS_FUNDS: "1", NO_MANDATE: "4"}.get(written(month), "0")
        answer = outside.bank_answers(request, self.purse, {self.member.number: code})
        done = self.isp(tenth.replace(day=25), "debit", "import", answer)
        assert [each["code"] for each in done["failed"]] == ([] if code == "0" else [code])
        assert self.status(written(month)) == ("paid" if code == "0" else "failed")

    def pay(self, month: str, on: str, by: str) -> None:
        [invoice] = self.isp(on, "invoice", "list", "--month", month)
        amount = invoice["balance"]
        command = ("payment", "record", invoice["number"], "--amount", amount, "--on", on)
        assert self.isp(on, *command, "--by", by)["status"] == "paid"
        self.purse.pay(self.member.number, amount)


def meanwhile(home: Household, month: date) -> None:
    """What happens beside the bills, in the month after the one that was billed."""
    if written(month) == LACKS_FUNDS:
        # 23 November 2026 is a holiday; the next try is with that of the month after.
        assert outside.transfer_day(out(home, LACKS_FUNDS)) == "11-24"
        assert home.status(LACKS_FUNDS) == "failed" and len(home.notices("transfer-failed")) == 1
    if written(month) == "2026-11":
        assert [item.amount for item in outside.drawn(out(home, "2026-11"))] == [5940, 5940]
        assert home.status(LACKS_FUNDS) == home.status("2026-11") == "paid"
    if written(month) == "2027-01":
        assert outside.transfer_day(out(home, "2027-01")) == "02-24"
    if written(month) == "2027-04":
        home.isp(
            "2027-05-10", "plan", "price", "HIKARI", "--monthly-fee", 5500, "--from", "2027-09"
        )
        home.plan.prices[date(2027, 9, 1)] = 5500
    if written(month) == NO_MANDATE:
        mandate_is_lost_and_given_anew(home)
    if written(month) == "2028-01":
        assert home.notices("renewal-notice") == []
        town.daily(home.office, "2028-02-15")
        assert home.notices("renewal-notice") == []
        town.daily(home.office, "2028-02-16")  # 45 days before the renewal month
        assert len(home.notices("renewal-notice")) == 1
    if written(month) == "2028-04":
        assert len(home.notices("renewal-notice")) == len(home.notices("renewed")) == 1
        term = home.shown("2028-05-03")
        assert (term["term_number"], term["term_end"]) == (2, "2030-03")
    if written(month) == "2029-02":
        home.isp(
            *("2029-03-20", "contract", "move", home.contract, "--line"),
            *("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1"),
        )
    if written(month) == "2030-03":
        leaves_in_the_renewal_month(home)


def mandate_is_lost_and_given_anew(home: Household) -> None:
    """After code 4 bills are to be paid by invoice, until the member names another account."""
    customer = home.member.number
    shown = home.isp("2027-06-26", "customer", "show", customer)
    assert shown["payment_method"]["mandate"] == "suspended"
    assert len(home.notices("mandate-needed")) == 1
    [unpaid] = home.isp("2027-06-26", "invoice", "list", "--month", NO_MANDATE)
    assert (unpaid["method"], unpaid["status"]) == ("invoice", "failed")
    assert unpaid["due_on"] == "2027-08-02"  # 31 July is a Saturday
    home.pay(NO_MANDATE, "2027-06-28", "convenience-store")
    home.member.method = "invoice"


def leaves_in_the_renewal_month(home: Household) -> None:
    """Received on the 16th of the second renewal month: free, and one month more is charged."""
    ask = ("contract", "cancel", home.contract, "--received", "2030-04-16")
    quote = home.isp("2030-04-16", *ask, "--dry-run")
    done = home.isp("2030-04-16", *ask)
    assert quote["total"] == done["total"] == 2 * 6050
    assert done["in_renewal_month"] is True and done["early_termination_fee"] == 0
    assert (done["last_charged_month"], done["ends_on"]) == ("2030-05", "2030-05-31")
    home.member.contracts[0].received = date(2030, 4, 16)


def out(home: Household, month: str) -> Any:
    return home.office.folder / "out" / f"transfer-{month}.txt"


@pytest.mark.req("ISP-02", "ISP-05", "ISP-07", "ISP-10", "ISP-11", "ISP-15", "ISP-18", "ALL-02")
def test_isp_10_five_years_of_a_household(office: Office) -> None:
    home = Household(office)
    first = home.shown(JOINED)
    assert (first["term_start"], first["term_end"]) == ("2026-04", "2028-03")
    assert first["renewal_month"] == "2028-04"
    for month in between(FIRST, LAST):
        home.bill(month)
        home.draw(month)
        if written(month) == "2027-06":
            home.pay("2027-06", "2027-07-12", "bank")
            town.pays_by(office, "2027-07-15", home.member.number, "account-transfer")
            home.member.method = "account-transfer"
        meanwhile(home, month)
    ended = home.shown("2030-06-25")
    assert (ended["status"], ended["ended_on"]) == ("ended", "2030-05-31")
    assert home.isp("2030-06-29", "mailbox", "list")[0]["status"] == "active"
    town.daily(office, "2030-06-29")
    assert home.isp("2030-06-29", "mailbox", "list")[0]["remove_on"] == "2030-06-30"
    town.daily(office, "2030-06-30")
    assert home.isp("2030-06-30", "mailbox", "list")[0]["status"] == "removed"
    town.daily(office, "2031-04-10")
    billed = town.invoices(office, "2031-04-10")
    assert len(billed) == 50 and {each["status"] for each in billed} == {"paid"}
    assert billed[0]["gross"] == (3000 + 200) * 110 // 100
    new_codes = {
        item.new_code: month
        for month in ("2026-04", "2026-05", "2027-07", "2027-08")
        for item in outside.drawn(out(home, month))
    }
    assert new_codes == {"1": "2026-04", "0": "2027-08", "2": "2027-07"}
    town.prove(office, "2031-04-10", home.purse)
    assert home.purse.paid == sum(each["gross"] for each in billed)
