"""Why an invoice says what it says: every line with its rule, dates, price and requirement."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bureau import Bureau, month
from sqlalchemy import Engine

from billing.queries import explained, explanation_json
from billing.runs.corrections import credit
from billing.runs.transfer import export_transfer, import_transfer
from billing.zengin import parse, result
from isp.errors import Refused
from isp.month import Month


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def reasons(bureau: Bureau, number: str) -> list[dict[str, Any]]:
    return [explanation_json(reason) for reason in bureau.act("2026-06-20", explained, number)]


@pytest.mark.req("ISP-02", "ISP-05", "ISP-07", "ISP-09", "ISP-11", "ISP-13", "ALL-01", "ALL-05")
def test_every_line_names_its_rule_dates_price_and_requirements(bureau: Bureau) -> None:
    contract = bureau.contract(
        bureau.customer("account-transfer"),
        bureau.plan(4_000, prices={"2026-05": 5_000}, opening_fee=3_000, installation_fee=24_000),
        opened="2026-05-10",
    )
    bureau.leaves(contract, "2026-05", early_fee=5_000, installation=24_000)
    bureau.bill("2026-05")
    found = reasons(bureau, "R00000001")
    assert [(each["kind"], each["amount"], each["price"]) for each in found] == [
        ("monthly", 5_000, 5_000),
        ("opening", 3_000, 3_000),
        ("early-termination", 5_000, 5_000),
        ("installation", 24_000, 24_000),
        ("transfer-fee", 200, 200),
        ("tax", 3_220, 32_200),
        ("tax", 0, 5_000),
        ("due-date", None, None),
    ]
    assert [each["requirements"] for each in found] == [
        ["ISP-02", "ISP-09"],
        ["ISP-02"],
        ["ISP-11", "ISP-13"],
        ["ISP-13"],
        ["ISP-05"],
        ["ALL-01"],
        ["ALL-01"],
        ["ISP-07"],
    ]
    monthly, _, early, work, _, tax, untaxed, due = found
    assert monthly["line"] == "月額料金 光ベーシック 2026年5月分"
    assert monthly["rule"] == (
        "月額料金は、開通日(2026年5月10日)の属する月から月単位でかかり、日割りはありません。"
        "2026年5月の料金は5,000円(税抜)です。この料金は2026年5月から適用されています。"
        "解約のお申し込み(2026年5月10日)により、料金は2026年5月分までです。"
    )
    assert monthly["dates"] == {
        "opened_on": date(2026, 5, 10),
        "charged_from": Month.parse("2026-05"),
        "price_since": Month.parse("2026-05"),
        "received_on": date(2026, 5, 10),
        "last_charged": Month.parse("2026-05"),
    }
    assert "At law" not in early["rule_en"] and "By law it is at most" in early["rule_en"]
    assert "¥24,000" in work["rule_en"] and "24,000円" in work["rule"]
    assert "切り捨て" in tax["rule"] and "rounded down once" in tax["rule_en"]
    assert "消費税のかからない" in untaxed["rule"]
    assert due["dates"]["due_on"] == date(2026, 6, 23)
    assert all(re.search(r"[ぁ-ん]", each["rule"]) for each in found)
    assert all(each["rule_en"].isascii() or "¥" in each["rule_en"] for each in found)


@pytest.mark.req("ISP-11", "ISP-14")
def test_late_fees_and_withdrawals_say_why_they_came_later(bureau: Bureau) -> None:
    customer = bureau.customer("card")
    left = bureau.contract(customer, bureau.plan(4_000, free_months=1), opened="2026-03-01")
    gone = bureau.contract(customer, bureau.plan(9_000, opening_fee=300), opened="2026-04-28")
    bureau.bill("2026-04")
    bureau.leaves(left, "2026-04", early_fee=900)
    bureau.leaves(gone, "2026-05", installation=500, withdrawn=True)
    bureau.bill("2026-05")
    april, *_ = reasons(bureau, "R00000001")
    assert "最初の1か月は無料" in april["rule"]
    may = {each["kind"]: each for each in reasons(bureau, "R00000002")}
    assert "次の請求に含めました" in may["early-termination"]["rule"]
    assert may["installation"]["requirements"] == ["ISP-14"]
    assert may["adjustment"]["requirements"] == ["ISP-14"]
    assert may["adjustment"]["amount"] == -300
    assert may["due-date"]["requirements"] == ["ISP-06"]


@pytest.mark.req("ISP-07")
def test_a_due_date_that_moved_says_so(bureau: Bureau) -> None:
    bureau.contract(bureau.customer("account-transfer"), bureau.plan(4_000))
    bureau.bill("2026-04")
    sent = parse(
        b"".join(bureau.act("2026-05-08", export_transfer, month("2026-04")).content),
        expects="request",
    )
    items = [replace(item, result_code="4") for item in sent.items]
    answer = parse(b"".join(result(sent.header, items, line_end="none")))
    bureau.act("2026-05-28", import_transfer, answer)
    due = reasons(bureau, "R00000001")[-1]
    assert due["dates"] == {
        "month": Month.parse("2026-04"),
        "due_on": date(2026, 6, 30),
        "collect_on": date(2026, 5, 25),
    }
    assert "could not be collected on 25 May 2026" in due["rule_en"]


def test_a_credit_note_has_reasons_without_a_due_date(bureau: Bureau) -> None:
    bureau.contract(bureau.customer("invoice"), bureau.plan(4_000))
    bureau.bill("2026-04")
    bureau.act("2026-05-08", credit, "R00000001", "お詫び", amount=500)
    found = reasons(bureau, "CN00000001")
    assert [each["kind"] for each in found] == ["adjustment", "tax"]
    with pytest.raises(Refused, match="^invoice: there is no invoice 'R9'"):
        reasons(bureau, "R9")
