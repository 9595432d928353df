"""What Postfix is answered, over real sockets: limits, suspensions, hostile questions."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from submission import Clock, Mailboxes

from isp.errors import Fault
from provisioning import policyd
from provisioning.policyd import PolicyServer, parsed
from provisioning.sending import SendingLimits
from provisioning.smtpd import Account
from provisioning.tally import Tally

TARO = "taro@example.jp"
INSTANCES = itertools.count()
"""Each question is about a message of its own, unless it says which."""
LATER = "action=451 4.3.0 Something is wrong here: try again later"
AGAIN = "action=530 5.7.0 Your password has changed: log in again"
HOURLY = "action=452 4.7.1 This mailbox may send to 3 recipients in one hour, and has: try again "


@dataclass
class Register(Mailboxes):
    """Mailboxes, and the acts by which passwords changed."""

    acts: list[str] = field(default_factory=list)
    away: bool = False

    def account(self, login: str) -> Account | None:
        if self.away:
            raise Fault("database: it is away; check database.url and the server")
        return super().account(login)

    def mark(self) -> int:
        return len(self.acts)

    def credentials_changed_since(self, mark: int, login: str) -> bool:
        return login in self.acts[mark:]


@pytest.fixture
def register() -> Register:
    made = Register()
    made.open(TARO)
    made.open("jiro@example.jp")
    made.open("late@example.jp", may_send=False, reason="Unpaid fees: call 0120-000-000")
    made.open("okure@example.jp", may_send=False, reason="料金未納のため")
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(register: Register, clock: Clock) -> PolicyServer:
    return PolicyServer(register, Tally(SendingLimits(3, 5), None, clock.now), "en", clock)


class Postfix:
    """A smtpd process that asks over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, state: str = "RCPT", login: str = TARO, **more: object) -> str:
        """The answer, without the empty line; "" when the server has hung up."""
        told = {
            "request": "smtpd_access_policy",
            "protocol_state": state,
            "protocol_name": "ESMTP",
            "client_address": "192.0.2.7",
            "client_port": "40001",
            "sender": login,
            "recipient": "hanako@example.com",
            "recipient_count": 0,
            "instance": next(INSTANCES),
            "sasl_method": "PLAIN",
            "sasl_username": login,
            "policy_context": "",
            **more,
        }
        lines = "".join(f"{name}={value}\n" for name, value in told.items())
        return await self.say(lines.encode() + b"\n")

    async def say(self, raw: bytes) -> str:
        try:
            self.writer.write(raw)
            await self.writer.drain()
            return (await self.reader.readuntil(b"\n\n")).decode("ascii").removesuffix("\n\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""

    async def message(self, instance: str, recipients: int) -> list[str]:
        """All questions about one message that is sent."""
        named = [await self.ask("RCPT", instance=instance) for _ in range(recipients)]
        done = await self.ask("END-OF-MESSAGE", instance=instance, recipient_count=recipients)
        return [*named, done]


Connect = Callable[[], Awaitable[Postfix]]


@asynccontextmanager
async def serving(server: PolicyServer) -> AsyncIterator[Connect]:
    """The server in this loop; ended at the end, whatever came."""
    opened = asyncio.Event()
    running = asyncio.create_task(server.serve(opened.set))
    await asyncio.wait([running, asyncio.create_task(opened.wait())], return_when="FIRST_COMPLETED")
    if running.done():
        running.result()
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Postfix:
        if server.path:
            reader, writer = await asyncio.open_unix_connection(server.path)
        else:
            reader, writer = await asyncio.open_connection(server.host, server.port)
        writers.append(writer)
        return Postfix(reader, writer)

    try:
        yield connect
    finally:
        server.stop()
        await asyncio.wait_for(running, 15)
        for writer in writers:
            writer.close()


def talk(server: PolicyServer, script: Callable[[Postfix], Awaitable[Any]]) -> Any:
    """What the script returns, over one connection."""

    async def play() -> Any:
        async with serving(server) as connect:
            return await script(await connect())

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("login", "action"),
    [
        (TARO, "DUNNO"),
        ("Taro@Example.JP", "DUNNO"),
        ("", "DUNNO"),
        ("late@example.jp", "550 5.7.13 Unpaid fees: call 0120-000-000"),
        (
            "okure@example.jp",
            "550 5.7.13 Sending from this mailbox is suspended: please call the support desk",
        ),
        ("nobody@example.jp", "550 5.7.13 This mailbox has been closed"),
    ],
)
@pytest.mark.parametrize("state", ["RCPT", "DATA", "END-OF-MESSAGE"])
def test_isp_01_who_may_send(server: PolicyServer, state: str, login: str, action: str) -> None:
    assert talk(server, lambda postfix: postfix.ask(state, login)) == f"action={action}"


@pytest.mark.req("ISP-17")
def test_isp_17_recipients_are_counted_once_the_message_is_there(
    server: PolicyServer, clock: Clock
) -> None:
    async def script(postfix: Postfix) -> None:
        assert await postfix.message("1", 2) == ["action=DUNNO"] * 3
        for unfinished in "234":  # named, and never sent
            assert await postfix.ask(instance=unfinished) == "action=DUNNO"
        assert await postfix.ask(instance="5") == "action=DUNNO"
        assert (await postfix.ask(instance="5")).startswith(HOURLY)
        assert (await postfix.ask(instance="5")).startswith(HOURLY)
        answer = await postfix.ask("END-OF-MESSAGE", instance="5", recipient_count=1)
        assert answer == "action=DUNNO"
        assert (await postfix.ask(instance="6")).startswith(HOURLY)
        assert await postfix.ask(login="jiro@example.jp", instance="7") == "action=DUNNO"
        clock.now += timedelta(minutes=66)
        assert await postfix.message("8", 2) == ["action=DUNNO"] * 3
        assert "5 recipients in one day" in await postfix.ask(instance="9")

    talk(server, script)


def test_two_messages_at_a_time_are_not_both_the_last(server: PolicyServer) -> None:
    async def play() -> None:
        async with serving(server) as connect:
            one, other = await connect(), await connect()
            for n in range(2):
                for postfix, name in ((one, "one"), (other, "other")):
                    assert await postfix.ask(instance=name, client_port=n) == "action=DUNNO"
            done = "END-OF-MESSAGE"
            assert await one.ask(done, instance="one", recipient_count=2) == "action=DUNNO"
            answer = await other.ask(done, instance="other", recipient_count=2)
            assert answer.startswith(HOURLY)

    asyncio.run(play())


@pytest.mark.parametrize("asked_at_connect", [True, False])
def test_isp_01_a_session_older_than_a_re_issue_goes_on_no_more(
    server: PolicyServer, register: Register, asked_at_connect: bool
) -> None:
    async def script(postfix: Postfix) -> None:
        if asked_at_connect:
            assert await postfix.ask("CONNECT", login="") == "action=DUNNO"
            assert await postfix.ask("EHLO", login="") == "action=DUNNO"
        else:  # only what has been asked about is known to be older
            assert await postfix.ask() == "action=DUNNO"
        register.acts.append("jiro@example.jp")
        assert await postfix.ask() == "action=DUNNO", "another's password"
        register.acts.append(TARO)
        assert await postfix.ask() == AGAIN
        assert await postfix.ask("END-OF-MESSAGE", recipient_count=1) == AGAIN
        assert await postfix.ask(client_port=40002) == "action=DUNNO", "another session, logged in"
        assert await postfix.ask("CONNECT", login="") == "action=DUNNO", "the port is another's now"
        assert await postfix.ask() == "action=DUNNO"

    talk(server, script)


def test_a_port_used_again_after_an_hour_is_another_session(
    server: PolicyServer, register: Register, clock: Clock
) -> None:
    async def script(postfix: Postfix) -> None:
        assert await postfix.ask() == "action=DUNNO"
        register.acts.append(TARO)
        clock.now += timedelta(hours=1)
        assert await postfix.ask() == "action=DUNNO"

    talk(server, script)


def test_a_suspension_reaches_an_open_session(server: PolicyServer, register: Register) -> None:
    async def script(postfix: Postfix) -> None:
        assert await postfix.ask() == "action=DUNNO"
        register.open(TARO, may_send=False, reason="Unpaid fees")
        assert await postfix.ask() == "action=550 5.7.13 Unpaid fees"
        assert (await postfix.ask("END-OF-MESSAGE")).startswith("action=550 5.7.13")
        register.open(TARO)
        assert await postfix.ask() == "action=DUNNO"

    talk(server, script)


def test_a_database_that_is_away_is_tried_later(
    server: PolicyServer, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(postfix: Postfix) -> None:
        register.away = True
        assert await postfix.ask() == LATER
        assert await postfix.ask("END-OF-MESSAGE") == LATER
        assert await postfix.ask(login="") == "action=DUNNO", "mail from outside needs no database"
        register.away = False
        assert await postfix.ask() == "action=DUNNO"

    talk(server, script)
    assert "database: it is away" in caplog.text and "Traceback" not in caplog.text


def test_what_was_refused_is_logged_on_one_line(
    server: PolicyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    odd = "nobody\x1b[2J 太郎"
    assert talk(server, lambda postfix: postfix.ask(login=odd)).startswith("action=550")
    refusals = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert refusals == [
        "192.0.2.7: sending by nobody?[2J??? refused: 550 5.7.13 This mailbox has been closed"
    ]


def test_a_postfix_that_never_asks_at_the_end_is_told_of_once(
    server: PolicyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(postfix: Postfix) -> None:
        for n in range(2 * policyd.UNCOUNTED_FROM):
            assert await postfix.ask(instance=n) == "action=DUNNO"

    talk(server, script)
    told = [each for each in caplog.records if "END-OF-MESSAGE" in each.getMessage()]
    assert len(told) == 1


# Hostile questions


@pytest.mark.parametrize(
    "raw",
    [
        b"\n\n",
        b"request=other\n\n",
        b"no equals sign\n\n",
        b"=x\n\n",
        b"request=smtpd_access_policy\nGET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\n\r\n\n\n",
        b"request=" + b"x" * 20_000 + b"\n\n",
        b"request=smtpd_access_policy\n" + b"a=b\n" * 9_000 + b"\n",
        b"\xff\xfe\0\n\n",
        bytes(100_000),
    ],
)
def test_a_question_that_is_none_ends_the_connection_and_nothing_else(
    server: PolicyServer, raw: bytes
) -> None:
    async def play() -> None:
        async with serving(server) as connect:
            hostile, postfix = await connect(), await connect()
            assert await hostile.say(raw) == ""
            assert await postfix.ask() == "action=DUNNO"

    asyncio.run(play())


@pytest.mark.parametrize(
    "more",
    [
        {"recipient_count": "x"},
        {"recipient_count": "-5"},
        {"recipient_count": "9" * 30},
        {"recipient_count": "\u0665"},
        {"client_port": "unknown"},
        {"client_address": "x" * 5_000},
        {"instance": ""},
        {"sender": "\udc80".encode("utf-8", "surrogateescape").decode("latin-1")},
        {"policy_context": "a=b=c"},
    ],
)
def test_odd_values_are_no_reason_to_stop(server: PolicyServer, more: dict[str, str]) -> None:
    async def script(postfix: Postfix) -> None:
        assert await postfix.ask("RCPT", **more) == "action=DUNNO"
        assert await postfix.ask("END-OF-MESSAGE", **more) == "action=DUNNO"
        assert await postfix.ask() == "action=DUNNO"

    talk(server, script)


@given(st.binary(max_size=200))
@example(b"request=smtpd_access_policy\nrequest=other\n\n")
@example(b"request=smtpd_access_policy\nsender=\xff\n\n")
def test_no_bytes_break_the_reading(raw: bytes) -> None:
    request = parsed(raw)
    assert request is None or request["request"] == "smtpd_access_policy"


LINE = st.tuples(
    st.sampled_from(["protocol_state", "sasl_username", "instance", "recipient_count", "x"]),
    st.one_of(st.sampled_from(["RCPT", "END-OF-MESSAGE", TARO, "1"]), st.text(max_size=20)),
).map("=".join)


@given(st.lists(LINE, max_size=8))
@settings(max_examples=60)
def test_every_readable_question_gets_one_answer_of_plain_text(lines: list[str]) -> None:
    register = Register()
    register.open(TARO)
    clock = Clock()
    server = PolicyServer(register, Tally(SendingLimits(3, 5), None, clock.now), "ja", clock)
    request = parsed("\n".join(["request=smtpd_access_policy", *lines, "", ""]).encode())
    if request is not None:

        async def ask() -> str:
            async with serving(server):
                return await server._action(request)

        action = asyncio.run(ask())
        assert action.isascii() and action.isprintable()
        assert action == "DUNNO" or action[0] in "45"


def test_memory_is_bounded(server: PolicyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policyd, "REMEMBERED", 5)

    async def script(postfix: Postfix) -> None:
        for n in range(30):
            assert await postfix.ask(instance=n, client_port=n + 1) == "action=DUNNO"

    talk(server, script)
    assert len(server._marks) <= 5 and len(server._named) <= 5


def test_many_connections_are_served_and_too_many_turned_away(
    server: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policyd, "CONNECTIONS", 120)

    async def play() -> None:
        async with serving(server) as connect:
            many = [await connect() for _ in range(120)]
            answers = await asyncio.gather(
                *(postfix.ask(client_port=n + 1) for n, postfix in enumerate(many))
            )
            assert set(answers) == {"action=DUNNO"}
            assert await (await connect()).ask() == ""
            many[0].writer.close()
            await asyncio.sleep(0.1)
            assert await (await connect()).ask() == "action=DUNNO"

    asyncio.run(play())


def test_who_falls_silent_is_hung_up_on(
    server: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policyd, "IDLE_SECONDS", 0.2)
    half = b"request=smtpd_access_policy\nprotocol_state=RCPT\n"
    assert talk(server, lambda postfix: postfix.say(half)) == ""


# The Unix socket


@pytest.fixture
def at_socket(server: PolicyServer, tmp_path: Path) -> PolicyServer:
    server.path = tmp_path / "policy"
    return server


def test_a_socket_is_for_owner_and_group_and_goes_with_the_server(at_socket: PolicyServer) -> None:
    path = at_socket.path
    assert path is not None

    async def script(postfix: Postfix) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert at_socket.place == f"unix:{path}"
        assert await postfix.ask() == "action=DUNNO"

    talk(at_socket, script)
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))  # as a server leaves it that was killed
    at_socket._stopping = asyncio.Event()
    talk(at_socket, script)


def test_a_socket_that_is_taken_is_left_alone(at_socket: PolicyServer) -> None:
    path = at_socket.path
    assert path is not None
    path.write_text("a file")
    with pytest.raises(Fault, match="another file is there"):
        asyncio.run(at_socket.serve())
    assert path.read_text() == "a file"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(str(path))
        running.listen()
        with pytest.raises(Fault, match="another server does"):
            asyncio.run(at_socket.serve())
    with pytest.raises(Fault, match="^cannot listen at unix:"):
        at_socket.path = path.parent / "nowhere" / "policy"
        asyncio.run(at_socket.serve())


def test_a_port_that_is_taken_is_one_line(server: PolicyServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server.port = other.getsockname()[1]
        with pytest.raises(Fault, match=r"^cannot listen at inet:127\.0\.0\.1:\d+: "):
            asyncio.run(server.serve())
