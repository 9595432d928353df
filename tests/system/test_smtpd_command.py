"""`isp smtpd` as a process of its own, used by a mail program that was set up by the guide alone."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import town
from mailstack import set_knobs
from office import Office
from sqlalchemy import select, update

from isp.database import engine
from provisioning.passwords import verify
from provisioning.tables import Mailbox

ISP = Path(sys.executable).with_name("isp")
SENDER, READER, STRANGER = "taro@example.jp", "hanako@example.jp", "kaeru@example.org"


class Server:
    """A running `isp smtpd` and what it needs to be reached."""

    def __init__(self, office: Office, process: subprocess.Popen[str], port: int) -> None:
        self.office, self.process, self.port = office, process, port
        self.tls = ssl.create_default_context(cafile=str(office.folder / "smtpd.crt"))
        self.tls.check_hostname = False  # the certificate is for the host of the guide

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it said."""
        self.process.send_signal(how)
        _, notes = self.process.communicate(timeout=20)
        return self.process.returncode, notes

    def submit(self, settings: dict[str, Any], password: str, to: str, sender: str = "") -> str:
        """Send as the guide says, on the host and port of the test; the line of the body."""
        outgoing = settings["outgoing"]
        assert (outgoing["port"], outgoing["security"]) == (587, "starttls")
        message = EmailMessage()
        message["From"], message["To"] = sender or settings["address"], to
        message["Subject"] = "こんにちは"
        message.set_content(f"from {message['From']} to {to}\n")
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            client.starttls(context=self.tls)
            client.login(settings["username"], password)
            client.send_message(message)
        return str(message["From"])


@contextmanager
def serving(office: Office, *words: str) -> Iterator[Server]:
    """The server on a free port; ended, if need be by force, when the test is over."""
    process = subprocess.Popen(
        [str(ISP), "smtpd", "--host", "127.0.0.1", "--port", "0", *words],
        env={
            **os.environ,
            "ISP_CONFIG": str(office.config),
            "ISP_DATABASE_URL": office.database_url,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"listening on 127\.0\.0\.1 port (\d+)", line):
                yield Server(office, process, int(found[1]))
                break
        else:
            raise AssertionError("the server did not begin to listen")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def mail_office(office: Office) -> tuple[Office, str]:
    """An office whose member has two mailboxes, and the password of the first."""
    today = "2026-01-05"
    office.ok("--today", today, "domain", "add", "example.jp")
    town.plan(office, today, "P", 1000, 1)
    member = town.member(office, today, "invoice")
    contract = town.contract(office, today, member, "P", today)
    passwords = [
        office.ok("--today", today, "mailbox", "add", each, "--contract", contract)["password"]
        for each in (SENDER, READER)
    ]
    return office, str(passwords[0])


def settings_of(office: Office, address: str = SENDER) -> dict[str, Any]:
    guide = office.ok("guide", "show", address, "--client", "thunderbird", "--as", "json")
    found: dict[str, Any] = guide["settings"]
    return found


def inbox(office: Office, address: str) -> list[bytes]:
    name, _, domain = address.partition("@")
    return [file.read_bytes() for file in (office.folder / "mail" / domain / name).glob("new/*")]


def refused(what: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(smtplib.SMTPResponseException) as why:
        what()
    said = why.value.smtp_error
    return why.value.smtp_code, said.decode() if isinstance(said, bytes) else said


@pytest.mark.req("ISP-17")
def test_isp_17_a_program_set_up_by_the_guide_sends_until_the_server_is_ended(
    mail_office: tuple[Office, str],
) -> None:
    office, password = mail_office
    with serving(office) as server:
        server.submit(settings_of(office), password, READER)
        [message] = inbox(office, READER)
        assert f"from {SENDER} to {READER}".encode() in message
        code, notes = server.stop()
    assert code == 0 and "Traceback" not in notes and password not in notes
    assert inbox(office, READER) == [message]
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("127.0.0.1", server.port, timeout=5)


@pytest.mark.req("ISP-01")
def test_isp_01_a_re_issued_password_kills_the_old_one_at_once(
    mail_office: tuple[Office, str],
) -> None:
    office, old = mail_office
    settings = settings_of(office)
    with serving(office) as server:
        server.submit(settings, old, READER)
        new = office.ok("mailbox", "reissue", SENDER)["password"]
        assert refused(lambda: server.submit(settings, old, READER))[0] == 535
        server.submit(settings, new, READER)
        assert len(inbox(office, READER)) == 2
        _, notes = server.stop()
    assert old not in notes and new not in notes


def test_a_suspended_mailbox_cannot_send_and_receives_on(
    mail_office: tuple[Office, str],
) -> None:
    office, password = mail_office
    settings = settings_of(office)
    reader = office.ok("mailbox", "reissue", READER)["password"]
    with serving(office) as server:
        office.ok("mailbox", "suspend", SENDER, "--reason", "unpaid")
        code, _ = refused(lambda: server.submit(settings, password, READER))
        assert 500 <= code < 600 and inbox(office, READER) == []
        server.submit(settings_of(office, READER), reader, SENDER)
        assert len(inbox(office, SENDER)) == 1
        office.ok("mailbox", "resume", SENDER)
        server.submit(settings, password, READER)
        assert len(inbox(office, READER)) == 1
        office.ok("mailbox", "remove", SENDER, "--now")
        assert refused(lambda: server.submit(settings, password, READER))[0] == 535


def test_nobody_sends_in_anothers_name_or_to_places_that_are_not_served(
    mail_office: tuple[Office, str],
) -> None:
    office, password = mail_office
    settings = settings_of(office)
    with serving(office) as server:
        code, _ = refused(lambda: server.submit(settings, password, READER, sender=READER))
        assert 500 <= code < 600
        for nowhere in ("nobody@example.jp", STRANGER):  # no smarthost is set
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                server.submit(settings, password, nowhere)
        with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
            client.ehlo()
            assert not client.has_extn("auth") and client.has_extn("starttls")
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail(SENDER, READER, b"Subject: x\r\n\r\nx\r\n")
        assert inbox(office, READER) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_by_signal_with_exit_code_0(
    mail_office: tuple[Office, str], how: signal.Signals
) -> None:
    """Who is connected is told that the server stops."""
    office, _ = mail_office
    with serving(office) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, timeout=20)
        code, notes = server.stop(how)
        assert client.getreply()[0] == 421
        client.close()
    assert code == 0 and "Traceback" not in notes


def test_a_port_in_use_is_one_line_and_exit_code_1(mail_office: tuple[Office, str]) -> None:
    office, _ = mail_office
    with serving(office) as server:
        second = subprocess.run(
            [str(ISP), "smtpd", "--host", "127.0.0.1", "--port", str(server.port)],
            env={
                **os.environ,
                "ISP_CONFIG": str(office.config),
                "ISP_DATABASE_URL": office.database_url,
            },
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert second.returncode == 1 and "Traceback" not in second.stderr
    assert second.stderr.splitlines()[-1].startswith("Error: ")


def test_the_certificate_is_made_once_and_kept(mail_office: tuple[Office, str]) -> None:
    office, password = mail_office
    with serving(office) as server:
        first = (office.folder / "smtpd.crt").read_bytes()
        assert (office.folder / "smtpd.key").stat().st_mode & 0o777 == 0o600
        server.stop()
    kept = office.folder / "kept.crt"
    shutil.copy(office.folder / "smtpd.crt", kept)
    with serving(office) as server:
        server.submit(settings_of(office), password, READER)
    assert kept.read_bytes() == first == (office.folder / "smtpd.crt").read_bytes()


@pytest.mark.req("ISP-01")
def test_isp_01_directions_aliases_and_app_passwords_count_at_once(
    mail_office: tuple[Office, str],
) -> None:
    office, password = mail_office
    settings = settings_of(office)
    alias = "yamada@example.jp"
    with serving(office) as server:
        phone = office.ok("app-password", "add", SENDER, "--name", "phone")["password"]
        assert refused(lambda: server.submit(settings, password, READER, sender=alias))[0] == 553
        office.ok("alias", "add", alias, "--to", SENDER)
        server.submit(settings, phone, READER, sender=alias)
        [message] = inbox(office, READER)
        assert f"Return-Path: <{alias}>".encode() in message
        server.submit(settings, password, alias)
        assert len(inbox(office, SENDER)) == 1, "an alias arrives in its mailbox"
        office.ok("mailbox", "suspend", READER, "--direction", "receive")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as why:
            server.submit(settings, phone, READER)
        [(code, text)] = why.value.recipients.values()
        assert code == 550 and text.startswith(b"5.2.1 ")
        office.ok("app-password", "revoke", SENDER, "--name", "phone")
        assert refused(lambda: server.submit(settings, phone, SENDER))[0] == 535
        server.submit(settings, password, SENDER)
        _, notes = server.stop()
    assert phone not in notes and password not in notes


def test_sending_limits_outlive_the_server(mail_office: tuple[Office, str]) -> None:
    office, password = mail_office
    set_knobs(office.config, {"platform__recipients_per_hour": 2})
    settings = settings_of(office)
    with serving(office) as server:
        server.submit(settings, password, READER)
        server.submit(settings, password, READER)
        server.stop(signal.SIGKILL)
    with serving(office) as server:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as why:
            server.submit(settings, password, READER)
        [(code, text)] = why.value.recipients.values()
        assert code == 452 and text.startswith(b"4.7.1 This mailbox may send to 2 recipients")
    assert len(inbox(office, READER)) == 2


def test_a_hash_taken_over_is_kept_by_the_policys_scheme_after_one_log_in(
    mail_office: tuple[Office, str],
) -> None:
    """Also while the office is writing: the log-in waits for nobody."""
    office, password = mail_office
    digest = hashlib.sha512(password.encode() + b"salt").digest() + b"salt"
    old = "{SSHA512}" + base64.b64encode(digest).decode()
    database = engine(office.database_url)
    with database.begin() as connection:
        change = update(Mailbox).where(Mailbox.address == SENDER).values(password_hash=old)
        connection.execute(change)
    settings = settings_of(office)
    with serving(office) as server:
        with database.begin() as connection:
            connection.execute(update(Mailbox).values(quota_mb=1))
            server.submit(settings, password, READER)
        server.submit(settings, password, READER)
        code, notes = server.stop()
    with database.connect() as connection:
        kept = connection.scalars(
            select(Mailbox.password_hash).where(Mailbox.address == SENDER)
        ).one()
    database.dispose()
    assert kept.startswith("{ARGON2ID}") and verify(password, kept)
    [act] = [
        each for each in office.ok("journal", SENDER) if each["act"] == "mailbox.password-rehashed"
    ]
    assert (act["actor"], act["before"], act["after"]) == (
        *("smtpd", {"scheme": "SSHA512"}),
        {"scheme": "ARGON2ID"},
    )
    assert code == 0 and kept not in notes and old not in notes and password not in notes
