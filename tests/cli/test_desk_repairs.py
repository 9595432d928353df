"""What the desk mends by hand: notices, keys, files that went astray, early withdrawals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def member(office: Any, *method: object, plan_options: tuple[object, ...] = ()) -> None:
    """A member with one contract concluded on 10 April 2026."""
    office.ok("--today", "2026-04-01", "db", "upgrade")
    office.ok(
        *("--today", "2026-04-01", "plan", "add", "HIKARI", "--name", "ひかり"),
        *("--monthly-fee", 5000, "--term-months", 24, *plan_options),
    )
    office.ok(
        *("--today", "2026-04-01", "customer", "add", "--name", "山田太郎"),
        *("--kana", "ヤマダタロウ", "--kind", "individual", "--email", "taro@example.com"),
        *("--phone", "03-1234-5678", "--postal-code", "100-0001"),
        *("--address", "東京都千代田区千代田1-1"),
    )
    if method:
        office.ok("--today", "2026-04-01", "payment-method", "set", "C00000001", *method)
    conclude(office)


def conclude(office: Any) -> str:
    concluded = office.ok(
        *("--today", "2026-04-10", "contract", "apply", "C00000001", "HIKARI"),
        *("--concluded-on", "2026-04-10"),
    )
    return str(concluded["number"])


TRANSFER = (
    *("account-transfer", "--bank", "0001", "--branch", "001", "--account-number", "1234567"),
    *("--holder", "ヤマダタロウ"),
)


def test_a_notice_goes_to_the_address_that_the_member_has_now(office: Any) -> None:
    member(office)
    [notice] = office.ok("outbox", "list")
    office.ok("--today", "2026-04-11", "customer", "set", "C00000001", "--email", "new@example.com")
    moved = office.ok("--today", "2026-04-11", "outbox", "readdress", notice["id"])
    assert moved["recipient"] == "new@example.com"
    file = office.folder / "notice.eml"
    office.ok("outbox", "show", notice["id"], "-o", file)
    assert b"new@example.com" in file.read_bytes()
    assert b"taro@example.com" not in file.read_bytes()


def test_a_notice_is_given_up_once_and_never_made_anew(office: Any) -> None:
    member(office)
    [notice] = office.ok("outbox", "list")
    drop = ("--today", "2026-04-11", "outbox", "drop", notice["id"], "--reason", "電話で連絡")
    assert office.ok(*drop)["dropped"]
    assert "settled since" in office.refused(*drop)
    assert office.ok("outbox", "list", "--waiting") == []
    assert office.ok("check")["ok"]


def test_after_a_new_key_accounts_open_and_the_old_key_alone_does_not_serve(office: Any) -> None:
    member(office, *TRANSFER)
    key = office.folder / "isp.key"
    before = key.read_bytes()
    assert office.ok("db", "rotate-key")["sealed"] == 1
    assert key.read_bytes().endswith(before)
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")
    office.ok("--today", "2026-05-03", "bill", "run", "--month", "2026-04")
    export = ("--today", "2026-05-08", "debit", "export", "--month", "2026-04", "-o")
    key.write_bytes(before)
    answer = office(*export, office.folder / "no.txt")
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert not (office.folder / "no.txt").exists()


@pytest.mark.req("ISP-07")
def test_isp_07_a_passbook_of_japan_post_is_written_as_a_bank_account(office: Any) -> None:
    member(
        office,
        *("account-transfer", "--post-symbol", "10180", "--post-number", "12345671"),
        *("--holder", "ヤマダタロウ"),
    )
    shown = office.ok("payment-method", "history", "C00000001")
    assert [(each["bank"], each["branch"]) for each in shown] == [("9900", "018")]
    why = office.refused(
        *("payment-method", "set", "C00000001", "account-transfer", "--post-symbol", "10180"),
        *("--holder", "ヤマダタロウ"),
    )
    assert why.startswith("post_number: ")


@pytest.mark.req("ISP-07")
def test_isp_07_a_file_moved_away_is_not_written_again_and_latecomers_get_their_own(
    office: Any,
) -> None:
    member(office, *TRANSFER)
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")
    out = office.folder / "out"
    office.ok("--today", "2026-05-08", "daily")
    first = out / "transfer-2026-04.txt"
    first.rename(office.folder / "sent-to-the-bank.txt")
    office.ok("--today", "2026-05-09", "daily")
    assert list(out.iterdir()) == []
    office.ok("--today", "2026-05-09", "contract", "open", conclude(office), "--on", "2026-04-25")
    office.ok("--today", "2026-05-11", "daily")
    assert [file.name for file in out.iterdir()] == ["transfer-2026-04-2.txt"]
    assert office.ok("check")["ok"]


@pytest.mark.req("ISP-07")
def test_isp_07_a_file_without_its_name_after_a_crash_gets_it_the_next_day(office: Any) -> None:
    member(office, *TRANSFER)
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")
    office.ok("--today", "2026-05-08", "daily")
    file = office.folder / "out" / "transfer-2026-04.txt"
    content = file.read_bytes()
    file.rename(f"{file}.part")
    office.ok("--today", "2026-05-09", "daily")
    assert file.read_bytes() == content


@pytest.mark.req("ISP-14")
def test_isp_14_who_withdraws_before_the_opening_owes_nothing(office: Any) -> None:
    member(office, plan_options=("--opening-fee", 3000, "--installation-fee", 20000))
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")
    left = office.ok(
        "--today", "2026-04-21", "contract", "withdraw", "K00000001", "--received", "2026-04-17"
    )
    assert left["charges"] == []
    billed = office.ok("--today", "2026-05-03", "bill", "run", "--month", "2026-04")
    assert billed["invoices"] == 0
    assert office.ok("check")["ok"]


def test_the_daily_run_bills_from_the_month_of_the_first_contract(office: Any) -> None:
    member(office)
    office.ok("--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2026-04-20")
    office.ok("--today", "2026-07-03", "daily")
    months = [each["month"] for each in office.ok("invoice", "list")]
    assert months == ["2026-04", "2026-05", "2026-06"]
    told = [each["kind"] for each in office.ok("outbox", "list")]
    assert told.count("invoice-issued") == 3, "also when the day runs late"


def test_a_day_years_ahead_is_a_slip(office: Any, tmp_path: Path) -> None:
    member(office)
    why = office.refused(
        "--today", "2026-04-20", "contract", "open", "K00000001", "--on", "2036-04-20"
    )
    assert why == "on: 2036-04-20 is more than two years after 2026-04-20; check the year"
