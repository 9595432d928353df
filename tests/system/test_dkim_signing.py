"""A real OpenDKIM beside Postfix: what members submit is signed by the key of the day, and nothing else is."""

from __future__ import annotations

import itertools
import re
import smtplib
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import dkim
import dns.rdata
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
