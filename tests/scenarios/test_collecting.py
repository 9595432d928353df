"""Collecting: the bank's codes, mandates, cards, late payers, corrections, two contracts a house."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import outside
import pytest
import town
from office import Office

BEGUN = "2026-01-05"


@pytest.fixture
def begun(office: Office) -> Office:
    town.plan(office, BEGUN, "MONTHLY", 1000, 1)
    return office


def joined(office: Office, method: str, plan: str = "MONTHLY") -> str:
    member = town.member(office, BEGUN, method)
    town.contract(office, BEGUN, member, plan, BEGUN)
    return member


def transfer(office: Office, month: str) -> Path:
    return office.folder / "out" / f"transfer-{month}.txt"


def only(office: Office, customer: str, month: str, today: str) -> dict[str, Any]:
    [found] = town.invoices(office, today, "--customer", customer, "--month", month)
    return found


CODES = {
    "0": "paid",
    "1": "failed",
    "2": "failed",
    "3": "failed",
    "4": "failed",
    "8": "failed",
    "9": "failed",
}
DRAWN_AGAIN, MANDATE_ENDS = {"1", "9"}, {"2", "3", "4"}


@pytest.mark.req("ISP-05", "ISP-07", "ALL-02")
def test_isp_07_every_code_of_the_bank_is_read_and_acted_upon(begun: Office) -> None:
    purse = outside.Purse()
    members = {code: joined(begun, "account-transfer") for code in CODES}
    town.daily(begun, "2026-02-03")
    town.daily(begun, "2026-02-10")
    answer = outside.bank_answers(
        transfer(begun, "2026-01"), purse, {who: code for code, who in members.items()}
    )
    done = begun.ok("--today", "2026-02-25", "debit", "import", answer)
    assert done["paid"] == 1
    assert {each["customer"]: each["code"] for each in done["failed"]} == {
        who: code for code, who in members.items() if code != "0"
    }
    assert len({each["reason"] for each in done["failed"]}) == 6
    before = town.everything(begun.database_url)
    again = begun.ok("--today", "2026-02-26", "debit", "import", answer)
    assert again["failed"] == done["failed"] and town.everything(begun.database_url) == before
    for code, who in members.items():
        invoice = only(begun, who, "2026-01", "2026-02-26")
        assert invoice["status"] == CODES[code], code
        by_invoice = code not in DRAWN_AGAIN | {"0"}
        assert invoice["method"] == ("invoice" if by_invoice else "account-transfer"), code
        mandate = begun.ok("customer", "show", who)["payment_method"]["mandate"]
        assert mandate == ("suspended" if code in MANDATE_ENDS else "active"), code
        kinds = [each["kind"] for each in begun.ok("outbox", "list", "--customer", who)]
        assert kinds.count("transfer-failed") == (code != "0"), code
        assert kinds.count("mandate-needed") == (code in MANDATE_ENDS), code
    town.prove(begun, "2026-02-26", purse)
    town.daily(begun, "2026-03-03")
    town.daily(begun, "2026-03-10")
    asked = outside.drawn(transfer(begun, "2026-02"))
    tries = {code: sum(item.customer == who for item in asked) for code, who in members.items()}
    assert tries == {"0": 1, "1": 2, "2": 0, "3": 0, "4": 0, "8": 1, "9": 2}
    without_fee = only(begun, members["3"], "2026-02", "2026-03-10")
    assert (without_fee["method"], town.lines(without_fee)) == ("invoice", {"monthly": 1000})
    outside.bank_answers(transfer(begun, "2026-02"), purse)
    begun.ok(
        "--today", "2026-03-24", "debit", "import", begun.folder / "out/transfer-2026-02-result.txt"
    )
    assert only(begun, members["1"], "2026-01", "2026-03-24")["status"] == "paid"
    town.prove(begun, "2026-03-24", purse)


@pytest.mark.req("ISP-07")
def test_isp_07_what_is_not_the_banks_answer_to_our_request_is_refused(begun: Office) -> None:
    members = [joined(begun, "account-transfer") for _ in range(3)]
    town.daily(begun, "2026-02-03")
    town.daily(begun, "2026-02-10")
    request = transfer(begun, "2026-01")
    answer = outside.bank_answers(request, outside.Purse(), {members[0]: "1"})
    good, before = answer.read_bytes(), town.everything(begun.database_url)
    lines = good.split(b"\r\n")
    spoilt = {
        "the request itself": request.read_bytes(),
        "an item short": b"\r\n".join(lines[:2] + lines[3:]),
        "an item twice": b"\r\n".join([*lines[:2], lines[1], *lines[3:]]),
        "another amount": good.replace(b"0000001320", b"0000001321", 1),
        "another consignor": good.replace(b"1234567890", b"1234567891", 1),
        "another day": good.replace(b"0224", b"0225", 1),
        "an unknown code": good.replace(lines[1], lines[1][:111] + b"7" + lines[1][112:], 1),
        "half of it": good[: len(good) // 2],
        "nothing": b"",
    }
    for what, content in spoilt.items():
        answer.write_bytes(content)
        why = begun.refused("--today", "2026-02-25", "debit", "import", answer)
        assert why.startswith("file: "), what
        assert town.everything(begun.database_url) == before, what
    answer.write_bytes(good)
    assert begun.ok("--today", "2026-02-25", "debit", "import", answer)["paid"] == 2


@pytest.mark.req("ISP-03", "ISP-07")
def test_isp_07_a_new_account_takes_over_from_a_suspended_mandate(begun: Office) -> None:
    purse = outside.Purse()
    who = joined(begun, "account-transfer")
    town.daily(begun, "2026-02-03")
    town.daily(begun, "2026-02-10")
    answer = outside.bank_answers(transfer(begun, "2026-01"), purse, {who: "2"})
    begun.ok("--today", "2026-02-25", "debit", "import", answer)
    account = ("--bank", "0005", "--branch", "001", "--account-number", "7654321")
    begun.ok(
        *("--today", "2026-02-27", "payment-method", "set", who, "account-transfer"),
        *(*account, "--account-type", "ordinary", "--holder", "ヤマダタロウ"),
    )
    history = begun.ok("payment-method", "history", who)
    assert [each["bank"] for each in history] == ["0001", "0005"]
    assert [each["mandate"] for each in history] == ["suspended", "active"]
    town.daily(begun, "2026-03-03")
    town.daily(begun, "2026-03-10")
    items = outside.drawn(transfer(begun, "2026-02"))
    assert {(item.bank, item.account, item.new_code) for item in items} == {
        ("0005", "7654321", "2")
    }
    assert only(begun, who, "2026-02", "2026-03-10")["method"] == "account-transfer"
    town.prove(begun, "2026-03-10", purse)


@pytest.mark.req("ISP-05")
def test_isp_05_two_contracts_in_one_house_pay_one_handling_fee(begun: Office) -> None:
    town.plan(begun, BEGUN, "FREE", 500, 1, "--free-months", 2)
    who = joined(begun, "account-transfer")
    town.contract(begun, BEGUN, who, "MONTHLY", BEGUN)
    nothing_yet = joined(begun, "account-transfer", "FREE")
    for day in ("2026-02-03", "2026-03-03", "2026-04-03"):
        town.daily(begun, day)
    for month in ("2026-01", "2026-02", "2026-03"):
        bill = only(begun, who, month, "2026-04-03")
        assert [line["kind"] for line in bill["lines"]].count("transfer-fee") == 1
        assert (bill["net"], bill["gross"]) == (2200, 2420)
    [first] = town.invoices(begun, "2026-04-03", "--customer", nothing_yet)
    assert (first["month"], town.lines(first)) == (
        *("2026-03", {"monthly": 500, "transfer-fee": 200}),
    )


@pytest.mark.req("ISP-05")
def test_isp_05_a_second_bill_of_the_month_brings_no_second_fee(begun: Office) -> None:
    who = joined(begun, "account-transfer")
    late = town.contract(begun, BEGUN, who, "MONTHLY")
    town.daily(begun, "2026-02-03")
    begun.ok("--today", "2026-02-04", "contract", "open", late, "--on", "2026-01-20")
    town.daily(begun, "2026-02-05")
    bills = town.invoices(begun, "2026-02-05", "--customer", who, "--month", "2026-01")
    assert [town.lines(each) for each in bills] == [
        *({"monthly": 1000, "transfer-fee": 200}, {"monthly": 1000}),
    ]
    town.daily(begun, "2026-02-10")
    assert [item.amount for item in outside.drawn(transfer(begun, "2026-01"))] == [1320, 1100]
    town.prove(begun, "2026-02-10")


@pytest.mark.req("ISP-04", "ISP-06", "ALL-02")
def test_isp_06_a_card_is_charged_on_the_last_day_of_the_month_it_pays_for(
    begun: Office,
) -> None:
    purse = outside.Purse()
    who, other = joined(begun, "card"), joined(begun, "card")
    town.daily(begun, "2026-02-03")
    sold = begun.folder / "out" / "card-sales-2026-01.csv"
    rows = outside.sales(sold)
    assert [(row["customer"], row["sold_on"], row["amount"]) for row in rows] == [
        *((who, "2026-01-31", "1100"), (other, "2026-01-31", "1100")),
    ]
    assert all(row["last4"] == "4242" and row["token"] == "tok_1" for row in rows)
    assert only(begun, who, "2026-01", "2026-02-03")["due_on"] == "2026-01-31"
    answer = outside.card_company_answers(sold, purse, {other: "card expired"})
    done = begun.ok("--today", "2026-02-20", "card", "import", answer)
    assert (done["records"], done["amount"]) == (2, 2200)
    [failed] = done["failed"]
    assert (failed["customer"], failed["reason"]) == (other, "card expired")
    before = town.everything(begun.database_url)
    begun.ok("--today", "2026-02-21", "card", "import", answer)
    assert town.everything(begun.database_url) == before
    assert only(begun, who, "2026-01", "2026-02-21")["status"] == "paid"
    declined = only(begun, other, "2026-01", "2026-02-21")
    assert (declined["status"], declined["method"]) == ("failed", "invoice")
    pay = ("payment", "record", declined["number"], "--amount", 1100, "--on", "2026-03-02")
    assert begun.ok("--today", "2026-03-02", *pay, "--by", "post")["status"] == "paid"
    purse.pay(other, 1100)
    # Card payers get no invoice from the operator.
    refused = begun.refused(
        *("--today", "2026-02-21", "invoice", "pdf"),
        *(only(begun, who, "2026-01", "2026-02-21")["number"], "-o", begun.folder / "card.pdf"),
    )
    assert refused.startswith("invoice: ")
    assert begun.ok("outbox", "list", "--customer", who)[-1]["kind"] != "invoice-issued"
    town.prove(begun, "2026-03-02", purse)


@pytest.mark.req("ISP-06")
def test_isp_06_which_month_a_line_of_the_card_statement_belongs_to(begun: Office) -> None:
    who = joined(begun, "card")
    for day in ("2026-02-03", "2026-03-03", "2026-04-03", "2026-05-03"):
        town.daily(begun, day)
    ask = ("--today", "2026-05-03", "card", "statement", who)
    [line] = begun.ok(*ask, "--sold-on", "2026-02-28")
    assert (line["month"], line["amount"]) == ("2026-02", 1100)
    assert line["statements"] == ["2026-03", "2026-04", "2026-05"]
    found = begun.ok(*ask, "--statement", "2026-05")
    assert [each["month"] for each in found] == ["2026-02", "2026-03", "2026-04"]
    assert begun.refused(*ask, "--sold-on", "2026-02-27").startswith("sold_on: ")
    assert begun.ok(*ask, "--sold-on", "2026-05-31") == []


@pytest.mark.req("ISP-04")
def test_isp_04_an_expired_card_is_not_taken_and_a_new_one_is_charged(begun: Office) -> None:
    who = joined(begun, "card")
    card = (
        *("payment-method", "set", who, "card", "--brand", "visa", "--last4", "1111"),
        *("--holder", "TARO YAMADA", "--token"),
    )
    refused = begun.refused("--today", "2026-02-01", *card, "tok_2", "--expires", "2026-01")
    assert refused.startswith("expires: ")
    begun.ok("--today", "2026-02-01", *card, "tok_3", "--expires", "2026-02")
    town.daily(begun, "2026-02-03")
    [row] = outside.sales(begun.folder / "out" / "card-sales-2026-01.csv")
    assert (row["token"], row["last4"], row["expires"]) == ("tok_3", "1111", "2026-02")


@pytest.mark.req("ISP-07", "ALL-02")
def test_a_late_payer_pays_in_parts_by_bank_and_each_notice_counts_once(begun: Office) -> None:
    purse = outside.Purse()
    who = joined(begun, "invoice")
    town.daily(begun, "2026-02-03")
    number = only(begun, who, "2026-01", "2026-02-03")["number"]
    pay = ("payment", "record", number, "--by", "bank", "--amount")
    part = begun.ok("--today", "2026-03-20", *pay, 600, "--on", "2026-03-20")
    assert (part["status"], part["balance"]) == ("open", 500)
    twice = begun.ok("--today", "2026-03-20", *pay, 600, "--on", "2026-03-20")
    assert (twice["status"], twice["balance"]) == ("open", 500)
    too_much = begun.refused("--today", "2026-03-21", *pay, 501, "--on", "2026-03-21")
    assert too_much.startswith("amount: ")
    rest = begun.ok("--today", "2026-03-21", *pay, 500, "--on", "2026-03-21")
    assert (rest["status"], rest["balance"]) == ("paid", 0)
    purse.pay(who, 1100)
    town.prove(begun, "2026-03-21", purse)


@pytest.mark.req("ALL-01")
def test_all_01_a_credit_note_takes_back_and_leaves_the_invoice_as_it_was(
    begun: Office,
) -> None:
    purse = outside.Purse()
    who = joined(begun, "account-transfer")
    town.daily(begun, "2026-02-03")
    invoice = only(begun, who, "2026-01", "2026-02-03")
    credit = ("invoice", "credit", invoice["number"], "--reason", "1月の障害")
    note = begun.ok("--today", "2026-02-05", *credit, "--amount", 330)
    assert note["number"].startswith("CN") and note["gross"] == -330
    after = begun.ok("invoice", "show", invoice["number"])
    assert (after["gross"], after["balance"], after["lines"]) == (1320, 990, invoice["lines"])
    town.daily(begun, "2026-02-10")
    [item] = outside.drawn(transfer(begun, "2026-01"))
    assert item.amount == 990
    answer = outside.bank_answers(transfer(begun, "2026-01"), purse)
    begun.ok("--today", "2026-02-25", "debit", "import", answer)
    assert begun.ok("invoice", "show", invoice["number"])["status"] == "paid"
    town.prove(begun, "2026-02-25", purse)
    # All of it credited after it was paid: the member gets the money back.
    begun.ok("--today", "2026-02-26", *credit, "--amount", 990)
    back = ("payment", "refund", invoice["number"], "--amount", 990, "--on", "2026-02-27")
    assert begun.ok("--today", "2026-02-27", *back, "--by", "bank")["balance"] == 0
    purse.pay(who, -990)
    town.prove(begun, "2026-02-27", purse)


@pytest.mark.req("ALL-02")
def test_all_02_a_void_invoice_is_billed_anew_and_once(begun: Office) -> None:
    purse = outside.Purse()
    who = joined(begun, "account-transfer")
    town.daily(begun, "2026-02-03")
    wrong = only(begun, who, "2026-01", "2026-02-03")
    begun.ok("--today", "2026-02-04", "invoice", "void", wrong["number"], "--reason", "宛名")
    begun.ok("--today", "2026-02-04", "customer", "set", who, "--name", "山田次郎")
    for _ in range(2):
        town.daily(begun, "2026-02-05")
    bills = town.invoices(begun, "2026-02-05", "--customer", who)
    assert [each["status"] for each in bills] == ["void", "open"]
    assert bills[0]["lines"] == bills[1]["lines"] and bills[0]["number"] != bills[1]["number"]
    town.daily(begun, "2026-02-10")
    [item] = outside.drawn(transfer(begun, "2026-01"))
    assert item.amount == 1320
    answer = outside.bank_answers(transfer(begun, "2026-01"), purse)
    begun.ok("--today", "2026-02-25", "debit", "import", answer)
    paid = bills[1]["number"]
    refused = begun.refused("--today", "2026-02-26", "invoice", "void", paid, "--reason", "x")
    assert refused.startswith("invoice: ")
    town.prove(begun, "2026-02-26", purse)
