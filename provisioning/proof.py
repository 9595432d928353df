"""A mailbox proved from end to end [メールボックスの動作確認], as its member's program would use it.

Submission (RFC 6409), IMAP (RFC 9051) and POP3 (RFC 1939) at the published servers, with a password
made for this and taken back afterwards. What fails is a step that is not ok, never an exception;
steps that need it are not tried, the others are. The password is in no detail.
"""

from __future__ import annotations

import base64
import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from isp.errors import Refused
from isp.policy import Mail, Server
from provisioning.wanted import Directions

LEAST_DAYS: Final = 7
"""A certificate that ends sooner is a fault: renewing takes days where it goes wrong."""
POLL_SECONDS: Final = 0.2
LOOKED_AT: Final = 20
"""Newest messages of a mailbox among which POP3 looks for ours."""
CLIENT_NAME: Final = "isp-mailbox-verify.invalid"
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LOGIN_MECHANISMS: Final = ("PLAIN", "LOGIN")
"""Old Outlook knows no other than LOGIN."""

TROUBLE: Final = (
    OSError,  # with ssl.SSLError and TimeoutError
    smtplib.SMTPException,
    imaplib.IMAP4.error,
    poplib.error_proto,
    EOFError,
    ValueError,
)


class Failed(Exception):
    """A step has not gone as it should; the text says how."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried, in whole milliseconds."""

    name: str
    ok: bool
    detail: str
    ms: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The mailbox to prove; `arrives` is False where its mail is only forwarded."""

    address: str
    password: str = field(repr=False)
    state: str
    may: Directions
    arrives: bool
    forwarded: tuple[str, ...] = ()


def step_json(step: Step) -> dict[str, Any]:
    """A step as the command line shows it."""
    return {"name": step.name, "ok": step.ok, "detail": step.detail, "ms": step.ms}


def trust(ca: Path | None, only: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Whom to trust: the system's authorities, or those of a file; TLS 1.2 and later, or one alone."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as wrong:
        raise Refused("ca", f"{ca} holds no certificates (PEM): {wrong}") from None
    context.minimum_version = only or ssl.TLSVersion.TLSv1_2
    if only:
        context.maximum_version = only
    return context


class Proof:
    """Tries everything out. `token` marks our message; `stopwatch` gives seconds, `sleep` waits."""

    def __init__(
        self,
        subject: Subject,
        mail: Mail,
        ca: Path | None,
        timeout: float,
        now: datetime,
        token: str,
        stopwatch: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._subject, self._mail, self._ca = subject, mail, ca
        self._timeout, self._now, self._token = timeout, now, token
        self._stopwatch, self._sleep = stopwatch, sleep
        self._trusted = trust(ca)
        self._smtp: smtplib.SMTP | None = None
        self._imap: imaplib.IMAP4 | None = None
        self._pop3: poplib.POP3 | None = None
        self._uid = ""
        self.steps: list[Step] = []

    def run(self) -> list[Step]:
        """All steps; our message is gone and every connection closed when it returns."""
        may = self._subject.may
        self._step("state", lambda: self._subject.state)
        try:
            self._submission_steps()
            self._fetching_steps()
            if may.send and may.fetch and may.receive and self._subject.arrives:
                self._message_steps()
            elif may.send:
                self._step("recipient", self._recipient, "submission-log-in")
            if may.send:
                self._step("foreign-sender", self._foreign_sender, "submission-log-in")
            self._step("submission-wrong-password", self._smtp_wrong, "submission-starttls")
            self._step("imap-wrong-password", self._imap_wrong, "imap-connect")
            self._offers()
        finally:
            self._hang_up()
        return self.steps

    def after_revocation(self) -> list[Step]:
        """Whether the password that was taken back is refused; where the suspension hides it, none."""
        self.steps = []
        may = self._subject.may
        if may.fetch:
            self._step("revoked-password", self._imap_revoked)
        elif may.send:
            self._step("revoked-password", self._smtp_revoked)
        return self.steps

    # Steps

    def _step(self, name: str, act: Callable[[], str], *needs: str) -> None:
        missing = [need for need in needs if not self._is_done(need)]
        begun = self._stopwatch()
        ok = False
        if missing:
            detail = f"not tried: it needs {missing[0]}"
        else:
            try:
                detail, ok = act(), True
            except Failed as why:
                detail = str(why)
            except ssl.SSLCertVerificationError as why:
                detail = f"the certificate is not good: {why.verify_message}"
            except TROUBLE as why:
                detail = _told(why)
        spent = round((self._stopwatch() - begun) * 1000)
        self.steps.append(Step(name, ok, self._clean(detail), spent))

    def _is_done(self, name: str) -> bool:
        return any(step.ok and step.name == name for step in self.steps)

    def _clean(self, detail: str) -> str:
        """One line for people, without the password whatever a server has sent back."""
        secret = self._subject.password
        for form in (secret, base64.b64encode(secret.encode()).decode(), self._plain_response()):
            detail = detail.replace(form, "***")
        plain = "".join(sign if sign.isprintable() else " " for sign in detail)
        return " ".join(plain.split())[:300]

    def _plain_response(self) -> str:
        login = f"\0{self._subject.address}\0{self._subject.password}"
        return base64.b64encode(login.encode()).decode()

    def _submission_steps(self) -> None:
        self._step("submission-connect", self._smtp_connect)
        self._step("submission-no-auth-before-tls", self._smtp_no_auth, "submission-connect")
        self._step("submission-starttls", self._smtp_starttls, "submission-connect")
        if self._subject.may.send:
            self._step("submission-log-in", self._smtp_log_in, "submission-starttls")
        else:
            self._step("submission-barred", self._smtp_barred, "submission-starttls")

    def _fetching_steps(self) -> None:
        self._step("imap-connect", self._imap_connect)
        self._step("pop3-connect", self._pop3_connect)
        if self._subject.may.fetch:
            self._step("imap-log-in", self._imap_log_in, "imap-connect")
        else:
            self._step("imap-barred", self._imap_barred, "imap-connect")
            self._step("pop3-barred", self._pop3_barred, "pop3-connect")

    def _message_steps(self) -> None:
        # Without IMAP and POP3 nobody could delete a message again.
        reached = self._is_done("imap-log-in") or self._is_done("pop3-connect")
        self._step("send", self._send if reached else self._recipient, "submission-log-in")
        self._step("arrival", self._arrival, "imap-log-in", "send")
        self._step("imap-fetch", self._imap_fetch, "arrival")
        self._step("pop3-log-in", self._pop3_log_in, "pop3-connect")
        self._step("pop3-fetch", self._pop3_fetch, "pop3-log-in", "send")
        self._step("message-removed", self._remove, "send")

    # Submission

    def _smtp_connect(self) -> str:
        server = self._mail.submission
        if server.security == "ssl":
            self._smtp = smtplib.SMTP_SSL(
                *(server.host, server.port, CLIENT_NAME, None, None),
                timeout=self._timeout,
                context=self._trusted,
            )
        else:
            self._smtp = smtplib.SMTP(server.host, server.port, CLIENT_NAME, self._timeout)
        self._smtp.ehlo()
        return f"{server.host} port {server.port}"

    def _client(self) -> smtplib.SMTP:
        assert self._smtp is not None  # the step that connects was needed
        return self._smtp

    def _smtp_no_auth(self) -> str:
        if self._mail.submission.security == "ssl":
            return "TLS from the first byte"
        if self._client().has_extn("auth"):
            raise Failed("AUTH is offered before STARTTLS: passwords would travel readable")
        return "AUTH is not offered before STARTTLS"

    def _smtp_starttls(self) -> str:
        client = self._client()
        if self._mail.submission.security != "ssl":
            code, said = client.starttls(context=self._trusted)
            if code != 220:
                raise Failed(f"STARTTLS: {_reply(code, said)}")
            client.ehlo()
        return self._certificate(client.sock)[0]

    def _certificate(self, socket: Any) -> tuple[str, int]:
        """What the verified certificate says, and for how many days it is good."""
        certificate = socket.getpeercert()
        names = ", ".join(name for _, name in certificate.get("subjectAltName", ()))
        ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
        days = (ends_at - self._now).days
        told = f"{socket.version()}, certificate for {names} until {ends_at:%Y-%m-%d}, {days} days"
        return told, days

    def _smtp_auth(self, client: smtplib.SMTP, password: str) -> str:
        client.user, client.password = self._subject.address, password
        code, said = client.auth("PLAIN", client.auth_plain)
        return _reply(code, said)

    def _smtp_log_in(self) -> str:
        return self._smtp_auth(self._client(), self._subject.password)

    def _smtp_barred(self) -> str:
        with _refusal(smtplib.SMTPAuthenticationError) as refused:
            self._smtp_log_in()
        return refused.told("log-in for sending is let in, though it is suspended")

    def _smtp_wrong(self) -> str:
        with self._new_smtp() as client, _refusal(smtplib.SMTPAuthenticationError) as refused:
            self._smtp_auth(client, self._wrong_password())
        return refused.told("a wrong password is let in")

    def _smtp_revoked(self) -> str:
        with self._new_smtp() as client, _refusal(smtplib.SMTPAuthenticationError) as refused:
            self._smtp_auth(client, self._subject.password)
        return refused.told("the password that was taken back still opens the mailbox")

    def _wrong_password(self) -> str:
        return f"wrong-{self._token}"

    @contextmanager
    def _new_smtp(self) -> Iterator[smtplib.SMTP]:
        """Another connection, under TLS."""
        kept, self._smtp = self._smtp, None
        try:
            self._smtp_connect()
            client = self._client()
            if self._mail.submission.security != "ssl":
                client.starttls(context=self._trusted)
                client.ehlo()
            yield client
        finally:
            if self._smtp is not None:
                self._smtp.close()
            self._smtp = kept

    def _recipient(self) -> str:
        """Where no message may stay behind: up to the recipient, without a message."""
        subject, client = self._subject, self._client()
        _expect(client.mail(subject.address))
        code, said = client.rcpt(subject.address)
        client.rset()
        if subject.may.receive:
            return f"{_expect((code, said))}; no message was sent"
        if code < 500:
            raise Failed(
                f"mail to it is taken, though receiving is suspended: {_reply(code, said)}"
            )
        return f"refused: {_reply(code, said)}"

    def _foreign_sender(self) -> str:
        """Another address of the same domain, which is nobody's."""
        client = self._client()
        client.rset()
        sender = f"verify-{self._token}@{self._subject.address.rpartition('@')[2]}"
        code, said = client.mail(sender)
        if code == 250:  # Postfix tells at the recipient
            code, said = client.rcpt(self._subject.address)
        client.rset()
        if code != 553:
            raise Failed(f"a sender that is somebody else's gets {_reply(code, said)}, not 553")
        return f"refused: {_reply(code, said)}"

    def _message_id(self) -> str:
        return f"<verify.{self._token}@{self._subject.address.rpartition('@')[2]}>"

    def _send(self) -> str:
        message = EmailMessage()
        message["From"] = message["To"] = self._subject.address
        message["Subject"] = "メールの動作確認 / Mail check"
        message["Date"] = format_datetime(self._now)
        message["Message-ID"] = self._message_id()
        message["Auto-Submitted"] = "auto-generated"  # nobody's absence note answers it
        message.set_content(
            "メールが使えることを確認するために送られ、すぐに削除されます。\n"
            f"Sent to check that mail works, and deleted at once.\n{self._token}\n"
        )
        client = self._client()
        client.sendmail(
            self._subject.address, [self._subject.address], message.as_bytes(policy=SMTP)
        )
        also = self._subject.forwarded
        return "sent to itself" + (f"; it goes on to {', '.join(also)} too" if also else "")

    # IMAP

    def _imap_connect(self) -> str:
        self._imap = self._opened_imap(self._mail.imap, self._trusted)
        server = self._mail.imap
        where = f"{server.host} port {server.port}"
        return (
            where
            if server.security == "none"
            else f"{where}, {self._certificate(self._imap.sock)[0]}"
        )

    def _opened_imap(self, server: Server, context: ssl.SSLContext) -> imaplib.IMAP4:
        if server.security == "ssl":
            return imaplib.IMAP4_SSL(
                server.host, server.port, ssl_context=context, timeout=self._timeout
            )
        client = imaplib.IMAP4(server.host, server.port, self._timeout)
        if server.security == "starttls":
            with _closed_on_failure(client.shutdown):
                client.starttls(context)
        return client

    def _box(self) -> imaplib.IMAP4:
        assert self._imap is not None
        return self._imap

    def _imap_log_in(self) -> str:
        return _line(self._box().login(self._subject.address, self._subject.password)[1])

    def _imap_barred(self) -> str:
        with _refusal(imaplib.IMAP4.error) as refused:
            self._imap_log_in()
        return refused.told("log-in by IMAP is let in, though fetching is suspended")

    def _imap_wrong(self) -> str:
        return self._imap_refuses(self._wrong_password(), "a wrong password is let in")

    def _imap_revoked(self) -> str:
        told = "the password that was taken back still opens the mailbox"
        return self._imap_refuses(self._subject.password, told)

    def _imap_refuses(self, password: str, otherwise: str) -> str:
        client = self._opened_imap(self._mail.imap, self._trusted)
        try:
            with _refusal(imaplib.IMAP4.error) as refused:
                client.login(self._subject.address, password)
            return refused.told(otherwise)
        finally:
            client.shutdown()

    def _arrival(self) -> str:
        box, begun = self._box(), self._stopwatch()
        box.select("INBOX")
        while not self._find():
            if self._stopwatch() - begun > self._timeout:
                raise Failed(f"the message has not arrived within {self._timeout:g} s")
            self._sleep(POLL_SECONDS)
        return f"after {self._stopwatch() - begun:.1f} s"

    def _find(self) -> bool:
        box = self._box()
        box.noop()
        found = box.uid("SEARCH", "HEADER", "Message-ID", f'"{self._message_id()}"')[1]
        uids = found[0].split() if found and isinstance(found[0], bytes) else []
        self._uid = uids[-1].decode("ascii") if uids else ""
        return bool(self._uid)

    def _imap_fetch(self) -> str:
        answer = self._box().uid("FETCH", self._uid, "(BODY.PEEK[])")[1]
        content = b"".join(part[1] for part in answer if isinstance(part, tuple))
        return self._whole(content)

    def _whole(self, content: bytes) -> str:
        body = message_from_bytes(content).get_payload(decode=True)
        if not isinstance(body, bytes) or self._token.encode() not in body:
            raise Failed(f"the message came back changed: {len(content)} bytes without our mark")
        return f"{len(content)} bytes, unchanged"

    def _remove(self) -> str:
        """By IMAP, of our message alone; by POP3 where IMAP is out of order."""
        if self._imap is not None and self._is_done("imap-log-in"):
            self._imap.select("INBOX")
            if not self._find():
                raise Failed(f"it is not there: should it come, delete {self._message_id()}")
            if "UIDPLUS" not in self._imap.capability()[1][0].decode("ascii", "replace").split():
                raise Failed("no UIDPLUS: EXPUNGE would take other messages of the member along")
            self._imap.uid("STORE", self._uid, "+FLAGS.SILENT", "(\\Deleted)")
            self._imap.uid("EXPUNGE", self._uid)
            if self._find():
                raise Failed(f"it is still there: delete {self._message_id()}")
            return "by IMAP"
        number = self._pop3_number()
        if self._pop3 is None or number is None:
            raise Failed(f"nothing reaches the mailbox: delete {self._message_id()} later")
        self._pop3.dele(number)
        self._leave_pop3()
        return "by POP3"

    # POP3

    def _pop3_connect(self) -> str:
        server = self._mail.pop3
        self._pop3 = self._opened_pop3(server, self._trusted)
        where = f"{server.host} port {server.port}"
        return (
            where
            if server.security == "none"
            else f"{where}, {self._certificate(self._pop3.sock)[0]}"
        )

    def _opened_pop3(self, server: Server, context: ssl.SSLContext) -> poplib.POP3:
        if server.security == "ssl":
            return poplib.POP3_SSL(server.host, server.port, timeout=self._timeout, context=context)
        client = poplib.POP3(server.host, server.port, self._timeout)
        if server.security == "starttls":
            with _closed_on_failure(client.close):
                client.stls(context)
        return client

    def _pop3_log_in(self) -> str:
        assert self._pop3 is not None
        self._pop3.user(self._subject.address)
        return _text(self._pop3.pass_(self._subject.password))

    def _pop3_barred(self) -> str:
        with _refusal(poplib.error_proto) as refused:
            self._pop3_log_in()
        return refused.told("log-in by POP3 is let in, though fetching is suspended")

    def _pop3_number(self) -> int | None:
        """The number of our message in the POP3 session."""
        if self._pop3 is None or not self._is_done("pop3-log-in"):
            return None
        count, _ = self._pop3.stat()
        for number in range(count, max(0, count - LOOKED_AT), -1):
            if self._message_id().encode() in b"\r\n".join(self._pop3.top(number, 0)[1]):
                return number
        return None

    def _pop3_fetch(self) -> str:
        """A POP3 session shows what was there when it began: so another one, until it has come."""
        begun = self._stopwatch()
        while (number := self._pop3_number()) is None:
            if self._stopwatch() - begun > self._timeout:
                raise Failed("the message is not among the newest ones")
            self._sleep(POLL_SECONDS)
            self._leave_pop3()
            self._pop3_connect()
            self._pop3_log_in()
        assert self._pop3 is not None
        return self._whole(b"\r\n".join(self._pop3.retr(number)[1]))

    def _leave_pop3(self) -> None:
        if self._pop3 is not None:
            self._pop3.quit()
            self._pop3 = None

    # What is published, and what is there

    def _offers(self) -> None:
        mail = self._mail
        for name, server, offered in (
            ("imap", mail.imap, self._imap_offers),
            ("imap-legacy", mail.imap_legacy, self._imap_offers),
            ("pop3", mail.pop3, self._pop3_offers),
            ("pop3-legacy", mail.pop3_legacy, self._pop3_offers),
            ("submission", mail.submission, self._smtp_offers),
            ("submission-legacy", mail.submission_legacy, self._smtp_offers),
            ("submissions", mail.submissions, self._smtp_offers),
        ):
            self._step(f"published-{name}", partial(self._offer, server, offered))

    def _offer(
        self, server: Server, offered: Callable[[Server, ssl.SSLContext], tuple[list[str], Any]]
    ) -> str:
        """What one published server offers; Failed where it is not what is published."""
        mechanisms, socket = offered(server, self._trusted)
        published = f"{server.host} port {server.port} {server.security}"
        told = f"{published}: {' '.join(mechanisms) or 'no log-in'}"
        if not mechanisms:
            raise Failed(f"{told} is offered as it is published")
        if server.security == "none":
            return told
        told += f", {socket}"
        versions = []
        for version, only in VERSIONS.items():
            with suppress(*TROUBLE):
                offered(server, trust(self._ca, only))
                versions.append(version)
        return f"{told}, TLS {' and '.join(versions)}"

    def _smtp_offers(self, server: Server, context: ssl.SSLContext) -> tuple[list[str], str]:
        client: smtplib.SMTP
        if server.security == "ssl":
            client = smtplib.SMTP_SSL(
                *(server.host, server.port, CLIENT_NAME, None, None),
                timeout=self._timeout,
                context=context,
            )
        else:
            client = smtplib.SMTP(server.host, server.port, CLIENT_NAME, self._timeout)
        try:
            client.ehlo()
            if server.security == "starttls":
                client.starttls(context=context)
                client.ehlo()
            offered = client.esmtp_features.get("auth", "").upper().split()
            return _password_mechanisms(offered), self._told_certificate(server, client.sock)
        finally:
            client.close()

    def _imap_offers(self, server: Server, context: ssl.SSLContext) -> tuple[list[str], str]:
        client = self._opened_imap(server, context)
        try:
            words = client.capability()[1][0].decode("ascii", "replace").upper().split()
            if "LOGINDISABLED" in words:
                return [], ""
            offered = [word.removeprefix("AUTH=") for word in words if word.startswith("AUTH=")]
            return _password_mechanisms(offered), self._told_certificate(server, client.sock)
        finally:
            client.shutdown()

    def _pop3_offers(self, server: Server, context: ssl.SSLContext) -> tuple[list[str], str]:
        client = self._opened_pop3(server, context)
        try:
            capabilities = client.capa()
            offered = [word.upper() for word in capabilities.get("SASL", [])]
            offered += ["USER"] if "USER" in capabilities else []
            return _password_mechanisms(offered), self._told_certificate(server, client.sock)
        finally:
            client.close()

    def _told_certificate(self, server: Server, socket: Any) -> str:
        """What the certificate says, where there is one; Failed where it ends soon."""
        if server.security == "none":
            return ""
        told, days = self._certificate(socket)
        if days < LEAST_DAYS:
            raise Failed(f"{told}: renew it now")
        return told

    def _hang_up(self) -> None:
        """Say goodbye where somebody listens, and close."""
        with suppress(*TROUBLE):
            if self._smtp is not None:
                self._smtp.quit()
        with suppress(*TROUBLE):
            self._leave_pop3()
        with suppress(*TROUBLE):
            if self._imap is not None:
                self._imap.logout()
        for close in (
            self._smtp and self._smtp.close,
            self._pop3 and self._pop3.close,
            self._imap and self._imap.shutdown,
        ):
            if close:
                with suppress(*TROUBLE):
                    close()


@dataclass(slots=True)
class _Refused:
    """Whether the server has refused, and its words."""

    words: str = ""
    happened: bool = False

    def told(self, otherwise: str) -> str:
        if not self.happened:
            raise Failed(otherwise)
        return f"refused: {self.words}"


@contextmanager
def _refusal(kind: type[Exception]) -> Iterator[_Refused]:
    """Expects a refusal; a connection that breaks is none."""
    seen = _Refused()
    try:
        yield seen
    except kind as refused:
        if isinstance(refused, imaplib.IMAP4.abort):
            raise
        seen.happened, seen.words = True, _told(refused)


@contextmanager
def _closed_on_failure(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(*TROUBLE):
            close()
        raise


def _password_mechanisms(offered: list[str]) -> list[str]:
    """Those that programs use with an ordinary password."""
    return [each for each in ("PLAIN", "LOGIN", "USER") if each in offered]


def _expect(reply: tuple[int, bytes]) -> str:
    if reply[0] >= 400:
        raise Failed(_reply(*reply))
    return _reply(*reply)


def _reply(code: int, said: bytes | str) -> str:
    return f"{code} {_text(said)}"


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


def _line(said: list[Any]) -> str:
    return _text(said[0]) if said and isinstance(said[0], bytes) else ""


def _told(wrong: BaseException) -> str:
    """A failure in the server's own words, where it has said something."""
    if isinstance(wrong, smtplib.SMTPRecipientsRefused):
        return _reply(*next(iter(wrong.recipients.values())))
    if isinstance(wrong, smtplib.SMTPResponseException):
        return _reply(wrong.smtp_code, wrong.smtp_error)
    if isinstance(wrong, OSError) and wrong.strerror:
        return wrong.strerror
    said = wrong.args[0] if wrong.args else ""
    return _text(said) if isinstance(said, bytes | str) and said else type(wrong).__name__
