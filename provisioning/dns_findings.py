"""What a name server says of a mail domain, held against what it should say [DNS レコードの点検].

One finding for each name and type, with what was expected, what was found, and its mend: lines of
a zone file to put in; those to take out stand as comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal

from dns.name import Name, from_text
from dns.rdata import Rdata
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.TXT import TXT

from provisioning.dns_records import Record, key_label, zone_line
from provisioning.dns_verdicts import (
    State,
    Trouble,
    Verdict,
    alias_verdict,
    is_key,
    spf_verdict,
    verdict,
)

if TYPE_CHECKING:
    from isp.documents import Language

Told = Trouble | Literal["key-removed", "no-address", "mx-alias", "unanswered"]

SENTENCES: Final[Mapping[Told, Mapping[Language, str]]] = {
    "": {"ja": "", "en": ""},
    "absent": {"ja": "レコードがありません", "en": "there is no such record"},
    "mx-lacking": {
        "ja": "当社の受信サーバーを指していないため、メールが届きません",
        "en": "our servers are not among them, so mail does not arrive",
    },
    "mx-strange": {
        "ja": "当社のものでないサーバーにもメールが届きます",
        "en": "servers that are not ours take mail too",
    },
    "mx-order": {
        "ja": "受信サーバーの優先順位が方針と違います",
        "en": "the servers are preferred in another order than the policy's",
    },
    "mx-alias": {
        "ja": "受信サーバーの名前を別名（CNAME）にすることはできません（RFC 2181）",
        "en": "a server that takes mail may not be an alias (RFC 2181)",
    },
    "srv": {
        "ja": "サーバーまたはポートが方針と違います",
        "en": "server or port are not the policy's",
    },
    "several": {
        "ja": "同じ種類のレコードが複数あると、どれも無効になります。1 つだけにしてください",
        "en": "several of a kind make all of them void: keep one",
    },
    "spf-broken": {
        "ja": "SPF の書き方に誤りがあるか、DNS の参照が 10 回を超えています",
        "en": "the SPF record has an error, or asks DNS more than 10 times",
    },
    "spf-lacking": {
        "ja": "当社の送信サーバーが許可されていません",
        "en": "our sending servers are not permitted",
    },
    "spf-open": {
        "ja": "誰にでも送信を許可しています（+all）",
        "en": "everybody is permitted to send (+all)",
    },
    "dkim": {
        "ja": "公開鍵が当社の署名鍵と一致しません",
        "en": "the public key is not that of our signing key",
    },
    "key-removed": {
        "ja": "廃止した鍵が公開されたままです",
        "en": "a key that was removed is still published",
    },
    "dmarc": {"ja": "DMARC の書き方に誤りがあります", "en": "the DMARC record has an error"},
    "dmarc-wish": {
        "ja": "DMARC の扱い（p=）が方針と違います",
        "en": "what DMARC asks for (p=) is not what the policy says",
    },
    "mta-sts": {
        "ja": "MTA-STS の id が今の方針のものではないため、方針の変更が伝わりません",
        "en": "the id is not that of today's MTA-STS policy, so nobody learns of the change",
    },
    "tls-rpt": {
        "ja": "報告の送り先（rua=）が正しく書かれていません",
        "en": "no address that reports can go to (rua=)",
    },
    "elsewhere": {"ja": "別のサーバーを指しています", "en": "it leads to another server"},
    "no-address": {
        "ja": "サーバーの IP アドレスが見つかりません",
        "en": "the server has no IP address",
    },
    "unanswered": {
        "ja": "ネームサーバーから答えが得られません",
        "en": "the name server gives no answer",
    },
}
"""Each trouble as a sentence for people."""

TAKE_OUT: Final[Mapping[Language, str]] = {"ja": "; 削除: ", "en": "; take out: "}
ADDRESS: Final[Mapping[Language, str]] = {"ja": "（IP アドレス）", "en": "(its IP address)"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is published: the records, and the name with those that it leads to by CNAME.

    `failure` says why there was no answer at all, which is not the same as none published.
    """

    rdatas: tuple[Rdata, ...] = ()
    names: tuple[Name, ...] = ()
    failure: str = ""


Ask = Callable[[Name, str], Answer]
"""Asks a name server: `ask(name, "MX")`."""


class Unanswered(Exception):
    """A name server gave no answer, so nothing can be said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the answers are held against.

    `removed`: selectors of keys that should be gone; `senders`: hosts that SPF must permit;
    `hosts`: servers that must have an address; `exchanges`: those of them that take mail.
    """

    domain: str
    records: tuple[Record, ...]
    removed: tuple[str, ...]
    senders: tuple[str, ...]
    hosts: tuple[str, ...]
    exchanges: tuple[str, ...]
    ttl: int
    language: Language


@dataclass(frozen=True, slots=True)
class Finding:
    """One name and type at a name server, good or not; `problem` is a sentence for people."""

    record: str
    state: State
    problem: str
    expected: tuple[str, ...]
    found: tuple[str, ...]
    mend: str


def finding_json(finding: Finding, server: str) -> dict[str, Any]:
    """A finding as the command line shows it, with the name server that it is about."""
    return {
        "nameserver": server,
        "record": finding.record,
        "state": finding.state,
        "problem": finding.problem,
        "expected": list(finding.expected),
        "found": list(finding.found),
        "mend": finding.mend,
    }


def findings(wanted: Wanted, ask: Ask) -> Iterator[Finding]:
    """All findings about a domain, good ones too, in the order of the zone file.

    A name server that does not serve the domain at all is one finding, not thirty.
    """
    inquiry = _Inquiry(wanted, ask)
    start = ask(inquiry.domain, "SOA")
    if start.failure:
        yield inquiry.unanswered(f"{inquiry.domain} SOA", (), start.failure)
        return
    for _, alike in groupby(wanted.records, key=lambda each: (each.name, each.kind)):
        yield inquiry.records(tuple(alike))
    for selector in wanted.removed:
        yield from inquiry.removed_key(from_text(key_label(selector), inquiry.domain))
    for host in wanted.hosts:
        yield inquiry.host(from_text(f"{host}."), host in wanted.exchanges)


class _Inquiry:
    """One domain at one name server."""

    def __init__(self, wanted: Wanted, ask: Ask) -> None:
        self.domain = from_text(f"{wanted.domain}.")
        self._wanted = wanted
        self._ask = ask

    def records(self, wanted: tuple[Record, ...]) -> Finding:
        """About all records of one name and type."""
        first = wanted[0]
        record = f"{first.name} {first.type}"
        expected = tuple(each.data for each in wanted)
        try:
            judged = self._verdict(wanted)
        except Unanswered as why:
            return self.unanswered(record, expected, str(why))
        lines = [zone_line(first.name, first.ttl, each) for each in judged.put]
        lines += [self._take_out(first.name, each) for each in judged.take_out]
        return Finding(
            record,
            judged.state,
            self._said(judged.trouble),
            expected,
            tuple(each.to_text() for each in judged.found),
            "\n".join(lines),
        )

    def _verdict(self, wanted: tuple[Record, ...]) -> Verdict:
        name, rdata = wanted[0].name, wanted[0].rdata
        if isinstance(rdata, CNAME):
            there = self._addresses(name)
            if rdata.target in there.names:  # where the server itself is, is a question of its own
                return alias_verdict(rdata, there.names, (), ())
            server = self._addresses(rdata.target)
            return alias_verdict(rdata, there.names, there.rdatas, server.rdatas)
        found = self._lookup(name, wanted[0].type)
        if wanted[0].kind == "spf" and isinstance(rdata, TXT):
            return spf_verdict(name, rdata, self._wanted.senders, found, self._lookup)
        return verdict(wanted, found)

    def removed_key(self, name: Name) -> Iterator[Finding]:
        """A finding only where a key that was removed is there still."""
        try:
            found = [each for each in self._lookup(name, "TXT") if is_key(each)]
        except Unanswered as why:
            yield self.unanswered(f"{name} TXT", (), str(why))
            return
        if found:
            yield Finding(
                f"{name} TXT",
                "extra",
                self._said("key-removed"),
                (),
                tuple(each.to_text() for each in found),
                "\n".join(self._take_out(name, each) for each in found),
            )

    def host(self, name: Name, takes_mail: bool) -> Finding:
        """About the addresses of a server."""
        record = f"{name} A"
        expected = (ADDRESS[self._wanted.language],)
        mend = f"; {name} {self._wanted.ttl} IN A {ADDRESS[self._wanted.language]}"
        try:
            there = self._addresses(name)
        except Unanswered as why:
            return self.unanswered(record, expected, str(why))
        found = tuple(each.to_text() for each in there.rdatas)
        if not found:
            return Finding(record, "missing", self._said("no-address"), expected, (), mend)
        if takes_mail and len(there.names) > 1:
            found = (f"CNAME {there.names[1]}", *found)
            return Finding(record, "wrong", self._said("mx-alias"), expected, found, mend)
        return Finding(record, "ok", "", expected, found, "")

    def unanswered(self, record: str, expected: tuple[str, ...], why: str) -> Finding:
        """About what could not be asked."""
        problem = f"{self._said('unanswered')} ({why})"
        return Finding(record, "missing", problem, expected, (), "")

    def _lookup(self, name: Name, kind: str) -> tuple[Rdata, ...]:
        answer = self._ask(name, kind)
        if answer.failure:
            raise Unanswered(answer.failure)
        return answer.rdatas

    def _addresses(self, name: Name) -> Answer:
        """Of both kinds; it is enough that one is answered for, or that an alias is found."""
        answers = [self._ask(name, kind) for kind in ("A", "AAAA")]
        names = max((each.names for each in answers), key=len)
        if len(names) < 2 and all(each.failure for each in answers):
            raise Unanswered(answers[0].failure)
        return Answer(tuple(rdata for each in answers for rdata in each.rdatas), names)

    def _take_out(self, name: Name, rdata: Rdata) -> str:
        line = zone_line(name, self._wanted.ttl, rdata)
        return TAKE_OUT[self._wanted.language] + line

    def _said(self, trouble: Told) -> str:
        return SENTENCES[trouble][self._wanted.language]
