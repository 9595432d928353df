"""What tests of the submission server need: mailboxes, a movable clock, clients, a smarthost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from isp.calendar import TOKYO
from provisioning.smtpd import Account, Route, SubmissionServer

Open = Callable[..., SubmissionServer]
"""Opens a server, with other knobs of policy if need be."""

PASSWORD = "Wm7rTk3vQz9xHd"
MESSAGE = b"From: taro@example.jp\r\nTo: jiro@example.jp\r\nSubject: test\r\n\r\nHello\r\n"


def stored(password: str = PASSWORD) -> str:
    """A hash that costs nothing to check."""
    digest = hashlib.sha512(password.encode() + b"salt").digest()
    return "{SSHA512}" + base64.b64encode(digest + b"salt").decode()


@dataclass
class Mailboxes:
    """The mailboxes of example.jp, kept in a dictionary."""

    accounts: dict[str, Account] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)

    def open(
        self,
        address: str,
        *,
        may_send: bool = True,
        reason: str | None = None,
        app_passwords: tuple[str, ...] = (),
    ) -> None:
        digests = tuple(hashlib.sha256(each.encode()).hexdigest() for each in app_passwords)
        self.accounts[address] = Account(address, stored(), may_send, reason, digests)

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login)

    def route(self, address: str) -> Route | None:
        if not address.endswith("@example.jp"):
            return None
        own = Route((address,)) if address in self.accounts else Route()
        return self.routes.get(address, own)

    def may_send_as(self, login: str, sender: str) -> bool:
        return sender == login or self.aliases.get(sender) == login


@dataclass
class Clock:
    """A clock that the test turns."""

    now: datetime = datetime(2026, 4, 10, 9, 30, 0, 0, TOKYO)

    def __call__(self) -> datetime:
        return self.now


def delivered(root: Path, address: str = "jiro@example.jp") -> list[bytes]:
    """The messages in a mailbox, in no order."""
    local_part, domain = address.split("@")
    return [path.read_bytes() for path in (root / domain / local_part / "new").glob("*")]


def everything(root: Path) -> list[Path]:
    """Every file under the Maildirs, finished or not."""
    return [path for path in root.rglob("*") if path.is_file()]


def logged_in(port: int, trusted: ssl.SSLContext, login: str = "taro@example.jp") -> smtplib.SMTP:
    """A mail program that has set itself up properly."""
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="pc.example.jp", timeout=10)
    client.starttls(context=trusted)
    client.login(login, PASSWORD)
    return client


class Wire:
    """A client that says exactly what it is told to."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def reply(self) -> str:
        """One reply, its lines joined; "" when the server has hung up."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self.read:
                try:
                    more = self.socket.recv(65_536)
                except (ConnectionResetError, ssl.SSLEOFError):
                    more = b""
                if not more:
                    return ""
                self.read += more
            line, self.read = self.read.split(b"\r\n", 1)
            lines.append(line.decode("ascii"))
            if re.match(r"\d{3} ", lines[-1]):
                return "\n".join(lines)

    def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def start_tls(self, trusted: ssl.SSLContext) -> None:
        assert self.say("STARTTLS").startswith("220 ")
        self.socket = trusted.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def secure(self, trusted: ssl.SSLContext) -> Self:
        """Past the greeting, STARTTLS and EHLO."""
        assert self.reply().startswith("220 ")
        assert self.say("EHLO pc.example.jp").startswith("250")
        self.start_tls(trusted)
        assert self.say("EHLO pc.example.jp").startswith("250")
        return self

    def log_in(self, login: str = "taro@example.jp", password: str = PASSWORD) -> str:
        return self.say("AUTH PLAIN " + plain(login, password))

    def begin(self, *recipients: str) -> None:
        """Up to the 354 of DATA."""
        assert self.say("MAIL FROM:<taro@example.jp>").startswith("250")
        for recipient in recipients or ("jiro@example.jp",):
            assert self.say(f"RCPT TO:<{recipient}>").startswith("250")
        assert self.say("DATA").startswith("354")


def plain(login: str, password: str, role: str = "") -> str:
    return base64.b64encode(f"{role}\0{login}\0{password}".encode()).decode()


@dataclass
class Taken:
    """A message that the smarthost has taken."""

    sender: str
    recipients: list[str]
    content: bytes
    under_tls: bool


class Smarthost:
    """A mail server that takes everything but what the test tells it to refuse."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.taken: list[Taken] = []
        self.answers: dict[str, str] = {}
        self.breaks_off = False
        self.entered = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.tls = tls
        self.port = 0

    async def handle_MAIL(
        self, _server: Any, _session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.entered.set()
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        if self.breaks_off:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250") and not self.breaks_off:
            assert isinstance(envelope.content, bytes)
            self.taken.append(
                Taken(
                    envelope.mail_from or "",
                    list(envelope.rcpt_tos),
                    envelope.content,
                    session.ssl is not None,
                )
            )
        return answer

    def __enter__(self) -> Self:
        opened = threading.Event()

        async def serve() -> None:
            loop = asyncio.get_running_loop()
            self.ended = asyncio.Event()
            self.loop = loop
            listening = await loop.create_server(
                lambda: SMTP(self, hostname="relay.example.net", tls_context=self.tls, loop=loop),
                "127.0.0.1",
                0,
            )
            self.port = listening.sockets[0].getsockname()[1]
            opened.set()
            await self.ended.wait()
            listening.close()
            await asyncio.sleep(0.05)  # connections that were closed a moment ago

        self.thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self.thread.start()
        assert opened.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()
