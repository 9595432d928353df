"""A real OpenDKIM beside Postfix: what members submit is signed by the key of the day, and nothing else is."""

from __future__ import annotations

import itertools
import re
import smtplib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any

import dkim
import mailstack
import pytest
from desk import acts
from office import Office
from submission import Smarthost

from isp.calendar import TOKYO

COUNT = itertools.count(1)
START = datetime.now(TOKYO).date() - timedelta(days=90)
HOSTS: dict[str, Any] = {
    f"mail.{server}__host": "mail.isp.example"  # DNS is spoken of here: "localhost" is no name in it
    for server in (
        *("imap", "pop3", "imap_legacy", "pop3_legacy"),
        *("submission", "submissions", "submission_legacy"),
    )
}
MEMBER, BOSS, BRANCH = "taro@example.jp", "boss@company.jp", "hanako@branch.example.jp"


class Town:
    """Three domains, two of which have keys; members of each; and a world that takes all mail."""

    def __init__(self, office: Office, stack: mailstack.MailStack, world: Smarthost) -> None:
        self.office, self.stack, self.world = office, stack, world
        self.passwords: dict[str, str] = {}

    def on(self, day: int) -> tuple[str, str]:
        return "--today", (START + timedelta(days=day)).isoformat()

    def settle(self) -> None:
        joined = self.office.ok(
            *(*self.on(0), "customer", "add", "--name", "会員", "--kana", "カイイン"),
            *("--kind", "individual", "--email", "m@example.net", "--phone", "03-1234-5678"),
            *("--postal-code", "100-0001", "--address", "東京都千代田区千代田1-1"),
        )["number"]
        self.office.ok(
            *(*self.on(0), "plan", "add", "HIKARI", "--name", "光", "--monthly-fee", 5000),
            *("--term-months", 24, "--mailboxes", 99),
        )
        contract = self.office.ok(
            *(*self.on(0), "contract", "apply", joined, "HIKARI"),
            *("--concluded-on", START.isoformat()),
        )["number"]
        self.office.ok(*self.on(0), "contract", "open", contract, "--on", START.isoformat())
        for address in (MEMBER, BOSS, BRANCH):
            domain = address.partition("@")[2]
            self.office.ok(*self.on(0), "domain", "add", domain)
            made = self.office.ok("mailbox", "add", address, "--contract", contract)
            self.passwords[address] = made["password"]
            if address != BRANCH:
                self.office.ok(*self.on(0), "domain", "dkim", "rotate", domain)

    def night(self, day: int) -> None:
        self.office.ok(*self.on(day), "daily")

    def send(
        self,
        login: str,
        sender: str | None = None,
        written: str | None = None,
        *,
        tls: bool = False,
    ) -> bytes:
        """Submit a message to the world; what the world gets."""
        subject = f"needle-{next(COUNT)}-"
        sender = login if sender is None else sender
        text = f"From: <{written or sender}>\r\nTo: <a@example.net>\r\nSubject: {subject}\r\n\r\nhello \r\n\r\n"
        enter = self.stack.submissions if tls else self.stack.submission
        with enter(login, self.passwords[login]) as client:
            client.sendmail(sender, ["a@example.net"], text.encode())
        return self.got(subject)

    def got(self, needle: str) -> bytes:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for taken in self.world.taken:
                if needle.encode() in taken.content:
                    return taken.content
            time.sleep(0.02)
        raise AssertionError(f"{needle} has not left:\n{self.stack.log()[-3000:]}")

    def verifies(self, message: bytes, day: int) -> bool:
        """Whether somebody outside believes the signature, by what the domains publish on that day."""
        published = {}
        for domain in ("example.jp", "company.jp"):
            for record in self.office.ok(*self.on(day), "domain", "records", domain):
                if "._domainkey." in record["name"]:
                    text = record["data"].removeprefix('"').removesuffix('"').replace('" "', "")
                    published[record["name"].encode()] = text.encode()
        return bool(dkim.verify(message, dnsfunc=lambda name, timeout=5: published.get(name)))

    def files(self) -> list[str]:
        assert self.stack.dkim
        return sorted(each.name for each in self.stack.dkim.iterdir())


def signatures(message: bytes) -> list[dict[str, str]]:
    """The tags of each signature."""
    found: Message = message_from_bytes(message)
    return [
        {
            tag: re.sub(r"\s", "", value)
            for tag, _, value in (each.strip().partition("=") for each in str(header).split(";"))
        }
        for header in found.get_all("DKIM-Signature", [])
    ]


def signed_by(message: bytes) -> list[tuple[str, str]]:
    return [(each["d"], each["s"]) for each in signatures(message)]


def selector(day: int) -> str:
    return f"s{START + timedelta(days=day):%Y%m%d}"


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Town]:
    """On the third day, when the first keys begin to sign."""
    shared = (
        *(request.getfixturevalue("sqlite_template"), request.getfixturevalue("cluster")),
        request.getfixturevalue("postgresql_template"),
    )
    with (
        mailstack.module_office("sqlite", tmp_path_factory.mktemp("dkim"), *shared) as office,
        Smarthost() as world,
        mailstack.MailStack(office, world.port, signs=True, **HOSTS) as stack,
    ):
        made = Town(office, stack, world)
        made.settle()
        made.night(3)
        yield made


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("tls", [False, True], ids=["587", "465"])
def test_isp_17_what_a_member_submits_is_signed_and_verifies(town: Town, tls: bool) -> None:
    message = town.send(MEMBER, tls=tls)
    [signature] = signatures(message)
    assert {tag: signature[tag] for tag in ("v", "a", "c", "d", "s")} == {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": "example.jp",
        "s": selector(0),
    }
    assert "l" not in signature
    assert signature["h"].lower().split(":").count("from") == 2
    assert town.verifies(message, 4)
    assert not town.verifies(b"From: <president@example.jp>\r\n" + message, 4)
    assert not town.verifies(message + b"and more\r\n", 4)
    assert not town.verifies(message.replace(b"<taro@", b"<jiro@"), 4)


# Whose signature


@pytest.mark.parametrize("written", [BOSS, f"Boss <{BOSS}>, {MEMBER}", f"{MEMBER}>, <{BOSS}"])
def test_a_member_cannot_get_another_domains_signature_by_writing_its_address(
    town: Town, written: str
) -> None:
    """Both domains have keys here; the envelope is the member's own, as Postfix has seen to."""
    assert signed_by(town.send(MEMBER, written=written)) == [("example.jp", selector(0))]


@pytest.mark.parametrize(
    "sender",
    [
        BOSS,
        f'"{BOSS}"@example.jp',
        "taro%company.jp@example.jp",
        "taro@company.jp",
    ],
)
def test_a_member_cannot_send_as_another_domain(town: Town, sender: str) -> None:
    """Written as it is: smtplib parses addresses, and each Python makes something else of them."""
    with town.stack.submission(MEMBER, town.passwords[MEMBER]) as client:
        codes = [client.docmd("MAIL", f"FROM:<{sender}>")[0]]
        codes.append(client.docmd("RCPT", "TO:<a@example.net>")[0])
    assert codes[1] >= 500, codes


def test_a_route_before_the_address_is_thrown_away(town: Town) -> None:
    """RFC 5321, appendix C: what is left is the member's own address, and its domain signs."""
    subject = f"needle-{next(COUNT)}-"
    with town.stack.submission(MEMBER, town.passwords[MEMBER]) as client:
        client.docmd("MAIL", f"FROM:<@company.jp:{MEMBER}>")
        client.docmd("RCPT", "TO:<a@example.net>")
        client.data(f"From: <{BOSS}>\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
    assert signed_by(town.got(subject)) == [("example.jp", selector(0))]


def test_one_address_has_one_signature_however_it_is_written(town: Town) -> None:
    message = town.send(MEMBER, sender="Taro@EXAMPLE.JP", written=MEMBER)
    assert signed_by(message) == [("example.jp", selector(0))]
    assert town.verifies(message, 4)


def test_a_message_without_a_sender_is_nobodys(town: Town) -> None:
    assert signatures(town.send(MEMBER, sender="", written=BOSS)) == []


def test_an_alias_signs_for_its_own_domain(town: Town) -> None:
    town.office.ok("alias", "add", "sales@company.jp", "--to", MEMBER)
    message = town.send(MEMBER, sender="sales@company.jp")
    assert signed_by(message) == [("company.jp", selector(0))]
    assert town.verifies(message, 4)


def test_a_domain_without_a_key_sends_unsigned(town: Town) -> None:
    """It lies below one that has a key, which does not vouch for it."""
    assert signatures(town.send(BRANCH)) == []


def test_what_comes_from_outside_is_not_signed_here_or_on_its_way_on(town: Town) -> None:
    town.office.ok("mailbox", "forward", BOSS, "--to", "elsewhere@example.net")
    for sender in ("stranger@example.net", BOSS):  # the second is forged
        needle = f"needle-{next(COUNT)}-"
        text = f"From: <{BOSS}>\r\nTo: <{BOSS}>\r\nSubject: {needle}\r\n\r\nhello\r\n"
        town.stack.receive(sender, [BOSS], text.encode())
        assert signatures(town.stack.wait_for(BOSS, needle.encode())) == []
        assert signatures(town.got(needle)) == []
    town.office.ok("mailbox", "forward", BOSS, "--off")


# OpenDKIM away


def test_without_opendkim_mail_waits_with_the_member(town: Town) -> None:
    town.stack.stop_opendkim()
    try:
        before = len(town.world.taken)
        for tls in (False, True):
            with pytest.raises(smtplib.SMTPResponseException) as refused:
                town.send(MEMBER, tls=tls)
            assert refused.value.smtp_code in (451, 454)  # never 535: the password is right
        needle = f"needle-{next(COUNT)}-"
        town.stack.receive("a@example.net", [BOSS], f"Subject: {needle}\r\n\r\nx\r\n".encode())
        town.stack.wait_for(BOSS, needle.encode())
        assert len(town.world.taken) == before
    finally:
        town.stack.start_opendkim()
    assert signed_by(town.send(MEMBER)) == [("example.jp", selector(0))]


# Keys change: the last test, since the days go on


@pytest.mark.req("ALL-02")
@pytest.mark.req("ALL-03")
def test_all_02_the_new_key_takes_over_by_itself_and_old_mail_still_verifies(town: Town) -> None:
    old, new = selector(0), selector(10)
    before = town.send(MEMBER)
    town.office.ok(*town.on(10), "domain", "dkim", "rotate", "example.jp")
    for day in (10, 11, 12):  # published, and not used yet
        town.night(day)
    assert signed_by(town.send(MEMBER)) == [("example.jp", old)]

    reload = town.office.config.read_text()
    mailstack.set_knobs(town.office.config, {"platform__dkim_reload": "false"})
    answer = town.office(*town.on(13), "daily")
    assert answer.exit_code == 1
    [parked] = parked_by(town.office)
    assert "platform.dkim_reload: exit code 1" in parked
    late = town.send(MEMBER)  # OpenDKIM has not heard of it: the old key signs, and is there
    assert signed_by(late) == [("example.jp", old)]
    town.office.config.write_text(reload)

    with town.stack.submission(MEMBER, town.passwords[MEMBER]) as open_meanwhile:
        town.night(13)
        assert parked_by(town.office) == []
        after = town.send(MEMBER)
        assert signed_by(after) == [("example.jp", new)]
        needle = f"needle-{next(COUNT)}-"
        text = f"From: <{MEMBER}>\r\nSubject: {needle}\r\n\r\nhello\r\n"
        open_meanwhile.sendmail(MEMBER, ["a@example.net"], text.encode())
    assert signed_by(town.got(needle)) in ([("example.jp", old)], [("example.jp", new)])
    for message in (before, late, town.got(needle), after):
        assert town.verifies(message, 13)
    assert signed_by(town.send(BOSS)) == [("company.jp", selector(0))]

    town.night(14)
    assert town.files() == [
        "keys",
        f"{selector(0)}._domainkey.company.jp.key",
        f"{new}._domainkey.example.jp.key",
    ]
    assert signed_by(town.send(MEMBER)) == [("example.jp", new)]
    handed = [each for each in acts(town.office, "example.jp") if each["act"] == "dkim.handed-out"]
    assert len(handed) == 2  # one a key, however many nights there were
    town.night(27)
    assert [town.verifies(message, 27) for message in (before, after)] == [False, True]


def parked_by(office: Office) -> list[str]:
    """What `isp check` tells of signing."""
    found = office("check").json["problems"]
    return [each["problem"] for each in found if each["subject"] == "OpenDKIM"]


def test_a_key_that_cannot_be_taken_is_mended_and_meanwhile_nothing_goes_unsigned(
    town: Town,
) -> None:
    assert town.stack.dkim
    [key] = town.stack.dkim.glob("*.company.jp.key")
    for harm in (lambda: key.write_text("no key"), lambda: key.chmod(0o644), key.unlink):
        harm()
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            town.send(BOSS)
        town.office.ok("mail-platform", "reconcile")
        assert signed_by(town.send(BOSS)) == [("company.jp", selector(0))]


def test_postfix_finds_nothing_wrong_with_the_folder_of_the_socket(town: Town) -> None:
    """As the README has it: the check prints nothing."""
    before = town.stack.log()
    assert town.stack.run("postfix", "-c", town.stack.postfix, "check") == ""
    assert "warning" not in town.stack.log().removeprefix(before)
