"""SPF: who may send mail of a domain, by what the domain publishes (RFC 7208)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import pytest
from dns.name import Name, from_text
from dns.rdata import Rdata
from dns.rdata import from_text as content
from hypothesis import given
from hypothesis import strategies as st

from provisioning.dns_records import text
from provisioning.spf import Lookup, Result, is_spf, result

A_JP = from_text("a.jp.")


def world(published: Mapping[str, Sequence[str]]) -> Lookup:
    """`{"a.jp TXT": ["v=spf1 ..."], "a.jp A": ["192.0.2.1"]}` as what DNS answers."""

    def lookup(name: Name, kind: str) -> Sequence[Rdata]:
        found = published.get(f"{name.to_text(omit_final_dot=True)} {kind}", ())
        return [text(each) if kind == "TXT" else content("IN", kind, each) for each in found]

    return lookup


HOSTS = {
    "a.jp A": ["192.0.2.1"],
    "a.jp AAAA": ["2001:db8::1"],
    "a.jp MX": ["10 mx.jp."],
    "mx.jp A": ["192.0.2.7"],
    "out.jp A": ["198.51.100.1", "198.51.100.2"],
    "net.jp TXT": ["v=spf1 ip4:203.0.113.0/24 -all"],
    "open.jp TXT": ["v=spf1 +all"],
    "soft.jp TXT": ["v=spf1 ~all"],
    "loop.jp TXT": ["v=spf1 include:loop.jp -all"],
    "two.jp TXT": ["v=spf1 +all", "v=spf1 -all"],
    **{f"n{n}.jp TXT": [f"v=spf1 include:n{n + 1}.jp -all"] for n in range(12)},
    "n12.jp TXT": ["v=spf1 +all"],
}


@pytest.mark.parametrize(
    ("record", "address", "said"),
    [
        ("v=spf1", "192.0.2.1", "neutral"),
        ("v=spf1 -all", "192.0.2.1", "fail"),
        ("v=spf1 ~all", "192.0.2.1", "softfail"),
        ("v=spf1 ?all", "192.0.2.1", "neutral"),
        ("v=spf1 all", "192.0.2.1", "pass"),
        ("V=SPF1 A -ALL", "192.0.2.1", "pass"),
        ("v=spf1 a -all", "2001:db8::1", "pass"),
        ("v=spf1 a -all", "192.0.2.2", "fail"),
        ("v=spf1 a/31 -all", "192.0.2.0", "pass"),
        ("v=spf1 a/31 -all", "192.0.2.2", "fail"),
        ("v=spf1 a//64 -all", "2001:db8::ffff", "pass"),
        ("v=spf1 a/31 -all", "2001:db8::ffff", "fail"),
        ("v=spf1 a:out.jp -all", "198.51.100.2", "pass"),
        ("v=spf1 -a:out.jp +all", "198.51.100.2", "fail"),
        ("v=spf1 a:out.jp/24//48 -all", "198.51.100.200", "pass"),
        ("v=spf1 mx -all", "192.0.2.7", "pass"),
        ("v=spf1 mx:a.jp -all", "192.0.2.7", "pass"),
        ("v=spf1 mx:out.jp -all", "192.0.2.7", "fail"),
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.200", "pass"),
        ("v=spf1 ip4:192.0.2.1 -all", "192.0.2.2", "fail"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8:1::1", "pass"),
        ("v=spf1 ip6:2001:db8::/32 -all", "192.0.2.1", "fail"),
        ("v=spf1 include:net.jp -all", "203.0.113.9", "pass"),
        ("v=spf1 include:net.jp ~all", "192.0.2.1", "softfail"),
        ("v=spf1 include:soft.jp -all", "192.0.2.1", "fail"),
        ("v=spf1 redirect=net.jp", "203.0.113.9", "pass"),
        ("v=spf1 redirect=net.jp", "192.0.2.1", "fail"),
        ("v=spf1 a redirect=net.jp", "192.0.2.1", "pass"),
        ("v=spf1 exp=why.jp -all", "192.0.2.1", "fail"),
        # What depends on the message never matches.
        ("v=spf1 exists:%{i}.jp ptr -all", "192.0.2.1", "fail"),
        ("v=spf1 include:%{d}.jp -all", "192.0.2.1", "fail"),
        # Errors void the record, also behind what matches (RFC 7208, 4.6).
        ("v=spf1 a nonsense -all", "192.0.2.1", "permerror"),
        ("v=spf1 ip4:192.0.2.300 -all", "192.0.2.1", "permerror"),
        ("v=spf1 ip4:2001:db8::/32 -all", "192.0.2.1", "permerror"),
        ("v=spf1 ip6:192.0.2.1 -all", "192.0.2.1", "permerror"),
        ("v=spf1 ip4 -all", "192.0.2.1", "permerror"),
        ("v=spf1 a:out.jp/33 -all", "192.0.2.1", "permerror"),
        ("v=spf1 a:a..b -all", "192.0.2.1", "permerror"),
        ("v=spf1 include -all", "192.0.2.1", "permerror"),
        ("v=spf1 include:none.jp -all", "192.0.2.1", "permerror"),
        ("v=spf1 include:two.jp -all", "192.0.2.1", "permerror"),
        ("v=spf1 redirect=none.jp", "192.0.2.1", "permerror"),
        ("v=spf1 include:loop.jp -all", "192.0.2.1", "permerror"),
        # Ten questions, and not eleven.
        ("v=spf1 include:n3.jp -all", "192.0.2.1", "pass"),
        ("v=spf1 include:n2.jp -all", "192.0.2.1", "permerror"),
    ],
)
def test_what_a_record_says_of_an_address(record: str, address: str, said: Result) -> None:
    lookup = world({**HOSTS, "a.jp TXT": ["google-site-verification=x", record]})
    assert result(ip_address(address), A_JP, lookup) == said


def test_no_record_says_nothing_and_two_are_an_error() -> None:
    address = ip_address("192.0.2.1")
    assert result(address, A_JP, world({})) == "none"
    assert result(address, A_JP, world({"a.jp TXT": ["v=spf10 -all"]})) == "none"
    assert result(address, from_text("two.jp."), world(HOSTS)) == "permerror"


def test_more_than_ten_exchanges_are_an_error() -> None:
    many = {"a.jp TXT": ["v=spf1 mx"], "a.jp MX": [f"10 mx{n}.jp." for n in range(11)]}
    assert result(ip_address("192.0.2.1"), A_JP, world(many)) == "permerror"


@pytest.mark.parametrize("content", ["v=spf1", "v=spf1 a", "V=SPF1 -all"])
def test_what_an_spf_record_begins_with(content: str) -> None:
    assert is_spf(content)
    assert not is_spf(f"x{content}") and not is_spf(content.replace("1", "1a"))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_whatever_is_published_there_is_an_answer(terms: str) -> None:
    lookup = world({**HOSTS, "a.jp TXT": [f"v=spf1 {terms}"]})
    assert result(ip_address("192.0.2.1"), A_JP, lookup) in (
        *("none", "pass", "fail", "softfail", "neutral", "permerror"),
    )
