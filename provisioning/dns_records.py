"""What a mail domain must publish [メールドメインの DNS レコード], as records and as a zone file.

MX (RFC 5321), SPF (7208), DKIM (6376), DMARC (7489), SRV of mail programs (6186, 8314, 2782),
MTA-STS (8461), TLS reports (8460), and the names that Thunderbird and Outlook ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal

from dns.name import Name, NameTooLong, from_text
from dns.rdata import Rdata
from dns.rdata import from_text as content
from dns.rdataclass import IN
from dns.rdatatype import CNAME, MX, SRV, TXT
from dns.rdatatype import to_text as type_name
from dns.rdtypes.ANY.TXT import TXT as Text

from isp.errors import Refused
from provisioning.addresses import mail_domain
from provisioning.dkim import key_text

if TYPE_CHECKING:
    from isp.documents import Language
    from isp.policy import Dns, Mail, Server

Kind = Literal["mx", "spf", "dkim", "dmarc", "srv", "no-srv", "mta-sts", "tls-rpt", "web"]

TEXT_LENGTH: Final = 255
"""Bytes of one string of a TXT record (RFC 1035); longer texts are several strings."""
STS_SECONDS: Final = 604_800
"""How long others keep the MTA-STS policy: a week."""

WHY: Final[Mapping[Kind, Mapping[Language, str]]] = {
    "mx": {
        "ja": "このドメインあてのメールを受け取るサーバーです。",
        "en": "The servers that take mail for this domain.",
    },
    "spf": {
        "ja": "このドメインのメールを送るサーバーを示します（SPF）。",
        "en": "The servers that send mail of this domain (SPF).",
    },
    "dkim": {
        "ja": "メールの電子署名を確かめるための公開鍵です（DKIM）。",
        "en": "The public key that proves signatures on mail (DKIM).",
    },
    "dmarc": {
        "ja": "なりすましメールの扱いと、報告の送り先を示します（DMARC）。",
        "en": "What to do with mail that is not ours, and where to report it (DMARC).",
    },
    "srv": {
        "ja": "メールソフトが接続先のサーバーを自動で見つけるために使います。",
        "en": "Mail programs find the server by it.",
    },
    "no-srv": {
        "ja": "この方式での接続は、TLS で保護された形では提供していないことを示します。",
        "en": "Says that no server under TLS is offered for this protocol.",
    },
    "mta-sts": {
        "ja": "受信サーバーへの配送に TLS を求める方針があることを示します（MTA-STS）。",
        "en": "Says that there is a policy on TLS for mail to our servers (MTA-STS).",
    },
    "tls-rpt": {
        "ja": "TLS で配送できなかったときの報告の送り先です。",
        "en": "Where others report mail that could not be delivered under TLS.",
    },
    "web": {
        "ja": "自動設定と MTA-STS の方針を配るウェブサーバーの名前です。",
        "en": "A name of the web server that hands out settings and the MTA-STS policy.",
    },
}


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish, its content as dnspython's own type; `why` is a sentence for people."""

    name: Name
    ttl: int
    rdata: Rdata
    kind: Kind
    why: str

    @property
    def type(self) -> str:
        return type_name(self.rdata.rdtype)

    @property
    def data(self) -> str:
        return self.rdata.to_text()

    @property
    def line(self) -> str:
        """The record as a line that stands in any zone file, whatever its origin."""
        return zone_line(self.name, self.ttl, self.rdata)


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A DKIM key of the domain that others must find: base64 of the public half in DER form."""

    selector: str
    public_key: str


def records(
    domain: str, mail: Mail, dns: Dns, keys: Iterable[PublishedKey], language: Language
) -> tuple[Record, ...]:
    """Everything a mail domain must publish, in the order of the zone file.

    Addresses of servers are not among them: they are the operator's own, in whatever zone.
    Refused: a server name of the policy that DNS cannot point to, such as an IP address.
    """
    origin = _name(domain)
    listed: list[tuple[str, Rdata, Kind]] = [
        *(("", exchange(10 * n, host), "mx") for n, host in enumerate(dns.mx, 1)),
        ("", text(spf_text(dns.senders)), "spf"),
        *((key_label(key.selector), text(key_text(key.public_key)), "dkim") for key in keys),
        ("_dmarc", text(dmarc_text(domain, dns)), "dmarc"),
        *_services(mail),
        ("_mta-sts", text(f"v=STSv1; id={sts_id(sts_policy(dns))}"), "mta-sts"),
        ("_smtp._tls", text(f"v=TLSRPTv1; rua=mailto:{dns.reports}@{domain}"), "tls-rpt"),
        ("_autodiscover._tcp", service(0, 443, dns.web), "srv"),
        *((name, content(IN, CNAME, f"{dns.web}."), "web") for name in WEB_NAMES),
    ]
    made = (
        Record(_within(label, origin), dns.ttl, rdata, kind, WHY[kind][language])
        for label, rdata, kind in listed
    )
    # Where the web server has one of the names itself, there is nothing to point to it.
    return tuple(record for record in made if record.kind != "web" or record.name != _name(dns.web))


WEB_NAMES: Final = ("autoconfig", "autodiscover", "mta-sts")


def key_label(selector: str) -> str:
    """Where a key is published, below its domain."""
    return f"{selector}._domainkey"


def spf_text(senders: Sequence[str]) -> str:
    """Our senders may send, others are suspect [SPF].

    Not `-all`: it has forwarded mail refused before its signature is looked at (RFC 7489, 10.1).
    """
    return " ".join(["v=spf1", *(f"a:{host}" for host in senders), "~all"])


def dmarc_text(domain: str, dns: Dns) -> str:
    """Reports go to the domain itself, so nobody else need permit them (RFC 7489, 7.1)."""
    return f"v=DMARC1; p={dns.dmarc}; rua=mailto:{dns.reports}@{domain}"


def sts_policy(dns: Dns) -> str:
    """The policy file that `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` must serve."""
    lines = ["version: STSv1", f"mode: {dns.mta_sts}", *(f"mx: {host}" for host in dns.mx)]
    return "".join(f"{line}\n" for line in [*lines, f"max_age: {STS_SECONDS}"])


def sts_id(policy: str) -> str:
    """Changes when the policy does, and only then: others fetch it anew when they see another."""
    return hashlib.sha256(policy.encode()).hexdigest()[:20]


def _services(mail: Mail) -> Iterator[tuple[str, Rdata, Kind]]:
    """SRV records; a server without TLS, for old programs that ask no DNS, is never announced.

    IMAP is preferred to POP3 (RFC 6186, 3.3).
    """
    submission = _named(mail, "submissions", "submission")
    imap = _named(mail, "imap", "imap_legacy")
    pop3 = _named(mail, "pop3", "pop3_legacy")
    for label, servers, security, priority in (
        ("_submissions", submission, "ssl", 0),
        ("_submission", submission, "starttls", 0),
        ("_imaps", imap, "ssl", 0),
        ("_imap", imap, "starttls", 0),
        ("_pop3s", pop3, "ssl", 10),
        ("_pop3", pop3, "starttls", 10),
    ):
        offered = [(knob, each) for knob, each in servers if each.security == security]
        if offered:
            knob, server = offered[0]
            host = mail_domain(server.host, knob)
            yield f"{label}._tcp", service(priority, server.port, host), "srv"
        else:
            yield f"{label}._tcp", content(IN, SRV, "0 0 0 ."), "no-srv"


def _named(mail: Mail, *names: str) -> list[tuple[str, Server]]:
    return [(f"mail.{name}.host", getattr(mail, name)) for name in names]


def hosts(mail: Mail, dns: Dns) -> dict[str, str]:
    """Every server that members and other mail servers are sent to, and a knob that names it."""
    named = {
        mail_domain(server.host, knob): knob
        for knob, server in _named(
            mail,
            *("pop3_legacy", "imap_legacy", "submission_legacy"),
            *("submissions", "submission", "pop3", "imap"),
        )
    }
    named |= {dns.web: "dns.web"}
    named |= dict.fromkeys(dns.senders, "dns.senders")
    return named | dict.fromkeys(dns.mx, "dns.mx")


# Contents -----------------------------------------------------------------------------------------


def text(words: str) -> Text:
    """A TXT record, in strings of 255 bytes."""
    raw = words.encode("ascii")
    pieces = [raw[at : at + TEXT_LENGTH] for at in range(0, len(raw), TEXT_LENGTH)]
    return Text(IN, TXT, pieces)


def exchange(preference: int, host: str) -> Rdata:
    return content(IN, MX, f"{preference} {host}.")


def service(priority: int, port: int, host: str) -> Rdata:
    return content(IN, SRV, f"{priority} 1 {port} {host}.")


def _name(written: str) -> Name:
    return from_text(f"{written}.")


def _within(label: str, origin: Name) -> Name:
    try:
        return from_text(label, origin) if label else origin
    except NameTooLong:
        raise Refused("domain", f"{label}.{origin} is longer than DNS allows") from None


# Writing ------------------------------------------------------------------------------------------


def zone_line(name: Name, ttl: int, rdata: Rdata) -> str:
    """A record as it stands in a zone file, every name whole."""
    return f"{name} {ttl} IN {type_name(rdata.rdtype)} {rdata.to_text()}"


def zone_text(domain: str, published: Sequence[Record]) -> str:
    """The records as part of a zone file (RFC 1035, 5), to be included in the domain's zone.

    Names below the domain stand relative to `$ORIGIN`; the reason for each stands above it.
    """
    origin = _name(domain)
    lines = [f"$ORIGIN {origin}"]
    for why, alike in groupby(published, key=lambda record: record.why):
        lines += ["", f"; {why}"]
        for record in alike:
            owner = record.name.relativize(origin)
            lines.append(f"{owner} {record.ttl} IN {record.type} {record.data}")
    return "\n".join([*lines, ""])


def record_json(record: Record) -> dict[str, Any]:
    """A record as the command line shows it."""
    return {
        "name": str(record.name),
        "type": record.type,
        "ttl": record.ttl,
        "data": record.data,
        "why": record.why,
    }
