"""The submission server towards mail programs as they are (ISP-17), over real sockets."""

from __future__ import annotations

import base64
import email.message
import logging
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import pytest
from submission import (
    MESSAGE,
    PASSWORD,
    Clock,
    Mailboxes,
    Open,
    Smarthost,
    Wire,
    delivered,
    everything,
    logged_in,
    plain,
    stored,
)

from isp.errors import Fault, Refused
from isp.policy import Smtpd
from provisioning import passwords
from provisioning.certificate import self_signed, tls_context
from provisioning.passwords import Scheme
from provisioning.sending import SendingLimits
from provisioning.smtpd import Renewal, Route, SubmissionServer
from provisioning.tally import Tally


def header(raw: bytes) -> email.message.Message:
    return email.message_from_bytes(raw)


@pytest.mark.req("ISP-17")
def test_isp_17_mail_goes_out_on_submission_with_starttls_and_a_login(
    port: int, trusted: ssl.SSLContext, root: Path
) -> None:
    with logged_in(port, trusted) as client:
        assert client.sendmail("taro@example.jp", ["jiro@example.jp"], MESSAGE) == {}
    (message,) = delivered(root)
    assert message.endswith(MESSAGE.replace(b"\r\n", b"\n")) and b"\r" not in message
    read = header(message)
    assert read["Return-Path"] == "<taro@example.jp>"
    assert re.fullmatch(
        r"from pc\.example\.jp \(\[127\.0\.0\.1\]\)\s+by smtp\.example\.jp with ESMTPSA "
        r"\(TLSv1\.\d \S+\)\s+id [0-9A-F]{16}; Fri, 10 Apr 2026 09:30:00 \+0900",
        read["Received"],
    )
    assert parsedate_to_datetime(read["Date"]) == Clock().now
    assert re.fullmatch(r"<[0-9A-F]{16}@smtp\.example\.jp>", read["Message-ID"])
    assert "jiro" not in read["Received"], "a hidden recipient would be told"


def test_date_and_message_id_of_the_mail_program_stay(
    port: int, trusted: ssl.SSLContext, root: Path
) -> None:
    own = b"date: Thu, 1 Jan 2026 00:00:00 +0900\r\nMESSAGE-ID: <mine@pc>\r\n" + MESSAGE
    with logged_in(port, trusted) as client:
        client.sendmail("taro@example.jp", ["jiro@example.jp"], own)
    read = header(delivered(root)[0])
    assert read.get_all("Date") == ["Thu, 1 Jan 2026 00:00:00 +0900"]
    assert read.get_all("Message-ID") == ["<mine@pc>"]


def test_nothing_but_tls_is_offered_before_tls(port: int, trusted: ssl.SSLContext) -> None:
    with Wire(port) as wire:
        assert wire.reply() == "220 smtp.example.jp ESMTP"
        offered = wire.say("EHLO pc")
        assert "250-STARTTLS" in offered and "AUTH" not in offered
        must = "530 5.7.0 Must issue a STARTTLS command first"
        assert wire.say("AUTH PLAIN " + plain("taro@example.jp", PASSWORD)) == must
        assert wire.say("AUTH LOGIN") == must
        assert wire.say("MAIL FROM:<taro@example.jp>") == must
        assert wire.say("RCPT TO:<jiro@example.jp>") == must
        assert wire.say("DATA") == must
        assert wire.say("VRFY jiro").startswith("530 5.7.0")
        wire.start_tls(trusted)
        offered = wire.say("EHLO pc")
        assert "250-AUTH LOGIN PLAIN" in offered and "STARTTLS" not in offered
        assert "250-SIZE 20000" in offered and "SMTPUTF8" not in offered
        assert wire.say("STARTTLS") == "503 5.5.1 TLS is on already"
        assert wire.say("MAIL FROM:<taro@example.jp>") == "530 5.7.0 Authentication required"
        assert wire.say("QUIT").startswith("221")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["AUTH PLAIN " + plain("taro@example.jp", PASSWORD)], "235 2.7.0"),
        (["auth plain " + plain("taro@example.jp", PASSWORD)], "235 2.7.0"),
        (["AUTH PLAIN " + plain("Taro@Example.JP", PASSWORD)], "235 2.7.0"),
        (["AUTH PLAIN " + plain("taro@example.jp", PASSWORD, "taro@example.jp")], "235 2.7.0"),
        (["AUTH PLAIN", plain("taro@example.jp", PASSWORD)], "235 2.7.0"),
        (["AUTH LOGIN", b64("taro@example.jp"), b64(PASSWORD)], "235 2.7.0"),
        (["AUTH LOGIN " + b64("taro@example.jp"), b64(PASSWORD)], "235 2.7.0"),
        (["AUTH PLAIN " + plain("taro@example.jp", PASSWORD, "jiro@example.jp")], "501 5.5.2"),
        (["AUTH PLAIN " + plain("taro@example.jp", PASSWORD.lower())], "535 5.7.8"),
        (["AUTH PLAIN " + plain("taro@example.jp", "")], "535 5.7.8"),
        (["AUTH PLAIN " + plain("nobody@example.jp", PASSWORD)], "535 5.7.8"),
        (["AUTH PLAIN " + plain("x" * 300, "y\0z")], "535 5.7.8"),
        (["AUTH LOGIN", b64("taro@example.jp"), b64("誤り")], "535 5.7.8"),
        (["AUTH LOGIN =", b64(PASSWORD)], "535 5.7.8"),
        (["AUTH LOGIN", "", b64(PASSWORD)], "535 5.7.8"),
        (["AUTH LOGIN", "="], "501 5.5.2"),
        (["AUTH LOGIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", b64("taro@example.jp"), "*"], "501 5.7.0"),
        (["AUTH PLAIN", "not base64!"], "501 5.5.2"),
        (["AUTH PLAIN", "//8="], "501 5.5.2"),
        (["AUTH PLAIN " + b64("taro@example.jp")], "501 5.5.2"),
        (["AUTH PLAIN a b"], "501 5.5.4"),
        (["AUTH"], "504 5.5.4"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH XOAUTH2 " + b64("x")], "504 5.5.4"),
    ],
)
def test_logging_in(port: int, trusted: ssl.SSLContext, said: list[str], code: str) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        for line in said[:-1]:
            assert wire.say(line).startswith("334 ")
        assert wire.say(said[-1]).startswith(code)
        done = wire.say("AUTH PLAIN " + plain("taro@example.jp", PASSWORD))
        assert done.startswith("503" if code.startswith("235") else "235")


def test_a_wrong_password_and_an_unknown_name_sound_the_same(
    port: int, trusted: ssl.SSLContext
) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        assert wire.log_in(password="x") == wire.log_in("nobody@example.jp")


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("late@example.jp", "535 5.7.13 Unpaid fees: call 0120-000-000"),
        (
            "okure@example.jp",
            "535 5.7.13 Sending from this mailbox is suspended: please call the support desk",
        ),
    ],
)
def test_who_is_suspended_is_told_why_once_the_password_is_right(
    port: int, trusted: ssl.SSLContext, address: str, reply: str
) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        assert wire.log_in(address, "guess") == "535 5.7.8 Wrong user name or password"
        assert wire.log_in(address) == reply


def test_who_is_suspended_still_receives(port: int, trusted: ssl.SSLContext, root: Path) -> None:
    with logged_in(port, trusted) as client:
        client.sendmail("taro@example.jp", ["late@example.jp"], MESSAGE)
    assert len(delivered(root, "late@example.jp")) == 1


def test_a_suspension_reaches_who_has_logged_in_already(
    port: int, trusted: ssl.SSLContext, mailboxes: Mailboxes
) -> None:
    with logged_in(port, trusted) as client:
        mailboxes.open("taro@example.jp", may_send=False, reason="Unpaid fees")
        assert client.mail("taro@example.jp") == (550, b"5.7.13 Unpaid fees")


@pytest.mark.req("ISP-01")
def test_isp_01_the_old_password_is_dead_at_once(
    port: int, trusted: ssl.SSLContext, mailboxes: Mailboxes
) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        assert wire.log_in().startswith("235")
        old = mailboxes.accounts["taro@example.jp"]
        mailboxes.accounts["taro@example.jp"] = replace(old, password_hash=stored("New9password"))
        assert wire.say("MAIL FROM:<taro@example.jp>").startswith("530 5.7.0 Your password has")
        assert wire.log_in().startswith("535")
        assert wire.log_in(password="New9password").startswith("235")
        assert wire.say("MAIL FROM:<taro@example.jp>").startswith("250")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MAIL FROM:<taro@example.jp>", "250"),
        ("mail from: <TARO@EXAMPLE.JP> size=100 BODY=8BITMIME", "250"),
        ("MAIL FROM:<yamada@example.jp>", "250"),
        ("MAIL FROM:<taro@example.jp> AUTH=<>", "250"),
        ("MAIL FROM:taro@example.jp", "250"),
        ("MAIL FROM:<jiro@example.jp>", "553 5.7.1"),
        ("MAIL FROM:<someone@example.com>", "553 5.7.1"),
        ("MAIL FROM:<>", "553 5.7.1"),
        ("MAIL FROM:<taro>", "553"),
        ("MAIL FROM:<taro@example.jp", "553"),
        ("MAIL FROM:<@relay:taro@example.jp>", "553"),
        ("MAIL FROM:<taro@example.jp>x", "553"),
        ("MAIL FROM:<taro\0@example.jp>", "553"),
        ("MAIL FROM:<taro@example.jp\r>", "553"),
        ("MAIL FROM:", "553 5.1.3"),
        ("MAIL", "501"),
        ("MAIL FROM:<taro@example.jp> SIZE=20001", "552"),
        ("MAIL FROM:<taro@example.jp> SIZE=x", "501"),
        ("MAIL FROM:<taro@example.jp> SMTPUTF8", "501"),
        ("MAIL FROM:<taro@example.jp> RET=FULL", "555"),
        ("MAIL FROM:<太郎@example.jp>", "500"),
    ],
)
def test_who_may_be_the_sender(port: int, trusted: ssl.SSLContext, command: str, code: str) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        assert wire.say(command).startswith(code)


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("jiro@example.jp", "250 2.1.5 OK"),
        ("JIRO@EXAMPLE.JP", "250 2.1.5 OK"),
        ("postmaster@example.jp", "250 2.1.5 OK"),
        ("nobody@example.jp", "550 5.1.1 <nobody@example.jp> There is no such mailbox"),
        ('"ji ro"@example.jp', '550 5.1.1 <"ji ro"@example.jp> There is no such mailbox'),
        (
            "hanako@example.com",
            "550 5.7.1 <hanako@example.com> Mail for other domains is not taken",
        ),
        ("", "553 5.1.3"),
        ("jiro", "553 5.1.3"),
        ("../../etc@example.jp/x", "553 5.1.3"),
        ("a@b,c@d", "553 5.1.3"),
        ("jiro@example.jp\r\nDATA", "553 5.1.3"),
        ("a" * 64 + "@" + ".".join(["b" * 62] * 4), "553 5.1.3"),
        ("a" * 600 + "@example.jp", "500"),
    ],
)
def test_who_may_be_a_recipient(
    port: int, trusted: ssl.SSLContext, recipient: str, reply: str
) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        assert wire.say("RCPT TO:<jiro@example.jp>").startswith("503")
        wire.say("MAIL FROM:<taro@example.jp>")
        assert wire.say("DATA").startswith("503")
        assert wire.say(f"RCPT TO:<{recipient}>").startswith(reply)


def test_one_message_has_a_hundred_recipients_at_most(
    port: int, trusted: ssl.SSLContext, root: Path
) -> None:
    with logged_in(port, trusted) as client:
        client.mail("taro@example.jp")
        for _ in range(100):
            assert client.rcpt("jiro@example.jp")[0] == 250
        code, text = client.rcpt("saburo@example.jp")
        assert (code, text[:5]) == (452, b"4.5.3")
        assert client.data(MESSAGE)[0] == 250
    assert len(delivered(root)) == 1, "named a hundred times, the mailbox gets it once"
    assert delivered(root, "saburo@example.jp") == []


def test_every_local_recipient_gets_the_message(
    port: int, trusted: ssl.SSLContext, root: Path
) -> None:
    with logged_in(port, trusted) as client:
        client.sendmail("taro@example.jp", ["jiro@example.jp", "saburo@example.jp"], MESSAGE)
    assert delivered(root) == delivered(root, "saburo@example.jp") != []


def of_size(size: int) -> bytes:
    head = b"Subject: x\r\n\r\n"
    return (
        head
        + (b"x" * 76 + b"\r\n") * ((size - len(head)) // 78)
        + b"y" * ((size - len(head)) % 78 - 2)
        + b"\r\n"
    )


def test_the_size_limit_is_kept_to_the_byte(port: int, trusted: ssl.SSLContext, root: Path) -> None:
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        for size, reply in [(20_000, "250"), (20_001, "552 5.3.4"), (60_000, "552 5.3.4")]:
            wire.begin()
            message = of_size(size)
            assert len(message) == size
            wire.send(message + b".\r\n")
            assert wire.reply().startswith(reply)
        wire.begin()
        # Dots doubled for the way do not count (RFC 1870).
        wire.send(b"Subject: x\r\n\r\n" + b"..\r\n" * 6_600 + b".\r\n")
        assert wire.reply().startswith("250")
    assert len(delivered(root)) == 2


def test_several_messages_on_one_connection(port: int, trusted: ssl.SSLContext, root: Path) -> None:
    with logged_in(port, trusted) as client:
        for _ in range(3):
            client.sendmail("taro@example.jp", ["jiro@example.jp"], MESSAGE)
        client.mail("taro@example.jp")
        client.rcpt("saburo@example.jp")
        client.rset()
        assert client.docmd("DATA")[0] == 503
    assert len(delivered(root)) == 3 and delivered(root, "saburo@example.jp") == []


# Where own addresses lead


@pytest.mark.parametrize(
    ("route", "reply"),
    [
        (Route(("jiro@example.jp", "saburo@example.jp")), "250 2.1.5 OK"),
        (Route(), "550 5.1.1 <info@example.jp> There is no such mailbox"),
        (
            Route(closed=True),
            "550 5.2.1 <info@example.jp> This mailbox does not receive mail at present",
        ),
        (
            Route(("jiro@example.jp",), ("hanako@example.com",)),
            "550 5.7.1 <info@example.jp> Mail for other domains is not taken here",
        ),
    ],
)
def test_an_own_address_is_taken_for_where_it_leads(
    port: int,
    trusted: ssl.SSLContext,
    root: Path,
    mailboxes: Mailboxes,
    route: Route,
    reply: str,
) -> None:
    mailboxes.routes["info@example.jp"] = route
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.say("MAIL FROM:<taro@example.jp>")
        assert wire.say("RCPT TO:<info@example.jp>") == reply
        if reply.startswith("250"):
            # The same mailbox by its own name: it gets the message once.
            assert wire.say("RCPT TO:<jiro@example.jp>").startswith("250")
            assert wire.say("DATA").startswith("354")
            wire.send(MESSAGE + b".\r\n")
            assert wire.reply().startswith("250")
    count = 1 if reply.startswith("250") else 0
    assert len(delivered(root)) == len(delivered(root, "saburo@example.jp")) == count


def test_forwards_go_through_the_smarthost_with_the_copy_kept_here(
    relaying: int,
    smarthost: Smarthost,
    trusted: ssl.SSLContext,
    root: Path,
    mailboxes: Mailboxes,
) -> None:
    mailboxes.routes["info@example.jp"] = Route(("jiro@example.jp",), ("hanako@example.com",))
    reply = send(relaying, trusted, ["info@example.jp"], MESSAGE)
    assert reply.startswith("250")
    (taken,) = smarthost.taken
    assert taken.recipients == ["hanako@example.com"] and len(delivered(root)) == 1
    smarthost.answers["DATA"] = "554 5.7.1 Spam"
    assert send(relaying, trusted, ["info@example.jp"], MESSAGE).startswith("550")
    assert len(delivered(root)) == 1, "all or none"


# App passwords

PHONE = "abcd-efgh-ijkm-npqr-stuv"


def test_app_passwords_open_like_the_mailboxs_own_and_cost_no_hash(
    port: int, trusted: ssl.SSLContext, mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailboxes.open("taro@example.jp", app_passwords=("wxyz-wxyz-wxyz-wxyz-wxyz", PHONE))
    verified: list[str] = []
    real = passwords.verify

    def verify(password: str, stored: str) -> bool:
        verified.append(password)
        return real(password, stored)

    monkeypatch.setattr(passwords, "verify", verify)
    for password, code in [(PHONE, "235"), (PHONE.upper(), "535"), (PASSWORD, "235")]:
        with Wire(port) as wire:
            wire.secure(trusted)
            assert wire.log_in(password=password).startswith(code)
    assert verified == [PHONE.upper(), PASSWORD]
    with Wire(port) as wire:
        wire.secure(trusted)
        assert wire.log_in("jiro@example.jp", PHONE).startswith("535")
        assert wire.log_in(password=passwords.digest_of(PHONE)).startswith("535")


@pytest.mark.req("ISP-01")
def test_isp_01_a_session_ends_with_what_opened_it(
    port: int, trusted: ssl.SSLContext, mailboxes: Mailboxes
) -> None:
    mailboxes.open("taro@example.jp", app_passwords=(PHONE,))
    with Wire(port) as phone, Wire(port) as desk:
        assert phone.secure(trusted).log_in(password=PHONE).startswith("235")
        assert desk.secure(trusted).log_in().startswith("235")
        mailboxes.open("taro@example.jp")
        again = "530 5.7.0 Your password has changed: log in again"
        assert phone.say("MAIL FROM:<taro@example.jp>") == again
        assert desk.say("MAIL FROM:<taro@example.jp>").startswith("250")


# Hashes taken over from another system


def renewing(
    serve: Open, write: Callable[[str, str, str], None], scheme: Scheme = "ARGON2ID"
) -> SubmissionServer:
    server = serve()
    server.renewal = Renewal(scheme, write)
    return server


def test_a_hash_taken_over_is_replaced_after_the_first_log_in(
    serve: Open, trusted: ssl.SSLContext, mailboxes: Mailboxes
) -> None:
    old = mailboxes.accounts["taro@example.jp"]
    written, may_write = threading.Event(), threading.Event()

    def write(address: str, was: str, new: str) -> None:
        assert may_write.wait(10)
        assert (address, was) == ("taro@example.jp", old.password_hash)
        mailboxes.accounts[address] = replace(old, password_hash=new)
        written.set()

    server = renewing(serve, write)
    with Wire(server.port) as first:
        first.secure(trusted)
        assert first.log_in().startswith("235"), "answered before anything is written"
        assert first.say("MAIL FROM:<taro@example.jp>").startswith("250")
        may_write.set()
        assert written.wait(10)
        first.say("RSET")
        assert first.say("MAIL FROM:<taro@example.jp>").startswith("250"), (
            "the password is the same"
        )
    new = mailboxes.accounts["taro@example.jp"].password_hash
    assert new.startswith("{ARGON2ID}$argon2id$") and passwords.verify(PASSWORD, new)
    written.clear()
    with Wire(server.port) as second:
        second.secure(trusted)
        assert second.log_in().startswith("235")
    server.stop()
    assert not written.is_set(), "once is enough"


def test_a_hash_that_cannot_be_replaced_opens_on(
    serve: Open, trusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tried: list[str] = []

    def write(address: str, was: str, new: str) -> None:
        tried.append(address)
        raise Fault(f"database: the disk is full at {new}")

    server = renewing(serve, write)
    for _ in range(2):
        with Wire(server.port) as wire:
            wire.secure(trusted)
            assert wire.log_in().startswith("235")
            assert wire.say("MAIL FROM:<taro@example.jp>").startswith("250")
    server.stop()
    assert tried and set(tried) == {"taro@example.jp"}
    assert "could not be kept anew (Fault)" in caplog.text
    assert "argon2id" not in caplog.text and PASSWORD not in caplog.text


def test_nothing_is_replaced_for_a_wrong_password_or_an_app_password(
    serve: Open, trusted: ssl.SSLContext, mailboxes: Mailboxes
) -> None:
    mailboxes.open("taro@example.jp", app_passwords=(PHONE,))
    tried: list[str] = []
    server = renewing(serve, lambda address, _was, _new: tried.append(address))
    with Wire(server.port) as wire:
        wire.secure(trusted)
        assert wire.log_in(password="guess").startswith("535")
        assert wire.log_in("late@example.jp").startswith("535")
        assert wire.log_in(password=PHONE).startswith("235")
    server.stop()
    assert tried == []


# How much a mailbox may send


@pytest.fixture
def limited(serve: Open) -> SubmissionServer:
    server = serve()
    server.sent = Tally(SendingLimits(3, 5), None, Clock().now)
    return server


HOURLY = (
    "452 4.7.1 This mailbox may send to 3 recipients in one hour, and has: try again later, "
    "or call the support desk"
)


@pytest.mark.req("ISP-17")
def test_isp_17_a_mailbox_writes_to_so_many_recipients_an_hour_and_a_day(
    limited: SubmissionServer, trusted: ssl.SSLContext, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = limited.clock
    assert isinstance(clock, Clock)
    with Wire(limited.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin("jiro@example.jp", "saburo@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")
        wire.say("MAIL FROM:<taro@example.jp>")
        assert wire.say("RCPT TO:<jiro@example.jp>").startswith("250")
        assert wire.say("RCPT TO:<saburo@example.jp>") == HOURLY
        assert wire.say("RCPT TO:<nobody@example.jp>").startswith("550 5.1.1")
        assert wire.say("DATA").startswith("354"), "who was named before is written to"
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")
        clock.now += timedelta(minutes=66)
        wire.begin("jiro@example.jp", "saburo@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")
        wire.say("MAIL FROM:<taro@example.jp>")
        assert "to 5 recipients in one day" in wire.say("RCPT TO:<jiro@example.jp>")
    assert len(delivered(root)) == 3
    assert "sender or recipient of taro@example.jp refused: 452 4.7.1 This mailbox" in caplog.text
    with Wire(limited.port) as wire:
        wire.secure(trusted)
        wire.log_in("jiro@example.jp")
        assert wire.say("MAIL FROM:<jiro@example.jp>").startswith("250")
        assert wire.say("RCPT TO:<taro@example.jp>").startswith("250"), "others are free"


def test_what_is_refused_does_not_count(
    limited: SubmissionServer, trusted: ssl.SSLContext, root: Path
) -> None:
    with Wire(limited.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        for refused in (b"no end\n.\r\n\r\n", b"x" * 20_001 + b"\r\n", b"Received: x\r\n" * 100):
            wire.begin("jiro@example.jp", "saburo@example.jp", "taro@example.jp")
            wire.send(refused + b".\r\n")
            assert wire.reply().startswith("55")
        wire.begin("jiro@example.jp", "saburo@example.jp", "taro@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")
    assert len(delivered(root)) == 1


def test_two_messages_at_a_time_are_not_both_the_last(
    limited: SubmissionServer, trusted: ssl.SSLContext, root: Path
) -> None:
    with Wire(limited.port) as one, Wire(limited.port) as other:
        for wire in (one, other):
            wire.secure(trusted)
            wire.log_in()
            wire.begin("jiro@example.jp", "saburo@example.jp")
        replies = []
        for wire in (one, other):
            wire.send(MESSAGE + b".\r\n")
            replies.append(wire.reply())
    assert replies[0].startswith("250") and replies[1] == HOURLY
    assert len(delivered(root)) == 1


# Other domains

FOREIGN = "hanako@example.com"


def send(port: int, trusted: ssl.SSLContext, recipients: list[str], message: bytes) -> str:
    """The reply to the final dot."""
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin(*recipients)
        wire.send(message + b".\r\n")
        return wire.reply()


def test_other_domains_go_to_the_smarthost(
    relaying: int, smarthost: Smarthost, trusted: ssl.SSLContext, root: Path
) -> None:
    odd = ["taro..x.@docomo.ne.jp", '"a b"@example.net', "Case@Example.COM"]
    # 8-bit text, and a line that begins with a dot (doubled on the way here).
    message = MESSAGE + "日本語\r\n..dot\r\n".encode()
    assert send(relaying, trusted, ["jiro@example.jp", FOREIGN, *odd], message).startswith("250")
    (taken,) = smarthost.taken
    assert taken.sender == "taro@example.jp" and taken.recipients == [FOREIGN, *odd]
    assert taken.content.endswith(MESSAGE + "日本語\r\n.dot\r\n".encode())
    assert taken.content.startswith(b"Received: from pc.example.jp")
    assert b"Return-Path" not in taken.content
    assert len(delivered(root)) == 1


@pytest.mark.parametrize(
    ("asked", "answer", "reply"),
    [
        (FOREIGN, "550 5.1.1 No such user", "550 5.0.0 The next server does not take <hanako@"),
        (FOREIGN, "451 4.7.1 Greylisted", "451 4.0.0 The next server does not take <hanako@"),
        ("MAIL", "550 5.7.1 Not from you", "550 5.0.0 The next server does not take the sender"),
        ("DATA", "554 5.7.1 Spam", "550 5.0.0 The next server does not take the message: 554"),
        ("DATA", "452 4.3.1 Full", "451 4.0.0 The next server does not take the message: 452"),
    ],
)
def test_what_the_smarthost_refuses_is_delivered_to_nobody(
    relaying: int,
    smarthost: Smarthost,
    trusted: ssl.SSLContext,
    root: Path,
    asked: str,
    answer: str,
    reply: str,
) -> None:
    smarthost.answers[asked] = answer
    recipients = ["jiro@example.jp", "ichiro@example.com", FOREIGN]
    assert send(relaying, trusted, recipients, MESSAGE).startswith(reply)
    assert smarthost.taken == [] and everything(root) == []
    del smarthost.answers[asked]
    assert send(relaying, trusted, recipients, MESSAGE).startswith("250")
    assert len(smarthost.taken) == 1 == len(delivered(root))


def test_a_smarthost_that_breaks_off_has_taken_nothing(
    relaying: int, smarthost: Smarthost, trusted: ssl.SSLContext, root: Path
) -> None:
    smarthost.breaks_off = True
    reply = send(relaying, trusted, ["jiro@example.jp", FOREIGN], MESSAGE)
    assert reply.startswith("451 4.4.2 The next server broke off")
    assert everything(root) == []


def test_a_smarthost_that_is_down_is_tried_later_by_the_client(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    port = serve(smarthost="127.0.0.1", smarthost_port=nobody).port
    reply = send(port, trusted, ["jiro@example.jp", FOREIGN], MESSAGE)
    assert reply.startswith("451 4.4.1 The next server cannot be reached")
    assert everything(root) == []
    assert send(port, trusted, ["jiro@example.jp"], MESSAGE).startswith("250")


def test_a_smarthost_that_knows_tls_gets_tls(
    serve: Open, tls: ssl.SSLContext, trusted: ssl.SSLContext
) -> None:
    with Smarthost(tls) as smarthost:
        port = serve(smarthost="127.0.0.1", smarthost_port=smarthost.port).port
        assert send(port, trusted, [FOREIGN], MESSAGE).startswith("250")
        assert smarthost.taken[0].under_tls


# Starting, stopping, telling


def test_a_message_in_delivery_is_finished_before_the_server_stops(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    with Smarthost() as smarthost:
        smarthost.may_answer.clear()
        server = serve(smarthost="127.0.0.1", smarthost_port=smarthost.port)
        with Wire(server.port) as busy, Wire(server.port) as idle:
            idle.secure(trusted)
            busy.secure(trusted)
            busy.log_in()
            busy.begin("jiro@example.jp", FOREIGN)
            busy.send(MESSAGE + b".\r\n")
            assert smarthost.entered.wait(10)
            smarthost.loop.call_later(0.2, smarthost.may_answer.set)
            server.stop()
            assert idle.reply() == "421 4.3.2 The server is stopping"
            assert busy.reply().startswith("250 2.0.0 OK")
            assert busy.reply().startswith("421 4.3.2")
    assert len(smarthost.taken) == 1 == len(delivered(root))
    with pytest.raises(ConnectionRefusedError):
        Wire(server.port)


def test_a_message_whose_sender_has_gone_is_delivered_and_told(
    serve: Open, smarthost: Smarthost, trusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    smarthost.may_answer.clear()
    server = serve(smarthost="127.0.0.1", smarthost_port=smarthost.port)
    with Wire(server.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin(FOREIGN)
        wire.send(MESSAGE + b".\r\n")
        assert smarthost.entered.wait(10)
    smarthost.may_answer.set()
    server.stop()
    assert len(smarthost.taken) == 1
    assert "mail of taro@example.jp accepted" in caplog.text


def test_a_port_that_is_taken_is_a_fault(
    serve: Open, mailboxes: Mailboxes, policy: Smtpd, tls: ssl.SSLContext
) -> None:
    taken = serve()
    second = SubmissionServer(
        mailboxes,
        msgspec.structs.replace(policy, port=taken.port),
        tls,
        "smtp.example.jp",
        "en",
        Clock(),
    )
    with pytest.raises(Fault, match=f"^cannot listen on 127.0.0.1 port {taken.port}: "):
        second.start()
    second.stop()  # which is none the worse for it


def test_a_wrong_host_name_is_refused(
    mailboxes: Mailboxes, policy: Smtpd, tls: ssl.SSLContext
) -> None:
    with pytest.raises(Refused, match=r"^hostname: "):
        SubmissionServer(mailboxes, policy, tls, "smtp\r\nX: y", "ja", Clock())


@pytest.mark.req("EQ-01")
@pytest.mark.parametrize(
    ("language", "accepted"),
    [("ja", "のメールを受け付けました"), ("en", "mail of taro@example.jp accepted")],
)
def test_eq_01_the_log_tells_what_happened_and_no_password(
    mailboxes: Mailboxes,
    policy: Smtpd,
    tls: ssl.SSLContext,
    trusted: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    language: str,
    accepted: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    with SubmissionServer(mailboxes, policy, tls, "smtp.example.jp", language, Clock()) as server:  # type: ignore[arg-type]  # from a list of tests
        with logged_in(server.port, trusted) as client:
            client.sendmail("taro@example.jp", ["jiro@example.jp"], MESSAGE)
        with Wire(server.port) as wire:
            wire.secure(trusted)
            wire.log_in(password="wrong" + PASSWORD)
            wire.log_in(PASSWORD, "taro@example.jp")  # in the wrong boxes
            wire.say("AUTH CRAM-MD5")
            wire.say(b64(PASSWORD))  # as a command
            wire.say("AUTH PLAIN")
            wire.say(PASSWORD + "!")  # not in Base64
    assert accepted in caplog.text and "127.0.0.1" in caplog.text
    for secret in (PASSWORD, b64(PASSWORD), plain("taro@example.jp", PASSWORD), "Hello"):
        assert secret not in caplog.text


# The certificate


def test_the_certificate_is_made_once_and_its_key_is_secret(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "new", "smtp.example.jp")
    assert key.stat().st_mode & 0o777 == 0o600
    before = certificate.read_bytes(), key.read_bytes()
    assert self_signed(tmp_path / "new", "smtp.example.jp") == (certificate, key)
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"smtpd.crt", "smtpd.key"}
    key.unlink()
    self_signed(tmp_path / "new", "smtp.example.jp")
    tls_context(certificate, key)


def test_a_client_that_checks_trusts_the_certificate_by_its_name(
    port: int, certificate: tuple[Path, Path]
) -> None:
    careful = ssl.create_default_context(cafile=str(certificate[0]))
    with smtplib.SMTP("localhost", port, timeout=10) as client:
        assert client.starttls(context=careful)[0] == 220
    with (
        smtplib.SMTP("localhost", port, timeout=10) as client,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        client.starttls(context=ssl.create_default_context())


def test_tls_is_of_today(tls: ssl.SSLContext) -> None:
    assert tls.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_that_does_not_serve_is_a_fault(tmp_path: Path) -> None:
    _, key = self_signed(tmp_path, "smtp.example.jp")
    with pytest.raises(Fault, match="cannot use certificate"):
        tls_context(tmp_path / "none.crt", key)
    other, _ = self_signed(tmp_path / "other", "smtp.example.jp")
    with pytest.raises(Fault, match="cannot use certificate"):
        tls_context(other, key)
