"""The page of promises, command by command: keys, words, exit codes, streams, files, arithmetic.

Written from that page alone. One furnished office is built once a worker and copied for each test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import outside
import paper
import postgresql
import pytest
import town
from office import Office

TODAY = "2026-02-05"
ADDRESS = "taro@example.jp"
PDF = b"%PDF-"


# An office with a little of everything -------------------------------------------------------------


@dataclass(frozen=True)
class Furnished:
    """The office on 5 February 2026, January having been billed, and the numbers in it."""

    office: Office
    numbers: dict[str, str]
    password: str

    def words(self, command: str) -> list[str]:
        """The words of a command; `{K1}` and the like stand for numbers, `{out}` for the folder."""
        folder = str(self.office.folder)
        return [word.format(**self.numbers, out=folder) for word in shlex.split(command)]

    def ok(self, command: str, today: str = TODAY) -> Any:
        return self.office.ok("--today", today, *self.words(command))

    def refused(self, command: str, today: str = TODAY) -> str:
        return self.office.refused("--today", today, *self.words(command))

    def everything(self) -> dict[str, list[Any]]:
        return town.everything(self.office.database_url)


def furnish(office: Office) -> Furnished:
    begun, joined = "2026-01-05", "2026-01-10"
    office.ok("--today", begun, "domain", "add", "example.jp")
    hikari = ("--early-fee", 5200, "--installation-fee", 22000, "--opening-fee", 3000)
    town.plan(office, begun, "HIKARI", 5200, 24, *hikari)
    town.plan(office, begun, "MONTHLY", 1000, 1)
    town.plan(office, begun, "COMPANY", 8000, 24, "--for", "corporation", "--early-fee", 30000)
    members = {
        "C1": town.member(office, begun, "account-transfer"),
        "C2": town.member(office, begun, "card"),
        "C3": town.member(office, begun, "invoice"),
        "C4": town.member(office, begun, "invoice", "corporation"),
    }
    contracts = {
        "K1": town.contract(office, joined, members["C1"], "HIKARI", joined),
        "K2": town.contract(office, joined, members["C2"], "HIKARI", joined),
        "K3": town.contract(office, joined, members["C3"], "MONTHLY", joined),
        "K4": town.contract(office, "2026-02-02", members["C3"], "HIKARI"),
    }
    office.ok("--today", "2026-02-03", "bill", "run", "--month", "2026-01")
    billed = {each["customer"]: each["number"] for each in town.invoices(office, TODAY)}
    invoices = {f"R{name[1]}": billed[number] for name, number in members.items() if name != "C4"}
    added = office.ok("--today", joined, "mailbox", "add", ADDRESS, "--contract", contracts["K1"])
    return Furnished(office, members | contracts | invoices, added["password"])


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker: str
) -> Iterator[Furnished]:
    """A furnished office that no test may change; one of each kind of database."""
    folder = tmp_path_factory.mktemp("standing")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "isp.db")
        yield furnish(Office(folder, f"sqlite:///{folder / 'isp.db'}"))
        return
    cluster: postgresql.Cluster = request.getfixturevalue("cluster")
    name = f"isp_standing_{worker}"
    cluster.create(name, request.getfixturevalue("postgresql_template"))
    yield furnish(Office(folder, cluster.url(name)))
    cluster.drop(name)


@pytest.fixture
def furnished(request: pytest.FixtureRequest, standing: Furnished, tmp_path: Path) -> Furnished:
    """A copy of the furnished office, to be changed."""
    url = standing.office.database_url
    if url.startswith("sqlite"):
        shutil.copy(standing.office.folder / "isp.db", tmp_path / "isp.db")
        url = f"sqlite:///{tmp_path / 'isp.db'}"
    else:
        make: Callable[[str], str] = request.getfixturevalue("new_postgresql")
        url = make(url.partition("@/")[2].partition("?")[0])
    office = Office(tmp_path, url)
    shutil.copy(standing.office.folder / "isp.key", tmp_path / "isp.key")
    return Furnished(office, standing.numbers, standing.password)


# Keys of every command -----------------------------------------------------------------------------

CUSTOMER = (
    "customer add --name 山田花子 --kana ヤマダハナコ --kind individual --email hana@example.com"
    " --phone 03-1234-5678 --postal-code 100-0001 --address 東京都千代田区千代田1-1"
)
ACCOUNT = (
    "account-transfer --bank 0001 --branch 001 --account-type ordinary --account-number 1234567"
    " --holder ヤマダタロウ"
)
CARD = "card --token tok_9 --brand visa --last4 4242 --expires 2030-04 --holder 'TARO YAMADA'"
CUSTOMER_KEYS = "number kind name kana email phone postal_code address corporate_number"
TERM_KEYS = "concluded_on term_start term_end renewal_month"
CONTRACT_KEYS = f"number status {TERM_KEYS} opened_on charged_from term_number cancellation"
CANCEL_KEYS = (
    "received_on complete last_charged_month in_renewal_month early_termination_fee ends_on"
    " cheapest total"
)
BILL_KEYS = "month contracts invoices net tax gross skipped"
INVOICE_KEYS = "number customer month issued_on due_on method status lines taxes net tax gross"

PROMISED = {
    "plan add NEW --name 新 --monthly-fee 4000 --term-months 12 --early-fee 4000 --opening-fee 1"
    " --free-months 2 --installation-fee 9000 --for consumer": "code monthly_fee term_months"
    " early_fee",
    "plan price HIKARI --monthly-fee 5500 --from 2026-07": "code prices",
    "domain add example.com": "domain",
    CUSTOMER: "number kind",
    "customer show {C1}": CUSTOMER_KEYS,
    "customer set {C1} --phone 090-1234-5678": "number phone",
    f"payment-method set {{C1}} {ACCOUNT}": "customer kind",
    f"payment-method set {{C1}} {CARD}": "customer kind",
    "payment-method set {C1} invoice": "customer kind",
    "contract apply {C1} HIKARI --applied-on 2026-02-01 --concluded-on 2026-02-02": "number status "
    + TERM_KEYS,
    "contract open {K4} --on 2026-02-04": "number status opened_on charged_from",
    "contract show {K1}": CONTRACT_KEYS,
    "contract cancel {K1} --received 2026-02-05": CANCEL_KEYS,
    "contract cancel {K1} --received 2026-02-05 --incomplete": CANCEL_KEYS,
    "contract cancel {K1} --received 2026-02-05 --dry-run": CANCEL_KEYS,
    "contract withdraw {K4} --received 2026-02-05": "number status charges",
    "bill run --month 2026-01": BILL_KEYS,
    "bill run --month 2026-02 --dry-run": BILL_KEYS,
    "bill run --month 2026-01 --workers 2": BILL_KEYS,
    "invoice show {R1}": INVOICE_KEYS,
    "invoice pdf {R1} -o {out}/invoice.pdf": "",
    "debit export --month 2026-01 -o {out}/transfer.txt": "debit_on records amount file",
    "card export --month 2026-01 -o {out}/sales.csv": "sold_on records amount",
    "payment record {R3} --amount 100 --on 2026-02-05 --by bank": "invoice status balance",
    "payment record {R3} --amount 100 --on 2026-02-05 --by convenience-store": "invoice status "
    "balance",
    "payment record {R3} --amount 100 --on 2026-02-05 --by post": "invoice status balance",
    "payment record {R3} --amount 1100 --on 2026-02-05 --by cash": "invoice status balance",
    "mailbox add hana@example.jp --contract {K1} --display-name 花子 --quota-mb 100": "address"
    " password",
    "mailbox reissue taro@example.jp": "address status",
    "mailbox reissue taro@example.jp -o {out}/letter.pdf": "address status",
    "mailbox suspend taro@example.jp": "address status",
    "mailbox remove taro@example.jp": "address status",
    "guide show taro@example.jp --client thunderbird": "client title legacy address settings steps",
    "guide show taro@example.jp --client outlook-2003 --as json": "client title legacy address"
    " settings steps",
    "letter welcome {K1} -o {out}/welcome.pdf": "file",
    "daily": "date steps",
    "check": "ok checked problems",
}

LISTED = {
    "domain list": "domain",
    "customer list": "number kind name",
    "contract list": CONTRACT_KEYS,
    "contract list --status active": CONTRACT_KEYS,
    "contract list --customer {C1}": CONTRACT_KEYS,
    "invoice list": INVOICE_KEYS,
    "invoice list --customer {C1} --month 2026-01": INVOICE_KEYS,
    "mailbox list": "address status",
    "guide list": "client title legacy kind",
}


def name_of(command: str) -> str:
    return " ".join(re.findall(r"^[a-z-]+(?: [a-z-]+)?|--[a-z-]+|-o", command)[:4])


@pytest.mark.parametrize("command", PROMISED, ids=name_of)
def test_a_command_prints_one_object_with_the_keys_promised(
    furnished: Furnished, command: str
) -> None:
    answer = furnished.ok(command)
    assert isinstance(answer, dict)
    assert set(PROMISED[command].split()) <= set(answer)


@pytest.mark.parametrize("command", LISTED, ids=name_of)
def test_a_list_prints_an_array_of_objects_with_the_keys_promised(
    standing: Furnished, command: str
) -> None:
    answer = standing.ok(command)
    assert isinstance(answer, list) and answer
    for each in answer:
        assert set(LISTED[command].split()) <= set(each)


# What is in the answers ----------------------------------------------------------------------------


@pytest.mark.req("ISP-08")
def test_numbers_have_the_prefixes_of_the_policy(standing: Furnished) -> None:
    for name, number in standing.numbers.items():
        assert re.fullmatch(rf"{name[0]}\d{{8}}", number)


def test_money_is_integers_dates_and_months_are_text(standing: Furnished) -> None:
    invoice = standing.ok("invoice show {R1}")
    assert invoice["month"] == "2026-01" and invoice["issued_on"] == "2026-02-03"
    for amount in (invoice["net"], invoice["tax"], invoice["gross"]):
        assert type(amount) is int
    for line in invoice["lines"]:
        assert set(line) >= {"kind", "description", "contract", "net", "tax_rate"}
        assert type(line["net"]) is int and type(line["tax_rate"]) is int
    assert [set(tax) >= {"rate", "net", "tax"} for tax in invoice["taxes"]] == [True]
    contract = standing.ok("contract show {K1}")
    assert (contract["charged_from"], contract["term_start"]) == ("2026-01", "2026-01")
    assert (contract["term_end"], contract["renewal_month"]) == ("2027-12", "2028-01")


@pytest.mark.req("ISP-05", "ISP-06", "ISP-07")
def test_isp_05_the_first_invoices_by_method(standing: Furnished) -> None:
    by_transfer, by_card, by_invoice = (standing.ok(f"invoice show {{R{n}}}") for n in (1, 2, 3))
    assert town.lines(by_transfer) == {"monthly": 5200, "opening": 3000, "transfer-fee": 200}
    assert town.lines(by_card) == {"monthly": 5200, "opening": 3000}
    assert town.lines(by_invoice) == {"monthly": 1000}
    assert [line["contract"] for line in by_transfer["lines"]] == [
        *(standing.numbers["K1"], standing.numbers["K1"], None),
    ]
    methods = [each["method"] for each in (by_transfer, by_card, by_invoice)]
    assert methods == ["account-transfer", "card", "invoice"]
    # 23 February 2026 is a holiday; 28 February is a Saturday, and 1 March a Sunday.
    due = [each["due_on"] for each in (by_transfer, by_card, by_invoice)]
    assert due == ["2026-02-24", "2026-01-31", "2026-03-02"]
    assert by_transfer["taxes"] == [{"rate": 10, "net": 8400, "tax": 840}]
    assert by_transfer["gross"] == 9240 and by_transfer["status"] == "open"


@pytest.mark.parametrize(("rounding", "tax"), [("floor", 31), ("half-up", 32), ("ceil", 32)])
def test_all_01_tax_is_rounded_once_a_rate_by_policy(
    office: Office, rounding: str, tax: int
) -> None:
    """Three lines of 105 yen are 31 yen of tax, never 30."""
    text = office.config.read_text("utf-8")
    assert 'rounding = "floor"' in text
    office.config.write_text(text.replace('"floor"', f'"{rounding}"'), "utf-8")
    town.plan(office, "2026-01-05", "SMALL", 105, 1)
    customer = town.member(office, "2026-01-05", "invoice")
    for _ in range(3):
        town.contract(office, "2026-01-05", customer, "SMALL", "2026-01-05")
    office.ok("--today", "2026-02-03", "bill", "run", "--month", "2026-01")
    [invoice] = town.invoices(office, "2026-02-03")
    assert invoice["taxes"] == [{"rate": 10, "net": 315, "tax": tax}]
    assert invoice["gross"] == 315 + tax


@pytest.mark.req("ISP-10")
@pytest.mark.parametrize(
    ("today", "number", "start", "end", "renewal"),
    [
        ("2026-04-10", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-03-31", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-04-01", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-04-30", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-05-01", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-04-30", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-05-01", 3, "2030-04", "2032-03", "2032-04"),
    ],
)
def test_isp_10_the_term_shown_is_the_one_running_today(
    furnished: Furnished, today: str, number: int, start: str, end: str, renewal: str
) -> None:
    contract = town.contract(furnished.office, "2026-04-10", furnished.numbers["C1"], "HIKARI")
    shown = furnished.ok(f"contract show {contract}", today)
    assert (shown["term_number"], shown["term_start"], shown["term_end"]) == (number, start, end)
    assert shown["renewal_month"] == renewal and shown["cancellation"] is None


@pytest.mark.req("ISP-10", "ISP-11")
def test_isp_10_a_term_of_one_month_is_always_in_its_renewal_month_after_the_first(
    standing: Furnished,
) -> None:
    ask = "contract cancel {K3} --dry-run --received"
    assert standing.ok(f"{ask} 2026-01-20", "2026-01-20")["in_renewal_month"] is False
    for day in ("2026-02-01", "2026-03-31", "2027-12-16"):
        assert standing.ok(f"{ask} {day}", day)["in_renewal_month"] is True
    shown = standing.ok("contract show {K3}", "2026-03-05")
    assert (shown["term_start"], shown["term_end"]) == ("2026-02", "2026-02")
    assert shown["renewal_month"] == "2026-03"


@pytest.mark.req("ISP-09", "ISP-12")
def test_isp_12_the_quote_for_leaving(standing: Furnished) -> None:
    """By the 15th: February alone; from the 16th also March, and one part less of installation."""
    by_15th = standing.ok("contract cancel {K1} --received 2026-02-15 --dry-run", "2026-02-15")
    assert by_15th["last_charged_month"] == "2026-02" and by_15th["ends_on"] == "2026-02-28"
    assert by_15th["early_termination_fee"] == 5200 and by_15th["in_renewal_month"] is False
    installation = 22000 * 23 // 24
    assert by_15th["total"] == (5200 + installation) * 110 // 100 + 5200
    from_16th = standing.ok("contract cancel {K1} --received 2026-02-16 --dry-run", "2026-02-16")
    assert (from_16th["last_charged_month"], from_16th["ends_on"]) == ("2026-03", "2026-03-31")
    installation = 22000 * 22 // 24
    assert from_16th["total"] == 5720 + (5200 + installation) * 110 // 100 + 5200
    # Staying to the renewal month costs 20 more months; the first days of leaving are dearer.
    assert set(from_16th["cheapest"]) == {"received_on", "total"}
    assert standing.ok("contract show {K1}")["cancellation"] is None


@pytest.mark.req("ISP-09")
def test_isp_09_an_incomplete_application_counts_from_its_completion(
    furnished: Furnished,
) -> None:
    first = furnished.ok("contract cancel {K1} --received 2026-02-05 --incomplete")
    assert first["complete"] is False
    waiting = furnished.ok("contract show {K1}")
    assert waiting["status"] == "active" and waiting["cancellation"]["complete"] is False
    done = furnished.ok("contract cancel {K1} --received 2026-02-16", "2026-02-16")
    assert (done["complete"], done["last_charged_month"]) == (True, "2026-03")
    assert furnished.ok("contract show {K1}")["status"] == "cancelling"


def test_status_words_of_a_contract(furnished: Furnished) -> None:
    def status() -> str:
        return str(furnished.ok("contract show {K1}")["status"])

    assert furnished.ok("contract show {K4}")["status"] == "applied"
    assert status() == "active"
    assert furnished.ok("contract suspend {K1}")["status"] == status() == "suspended"
    assert furnished.ok("contract resume {K1}")["status"] == status() == "active"
    furnished.ok("contract cancel {K1} --received 2026-02-05")
    assert status() == "cancelling"
    furnished.ok("daily", "2026-03-01")
    assert status() == "ended"
    assert furnished.ok("contract withdraw {K4} --received 2026-02-05")["status"] == "withdrawn"
    for word in ("applied", "active", "suspended", "cancelling", "ended", "withdrawn"):
        found = furnished.ok(f"contract list --status {word}")
        assert {each["status"] for each in found} <= {word}
    assert furnished.refused("contract list --status gone").startswith("status: ")


@pytest.mark.req("ISP-07")
def test_isp_07_status_words_of_an_invoice(furnished: Furnished) -> None:
    def status(invoice: str) -> str:
        return str(furnished.ok(f"invoice show {invoice}")["status"])

    assert status("{R1}") == "open"
    asked = furnished.ok("debit export --month 2026-01 -o {out}/transfer.txt")
    assert (asked["debit_on"], asked["records"], asked["amount"]) == ("2026-02-24", 1, 9240)
    assert status("{R1}") == "collecting"
    customer, file = furnished.numbers["C1"], furnished.office.folder / "transfer.txt"
    outside.bank_answers(file, outside.Purse(), {customer: "1"})
    answer = furnished.ok("debit import {out}/transfer-result.txt", "2026-02-25")
    assert (answer["paid"], len(answer["failed"])) == (0, 1)
    [failed] = answer["failed"]
    assert failed["customer"] == customer and failed["invoice"] == furnished.numbers["R1"]
    assert (failed["amount"], failed["code"]) == (9240, "1") and failed["reason"]
    assert status("{R1}") == "failed"
    part = furnished.ok("payment record {R1} --amount 9000 --on 2026-02-26 --by bank", "2026-02-26")
    assert (part["status"], part["balance"]) == ("failed", 240)
    rest = furnished.ok("payment record {R1} --amount 240 --on 2026-02-27 --by cash", "2026-02-27")
    assert (rest["invoice"], rest["status"], rest["balance"]) == (
        *(furnished.numbers["R1"], "paid", 0),
    )
    furnished.ok("invoice void {R3} --reason wrong")
    assert status("{R3}") == "void"


def test_card_files_answer_with_the_keys_promised(furnished: Furnished) -> None:
    sold = furnished.ok("card export --month 2026-01 -o {out}/sales.csv")
    assert (sold["sold_on"], sold["records"], sold["amount"]) == ("2026-01-31", 1, 9020)
    outside.card_company_answers(furnished.office.folder / "sales.csv", outside.Purse())
    answer = furnished.ok("card import {out}/sales-result.csv", "2026-02-20")
    assert (answer["sold_on"], answer["records"], answer["amount"]) == ("2026-01-31", 1, 9020)
    assert furnished.ok("invoice show {R2}")["status"] == "paid"


@pytest.mark.req("ALL-03")
def test_all_03_files_given_out_and_answered_are_in_the_journal(furnished: Furnished) -> None:
    folder = furnished.office.folder
    furnished.ok("debit export --month 2026-01 -o {out}/transfer.txt")
    outside.bank_answers(folder / "transfer.txt", outside.Purse())
    furnished.ok("debit import {out}/transfer-result.txt", "2026-02-24")
    furnished.ok("card export --month 2026-01 -o {out}/sales.csv")
    outside.card_company_answers(folder / "sales.csv", outside.Purse())
    furnished.ok("card import {out}/sales-result.csv", "2026-02-24")
    acts = [(each["act"], each["after"]["channel"]) for each in furnished.ok("journal --last 4")]
    assert acts == [
        ("batch.exported", "account-transfer"),
        ("batch.imported", "account-transfer"),
        ("batch.exported", "card"),
        ("batch.imported", "card"),
    ]


@pytest.mark.req("ALL-02")
def test_all_02_bill_run_bills_once_and_says_what_it_skipped(furnished: Furnished) -> None:
    again = furnished.ok("bill run --month 2026-01")
    assert (again["invoices"], again["gross"], again["skipped"]) == (0, 0, 3)
    dry = furnished.ok("bill run --month 2026-02 --dry-run")
    assert (dry["month"], dry["contracts"], dry["invoices"]) == ("2026-02", 3, 3)
    assert dry["net"] == 5200 + 5200 + 1000 + 200 and dry["gross"] == dry["net"] + dry["tax"]
    assert len(furnished.ok("invoice list")) == 3
    assert furnished.refused("bill run --month 2026-02").startswith("month: ")
    real = furnished.ok("bill run --month 2026-02", "2026-03-01")
    complete = furnished.ok("journal 2026-02")[-1]
    assert (complete["act"], complete["after"]["month"]) == ("month.complete", "2026-02")
    assert {key: real[key] for key in ("contracts", "invoices", "net", "tax", "gross")} == {
        key: dry[key] for key in ("contracts", "invoices", "net", "tax", "gross")
    }


@pytest.mark.req("ISP-02")
@pytest.mark.parametrize(("today", "ended"), [("2026-02-28", False), ("2026-03-01", True)])
def test_isp_02_a_month_is_billed_from_the_day_after_its_last(
    furnished: Furnished, today: str, ended: bool
) -> None:
    if ended:
        assert furnished.ok("bill run --month 2026-02", today)["invoices"] == 3
    else:
        assert furnished.refused("bill run --month 2026-02", today).startswith("month: ")


@pytest.mark.req("ISP-13")
def test_isp_13_the_law_counts_from_the_first_of_july_2022(furnished: Furnished) -> None:
    """A plan of before may cost more to leave; it is sold to no consumer any more."""
    plan = "plan add OLD --name 旧 --monthly-fee 4000 --term-months 24 --early-fee 20000"
    assert furnished.refused(plan).startswith("early_fee: ")
    furnished.ok(f"{plan} --sold-until 2022-12-31", "2022-06-01")
    apply = "contract apply {C1} OLD --concluded-on"
    before = furnished.ok(f"{apply} 2022-06-30", "2022-06-30")["number"]
    assert furnished.refused(f"{apply} 2022-07-01", "2022-07-01").startswith("early_fee: ")
    furnished.ok("contract apply {C4} OLD --concluded-on 2022-07-01", "2022-07-01")
    ask = f"contract cancel {before} --dry-run --received"
    assert furnished.ok(f"{ask} 2023-01-10", "2023-01-10")["early_termination_fee"] == 20000
    assert furnished.ok(f"{ask} 2024-06-10", "2024-06-10")["early_termination_fee"] == 0


@pytest.mark.req("ISP-01", "EQ-01")
def test_isp_01_a_password_is_printed_once_and_stored_nowhere(furnished: Furnished) -> None:
    added = furnished.ok("mailbox add hana@example.jp --contract {K1}")["password"]
    again = furnished.ok("mailbox reissue hana@example.jp")
    assert again["password"] != added
    by_letter = furnished.ok("mailbox reissue hana@example.jp -o {out}/letter.pdf")
    assert "password" not in by_letter
    letter = furnished.office.folder / "letter.pdf"
    assert letter.stat().st_mode & 0o777 == 0o600 and letter.read_bytes().startswith(PDF)
    furnished.ok("letter welcome {K1} -o {out}/welcome.pdf")
    for command in ("suspend", "resume", "remove"):
        assert "password" not in furnished.ok(f"mailbox {command} hana@example.jp")
    stored = repr(furnished.everything())
    assert "hana@example.jp" in stored
    for secret in (added, again["password"], furnished.password):
        assert secret not in stored


def test_files_made_are_what_they_say(furnished: Furnished) -> None:
    folder = furnished.office.folder
    furnished.ok("invoice pdf {R1} -o {out}/invoice.pdf")
    assert furnished.numbers["R1"] in paper.text((folder / "invoice.pdf").read_bytes())
    letter = furnished.ok("letter welcome {K1} -o {out}/welcome.pdf")
    assert letter["file"] == str(folder / "welcome.pdf")
    assert ADDRESS in paper.text((folder / "welcome.pdf").read_bytes())
    for form, begins in (("html", b"<!"), ("text", b""), ("pdf", PDF), ("json", b"{")):
        file = folder / f"guide.{form}"
        furnished.ok(f"guide show {ADDRESS} --client thunderbird --as {form} -o {file}")
        assert file.read_bytes().startswith(begins)
        if form != "pdf":
            assert ADDRESS in file.read_text("utf-8")
    shown = json.loads((folder / "guide.json").read_text("utf-8"))
    assert shown["client"] == "thunderbird" and shown["address"] == ADDRESS


@pytest.mark.req("ISP-17")
def test_isp_17_a_guide_as_json_has_settings_and_steps(standing: Furnished) -> None:
    for legacy, client in ((False, "thunderbird"), (True, "outlook-2003")):
        guide = standing.ok(f"guide show {ADDRESS} --client {client} --as json")
        assert (guide["client"], guide["legacy"], guide["address"]) == (client, legacy, ADDRESS)
        settings = guide["settings"]
        assert settings["address"] == settings["username"] == ADDRESS
        assert settings["display_name"] == "山田太郎"
        assert {"pop3", "imap"} == {each["protocol"] for each in settings["incoming"]}
        for each in settings["incoming"]:
            assert set(each) >= {"protocol", "host", "port", "security"}
        assert set(settings["outgoing"]) >= {"host", "port", "security", "authentication"}
        assert settings["outgoing"]["port"] == 587
        assert guide["steps"] and all(
            set(step) >= {"path", "fields", "text"} for step in guide["steps"]
        )
    kinds = {each["kind"] for each in standing.ok("guide list")}
    assert kinds <= {"mail", "connection"} and "mail" in kinds


def test_daily_names_its_steps(furnished: Furnished) -> None:
    first = furnished.ok("daily")
    assert first["date"] == TODAY
    assert all(set(step) >= {"name", "done", "skipped"} for step in first["steps"])
    again = furnished.ok("daily")
    assert [step["name"] for step in again["steps"]] == [step["name"] for step in first["steps"]]
    assert {step["done"] for step in again["steps"]} == {0}


def test_check_proves_and_says_how_much(standing: Furnished) -> None:
    proof = standing.ok("check")
    assert proof["ok"] is True and proof["problems"] == [] and proof["checked"] > 20


# Files that come in --------------------------------------------------------------------------------

CUSTOMERS = (
    "number,name,kana,kind,email,phone,postal_code,address,corporate_number,payment,bank,branch,"
    "account_type,account_number,holder,card_token,card_brand,card_last4,card_expires"
)
GOOD_CUSTOMERS = [
    "C00000900,山田一郎,ヤマダイチロウ,individual,a@example.com,03-1111-1111,100-0001,東京都千代田区"
    "千代田1-1,,account-transfer,0001,001,ordinary,7654321,ヤマダイチロウ,,,,",
    ",山田二郎,ヤマダジロウ,sole-proprietor,b@example.com,0311111112,1000001,東京都千代田区千代田1-2"
    ",,card,,,,,JIRO YAMADA,tok_2,visa,4242,2030-01",
    f",株式会社青葉,アオバ,corporation,c@example.com,03-1111-1113,100-0001,東京都千代田区千代田1-3,"
    f"{town.COMPANY},invoice,,,,,,,,,",
]
MINIMAL = "name,kana,kind,email,phone,postal_code,address"


def csv_file(folder: Path, *rows: str, bom: bool = False) -> Path:
    file = folder / "in.csv"
    file.write_text("\n".join([*rows, ""]), "utf-8-sig" if bom else "utf-8")
    return file


@pytest.mark.req("ISP-03", "ISP-08")
@pytest.mark.parametrize("bom", [False, True])
def test_customers_come_in_with_every_column(furnished: Furnished, bom: bool) -> None:
    file = csv_file(furnished.office.folder, CUSTOMERS, *GOOD_CUSTOMERS, bom=bom)
    before = furnished.everything()
    assert furnished.ok(f"customer import {file} --dry-run")["imported"] == 3
    assert furnished.everything() == before
    assert furnished.ok(f"customer import {file}")["imported"] == 3
    kept = furnished.ok("customer show C00000900")
    assert (kept["name"], kept["payment_method"]["kind"]) == ("山田一郎", "account-transfer")
    by_name = {each["name"]: each for each in furnished.ok("customer list")}
    assert by_name["山田二郎"]["kind"] == "sole-proprietor"
    company = furnished.ok(f"customer show {by_name['株式会社青葉']['number']}")
    assert company["corporate_number"] == town.COMPANY


def test_customers_come_in_with_the_needed_columns_alone_in_any_order(
    furnished: Furnished,
) -> None:
    header = ",".join(reversed(MINIMAL.split(",")))
    row = "東京都千代田区千代田1-1,100-0001,03-1111-1111,a@example.com,individual,ヤマダ,山田一郎"
    file = csv_file(furnished.office.folder, header, row)
    assert furnished.ok(f"customer import {file}")["imported"] == 1


@pytest.mark.req("ALL-04")
def test_all_04_every_bad_row_is_named_and_none_comes_in(furnished: Furnished) -> None:
    bad_kind = GOOD_CUSTOMERS[0].replace("individual", "person").replace("900", "901")
    bad_bank = GOOD_CUSTOMERS[0].replace(",0001,001,", ",9999,999,").replace("900", "902")
    rows = [GOOD_CUSTOMERS[0], bad_kind, GOOD_CUSTOMERS[1], bad_bank]
    file = csv_file(furnished.office.folder, CUSTOMERS, *rows)
    before = furnished.everything()
    answer = furnished.office("--today", TODAY, "customer", "import", file)
    assert (answer.exit_code, answer.stdout) == (2, "")
    told = answer.stderr.splitlines()
    assert all(line.startswith("Error: ") for line in told)
    assert "line 3" in told[0] and "kind" in told[0]
    assert "line 5" in told[1] and "bank" in told[1]
    assert not any("line 2" in line or "line 4" in line for line in told)
    assert furnished.everything() == before


CONTRACTS = "number,customer,plan,applied_on,concluded_on,opened_on"


@pytest.mark.req("ISP-10")
def test_contracts_come_in_with_every_column(furnished: Furnished) -> None:
    customer = furnished.numbers["C1"]
    file = csv_file(
        *(furnished.office.folder, CONTRACTS),
        f"K00000900,{customer},HIKARI,2024-03-01,2024-03-05,2024-03-20",
        f",{customer},MONTHLY,,2026-02-01,",
    )
    assert furnished.ok(f"contract import {file} --dry-run")["imported"] == 2
    assert furnished.ok(f"contract import {file}")["imported"] == 2
    kept = furnished.ok("contract show K00000900")
    assert (kept["status"], kept["charged_from"]) == ("active", "2024-03")
    assert (kept["term_end"], kept["renewal_month"]) == ("2026-02", "2026-03")
    statuses = {each["plan"]: each["status"] for each in furnished.ok("contract list")[-2:]}
    assert statuses == {"HIKARI": "active", "MONTHLY": "applied"}


@pytest.mark.req("ALL-04")
def test_all_04_bad_contracts_are_named_and_none_comes_in(furnished: Furnished) -> None:
    customer = furnished.numbers["C1"]
    file = csv_file(
        *(furnished.office.folder, "customer,plan,concluded_on"),
        f"{customer},HIKARI,2026-02-01",
        f"{customer},NONE,2026-02-01",
        "C99999999,HIKARI,2026-02-01",
        f"{customer},HIKARI,2026-02-30",
    )
    before = furnished.everything()
    answer = furnished.office("--today", TODAY, "contract", "import", file)
    assert (answer.exit_code, answer.stdout) == (2, "")
    told = answer.stderr.splitlines()
    for line, field in ((3, "plan"), (4, "customer"), (5, "concluded_on")):
        assert any(f"line {line}:" in each and field in each for each in told)
    assert furnished.everything() == before


def test_mailboxes_come_in_with_every_column(furnished: Furnished) -> None:
    contract, folder = furnished.numbers["K2"], furnished.office.folder
    kept = "{SHA512-CRYPT}" + "$6$saltsaltsalt$" + "a" * 86
    file = csv_file(
        *(folder, "address,contract,display_name,quota_mb,password_hash"),
        f"one@example.jp,{contract},一,100,{kept}",
        f"two@example.jp,{contract},,,",
    )
    assert furnished.refused(f"mailbox import {file}").startswith("o: ")
    furnished.ok(f"mailbox import {file} --dry-run")
    assert len(furnished.ok("mailbox list")) == 1
    furnished.ok(f"mailbox import {file} -o {folder}/passwords.csv")
    by_address = {each["address"]: each for each in furnished.ok("mailbox list")}
    assert by_address["one@example.jp"]["quota_mb"] == 100
    assert by_address["two@example.jp"]["status"] == "active"
    header, row = (folder / "passwords.csv").read_text("utf-8").splitlines()
    assert header == "address,password" and re.fullmatch(r"two@example\.jp,\S{8,}", row)
    assert (folder / "passwords.csv").stat().st_mode & 0o777 == 0o600


# Refusals ------------------------------------------------------------------------------------------

REFUSED = {
    "plan add HIKARI --name x --monthly-fee 1 --term-months 1": "code",
    "plan add X --name x --monthly-fee 1000 --term-months 24 --early-fee 1001": "early_fee",
    "plan add X --name x --monthly-fee ten --term-months 24": "monthly",
    "plan add X --name x --monthly-fee 1000 --term-months 0": "term_months",
    "plan add X --name x --monthly-fee -1 --term-months 1": "monthly_fee",
    "plan add X --name x --monthly-fee 1000 --term-months 1 --for nobody": "for",
    "plan price HIKARI --monthly-fee 5000 --from 2026-01": "from",
    "plan price HIKARI --monthly-fee 5000 --from 2026-13": "from",
    "plan price NONE --monthly-fee 5000 --from 2026-07": "plan",
    CUSTOMER.replace("individual", "person"): "kind",
    CUSTOMER.replace("hana@example.com", "hana"): "email",
    CUSTOMER.replace("03-1234-5678", "123"): "phone",
    CUSTOMER.replace("100-0001", "1000"): "postal_code",
    CUSTOMER.replace("ヤマダハナコ", "山田"): "kana",
    CUSTOMER.replace("individual", "corporation"): "corporate_number",
    CUSTOMER.replace("individual", "corporation --corporate-number 1234567890123"): "corporate",
    "customer show C99999999": "customer",
    "customer set {C1} --email nowhere": "email",
    f"payment-method set {{C1}} {ACCOUNT.replace('0001', '9999')}": "bank",
    f"payment-method set {{C1}} {ACCOUNT.replace('1234567', '12345678')}": "account_number",
    f"payment-method set {{C1}} {CARD.replace('visa', 'discover')}": "brand",
    f"payment-method set {{C1}} {CARD.replace('2030-04', '2026-01')}": "expires",
    f"payment-method set {{C1}} {CARD.replace('tok_9', '4242424242424242')}": "token",
    f"payment-method set {{C1}} {CARD.replace('--last4 4242', '')}": "last4",
    "payment-method set {C1} cheque": "kind",
    "contract apply {C1} NONE --concluded-on 2026-02-05": "plan",
    "contract apply {C1} COMPANY --concluded-on 2026-02-05": "plan",
    "contract apply {C1} HIKARI --concluded-on 2026-02-31": "concluded_on",
    "contract apply {C1} HIKARI": "concluded_on",
    "contract apply {C1} HIKARI --applied-on 2026-02-05 --concluded-on 2026-02-04": "applied_on",
    "contract open {K1} --on 2026-02-05": "status",
    "contract open {K4} --on 2026-02-01": "on",
    "contract show K99999999": "contract",
    "contract cancel {K1} --received 2026-02-06": "received",
    "contract cancel {K1} --received 2026-01-01": "received",
    "contract withdraw {K1} --received 2026-02-05": "received",
    "bill run --month 2026-02": "month",
    "bill run --month 26-02": "month",
    "invoice show R99999999": "invoice",
    "invoice pdf {R2} -o {out}/card.pdf": "invoice",
    "debit export --month 2026-02 -o {out}/none.txt": "month",
    "card export --month 2026-02 -o {out}/none.csv": "month",
    "debit import {out}/isp.toml": "file",
    "debit import {out}/nowhere.txt": "file",
    "card import {out}/isp.toml": "file",
    "payment record {R1} --amount 0 --on 2026-02-05 --by bank": "amount",
    "payment record {R3} --amount 99999 --on 2026-02-05 --by bank": "amount",
    "payment record {R1} --amount 1 --on 2026-02-06 --by bank": "on",
    "payment record {R1} --amount 1 --on 2026-02-05 --by cheque": "by",
    "domain add example.jp": "domain",
    "domain add not_a_domain": "domain",
    "mailbox add taro@example.jp --contract {K1}": "address",
    "mailbox add jiro@elsewhere.jp --contract {K1}": "address",
    "mailbox add jiro@example.jp --contract K99999999": "contract",
    "mailbox add jiro@example.jp --contract {K1} --quota-mb 0": "quota_mb",
    "mailbox resume taro@example.jp": "status",
    "mailbox reissue nobody@example.jp": "address",
    "guide show taro@example.jp --client eudora": "client",
    "guide show nobody@example.jp --client thunderbird": "address",
    "letter welcome K99999999 -o {out}/w.pdf": "contract",
    "customer import {out}/nowhere.csv": "file",
    "customer import {out}/isp.toml": "file",
}


@pytest.fixture(scope="session")
def untouched(standing: Furnished) -> dict[str, list[Any]]:
    """All that is stored before anything was refused."""
    return standing.everything()


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize("command", REFUSED, ids=lambda each: each[:60])
def test_all_04_a_refusal_is_one_line_exit_code_2_and_changes_nothing(
    standing: Furnished, untouched: dict[str, list[Any]], command: str
) -> None:
    why = standing.refused(command)
    field, colon, what = why.partition(": ")
    assert REFUSED[command] in field and colon and len(what) > 5
    assert standing.everything() == untouched


# The command as scripts call it --------------------------------------------------------------------

ISP = Path(sys.executable).with_name("isp")


@dataclass(frozen=True)
class Script:
    """A script in a folder of its own that calls `isp` with nothing around it."""

    folder: Path

    def __call__(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ISP_")}
        return subprocess.run(
            [str(ISP), *map(str, words)],
            cwd=self.folder,
            env=clean | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *words: object, **environment: str) -> Any:
        done = self("--format", "json", *words, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def add_customer(*more: str) -> list[str]:
    return [*shlex.split(CUSTOMER), *more]


def test_init_writes_what_works_as_it_is(script: Script) -> None:
    started = script("--format", "json", "init")
    assert started.returncode == 0
    answer = json.loads(started.stdout)
    assert set(answer) >= {"config", "database", "profile"}
    assert answer["profile"] == "consumer-isp" and (script.folder / "isp.toml").exists()
    assert "EXAMPLE" in started.stderr
    assert [file.suffix for file in script.folder.glob("*.db")] == [".db"]
    assert script.json("domain", "list")[0]["domain"]
    joined = script.json("--today", "2026-04-10", *add_customer())
    assert joined["number"].startswith("C")
    assert script.json("check")["ok"] is True
    again = script("init")
    assert again.returncode == 2 and "exists already" in again.stderr


@pytest.mark.parametrize("how", ["--database", "ISP_DATABASE_URL"])
def test_init_takes_a_database_by_url(script: Script, empty_url: str, how: str) -> None:
    words, environment = (
        (("--database", empty_url), {}) if how == "--database" else ((), {how: empty_url})
    )
    assert script.json("init", *words, **environment)["database"]
    assert script.json("--today", "2026-04-10", *add_customer(), **environment)["number"]
    assert len(script.json("customer", "list", **environment)) == 1


def test_init_knows_profiles(script: Script) -> None:
    refused = script("init", "--profile", "nobody")
    assert refused.returncode == 2 and refused.stderr.startswith("Error: profile: ")
    assert list(script.folder.iterdir()) == []
    assert script.json("init", "--profile", "consumer-isp")["profile"] == "consumer-isp"


@pytest.fixture(scope="session")
def office_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an office that `isp init` has made, to be copied."""
    folder = tmp_path_factory.mktemp("init")
    assert Script(folder)("init").returncode == 0
    return folder


@pytest.fixture
def started(office_made: Path, script: Script) -> Script:
    """A script in an office that `isp init` has made."""
    shutil.copytree(office_made, script.folder, dirs_exist_ok=True)
    return script


def test_options_come_from_the_environment_too(started: Script, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    away = Script(elsewhere)
    environment = {"ISP_CONFIG": str(tmp_path / "isp.toml"), "ISP_FORMAT": "json"}
    done = away(*add_customer(), ISP_TODAY="2026-04-10", **environment)
    assert json.loads(done.stdout)["joined_on"] == "2026-04-10"
    done = away("--config", tmp_path / "isp.toml", "--format", "json", "customer", "list")
    assert len(json.loads(done.stdout)) == 1
    titles = [
        json.loads(away("guide", "list", ISP_LANG=lang, **environment).stdout)[0]["title"]
        for lang in ("ja", "en")
    ]
    assert titles[0] != titles[1] and titles[1].isascii()
    assert titles[1] == away.json("--lang", "en", "guide", "list", **environment)[0]["title"]


def test_a_database_url_in_the_environment_wins_over_the_config(
    started: Script, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "other.db")
    other = {"ISP_DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    started.json("--today", "2026-04-10", *add_customer(), **other)
    assert len(started.json("customer", "list", **other)) == 1
    assert started.json("customer", "list") == []


@pytest.mark.parametrize(
    ("words", "environment", "day"),
    [
        (("--today", "2026-04-10"), {}, "2026-04-10"),
        ((), {"ISP_TODAY": "2026-04-10"}, "2026-04-10"),
        (("--now", "2026-11-15T23:59:59"), {}, "2026-11-15"),
        ((), {"ISP_NOW": "2026-11-15T23:59:59"}, "2026-11-15"),
        (("--now", "2026-11-15T15:00:00+00:00"), {}, "2026-11-16"),  # midnight in Japan
        (("--now", "2026-11-15T23:59:59Z"), {}, "2026-11-16"),
        (("--today", "2026-04-11"), {"ISP_TODAY": "2026-04-10"}, "2026-04-11"),
        (("--now", "2026-11-15T23:59:59"), {"ISP_TODAY": "2026-04-10"}, "2026-11-15"),
        (("--today", "2026-04-10"), {"ISP_NOW": "2026-11-15T23:59:59"}, "2026-04-10"),
        (("--today", "2026-11-15", "--now", "2026-11-15T23:59:59"), {}, "2026-11-15"),
    ],
)
def test_the_business_date(
    started: Script, words: tuple[str, ...], environment: dict[str, str], day: str
) -> None:
    """What the command line says wins over the environment, and an instant implies its day."""
    assert started.json(*words, *add_customer(), **environment)["joined_on"] == day


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--today", "2026-02-30", "customer", "list"), "today"),
        (("--today", "tomorrow", "customer", "list"), "today"),
        (("--now", "noon", "customer", "list"), "now"),
        (("--today", "2026-04-10", "--now", "2026-04-11T00:00:00", "customer", "list"), "today"),
        (("--format", "xml", "customer", "list"), "format"),
        (("--lang", "fr", "customer", "list"), "lang"),
        (("customer", "sell"), "command"),
        (("nonsense",), "command"),
        (("customer", "list", "--nonsense"), "command"),
        (("customer", "add"), "name"),
        (("customer", "show"), "number"),
    ],
)
def test_all_04_a_wrong_word_is_one_line_and_exit_code_2(
    started: Script, words: tuple[str, ...], field: str
) -> None:
    done = started(*words)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert re.match(rf"Error: {field}: \S", line)


def test_a_fault_is_one_line_and_exit_code_1(started: Script) -> None:
    for name, value in (
        ("ISP_CONFIG", "nowhere.toml"),
        ("ISP_DATABASE_URL", "sqlite:////nowhere/isp.db"),
        ("ISP_DATABASE_URL", f"sqlite:///{started.folder}/isp.toml"),
        ("ISP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/isp"),
    ):
        done = started("customer", "list", **{name: value})
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.splitlines()
        assert line.startswith("Error: ")


@pytest.mark.parametrize(
    "command",
    [
        "invoice pdf {R1} -o {out}/none/i.pdf",
        "invoice html {R1} -o {out}/none/i.html",
        "letter contract {K1} -o {out}/none/l.pdf",
        "letter renewal {K1} -o {out}/none/l.pdf",
        "letter welcome {K1} -o {out}/none/l.pdf",
        "guide show taro@example.jp --client thunderbird -o {out}/none/g.pdf",
        "debit export --month 2026-01 -o {out}/none/d.txt",
        "card export --month 2026-01 -o {out}/none/d.csv",
        "mailbox reissue taro@example.jp -o {out}/none/l.pdf",
        "db backup {out}/none/b.backup",
    ],
    ids=name_of,
)
def test_a_file_that_cannot_be_written_is_one_line_and_changes_nothing(
    standing: Furnished, untouched: dict[str, list[Any]], command: str
) -> None:
    answer = standing.office("--today", TODAY, *standing.words(command))
    assert answer.exit_code in (1, 2) and answer.stdout == ""
    [line] = answer.stderr.splitlines()
    assert line.startswith("Error: ")
    assert standing.everything() == untouched


def test_json_stands_alone_on_standard_output_and_notes_on_standard_error(
    started: Script,
) -> None:
    done = started(
        "--format",
        "json",
        "--today",
        "2026-04-10",
        "bill",
        "run",
        "--month",
        "2026-04",
        "--dry-run",
    )
    assert json.loads(done.stdout)["month"] == "2026-04"
    assert "dry run" in done.stderr and "\x1b" not in done.stderr + done.stdout


def test_csv_has_a_header_and_a_row_each(started: Script) -> None:
    started.json("--today", "2026-04-10", *add_customer())
    done = started("customer", "list", ISP_FORMAT="csv")
    header, row = done.stdout.splitlines()
    assert header.split(",")[:2] == ["number", "kind"] and row.startswith("C00000001,individual")
    table = started("customer", "list")
    assert "C00000001" in table.stdout and "山田花子" in table.stdout
    assert not table.stdout.lstrip().startswith(("[", "{"))


def test_backup_and_restore(started: Script) -> None:
    started.json("--today", "2026-04-10", *add_customer())
    started.json("db", "backup", "one.backup")
    started.json("--today", "2026-04-11", *add_customer())
    assert len(started.json("customer", "list")) == 2
    started.json("db", "restore", "one.backup")
    assert len(started.json("customer", "list")) == 1
    assert started("db", "upgrade").returncode == 0
    assert started.json("check")["ok"] is True


def test_help_is_there_for_every_command_promised(started: Script) -> None:
    page = started("--help").stdout
    for group in (
        "init",
        "demo",
        "plan",
        "domain",
        "customer",
        "payment-method",
        "contract",
        "bill",
        "invoice",
        "debit",
        "card",
        "payment",
        "mailbox",
        "guide",
        "letter",
        "daily",
        "check",
        "smtpd",
        "db",
    ):
        assert re.search(rf"^  {group}\b", page, re.MULTILINE), group
