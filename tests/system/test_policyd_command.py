"""`isp policyd` as a process of its own, asked over the wire and by the real Postfix."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import town
from mailstack import MailStack, set_knobs
from office import Office
from postgresql import Cluster
from sqlalchemy import make_url
from test_smtpd_command import ISP

from isp.calendar import TOKYO

TARO, HANAKO = "taro@example.jp", "hanako@example.jp"
MESSAGE = b"From: taro@example.jp\r\nTo: hanako@example.jp\r\nSubject: %b\r\n\r\nHello\r\n"
TODAY = datetime.now(TOKYO).date().isoformat()


class Asker:
    """A running `isp policyd`, and one connection to it."""

    def __init__(self, process: subprocess.Popen[str], place: str) -> None:
        self.process, self.place = process, place
        kind, _, where = place.partition(":")
        if kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(where)
        else:
            host, _, port = where.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), 10)
        self.socket.settimeout(10)

    def ask(self, state: str, login: str, instance: str, count: int = 0) -> str:
        told = {
            "request": "smtpd_access_policy",
            "protocol_state": state,
            "client_address": "192.0.2.7",
            "client_port": "40001",
            "sasl_username": login,
            "instance": instance,
            "recipient_count": count,
        }
        self.socket.sendall("".join(f"{k}={v}\n" for k, v in told.items()).encode() + b"\n")
        read = b""
        while not read.endswith(b"\n\n"):
            more = self.socket.recv(4_096)
            assert more, "it has hung up"
            read += more
        return read.decode("ascii").strip().removeprefix("action=")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(how)
        _, notes = self.process.communicate(timeout=20)
        return self.process.returncode, notes


@contextmanager
def asking(office: Office, *words: str) -> Iterator[Asker]:
    """`isp policyd`; ended, if need be by force, when the test is over."""
    process = subprocess.Popen(
        [str(ISP), "--lang", "en", "policyd", *(words or ("--port", "0"))],
        env={
            **os.environ,
            "ISP_CONFIG": str(office.config),
            "ISP_DATABASE_URL": office.database_url,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    asker = None
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"listening at (\S+)", line):
                asker = Asker(process, found[1])
                yield asker
                break
        else:
            raise AssertionError("it did not begin to listen")
    finally:
        if asker is not None:
            asker.socket.close()
        if process.poll() is None:
            process.kill()
            process.communicate()


def two_mailboxes(office: Office) -> str:
    """The password of the first."""
    office.ok("--today", TODAY, "domain", "add", "example.jp")
    town.plan(office, TODAY, "P", 1000, 1)
    member = town.member(office, TODAY, "invoice")
    contract = town.contract(office, TODAY, member, "P", TODAY)
    made = [
        office.ok("mailbox", "add", each, "--contract", contract)["password"]
        for each in (TARO, HANAKO)
    ]
    return str(made[0])


@pytest.mark.req("ISP-01", "ISP-17")
def test_the_database_decides_and_what_was_sent_outlives_a_kill(office: Office) -> None:
    two_mailboxes(office)
    set_knobs(office.config, {"platform__recipients_per_hour": 3})
    with asking(office) as policyd:
        assert policyd.ask("CONNECT", "", "") == "DUNNO"
        assert policyd.ask("RCPT", TARO, "1") == "DUNNO"
        assert policyd.ask("END-OF-MESSAGE", TARO, "1", 2) == "DUNNO"
        office.ok("mailbox", "suspend", TARO, "--reason", "Unpaid fees")
        assert policyd.ask("RCPT", TARO, "2") == "550 5.7.13 Unpaid fees"
        office.ok("mailbox", "resume", TARO)
        assert policyd.ask("RCPT", TARO, "2") == "DUNNO"
        office.ok("mailbox", "reissue", TARO)
        assert policyd.ask("RCPT", TARO, "3").startswith("530 5.7.0 Your password has changed")
        assert policyd.ask("RCPT", HANAKO, "4") == "DUNNO"
        office.ok("mailbox", "remove", HANAKO, "--now")
        assert policyd.ask("RCPT", HANAKO, "4") == "550 5.7.13 This mailbox has been closed"
        policyd.stop(signal.SIGKILL)
    with asking(office, "--socket", str(office.folder / "policy")) as policyd:
        assert policyd.ask("RCPT", TARO, "5") == "DUNNO"
        assert policyd.ask("END-OF-MESSAGE", TARO, "5", 1) == "DUNNO"
        assert policyd.ask("RCPT", TARO, "6").startswith("452 4.7.1 This mailbox may send to 3 ")
        code, notes = policyd.stop()
    assert code == 0 and "Traceback" not in notes
    assert f"192.0.2.7: sending by {TARO} refused: 452 4.7.1" in notes
    assert not (office.folder / "policy").exists()
    assert (office.folder / "policyd.sent").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_signal_while_postfix_is_connected(office: Office, how: signal.Signals) -> None:
    office.ok("domain", "list")
    with asking(office) as policyd:
        assert policyd.ask("RCPT", "", "1") == "DUNNO"
        code, notes = policyd.stop(how)
    assert code == 0 and "Traceback" not in notes


def test_all_04_bad_words_are_one_line(office: Office) -> None:
    assert office.refused("policyd", "--socket", "x", "--port", "5").startswith("socket: ")
    with asking(office) as policyd:
        answer = office("policyd", "--port", policyd.place.rpartition(":")[2])
        assert answer.exit_code == 1
        assert answer.stderr.splitlines()[-1].startswith("Error: cannot listen at inet:127.0.0.1:")


def test_while_the_database_is_away_mail_waits(
    tmp_path: Path,
    cluster: Cluster,
    new_postgresql: Callable[[str], str],
    postgresql_template: str,
) -> None:
    office = Office(tmp_path, new_postgresql(postgresql_template))
    name = str(make_url(office.database_url).database)
    two_mailboxes(office)
    with asking(office) as policyd, cluster.connect() as server:
        assert policyd.ask("RCPT", TARO, "1") == "DUNNO"
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        for state in ("RCPT", "END-OF-MESSAGE"):
            answer = policyd.ask(state, TARO, "1", 1)
            assert answer == "451 4.3.0 Something is wrong here: try again later"
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert policyd.ask("RCPT", TARO, "1") == "DUNNO"
        _, notes = policyd.stop()
    assert "Traceback" not in notes


# The real Postfix


@contextmanager
def asked_by_postfix(office: Office, **knobs: int) -> Iterator[MailStack]:
    """Postfix and Dovecot as they are rendered, with a running policyd."""
    set_knobs(office.config, {f"platform__{name}": value for name, value in knobs.items()})
    with asking(office) as policyd:
        with MailStack(office, platform__policy_service=policyd.place) as mail:
            yield mail


def refused(client: smtplib.SMTP, subject: bytes, *recipients: str) -> tuple[int, str]:
    """Code and text with which Postfix refuses a message."""
    with pytest.raises(smtplib.SMTPException) as why:
        client.sendmail(TARO, recipients or (HANAKO,), MESSAGE % subject)
    if isinstance(why.value, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(why.value.recipients.values()))
        return code, said.decode()
    assert isinstance(why.value, smtplib.SMTPResponseException)
    text = why.value.smtp_error
    return why.value.smtp_code, text.decode() if isinstance(text, bytes) else text


@pytest.mark.req("ISP-17")
def test_isp_17_postfix_asks_and_obeys_the_limit(office: Office) -> None:
    password = two_mailboxes(office)
    with asked_by_postfix(office, recipients_per_hour=3) as mail:
        with mail.submission(TARO, password) as client:
            client.sendmail(TARO, [HANAKO, TARO], MESSAGE % b"first")
            code, _ = refused(client, b"refused", "nobody@example.jp")
            assert code == 550, "which does not count"
            client.sendmail(TARO, [HANAKO], MESSAGE % b"second")
            code, text = refused(client, b"third")
        assert code == 452 and "4.7.1" in text and "to 3 recipients in one hour" in text
        assert "reject: RCPT" in mail.wait_for_log("may send to 3 recipients")
        for subject in (b"first", b"second"):
            mail.wait_for(HANAKO, subject)
        assert len(mail.delivered(HANAKO)) == 2


@pytest.mark.req("ISP-01")
def test_isp_01_sessions_of_postfix_end_with_the_right_to_send(office: Office) -> None:
    password = two_mailboxes(office)
    with asked_by_postfix(office) as mail, mail.submission(TARO, password) as client:
        # Logged in, and nothing sent yet.
        office.ok("mailbox", "suspend", TARO, "--reason", "Unpaid fees")
        code, text = refused(client, b"suspended")
        assert code == 550 and "5.7.13" in text and "Unpaid fees" in text
        office.ok("mailbox", "resume", TARO)
        client.sendmail(TARO, [HANAKO], MESSAGE % b"resumed")
        with mail.submission(TARO, password) as idle:
            new = office.ok("mailbox", "reissue", TARO)["password"]
            for session in (client, idle):
                code, text = refused(session, b"reissued")
                assert code == 530 and "log in again" in text
        with mail.submission(TARO, new) as again:
            again.sendmail(TARO, [HANAKO], MESSAGE % b"again")
        mail.wait_for(HANAKO, b"again")
        assert len(mail.delivered(HANAKO)) == 2
