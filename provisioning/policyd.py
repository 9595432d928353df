"""What Postfix asks before it takes a member's mail [送信可否の照会]: may this mailbox still send?

Postfix's access policy delegation (its SMTPD_POLICY_README): requests of `name=value` lines ended by
an empty one, answered by `action=...`. Asked at RCPT and END-OF-MESSAGE it refuses a mailbox that has
been suspended, or whose password was re-issued, since the session was opened, and more recipients
than the policy allows. Only END-OF-MESSAGE counts: what was refused before has not been sent. Asked at
CONNECT too, it knows of every session when it began; else it is taken to begin with its first RCPT.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

from isp.errors import Fault
from provisioning.smtpd import Account, Sent, told_reason

LOG = logging.getLogger("isp.policyd")
"""What the operator sees: who was refused and why; what Postfix was told, it logs itself."""

EVENTS = {
    "opened": (
        "送信可否の照会を {place} で受け付けます。",
        "Policy questions are answered at {place}.",
    ),
    "stopped": ("送信可否の照会を終了しました。", "Policy questions are answered no more."),
    "refused": (
        "{client}: {login} の送信を断りました（{reply}）。",
        "{client}: sending by {login} refused: {reply}",
    ),
    "uncounted": (
        "END-OF-MESSAGE での照会がないため、送信数を数えられません。Postfix の"
        " smtpd_end_of_data_restrictions にも check_policy_service を設定してください。",
        "nothing is asked at END-OF-MESSAGE, so recipients are not counted: add check_policy_service "
        "to smtpd_end_of_data_restrictions of Postfix too.",
    ),
    "unreadable": (
        "照会の形式が正しくないため、接続を切りました。",
        "a question that cannot be read, hung up.",
    ),
    "fault": ("照会に答えられませんでした。", "a question could not be answered."),
}

REQUEST_BYTES: Final = 16_384
"""Postfix's requests have 1 to 2 KB; names in certificates make them longer."""
CONNECTIONS: Final = 1_000
"""Each of Postfix's smtpd processes holds one, a hundred by default."""
IDLE_SECONDS: Final = 600
"""Postfix hangs up after 300 seconds, so that it never asks into a closed connection."""
REMEMBERED: Final = 20_000
"""Sessions, and messages being written, that are remembered; beyond that the oldest go."""
SESSION: Final = timedelta(hours=1)
"""A session that has asked nothing for so long is over: its port may be another's by now."""
STOP_SECONDS: Final = 10
UNCOUNTED_FROM: Final = 50
"""After so many recipients without a single END-OF-MESSAGE the operator is told."""

TRY_LATER: Final = "451 4.3.0 Something is wrong here: try again later"
LOG_IN_AGAIN: Final = "530 5.7.0 Your password has changed: log in again"
CLOSED: Final = "550 5.7.13 This mailbox has been closed"

_BEGINNING: Final = frozenset({"CONNECT", "EHLO", "HELO"})

Request = dict[str, str]
Answer = TypeVar("Answer")


class Registry(Protocol):
    """What is asked about mailboxes (`provisioning.directory.DatabaseDirectory`), by threads."""

    def account(self, login: str) -> Account | None:
        """The mailbox that logs in under this name."""

    def mark(self) -> int:
        """A place in time; greater after anything has been done."""

    def credentials_changed_since(self, mark: int, login: str) -> bool:
        """Whether a password of the mailbox was re-issued or taken back after the mark."""


class PolicyServer:
    """Answers Postfix, on `host` and `port` (0: a free one) or at the Unix socket `path`."""

    def __init__(
        self,
        registry: Registry,
        sent: Sent,
        language: Literal["ja", "en"],
        clock: Callable[[], datetime],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: Path | None = None,
    ) -> None:
        self.registry = registry
        self.sent = sent
        self.language = language
        self.clock = clock
        self.host = host
        self.port = port
        self.path = path
        self._marks: OrderedDict[tuple[str, str], tuple[int, datetime]] = OrderedDict()
        self._named: OrderedDict[str, int] = OrderedDict()
        self._uncounted: int | None = 0
        self._stopping = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def place(self) -> str:
        """How Postfix names it: the word after `check_policy_service`."""
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"

    # Serving

    def run(self, opened: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; `opened` is called once questions can come."""

        async def serve() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
            await self.serve(opened)

        asyncio.run(serve())

    def stop(self) -> None:
        """Have `serve` finish what is being answered, and return."""
        self._stopping.set()

    async def serve(self, opened: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, within a loop that runs already."""
        with ThreadPoolExecutor(4, "looking") as self._looking:
            listening = await self._listen()
            try:
                self._note("opened", place=self.place)
                opened()
                await self._stopping.wait()
            finally:
                listening.close()
                if self.path:
                    self.path.unlink(missing_ok=True)
            for task in self._waiting:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open, timeout=STOP_SECONDS)
        self._note("stopped")

    async def _listen(self) -> asyncio.Server:
        try:
            if self.path is None:
                server = await asyncio.start_server(
                    self._converse, self.host, self.port, limit=REQUEST_BYTES, backlog=256
                )
                self.port = server.sockets[0].getsockname()[1]
                return server
            _clear(self.path)
            # For its owner and the group of the folder: who may ask may use up a member's limit.
            before = os.umask(0o117)
            try:
                return await asyncio.start_unix_server(
                    self._converse, self.path, limit=REQUEST_BYTES, backlog=256
                )
            finally:
                os.umask(before)
        except OSError as wrong:
            raise Fault(f"cannot listen at {self.place}: {wrong.strerror or wrong}") from None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, with as many questions as Postfix likes."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        try:
            while not self._stopping.is_set():
                self._waiting.add(task)
                async with asyncio.timeout(IDLE_SECONDS):
                    raw = await reader.readuntil(b"\n\n")
                self._waiting.discard(task)
                request = parsed(raw)
                if request is None:
                    self._note("unreadable", logging.WARNING)
                    return
                writer.write(f"action={await self._action(request)}\n\n".encode("ascii"))
                await writer.drain()
        except asyncio.LimitOverrunError:
            self._note("unreadable", logging.WARNING)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # Postfix has gone, or we go
        finally:
            self._waiting.discard(task)
            self._open.discard(task)
            writer.close()

    def _note(self, event: str, level: int = logging.INFO, **values: object) -> None:
        """Tell the operator, in the operator's language."""
        LOG.log(level, "%s", EVENTS[event][self.language == "en"].format(**values))

    # Answering

    async def _action(self, request: Request) -> str:
        """What Postfix is to do; DUNNO leaves it to its other rules."""
        try:
            action = await self._judged(request)
        except Exception as wrong:  # the text of an error may quote a row
            fault = wrong if isinstance(wrong, Fault) else type(wrong).__name__
            self._note("fault", logging.ERROR)
            LOG.error("%s", fault)
            return TRY_LATER
        if action != "DUNNO":
            client, login = request.get("client_address", ""), request["sasl_username"]
            self._note("refused", client=_visible(client), login=_visible(login), reply=action)
        return action

    async def _judged(self, request: Request) -> str:
        state, login = request.get("protocol_state", ""), request.get("sasl_username", "").lower()
        session = _session_of(request)
        if state in _BEGINNING:
            if session and (state == "CONNECT" or self._mark(session) is None):
                self._remember(session, await self._looked(self.registry.mark))
            return "DUNNO"
        if not login or state not in ("RCPT", "DATA", "END-OF-MESSAGE"):
            return "DUNNO"  # mail that comes in from outside, and what says nothing new
        known = self._mark(session) if session else None
        refusal, mark = await self._looked(lambda: self._standing(login, known))
        if session:
            self._remember(session, mark)
        return refusal or self._counted(state, login, request)

    async def _looked(self, question: Callable[[], Answer]) -> Answer:
        """Ask the database, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._looking, question)

    def _standing(self, login: str, mark: int | None) -> tuple[str | None, int]:
        """Why nothing of this session may be sent any more, if so; and when the session began."""
        registry = self.registry
        began = registry.mark() if mark is None else mark
        account = registry.account(login)
        if account is None:
            return CLOSED, began
        if registry.credentials_changed_since(began, account.address):
            return LOG_IN_AGAIN, began
        return (None if account.may_send else f"550 5.7.13 {told_reason(account)}"), began

    def _mark(self, session: tuple[str, str]) -> int | None:
        """When a session began, as far as that is known."""
        mark, asked_at = self._marks.get(session, (None, self.clock()))
        return mark if self.clock() - asked_at < SESSION else None

    def _remember(self, session: tuple[str, str], mark: int) -> None:
        self._marks[session] = mark, self.clock()
        self._marks.move_to_end(session)
        if len(self._marks) > REMEMBERED:
            self._marks.popitem(last=False)

    def _counted(self, state: str, login: str, request: Request) -> str:
        """Limits: looked at for each recipient, kept exactly, and counted, for the whole message."""
        message, now = request.get("instance", ""), self.clock()
        named = self._named.pop(message, 0)
        if state == "END-OF-MESSAGE":
            self._uncounted = None
            told = request.get("recipient_count", "")
            recipients = int(told) if told.isascii() and told.isdigit() and len(told) < 7 else named
            reached = self.sent.take(login, max(1, recipients), now)
        else:
            if state == "RCPT":
                named += 1
                self._tell_uncounted()
            reached = self.sent.reached(login, max(1, named), now)
            if message:
                self._named[message] = named - 1 if reached and state == "RCPT" else named
                if len(self._named) > REMEMBERED:
                    self._named.popitem(last=False)
        return f"452 4.7.1 {reached.told}" if reached else "DUNNO"

    def _tell_uncounted(self) -> None:
        """A Postfix that asks at RCPT alone is never counted: once, the operator is told."""
        if self._uncounted is None:
            return
        self._uncounted += 1
        if self._uncounted >= UNCOUNTED_FROM:
            self._note("uncounted", logging.WARNING)
            self._uncounted = None


def parsed(raw: bytes) -> Request | None:
    """A request, or None where it is none; what a client has chosen may be any bytes."""
    request: Request = {}
    for line in raw.removesuffix(b"\n\n").split(b"\n"):
        name, equals, value = line.decode("utf-8", "replace").partition("=")
        if not equals or not name:
            return None
        request.setdefault(name, value)  # Postfix names each once; the first counts
    return request if request.get("request") == "smtpd_access_policy" else None


def _session_of(request: Request) -> tuple[str, str] | None:
    """A client's connection, as long as it stands; None where Postfix does not tell."""
    port = request.get("client_port", "")
    if not (port.isascii() and port.isdigit() and port != "0"):
        return None
    return request.get("client_address", ""), port


def _visible(text: str) -> str:
    """What somebody chose, on one line of a log."""
    return "".join(sign if "!" <= sign <= "~" else "?" for sign in text[:320])


def _clear(path: Path) -> None:
    """Remove the socket of a server that was killed; one that still answers is left alone."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Fault(f"cannot listen at {path}: another file is there")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise Fault(f"cannot listen at {path}: another server does")
