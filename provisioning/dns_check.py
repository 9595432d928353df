"""Name servers asked by DNS (RFC 1035): UDP, TCP where an answer is cut, never for long."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from reprlib import repr as shown
from typing import Final

from dns.exception import DNSException, Timeout
from dns.flags import AA, RA
from dns.message import QueryMessage, make_query
from dns.name import Name, from_text
from dns.query import udp_with_fallback
from dns.rcode import NOERROR, NXDOMAIN
from dns.rcode import to_text as rcode_text
from dns.rdatatype import from_text as type_of
from dns.resolver import NoResolverConfiguration, Resolver

from isp.errors import Refused
from provisioning.dns_findings import Answer

PATIENCE: Final = 3
"""Questions without an answer after which a server is asked nothing more."""
ALIASES: Final = 8
"""CNAMEs that are followed from one server to the next."""
PAYLOAD: Final = 1_232
"""Bytes of UDP that no network cuts (DNS flag day 2020)."""


@dataclass(frozen=True, slots=True)
class NameServer:
    """Where a name server listens."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


def name_server(written: str) -> NameServer:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`."""
    parts = re.fullmatch(
        r"\[(?P<six>[0-9a-f:.]+)\](?::(?P<port6>\d{1,5}))?|(?P<four>[0-9.]+)(?::(?P<port>\d{1,5}))?"
        r"|(?P<bare>[0-9a-f:.]+)",
        written.strip(),
        re.IGNORECASE | re.ASCII,
    )
    try:
        if parts is None:
            raise ValueError
        address = str(ip_address(parts["six"] or parts["four"] or parts["bare"]))
        port = int(parts["port6"] or parts["port"] or 53)
        if not 1 <= port <= 65_535:
            raise ValueError
    except ValueError:
        raise Refused(
            "nameserver", f"{shown(written)} is not an IP address, with :PORT where it is not 53"
        ) from None
    return NameServer(address, port)


def machine_servers() -> tuple[NameServer, ...]:
    """The resolvers that this machine uses; none where it has none."""
    try:
        resolver = Resolver()
    except NoResolverConfiguration:
        return ()
    return tuple(NameServer(str(each), resolver.port) for each in resolver.nameservers)


class Inquiry:
    """Asks about one domain: `inquiry(name, "MX")`, each question once.

    Names of the domain are asked of `servers`, one after the other until one answers. Names of
    other domains (the operator's servers, as a rule) may be strange to them: then `others` are
    asked. A failure to answer is part of the `Answer`, never an exception.
    """

    def __init__(
        self,
        domain: str,
        servers: Sequence[NameServer],
        others: Sequence[NameServer],
        timeout: float,
    ) -> None:
        self._domain = from_text(f"{domain}.")
        self._servers = tuple(servers)
        self._others = tuple(others)
        self._timeout = timeout
        self._silences: Counter[NameServer] = Counter()
        self._known: dict[tuple[Name, str], Answer] = {}

    def __call__(self, name: Name, kind: str) -> Answer:
        if (name, kind) not in self._known:
            self._known[name, kind] = self._follow(name, kind)
        return self._known[name, kind]

    def _follow(self, name: Name, kind: str) -> Answer:
        """The answer, from server to server where an alias leads out of a domain."""
        names = [name]
        while len(names) <= ALIASES:
            answer = self._ask(names[-1], kind)
            names += answer.names[1:]
            if answer.failure or answer.rdatas or len(answer.names) < 2:
                return Answer(answer.rdatas, tuple(names), answer.failure)
        return Answer(names=tuple(names), failure="aliases of aliases without end")

    def _ask(self, name: Name, kind: str) -> Answer:
        servers = self._servers
        if not name.is_subdomain(self._domain):
            servers += tuple(each for each in self._others if each not in servers)
        failures = []
        for server in servers:
            answer = self._ask_server(server, name, kind)
            if not answer.failure:
                return answer
            failures.append(f"{server}: {answer.failure}")
        return Answer(names=(name,), failure="; ".join(failures))

    def _ask_server(self, server: NameServer, name: Name, kind: str) -> Answer:
        if self._silences[server] >= PATIENCE:
            return Answer(failure="timed out before")
        question = make_query(name, type_of(kind), use_edns=0, payload=PAYLOAD)
        try:
            response = self._answered(server, question)
            chain = response.resolve_chaining()
        except Timeout:
            self._silences[server] += 1
            return Answer(failure="timed out")
        except (DNSException, OSError) as wrong:
            return Answer(failure=" ".join(f"{type(wrong).__name__} {wrong}".split()))
        if response.rcode() not in (NOERROR, NXDOMAIN):
            return Answer(failure=rcode_text(response.rcode()))
        if not response.flags & (AA | RA):
            return Answer(failure="does not serve the domain")
        names = (name, *(each.target for cname in chain.cnames for each in cname))
        return Answer(tuple(chain.answer or ()), names)

    def _answered(self, server: NameServer, question: QueryMessage) -> QueryMessage:
        try:
            return self._answered_once(server, question)
        except Timeout:  # a datagram may be lost
            return self._answered_once(server, question)

    def _answered_once(self, server: NameServer, question: QueryMessage) -> QueryMessage:
        response, _ = udp_with_fallback(
            question,
            server.address,
            timeout=self._timeout,
            port=server.port,
            # What somebody else sends in between, or in another form, is no answer.
            ignore_unexpected=True,
            ignore_errors=True,
        )
        assert isinstance(response, QueryMessage)
        return response
