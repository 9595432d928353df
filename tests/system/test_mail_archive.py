"""A real Dovecot on Maildirs that the office makes, archives and brings back."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from datetime import datetime

import pytest
from desk import joined
from mailstack import MailStack
from office import Office

from isp.calendar import TOKYO

TARO, JIRO = "taro@example.jp", "jiro@example.jp"
SENT = "&kAFP4W4IMH8-"
MESSAGE = b"From: a@example.net\r\nTo: taro@example.jp\r\nSubject: %b\r\n\r\nhello\r\n"


@pytest.mark.req("ISP-01")
def test_isp_01_mail_of_a_removed_mailbox_is_read_again_by_imap(office: Office) -> None:
    """Received, filed, archived with the mailbox, and brought back under an open session."""
    today = str(datetime.now(TOKYO).date())
    folder = f"Restored-taro-{today.replace('-', '')}"
    joined(office, "2026-04-10", "2026-04-10")
    office.ok("domain", "add", "example.jp")
    passwords = {
        address: office.ok("mailbox", "add", address, "--contract", "K00000001")["password"]
        for address in (TARO, JIRO)
    }
    with MailStack(office) as stack:
        made = office.ok("mail-platform", "reconcile")
        assert made["problems"] == []
        assert [each["address"] for each in made["actions"] if each["act"] == "make"] == [
            JIRO,
            TARO,
        ]
        stack.receive("a@example.net", [TARO], MESSAGE % b"in the inbox")
        stack.wait_for(TARO, b"in the inbox")
        with stack.imap(TARO, passwords[TARO]) as client:
            assert client.create(SENT)[0] == "OK"
            when = '"10-Apr-2026 09:00:00 +0900"'
            assert client.append(SENT, "(\\Seen $Important)", when, MESSAGE % b"sent")[0] == "OK"
        office.ok("mailbox", "remove", TARO, "--now")
        done = office.ok("mail-platform", "reconcile")
        assert [each["act"] for each in done["actions"]] == ["archive"] and done["problems"] == []
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            stack.receive("a@example.net", [TARO], MESSAGE % b"too late")
        assert not (stack.root / "example.jp" / "taro").exists()
        with stack.imap(JIRO, passwords[JIRO]) as open_before:
            open_before.select("INBOX")
            office.ok("mail-platform", "restore", TARO, "--into", JIRO)
            assert open_before.select(folder)[0] == "OK"
        with stack.imap(JIRO, passwords[JIRO]) as client:
            for listed in (client.list, client.lsub):
                names = b"".join(line for line in listed()[1] if isinstance(line, bytes))
                assert folder.encode() in names and f"{folder}.{SENT}".encode() in names
            assert client.select(folder)[1] == [b"1"]
            assert b"in the inbox" in fetched(client.fetch("1", "(BODY[])"))
            assert client.select(f"{folder}.{SENT}")[1] == [b"1"]
            answer = fetched(client.fetch("1", "(FLAGS BODY[])"))
            assert b"\\Seen" in answer and b"$Important" in answer and b"Subject: sent" in answer
        stack.receive("a@example.net", [JIRO], MESSAGE % b"goes on")
        stack.wait_for(JIRO, b"goes on")
        assert office.ok("mail-platform", "reconcile")["actions"] == []
        assert "Error" not in stack.log()


def fetched(answer: tuple[str, Sequence[object]]) -> bytes:
    """All bytes of the server's answer."""
    parts = [part for each in answer[1] for part in (each if isinstance(each, tuple) else (each,))]
    return b"".join(part for part in parts if isinstance(part, bytes))
