"""The embedded submission server [送信サーバー]: members' mail on port 587 (ISP-17, RFC 6409).

STARTTLS, then a log-in, then mail from the member's own address; own domains are delivered to
Maildirs, others go to the smarthost. 250 means that the message is on the disk, or with the
smarthost, for every recipient; any other answer means for none.

aiosmtpd reads commands; what it leaves open is closed here: log-ins off the event loop and
throttled, AUTH only under TLS, no second STARTTLS, bounded and exact reading of DATA, time limits
that bind, enough said before hanging up. It loads in 0.1 s: import this module where it is used.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import collections
import errno
import hmac
import ipaddress
import logging
import re
import secrets
import signal
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, cast

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException, syntax

from isp.errors import Fault, Refused
from isp.policy import Smtpd
from provisioning import maildir, passwords, relay, trace
from provisioning.addresses import MailAddress, mail_address
from provisioning.sending import Reached
from provisioning.throttle import LoginThrottle

LOG = logging.getLogger("isp.smtpd")
"""What the operator sees: who sent when and why not; never a password, never a message."""

EVENTS = {
    "opened": (
        "送信サーバーを {host} のポート {port} で開始しました。",
        "The submission server is open on {host}, port {port}.",
    ),
    "stopped": ("送信サーバーを終了しました。", "The submission server has stopped."),
    "logged_in": ("{client}: {login} がログインしました。", "{client}: {login} has logged in."),
    "wrong_password": (
        "{client}: {login} のパスワードが違います。",
        "{client}: wrong password for {login}.",
    ),
    "unknown_login": (
        "{client}: 登録のないユーザー名でログインしようとしました。",
        "{client}: a log-in under an unknown name.",
    ),
    "throttled": (
        "{client}: ログインの失敗が続いたため、しばらく受け付けません。",
        "{client}: too many failed log-ins, further ones have to wait.",
    ),
    "suspended": (
        "{client}: {login} は送信を停止されています。",
        "{client}: {login} is suspended from sending.",
    ),
    "accepted": (
        "{queue_id}: {login} のメールを受け付けました（宛先 {recipients} 件、{size} バイト）。",
        "{queue_id}: mail of {login} accepted, {recipients} recipient(s), {size} bytes.",
    ),
    "not_taken": (
        "{queue_id}: {login} のメールを受け付けませんでした（{reply}）。",
        "{queue_id}: mail of {login} not accepted: {reply}",
    ),
    "refused": (
        "{client}: {login} の差出人または宛先を断りました（{reply}）。",
        "{client}: sender or recipient of {login} refused: {reply}",
    ),
    "rehashed": (
        "{login} のパスワードの保存方式を新しくしました。",
        "the password of {login} is kept by the policy's scheme now.",
    ),
    "not_rehashed": (
        "{login} のパスワードの保存方式を新しくできませんでした（{why}）。ログインには影響しません。",
        "the password of {login} could not be kept anew ({why}); it opens the mailbox as before.",
    ),
    "full": (
        "{client}: 接続数が上限に達したため断りました。",
        "{client}: refused, too many connections.",
    ),
    "no_tls": ("{client}: TLS を始められませんでした。", "{client}: no TLS came about."),
    "fault": ("{client}: 処理に失敗しました。", "{client}: a command failed."),
}

LOGINS_PER_CONNECTION = 3
"""Failed log-ins after which the connection ends."""

SLOWEST = 1_024
"""Bytes a second that a message has to come in with, on average (a modem of 1995 had twice that)."""

STOP_SECONDS = 60
"""A message that is being delivered when the server stops is waited for so long."""

RENEWALS = 100
"""Passwords that wait to be hashed anew; beyond that, the next log-in will do."""

NULL_ADDRESS = "<>"
_END = b"\r\n.\r\n"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The outside world as it is: dots anywhere (Japanese carriers sold them), quoted local parts.
_PATH = re.compile(
    r"(<)?(?P<address>(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}"
    r'|"(?:[ !#-\[\]-~]|\\[ -~]){1,62}")'
    rf"@{_LABEL}(?:\.{_LABEL}){{0,30}})(?(1)>)(?P<parameters>(?: +[!-~]+)*) *"
)
_NULL_PATH = re.compile(r"<>(?P<parameters>(?: +[!-~]+)*) *")
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,30}}")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox as the server sees it; `reason` tells why it may not send, in ASCII.

    `app_digests` are of the app passwords that open it now: SHA-256 in hexadecimal.
    """

    address: str
    password_hash: str = field(repr=False)
    may_send: bool
    reason: str | None = None
    app_digests: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """Where mail to an own address goes: mailboxes here, forwards elsewhere.

    Neither: there is no such address, or, when `closed`, it does not receive now.
    """

    local: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    closed: bool = False


class Directory(Protocol):
    """The mailboxes. Asked from several threads at a time; names and addresses in lower case."""

    def account(self, login: str) -> Account | None:
        """The mailbox that logs in under this name."""

    def route(self, address: str) -> Route | None:
        """Where mail to an own address goes; None for an address of a foreign domain."""

    def may_send_as(self, login: str, sender: str) -> bool:
        """Whether the sender's address belongs to who has logged in."""


class Sent(Protocol):
    """Who has sent to how many (`provisioning.tally.Tally`). Asked from several threads at a time."""

    def reached(self, mailbox: str, recipients: int, now: datetime) -> Reached | None:
        """The limit that so many recipients would break; nothing is counted."""

    def take(self, mailbox: str, recipients: int, now: datetime) -> Reached | None:
        """Count a message about to be taken, unless it would break a limit."""

    def give_back(self, mailbox: str, recipients: int, at: datetime) -> None:
        """A message that was counted was not taken."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a hash taken over from another system is replaced [ハッシュの更新], once it was opened.

    `write` gets the address, the old hash and the new one; it replaces the old one only.
    """

    scheme: passwords.Scheme
    write: Callable[[str, str, str], None]


class SubmissionServer:
    """Takes mail from members who have logged in over TLS, and from nobody else.

    `policy.maildir` is taken as it stands, so give it whole; `policy.port` 0 takes a free port.
    `clock` gives the instant for header fields and throttling. Without `sent` recipients are not
    limited, without `renewal` hashes stay. As a context manager the server runs in a thread of its
    own; `run` serves until SIGTERM or SIGINT. Either way, messages that are being delivered are
    finished before it stops.
    """

    def __init__(
        self,
        directory: Directory,
        policy: Smtpd,
        tls: ssl.SSLContext,
        hostname: str,
        language: Literal["ja", "en"],
        clock: Callable[[], datetime],
        *,
        sent: Sent | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        if not _HOSTNAME.fullmatch(hostname):
            raise Refused("hostname", f"{hostname!r} is no host name")
        self.directory = directory
        self.policy = policy
        self.tls = tls
        self.hostname = hostname
        self.language = language
        self.clock = clock
        self.sent = sent
        self.renewal = renewal
        self.throttle = LoginThrottle(
            policy.failures_before_throttle, timedelta(seconds=policy.throttle_seconds)
        )
        self.port = policy.port
        self._connections: set[_Session] = set()
        self._clients: collections.Counter[str] = collections.Counter()
        self._renewing: set[str] = set()
        self._renewed: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    # Starting and stopping

    def run(self, opened: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT; `opened` is called once the port is open."""
        self._prepare()

        async def serve() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
            await self._serve(opened)

        asyncio.run(serve())

    def start(self) -> None:
        """Serve from a thread; the port is open when this returns. Raises Fault if it cannot be."""
        self._prepare()
        opened: Future[None] = Future()

        def serve() -> None:
            try:
                asyncio.run(self._serve(lambda: opened.set_result(None)))
            except Exception as wrong:
                if opened.done():
                    raise
                opened.set_exception(wrong)

        self._thread = threading.Thread(target=serve, name="submission")
        self._thread.start()
        if opened.exception():
            self._thread.join()
            self._thread = None
        opened.result()

    def stop(self) -> None:
        """End what `start` began."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        trail: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        self._stopping = asyncio.Event()
        # aiosmtpd logs every line it reads; a client out of step sends its password as a command.
        logging.getLogger("mail.log").disabled = True

    async def _serve(self, opened: Callable[[], None]) -> None:
        """Open the port, wait for the end, finish what is being delivered."""
        self._loop = asyncio.get_running_loop()
        with ExitStack() as pools:
            # Apart, so that no slow smarthost keeps anyone from logging in or from local mail.
            self._looking = pools.enter_context(ThreadPoolExecutor(4, "looking"))
            self._hashing = pools.enter_context(ThreadPoolExecutor(2, "hashing"))
            self._storing = pools.enter_context(ThreadPoolExecutor(8, "storing"))
            self._relaying = pools.enter_context(ThreadPoolExecutor(8, "relaying"))
            self._rehashing = pools.enter_context(ThreadPoolExecutor(1, "rehashing"))
            try:
                listening = await self._loop.create_server(
                    self._connection, self.policy.host, self.policy.port, backlog=256
                )
            except OSError as wrong:
                raise Fault(
                    f"cannot listen on {self.policy.host} port {self.policy.port}: {wrong.strerror} "
                    "(ports below 1024 need the right to bind them; choose another by --port)"
                ) from None
            self.port = listening.sockets[0].getsockname()[1]
            self.note("opened", host=self.policy.host, port=self.port)
            opened()
            await self._stopping.wait()
            listening.close()
            await self._drain()
        self.note("stopped")

    async def _drain(self) -> None:
        """Say goodbye to idle clients, wait for messages in delivery."""
        for session in list(self._connections):
            session.finish()
        given_up_at = self._loop.time() + STOP_SECONDS
        while self._connections and self._loop.time() < given_up_at:
            await asyncio.sleep(0.02)

    # What sessions ask of the server

    def note(self, event: str, level: int = logging.INFO, **values: object) -> None:
        """Tell the operator, in the operator's language."""
        if LOG.isEnabledFor(level):
            LOG.log(level, EVENTS[event][self.language == "en"].format(**values))

    def fault(self, client: str, error: Exception) -> None:
        """Tell the operator what went wrong: a fault of the machine in its one line."""
        self.note("fault", logging.ERROR, client=client)
        if isinstance(error, Fault):
            LOG.error("%s", error)
        else:
            LOG.error("%s", type(error).__name__, exc_info=error)

    def _connection(self) -> _Session:
        session = _Session(self)
        self._connections.add(session)
        return session

    def forget(self, session: _Session) -> None:
        """The connection is no more."""
        self._connections.discard(session)

    def enter(self, client: str) -> bool:
        """Let a client in, unless there are too many, in all or from its address."""
        if (
            self._clients.total() >= self.policy.connections
            or self._clients[client] >= self.policy.connections_per_client
        ):
            self.note("full", client=client)
            return False
        self._clients[client] += 1
        return True

    def leave(self, client: str) -> None:
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    async def look(self, question: Callable[..., Answer], *about: object) -> Answer:
        """Ask the directory, off the event loop."""
        return await self._loop.run_in_executor(self._looking, question, *about)

    async def checked(self, login: str, password: str) -> tuple[Account | None, str]:
        """The account, and what of it the password opens; as dear for a name that is unknown.

        What opened it is the stored hash, or the digest of an app password; "" when it was wrong.
        """
        return await self._loop.run_in_executor(self._hashing, self._checked, login, password)

    def _checked(self, login: str, password: str) -> tuple[Account | None, str]:
        account = self.directory.account(login)
        if account is None:
            passwords.verify_nothing()
            return None, ""
        digest = passwords.digest_of(password)
        if digest in [each for each in account.app_digests if hmac.compare_digest(each, digest)]:
            return account, digest
        right = passwords.verify(password, account.password_hash)
        return account, account.password_hash if right else ""

    def opens(self, opened_by: str, account: Account) -> bool:
        """Whether what once opened the account still would."""
        return opened_by in account.app_digests or account.password_hash in (
            opened_by,
            self._renewed.get(opened_by),
        )

    def renew(self, account: Account, opened_by: str, password: str) -> None:
        """Have a cheap or foreign hash replaced in the background; the log-in waits for nothing."""
        renewal = self.renewal
        if (
            renewal is None
            or opened_by != account.password_hash
            or account.address in self._renewing
            or len(self._renewing) >= RENEWALS
            or not passwords.needs_rehash(opened_by, renewal.scheme)
        ):
            return
        self._renewing.add(account.address)
        self._rehashing.submit(self._renew, renewal, account, password)

    def _renew(self, renewal: Renewal, account: Account, password: str) -> None:
        """A failure costs nothing but the renewal: the old hash opens on."""
        try:
            made = passwords.hash_password(password, renewal.scheme)
            # Told before it is true, so that no session takes the new hash for a new password.
            self._renewed[account.password_hash] = made
            if len(self._renewed) > 10 * RENEWALS:
                del self._renewed[next(iter(self._renewed))]
            renewal.write(account.address, account.password_hash, made)
            self.note("rehashed", login=account.address)
        except Exception as wrong:  # the text of an error may quote a row, hash and all
            self.note(
                "not_rehashed",
                logging.WARNING,
                login=account.address,
                why=type(wrong).__name__,
            )
        finally:
            self._renewing.discard(account.address)

    async def post(
        self, account: Account, post: _Post, content: bytes, handover: trace.Handover
    ) -> str:
        """Deliver a message; the reply to give."""
        return await self._loop.run_in_executor(
            self._relaying if post.foreign else self._storing,
            self._noted_post,
            account,
            post,
            content,
            handover,
        )

    def _noted_post(
        self, account: Account, post: _Post, content: bytes, handover: trace.Handover
    ) -> str:
        """Deliver, count and tell the operator, even if the client goes without the reply."""
        reply = self._counted_post(account, post, content, handover)
        self.note(
            "accepted" if reply.startswith("250") else "not_taken",
            queue_id=handover.queue_id,
            login=account.address,
            recipients=len(post.local) + len(post.foreign),
            size=len(content),
            reply=reply,
        )
        return reply

    def _counted_post(
        self, account: Account, post: _Post, content: bytes, handover: trace.Handover
    ) -> str:
        """Counted before it is delivered, so that two at a time are not both the last; a message
        that is not taken does not count.
        """
        sent, recipients, reply = self.sent, len(post.rcpt_tos), ""
        if sent is None:
            return self._post(post, content, handover)
        if reached := sent.take(account.address, recipients, handover.at):
            return f"452 4.7.1 {reached.told}"
        try:
            reply = self._post(post, content, handover)
        finally:
            if not reply.startswith("250"):
                sent.give_back(account.address, recipients, handover.at)
        return reply

    def _post(self, post: _Post, content: bytes, handover: trace.Handover) -> str:
        """All recipients or none: written for the local ones, given to the smarthost, then shown.

        Only the last step, moving files, comes after the smarthost has taken the message.
        """
        if trace.hops(content) >= trace.HOPS:
            return "554 5.4.6 The message goes round in circles"
        message = trace.traced(content, handover)
        returned = f"Return-Path: <{post.mail_from}>\r\n".encode()
        root = Path(self.policy.maildir)
        try:
            with maildir.held(
                root, post.local, returned + message, handover.at, self.hostname
            ) as put:
                if post.foreign:
                    relay.hand_over(
                        self.policy.smarthost,
                        self.policy.smarthost_port,
                        post.mail_from or "",
                        list(post.foreign),
                        message,
                        self.hostname,
                    )
                put()
        except relay.NotTaken as refused:
            return refused.reply
        except OSError as wrong:
            LOG.error("%s", wrong)
            full = wrong.errno in (errno.ENOSPC, errno.EDQUOT)
            return "452 4.3.1 The disk is full" if full else "451 4.3.0 The message cannot be kept"
        return f"250 2.0.0 OK {handover.queue_id}"


class _Post(Envelope):
    """One mail transaction, with its recipients apart."""

    def __init__(self) -> None:
        super().__init__()
        self.local: dict[MailAddress, None] = {}
        self.foreign: dict[str, None] = {}


class _Session(SMTP):
    """One connection."""

    line_length_limit = 2**16
    """What is read at a time; commands are held to 512 bytes, lines of a message to nothing."""

    session: Session
    envelope: _Post

    def __init__(self, server: SubmissionServer) -> None:
        self._server = server
        # A dictionary of our own: aiosmtpd's is shared by all connections, and each EHLO widens it.
        self.command_size_limits = collections.defaultdict(lambda: 512)
        self.client = ""
        self._login = ""
        self._account = Account("", "", may_send=False)
        self._opened_by = ""
        self._failures = 0
        self._working = False
        self._finishing = False
        super().__init__(
            self,
            data_size_limit=server.policy.size_limit,
            enable_SMTPUTF8=False,  # own addresses are ASCII, and replies have to be
            hostname=server.hostname,
            ident="ESMTP",
            tls_context=server.tls,
            timeout=server.policy.idle_seconds,
            auth_required=True,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits["AUTH"] = 12_288  # RFC 4954, 4.5.3

    # The connection: who may come in, how long it may last, how it ends

    async def _handle_client(self) -> None:
        peer = self.session.peer
        if not peer:
            return  # gone already
        self.client = _plain_address(peer[0])
        if not self._server.enter(self.client):
            self._goodbye("421 4.3.2 Too many connections: try again later")
            return
        try:
            await super()._handle_client()
        except ConnectionError:
            pass  # the client went while it was being answered
        finally:
            self._server.leave(self.client)
            self._hang_up()
            if self._shaking_hands:
                self.connection_lost(None)  # nobody else tells before TLS stands

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._reset_timeout()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Silence ends a session; but before the log-in nothing puts its end off.

        aiosmtpd starts the time anew with each command only, which cuts off slow messages and
        lets strangers stay for ever.
        """
        if self._working or (self._timeout_handle and not self.session.authenticated):
            return
        super()._reset_timeout(duration)

    def _timeout_cb(self) -> None:
        self._goodbye("421 4.4.2 You have been silent for too long")

    def _goodbye(self, reply: str, grace: float = 2.0) -> None:
        """Say why and hang up; in the middle of a TLS handshake, only hang up."""
        if not self._shaking_hands and not self._writer.is_closing():
            self._writer.write(reply.encode("ascii") + b"\r\n")
        self._hang_up(grace)
        if self._handler_coroutine:
            self._handler_coroutine.cancel()  # commands already here are not obeyed any more

    @property
    def _shaking_hands(self) -> bool:
        """Whether STARTTLS has begun and TLS does not stand yet."""
        return self.transport is not None and self.transport is not self._writer.transport

    def _hang_up(self, grace: float = 2.0) -> None:
        """Close the connection, by force if the client does not read or close its side."""
        if self.transport is not None:
            self.transport.close()
            bottom = cast(asyncio.Transport, self._original_transport or self.transport)
            self.loop.call_later(grace, bottom.abort)

    def finish(self) -> None:
        """The server stops: hang up, or as soon as the message in hand is delivered."""
        self._finishing = True
        if not self._working:
            self._goodbye("421 4.3.2 The server is stopping", grace=0.2)

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, TLSSetupException):
            self._server.note("no_tls", client=self.client)
            return ""  # which nobody hears
        self._server.fault(self.client, error)
        return "451 4.3.0 Something is wrong here: try again later"

    def _create_envelope(self) -> Envelope:
        return _Post()

    # Before the mail: TLS and the log-in

    async def check_helo_needed(self, helo: str = "HELO") -> bool:
        if not self._tls_protocol:
            await self.push("530 5.7.0 Must issue a STARTTLS command first")
            return True
        return await super().check_helo_needed(helo)

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str) -> None:
        """TLS, once; aiosmtpd drops whatever stands behind the command (CVE-2011-0411)."""
        if self._tls_protocol:
            await self.push("503 5.5.1 TLS is on already")
            return
        await super().smtp_STARTTLS(arg)

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str | None) -> None:
        if await self.check_helo_needed("EHLO"):
            return
        mechanism, *initial = (arg or "").split() or [""]
        if self.session.authenticated or self.envelope.mail_from:
            await self.push("503 5.5.1 Not now: you have logged in, or a mail has begun")
        elif mechanism.upper() not in ("PLAIN", "LOGIN"):
            await self.push("504 5.5.4 Log in by PLAIN or LOGIN")
        elif len(initial) > 1:
            await self.push("501 5.5.4 Syntax: AUTH mechanism [initial response]")
        else:
            credentials = await self._credentials(mechanism.upper(), initial)
            if credentials:
                await self._log_in(*credentials)

    async def _credentials(self, mechanism: str, initial: list[str]) -> tuple[str, str] | None:
        """Login and password; None when the exchange has been ended by an answer already."""
        first = initial[0].encode("ascii") if initial else None
        if mechanism == "PLAIN":
            plain = await self._decoded(b"", first)
            if plain is None:
                return None
            role, _, rest = plain.partition("\0")
            login, nul, password = rest.partition("\0")
            if not nul or role not in ("", login):
                await self.push("501 5.5.2 Not a PLAIN response of your own name")
                return None
            return login, password
        login_name = await self._decoded(b"Username:", first)
        if login_name is None:
            return None
        secret = await self._decoded(b"Password:", None)
        return None if secret is None else (login_name, secret)

    async def _decoded(self, prompt: bytes, initial: bytes | None) -> str | None:
        """One response of the client, asked for unless it came with the command."""
        line = b"" if initial == b"=" else initial  # RFC 4954, 4: an empty one that is there
        if line is None:
            await self.push(b"334 " + base64.b64encode(prompt))
            try:
                line = (await self._reader.readline()).rstrip(b"\r\n")
            except ValueError:  # too long to be read; its rest would be taken for commands
                self._goodbye("500 5.5.6 Line too long")
                return None
        if line == b"*":
            await self.push("501 5.7.0 Log-in called off")
            return None
        try:
            return base64.b64decode(line, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            await self.push("501 5.5.2 Not UTF-8 in Base64")
            return None

    async def _log_in(self, login: str, password: str) -> None:
        """Check the password; every answer but success comes after the same time."""
        server, login = self._server, login.lower() if len(login) <= 254 else ""
        origin = _throttled_by(self.client)
        held = server.throttle.held(login, origin, server.clock())
        if held == "client":
            server.note("throttled", logging.WARNING, client=self.client)
            self._goodbye("421 4.7.0 Too many failed log-ins from your address: try again later")
            return
        answer_at = self.loop.time() + server.policy.failure_delay_seconds
        try:
            account, opened_by = (None, "") if held else await server.checked(login, password)
        except Exception as wrong:  # the database is away: nobody's fault, and nobody's guess
            server.fault(self.client, wrong)
            await self.push("454 4.7.0 Log-ins cannot be checked at present: try again later")
            return
        if account and opened_by and account.may_send:
            server.throttle.succeeded(login, origin)
            server.note("logged_in", client=self.client, login=account.address)
            self._login, self._account, self._opened_by = login, account, opened_by
            self.session.authenticated = True
            self._reset_timeout()
            await self.push("235 2.7.0 Welcome")
            server.renew(account, opened_by, password)
            return
        if held:
            server.note("throttled", logging.WARNING, client=self.client)
            reply = "454 4.7.0 Too many failed log-ins: try again later"
        elif account and opened_by:
            reply = f"535 5.7.13 {told_reason(account)}"
            server.note("suspended", client=self.client, login=account.address)
        else:
            # An unknown name is not told: now and then it is a password in the wrong box.
            event, known = ("wrong_password", account.address) if account else ("unknown_login", "")
            server.note(event, logging.WARNING, client=self.client, login=known)
            server.throttle.failed(login, origin, server.clock())
            reply = "535 5.7.8 Wrong user name or password"
        await asyncio.sleep(answer_at - self.loop.time())
        await self.push(reply)
        self._failures += 1
        if self._failures >= LOGINS_PER_CONNECTION:
            self._goodbye("421 4.7.0 Too many failed log-ins")

    # The mail

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Address and parameters of MAIL and RCPT; aiosmtpd's parser of header fields is too clever."""
        null = _NULL_PATH.fullmatch(arg)
        if null:
            return NULL_ADDRESS, null["parameters"]
        path = _PATH.fullmatch(arg)
        if path is None or len(path["address"]) > 254:
            return None, None
        return path["address"], path["parameters"]

    def _getparams(self, params: Any) -> dict[str, str | bool] | None:
        """Parameters of MAIL and RCPT; AUTH= has to be taken, and may be ignored (RFC 4954, 5)."""
        return super()._getparams([word for word in params if not word.startswith("AUTH=")])

    async def handle_MAIL(
        self, _server: Any, _session: Any, envelope: _Post, address: str, options: list[str]
    ) -> str:
        """The sender has to be one's own, of a mailbox that still may send."""
        if address == NULL_ADDRESS:
            return (
                "553 5.7.1 An empty sender is not taken here: send as the address you log in with"
            )
        refusal = await self._server.look(self._refusal_of, address.lower())
        if refusal:
            return self._refused(refusal)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    def _refusal_of(self, sender: str) -> str | None:
        """Why no mail may begin: what was true at the log-in may have changed since (ISP-01)."""
        account = self._server.directory.account(self._login)
        if account is None or not self._server.opens(self._opened_by, account):
            self.session.authenticated = False
            return "530 5.7.0 Your password has changed: log in again"
        if not account.may_send:
            return f"550 5.7.13 {told_reason(account)}"
        if not self._server.directory.may_send_as(self._login, sender):
            return f"553 5.7.1 <{sender}> is not your address: send as the one you log in with"
        return None

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: _Post, address: str, options: list[str]
    ) -> str:
        """Own mailboxes, and other domains where there is a smarthost."""
        policy = self._server.policy
        if address == NULL_ADDRESS:
            return "553 5.1.3 A recipient needs an address"
        if len(envelope.rcpt_tos) >= policy.recipient_limit:
            return f"452 4.5.3 Too many recipients: at most {policy.recipient_limit} at a time"
        route = await self._server.look(self._server.directory.route, address.lower())
        refusal = self._refusal_for(envelope, address, route)
        if refusal:
            return self._refused(refusal)
        if route is None:
            envelope.foreign[address] = None
        else:
            for box in route.local:
                envelope.local[mail_address(box, role_names=True)] = None
            envelope.foreign |= dict.fromkeys(route.foreign)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def _refusal_for(self, envelope: _Post, address: str, route: Route | None) -> str | None:
        """Why this recipient is not taken."""
        server = self._server
        if route is None or route.foreign:
            if not server.policy.smarthost:
                return f"550 5.7.1 <{address}> Mail for other domains is not taken here"
        elif route.closed:
            return f"550 5.2.1 <{address}> This mailbox does not receive mail at present"
        elif not route.local:
            return f"550 5.1.1 <{address}> There is no such mailbox"
        if server.sent is None:
            return None
        recipients = len(envelope.rcpt_tos) + 1
        reached = server.sent.reached(self._account.address, recipients, server.clock())
        return f"452 4.7.1 {reached.told}" if reached else None

    def _refused(self, reply: str) -> str:
        """Tell the operator why a sender or recipient was refused; the reply."""
        login = self._account.address
        self._server.note("refused", client=self.client, login=login, reply=reply)
        return reply

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Name a recipient first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        limit = self._server.policy.size_limit
        try:
            async with asyncio.timeout(self._server.policy.idle_seconds + limit / SLOWEST):
                content = await self._content(limit)
        except TimeoutError:
            self._goodbye("421 4.4.2 The message comes in too slowly")
            return
        if content is None:
            reply = f"552 5.3.4 The message is larger than {limit} bytes"
        else:
            reply = _unfit(content) or await self._posted(content)
        self.envelope = _Post()
        await self.push(reply)
        if self._finishing:
            self._goodbye("421 4.3.2 The server is stopping", grace=0.2)

    async def _content(self, limit: int) -> bytes | None:
        """The message up to CRLF "." CRLF and nothing else (RFC 5321, 4.1.1.4), dots taken back.

        None: it was too large; a flood ends the connection.
        """
        read = bytearray(b"\r\n")  # the end of the DATA line: a single dot may follow it at once
        searched = taken = 0
        while (end := read.find(_END, searched)) < 0:
            searched = max(0, len(read) - len(_END) + 1)
            if taken > 4 * limit:
                self._goodbye("552 5.3.4 The message is far too large")
            if taken > 2 * limit:
                del read[:searched]
                searched = 0
            chunk = await self._reader.read(2**30)  # all that is there
            if not chunk:
                raise ConnectionResetError
            taken += len(chunk)
            read += chunk
        behind = read[end + len(_END) :]
        if behind:
            self._reader.feed_data(behind)  # commands sent along with the message
        if taken - len(behind) > 2 * limit:
            return None
        content = bytes(read[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        return content if len(content) <= limit else None

    async def _posted(self, content: bytes) -> str:
        """Deliver; the client's silence meanwhile is no offence."""
        name, version = cast("dict[str, Any]", self.session.ssl)["cipher"][:2]
        handover = trace.Handover(
            hello=self.session.host_name or "",
            client=self.client,
            hostname=self._server.hostname,
            cipher=f"{version} {name}",
            queue_id=secrets.token_hex(8).upper(),
            at=self._server.clock(),
        )
        self._working = True
        if self._timeout_handle:
            self._timeout_handle.cancel()
        try:
            return await self._server.post(self._account, self.envelope, content, handover)
        finally:
            self._working = False
            if self.transport is not None:
                self._reset_timeout()


def _unfit(content: bytes) -> str | None:
    """Why a message cannot be taken whoever it is for.

    A bare CR or LF ends a line for some servers and not for others, which smuggles a second
    message past one of them (RFC 5321, 2.3.8); NUL is in no message (RFC 5322).
    """
    ends = content.count(b"\r\n")
    if content.count(b"\r") != ends or content.count(b"\n") != ends:
        return "550 5.6.0 Lines have to end in CR LF, and neither may stand alone"
    if b"\0" in content:
        return "550 5.6.0 The message has a NUL in it"
    return None


def told_reason(account: Account) -> str:
    """Why an account may not send, as far as it can be said in ASCII (replies are, RFC 5321)."""
    reason = account.reason or ""
    if reason and reason.isascii() and reason.isprintable():
        return reason[:300]
    return "Sending from this mailbox is suspended: please call the support desk"


def _plain_address(host: str) -> str:
    """The client's address without zone; an IPv4 address in its own form."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _throttled_by(client: str) -> str:
    """Whom failures are counted against: an IPv4 address, or the /64 that a household gets."""
    if ":" in client:
        return str(ipaddress.ip_network(f"{client}/64", strict=False))
    return client
