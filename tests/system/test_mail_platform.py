"""A real Postfix and Dovecot, fed by the office: what members and strangers get over the wire."""

from __future__ import annotations

import base64
import hashlib
import imaplib
import itertools
import poplib
import re
import smtplib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import mailstack
import office
import postgresql
import psycopg
import pytest
from psycopg import sql
from submission import Smarthost, Wire, plain

from isp.calendar import TOKYO

PAST = (datetime.now(TOKYO) - timedelta(days=90)).date().isoformat()
MESSAGE = b"From: <%b>\r\nTo: <%b>\r\nSubject: test\r\n\r\n%b\r\n"
COUNT = itertools.count(1)


@dataclass(frozen=True)
class Box:
    """A mailbox of this test alone."""

    address: str
    password: str


@dataclass
class Place:
    """An office with its mail servers, and every password that was typed at them."""

    office: office.Office
    stack: mailstack.MailStack
    smarthost: Smarthost
    typed: list[str] = field(default_factory=list)

    def contract(self, language: str = "ja") -> str:
        """A new member's contract, open since 90 days, with room for many mailboxes."""
        number = next(COUNT)
        customer = self.office.ok(
            *("--today", PAST, "customer", "add", "--name", f"会員{number}", "--kana", "カイイン"),
            *("--kind", "individual", "--email", f"m{number}@example.net"),
            *("--phone", "03-1234-5678", "--postal-code", "100-0001"),
            *("--address", "東京都千代田区千代田1-1"),
        )["number"]
        if language != "ja":
            self.office.ok("customer", "set", customer, "--language", language)
        made = self.office.ok(
            "--today", PAST, "contract", "apply", customer, "HIKARI", "--concluded-on", PAST
        )["number"]
        self.office.ok("--today", PAST, "contract", "open", made, "--on", PAST)
        return str(made)

    def box(self, contract: str = "", *more: object, domain: str = "example.jp") -> Box:
        contract = contract or self.home_contract
        address = f"box{next(COUNT)}@{domain}"
        made = self.office.ok("mailbox", "add", address, "--contract", contract, *more)
        return Box(address, self.known(made["password"]))

    def known(self, password: str) -> str:
        self.typed.append(password)
        return password

    def app_password(self, box: Box, *more: object, today: str | None = None) -> str:
        when = () if today is None else ("--today", today)
        words = ("app-password", "add", box.address, "--name", f"device{next(COUNT)}")
        return self.known(self.office.ok(*when, *words, *more)["password"])

    def opens(self, address: str, password: str) -> dict[str, str]:
        """What each door answers to this log-in: "in", or the server's words."""
        self.typed.append(password)
        with ThreadPoolExecutor(3) as at_once:  # a refusal takes a second
            told = {
                "imap": at_once.submit(answer, lambda: self.stack.imap(address, password).logout()),
                "pop3": at_once.submit(answer, lambda: self.stack.pop3(address, password).quit()),
                "smtp": at_once.submit(self.smtp_answer, address, password),
            }
        return {door: each.result() for door, each in told.items()}

    def opens_imap(self, box: Box) -> str:
        return answer(lambda: self.stack.imap(box.address, box.password).logout())

    def hello(self) -> str:
        """What port 587 says to EHLO."""
        with Wire(self.stack.ports["submission"]) as wire:
            wire.reply()
            return wire.say("EHLO pc.example.net")

    def smtp_answer(self, address: str, password: str, mechanism: str = "PLAIN") -> str:
        """What port 587 says to one attempt."""
        with Wire(self.stack.ports["submission"]) as wire:
            wire.secure(self.stack.trusted)
            if mechanism == "PLAIN":
                told = wire.log_in(address, password)
            else:
                assert wire.say("AUTH LOGIN").startswith("334 ")
                wire.say(base64.b64encode(address.encode()))
                told = wire.say(base64.b64encode(password.encode()))
            return "in" if told.startswith("235 ") else told

    @property
    def home_contract(self) -> str:
        if not hasattr(self, "_home"):
            self._home = self.contract()
        return self._home


def answer(act: Callable[[], object]) -> str:
    try:
        act()
    except (imaplib.IMAP4.error, poplib.error_proto) as refused:
        [told] = refused.args
        return bytes(told).decode()
    return "in"


def message(sender: str, recipient: str, text: str) -> bytes:
    return MESSAGE % (sender.encode(), recipient.encode(), text.encode())


def needle() -> str:
    return f"needle-{next(COUNT)}-"


@contextmanager
def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    shared = (
        *(request.getfixturevalue("sqlite_template"), request.getfixturevalue("cluster")),
        request.getfixturevalue("postgresql_template"),
    )
    with mailstack.module_office(kind, folder, *shared) as opened:
        with Smarthost() as smarthost, mailstack.MailStack(opened, smarthost.port) as stack:
            for name in ("example.jp", "catch.example", "full.example", "import.example"):
                opened.ok("--today", PAST, "domain", "add", name)
            opened.ok(
                *("--today", PAST, "plan", "add", "HIKARI", "--name", "光", "--monthly-fee"),
                *(5000, "--term-months", 24, "--mailboxes", 99),
            )
            yield Place(opened, stack, smarthost)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def mail(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp(request.param), request) as opened:
        yield opened


# Log-in


@pytest.mark.req("ISP-01")
def test_isp_01_main_and_app_passwords_open_every_door(mail: Place) -> None:
    box = mail.box()
    for password in (box.password, mail.app_password(box), mail.app_password(box, "--days", 30)):
        assert mail.opens(box.address, password) == dict.fromkeys(("imap", "pop3", "smtp"), "in")
    assert mail.opens(box.address.upper(), box.password)["imap"] == "in"
    assert mail.smtp_answer(box.address, box.password, "LOGIN") == "in"


def test_isp_01_no_other_password_opens_any(mail: Place) -> None:
    box, other = mail.box(), mail.box()
    expired = mail.app_password(box, "--days", 30, today=PAST)
    for login, password in (
        (box.address, "Wrong9Password"),
        (box.address, other.password),
        (box.address, mail.app_password(other)),
        (box.address, expired),
        ("nobody@example.jp", box.password),
        (f"{box.address}'OR'1'='1", box.password),
    ):
        told = mail.opens(login, password)
        assert told["imap"].startswith("[AUTHENTICATIONFAILED]"), login
        assert told["pop3"].startswith("-ERR [AUTH] Authentication failed"), login
        assert told["smtp"].startswith("535 5.7.8"), login


def test_isp_01_a_reissue_ends_the_old_password_and_all_app_passwords_at_once(mail: Place) -> None:
    box = mail.box()
    app = mail.app_password(box)
    assert mail.opens(box.address, app)["imap"] == "in"
    new = mail.known(mail.office.ok("mailbox", "reissue", box.address)["password"])
    for dead in (box.password, app):
        assert "in" not in mail.opens(box.address, dead).values()
    assert set(mail.opens(box.address, new).values()) == {"in"}


@pytest.mark.parametrize("how", ["reissue", "suspend", "contract", "revoke", "remove"])
def test_isp_01_what_is_open_ends_with_what_it_was_opened_by(mail: Place, how: str) -> None:
    contract = mail.contract()
    box, other = mail.box(contract), mail.box()
    app = mail.app_password(box, "--name", "phone")
    acts = {
        "reissue": ("mailbox", "reissue", box.address),
        "suspend": ("mailbox", "suspend", box.address),
        "contract": ("contract", "suspend", contract),
        "revoke": ("app-password", "revoke", box.address, "--name", "phone"),
        "remove": ("mailbox", "remove", box.address),
    }
    with ExitStack() as opened:
        doors = [mail.stack.imap(box.address, each) for each in (box.password, app)]
        pop3 = mail.stack.pop3(box.address, box.password)
        bystander = mail.stack.imap(other.address, other.password)
        for each in (*doors, bystander):
            opened.callback(each.shutdown)
        opened.callback(pop3.close)
        mail.office.ok(*acts[how])
        for door in doors:
            with pytest.raises(imaplib.IMAP4.abort):
                door.noop()
                door.noop()  # the first may still hear the goodbye
        with pytest.raises((poplib.error_proto, OSError)):
            pop3.noop()
        assert bystander.noop()[0] == "OK"


def test_isp_01_a_cache_that_the_operator_has_switched_on_forgets_too(mail: Place) -> None:
    box, conf = mail.box(), mail.stack.dovecot / "dovecot.conf"
    rendered = conf.read_text("utf-8")
    try:
        conf.write_text(rendered + "auth_cache_size = 10M\nauth_cache_ttl = 1 hour\n", "utf-8")
        again(mail)
        assert mail.opens_imap(box) == mail.opens_imap(box) == "in"
        new = mail.known(mail.office.ok("mailbox", "reissue", box.address)["password"])
        assert mail.opens_imap(box) != "in"
        assert mail.opens(box.address, new)["imap"] == "in"
    finally:
        conf.write_text(rendered, "utf-8")
        again(mail)


def again(mail: Place) -> None:
    """Dovecot with the configuration as it is now."""
    mail.stack.stop_dovecot()
    mail.stack.start_dovecot()


def test_isp_17_no_password_is_asked_for_before_tls(mail: Place) -> None:
    box = mail.box()
    with Wire(mail.stack.ports["submission"]) as wire:
        wire.reply()
        assert "AUTH" not in wire.say("EHLO pc.example.net")
        for words in ("AUTH PLAIN " + plain(box.address, box.password), "MAIL FROM:<a@example.jp>"):
            assert wire.say(words).startswith("530 5.7.0 Must issue a STARTTLS")
        wire.start_tls(mail.stack.trusted)
        assert "AUTH PLAIN LOGIN" in wire.say("EHLO pc.example.net")
        told = wire.say(f"MAIL FROM:<{box.address}>")
        assert told.startswith("553 5.7.1") and "not logged in" in told
        assert wire.say("MAIL FROM:<a@example.net>").startswith("250")
        assert wire.say(f"RCPT TO:<{box.address}>").startswith("554 5.7.1")
    with mail.stack.mx() as client:
        client.ehlo()
        assert not client.has_extn("auth")


def test_isp_17_programs_out_of_support_fetch_without_tls(mail: Place) -> None:
    box = mail.box()
    mail.stack.receive("a@example.net", [box.address], message("a@example.net", box.address, "x"))
    mail.stack.wait_for(box.address, b"x")
    client = mail.stack.pop3(box.address, box.password, tls=False)
    assert client.stat()[0] == 1
    client.quit()
    mail.stack.imap(box.address, box.password, tls=False).logout()


def test_isp_17_programs_out_of_support_send_without_tls_by_a_port_of_their_own(
    mail: Place,
) -> None:
    box, text = mail.box(), needle()
    with smtplib.SMTP("127.0.0.1", mail.stack.ports["legacy"], timeout=20) as client:
        client.ehlo("pc.example.net")
        assert client.has_extn("auth")
        assert client.docmd("MAIL", "FROM:<a@example.org>")[0] == 250
        assert client.docmd("RCPT", f"TO:<{box.address}>")[0] == 554, "only after a log-in"
        client.rset()
        client.login(box.address, box.password)
        assert client.docmd("MAIL", "FROM:<other@example.jp>")[0] == 553, "only as oneself"
        client.sendmail(box.address, [box.address], message(box.address, box.address, text))
    mail.stack.wait_for(box.address, text.encode())


def test_isp_17_more_members_stay_connected_than_dovecot_has_processes_by_default(
    mail: Place,
) -> None:
    """Telephones hold a session all day; of those under TLS the 101st was turned away once."""
    contract = mail.contract()
    with ExitStack() as held:
        for _ in range(7):
            box = mail.box(contract)
            app = mail.office.ok("app-password", "add", box.address, "--name", "phone")["password"]
            for _ in range(15):
                client = mail.stack.imap(box.address, mail.known(app))
                held.callback(client.shutdown)
                assert client.select()[0] == "OK"
    assert "process_limit" not in mail.stack.log()


def test_isp_17_swaks_sends_on_587_and_465(mail: Place) -> None:
    box = mail.box()
    for port, tls, mechanism in (
        ("submission", "--tls", "LOGIN"),
        ("submissions", "--tls-on-connect", "PLAIN"),
    ):
        text = needle()
        done = swaks(mail, box, port, tls, "--auth", mechanism, "--body", text)
        assert done.returncode == 0, done.stdout
        assert text.encode() in mail.stack.wait_for(box.address, text.encode())
    refused = swaks(mail, box, "submission")  # neither TLS nor log-in
    assert refused.returncode == 23 and "530 5.7.0 Must issue" in refused.stdout
    with mail.stack.submissions(box.address, box.password) as client:
        assert client.noop()[0] == 250


def swaks(mail: Place, box: Box, port: str, *more: str) -> subprocess.CompletedProcess[str]:
    login = ("--auth-user", box.address, "--auth-password", box.password) if more else ()
    words = ("swaks", "--server", "127.0.0.1", "--port", str(mail.stack.ports[port]))
    words += ("--from", box.address, "--to", box.address, "--helo", "pc.example.net", *more, *login)
    return subprocess.run(words, capture_output=True, text=True, timeout=30)


# Whose mail, and to whom


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    """The code and the words of an SMTP refusal."""
    with pytest.raises(smtplib.SMTPException) as refused:
        act()
    error = refused.value
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, words)] = error.recipients.values()
    else:
        assert isinstance(error, smtplib.SMTPResponseException)
        code, words = error.smtp_code, error.smtp_error  # type: ignore[assignment]  # bytes, not str
    return code, words.decode("ascii")


def send(mail: Place, box: Box, sender: str, recipient: str, text: str) -> None:
    with mail.stack.submission(box.address, box.password) as client:
        client.sendmail(sender, [recipient], message(sender, recipient, text))


def test_isp_17_members_send_as_themselves_and_their_aliases(mail: Place) -> None:
    box, other = mail.box(), mail.box()
    alias = f"alias{next(COUNT)}@example.jp"
    mail.office.ok("alias", "add", alias, "--to", box.address)
    for sender in (box.address, alias):
        text = needle()
        send(mail, box, sender, other.address, text)
        assert f"Return-Path: <{sender}>".encode() in mail.stack.wait_for(
            other.address, text.encode()
        )
    with mail.stack.submission(box.address, box.password) as client:
        assert client.mail("<>")[0] == 250  # receipts of mail programs have no sender (RFC 8098)
    for foreign in (other.address, "nobody@example.jp", "somebody@example.net"):
        code, words = refusal(partial(send, mail, box, foreign, box.address, "x"))
        assert code == 553 and "5.7.1" in words and "not owned by user" in words


def test_isp_17_aliases_forwards_and_catch_alls_deliver(mail: Place) -> None:
    contract = mail.contract()
    box, other, keeper = (mail.box(contract) for _ in range(3))
    catcher = mail.box(contract, domain="catch.example")
    real = mail.box(contract, domain="catch.example")
    alias = f"alias{next(COUNT)}@example.jp"
    mail.office.ok("alias", "add", alias, "--to", box.address)
    mail.office.ok("domain", "catch-all", "catch.example", catcher.address)
    away = f"away{next(COUNT)}@elsewhere.example"
    forward = ("mailbox", "forward")
    mail.office.ok(*forward, other.address, "--to", away, "--to", box.address, "--no-copy")
    mail.office.ok(*forward, keeper.address, "--to", away)

    def arrives(recipient: str, *at: Box) -> str:
        text = needle()
        mail.stack.receive("a@example.net", [recipient], message("a@example.net", recipient, text))
        for each in at:
            mail.stack.wait_for(each.address, text.encode())
        return text

    arrives(alias, box)
    arrives("whoever@catch.example", catcher)
    text = arrives(real.address, real)
    assert not any(text.encode() in each for each in mail.stack.delivered(catcher.address))
    without_copy, with_copy = arrives(other.address, box), arrives(keeper.address, keeper)
    assert mail.stack.delivered(other.address) == []
    for text in (without_copy, with_copy):
        wait(partial(went_out, mail, text))
    ours = [
        each
        for each in mail.smarthost.taken
        if without_copy.encode() in each.content or with_copy.encode() in each.content
    ]
    assert {recipient for each in ours for recipient in each.recipients} == {away}
    code, words = refusal(lambda: arrives("whoever@example.jp"))
    assert code == 550 and "5.1.1" in words


def went_out(mail: Place, text: str) -> bool:
    return any(text.encode() in each.content for each in mail.smarthost.taken)


def holds(mail: Place, box: Box, messages: int) -> bool:
    return len(mail.stack.delivered(box.address)) == messages


def wait(until: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_isp_17_nothing_is_relayed_for_strangers(mail: Place) -> None:
    for recipient in ("victim@example.net", "victim%example.net@example.jp", "a@[127.0.0.1]"):
        with mail.stack.mx() as client:
            code, words = refusal(partial(client.sendmail, "a@example.org", [recipient], b"x"))
        assert code in (550, 554) and re.search(r"5\.[17]\.1", words), recipient
        client.close()
    with mail.stack.mx() as client:
        client.ehlo()
        assert client.verify("postmaster@example.jp")[0] == 502
        assert client.docmd("ETRN example.jp")[0] in (458, 459, 500, 502)
        assert mail.stack.queue().strip() == "Mail queue is empty"


def test_the_postmaster_of_every_domain_can_be_reached(mail: Place) -> None:
    """RFC 5321, 4.5.1: the operator, unless a mailbox or an alias has the name."""
    with mail.stack.mx() as client:
        client.ehlo("mx.example.net")
        client.mail("<>")
        for name, code in (("postmaster", 250), ("abuse", 250), ("sales-of-nobody", 550)):
            assert client.docmd("RCPT", f"TO:<{name}@example.jp>")[0] == code, name
        assert client.docmd("RCPT", "TO:<postmaster@example.org>")[0] == 554
        client.rset()


# Suspensions

DOORS = ("imap", "pop3", "smtp", "receive")


@pytest.mark.req("ISP-01")
@pytest.mark.parametrize(
    ("directions", "open_doors"),
    [
        ((), ("receive",)),  # plain: fetch and send
        (("fetch",), ("smtp", "receive")),
        (("send",), ("imap", "pop3", "receive")),
        (("receive",), ("imap", "pop3", "smtp")),
        (("fetch", "send", "receive"), ()),
    ],
)
def test_isp_01_a_suspension_bars_its_directions_and_no_others(
    mail: Place, directions: tuple[str, ...], open_doors: tuple[str, ...]
) -> None:
    box, app = mail.box(), ""
    app = mail.app_password(box)
    named = [word for each in directions for word in ("--direction", each)]
    mail.office.ok("mailbox", "suspend", box.address, "--reason", "料金が未納です", *named)
    expected = {
        "imap": "[CONTACTADMIN] 料金が未納です",
        "pop3": "-ERR [AUTH] 料金が未納です",
        "smtp": "535 5.7.8 Error: authentication failed: Sending from this mailbox is suspended: "
        "please call the support desk, 0120-000-000",
        "receive": "550 5.2.1",
    } | dict.fromkeys(open_doors, "in")
    for password in (box.password, app):
        told = mail.opens(box.address, password)
        assert told == {door: expected[door] for door in ("imap", "pop3", "smtp")}
    wrong = mail.opens(box.address, "Wrong9Password")
    assert not any("料金" in told or "suspended" in told for told in wrong.values())
    assert receives(mail, box).startswith(expected["receive"])
    mail.office.ok("mailbox", "resume", box.address)
    assert set(mail.opens(box.address, box.password).values()) == {"in"}
    assert receives(mail, box) == "in"


def receives(mail: Place, box: Box) -> str:
    """Whether mail from outside arrives, or the words with which it is refused."""
    text = needle()
    try:
        content = message("a@example.net", box.address, text)
        mail.stack.receive("a@example.net", [box.address], content)
    except smtplib.SMTPRecipientsRefused as refused:
        [(code, words)] = refused.recipients.values()
        return f"{code} {words.decode()}"
    mail.stack.wait_for(box.address, text.encode())
    return "in"


def test_isp_01_a_reason_in_ascii_reaches_the_mail_program_on_every_port(mail: Place) -> None:
    box = mail.box()
    mail.office.ok("mailbox", "suspend", box.address, "--reason", "It's 100% spam: call \\ us #1")
    told = mail.opens(box.address, box.password)
    assert told["imap"] == "[CONTACTADMIN] It's 100% spam: call \\ us #1"
    assert told["smtp"].endswith("authentication failed: It's 100% spam: call \\ us #1")
    with mail.stack.mx() as client:
        assert client.noop()[0] == 250


@pytest.mark.parametrize(
    ("language", "words"), [("ja", "ご利用いただけません"), ("en", "cannot be used at present")]
)
def test_isp_01_a_contracts_suspension_counts_at_once_and_is_told_in_the_members_language(
    mail: Place, language: str, words: str
) -> None:
    contract = mail.contract(language)
    box = mail.box(contract)
    assert set(mail.opens(box.address, box.password).values()) == {"in"}
    mail.office.ok("contract", "suspend", contract)
    told = mail.opens(box.address, box.password)
    assert words in told["imap"] and words in told["pop3"] and "0120-000-000" in told["imap"]
    assert told["smtp"].startswith("535 5.7.8")
    assert receives(mail, box) == "in"
    mail.office.ok("contract", "resume", contract)
    assert set(mail.opens(box.address, box.password).values()) == {"in"}


def test_isp_17_an_alias_or_a_forward_does_not_reach_a_mailbox_that_takes_no_mail(
    mail: Place,
) -> None:
    box, other = mail.box(), mail.box()
    alias = f"alias{next(COUNT)}@example.jp"
    mail.office.ok("alias", "add", alias, "--to", box.address)
    mail.office.ok("mailbox", "forward", other.address, "--to", box.address)
    mail.office.ok("mailbox", "suspend", box.address, "--direction", "receive")
    assert receives(mail, Box(alias, "")).startswith("550 5.2.1")
    assert receives(mail, other) == "in"
    mail.stack.wait_for_log(rf"to=<{box.address}>.*status=bounced")
    assert mail.stack.delivered(box.address) == []


# Quota


def test_isp_17_a_full_mailbox_is_refused_at_the_recipient_and_can_be_emptied(mail: Place) -> None:
    box, other = mail.box("", "--quota-mb", 1), mail.box()
    alias = f"alias{next(COUNT)}@example.jp"
    mail.office.ok("alias", "add", alias, "--to", box.address)
    assert receives(mail, box) == "in"
    large = message("a@example.net", box.address, "large" + ("x" * 70 + "\r\n") * 7_300)
    for count in (1, 2):
        mail.stack.receive("a@example.net", [box.address], large)
        wait(partial(holds, mail, box, count + 1))
    for recipient in (box.address, alias):
        refused = receives(mail, Box(recipient, ""))
        assert refused.startswith("552 5.2.2"), refused
        code, words = refusal(partial(send, mail, other, other.address, recipient, "x"))
        assert code == 552 and "5.2.2" in words
    with mail.stack.imap(box.address, box.password) as client:
        assert client.select()[0] == "OK"
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    assert receives(mail, box) == "in"


def test_isp_17_a_full_catch_all_is_refused_and_a_full_mailbox_that_forwards_is_not(
    mail: Place,
) -> None:
    contract = mail.contract()
    full = mail.box(contract, "--quota-mb", 1, domain="full.example")
    away = f"away{next(COUNT)}@elsewhere.example"
    large = message("a@example.net", full.address, "large" + ("x" * 70 + "\r\n") * 7_300)
    for _ in (1, 2):
        mail.stack.receive("a@example.net", [full.address], large)
    wait(partial(holds, mail, full, 2))
    mail.office.ok("domain", "catch-all", "full.example", full.address)
    assert receives(mail, Box("whoever@full.example", "")).startswith("552 5.2.2")
    mail.office.ok("mailbox", "forward", full.address, "--to", away, "--no-copy")
    text = needle()
    content = message("a@example.net", full.address, text)
    mail.stack.receive("a@example.net", [full.address], content)
    wait(partial(went_out, mail, text))


# Mailboxes that came from elsewhere


def test_isp_01_imported_hashes_of_every_scheme_let_their_members_in(mail: Place) -> None:
    import bcrypt

    known: Any = import_module("passlib.hash")  # which has no types
    contract, password = mail.contract(), mail.known("Migrated7Password")
    hashes = {
        "argon": "{ARGON2ID}" + known.argon2.using(memory_cost=65_536, time_cost=2).hash(password),
        "sha512": "{SHA512-CRYPT}" + known.sha512_crypt.hash(password),
        "sha256": "{SHA256-CRYPT}" + known.sha256_crypt.hash(password),
        "ssha": known.ldap_salted_sha512.hash(password),
        "php": "{BLF-CRYPT}"
        + bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode().replace("$2b$", "$2y$"),
    }
    rows = [f'{name}@import.example,{contract},"{stored}"' for name, stored in hashes.items()]
    file = mail.stack.home / f"import{next(COUNT)}.csv"
    file.write_text("address,contract,password_hash\n" + "\n".join(rows) + "\n")
    mail.office.ok("mailbox", "import", file)
    for name in hashes:
        assert mail.opens_imap(Box(f"{name}@import.example", password)) == "in", name
    assert mail.opens_imap(Box("argon@import.example", "Wrong9Password")) != "in"
    found = mail.stack.doveadm("user", "*@import.example").split()
    assert sorted(found) == sorted(f"{name}@import.example" for name in hashes)


# What the servers may read, and what they tell


on_postgresql = pytest.mark.parametrize("mail", ["postgresql"], indirect=True)


@on_postgresql
def test_isp_01_the_servers_role_reads_its_views_and_nothing_else(mail: Place) -> None:
    mail.box()
    url = psycopg.conninfo.conninfo_to_dict(mail.office.database_url)
    with psycopg.connect(
        host="127.0.0.1",
        port=url["port"],
        dbname=url["dbname"],
        user="isp_mail",
        password=mailstack.ROLE_PASSWORD,
        autocommit=True,
    ) as server:
        for view in ("mail_login", "mail_user", "mail_route", "mail_sender", "mail_domain"):
            assert server.execute(
                sql.SQL("SELECT * FROM {}").format(sql.Identifier(view))
            ).fetchone()
        server.execute("SET default_transaction_read_only = off")  # the role could do so itself
        for statement in (
            *("SELECT * FROM mailbox", "SELECT * FROM customer", "SELECT * FROM payment_method"),
            *("SELECT * FROM mail_state", "SELECT * FROM radcheck", "SELECT * FROM app_password"),
            *("SELECT * FROM journal", "SELECT * FROM access_account", "SELECT * FROM web_space"),
            *("DELETE FROM mail_domain", "UPDATE mail_domain SET name = 'x'"),
            *("INSERT INTO mail_domain VALUES ('x')", "CREATE TABLE mine (x int)"),
            *("SET ROLE isp", "CREATE ROLE mine", "ALTER TABLE mailbox DISABLE TRIGGER ALL"),
        ):
            with pytest.raises(
                (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)
            ):
                server.execute(statement)
        for setting, value in (
            ("log_min_error_statement", "panic"),
            ("log_statement", "none"),
            ("log_min_duration_statement", "-1"),
        ):
            assert server.execute(
                sql.SQL("SHOW {}").format(sql.Identifier(setting))
            ).fetchone() == (value,)


@on_postgresql
def test_isp_01_the_roles_may_be_made_again_with_the_same_passwords(mail: Place) -> None:
    before = (mail.stack.dovecot / "dovecot-sql.conf.ext").read_text()
    mail.stack.render()  # which runs database.sql once more
    assert (mail.stack.dovecot / "dovecot-sql.conf.ext").read_text() == before
    box = mail.box()
    assert mail.opens_imap(box) == "in"


def test_isp_17_postfix_and_dovecot_find_nothing_to_warn_of(mail: Place) -> None:
    stack = mail.stack
    assert stack.run("postfix", "-c", stack.postfix, "check") == ""
    assert "warning" not in stack.run("postconf", "-c", stack.postfix, "-n").lower()
    checked = stack.run("doveconf", "-c", stack.dovecot / "dovecot.conf", "-n")
    assert "warning" not in checked.lower() and "error" not in checked.lower()


# Faults


@contextmanager
def database_away(mail: Place) -> Iterator[None]:
    """The servers' questions fail: PostgreSQL refuses connections, or the feed is being written."""
    if mail.office.database_url.startswith("sqlite"):
        feed = mail.stack.home / "feed" / "mail.db"
        with closing(sqlite3.connect(feed, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            yield
        return
    url = psycopg.conninfo.conninfo_to_dict(mail.office.database_url)
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = sql.Identifier(str(url["dbname"]))
    cluster = postgresql.Cluster(Path(str(url["host"])), int(str(url["port"])))
    with cluster.connect() as server:
        server.execute(allow.format(name, sql.Literal(False)))
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND usename = 'isp_mail'",
            [url["dbname"]],
        )
        try:
            yield
        finally:
            server.execute(allow.format(name, sql.Literal(True)))


def test_isp_17_with_the_database_away_everybody_comes_back_and_nothing_is_lost(
    mail: Place,
) -> None:
    box = mail.box()
    assert receives(mail, box) == "in"
    text = needle()
    content = message("a@example.net", box.address, text)
    refusals: list[tuple[int, bytes]] = []

    def try_until_taken() -> None:
        """As another server does: what is refused for a time is sent again."""
        for _ in range(60):
            try:
                mail.stack.receive("a@example.net", [box.address], content)
                return
            except smtplib.SMTPRecipientsRefused as refused:
                refusals.extend(refused.recipients.values())
                time.sleep(0.2)

    with ThreadPoolExecutor(3) as other_server:
        with database_away(mail):
            taken = other_server.submit(try_until_taken)
            fetching = other_server.submit(mail.opens_imap, box)
            submitting = other_server.submit(mail.hello)
            time.sleep(2.5)
            assert not taken.done()
        if refusals:  # PostgreSQL; a locked feed makes Postfix wait
            # Postfix asks a database that has failed again after a minute, or when it is told to.
            mail.stack.run("postfix", "-c", mail.stack.postfix, "reload")
        taken.result()
        # Nobody hears of a wrong password: who is not told to come back waits a little.
        assert fetching.result() == "in" or fetching.result().startswith("[UNAVAILABLE]")
        assert submitting.result().startswith(("451 4.3.", "250"))
    final = [
        each for each in refusals if each[0] not in (450, 451) or not each[1].startswith(b"4.")
    ]
    assert final == []
    mail.stack.wait_for(box.address, text.encode())
    wait(lambda: set(mail.opens(box.address, box.password).values()) == {"in"}, 20)
    assert len([m for m in mail.stack.delivered(box.address) if text.encode() in m]) == 1


def test_isp_17_with_dovecot_away_mail_waits_and_is_delivered_later(mail: Place) -> None:
    box = mail.box()
    text = needle()
    mail.stack.stop_dovecot()
    try:
        content = message("a@example.net", box.address, text)
        mail.stack.receive("a@example.net", [box.address], content)
        mail.stack.wait_for_log(rf"to=<{box.address}>.*status=deferred")
        assert box.address in mail.stack.queue()
        with Wire(mail.stack.ports["submission"]) as wire:
            told = wire.reply()
            assert told == "" or told.startswith(("220", "421")), told
    finally:
        mail.stack.start_dovecot()
    mail.stack.flush()
    mail.stack.wait_for(box.address, text.encode())
    assert len([m for m in mail.stack.delivered(box.address) if text.encode() in m]) == 1
    wait(lambda: set(mail.opens(box.address, box.password).values()) == {"in"}, 20)


# Hostile


def greeted(mail: Place, box: Box | None = None) -> Wire:
    """On port 25 as a stranger, or logged in on 587."""
    if box is None:
        wire = Wire(mail.stack.ports["mx"], mailstack.OUTSIDE)
        wire.reply()
        assert wire.say("EHLO mx.example.net").startswith("250")
        return wire
    wire = Wire(mail.stack.ports["submission"]).secure(mail.stack.trusted)
    assert wire.log_in(box.address, box.password).startswith("235")
    return wire


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("recipient", "codes"),
    [
        (b"a" * 10_000 + b"@example.jp", ("500", "501", "550")),
        (b"a@" + b"b" * 10_000 + b".jp", ("500", "501", "554")),
        ("山田@example.jp".encode(), ("501", "550", "553")),
        (b"\xff\xfe@example.jp", ("501", "550", "553")),
        (b"../../../../tmp/escaped@example.jp", ("501", "550")),
        (b"..@example.jp", ("501", "550")),
        (b"/etc/passwd@example.jp", ("501", "550")),
        (b"|/bin/true@example.jp", ("501", "550")),
        (b'"../x"@example.jp', ("501", "550")),
        (b"x'OR'1'='1@example.jp", ("501", "550")),
        (b"a\0b@example.jp", ("501", "550")),
        (b"nobody@..", ("501", "504", "554")),
    ],
)
def test_all_04_a_hostile_recipient_gets_a_clear_refusal(
    mail: Place, recipient: bytes, codes: tuple[str, ...]
) -> None:
    for box in (None, mail.box()):
        with greeted(mail, box) as wire:
            sender = box.address.encode() if box else b"a@example.net"
            assert wire.say(b"MAIL FROM:<" + sender + b">").startswith("250")
            told = wire.say(b"RCPT TO:<" + recipient + b">")
            assert told.startswith(codes), told
            assert wire.say("NOOP").startswith("250"), "the session goes on"
    assert not list(Path("/tmp").glob("escaped*"))
    below = {path.name for path in mail.stack.root.iterdir()}
    assert below <= {"example.jp", "catch.example", "full.example", "import.example"}


SMUGGLED = (
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<%b>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n"
)


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"])
def test_all_04_no_second_message_is_smuggled_in(mail: Place, end: bytes) -> None:
    box = mail.box()
    for logged_in in (None, box):
        text = needle().encode()
        with greeted(mail, logged_in) as wire:
            wire.say(b"MAIL FROM:<" + box.address.encode() + b">")
            wire.say(b"RCPT TO:<" + box.address.encode() + b">")
            wire.say("DATA")
            smuggled = SMUGGLED % box.address.encode()
            told = wire.say(b"Subject: one\r\n\r\n" + text + end + smuggled + b".")
            assert told.startswith(("250 ", "550 ", "521 ")), told
            if told.startswith("250 "):
                assert not logged_in or b"\n" not in end.replace(b"\r\n", b"")
                assert b"MAIL FROM" in mail.stack.wait_for(box.address, text)
    for each in mail.stack.delivered(box.address):
        assert b"Return-Path: <evil@example.org>" not in each
    assert "evil@example.org" not in mail.stack.log().replace("MAIL FROM:<evil@example.org>", "")


def test_all_04_nul_is_refused_and_a_lone_cr_mended(mail: Place) -> None:
    box = mail.box()
    for logged_in in (None, box):
        with greeted(mail, logged_in) as wire:
            for sign, code in ((b"\0", "550 5.7.1"), (b"a\rb", "250 2.0.0")):
                wire.say(b"MAIL FROM:<" + box.address.encode() + b">")
                wire.say(b"RCPT TO:<" + box.address.encode() + b">")
                wire.say("DATA")
                told = wire.say(b"Subject: one\r\n\r\nx" + sign + b"y\r\n.")
                assert told.startswith(code), told
    wait(partial(holds, mail, box, 2))
    for each in mail.stack.delivered(box.address):
        assert b"xa by\n" in each and b"\0" not in each and b"\r" not in each


def test_all_04_a_client_that_stops_within_the_message_leaves_nothing(mail: Place) -> None:
    box = mail.box()
    with greeted(mail, box) as wire:
        wire.say(b"MAIL FROM:<" + box.address.encode() + b">")
        wire.say(b"RCPT TO:<" + box.address.encode() + b">")
        wire.say("DATA")
        wire.send(b"Subject: half\r\n\r\nhalf a mess")
        wire.socket.shutdown(socket.SHUT_RDWR)
    mail.stack.wait_for_log("lost connection after DATA")
    assert mail.stack.delivered(box.address) == []
    assert receives(mail, box) == "in"


def test_all_04_a_message_over_the_limit_is_refused_before_and_after_it_was_sent(
    mail: Place,
) -> None:
    box = mail.box()
    with greeted(mail) as wire:
        told = wire.say("MAIL FROM:<a@example.net> SIZE=99999999")
        assert told.startswith("552 5.3.4"), told
    assert receives(mail, box) == "in"


# After all that


def test_isp_01_no_password_lands_in_a_log_or_in_a_file_that_others_read(mail: Place) -> None:
    box = mail.box()
    typed = mail.app_password(box)
    for password in (box.password, typed, "Wrong9Password"):
        mail.opens(box.address, password)
        mail.smtp_answer(box.address, password, "LOGIN")
    log = mail.stack.log()
    assert box.address in log
    for password in {*mail.typed, mailstack.ROLE_PASSWORD}:
        raw = password.encode()
        for form in (
            password,
            base64.b64encode(raw).decode(),
            plain(box.address, password),
            hashlib.sha256(raw).hexdigest(),
        ):
            assert form not in log
    for folder in (mail.stack.home / "render", mail.stack.home / "etc"):
        for file in folder.rglob("*"):
            if file.is_file() and mailstack.ROLE_PASSWORD in file.read_text("utf-8"):
                assert file.stat().st_mode & 0o007 == 0, file
