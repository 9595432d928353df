"""A member's five years through `isp` itself, the business date moving from day to day.

Joined on 10 April 2026 for 24 months, drawn on the 23rd, renewed in April 2028, gone in the
renewal month of April 2030, on the 16th.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from billing import zengin
from isp.month import Month

JOINED, LEFT = Month.parse("2026-04"), Month.parse("2030-05")
FAILED = Month.parse("2026-08")
DEARER = Month.parse("2027-04")


def joins(office: Any) -> None:
    office.ok("--today", "2026-04-01", "db", "upgrade")
    office.ok(
        *("--today", "2026-04-01", "plan", "add", "HIKARI", "--name", "ひかり"),
        *("--monthly-fee", 5200, "--term-months", 24, "--early-fee", 5200),
        *("--opening-fee", 3000, "--free-months", 1, "--installation-fee", 24000),
    )
    office.ok(
        *("--today", "2026-04-10", "customer", "add", "--name", "山田太郎"),
        *("--kana", "ヤマダタロウ", "--kind", "individual", "--email", "taro@example.com"),
        *("--phone", "03-1234-5678", "--postal-code", "100-0001"),
        *("--address", "東京都千代田区千代田1-1"),
    )
    office.ok(
        *("--today", "2026-04-10", "payment-method", "set", "C00000001", "account-transfer"),
        *("--bank", "0001", "--branch", "001", "--account-number", "1234567"),
        *("--holder", "ヤマダタロウ"),
    )
    office.ok(
        *("--today", "2026-04-10", "contract", "apply", "C00000001", "HIKARI"),
        *("--concluded-on", "2026-04-10"),
    )
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")


def answered(file: Path, code: str) -> Path:
    """The bank's result: every item with the same code."""
    sent = zengin.parse(file.read_bytes(), expects="request")
    items = [replace(item, result_code=code) for item in sent.items]
    result = file.with_suffix(".result")
    result.write_bytes(b"".join(zengin.result(sent.header, items, line_end="crlf")))
    return result


def month_passes(office: Any, month: Month) -> dict[str, Any]:
    """The office bills `month`, gives the bank its file and reads the result, in the next one."""
    following = month + 1
    # In some months cron ran more often: nothing is done twice.
    for day in (1, 3, 3, 9, 9) if following.number in (1, 5) else (3, 9):
        office.ok("--today", following.day(day), "daily")
    file = office.folder / "out" / f"transfer-{month}.txt"
    result = answered(file, "1" if month == FAILED else "0")
    return dict(office.ok("--today", following.day(26), "debit", "import", result))


@pytest.mark.req("ISP-02", "ISP-05", "ISP-07", "ISP-10", "ISP-11", "ISP-15", "ALL-02", "ALL-03")
def test_isp_10_five_years_of_a_member(office: Any) -> None:
    joins(office)
    drawn_on = {}
    for month in JOINED.until(LEFT):
        if month == DEARER:
            office.ok(
                *("--today", "2027-03-20", "plan", "price", "HIKARI"),
                *("--monthly-fee", 5500, "--from", DEARER),
            )
        if month == LEFT - 1:
            leaves_on_the_16th(office)
        drawn_on[month] = month_passes(office, month)["debit_on"]
    assert drawn_on[Month.parse("2026-10")] == "2026-11-24", "23 November is a holiday"
    assert drawn_on[Month.parse("2027-01")] == "2027-02-24", "23 February is a holiday"
    assert drawn_on[Month.parse("2026-05")] == "2026-06-23"
    assert drawn_on[FAILED] == "2026-09-24", "22 and 23 September are holidays"
    bills_are_right(office)
    words_were_said_once(office)
    office.ok("--today", "2030-06-27", "daily")
    gone = office.ok("--today", "2030-06-27", "contract", "show", "K00000001")
    assert (gone["status"], gone["ended_on"]) == ("ended", "2030-05-31")
    proof = office.ok("--today", "2030-06-27", "check")
    assert proof["problems"] == []


def leaves_on_the_16th(office: Any) -> None:
    """In the renewal month leaving is free, yet after the 15th that month and the next are paid."""
    before = office.ok("--today", "2030-04-16", "contract", "show", "K00000001")
    assert (before["term_number"], before["renewal_month"]) == (2, "2030-04")
    cancel = ("contract", "cancel", "K00000001", "--received", "2030-04-16")
    quote = office.ok("--today", "2030-04-16", *cancel, "--dry-run")
    left = office.ok("--today", "2030-04-16", *cancel)
    for said in (quote, left):
        assert said["in_renewal_month"] is True
        assert (said["early_termination_fee"], said["last_charged_month"]) == (0, "2030-05")
        assert said["total"] == 2 * 6050
    assert left["ends_on"] == "2030-05-31"


def bills_are_right(office: Any) -> None:
    invoices = office.ok("invoice", "list", "--customer", "C00000001")
    assert [each["month"] for each in invoices] == [str(each) for each in JOINED.until(LEFT)]
    for each in invoices:
        month = Month.parse(each["month"])
        net = {line["kind"]: line["net"] for line in each["lines"]}
        expected = {"transfer-fee": 200}
        if month == JOINED:
            expected["opening"] = 3000
        else:
            expected["monthly"] = 5200 if month < DEARER else 5500
        assert net == expected, month
        assert each["gross"] == sum(net.values()) * 110 // 100
        assert (each["status"], each["balance"]) == ("paid", 0), month
        assert date.fromisoformat(each["due_on"]).weekday() < 5


def words_were_said_once(office: Any) -> None:
    told = Counter(each["kind"] for each in office.ok("outbox", "list", "--last", 1000))
    months = LEFT - JOINED + 1
    assert told["renewal-notice"] == 2, "before April 2028 and before April 2030"
    assert told["renewed"] == 1, "the second time the member left"
    assert told["transfer-announced"] == months
    assert told["transfer-failed"] == 1
    assert told["contract-ended"] == told["contract-concluded"] == told["opened"] == 1
    acts = Counter(each["act"] for each in office.ok("journal", "K00000001", "--last", 1000))
    assert acts["contract.renewed"] == 1


@pytest.mark.req("ISP-07")
def test_isp_07_the_23rd_of_february_2026_is_a_holiday(office: Any) -> None:
    office.ok("--today", "2026-01-05", "db", "upgrade")
    office.ok(
        *("--today", "2026-01-05", "plan", "add", "MAIL", "--name", "メール"),
        *("--monthly-fee", 300, "--term-months", 1),
    )
    office.ok(
        *("--today", "2026-01-05", "customer", "add", "--name", "鈴木花子"),
        *("--kana", "スズキハナコ", "--kind", "individual", "--email", "hana@example.com"),
        *("--phone", "06-6123-4567", "--postal-code", "530-0001"),
        *("--address", "大阪府大阪市北区梅田1-1"),
    )
    office.ok(
        *("--today", "2026-01-05", "payment-method", "set", "C00000001", "account-transfer"),
        *("--bank", "9900", "--branch", "018", "--account-number", "1234567"),
        *("--holder", "スズキハナコ"),
    )
    office.ok(
        *("--today", "2026-01-05", "contract", "apply", "C00000001", "MAIL"),
        *("--concluded-on", "2026-01-05"),
    )
    office.ok("--today", "2026-01-05", "contract", "open", "K00000001", "--on", "2026-01-05")
    billed = office.ok("--today", "2026-02-03", "bill", "run", "--month", "2026-01")
    assert (billed["net"], billed["tax"], billed["gross"]) == (500, 50, 550)
    out = office.folder / "bank.txt"
    drawn = office.ok("--today", "2026-02-10", "debit", "export", "--month", "2026-01", "-o", out)
    assert (drawn["debit_on"], drawn["records"], drawn["amount"]) == ("2026-02-24", 1, 550)
