"""Whether a host may send mail of a domain [SPF], by what the domain publishes (RFC 7208).

What depends on the message (macros, `exists`, `ptr`) never matches here: no message is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Literal

from dns.exception import DNSException
from dns.name import Name, from_text
from dns.rdata import Rdata
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

Address = IPv4Address | IPv6Address
Result = Literal["none", "pass", "fail", "softfail", "neutral", "permerror"]
Lookup = Callable[[Name, str], Sequence[Rdata]]
"""What is published under a name: `lookup(name, "MX")`; empty where there is nothing."""

QUALIFIERS: Final[dict[str, Result]] = {
    "": "pass",
    "+": "pass",
    "-": "fail",
    "~": "softfail",
    "?": "neutral",
}
LOOKUPS: Final = 10
"""Terms that ask DNS, in all (RFC 7208, 4.6.4)."""

_DIRECTIVE = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<mechanism>all|include|a|mx|ptr|ip4|ip6|exists)"
    r"(?::(?P<value>[^/]+))?(?:/(?P<length>\d{1,3}))?(?://(?P<length6>\d{1,3}))?",
    re.IGNORECASE | re.ASCII,
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE | re.ASCII)


class _Broken(Exception):
    """The record cannot be understood, or asks too much: nobody is judged by it."""


def plain_text(rdata: TXT) -> str:
    """The strings of a TXT record as one text (RFC 7208, 3.3)."""
    return b"".join(rdata.strings).decode("ascii", "replace")


def is_spf(content: str) -> bool:
    """Whether a text is an SPF record (RFC 7208, 4.5)."""
    return content.lower() == "v=spf1" or content.lower().startswith("v=spf1 ")


def result(address: Address, domain: Name, lookup: Lookup) -> Result:
    """What SPF says of mail of `domain` that comes from `address`."""
    try:
        return _Evaluation(address, lookup).of(domain)
    except _Broken:
        return "permerror"


class _Evaluation:
    """One question, with what it may still ask of DNS."""

    def __init__(self, address: Address, lookup: Lookup) -> None:
        self._address = address
        self._lookup = lookup
        self._left = LOOKUPS

    def of(self, domain: Name) -> Result:
        texts = [plain_text(each) for each in self._lookup(domain, "TXT") if isinstance(each, TXT)]
        found = [text for text in texts if is_spf(text)]
        if not found:
            return "none"
        if len(found) > 1:
            raise _Broken
        redirect = None
        directives = []
        for term in found[0].split()[1:]:
            if directive := _DIRECTIVE.fullmatch(term):
                directives.append(directive)
            elif not (modifier := _MODIFIER.fullmatch(term)):
                raise _Broken
            elif modifier["name"].lower() == "redirect":
                redirect = modifier["value"]
        for directive in directives:
            if self._matches(directive, domain):
                return QUALIFIERS[directive["qualifier"]]
        if redirect is None:
            return "neutral"
        self._spend()
        ruled = self.of(_name(redirect))
        if ruled == "none":
            raise _Broken
        return ruled

    def _matches(self, directive: re.Match[str], domain: Name) -> bool:
        mechanism = directive["mechanism"].lower()
        if mechanism == "all":
            return True
        if mechanism in ("ip4", "ip6"):
            return self._in_network(directive, mechanism)
        self._spend()
        if mechanism in ("ptr", "exists") or "%" in (directive["value"] or ""):
            return False
        target = _name(directive["value"]) if directive["value"] else domain
        if mechanism == "include":
            if directive["value"] is None:
                raise _Broken
            included = self.of(target)
            if included == "none":
                raise _Broken
            return included == "pass"
        if mechanism == "a":
            return self._at_host(target, directive)
        exchanges = [each for each in self._lookup(target, "MX") if isinstance(each, MX)]
        if len(exchanges) > LOOKUPS:
            raise _Broken
        return any(self._at_host(each.exchange, directive) for each in exchanges)

    def _in_network(self, directive: re.Match[str], mechanism: str) -> bool:
        written = directive["value"] or ""
        if directive["length"]:
            written += f"/{directive['length']}"
        try:
            network = ip_network(written, strict=False)
        except ValueError:
            raise _Broken from None
        if (network.version == 4) != (mechanism == "ip4") or directive["length6"]:
            raise _Broken
        return self._address in network

    def _at_host(self, host: Name, directive: re.Match[str]) -> bool:
        kind, length = "A", directive["length"] or "32"
        if self._address.version == 6:
            kind, length = "AAAA", directive["length6"] or "128"
        for rdata in self._lookup(host, kind):
            try:
                network: IPv4Network | IPv6Network = ip_network(
                    f"{rdata.to_text()}/{length}", strict=False
                )
            except ValueError:
                raise _Broken from None
            if self._address in network:
                return True
        return False

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Broken


def addresses(host: Name, lookup: Lookup) -> tuple[Address, ...]:
    """The addresses of a host, of both kinds."""
    return tuple(
        ip_address(rdata.to_text()) for kind in ("A", "AAAA") for rdata in lookup(host, kind)
    )


def _name(written: str) -> Name:
    try:
        return from_text(written if written.endswith(".") else f"{written}.")
    except DNSException:
        raise _Broken from None
