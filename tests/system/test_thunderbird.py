"""Thunderbird finds its settings by itself, sends and reads: an address and a password are enough (ISP-17).

Nothing is prepared for mail: the account is made by name, address and password typed into its
account set-up, with what `isp serve` tells it over HTTP; then one message goes through Postfix and
comes back by Dovecot's IMAP.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from desk import TODAY, joined, on
from desktop import Screen, Thunderbird
from mailstack import MailStack
from office import Office

ADDRESS, NAME = "hanako@example.jp", "Hanako Yamada"
SUBJECT, TEXT = "A letter to myself", "Konnichiwa, Hanako."
ISP = Path(sys.executable).with_name("isp")
HTTP = 80
"""Where Thunderbird asks; it takes no other port."""

FORWARD = "#emailFooter #forward"


@contextmanager
def served(office: Office) -> Iterator[None]:
    """`isp serve` on port 80 of 127.0.0.1, which tests that run at the same time have in turn."""
    with Path("/tmp/isp-port-80.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {"ISP_CONFIG": str(office.config), "ISP_DATABASE_URL": office.database_url}
        process = subprocess.Popen(
            [str(ISP), "serve", "--port", str(HTTP)],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "listening" in said, f"port {HTTP} of 127.0.0.1 has to be free: {said}"
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


@pytest.fixture
def stack(office: Office) -> Iterator[MailStack]:
    with MailStack(office) as made:
        office.ok("domain", "add", "example.jp")
        yield made


def mailbox(office: Office) -> str:
    """The password of a new member."""
    added = office.ok(*on(TODAY), "mailbox", "add", ADDRESS, "--contract", joined(office))
    return str(added["password"])


@contextmanager
def thunderbird(folder: Path, authority: Path | None) -> Iterator[Thunderbird]:
    """Thunderbird as on its first day; the web server's name is all that it is told."""
    with Screen() as screen:
        with Thunderbird(screen, folder, ["autoconfig.example.jp"], authority) as program:
            program.turn_to("messenger.xhtml")
            yield program


def introduce(program: Thunderbird) -> None:
    """Name and address, until the password is asked for."""
    program.fill("#realName", NAME)
    program.fill("#email", ADDRESS)
    program.click(FORWARD)
    program.wait_for("seen('#emailConfigFoundSubview')")
    program.click(FORWARD)


def type_password(program: Thunderbird, password: str) -> None:
    program.fill("#password", password)
    program.click(FORWARD)


def send(program: Thunderbird) -> None:
    program.click("#folderPaneWriteMessage")
    program.turn_to("messengercompose.xhtml")
    program.fill("#toAddrInput", ADDRESS)
    program.fill("#msgSubject", SUBJECT)
    program.wait_for("seen('mail-address-pill')")
    program.write("#messageEditor", TEXT)
    program.click("#button-send")
    program.until(lambda: len(program.windows()) == 1, "the message is not sent")
    program.turn_to("messenger.xhtml")


def told(office: Office) -> tuple[dict[str, str], dict[str, str]]:
    """The servers for IMAP and for sending that `isp autoconfig` names first to Thunderbird."""
    show = ("autoconfig", "show", ADDRESS, "--as", "thunderbird")
    answer = ElementTree.fromstring(office.ok(*show)["content"].encode())
    incoming, outgoing = answer.find(".//incomingServer"), answer.find(".//outgoingServer")
    assert incoming is not None and incoming.get("type") == "imap" and outgoing is not None
    return _words(incoming), _words(outgoing)


def _words(server: ElementTree.Element) -> dict[str, str]:
    return {each.tag: each.text or "" for each in server}


def understood(prefs: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The same servers as they stand in Thunderbird's preferences, where security is a number."""
    securities = {0: "plain", 2: "STARTTLS", 3: "SSL"}
    [account] = [name.removesuffix("type") for name, value in prefs.items() if value == "imap"]
    sending = f"mail.smtpserver.{prefs['mail.smtpservers']}."

    def words(server: str, user: str, security: str) -> dict[str, str]:
        assert prefs[server + user] == ADDRESS
        assert prefs.get(f"{server}authMethod", 3) == 3  # a password, as it is by default
        return {
            "hostname": prefs[f"{server}hostname"],
            "port": str(prefs[f"{server}port"]),
            "socketType": securities[prefs[server + security]],
            "username": "%EMAILADDRESS%",
            "authentication": "password-cleartext",
        }

    return words(account, "userName", "socketType"), words(sending, "username", "try_ssl")


def read_on_the_server(stack: MailStack, password: str) -> bool:
    with stack.imap(ADDRESS, password) as client:
        client.select(readonly=True)
        return client.search(None, "SEEN")[1] == [b"1"]


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Office:
    return Office(tmp_path, database_url)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.req("ISP-17")
def test_isp_17_thunderbird_needs_no_more_than_address_and_password(
    office: Office, stack: MailStack, tmp_path: Path
) -> None:
    password = mailbox(office)
    authority = stack.home / "tls" / "ca.pem"
    with served(office), thunderbird(tmp_path / "desktop", authority) as program:
        introduce(program)
        type_password(program, "Chigau-no-1")
        program.wait_for("text('#emailFormNotification').includes('Authentication error')")
        assert f"Login: user=<{ADDRESS}>" not in stack.log()
        type_password(program, password)
        program.wait_for("seen('#emailAddedSuccessSubview')")
        stack.wait_for_log(f"imap-login: .*Login: user=<{ADDRESS}>.*TLS")
        assert understood(program.prefs()) == told(office)

        program.click(FORWARD)
        send(program)
        message = stack.wait_for(ADDRESS, f"Subject: {SUBJECT}".encode(), seconds=30)
        assert f"From: {NAME} <{ADDRESS}>".encode() in message and TEXT.encode() in message
        assert b"with ESMTPSA" in message and b"User-Agent: Mozilla Thunderbird" in message
        stack.wait_for_log(f"sasl_method=PLAIN, sasl_username={ADDRESS}")

        program.click("li[data-folder-type=inbox] .name")
        program.click("#threadTree .card-layout .subject")
        program.wait_for(f"text('#messagepane').endsWith('{TEXT}')")
        program.until(lambda: read_on_the_server(stack, password), "the message stays unread")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.req("ISP-17")
def test_isp_17_thunderbird_gives_no_password_to_a_server_that_it_cannot_trust(
    office: Office, stack: MailStack, tmp_path: Path
) -> None:
    password = mailbox(office)
    with served(office), thunderbird(tmp_path / "desktop", authority=None) as program:
        introduce(program)
        type_password(program, password)
        program.turn_to("exceptionDialog.xhtml")
        program.wait_for("text('#exceptiondialog').includes('Unknown Identity')")
    assert f"user=<{ADDRESS}>" not in stack.log() and "sasl" not in stack.log()
