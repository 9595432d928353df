"""Mail domains against a real name server: all that is published is good, and what is not is mended."""

from __future__ import annotations

import csv
import io
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from nameserver import Nsd
from office import Office

from isp.errors import Refused
from isp.policy import parse, profile_text
from provisioning.dns_check import Inquiry, NameServer, name_server
from provisioning.dns_findings import TAKE_OUT, Finding, Wanted, findings
from provisioning.dns_records import PublishedKey, hosts, records

POLICY = parse(profile_text("consumer-isp"))
KEYS = (
    PublishedKey("s20260401", "MIIB" + "A" * 388),
    PublishedKey("s20260701", "MIIB" + "B" * 388),
)
WANTED = Wanted(
    "example.jp",
    records("example.jp", POLICY.mail, POLICY.dns, KEYS, "en"),
    ("s20260101",),
    POLICY.dns.senders,
    tuple(hosts(POLICY.mail, POLICY.dns)),
    POLICY.dns.mx,
    POLICY.dns.ttl,
    "en",
)
SERVERS = [
    "imap.example.jp. 3600 IN A 192.0.2.1",
    "pop.example.jp. 3600 IN AAAA 2001:db8::1",
    "smtp.example.jp. 3600 IN A 192.0.2.2",
    "smtp.example.jp. 3600 IN AAAA 2001:db8::2",
    "smtp-legacy.example.jp. 3600 IN A 192.0.2.9",
    "mx.example.jp. 3600 IN A 192.0.2.3",
    "www.example.jp. 3600 IN A 192.0.2.4",
]
RECORDS = [each.line for each in WANTED.records]
GOOD = SERVERS + RECORDS


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with Nsd(tmp_path_factory.mktemp("nsd"), "example.jp", "company.jp") as server:
        yield server


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    """A second name server, which serves the operator's domain only."""
    with Nsd(tmp_path_factory.mktemp("other"), "example.jp") as server:
        yield server


def at(server: Nsd) -> NameServer:
    return NameServer("127.0.0.1", server.port)


def published(server: Nsd, lines: list[str], name: str = "example.jp") -> None:
    server.publish(name, "".join(f"{line}\n" for line in lines))


def found(server: Nsd, lines: list[str], wanted: Wanted = WANTED) -> list[Finding]:
    """What is found once these lines are the zone of example.jp."""
    published(server, lines)
    return list(findings(wanted, Inquiry(wanted.domain, [at(server)], [], 2)))


def not_good(all_found: list[Finding]) -> list[Finding]:
    return [each for each in all_found if each.state != "ok"]


def mended(lines: list[str], mend: str) -> list[str]:
    """The zone after the operator has done what the mend says."""
    out = {line.removeprefix(TAKE_OUT["en"]) for line in mend.splitlines() if line[0] == ";"}
    assert out <= set(lines), "what is to be taken out is there"
    put = [line for line in mend.splitlines() if line[0] != ";"]
    return [line for line in lines if line not in out] + put


def test_the_zone_that_is_printed_is_good(nsd: Nsd) -> None:
    all_found = found(nsd, GOOD)
    assert not_good(all_found) == []
    told = {each.record for each in all_found}
    assert told == {f"{each.name} {each.type}" for each in WANTED.records} | {
        f"{host}. A" for host in WANTED.hosts
    }
    assert all(each.found and not each.mend for each in all_found)


@pytest.mark.parametrize("record", dict.fromkeys(line.split(" 3600 IN ")[0] for line in RECORDS))
def test_what_is_missing_is_found_and_its_mend_mends(nsd: Nsd, record: str) -> None:
    """Every name of the zone, one by one; at the domain itself MX and SPF are missing together."""
    lines = [line for line in GOOD if not line.startswith(f"{record} ")]
    bad = not_good(found(nsd, lines))
    assert {each.state for each in bad} == {"missing"}
    assert {each.record.split()[0] for each in bad} == {record}
    assert {each.found for each in bad} == {()}
    assert sorted("\n".join(each.mend for each in bad).splitlines()) == sorted(
        set(GOOD) - set(lines)
    )
    assert not_good(found(nsd, mended(lines, "\n".join(each.mend for each in bad)))) == []


@dataclass(frozen=True)
class Case:
    """Lines of the zone that begin so are replaced by these."""

    instead_of: str
    lines: tuple[str, ...]
    state: str
    problem: str = ""


TXT = "example.jp. 3600 IN TXT"
SPF = f'{TXT} "v=spf1 a:smtp.example.jp ~all"'
DKIM = "s20260401._domainkey.example.jp. 3600 IN"
DMARC = "_dmarc.example.jp. 3600 IN TXT"
IMAPS, IMAP = (f"_{name}._tcp.example.jp. 3600 IN SRV" for name in ("imaps", "imap"))
ELSEWHERE = "mail.elsewhere.invalid."

BAD = {
    "mx-other": Case("example.jp. 3600 IN MX", (f"example.jp. 3600 IN MX 10 {ELSEWHERE}",), "wrong", "mail does not arrive"),
    "mx-null": Case("example.jp. 3600 IN MX", ("example.jp. 3600 IN MX 0 .",), "wrong", "mail does not arrive"),
    "mx-more": Case("nothing", (f"example.jp. 3600 IN MX 20 {ELSEWHERE}",), "extra", "not ours take mail"),
    "spf-lacking": Case(SPF, (f'{TXT} "v=spf1 ip4:203.0.113.1 -all"',), "wrong", "not permitted"),
    "spf-one-address": Case(SPF, (f'{TXT} "v=spf1 ip4:192.0.2.2 -all"',), "wrong", "not permitted"),
    "spf-not-pass": Case(SPF, (f'{TXT} "v=spf1 ?a:smtp.example.jp -all"',), "wrong", "not permitted"),
    "spf-refused-first": Case(SPF, (f'{TXT} "v=spf1 -ip4:192.0.2.2 a:smtp.example.jp"',), "wrong", "not permitted"),
    "spf-open": Case(SPF, (f'{TXT} "v=spf1 a:smtp.example.jp +all"',), "wrong", "everybody"),
    "spf-broken": Case(SPF, (f'{TXT} "v=spf1 a:smtp.example.jp all~"',), "wrong", "has an error"),
    "spf-not-ascii": Case(SPF, (f'{TXT} "v=spf1 exp=\\227\\129 a:smtp.example.jp"',), "wrong", "has an error"),
    "spf-two": Case("nothing", (f'{TXT} "v=spf1 mx -all"',), "wrong", "several"),
    "spf-two-foreign": Case(SPF, (f'{TXT} "v=spf1 mx -all"', f'{TXT} "v=spf1 -all"'), "wrong", "several"),
    "dkim-key": Case(DKIM, (f'{DKIM} TXT "v=DKIM1; k=rsa; p=MIIB"',), "wrong", "not that of our"),
    "dkim-revoked": Case(DKIM, (f'{DKIM} TXT "v=DKIM1; p="',), "wrong", "not that of our"),
    "dkim-kind": Case(DKIM, (RECORDS[2].replace("k=rsa", "k=dsa"),), "wrong", "not that of our"),
    "dkim-version-late": Case(DKIM, (RECORDS[2].replace("v=DKIM1; k=rsa;", "k=rsa; v=DKIM1;"),), "wrong", "not that of our"),
    "dkim-malformed": Case(DKIM, (f'{DKIM} TXT "once upon a time"',), "wrong", "not that of our"),
    "dkim-two": Case("nothing", (f'{DKIM} TXT "v=DKIM1; p=MIIB"',), "wrong", "several"),
    "dkim-removed": Case("nothing", ('s20260101._domainkey.example.jp. 3600 IN TXT "v=DKIM1; p=MIIB"',), "extra", "was removed"),
    "dmarc-wish": Case(DMARC, (f'{DMARC} "v=DMARC1; p=reject"',), "wrong", "asks for"),
    "dmarc-malformed": Case(DMARC, (f'{DMARC} "v=DMARC1; p=perhaps"',), "wrong", "error"),
    "dmarc-without": Case(DMARC, (f'{DMARC} "v=DMARC1"',), "wrong", "error"),
    "dmarc-twice": Case(DMARC, (f'{DMARC} "v=DMARC1; p=none; p=none"',), "wrong", "error"),
    "dmarc-two": Case("nothing", (f'{DMARC} "v=DMARC1; p=none"',), "wrong", "several"),
    "dmarc-other-version": Case(DMARC, (f'{DMARC} "v=DMARC2; p=none"',), "missing", "no such"),
    "srv-port": Case(IMAPS, (f"{IMAPS} 0 1 9993 imap.example.jp.",), "wrong", "not the policy's"),
    "srv-server": Case(IMAPS, (f"{IMAPS} 0 1 993 {ELSEWHERE}",), "wrong", "not the policy's"),
    "srv-none": Case(IMAPS, (f"{IMAPS} 0 0 0 .",), "wrong", "not the policy's"),
    "srv-more": Case("nothing", (f"{IMAPS} 5 1 993 {ELSEWHERE}",), "extra", "not the policy's"),
    "srv-not-offered": Case(IMAP, (f"{IMAP} 0 1 143 imap.example.jp.",), "wrong", "not the policy's"),
    "sts-id": Case("_mta-sts", ('_mta-sts.example.jp. 3600 IN TXT "v=STSv1; id=20260101"',), "wrong", "today's"),
    "sts-two": Case("nothing", ('_mta-sts.example.jp. 3600 IN TXT "v=STSv1; id=1"',), "wrong", "several"),
    "tls-rpt": Case("_smtp._tls", ('_smtp._tls.example.jp. 3600 IN TXT "v=TLSRPTv1"',), "wrong", "no address"),
    "tls-rpt-way": Case("_smtp._tls", ('_smtp._tls.example.jp. 3600 IN TXT "v=TLSRPTv1; rua=fax:1"',), "wrong", "no address"),
    "web-alias": Case("autoconfig", (f"autoconfig.example.jp. 3600 IN CNAME {ELSEWHERE}",), "wrong", "another server"),
    "web-address": Case("mta-sts", ("mta-sts.example.jp. 3600 IN A 192.0.2.99",), "wrong", "another server"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_found_and_its_mend_mends(nsd: Nsd, case: Case) -> None:
    lines = [line for line in GOOD if not line.startswith(case.instead_of)] + list(case.lines)
    [bad] = not_good(found(nsd, lines))
    assert (bad.state, bad.record.split()[0]) == (case.state, case.lines[0].split()[0])
    assert case.problem in bad.problem
    assert (bad.found != ()) == (bad.state != "missing")
    assert not_good(found(nsd, mended(lines, bad.mend))) == []


ALSO_GOOD = {
    "preferences": Case("example.jp. 3600 IN MX", ("example.jp. 3600 IN MX 5 mx.example.jp.",), "ok"),
    "spf-addresses": Case(SPF, (f'{TXT} "v=spf1 ip4:192.0.2.0/29 ip6:2001:db8::2 -all"',), "ok"),
    "spf-include": Case(
        SPF,
        (f'{TXT} "v=spf1 include:_spf.example.jp -all"', '_spf.example.jp. 60 IN TXT "v=spf1 a:smtp.example.jp"'),
        "ok",
    ),
    "other-texts": Case("nothing", (f'{TXT} "site-verification=v=spf1"', f'{DMARC} "hello"'), "ok"),
    "dkim-blanks": Case(DKIM, (f'{DKIM} TXT "p=MIIB {"A" * 200} " "{"A" * 188}"',), "ok"),
    "dkim-elsewhere": Case(
        DKIM, (f"{DKIM} CNAME key.example.jp.", RECORDS[2].replace(DKIM, "key.example.jp. 60 IN")), "ok"
    ),
    "dkim-revoked-long-ago": Case("nothing", ('s20260101._domainkey.example.jp. 60 IN TXT "v=DKIM1; p="',), "ok"),
    "dmarc-more": Case(DMARC, (f'{DMARC} "v=DMARC1; p=None; sp=reject; rua=mailto:x@example.net;"',), "ok"),
    "srv-weights": Case(IMAPS, (f"{IMAPS} 20 5 993 imap.example.jp.",), "ok"),
    "tls-rpt": Case("_smtp._tls", ('_smtp._tls.example.jp. 60 IN TXT "v=TLSRPTv1;rua=https://x.invalid/"',), "ok"),
    "web-address": Case("autoconfig", ("autoconfig.example.jp. 60 IN A 192.0.2.4",), "ok"),
    "web-aliases": Case(
        "autodiscover", ("autodiscover.example.jp. 60 IN CNAME w.example.jp.", "w.example.jp. 60 IN CNAME www.example.jp."), "ok"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALSO_GOOD.values(), ids=ALSO_GOOD.keys())
def test_another_form_that_does_the_same_is_good(nsd: Nsd, case: Case) -> None:
    lines = [line for line in GOOD if not line.startswith(case.instead_of)] + list(case.lines)
    assert not_good(found(nsd, lines)) == []


@pytest.mark.parametrize("host", ["imap", "pop", "smtp", "mx", "www"])
def test_a_server_without_an_address_is_found(nsd: Nsd, host: str) -> None:
    lines = [line for line in GOOD if not line.startswith(f"{host}.example.jp. ")]
    [bad] = not_good(found(nsd, lines))
    assert (bad.record, bad.state) == (f"{host}.example.jp. A", "missing")
    assert bad.mend == f"; {host}.example.jp. 3600 IN A (its IP address)"


def test_a_sender_without_an_address_is_no_fault_of_spf(nsd: Nsd) -> None:
    lines = [line for line in GOOD if not line.startswith(("smtp.", SPF))]
    [bad] = not_good(found(nsd, [*lines, f'{TXT} "v=spf1 mx +a:smtp.example.jp -all"']))
    assert bad.record == "smtp.example.jp. A"
    bad, host = not_good(found(nsd, [*lines, f'{TXT} "v=spf1 mx -all"']))
    assert (bad.record, host.record) == ("example.jp. TXT", "smtp.example.jp. A")
    assert '"v=spf1 a:smtp.example.jp mx -all"' in bad.mend


def test_a_server_that_takes_mail_may_not_be_an_alias(nsd: Nsd) -> None:
    lines = [line for line in GOOD if not line.startswith(("mx.", "imap."))]
    lines += [f"{host}.example.jp. 60 IN CNAME www.example.jp." for host in ("mx", "imap")]
    [bad] = not_good(found(nsd, lines))
    assert (bad.record, bad.state) == ("mx.example.jp. A", "wrong")
    assert bad.found == ("CNAME www.example.jp.", "192.0.2.4")


def test_several_exchanges_are_wanted_in_their_order(nsd: Nsd) -> None:
    knobs = msgspec.structs.replace(POLICY.dns, mx=("mx.example.jp", "mx2.example.jp"))
    wanted = replace(WANTED, records=records("example.jp", POLICY.mail, knobs, KEYS, "en"))
    good = [*SERVERS, *(each.line for each in wanted.records)]
    assert not_good(found(nsd, good, wanted)) == []
    swapped = [line.replace("MX 20", "MX 5") for line in good]
    [bad] = not_good(found(nsd, swapped, wanted))
    assert (bad.state, bad.found) == ("wrong", ("5 mx2.example.jp.", "10 mx.example.jp."))
    assert not_good(found(nsd, mended(swapped, bad.mend), wanted)) == []
    exchanges, policy_id = not_good(found(nsd, GOOD, wanted))
    assert (exchanges.state, policy_id.state) == ("wrong", "wrong")
    assert exchanges.mend == "example.jp. 3600 IN MX 20 mx2.example.jp."
    assert policy_id.record == "_mta-sts.example.jp. TXT"


# Transport


def test_an_answer_too_long_for_a_datagram_comes_by_tcp(nsd: Nsd) -> None:
    long = [f'{TXT} "{n} {"x" * 240}"' for n in range(20)]
    assert not_good(found(nsd, GOOD + long)) == []


def test_servers_of_another_domain_are_asked_of_others(nsd: Nsd, other: Nsd) -> None:
    """company.jp is served by `nsd`; the operator's own names by `other` alone."""
    wanted = replace(WANTED, domain="company.jp", removed=())
    wanted = replace(wanted, records=records("company.jp", POLICY.mail, POLICY.dns, KEYS, "en"))
    published(nsd, [each.line for each in wanted.records], "company.jp")
    published(nsd, [])
    published(other, GOOD)
    ask = Inquiry("company.jp", [at(nsd)], [at(nsd), at(other)], 2)
    bad = not_good(list(findings(wanted, ask)))
    assert [each.state for each in bad] == ["missing"] * 6, (
        "nsd itself says that they are not there"
    )
    with Nsd(nsd.folder / "alone", "company.jp") as alone:
        published(alone, [each.line for each in wanted.records], "company.jp")
        ask = Inquiry("company.jp", [at(alone)], [at(alone), at(other)], 2)
        assert not_good(list(findings(wanted, ask))) == []
        ask = Inquiry("company.jp", [at(alone)], [], 2)
        bad = not_good(list(findings(wanted, ask)))
        assert {each.record for each in bad} == {f"{host}. A" for host in WANTED.hosts}
        assert all("REFUSED" in each.problem for each in bad)


def test_a_server_that_does_not_serve_the_domain_is_one_finding(nsd: Nsd, other: Nsd) -> None:
    """That another server does serve it is no excuse."""
    wanted = replace(WANTED, domain="company.jp")
    published(nsd, [], "company.jp")
    [bad] = findings(wanted, Inquiry("company.jp", [at(other)], [at(nsd)], 2))
    assert (bad.record, bad.state) == ("company.jp. SOA", "missing")
    assert f"{other.address}: REFUSED" in bad.problem


def test_a_server_that_only_knows_who_serves_the_domain_is_one_finding(nsd: Nsd) -> None:
    published(nsd, ["branch.example.jp. 60 IN NS ns.elsewhere.invalid."])
    wanted = replace(WANTED, domain="branch.example.jp")
    [bad] = findings(wanted, Inquiry("branch.example.jp", [at(nsd)], [], 2))
    assert (bad.record, bad.state) == ("branch.example.jp. SOA", "missing")
    assert "does not serve the domain" in bad.problem


@pytest.mark.parametrize("says", [None, b"", b"\0", b"\xff" * 600])
def test_a_server_that_is_silent_or_talks_nonsense_is_one_finding_in_little_time(
    says: bytes | None,
) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def talk() -> None:
            for _ in range(2):
                question, client = server.recvfrom(2_000)
                if says is not None:
                    server.sendto(question[:2] + says, client)

        talker = threading.Thread(target=talk)
        talker.start()
        start = time.monotonic()
        ask = Inquiry("example.jp", [NameServer("127.0.0.1", server.getsockname()[1])], [], 0.2)
        [bad] = findings(WANTED, ask)
        talker.join()
    assert "no answer" in bad.problem and "timed out" in bad.problem
    assert bad.mend == ""
    assert time.monotonic() - start < 2


def test_a_server_that_falls_silent_is_not_asked_for_ever(nsd: Nsd) -> None:
    """It answers the first question, then nothing: three more are put, each twice."""
    published(nsd, GOOD)
    asked = 0
    with (
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(type=socket.SOCK_DGRAM) as behind,
    ):
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        behind.settimeout(5)

        def talk() -> None:
            nonlocal asked
            for _ in range(7):
                question, client = server.recvfrom(2_000)
                asked += 1
                if asked == 1:
                    behind.sendto(question, ("127.0.0.1", nsd.port))
                    server.sendto(behind.recv(5_000), client)

        talker = threading.Thread(target=talk)
        talker.start()
        ask = Inquiry("example.jp", [NameServer("127.0.0.1", server.getsockname()[1])], [], 0.1)
        all_found = list(findings(WANTED, ask))
        talker.join()
    assert asked == 7
    assert len(all_found) > 20
    assert all("timed out" in each.problem for each in all_found)


def test_aliases_in_a_circle_end(nsd: Nsd) -> None:
    circle = ["a.example.jp. 60 IN CNAME b.example.jp.", "b.example.jp. 60 IN CNAME a.example.jp."]
    lines = [line for line in GOOD if not line.startswith(DMARC)]
    [bad] = not_good(found(nsd, [*lines, "_dmarc.example.jp. 60 IN CNAME a.example.jp.", *circle]))
    assert bad.state == "missing" and "no answer" in bad.problem


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("2001:DB8::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(written: str, read: str) -> None:
    assert str(name_server(written)) == read


@pytest.mark.parametrize(
    "written",
    ["", "ns.example.jp", "192.0.2", "192.0.2.256", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x",
     "[192.0.2.1", "[::1]:", "1:2", "::1%lo\n", "192.0.2.1:５３"],
)  # fmt: skip
def test_all_04_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(Refused) as refused:
        name_server(written)
    assert refused.value.field == "nameserver"


# Commands


@pytest.mark.req("ALL-02", "ALL-04")
def test_a_domain_is_published_checked_and_its_keys_are_changed(office: Office, nsd: Nsd) -> None:
    def check(today: str) -> tuple[int, dict[str, str]]:
        answer = office(
            "--today", today, "domain", "check", "example.jp", "--nameserver", nsd.address
        )
        assert answer.json["ok"] == (answer.exit_code == 0)
        assert answer.json["checked"] == len(answer.json["findings"])
        bad = [each for each in answer.json["findings"] if each["state"] != "ok"]
        return answer.exit_code, {each["record"]: each["state"] for each in bad}

    def publish(today: str) -> None:
        office.ok("--today", today, "domain", "records", "example.jp", "-o", office.folder / "zone")
        nsd.publish("example.jp", "\n".join(SERVERS) + "\n" + (office.folder / "zone").read_text())

    office.ok("--today", "2026-04-01", "domain", "add", "example.jp")
    publish("2026-04-01")
    assert check("2026-04-01") == (0, {})
    first = office.ok("--today", "2026-04-01", "domain", "dkim", "rotate", "example.jp")
    assert (first["selector"], first["state"], first["next_on"]) == (
        *("s20260401", "published", "2026-04-04"),
    )
    assert check("2026-04-01") == (1, {"s20260401._domainkey.example.jp. TXT": "missing"})
    nsd.publish("example.jp", "\n".join([*SERVERS, *RECORDS_WITHOUT_KEYS, first["record"], ""]))
    assert check("2026-04-01") == (0, {})
    assert steps(office, "2026-04-03") == 0
    assert steps(office, "2026-04-04") == 1
    assert steps(office, "2026-04-04") == 0
    office.ok("--today", "2026-05-01", "domain", "dkim", "rotate", "example.jp")
    refused = office.refused("--today", "2026-05-02", "domain", "dkim", "rotate", "example.jp")
    assert refused.startswith("domain: the keys of example.jp are changing already")
    publish("2026-05-01")
    assert steps(office, "2026-05-09") == 2  # late, for once
    assert check("2026-05-09") == (0, {})
    assert steps(office, "2026-05-22") == 0
    assert steps(office, "2026-05-23") == 1
    assert check("2026-05-23") == (1, {"s20260401._domainkey.example.jp. TXT": "extra"})
    publish("2026-05-23")
    assert check("2026-05-23") == (0, {})
    listed = office.ok("--today", "2026-05-23", "domain", "dkim", "list", "example.jp")
    assert [(each["selector"], each["state"]) for each in listed] == [
        ("s20260401", "removed"),
        ("s20260501", "signing"),
    ]


RECORDS_WITHOUT_KEYS = [line for line in RECORDS if "_domainkey" not in line]


def steps(office: Office, today: str) -> int:
    """How many moves of keys the daily run made."""
    [step] = [
        each for each in office.ok("--today", today, "daily")["steps"] if each["name"] == "dkim"
    ]
    assert step["failed"] == 0
    return int(step["done"])


def test_a_private_key_leaves_the_office_by_one_door_only(office: Office) -> None:
    office.ok("--today", "2026-04-01", "domain", "add", "example.jp")
    words = ("--today", "2026-04-05", "domain", "dkim")
    assert "no key signs" in office.refused(*words, "export", "example.jp", "-o", "key.pem")
    said = [office("--today", "2026-04-01", "domain", "dkim", "rotate", "example.jp")]
    office.ok("--today", "2026-04-05", "daily")
    file = office.folder / "key.pem"
    said += [
        office(*words, "export", "example.jp", "-o", file),
        office(*words, "list", "example.jp"),
    ]
    said += [office("domain", "records", "example.jp"), office("journal", "example.jp")]
    assert said[1].json == {"domain": "example.jp", "selector": "s20260401", "file": str(file)}
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text()
    assert key.startswith("-----BEGIN PRIVATE KEY-----\n")
    for answer in said:
        assert answer.exit_code == 0, answer.stderr
        assert "PRIVATE" not in answer.stdout + answer.stderr
        assert key.splitlines()[1] not in answer.stdout + answer.stderr
    assert "exists already" in office.refused(*words, "export", "example.jp", "-o", file)
    assert file.read_text() == key
    acts = [each["act"] for each in said[-1].json]
    assert acts.count("dkim.handed-out") == 1, "what was not handed out is not recorded"


def test_each_named_server_is_looked_at_by_itself(office: Office, nsd: Nsd, other: Nsd) -> None:
    """A secondary that has old records is found, though the other one has the new."""
    office.ok("domain", "add", "example.jp")
    published(nsd, SERVERS + RECORDS_WITHOUT_KEYS)
    published(other, SERVERS + RECORDS_WITHOUT_KEYS[1:])
    both = ("--nameserver", nsd.address, "--nameserver", other.address)
    answer = office("domain", "check", "example.jp", *both)
    assert answer.exit_code == 1
    [bad] = [each for each in answer.json["findings"] if each["state"] != "ok"]
    assert (bad["nameserver"], bad["record"]) == (other.address, "example.jp. MX")
    assert bad["mend"] == "example.jp. 3600 IN MX 10 mx.example.jp."
    assert answer.stderr == "Error: domain check: 1 of 42 records of example.jp are not right\n"
    shown = office("--format", "table", "domain", "check", "example.jp", *both).stdout
    assert shown.splitlines()[0].split() == ["nameserver", "state", "record", "problem"]
    assert shown.splitlines()[-1] == bad["mend"]
    assert "当社" not in shown and "レコードがありません" in shown
    english = office("--lang", "en", "--format", "csv", "domain", "check", "example.jp", *both)
    rows = list(csv.DictReader(io.StringIO(english.stdout)))
    assert len(rows) == 42
    assert [each["problem"] for each in rows if each["state"] != "ok"] == [
        "there is no such record"
    ]


def test_the_zone_file_and_the_policy_of_mta_sts_are_printed_or_written(office: Office) -> None:
    office.ok("domain", "add", "example.jp")
    listed = office("domain", "records", "example.jp")
    assert [set(each) for each in listed.json] == [{"name", "type", "ttl", "data", "why"}] * 15
    assert "isp domain dkim rotate example.jp" in listed.stderr
    printed = office("--format", "table", "domain", "records", "example.jp").stdout
    assert printed.startswith("$ORIGIN example.jp.\n")
    zone, policy = office.folder / "zone", office.folder / "mta-sts.txt"
    answer = office.ok("domain", "records", "example.jp", "-o", zone)
    assert answer == {"domain": "example.jp", "file": str(zone), "records": 15}
    assert zone.read_text("utf-8") == printed
    words = ("domain", "records", "example.jp", "--mta-sts-policy")
    text = office.ok(*words)["policy"]
    assert text.splitlines()[0] == "version: STSv1"
    office.ok(*words, "-o", policy)
    assert policy.read_text() == text == office("--format", "table", *words).stdout


@pytest.mark.parametrize("words", [("records",), ("check",), ("dkim", "list"), ("dkim", "rotate")])
def test_all_04_a_domain_that_is_not_ours_is_refused(office: Office, words: tuple[str]) -> None:
    said = office.refused("domain", *words, "example.net")
    assert said == "domain: example.net is not served here: see `isp domain list`"
    assert office.refused("domain", *words, "no domain").startswith("domain: ")


def test_all_04_a_server_that_is_no_address_is_refused(office: Office) -> None:
    office.ok("domain", "add", "example.jp")
    said = office.refused("domain", "check", "example.jp", "--nameserver", "ns.example.jp")
    assert said.startswith("nameserver: 'ns.example.jp' is not an IP address")


def test_the_name_server_of_these_tests_ends_with_them(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Nsd(tmp_path, "example.jp") as server:
        port = server.port
        raise KeyError
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
