"""What a submission server writes above a message that it takes: pure text (RFC 5321, RFC 6409)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address

HOPS = 100
"""So many Received fields mean a loop (RFC 5321, 6.3)."""

_FIELD_NAME = re.compile(rb"^([!-9;-~]+)[ \t]*:", re.MULTILINE)
_HELLO = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Handover:
    """How a message came in: the client's name as it gave it and its address, and by what."""

    hello: str
    client: str
    hostname: str
    cipher: str
    queue_id: str
    at: datetime

    @property
    def received(self) -> str:
        """The Received field of an authenticated client under TLS (RFC 3848).

        It names no recipient: that would tell one what is hidden from the others.
        """
        hello = self.hello if _HELLO.fullmatch(self.hello) else "unknown"
        address = ip_address(self.client)
        literal = f"IPv6:{address}" if isinstance(address, IPv6Address) else str(address)
        return (
            f"Received: from {hello} ([{literal}])\r\n"
            f"\tby {self.hostname} with ESMTPSA ({self.cipher})\r\n"
            f"\tid {self.queue_id}; {format_datetime(self.at)}\r\n"
        )


def traced(message: bytes, handover: Handover) -> bytes:
    """The message, lines ending in CRLF, under its Received field; Date and Message-ID if missing.

    Source: RFC 5321 4.4, RFC 6409 8.2 and 8.3.
    """
    head, bare = _head(message)
    names = {name.lower() for name in _FIELD_NAME.findall(head)}
    added = handover.received
    if b"date" not in names:
        added += f"Date: {format_datetime(handover.at)}\r\n"
    if b"message-id" not in names:
        added += f"Message-ID: <{handover.queue_id}@{handover.hostname}>\r\n"
    return added.encode("ascii") + (b"\r\n" if bare else b"") + message


def hops(message: bytes) -> int:
    """How many servers have had the message."""
    names = _FIELD_NAME.findall(_head(message)[0])
    return sum(name.lower() == b"received" for name in names)


def _head(message: bytes) -> tuple[bytes, bool]:
    """The header of a message, and whether it is a bare text that has none."""
    if message.startswith(b"\r\n"):
        return b"", False
    if not _FIELD_NAME.match(message):
        return b"", True
    return message.partition(b"\r\n\r\n")[0], False
