"""`isp serve` as a process of its own, asked over sockets as mail programs, browsers and others do."""

from __future__ import annotations

import http.client
import json
import os
import plistlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import town
from defusedxml.ElementTree import fromstring
from office import Office
from psycopg import sql

from isp.policy import parse, profile_text
from provisioning import autoconfig
from provisioning.addresses import MailAddress
from provisioning.autoconfig import REQUEST, RESPONSE

ISP = Path(sys.executable).with_name("isp")
POLICY = parse(profile_text("consumer-isp"))
ADDRESS = "hanako@example.jp"
HOST = "autoconfig.example.jp"


def question(address: str) -> bytes:
    return (
        f'<?xml version="1.0"?><Autodiscover xmlns="{REQUEST}"><Request><EMailAddress>{address}'
        f"</EMailAddress><AcceptableResponseSchema>{RESPONSE}</AcceptableResponseSchema>"
        "</Request></Autodiscover>"
    ).encode()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Server:
    """A running `isp serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Reply:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request(
            method,
            path,
            body,
            {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        reply = client.getresponse()
        found = Reply(
            reply.status, {k.lower(): v for k, v in reply.getheaders() if k != "date"}, reply.read()
        )
        client.close()
        assert found.headers["x-content-type-options"] == "nosniff", path
        assert found.headers["referrer-policy"] == "no-referrer", path
        assert found.headers["cache-control"] == "no-store", path
        assert "default-src 'none'" in found.headers["content-security-policy"], path
        return found

    def post(self, path: str, body: bytes) -> Reply:
        return self.ask(path, "POST", body, Content_Type="text/xml")

    def raw(self, request: bytes) -> bytes:
        """All that comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            found = b""
            while more := client.recv(65536):
                found += more
        return found

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(150):
            if done():
                return
            time.sleep(0.1)
        raise AssertionError("not in 15 seconds")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it said."""
        self.process.send_signal(how)
        _, notes = self.process.communicate(timeout=30)
        return self.process.returncode, notes


@contextmanager
def serving(office: Office, *words: str) -> Iterator[Server]:
    """The server on a free port; ended, if need be by force, when the test is over."""
    process = subprocess.Popen(
        [str(ISP), "serve", "--port", "0", *words],
        env={
            **os.environ,
            "ISP_CONFIG": str(office.config),
            "ISP_DATABASE_URL": office.database_url,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+)\n", line)
        assert found, line + process.stderr.read()
        yield Server(process, int(found[1]))
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def set_web(office: Office, **knobs: str) -> None:
    before, section, after = office.config.read_text("utf-8").partition("[web]")
    for name, value in knobs.items():
        after, done = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", after, count=1)
        assert done
    office.config.write_text(before + section + after, "utf-8")


@pytest.fixture(name="office")
def _office(office: Office) -> Office:
    """Domains are read every second."""
    set_web(office, refresh_seconds="1")
    office.ok("domain", "add", "example.jp")
    return office


@pytest.fixture(scope="module")
def server(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Office]]:
    """One server, with a certificate that signs, for all questions that change nothing."""
    folder = tmp_path_factory.mktemp("portal")
    shutil.copy(sqlite_template, folder / "isp.db")
    office = Office(folder, f"sqlite:///{folder / 'isp.db'}")
    office.ok("domain", "add", "example.jp")
    certificate(folder)
    set_web(office, certificate='"web.crt"', certificate_key='"web.key"')
    with serving(office) as running:
        yield running, office
        code, notes = running.stop()
    assert (code, notes) == (0, ""), "nothing that was asked is logged, nothing failed"


def certificate(folder: Path, *names: str) -> None:
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -keyout web.key -out web.crt"
    also = ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names or (HOST,))]
    subprocess.run(
        [*words.split(), "-subj", "/CN=x", *also], cwd=folder, check=True, capture_output=True
    )


# What programs get


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/mail/config-v1.1.xml", "autoconfig.example.jp"),
        ("/mail/config-v1.1.xml?emailaddress=", "autoconfig.example.jp:8080"),
        ("/mail/config-v1.1.xml?emailaddress=hanako%40example.jp", "127.0.0.1"),
        ("/.well-known/autoconfig/mail/config-v1.1.xml", "example.jp"),
        ("/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=Nobody@EXAMPLE.jp", "x"),
    ],
)
def test_isp_17_thunderbird_is_answered_with_and_without_an_address(
    server: tuple[Server, Office], path: str, host: str
) -> None:
    found = server[0].ask(path, Host=host)
    assert found.status == 200 and found.headers["content-type"] == "text/xml; charset=utf-8"
    assert found.body == autoconfig.thunderbird("example.jp", POLICY)
    assert server[0].ask(path, "HEAD", Host=host).status == 200


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    "path",
    [
        *("/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"),
        *("/AutoDiscover/AutoDiscover.xml", "/AUTODISCOVER/AUTODISCOVER.XML"),
    ],
)
def test_isp_17_outlook_is_answered_however_it_writes_the_path(
    server: tuple[Server, Office], path: str
) -> None:
    found = server[0].post(path, question(ADDRESS))
    assert found.status == 200 and found.headers["content-type"] == "text/xml; charset=utf-8"
    assert found.body == autoconfig.outlook(MailAddress("hanako", "example.jp"), POLICY.mail)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?Email=hanako%40example.jp&Protocol=AutodiscoverV1", 200),
        ("/v1.0/Hanako@example.jp?Protocol=Autodiscoverv1&RedirectCount=1", 200),
        ("?Email=hanako%40example.jp&Protocol=Ews", 400),
        ("?Email=hanako%40example.jp", 400),
        ("?Protocol=AutodiscoverV1", 400),
        ("?Email=hanako%40example.com&Protocol=AutodiscoverV1", 404),
    ],
)
def test_outlook_that_asks_in_json(server: tuple[Server, Office], path: str, status: int) -> None:
    found = server[0].ask(f"/autodiscover/autodiscover.json{path}")
    assert (found.status, found.headers["content-type"]) == (status, "application/json")
    url = "https://autodiscover.example.jp/autodiscover/autodiscover.xml"
    answer = json.loads(found.body)
    assert answer.get("Url") == (url if status == 200 else None)
    assert ("ErrorCode" in answer) is (status != 200)


@pytest.mark.req("ISP-17")
def test_isp_17_apple_profile_is_signed(server: tuple[Server, Office]) -> None:
    portal, office = server
    found = portal.ask(f"/mobileconfig?address={quote(ADDRESS)}&lang=en")
    assert found.status == 200
    assert found.headers["content-type"] == "application/x-apple-aspen-config"
    for command in ("smime", "cms"):
        words = f"openssl {command} -verify -inform der -CAfile web.crt -purpose any".split()
        opened = subprocess.run(words, cwd=office.folder, input=found.body, capture_output=True)
        assert opened.returncode == 0, opened.stderr
        assert opened.stdout == autoconfig.apple(MailAddress("hanako", "example.jp"), POLICY, "en")


def test_mta_sts_policy_is_served_under_its_name(server: tuple[Server, Office]) -> None:
    found = server[0].ask("/.well-known/mta-sts.txt", Host="mta-sts.example.jp")
    assert found.text == "version: STSv1\nmode: testing\nmx: mx.example.jp\nmax_age: 604800\n"
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert server[0].ask("/.well-known/mta-sts.txt", Host="mta-sts.example.com").status == 404


# What members get


@pytest.mark.req("ISP-17", "ISP-22", "ALL-05")
@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("", "", "ja"),
        ("", "en-GB,en;q=0.8,ja;q=0.5", "en"),
        ("", "fr, ja;q=0.9, en;q=0.1", "ja"),
        ("", "ja;q=0, en; q=0.2", "en"),
        ("", "xx,;q=;q=x,ja;q=9e9,\t", "ja"),
        ("&lang=en", "ja", "en"),
        ("&lang=ja", "en", "ja"),
        ("&lang=../en", "en", "en"),
    ],
)
def test_isp_17_guide_page_in_the_readers_language(
    server: tuple[Server, Office], asked: str, accepted: str, language: str
) -> None:
    found = server[0].ask(
        f"/guide/thunderbird?address={quote(ADDRESS)}{asked}", Accept_Language=accepted
    )
    assert found.status == 200 and found.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<html lang="{language}">' in found.text
    for value in (ADDRESS, "imap.example.jp", "587", POLICY.desk.phone, POLICY.desk.hours):
        assert value in found.text
    assert "<script" not in found.text


@pytest.mark.parametrize("language", ["ja", "en"])
def test_front_page_leads_to_every_mail_guide_and_to_the_profile(
    server: tuple[Server, Office], language: str
) -> None:
    portal, office = server
    empty = portal.ask(f"/?lang={language}").text
    assert "<form" in empty and "/guide/" not in empty and POLICY.desk.phone in empty
    page = portal.ask(f"/?address={quote('h+x@example.jp')}&lang={language}").text
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]+)"', page)]
    mail = [each["client"] for each in office.ok("guide", "list") if each["kind"] == "mail"]
    assert len([link for link in links if link.startswith("/guide/")]) == len(mail)
    for link in links:
        assert portal.ask(link).status == 200, link
    assert f'<html lang="{language}">' in page and "h+x@example.jp" in page
    assert "<script" not in page and "http://" not in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/guide/thunderbird", 400),
        ("/guide/thunderbird?address=", 400),
        ("/guide/thunderbird?address=%3Cscript%3E@example.jp", 400),
        ("/guide/thunderbird?address=a%40example.com", 404),
        ("/guide/router?address=a%40example.jp", 404),
        ("/guide/%3Cscript%3E?address=a%40example.jp", 404),
        ("/guide/%00?address=a%40example.jp", 404),
        ("/?address=%22%3E%3Cscript%3E", 400),
        ("/?address=a%40example.com", 404),
        ("/mobileconfig", 400),
        ("/mobileconfig?address=a%40example.com", 404),
    ],
)
@pytest.mark.req("ISP-22")
def test_isp_22_a_page_says_what_to_correct_and_names_the_desk(
    server: tuple[Server, Office], path: str, status: int
) -> None:
    found = server[0].ask(path)
    assert found.status == status and 'role="alert"' in found.text
    assert POLICY.desk.phone in found.text and POLICY.desk.hours in found.text
    assert "<script" not in found.text and "example.com" not in found.text


# Hostile questions


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("x", 400),
        ("%00", 400),
        ("a%00%40example.jp", 400),
        ("a%40example.jp%0d%0aSet-Cookie:%20x=1", 400),
        ("%EMAILADDRESS%", 400),
        ("%ff%fe%40example.jp", 400),
        ("%E8%8A%B1%40example.jp", 400),
        ("a" * 1_000 + "%40example.jp", 400),
        ("a%40example.jp&emailaddress=a%40example.com", 404),
        ("a%40" + "%E6%97%A5" * 60 + ".jp", 400),
        ("a" * 3_000, 414),
    ],
)
def test_all_04_hostile_addresses_get_one_line(
    server: tuple[Server, Office], query: str, status: int
) -> None:
    found = server[0].ask(f"/mail/config-v1.1.xml?emailaddress={query}")
    assert found.status == status
    assert len(found.text.splitlines()) == 1 and len(found.body) < 200
    assert "set-cookie" not in found.headers


@pytest.mark.parametrize(
    "host", ["", "example.com", "autoconfig.", "[::1]:80", "a" * 5_000, "日本"]
)
def test_a_host_that_is_not_served_is_not_found(server: tuple[Server, Office], host: str) -> None:
    request = f"GET /mail/config-v1.1.xml HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    status = server[0].raw(request.encode()).partition(b"\r\n")[0]
    assert status in (b"HTTP/1.1 404 Not Found", b"HTTP/1.1 400 Bad Request")
    assert status.endswith(b"Found") or not host.isascii()


def test_outlooks_errors_are_in_its_own_words(server: tuple[Server, Office]) -> None:
    path = "/autodiscover/autodiscover.xml"
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'
    for body, status, code in (
        (bomb, 400, "600"),
        (b"", 400, "600"),
        (b"\0", 400, "600"),
        (question("a" * 10_000 + "@example.jp"), 400, "600"),
        (question("hanako@example.com"), 404, "500"),
    ):
        found = server[0].post(path, body)
        assert found.status == status
        name = "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}"
        assert (
            fromstring(found.body).findtext(f"{name}Response/{name}Error/{name}ErrorCode") == code
        )
        assert len(found.body) < 700


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/Autodiscover/Autodiscover.xml", {"POST"}),
        ("PUT", "/autodiscover/autodiscover.xml", {"POST"}),
        ("POST", "/mail/config-v1.1.xml", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD"}),
        ("OPTIONS", "/guide/thunderbird", {"GET", "HEAD"}),
    ],
)
def test_other_methods_are_not_allowed(
    server: tuple[Server, Office], method: str, path: str, allowed: set[str]
) -> None:
    found = server[0].ask(path, method)
    assert found.status == 405
    assert set(found.headers["allow"].split(", ")) == allowed


def test_what_is_too_long_is_not_read(server: tuple[Server, Office]) -> None:
    portal, path = server[0], "/autodiscover/autodiscover.xml"
    assert portal.post(path, question(ADDRESS) + b" " * 60_000).status == 200
    assert portal.post(path, b" " * 65_537).status == 413
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    chunked = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5 + b"0\r\n\r\n"
    assert portal.raw(chunked).startswith(b"HTTP/1.1 413 ")
    assert portal.raw(f"{head}Content-Length: 99999999999\r\n\r\n".encode()).startswith(
        b"HTTP/1.1 413 "
    )
    assert portal.ask("/" + "a" * 3_000).status == 414
    for broken in ("-1", "x", "1, 2", "9" * 5_000):
        answer = portal.raw(f"{head}Content-Length: {broken}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 4"), broken
    # Half a body, then nothing more: whoever hangs up is not answered, and nothing is logged.
    portal.raw(f"{head}Content-Length: 5000\r\n\r\n<a>".encode())
    assert portal.ask("/healthz").text == "ok\n"


def test_unknown_paths_are_not_found(server: tuple[Server, Office]) -> None:
    for path in ("/x", "/guide/", "/mail/../etc/passwd", "//", "/%2e%2e/isp.toml", "/isp.toml"):
        assert server[0].ask(path).status == 404, path


# The database


def everything_about(server: Server, address: str) -> list[Reply]:
    """All answers that could tell whether an address exists, headers and all."""
    written = quote(address)
    return [
        server.ask(f"/mail/config-v1.1.xml?emailaddress={written}"),
        server.post("/autodiscover/autodiscover.xml", question(address)),
        server.ask(f"/autodiscover/autodiscover.json?Email={written}&Protocol=AutodiscoverV1"),
        server.ask(f"/mobileconfig?address={written}"),
        server.ask(f"/guide/outlook?address={written}"),
        server.ask(f"/guide/outlook-2003?address={written}&lang=en"),
        server.ask(f"/?address={written}"),
    ]


@pytest.mark.req("ISP-17")
def test_isp_17_no_answer_tells_whether_an_address_exists(office: Office) -> None:
    """Byte for byte the same before there is a mailbox, with it, suspended and removed."""
    today = "2026-01-05"
    town.plan(office, today, "P", 1000, 1)
    member = town.member(office, today, "invoice")
    contract = town.contract(office, today, member, "P", today)
    with serving(office) as portal:
        before = everything_about(portal, ADDRESS)
        assert {each.status for each in before} == {200}
        for words in (
            ("add", ADDRESS, "--contract", contract, "--display-name", "山田 花子"),
            ("suspend", ADDRESS, "--reason", "unpaid"),
            ("remove", ADDRESS, "--now"),
        ):
            office.ok("--today", today, "mailbox", *words)
            time.sleep(1.2)  # longer than what is known of the domains is kept
            assert everything_about(portal, ADDRESS) == before, words


def test_a_new_domain_is_served_without_a_new_start(office: Office) -> None:
    with serving(office, "--workers", "2") as portal:
        path = "/mail/config-v1.1.xml?emailaddress=a%40example.org"
        assert portal.ask(path).status == 404
        office.ok("domain", "add", "example.org")
        # Ten times in a row: either process has seen it.
        portal.until(lambda: all(portal.ask(path).status == 200 for _ in range(10)))


def test_a_role_that_sees_the_domains_and_nothing_else_will_do(
    new_postgresql: Callable[[str], str], postgresql_template: str, tmp_path: Path
) -> None:
    url = new_postgresql(postgresql_template)
    office = Office(tmp_path, url)
    office.ok("domain", "add", "example.jp")
    role = f"portal_{url.partition('@/')[2].partition('?')[0]}"
    with psycopg.connect(url, autocommit=True) as owner:
        named = sql.Identifier(role)
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(named))
        owner.execute(sql.SQL("GRANT SELECT ON mail_domain TO {}").format(named))
        office.database_url = url.replace("//isp@", f"//{role}@")
        try:
            with serving(office) as portal:
                assert portal.ask("/mail/config-v1.1.xml").status == 200
                assert portal.stop() == (0, "")
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(named))
            owner.execute(sql.SQL("DROP ROLE {}").format(named))


@contextmanager
def database_away(office: Office) -> Iterator[None]:
    """Nobody gets at the database."""
    url = office.database_url
    if url.startswith("sqlite"):
        file = office.folder / "isp.db"
        hidden = file.rename(office.folder / "hidden.db")
        yield
        hidden.rename(file)
        return
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(url.replace(f"@/{name}?", "@/postgres?"), autocommit=True) as cluster:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        cluster.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        cluster.execute(end, (name,))
        yield
        cluster.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_while_the_database_is_away_what_was_known_is_served(office: Office) -> None:
    known = autoconfig.thunderbird("example.jp", POLICY)
    with serving(office) as portal:
        assert portal.ask("/mail/config-v1.1.xml").body == known
        with database_away(office):
            time.sleep(2.5)
            assert portal.ask("/mail/config-v1.1.xml").body == known
            assert portal.ask("/healthz").status == 200
        office.ok("domain", "add", "example.org")
        path = "/mail/config-v1.1.xml?emailaddress=a%40example.org"
        portal.until(lambda: portal.ask(path).status == 200)
        code, notes = portal.stop()
    assert code == 0 and "Traceback" not in notes
    assert notes.count("domains: not read, what was known stays") == 1


def test_a_server_that_knows_nothing_says_503_until_it_does(office: Office) -> None:
    with ExitStack() as away:
        away.enter_context(database_away(office))
        with serving(office) as portal:
            asked = [
                portal.ask("/mail/config-v1.1.xml"),
                portal.post("/autodiscover/autodiscover.xml", question(ADDRESS)),
                portal.ask(f"/guide/outlook?address={ADDRESS}"),
                portal.ask(f"/mobileconfig?address={ADDRESS}"),
                portal.ask("/.well-known/mta-sts.txt"),
                portal.ask("/healthz"),
            ]
            assert {each.status for each in asked} == {503}
            assert POLICY.desk.phone in asked[2].text
            assert portal.ask("/").status == 200
            away.close()
            portal.until(lambda: portal.ask("/healthz").status == 200)
            assert portal.ask("/mail/config-v1.1.xml").status == 200


# Start and stop


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_ends_by_signal_and_answers_what_is_under_way(
    sqlite_template: Path, tmp_path: Path, how: signal.Signals, workers: str
) -> None:
    shutil.copy(sqlite_template, tmp_path / "isp.db")
    office = Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")
    office.ok("domain", "add", "example.jp")
    body = question(ADDRESS)
    head = f"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    with serving(office, "--workers", workers) as portal:
        assert portal.ask("/healthz").status == 200
        with socket.create_connection(("127.0.0.1", portal.port), timeout=20) as idle:
            under_way = socket.create_connection(("127.0.0.1", portal.port), timeout=20)
            under_way.sendall(f"{head}\r\n\r\n".encode() + body[:10])
            time.sleep(0.5)
            portal.process.send_signal(how)
            time.sleep(1.5)
            under_way.sendall(body[10:])
            assert under_way.recv(65536).startswith(b"HTTP/1.1 200 OK")
            under_way.close()
            assert idle.recv(1) == b""
        _, notes = portal.process.communicate(timeout=20)
    assert portal.process.returncode == 0 and notes == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", portal.port), timeout=5)


# Behind a web server


@contextmanager
def nginx(office: Office, port: int) -> Iterator[tuple[int, int]]:
    """nginx with the lines that we render, on free ports for http and https."""
    folder = office.folder / "web"
    office.ok("autoconfig", "render", "-o", folder)
    certificate(office.folder, "autoconfig.example.jp", "autodiscover.example.jp")
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        plain, tls = a.getsockname()[1], b.getsockname()[1]
    lines = (folder / "nginx.conf").read_text()
    for theirs, ours in (
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;"),
        ("/etc/letsencrypt/live/example.jp/fullchain.pem", f"{office.folder}/web.crt"),
        ("/etc/letsencrypt/live/example.jp/privkey.pem", f"{office.folder}/web.key"),
    ):
        assert theirs in lines
        lines = lines.replace(theirs, ours)
    (folder / "nginx.conf").write_text(lines)
    (office.folder / "main.conf").write_text(
        f"user root; daemon off; pid {office.folder}/nginx.pid; error_log stderr error;\n"
        f"events {{ }}\nhttp {{ access_log off; include {folder}/nginx.conf; }}\n"
    )
    command = ["/usr/sbin/nginx", "-p", office.folder, "-c", office.folder / "main.conf"]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", tls), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)
        yield plain, tls
    finally:
        process.terminate()
        process.communicate()


def test_nginx_serves_the_files_and_passes_on_what_cannot_be_one(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "isp.db")
    office = Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")
    office.ok("domain", "add", "example.jp")
    with serving(office) as portal, nginx(office, portal.port) as (plain, tls):
        trusted = ssl.create_default_context(cafile=str(tmp_path / "web.crt"))

        def ask(host: str, path: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
            """Over TLS, with the name in it and in the Host header."""
            with (
                socket.create_connection(("127.0.0.1", tls), timeout=20) as opened,
                trusted.wrap_socket(opened, server_hostname=host) as secured,
            ):
                client = http.client.HTTPConnection(host)
                client.sock = secured
                client.request("POST" if body else "GET", path, body)
                reply = client.getresponse()
                return reply.status, reply.getheader("Content-Type"), reply.read()

        config = ask("autoconfig.example.jp", "/mail/config-v1.1.xml?emailaddress=a%40example.jp")
        xml = "text/xml; charset=utf-8"
        assert config == (200, xml, autoconfig.thunderbird("example.jp", POLICY))
        client = http.client.HTTPConnection("127.0.0.1", plain, timeout=20)
        client.request("GET", "/mail/config-v1.1.xml", headers={"Host": "autoconfig.example.jp"})
        assert client.getresponse().read() == config[2]
        client.close()
        outlook = ask(
            "autodiscover.example.jp", "/Autodiscover/Autodiscover.xml", question(ADDRESS)
        )
        hanako = MailAddress("hanako", "example.jp")
        assert outlook == (200, xml, autoconfig.outlook(hanako, POLICY.mail))
        profile = ask("autoconfig.example.jp", f"/mobileconfig?address={quote(ADDRESS)}")
        assert profile[0] == 200 and plistlib.loads(profile[2])["PayloadVersion"] == 1
        assert ask("autoconfig.example.jp", "/.well-known/mta-sts.txt")[0] == 200
        portal.stop()
        files = ask("autoconfig.example.jp", "/.well-known/autoconfig/mail/config-v1.1.xml")
        assert files == config
        assert ask("autoconfig.example.jp", "/healthz")[0] == 502
