"""What a mail domain must publish: the records, the zone file, and what dnspython reads back of it."""

from __future__ import annotations

import re

import dns.zone
import msgspec
import pytest
from dns.name import from_text
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.policy import Dns, Mail, Server, parse, profile_text
from provisioning.dns_records import (
    WHY,
    PublishedKey,
    Record,
    hosts,
    record_json,
    records,
    sts_id,
    sts_policy,
    text,
    zone_text,
)
from provisioning.spf import plain_text

POLICY = parse(profile_text("consumer-isp"))
MAIL, DNS = POLICY.mail, POLICY.dns
KEYS = (PublishedKey("s20260401", "A" * 392), PublishedKey("s20260701", "B" * 392))


def with_(**servers: Server) -> Mail:
    return msgspec.structs.replace(MAIL, **servers)


def dns_with(**knobs: object) -> Dns:
    return msgspec.structs.replace(DNS, **knobs)


def found(mail: Mail = MAIL, knobs: Dns = DNS, domain: str = "example.jp") -> dict[str, list[str]]:
    """Data by name and type, e.g. `_imaps._tcp SRV`."""
    origin = from_text(f"{domain}.")
    listed: dict[str, list[str]] = {}
    for each in records(domain, mail, knobs, KEYS, "en"):
        listed.setdefault(f"{each.name.relativize(origin)} {each.type}", []).append(each.data)
    return listed


def test_everything_that_a_mail_domain_must_publish() -> None:
    key = '"v=DKIM1; k=rsa; p={}" "{}"'
    assert found() == {
        "@ MX": ["10 mx.example.jp."],
        "@ TXT": ['"v=spf1 a:smtp.example.jp ~all"'],
        "s20260401._domainkey TXT": [key.format("A" * 237, "A" * 155)],
        "s20260701._domainkey TXT": [key.format("B" * 237, "B" * 155)],
        "_dmarc TXT": ['"v=DMARC1; p=none; rua=mailto:postmaster@example.jp"'],
        "_submissions._tcp SRV": ["0 1 465 smtp.example.jp."],
        "_submission._tcp SRV": ["0 1 587 smtp.example.jp."],
        "_imaps._tcp SRV": ["0 1 993 imap.example.jp."],
        "_imap._tcp SRV": ["0 0 0 ."],
        "_pop3s._tcp SRV": ["10 1 995 pop.example.jp."],
        "_pop3._tcp SRV": ["0 0 0 ."],
        "_mta-sts TXT": [f'"v=STSv1; id={sts_id(sts_policy(DNS))}"'],
        "_smtp._tls TXT": ['"v=TLSRPTv1; rua=mailto:postmaster@example.jp"'],
        "_autodiscover._tcp SRV": ["0 1 443 www.example.jp."],
        "autoconfig CNAME": ["www.example.jp."],
        "autodiscover CNAME": ["www.example.jp."],
        "mta-sts CNAME": ["www.example.jp."],
    }


@pytest.mark.parametrize(
    ("servers", "offered"),
    [
        ({}, {"_imaps": "993", "_imap": "."}),
        ({"imap_legacy": Server(host="old.example.jp", port=143, security="starttls")},
         {"_imaps": "993", "_imap": "143"}),
        ({"imap": Server(host="imap.example.jp", port=143, security="starttls")},
         {"_imaps": ".", "_imap": "143"}),
        ({"imap": Server(host="imap.example.jp", port=143, security="none")},
         {"_imaps": ".", "_imap": "."}),
        ({"pop3_legacy": Server(host="pop.example.jp", port=110, security="starttls")},
         {"_pop3s": "995", "_pop3": "110"}),
        ({"submissions": Server(host="smtp.example.jp", port=587, security="starttls")},
         {"_submissions": ".", "_submission": "587"}),
        ({"submission": Server(host="smtp.example.jp", port=465, security="ssl")},
         {"_submissions": "465", "_submission": "."}),
    ],
)  # fmt: skip
def test_a_service_is_announced_where_it_is_offered_under_tls(
    servers: dict[str, Server], offered: dict[str, str]
) -> None:
    """RFC 2782: a target of `.` says that there is none; clear text is never announced."""
    listed = found(with_(**servers))
    for service, port in offered.items():
        [data] = listed[f"{service}._tcp SRV"]
        if port == ".":
            assert data == "0 0 0 ."
        else:
            assert data.split()[2] == port and data.split()[3] != "."


def test_several_exchanges_and_senders_in_the_order_of_the_policy() -> None:
    listed = found(knobs=dns_with(mx=("b.jp", "a.jp"), senders=("out1.jp", "out2.jp")))
    assert listed["@ MX"] == ["10 b.jp.", "20 a.jp."]
    assert listed["@ TXT"] == ['"v=spf1 a:out1.jp a:out2.jp ~all"']
    assert sts_policy(dns_with(mx=("b.jp", "a.jp"), mta_sts="enforce")) == (
        "version: STSv1\nmode: enforce\nmx: b.jp\nmx: a.jp\nmax_age: 604800\n"
    )


def test_wishes_of_the_policy_are_published() -> None:
    knobs = dns_with(dmarc="reject", reports="dmarc", ttl=600)
    listed = found(knobs=knobs, domain="company.jp")
    assert listed["_dmarc TXT"] == ['"v=DMARC1; p=reject; rua=mailto:dmarc@company.jp"']
    assert listed["_smtp._tls TXT"] == ['"v=TLSRPTv1; rua=mailto:dmarc@company.jp"']
    assert {each.ttl for each in records("company.jp", MAIL, knobs, (), "ja")} == {600}


@pytest.mark.parametrize("knobs", [{"mx": ("mx2.example.jp",)}, {"mta_sts": "enforce"}])
def test_the_id_of_mta_sts_changes_with_the_policy_and_only_then(knobs: dict[str, object]) -> None:
    first = sts_id(sts_policy(DNS))
    assert re.fullmatch(r"[0-9a-z]{1,32}", first)
    assert sts_id(sts_policy(dns_with(**knobs))) != first
    assert sts_id(sts_policy(dns_with(dmarc="reject", ttl=60))) == first


def test_no_alias_of_itself() -> None:
    """Where the web server is autoconfig.DOMAIN itself, nothing points there."""
    listed = found(knobs=dns_with(web="autoconfig.example.jp"))
    assert "autoconfig CNAME" not in listed
    assert listed["autodiscover CNAME"] == ["autoconfig.example.jp."]
    assert set(found(knobs=dns_with(web="example.jp"))) == set(found())


def test_every_server_of_the_policy_is_to_be_looked_up_once() -> None:
    assert hosts(MAIL, dns_with(mx=("mx.example.jp", "smtp.example.jp"))) == {
        "pop.example.jp": "mail.pop3.host",
        "imap.example.jp": "mail.imap.host",
        "smtp-legacy.example.jp": "mail.submission_legacy.host",
        "smtp.example.jp": "dns.mx",
        "www.example.jp": "dns.web",
        "mx.example.jp": "dns.mx",
    }


@pytest.mark.parametrize("host", ["192.0.2.1", "localhost", "imap example.jp", "2001:db8::1"])
def test_all_04_a_server_that_dns_cannot_point_to_is_refused(host: str) -> None:
    mail = with_(imap=Server(host=host, port=993, security="ssl"))
    for read in (lambda: found(mail), lambda: hosts(mail, DNS)):
        with pytest.raises(Refused) as refused:
            read()
        assert refused.value.field == "mail.imap.host"


def test_all_04_a_domain_with_no_room_for_names_below_it_is_refused() -> None:
    domain = ".".join(["a" * 60] * 4)
    with pytest.raises(Refused, match="longer than DNS allows") as refused:
        records(domain, MAIL, DNS, KEYS, "ja")
    assert refused.value.field == "domain"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=1_000))
def test_a_text_of_any_length_is_read_back_as_it_was(content: str) -> None:
    made = text(content)
    assert all(len(each) <= 255 for each in made.strings)
    assert len(made.strings) == -(-len(content) // 255)
    zone = dns.zone.from_text(f"@ 60 IN TXT {made.to_text()}", "a.jp", check_origin=False)
    [read] = zone.find_rdataset("@", "TXT")
    assert isinstance(read, TXT) and plain_text(read) == content


@pytest.mark.parametrize("domain", ["example.jp", "xn--wgv71a119e.jp", "mail.company.example.com"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_zone_file_is_read_back_as_the_records_that_were_written(
    domain: str, language: str
) -> None:
    written = records(domain, MAIL, DNS, KEYS, "ja" if language == "ja" else "en")
    zone = dns.zone.from_text(zone_text(domain, written), check_origin=False, relativize=False)
    read = {(name, ttl, rdata) for name, ttl, rdata in zone.iterate_rdatas()}
    assert read == {(each.name, each.ttl, each.rdata) for each in written}


def test_a_line_of_its_own_means_the_same_in_any_zone_file() -> None:
    for each in records("company.jp", MAIL, DNS, KEYS, "ja"):
        zone = dns.zone.from_text(each.line, "jp", check_origin=False, relativize=False)
        assert list(zone.iterate_rdatas()) == [(each.name, each.ttl, each.rdata)]


def test_all_05_every_record_says_why_in_both_languages() -> None:
    for language in ("ja", "en"):
        written: tuple[Record, ...] = records(
            "example.jp", MAIL, DNS, KEYS, "ja" if language == "ja" else "en"
        )
        file = zone_text("example.jp", written)
        for each in written:
            assert f"\n; {each.why}\n" in file
            assert each.why.isascii() == (language == "en")
            assert set(record_json(each)) == {"name", "type", "ttl", "data", "why"}
    assert {each.kind for each in written} == set(WHY)
