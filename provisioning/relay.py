"""Mail for other domains goes to the operator's smarthost [中継サーバー], all recipients or none."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Sequence

TIMEOUT_SECONDS = 50
"""For each answer of the smarthost; mail programs give up on us after a minute or so."""


class NotTaken(Exception):
    """The smarthost has not taken the message; `reply` is what to tell the client."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


def hand_over(
    host: str, port: int, sender: str, recipients: Sequence[str], message: bytes, hostname: str
) -> None:
    """Give the message, lines ending in CRLF, to the smarthost for all recipients.

    Raises NotTaken, with a 5yz reply where the smarthost refuses for good and 451 where it may
    take the message later; after either it has the message for nobody, unless it broke off
    between the last dot and its answer: then it may come twice, but is never lost (RFC 1047).
    """
    try:
        smarthost = smtplib.SMTP(host, port, local_hostname=hostname, timeout=TIMEOUT_SECONDS)
    except (OSError, smtplib.SMTPException) as wrong:
        raise NotTaken(f"451 4.4.1 The next server cannot be reached: {_told(wrong)}") from None
    with contextlib.closing(smarthost):
        try:
            _hand_over(smarthost, sender, recipients, message)
        except (OSError, smtplib.SMTPException) as wrong:
            raise NotTaken(f"451 4.4.2 The next server broke off: {_told(wrong)}") from None
        with contextlib.suppress(OSError, smtplib.SMTPException):
            smarthost.docmd("QUIT")  # whatever it says, it has the message


def _hand_over(
    smarthost: smtplib.SMTP, sender: str, recipients: Sequence[str], message: bytes
) -> None:
    """One mail transaction; a recipient that is refused ends it before anything is sent."""
    smarthost.ehlo_or_helo_if_needed()
    if smarthost.has_extn("starttls"):
        # The smarthost stands in the operator's own net, often with a certificate of its own:
        # unverified TLS keeps listeners out, and failing would send the mail in clear.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        smarthost.starttls(context=context)
        smarthost.ehlo_or_helo_if_needed()
    options = []
    if smarthost.has_extn("size"):
        options.append(f"SIZE={len(message)}")
    if smarthost.has_extn("8bitmime") and not message.isascii():
        options.append("BODY=8BITMIME")
    _expect(smarthost.docmd("MAIL", " ".join([f"FROM:<{sender}>", *options])), "the sender")
    for recipient in recipients:
        _expect(smarthost.docmd("RCPT", f"TO:<{recipient}>"), f"<{recipient}>")
    try:
        answer = smarthost.data(message)
    except smtplib.SMTPDataError as refused:
        answer = refused.smtp_code, _bytes(refused.smtp_error)
    _expect(answer, "the message")


def _expect(answer: tuple[int, bytes], what: str) -> None:
    """Go on after 2yz; anything else ends the transaction."""
    code, text = answer
    if 200 <= code <= 299:
        return
    told = f"The next server does not take {what}: {code} {_plain(text.decode('ascii', 'replace'))}"
    raise NotTaken(f"550 5.0.0 {told}" if 500 <= code <= 599 else f"451 4.0.0 {told}")


def _told(wrong: Exception) -> str:
    if isinstance(wrong, smtplib.SMTPResponseException):
        return _plain(f"{wrong.smtp_code} {_bytes(wrong.smtp_error).decode('ascii', 'replace')}")
    return _plain(str(wrong) or type(wrong).__name__)


def _bytes(text: bytes | str) -> bytes:
    """What smtplib says the server said: bytes, or its own words as text."""
    return text if isinstance(text, bytes) else text.encode()


def _plain(text: str) -> str:
    """A stranger's words on one line of ASCII."""
    line = " ".join(text.split())
    return "".join(sign if " " <= sign <= "~" else "?" for sign in line)[:200]
