"""What a member enters [設定内容]: for one mailbox (ISP-17), or for the connection by PPPoE (ISP-16)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar, Final, Literal, Self

from isp.documents import Language, printable
from isp.errors import Refused
from isp.letters import line_name
from isp.policy import Mail, Security, Server

Protocol = Literal["imap", "pop3"]
Kind = Literal["mail", "connection"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A server to fetch mail from [受信サーバー]."""

    protocol: Protocol
    host: str
    port: int
    security: Security


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The server that takes mail to send [送信サーバー], always with authentication."""

    host: str
    port: int
    security: Security
    authentication: Literal["password"] = "password"


@dataclass(frozen=True, slots=True)
class Settings(ABC):
    """What a member enters [設定内容] in the clients of one kind.

    `own` names the fields that differ from member to member, which are the placeholders for them,
    too; by the first of them the member is known.
    """

    kind: ClassVar[Kind]
    own: ClassVar[tuple[str, ...]]

    def identity(self) -> str:
        """The mail address or the connection ID."""
        return str(getattr(self, self.own[0]))

    def inert(self) -> Self:
        """Without control and direction marks, so that no name can add a line or turn one round."""
        return replace(self, **{name: printable(getattr(self, name)).strip() for name in self.own})

    def impersonal(self) -> Self:
        """What is left without the member: the same for many."""
        return replace(self, **dict.fromkeys(self.own, ""))

    def own_values(self, said: SimpleNamespace) -> dict[str, str]:
        """The member's placeholders and what stands for them."""
        return {name: getattr(self, name) or said.any_name for name in self.own}

    @abstractmethod
    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        """The other placeholders of this kind and what stands for them."""

    @abstractmethod
    def fits(self, kind: Kind, *, legacy: bool) -> bool:
        """Whether they are for such a client."""


@dataclass(frozen=True, slots=True)
class MailSettings(Settings):
    """What a member enters for one mailbox; the best way to fetch mail comes first (ISP-17)."""

    kind = "mail"
    own = ("address", "username", "display_name")

    address: str
    username: str
    display_name: str
    incoming: tuple[Incoming, ...]
    outgoing: Outgoing

    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        values = _of_server("smtp", self.outgoing, said)
        for server in self.incoming:
            values |= _of_server("imap" if server.protocol == "imap" else "pop", server, said)
        return values

    def fits(self, kind: Kind, *, legacy: bool) -> bool:
        return kind == self.kind and legacy is (self.incoming[0].protocol == "pop3")


@dataclass(frozen=True, slots=True)
class ConnectionSettings(Settings):
    """What a member enters for the connection by PPPoE, and over which line it goes (ISP-16)."""

    kind = "connection"
    own = ("connection_id",)

    connection_id: str
    line: str
    line_title: str

    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        return {
            "line": self.line_title,
            "terminal": getattr(said, f"terminal_{self.line}"),
            "wiring": getattr(said, f"wiring_{self.line}"),
        }

    def fits(self, kind: Kind, *, legacy: bool) -> bool:
        return kind == self.kind


MEMBER_WORDS: Final = frozenset((*MailSettings.own, *ConnectionSettings.own))


def _incoming(protocol: Protocol, server: Server) -> Incoming:
    return Incoming(protocol, server.host, server.port, server.security)


def settings_for(address: str, display_name: str, mail: Mail, *, legacy: bool) -> MailSettings:
    """The user name is the whole address; mail leaves through the submission port, 587 (ISP-17).

    Programs of today get IMAP, then POP3. Those out of support [サポート終了] know no encryption
    that servers still speak: POP3, then IMAP as the policy's `_legacy` servers have them, and
    submission in the same way.
    """
    if legacy:
        incoming = (_incoming("pop3", mail.pop3_legacy), _incoming("imap", mail.imap_legacy))
        submission = mail.submission_legacy
    else:
        incoming = (_incoming("imap", mail.imap), _incoming("pop3", mail.pop3))
        submission = mail.submission
    outgoing = Outgoing(submission.host, submission.port, submission.security)
    return MailSettings(address, address, display_name, incoming, outgoing)


def connection_settings(connection_id: str, line: str, language: Language) -> ConnectionSettings:
    """The connection ID and the line type [回線種別] as people know it (ISP-16).

    A plan without an access line is refused: there is nothing to connect over.
    """
    title = line_name(line, language)
    if not title:
        raise Refused("line", f"{connection_id} has no access line ({line}): nothing to set up")
    return ConnectionSettings(connection_id, line, title)


def _of_server(name: str, server: Incoming | Outgoing, said: SimpleNamespace) -> dict[str, str]:
    return {
        f"{name}_host": server.host,
        f"{name}_port": str(server.port),
        f"{name}_security": getattr(said, server.security),
        f"{name}_ssl": said.tick if server.security == "ssl" else said.untick,
        f"{name}_tls": said.off if server.security == "none" else said.on,
    }
