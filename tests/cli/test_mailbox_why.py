"""`isp mailbox why` at the command line: keys, languages, formats, and logs of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import town
from mailstack import set_knobs
from office import Office

TODAY = "2026-01-05"
NOW = "2026-11-22T12:00:00"
TARO = "taro@example.jp"
REAL = Path(__file__).parent.parent / "provisioning" / "mail_logs" / "syslog.log"
KEYS = ["address", "contract", "mailbox", "quota", "app_passwords", "events", "verdicts"]


@pytest.fixture
def desk(office: Office) -> Office:
    """An office whose member has two mailboxes; the log is where the knob says."""
    office.ok("--today", TODAY, "domain", "add", "example.jp")
    town.plan(office, TODAY, "P", 1000, 1)
    member = town.member(office, TODAY, "invoice")
    contract = town.contract(office, TODAY, member, "P", TODAY)
    for each in (TARO, "hanako@example.jp"):
        office.ok("--today", TODAY, "mailbox", "add", each, "--contract", contract)
    set_knobs(office.config, {"platform__mail_log": "mail.log"})
    return office


@pytest.fixture
def log(desk: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log of a machine whose clock is set to UTC, and a last line of its kind."""
    lines = REAL.read_bytes().splitlines()
    [bare] = [line for line in lines if b"imap-login" in line and b"<taro>" in line]
    file = desk.folder / "mail.log"
    file.write_bytes(b"\n".join([*lines, bare.replace(b"01:05:36", b"01:30:00"), b""]))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield file
    monkeypatch.undo()
    time.tzset()


@pytest.mark.req("ISP-17", "ALL-05")
def test_isp_17_the_desk_reads_causes_and_mends_of_a_real_log(desk: Office, log: Path) -> None:
    found = desk.ok("--now", NOW, "--lang", "en", "mailbox", "why", TARO)
    assert list(found) == KEYS
    assert found["contract"]["status"] == "active"
    assert found["mailbox"]["may_fetch"] is True and found["mailbox"]["aliases"] == []
    assert found["quota"] == {"used_mb": None, "quota_mb": 5000}
    told = "\n".join(each["finding"] for each in found["verdicts"])
    assert "the user name was typed without its domain (from 203.0.113.5" in told
    assert "the password was refused 3 time(s) from 203.0.113.5 by IMAP" in told
    assert "203.0.113.7 tries submission without encryption" in told
    assert "203.0.113.7 speaks SSL/TLS at once" in told
    assert (
        "a mail could not be delivered and came back" in told and "the mailbox is full" not in told
    )
    assert "kaeru" in str(found["events"]), "what became of the member's own mail"
    assert "hanako" not in str([each for each in found["events"] if each["what"] == "accepted"])
    instants = [each["at"] for each in found["events"]]
    assert instants == sorted(instants, reverse=True) and instants[0].startswith(
        "2026-11-22T10:30:00"
    )
    japanese = desk.ok("--now", NOW, "mailbox", "why", TARO)
    assert any(
        "パスワードが 3 回拒否されました" in each["finding"] for each in japanese["verdicts"]
    )
    assert japanese["events"] == found["events"]


def test_another_mailbox_has_its_own_events(desk: Office, log: Path) -> None:
    found = desk.ok("--now", NOW, "--lang", "en", "mailbox", "why", "hanako@example.jp")
    assert {each["what"] for each in found["events"]} >= {"suspended", "accepted"}
    assert "password was refused" not in str(found["verdicts"])


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log"])
def test_what_is_older_than_two_weeks_is_left_out_also_of_the_rotated_file(
    desk: Office, log: Path, name: str
) -> None:
    log.rename(log.with_name(name))
    log.touch()
    assert desk.ok("--now", "2026-12-05T12:00:00", "mailbox", "why", TARO)["events"]
    assert not desk.ok("--now", "2026-12-07T12:00:00", "mailbox", "why", TARO)["events"]


@pytest.mark.parametrize("knob", ["", "nowhere.log", "."])
def test_without_a_log_the_state_is_told(desk: Office, knob: str) -> None:
    set_knobs(desk.config, {"platform__mail_log": knob})
    found = desk.ok("--lang", "en", "mailbox", "why", TARO)
    assert found["events"] == []
    [verdict] = found["verdicts"]
    assert "the mail log could not be read" in verdict["finding"]
    assert f"isp mailbox verify {TARO}" in verdict["mend"]


def test_a_log_without_the_mailbox_points_to_server_names_and_ports(desk: Office) -> None:
    (desk.folder / "mail.log").write_bytes(b"\xff\xfe\x00garbage\n" * 100)
    [verdict] = desk.ok("--lang", "en", "mailbox", "why", TARO)["verdicts"]
    assert "nobody has tried" in verdict["finding"]
    assert "IMAP imap.example.jp 993 SSL/TLS" in verdict["mend"]


@pytest.mark.req("ISP-01")
def test_isp_01_the_state_of_contract_mailbox_and_app_passwords_is_told_and_no_secret(
    desk: Office,
) -> None:
    (desk.folder / "mail.log").touch()
    password = desk.ok("--now", NOW, "app-password", "add", TARO, "--name", "phone", "--days", 1)
    desk.ok("alias", "add", "yamada@example.jp", "--to", TARO)
    desk.ok("mailbox", "suspend", TARO, "--reason", "unpaid")
    answer = desk("--now", NOW, "--lang", "en", "mailbox", "why", TARO)
    found = answer.json
    assert found["mailbox"]["aliases"] == ["yamada@example.jp"]
    assert [each["name"] for each in found["app_passwords"]] == ["phone"]
    assert password["password"] not in answer.stdout and "digest" not in answer.stdout
    assert "suspended fetching and sending (reason: unpaid)" in found["verdicts"][0]["finding"]
    desk.ok("--now", NOW, "mailbox", "remove", TARO, "--now")
    gone = desk.ok("--now", NOW, "--lang", "en", "mailbox", "why", TARO)
    assert "the mailbox was removed on 2026-11-22" in gone["verdicts"][0]["finding"]


@pytest.mark.req("ALL-04")
def test_all_04_an_address_that_is_none_is_refused(desk: Office) -> None:
    for command in ("why", "verify"):
        assert desk.refused("mailbox", command, "nobody@example.jp").startswith("address: ")
        assert desk.refused("mailbox", command, "nobody").startswith("address: ")
    assert desk.refused("mailbox", "verify", TARO, "--timeout", 0).startswith("timeout: ")
    assert desk.refused("mailbox", "verify", TARO, "--ca", "/nowhere.pem").startswith("ca: ")
    assert desk.ok("app-password", "list", TARO) == []


def test_the_table_begins_with_the_causes(desk: Office, log: Path) -> None:
    shown = desk("--format", "table", "--now", NOW, "--lang", "en", "mailbox", "why", TARO)
    lines = shown.stdout.splitlines()
    assert shown.exit_code == 0
    assert lines[0].startswith("* the user name was typed") and lines[1].startswith("  -> ")
    assert any(line.split()[:2] == ["address", TARO] for line in lines)
    assert any(line.split() == ["at", "protocol", "client", "what", "detail"] for line in lines)
    rows = desk("--format", "csv", "--now", NOW, "mailbox", "why", TARO).stdout.splitlines()
    assert rows[0] == "at,protocol,client,what,detail" and len(rows) > 10
    set_knobs(desk.config, {"platform__mail_log": ""})
    assert "platform.mail_log is empty" in desk("--format", "table", "mailbox", "why", TARO).stderr
