"""Invoices as documents, by the command that prints them (ALL-01, ISP-04)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from paper import text


def member(office: Any, *method: object) -> None:
    """A member with one contract, billed for April by the method given."""
    office.ok("--today", "2026-04-01", "db", "upgrade")
    office.ok(
        *("--today", "2026-04-01", "plan", "add", "HIKARI", "--name", "ひかり"),
        *("--monthly-fee", 5000, "--term-months", 24),
    )
    office.ok(
        *("--today", "2026-04-01", "customer", "add", "--name", "山田太郎"),
        *("--kana", "ヤマダタロウ", "--kind", "individual", "--email", "taro@example.com"),
        *("--phone", "03-1234-5678", "--postal-code", "100-0001"),
        *("--address", "東京都千代田区千代田1-1"),
    )
    if method:
        office.ok("--today", "2026-04-01", "payment-method", "set", "C00000001", *method)
    office.ok(
        *("--today", "2026-04-01", "contract", "apply", "C00000001", "HIKARI"),
        *("--concluded-on", "2026-04-01"),
    )
    office.ok("--today", "2026-04-05", "contract", "open", "K00000001", "--on", "2026-04-05")
    office.ok("--today", "2026-05-03", "bill", "run", "--month", "2026-04")


@pytest.mark.req("ALL-01")
def test_all_01_an_invoice_keeps_its_recipient_when_the_member_changes_name(
    office: Any, tmp_path: Path
) -> None:
    member(office)
    office.ok("--today", "2026-05-10", "customer", "set", "C00000001", "--name", "佐藤太郎")
    file = tmp_path / "invoice.pdf"
    office.ok("--today", "2026-05-11", "invoice", "pdf", "R00000001", "-o", file)
    said = text(file.read_bytes())
    assert "山田太郎" in said
    assert "佐藤太郎" not in said
    assert "5,500円" in said
    assert "T9999999999999" in said
    assert "1234567" in said, "the account to pay to"


@pytest.mark.req("ISP-04")
def test_isp_04_card_payers_get_no_invoice(office: Any, tmp_path: Path) -> None:
    member(
        office,
        *("card", "--token", "tok_1", "--brand", "visa", "--last4", "4242"),
        *("--expires", "2029-03", "--holder", "TARO YAMADA"),
    )
    file = tmp_path / "invoice.pdf"
    why = office.refused("--today", "2026-05-11", "invoice", "pdf", "R00000001", "-o", file)
    assert why.startswith("invoice: R00000001 was paid by card")
    assert not file.exists()


@pytest.mark.req("ALL-05")
def test_all_05_an_invoice_prints_in_english_too(office: Any, tmp_path: Path) -> None:
    member(office)
    file = tmp_path / "invoice.html"
    office.ok("--today", "2026-05-11", "--lang", "en", "invoice", "html", "R00000001", "-o", file)
    page = file.read_text("utf-8")
    assert "Sample Net K.K." in page
    assert "¥5,500" in page
