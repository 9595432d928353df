"""The submission server towards clients that are broken, slow or hostile, over real sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
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
)

from isp.errors import Fault
from isp.policy import Smtpd
from provisioning.sending import SendingLimits
from provisioning.smtpd import Account, Route, SubmissionServer
from provisioning.tally import Tally

# What comes in clear before TLS


@pytest.mark.parametrize(
    "behind",
    [
        b"NOOP\r\n",
        b"EHLO evil\r\nAUTH PLAIN " + plain("taro@example.jp", PASSWORD).encode() + b"\r\n",
        b"MAIL FROM:<taro@example.jp>\r\n" * 100,
    ],
)
def test_commands_behind_starttls_are_dropped(
    serve: Open, trusted: ssl.SSLContext, behind: bytes
) -> None:
    with Wire(serve().port) as wire:
        wire.reply()
        wire.say("EHLO pc")
        wire.send(b"STARTTLS\r\n" + behind)
        assert wire.reply().startswith("220 ")
        wire.socket = trusted.wrap_socket(wire.socket, server_hostname="127.0.0.1")
        assert wire.say("EHLO pc").startswith("250-smtp.example.jp\n250-SIZE")
        assert wire.say("MAIL FROM:<taro@example.jp>") == "530 5.7.0 Authentication required"


def test_noise_in_place_of_a_handshake_ends_the_connection(
    serve: Open, trusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = serve().port
    for noise in (b"QUIT\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b""):
        with Wire(port) as wire:
            wire.reply()
            wire.say("EHLO pc")
            wire.say("STARTTLS")
            try:
                wire.send(noise)
                wire.socket.shutdown(socket.SHUT_WR)
                while wire.socket.recv(65_536):
                    pass
            except ConnectionError:
                pass  # it had hung up before all of the noise was sent
    with logged_in(port, trusted) as client:
        assert client.noop()[0] == 250
    assert "no TLS came about" in caplog.text
    assert "Traceback" not in caplog.text and "a command failed" not in caplog.text


# Messages that would become two elsewhere

SMUGGLED = b"MAIL FROM:<taro@example.jp>%bRCPT TO:<saburo@example.jp>%bDATA%bsmuggled%b.%b"


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n"]
)
@pytest.mark.parametrize("foreign", [False, True])
def test_nothing_but_crlf_dot_crlf_ends_a_message(
    serve: Open,
    trusted: ssl.SSLContext,
    root: Path,
    smarthost: Smarthost,
    end: bytes,
    foreign: bool,
) -> None:
    port = serve(smarthost="127.0.0.1", smarthost_port=smarthost.port).port
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin("hanako@example.com" if foreign else "jiro@example.jp")
        wire.send(
            b"Subject: x\r\n\r\nfirst" + end + SMUGGLED.replace(b"%b", end[-1:]) + b"\r\n.\r\n"
        )
        assert wire.reply() == "550 5.6.0 Lines have to end in CR LF, and neither may stand alone"
        assert wire.say("NOOP").startswith("250"), "nothing of the message was taken for a command"
    assert everything(root) == [] and smarthost.taken == []


def test_a_message_with_a_nul_is_refused(serve: Open, trusted: ssl.SSLContext, root: Path) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        wire.send(b"Subject: x\r\n\r\n\0\r\n.\r\n")
        assert wire.reply() == "550 5.6.0 The message has a NUL in it"
    assert everything(root) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b".\r\n", b"\n"),
        (b"\r\n.\r\n", b"\n"),
        (b"just text\r\n.\r\n", b"\njust text\n"),
        (b" folded: into nothing\r\n.\r\n", b"\n folded: into nothing\n"),
        (b"..\r\n...\r\n.x\r\n.\r\n", b"\n.\n..\nx\n"),
        (b"A: " + b"x" * 15_000 + b"\r\n\r\n.\r\n", b"A: " + b"x" * 15_000 + b"\n\n"),
        (bytes(sorted({*range(1, 256)} - {10, 13})) + b"\r\n.\r\n", None),
        (b"\xff\xfe: \x80\r\n\r\n\xe3\x81\r\n.\r\n", b"\n\xff\xfe: \x80\n\n\xe3\x81\n"),
    ],
)
def test_odd_messages_are_kept_as_they_are(
    serve: Open, trusted: ssl.SSLContext, root: Path, sent: bytes, kept: bytes | None
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        wire.send(sent)
        assert wire.reply().startswith("250")
    (message,) = delivered(root)
    body = sent.removesuffix(b".\r\n").replace(b"\r\n", b"\n") if kept is None else kept
    head, _, _ = message.partition(body)
    assert message.endswith(body) and head.startswith(b"Return-Path: ")
    for line in head.rstrip(b"\n").split(b"\n"):
        assert line.startswith((b"Return-Path: ", b"Received: ", b"\t", b"Date: ", b"Message-ID: "))


def test_a_message_that_goes_in_circles_ends(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        wire.send(b"Received: x\r\n" * 100 + b"\r\n.\r\n")
        assert wire.reply().startswith("554 5.4.6")
    assert everything(root) == []


def test_the_clients_name_cannot_write_a_header(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        assert wire.say("EHLO pc) by evil; (\rX-Evil: 1").startswith("250")
        wire.log_in()
        wire.begin()
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")
    assert b"Received: from unknown ([127.0.0.1])" in delivered(root)[0]
    assert b"vil" not in delivered(root)[0]


# Clients that stop, dawdle, flood


@pytest.mark.parametrize("last", [b"", b"\r\n", b"\r\n.", b"\r\n.\r"])
def test_half_a_message_is_none(
    serve: Open, trusted: ssl.SSLContext, root: Path, last: bytes
) -> None:
    server = serve()
    with Wire(server.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        wire.send(MESSAGE[:-2] + last)
    with logged_in(server.port, trusted) as client:
        client.sendmail("taro@example.jp", ["saburo@example.jp"], MESSAGE)
    server.stop()
    assert delivered(root) == [] and len(everything(root)) == 1


def test_commands_sent_along_with_a_message_are_answered(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    again = b"MAIL FROM:<taro@example.jp>\r\nRCPT TO:<jiro@example.jp>\r\nDATA\r\n"
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.send(again + MESSAGE + b".\r\n" + again + MESSAGE + b".\r\nQUIT\r\n")
        codes = [wire.reply()[:3] for _ in range(9)]
    assert codes == ["250", "250", "354", "250"] * 2 + ["221"]
    assert len(delivered(root)) == 2


def test_a_silent_client_is_dropped(serve: Open, trusted: ssl.SSLContext) -> None:
    port = serve(idle_seconds=1).port
    with Wire(port) as greeted, Wire(port) as handshaking, Wire(port) as member, Wire(port) as half:
        greeted.reply()
        handshaking.reply()
        handshaking.say("EHLO pc")
        handshaking.say("STARTTLS")
        for wire in (member, half):
            wire.secure(trusted)
            wire.log_in()
        half.begin()
        half.send(b"Subject: never ends\r\n")
        began = time.monotonic()
        assert greeted.reply() == "421 4.4.2 You have been silent for too long"
        assert member.reply() == "421 4.4.2 You have been silent for too long"
        assert half.reply() == "421 4.4.2 You have been silent for too long"
        for wire in (greeted, handshaking, member, half):
            assert wire.reply() == ""
        assert time.monotonic() - began < 6


def test_talk_does_not_put_off_the_time_to_log_in(serve: Open, trusted: ssl.SSLContext) -> None:
    with Wire(serve(idle_seconds=1).port) as wire:
        wire.secure(trusted)
        began = time.monotonic()
        while wire.say("NOOP").startswith("250"):
            assert time.monotonic() - began < 6
            time.sleep(0.05)


def test_a_slow_message_is_waited_for(serve: Open, trusted: ssl.SSLContext, root: Path) -> None:
    with Wire(serve(idle_seconds=1).port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        for line in MESSAGE.splitlines(keepends=True):
            wire.send(line)
            time.sleep(0.2)
        wire.send(b".\r\n")
        assert wire.reply().startswith("250")
    assert len(delivered(root)) == 1


def test_a_message_that_never_gets_on_is_dropped(serve: Open, trusted: ssl.SSLContext) -> None:
    with Wire(serve(idle_seconds=1, size_limit=1_024).port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        wire.socket.settimeout(0.1)
        began = time.monotonic()
        reply = ""
        while not reply:
            assert time.monotonic() - began < 5
            wire.send(b"x")
            try:
                reply = wire.reply()
            except TimeoutError:
                continue
        assert reply == "421 4.4.2 The message comes in too slowly"


def test_the_wait_for_the_smarthost_is_no_silence(
    serve: Open, smarthost: Smarthost, trusted: ssl.SSLContext
) -> None:
    smarthost.may_answer.clear()
    port = serve(idle_seconds=1, smarthost="127.0.0.1", smarthost_port=smarthost.port).port
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin("hanako@example.com")
        smarthost.loop.call_soon_threadsafe(
            smarthost.loop.call_later, 1.5, smarthost.may_answer.set
        )
        wire.send(MESSAGE + b".\r\nNOOP\r\n")
        assert wire.reply().startswith("250 2.0.0")
        assert wire.reply().startswith("250")


def test_a_flood_ends_and_costs_no_memory(serve: Open, trusted: ssl.SSLContext, root: Path) -> None:
    port = serve(size_limit=65_536).port
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Wire(port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()
        # A line without end: aiosmtpd alone would keep all of it.
        with pytest.raises((ConnectionError, ssl.SSLError)):
            for _ in range(2_000):
                wire.send(b"x" * 65_536)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_768
    assert everything(root) == []


@pytest.mark.parametrize(
    "line", [b"x" * 500_000, b"AUTH PLAIN " + b"A" * 500_000, b"NOOP " + b"\xff" * 600]
)
def test_overlong_commands_are_refused(serve: Open, trusted: ssl.SSLContext, line: bytes) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        assert wire.say(line).startswith("500")
        assert wire.log_in().startswith("235")


def test_an_overlong_password_ends_the_connection(serve: Open, trusted: ssl.SSLContext) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        assert wire.say("AUTH PLAIN").startswith("334")
        wire.send(b"A" * 70_000 + b"\r\nNOOP\r\n")
        assert wire.reply() == "500 5.5.6 Line too long"
        assert wire.reply() == ""


def test_connections_are_limited_in_all_and_for_one_address(
    serve: Open, trusted: ssl.SSLContext
) -> None:
    port = serve(connections=3, connections_per_client=2).port
    full = "421 4.3.2 Too many connections: try again later"
    with Wire(port) as first, Wire(port) as second:
        assert first.reply().startswith("220") and second.reply().startswith("220")
        with Wire(port) as third:
            assert third.reply() == full
            assert third.reply() == ""
        with Wire(port, "127.0.0.2") as other:
            assert other.reply().startswith("220")
            with Wire(port, "127.0.0.3") as last:
                assert last.reply() == full
        first.say("QUIT")
        assert first.reply() == ""
        with Wire(port) as again:
            assert again.reply().startswith("220")
    for _ in range(10):
        with Wire(port) as wire:
            assert wire.secure(trusted).log_in().startswith("235")
            assert wire.say("QUIT").startswith("221")


# Guessing


def test_failed_logins_are_throttled_by_address_and_by_name(
    serve: Open, trusted: ssl.SSLContext
) -> None:
    server = serve(failures_before_throttle=2, throttle_seconds=300)
    clock = server.clock
    assert isinstance(clock, Clock)

    def log_in(source: str, login: str, password: str) -> str:
        with Wire(server.port, source) as wire:
            return wire.secure(trusted).log_in(login, password)

    assert log_in("127.0.0.9", "taro@example.jp", PASSWORD).startswith("235")
    assert log_in("127.0.0.2", "taro@example.jp", "guess1").startswith("535")
    assert log_in("127.0.0.2", "taro@example.jp", "guess2").startswith("535")
    # The address is held, even with a right password; so is the name, from elsewhere.
    assert log_in("127.0.0.2", "jiro@example.jp", PASSWORD).startswith("421 4.7.0")
    assert log_in("127.0.0.3", "taro@example.jp", PASSWORD).startswith("454 4.7.0")
    # Others, and the owner where the owner has been before, are not.
    assert log_in("127.0.0.3", "jiro@example.jp", PASSWORD).startswith("235")
    assert log_in("127.0.0.9", "taro@example.jp", PASSWORD).startswith("235")
    clock.now += timedelta(seconds=301)
    assert log_in("127.0.0.2", "taro@example.jp", PASSWORD).startswith("235")


def test_three_failures_end_the_connection(serve: Open, trusted: ssl.SSLContext) -> None:
    with Wire(serve(failures_before_throttle=100).port) as wire:
        wire.secure(trusted)
        for _ in range(3):
            assert wire.log_in(password="guess") == "535 5.7.8 Wrong user name or password"
        assert wire.reply() == "421 4.7.0 Too many failed log-ins"
        assert wire.reply() == ""


def test_every_failure_is_answered_after_the_same_time(
    serve: Open, trusted: ssl.SSLContext
) -> None:
    with Wire(serve(failure_delay_seconds=1).port) as wire:
        wire.secure(trusted)
        for login in ("taro@example.jp", "nobody@example.jp"):
            began = time.monotonic()
            assert wire.log_in(login, "guess").startswith("535")
            assert 0.95 < time.monotonic() - began < 3


# When this machine is at fault


def test_a_full_disk_is_told_and_leaves_nothing(
    serve: Open, trusted: ssl.SSLContext, root: Path
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin("jiro@example.jp", "saburo@example.jp")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
        try:
            wire.send(MESSAGE + b"x" * 8_000 + b"\r\n.\r\n")
            reply = wire.reply()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert reply == "451 4.3.0 The message cannot be kept"
        assert everything(root) == []
        wire.begin("jiro@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few messages."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_without_room_takes_no_message_and_then_takes_them_again(
    serve: Open, trusted: ssl.SSLContext, small_disk: Path
) -> None:
    server = serve(maildir=str(small_disk / "mail"))
    server.sent = Tally(SendingLimits(2, 2), None, Clock().now)
    with Wire(server.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        filling = small_disk / "filling"
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        wire.begin("jiro@example.jp", "saburo@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply() == "452 4.3.1 The disk is full"
        assert not everything(small_disk / "mail")
        filling.unlink()
        wire.begin("jiro@example.jp", "saburo@example.jp")
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250"), "what was refused did not count"
    assert len(everything(small_disk / "mail")) == 2


def test_half_a_message_does_not_count(serve: Open, trusted: ssl.SSLContext) -> None:
    server = serve()
    server.sent = Tally(SendingLimits(1, 1), None, Clock().now)
    for _ in range(2):
        with Wire(server.port) as wire:
            wire.secure(trusted)
            wire.log_in()
            wire.begin()
            wire.send(MESSAGE)
    with Wire(server.port) as wire:
        wire.secure(trusted)
        wire.log_in()
        wire.begin()


@pytest.mark.parametrize(
    "line",
    [
        "RCPT TO:<太郎@example.jp>".encode(),
        "RCPT TO:<jiro@例え.jp>".encode(),
        b"RCPT TO:<ji\xffro@example.jp>",
        b"RCPT TO:<jiro\0@example.jp>",
        b"RCPT TO:<jiro@example.jp\0>",
        b"RCPT TO:<jiro@example.jp\rBcc: evil@example.com>",
        b"\0RCPT TO:<jiro@example.jp>",
        "RCPT TO:<ｊｉｒｏ@example.jp>".encode(),
    ],
)
def test_all_04_addresses_that_are_not_ascii_or_carry_control_characters(
    serve: Open, trusted: ssl.SSLContext, line: bytes
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        wire.log_in()
        assert wire.say("MAIL FROM:<taro@example.jp>").startswith("250")
        reply = wire.say(line)
        assert reply[:1] == "5" and reply.isascii()
        assert wire.say("DATA").startswith("503"), "nobody was named"
        assert wire.say("RCPT TO:<jiro@example.jp>").startswith("250")


@pytest.mark.parametrize(
    "login", ["taro@example.jp\0", "\0taro@example.jp", "太郎@example.jp", "ＴＡＲＯ@example.jp"]
)
def test_names_that_only_look_like_a_mailbox_open_none(
    serve: Open, trusted: ssl.SSLContext, login: str
) -> None:
    with Wire(serve().port) as wire:
        wire.secure(trusted)
        assert wire.log_in(login).startswith(("535 5.7.8", "501 5.5.2"))
        assert wire.say("MAIL FROM:<taro@example.jp>").startswith("530")


class Broken(Mailboxes):
    """Mailboxes in a database that is away for a moment."""

    away = False

    def account(self, login: str) -> Account | None:
        if self.away:
            raise Fault("database: it is away; check database.url and the server")
        return super().account(login)

    def route(self, address: str) -> Route | None:
        if self.away:
            raise RuntimeError("database is locked")
        return super().route(address)


def test_a_directory_that_fails_is_tried_later(
    policy: Smtpd, tls: ssl.SSLContext, trusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    mailboxes = Broken()
    mailboxes.open("taro@example.jp")
    with SubmissionServer(mailboxes, policy, tls, "smtp.example.jp", "ja", Clock()) as server:
        with Wire(server.port) as wire:
            wire.secure(trusted)
            mailboxes.away = True
            for _ in range(2 * policy.failures_before_throttle):
                reply = wire.log_in()
                assert reply == "454 4.7.0 Log-ins cannot be checked at present: try again later"
            mailboxes.away = False
            assert wire.log_in().startswith("235"), "nobody has guessed"
            later = "451 4.3.0 Something is wrong here: try again later"
            mailboxes.away = True
            assert wire.say("MAIL FROM:<taro@example.jp>") == later
            mailboxes.away = False
            wire.say("MAIL FROM:<taro@example.jp>")
            mailboxes.away = True
            assert wire.say("RCPT TO:<taro@example.jp>") == later
            mailboxes.away = False
            assert wire.say("RCPT TO:<taro@example.jp>").startswith("250")
    assert "database is locked" in caplog.text and "database: it is away" in caplog.text
    assert PASSWORD not in caplog.text


# Noise

COMMANDS = st.sampled_from(
    [
        *(b"EHLO", b"HELO", b"AUTH", b"AUTH PLAIN", b"AUTH LOGIN", b"MAIL FROM:", b"RCPT TO:"),
        *(b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP", b"MAIL FROM:<taro@example.jp>", b"DATA"),
        *(b"RCPT TO:<jiro@example.jp>", b"DATA\r\n.\r\n", b"DATA\r\nx: y\r\n\r\n.\r\n", b"*"),
        b"QUIT",
    ]
)
NOISE = st.lists(
    st.one_of(
        COMMANDS,
        st.binary(max_size=60),
        st.tuples(COMMANDS, st.binary(max_size=60)).map(b" ".join),
        st.tuples(COMMANDS, st.text('<>@."\\ =%é\0\r\n', max_size=20)).map(
            lambda pair: pair[0] + pair[1].encode()
        ),
    ),
    max_size=12,
)


@given(noise=NOISE, secure=st.booleans(), member=st.booleans())
@example(noise=[b"VRFY \xff", b"HELP \xff", b"EHLO \0", b'RCPT TO:<">'], secure=True, member=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_noise_stops_the_server(
    running: SubmissionServer,
    trusted: ssl.SSLContext,
    noise: list[bytes],
    secure: bool,
    member: bool,
) -> None:
    with Wire(running.port) as wire:
        if secure:
            wire.secure(trusted)
            if member:
                assert wire.log_in().startswith("235")
        try:
            wire.send(b"\r\n".join(noise) + b"\r\n.\r\nQUIT\r\nQUIT\r\n")
            while reply := wire.reply():
                assert reply[:3].isdigit() and not reply.startswith(("451", "454"))
                if reply.startswith("221"):
                    break
        except ConnectionError:
            pass  # it had hung up on us before all was said
    with logged_in(running.port, trusted) as client:
        assert client.noop()[0] == 250


@pytest.fixture
def running(serve: Open, caplog: pytest.LogCaptureFixture) -> SubmissionServer:
    return serve(failures_before_throttle=100, idle_seconds=3)


# As a program


SERVER = """
import logging
import sys
from pathlib import Path
from submission import Clock, Mailboxes
from isp.policy import Smtpd
from provisioning.certificate import self_signed, tls_context
from provisioning.smtpd import SubmissionServer
logging.getLogger("asyncio").setLevel(logging.ERROR)  # a busy machine is slow, no defect
folder = Path(sys.argv[1])
mailboxes = Mailboxes()
for name in ("taro", "jiro"):
    mailboxes.open(name + "@example.jp")
policy = Smtpd(port=0, maildir=str(folder / "mail"))
tls = tls_context(*self_signed(folder, "smtp.example.jp"))
server = SubmissionServer(mailboxes, policy, tls, "smtp.example.jp", "ja", Clock())
server.run(lambda: print(server.port, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_ends_cleanly_when_told_to(
    tmp_path: Path, number: signal.Signals, root: Path
) -> None:
    tests = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", SERVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(tests).parent), tests])},
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        port = int(program.stdout.readline())
        trusted = ssl.create_default_context(cafile=str(tmp_path / "smtpd.crt"))
        trusted.check_hostname = False
        with Wire(port) as idle, logged_in(port, trusted) as client:
            idle.secure(trusted)
            client.sendmail("taro@example.jp", ["jiro@example.jp"], MESSAGE)
            program.send_signal(number)
            assert idle.reply() == "421 4.3.2 The server is stopping"
            assert program.wait(10) == 0
            client.close()
        assert program.stderr.read() == ""
    assert len(delivered(root)) == 1
