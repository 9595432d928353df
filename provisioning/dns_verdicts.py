"""Whether what is published does what the wanted record should do [DNS レコードの判定], kind by kind.

Where several forms do the same, any of them is good: an A record in place of an alias, an SPF
record of one's own that permits our senders, other preferences in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from dns.name import Name, from_text
from dns.rdata import Rdata
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.SRV import SRV

from provisioning import spf
from provisioning.dns_records import Kind, Record, text

State = Literal["ok", "wrong", "missing", "extra"]
Trouble = Literal[
    "",
    "absent",
    "mx-lacking",
    "mx-strange",
    "mx-order",
    "srv",
    "several",
    "spf-broken",
    "spf-lacking",
    "spf-open",
    "dkim",
    "dmarc",
    "dmarc-wish",
    "mta-sts",
    "tls-rpt",
    "elsewhere",
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is found, what is wrong with it, and what is to be put and taken out to mend it."""

    state: State
    trouble: Trouble = ""
    found: tuple[Rdata, ...] = ()
    put: tuple[Rdata, ...] = ()
    take_out: tuple[Rdata, ...] = ()


def verdict(wanted: Sequence[Record], found: Sequence[Rdata]) -> Verdict:
    """About the records of one name and type, by what is published there (all kinds but two)."""
    kind = wanted[0].kind
    rdatas = [each.rdata for each in wanted]
    if kind == "mx":
        return _exchanges(
            [each for each in rdatas if isinstance(each, MX)],
            [each for each in found if isinstance(each, MX)],
        )
    if kind in ("srv", "no-srv"):
        return _services(
            [each for each in rdatas if isinstance(each, SRV)],
            [each for each in found if isinstance(each, SRV)],
        )
    begins, judge = TEXTS[kind]
    [only] = [each for each in rdatas if isinstance(each, TXT)]
    texts = [each for each in found if isinstance(each, TXT)]
    return _text(only, [each for each in texts if spf.plain_text(each).startswith(begins)], judge)


def _exchanges(wanted: list[MX], found: list[MX]) -> Verdict:
    """Ours are all there, no others, in the order of the policy."""
    seen = tuple(sorted(found, key=lambda each: each.preference))
    if not seen:
        return Verdict("missing", "absent", put=tuple(wanted))
    preference = {each.exchange: each.preference for each in reversed(seen)}
    ours = {each.exchange for each in wanted}
    strangers = tuple(each for each in seen if each.exchange not in ours)
    if not ours <= preference.keys():
        lacking = tuple(each for each in wanted if each.exchange not in preference)
        return Verdict("wrong", "mx-lacking", seen, lacking, strangers)
    if strangers:
        return Verdict("extra", "mx-strange", seen, take_out=strangers)
    order = [preference[each.exchange] for each in wanted]
    if order != sorted(order):
        return Verdict("wrong", "mx-order", seen, tuple(wanted), seen)
    return Verdict("ok", found=seen)


def _services(wanted: list[SRV], found: list[SRV]) -> Verdict:
    """The same servers and ports; priority and weight are free."""
    seen = tuple(found)
    if not seen:
        return Verdict("missing", "absent", put=tuple(wanted))
    places = {(each.target, each.port) for each in wanted}
    there = {(each.target, each.port) for each in seen}
    strangers = tuple(each for each in seen if (each.target, each.port) not in places)
    if not places <= there:
        lacking = tuple(each for each in wanted if (each.target, each.port) not in there)
        return Verdict("wrong", "srv", seen, lacking, strangers)
    if strangers:
        return Verdict("extra", "srv", seen, take_out=strangers)
    return Verdict("ok", found=seen)


def _text(wanted: TXT, seen: Sequence[TXT], judge: Callable[[str, str], Trouble]) -> Verdict:
    """There is exactly one text of its kind, and it says what it should."""
    if not seen:
        return Verdict("missing", "absent", put=(wanted,))
    others = tuple(each for each in seen if each != wanted)
    put = (wanted,) if len(others) == len(seen) else ()
    if len(seen) > 1:
        return Verdict("wrong", "several", tuple(seen), put, others)
    trouble = judge(spf.plain_text(wanted), spf.plain_text(seen[0]))
    if trouble:
        return Verdict("wrong", trouble, tuple(seen), put, others)
    return Verdict("ok", found=tuple(seen))


def tags(content: str) -> dict[str, str]:
    """`v=DKIM1; p=...` as its tags in their order (RFC 6376, 3.2); empty where it is malformed."""
    found: dict[str, str] = {}
    for piece in content.rstrip("; \t").split(";"):
        name, equals, value = piece.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name.strip(), re.ASCII):
            return {}
        if name.strip() in found:
            return {}
        found[name.strip()] = value.strip()
    return found


def _dkim(wanted: str, found: str) -> Trouble:
    """The same key; blanks inside it are allowed, `v` and `k` may be left out."""
    theirs = tags(found)
    version_first = "v" not in theirs or next(iter(theirs.items())) == ("v", "DKIM1")
    same = "".join(theirs.get("p", "").split()) == tags(wanted)["p"]
    return "" if same and version_first and theirs.get("k", "rsa") == "rsa" else "dkim"


def _dmarc(wanted: str, found: str) -> Trouble:
    """The policy's wish; where reports go, and all other tags, are the domain's own affair."""
    theirs = tags(found)
    wish = theirs.get("p", "").lower()
    if theirs.get("v") != "DMARC1" or wish not in ("none", "quarantine", "reject"):
        return "dmarc"
    return "" if wish == tags(wanted)["p"] else "dmarc-wish"


def _mta_sts(wanted: str, found: str) -> Trouble:
    return "" if tags(found).get("id") == tags(wanted)["id"] else "mta-sts"


def _tls_rpt(wanted: str, found: str) -> Trouble:
    """Somebody gets the reports; who is the domain's own affair."""
    reports = tags(found).get("rua", "")
    return "" if reports.startswith(("mailto:", "https:")) else "tls-rpt"


TEXTS: Final[Mapping[Kind, tuple[str, Callable[[str, str], Trouble]]]] = {
    "dkim": ("", _dkim),
    "dmarc": ("v=DMARC1", _dmarc),
    "mta-sts": ("v=STSv1", _mta_sts),
    "tls-rpt": ("v=TLSRPTv1", _tls_rpt),
}
"""How a text of the kind begins (others at the name do not count), and who judges it."""


def is_key(rdata: Rdata) -> bool:
    """Whether a record publishes a key; one without content says that the key is revoked."""
    return isinstance(rdata, TXT) and bool(tags(spf.plain_text(rdata)).get("p"))


def spf_verdict(
    domain: Name, wanted: TXT, senders: Sequence[str], found: Sequence[Rdata], lookup: spf.Lookup
) -> Verdict:
    """Every address of every sender passes, strangers do not; how is the domain's own affair."""
    seen = [each for each in found if isinstance(each, TXT) and spf.is_spf(spf.plain_text(each))]
    first = _text(wanted, seen, lambda ours, theirs: "")
    if first.state != "ok" or seen == [wanted]:
        return first
    theirs = spf.plain_text(seen[0])
    terms = theirs.lower().split()
    void = partial(Verdict, "wrong", found=tuple(seen), put=(wanted,), take_out=tuple(seen))
    if not theirs.isascii():
        return void("spf-broken")
    if {"all", "+all"}.intersection(terms):
        return void("spf-open")
    lacking = []
    for host in senders:
        results = {
            spf.result(address, domain, lookup)
            for address in spf.addresses(from_text(f"{host}."), lookup)
        }
        if "permerror" in results:
            return void("spf-broken")
        # A sender without an address is another finding; its name in the record is enough here.
        named = not results and {f"a:{host}", f"+a:{host}"}.intersection(terms)
        if results != {"pass"} and not named:
            lacking.append(f"a:{host}")
    if lacking:
        # What else the domain permits is kept.
        first_term, *others = theirs.split()
        return void("spf-lacking", put=(text(" ".join([first_term, *lacking, *others])),))
    return first


def alias_verdict(
    wanted: CNAME, names: Sequence[Name], there: Sequence[Rdata], server: Sequence[Rdata]
) -> Verdict:
    """The name leads to the web server: by CNAME, or by addresses that are among the server's.

    `names`: the name, and those that it leads to by CNAME; `there`: its addresses in the end.
    """
    found = tuple(there)
    if len(names) > 1:
        found = (wanted.replace(target=names[1]),)
    if wanted.target in names or set(there) & set(server):
        return Verdict("ok", found=found)
    if not found:
        return Verdict("missing", "absent", put=(wanted,))
    return Verdict("wrong", "elsewhere", found, (wanted,), found)
