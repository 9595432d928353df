"""Aliases, app passwords, forwarding and suspension by direction, as an operator types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import joined
from office import Office

TARO = "taro@example.jp"


@pytest.fixture
def desk(office: Office) -> Office:
    joined(office)
    office.ok("domain", "add", "example.jp")
    office.ok("mailbox", "add", TARO, "--contract", "K00000001")
    return office


def test_isp_01_a_day_of_the_mail_desk(desk: Office) -> None:
    assert desk.ok("alias", "add", "info@example.jp", "--to", TARO)["address"] == TARO
    assert [each["alias"] for each in desk.ok("alias", "list", TARO)] == ["info@example.jp"]
    assert desk.ok("alias", "remove", "info@example.jp")["status"] == "removed"
    added = desk.ok("app-password", "add", TARO, "--name", "phone", "--days", "30")
    assert len(added["password"]) == 24
    [listed] = desk.ok("app-password", "list", TARO)
    assert "password" not in listed and listed["name"] == "phone"
    assert desk.ok("app-password", "revoke", TARO, "--name", "phone")["status"] == "revoked"
    assert desk.ok("mailbox", "forward", TARO, "--to", "x@example.com", "--no-copy") == {
        "address": TARO,
        "forwards_to": ["x@example.com"],
        "keeps_copy": False,
    }
    assert desk.ok("mailbox", "forward", TARO)["forwards_to"] == ["x@example.com"]
    assert desk.ok("mailbox", "forward", TARO, "--off")["keeps_copy"] is True
    assert desk.ok("domain", "catch-all", "example.jp", TARO)["catch_all"] == TARO
    assert [each["catch_all"] for each in desk.ok("domain", "list")] == [TARO]
    assert desk.ok("domain", "catch-all", "example.jp", "--off")["catch_all"] is None
    assert desk.ok("mailbox", "suspend", TARO, "--direction", "send")["barred"] == ["send"]
    assert desk.ok("mailbox", "resume", TARO)["barred"] == []
    assert desk.ok("mailbox", "suspend", TARO)["barred"] == ["fetch", "send"]
    assert desk.ok("check")["ok"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("mailbox", "forward", TARO, "--no-copy"), "to: "),
        (("mailbox", "forward", TARO, "--off", "--to", "x@example.com"), "off: "),
        (("domain", "catch-all", "example.jp"), "address: "),
        (("domain", "catch-all", "example.jp", TARO, "--off"), "address: "),
        (("mailbox", "suspend", TARO, "--direction", "sideways"), "direction: "),
        (("app-password", "add", TARO, "--name", "x", "--days", "0"), "days: "),
        (("alias", "add", "info@example.jp", "--to", "x" * 10_000), "address: "),
    ],
)
def test_all_04_what_cannot_be_is_refused(desk: Office, words: tuple[str, ...], why: str) -> None:
    assert desk.refused(*words).startswith(why)


def with_doveadm(desk: Office, command: str) -> None:
    text = desk.config.read_text("utf-8")
    desk.config.write_text(text.replace('doveadm = ""', f'doveadm = "{command}"'), "utf-8")


def script(folder: Path, text: str) -> Path:
    file = folder / "doveadm"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return file


def test_isp_01_sessions_end_with_the_password_that_opened_them(
    desk: Office, tmp_path: Path
) -> None:
    """Dovecot itself is asked in tests/system; here is what the operator's command is told."""
    asked = tmp_path / "asked"
    program = script(tmp_path, f'echo "$@" >> {asked}; exit 68')
    with_doveadm(desk, f"{program} -c x.conf")
    password = desk.ok("mailbox", "reissue", TARO)["password"]
    said = f"-c x.conf auth cache flush {TARO}\n-c x.conf kick {TARO}\n"
    assert asked.read_text() == said and password not in said
    desk.ok("mailbox", "suspend", TARO, "--direction", "send")
    assert asked.read_text() == said, "who may fetch on is not thrown out"
    desk.ok("mailbox", "resume", TARO)
    desk.ok("contract", "suspend", "K00000001")
    assert asked.read_text() == said * 2


def test_isp_01_dovecot_away_is_told_and_asked_again(desk: Office, tmp_path: Path) -> None:
    with_doveadm(desk, str(script(tmp_path, "echo no such socket >&2; exit 75")))
    answer = desk("mailbox", "reissue", TARO)
    assert answer.exit_code == 1 and answer.json["password"]
    assert "the change is made, but what is open in Dovecot stays open" in answer.stderr
    assert [each["subject"] for each in desk("check").json["problems"]] == [TARO]
