"""`isp autoconfig` and what `isp serve` refuses before it listens; the running server has tests of its own."""

from __future__ import annotations

import plistlib
import socket
import subprocess
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from office import Office

from isp.policy import parse, profile_text
from provisioning import autoconfig
from provisioning.addresses import MailAddress

POLICY = parse(profile_text("consumer-isp"))
ADDRESS = "taro@example.jp"


@pytest.fixture(name="served")
def _served(office: Office) -> Office:
    for domain in ("example.jp", "日本語.jp"):
        office.ok("domain", "add", domain)
    return office


def show(office: Office, address: str, program: str, *words: str) -> str:
    answer = office("--format", "table", "autoconfig", "show", address, "--as", program, *words)
    assert answer.exit_code == 0, answer.stderr
    return answer.stdout


@pytest.mark.req("ISP-17")
def test_isp_17_show_prints_what_the_server_answers(served: Office) -> None:
    assert show(served, ADDRESS, "thunderbird").encode() == autoconfig.thunderbird(
        "example.jp", POLICY
    )
    taro = MailAddress("taro", "example.jp")
    assert show(served, ADDRESS, "outlook").encode() == autoconfig.outlook(taro, POLICY.mail)
    assert show(served, ADDRESS, "apple").encode() == autoconfig.apple(taro, POLICY, "ja")
    assert "xn--wgv71a119e.jp" in show(served, "taro@日本語.jp", "thunderbird")
    as_json = served.ok("autoconfig", "show", ADDRESS, "--as", "outlook")
    assert fromstring(as_json["content"]) is not None and as_json["address"] == ADDRESS


def sign(office: Office) -> None:
    """The policy names a certificate."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=x",
            "-keyout",
            "web.key",
            "-out",
            "web.crt",
        ],
        cwd=office.folder,
        check=True,
        capture_output=True,
    )
    text = office.config.read_text("utf-8")
    before, section, after = text.partition("[web]")
    after = after.replace('certificate = ""', 'certificate = "web.crt"', 1)
    after = after.replace('certificate_key = ""', 'certificate_key = "web.key"', 1)
    office.config.write_text(before + section + after, "utf-8")


def test_a_profile_is_signed_where_there_is_a_certificate(served: Office) -> None:
    sign(served)
    file = served.folder / "taro.mobileconfig"
    told = served.ok("autoconfig", "show", ADDRESS, "--as", "apple", "-o", file)
    assert told == {"address": ADDRESS, "program": "apple", "file": str(file)}
    opened = subprocess.run(
        f"openssl cms -verify -inform der -CAfile web.crt -purpose any -in {file}".split(),
        cwd=served.folder,
        check=True,
        capture_output=True,
    ).stdout
    assert plistlib.loads(opened)["PayloadType"] == "Configuration"
    as_json = served.ok("autoconfig", "show", ADDRESS, "--as", "apple")
    assert as_json["content"].encode("latin-1")[:1] == b"0"


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("taro", "write one mail address as NAME@DOMAIN"),
        ("taro@example.com", "no mail domain of this provider"),
        ("a" * 10_000 + "@example.jp", "254 characters at most"),
        ("a\n@example.jp", "write one mail address as NAME@DOMAIN"),
    ],
)
def test_all_04_an_address_that_is_none_of_ours_is_refused(
    served: Office, address: str, why: str
) -> None:
    line = served.refused("autoconfig", "show", address, "--as", "thunderbird")
    assert line.startswith("address: ") and why in line and len(line) < 200


def test_files_for_any_web_server(served: Office) -> None:
    folder = served.folder / "web root"
    told = served.ok("autoconfig", "render", "-o", folder)
    assert told["domains"] == ["example.jp", "xn--wgv71a119e.jp"]
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == set(told["files"]) and len(found) == 8
    for domain in told["domains"]:
        for path, content in autoconfig.static_files(domain, POLICY).items():
            assert (folder / domain / path).read_bytes() == content
    for server in ("nginx", "apache"):
        lines = (folder / f"{server}.conf").read_text()
        for domain in told["domains"]:
            for name in ("autoconfig", "autodiscover", "mta-sts"):
                assert f" {name}.{domain}" in lines
            assert f'"{folder}/{domain}"' in lines


def test_files_of_one_domain(served: Office) -> None:
    told = served.ok("autoconfig", "render", "-o", served.folder / "web", "--domain", "日本語.jp")
    assert told["domains"] == ["xn--wgv71a119e.jp"] and len(told["files"]) == 5


@pytest.mark.req("ALL-04")
def test_all_04_files_that_would_be_wrong_are_not_written(served: Office) -> None:
    web = served.folder / "web"
    assert served.refused("autoconfig", "render", "-o", web, "--domain", "example.com") == (
        "domain: example.com is not served: see `isp domain list`"
    )
    line = served.refused("autoconfig", "render", "-o", f'{web}";$x', "--domain", "example.jp")
    assert line.startswith("o: the folder's name must not hold quotes")
    assert not list(served.folder.glob("web*"))


def test_without_domains_there_is_a_note(office: Office) -> None:
    answer = office("autoconfig", "render", "-o", office.folder / "web")
    assert answer.exit_code == 0 and answer.json["domains"] == []
    assert "isp domain add" in answer.stderr


def test_serve_says_what_is_wrong_before_it_listens(office: Office, tmp_path: Path) -> None:
    assert office.refused("serve", "--port", "65536").startswith("port: ")
    assert office.refused("serve", "--workers", "0").startswith("workers: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = office("serve", "--port", port)
    assert answer.exit_code == 1
    assert answer.stderr == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    )
    sign(office)
    (tmp_path / "web.key").unlink()
    answer = office("serve", "--port", "0")
    assert answer.exit_code == 1 and answer.stderr.startswith("Error: web.certificate: cannot read")
