"""What mail programs fetch by themselves: each answer by the rules of its format, and hostile questions.

After a change that is meant: `python tests/provisioning/test_autoconfig.py` writes the examples anew;
read the difference before you commit it.
"""

from __future__ import annotations

import json
import plistlib
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec
import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given
from hypothesis import strategies as st

from isp import policy as policies
from isp.errors import Fault, Refused
from isp.policy import Policy, Security, Server, Web
from portal.signing import signer
from provisioning import autoconfig
from provisioning.addresses import MailAddress
from provisioning.autoconfig import (
    ENVELOPE,
    REQUEST,
    RESPONSE,
    NotServed,
    address_at,
    domain_of_host,
    outlook_asks,
)

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "autoconfig"
POLICY = policies.parse(policies.profile_text("consumer-isp"))
SERVED = frozenset({"example.jp", "xn--wgv71a119e.jp", "autoconfig.example.org"})
HANAKO = MailAddress("hanako.yamada+pc", "example.jp")
SECURITIES: tuple[Security, ...] = ("ssl", "starttls", "none")
LONG = "a" * 9_991 + "@example.jp"


def with_security(security: Security) -> Policy:
    """The example policy with every server secured this way."""
    servers = {
        name: msgspec.structs.replace(getattr(POLICY.mail, name), security=security)
        for name in ("imap", "pop3", "submission", "submissions")
    }
    return msgspec.structs.replace(POLICY, mail=msgspec.structs.replace(POLICY.mail, **servers))


def forms() -> dict[str, bytes]:
    return {
        "thunderbird.xml": autoconfig.thunderbird("example.jp", POLICY),
        "outlook.xml": autoconfig.outlook(HANAKO, POLICY.mail),
        "outlook-error.xml": autoconfig.outlook_error(600, "request: <&> is no XML"),
        "redirect.json": autoconfig.outlook_redirect("AutodiscoverV1", "example.jp"),
        "apple.ja.mobileconfig": autoconfig.apple(HANAKO, POLICY, "ja"),
        "apple.en.mobileconfig": autoconfig.apple(HANAKO, POLICY, "en"),
    }


FORMS = forms()


@pytest.mark.parametrize("name", sorted(FORMS))
def test_answer_is_word_for_word_as_read_before(name: str) -> None:
    assert FORMS[name] == (FOLDER / name).read_bytes()


def test_no_example_is_left_over() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FORMS)


# Thunderbird


def children(element: ElementTree.Element) -> dict[str, str]:
    found = {child.tag: child.text or "" for child in element}
    assert len(found) == len(element), "a child twice"
    return found


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("security", SECURITIES)
def test_thunderbird_has_imap_first_and_sends_by_587_first(security: Security) -> None:
    policy = with_security(security)
    root = fromstring(autoconfig.thunderbird("example.jp", policy))
    assert (root.tag, root.attrib) == ("clientConfig", {"version": "1.1"})
    [provider] = root
    assert (provider.tag, provider.attrib) == ("emailProvider", {"id": "example.jp"})
    assert [each.text for each in provider.findall("domain")] == ["example.jp"]
    servers = [each for each in provider if each.tag.endswith("Server")]
    assert [(each.tag, each.get("type")) for each in servers] == [
        ("incomingServer", "imap"),
        ("incomingServer", "pop3"),
        ("outgoingServer", "smtp"),
        ("outgoingServer", "smtp"),
    ]
    mail = policy.mail
    for element, server in zip(
        servers, (mail.imap, mail.pop3, mail.submission, mail.submissions), strict=True
    ):
        assert children(element) == {
            "hostname": server.host,
            "port": str(server.port),
            "socketType": {"ssl": "SSL", "starttls": "STARTTLS", "none": "plain"}[security],
            "username": "%EMAILADDRESS%",
            "authentication": "password-cleartext",
        }
    assert [each.findtext("port") for each in servers] == ["993", "995", "587", "465"]


def test_thunderbird_links_to_the_guides_in_both_languages_where_there_is_a_page() -> None:
    assert b"documentation" not in FORMS["thunderbird.xml"]
    linked = msgspec.structs.replace(POLICY, web=Web(url="https://www.example.jp/?a&b"))
    root = fromstring(autoconfig.thunderbird("example.jp", linked))
    documentation = root.find("emailProvider/documentation")
    assert documentation is not None and documentation.get("url") == linked.web.url
    assert [each.get("lang") for each in documentation] == ["ja", "en"]


def test_thunderbird_shows_sixty_characters_of_a_name_at_most() -> None:
    operator = msgspec.structs.replace(POLICY.operator, name="<&>\ufffe" + "長" * 100)
    policy = msgspec.structs.replace(POLICY, operator=operator)
    root = fromstring(autoconfig.thunderbird("example.jp", policy))
    assert root.findtext("emailProvider/displayName") == "<&>" + "長" * 57


# Outlook


def question(
    *addresses: str, namespace: str = REQUEST, root: str = "Autodiscover", schema: str = RESPONSE
) -> bytes:
    asked = "".join(f"<EMailAddress>{address}</EMailAddress>" for address in addresses)
    accept = f"<AcceptableResponseSchema>{schema}</AcceptableResponseSchema>" if schema else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><{root} xmlns="{namespace}">'
        f"<Request>{asked}{accept}</Request></{root}>"
    ).encode()


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("security", SECURITIES)
def test_outlook_is_told_tls_from_the_first_byte_and_starttls_apart(security: Security) -> None:
    mail = with_security(security).mail
    root = fromstring(autoconfig.outlook(HANAKO, mail))
    assert root.tag == f"{{{ENVELOPE}}}Autodiscover"
    [response] = root
    assert response.tag == f"{{{RESPONSE}}}Response"
    name = {"": RESPONSE}
    assert response.findtext("User/DisplayName", namespaces=name) == str(HANAKO)
    account = response.find("Account", name)
    assert account is not None
    assert account.findtext("AccountType", namespaces=name) == "email"
    assert account.findtext("Action", namespaces=name) == "settings"
    ssl, encryption = {"ssl": ("on", "SSL"), "starttls": ("off", "TLS"), "none": ("off", "None")}[
        security
    ]
    servers: tuple[tuple[str, Server], ...] = (
        ("IMAP", mail.imap),
        ("POP3", mail.pop3),
        ("SMTP", mail.submission),
    )
    for protocol, (kind, server) in zip(account.findall("Protocol", name), servers, strict=True):
        assert {each.tag.partition("}")[2]: each.text for each in protocol} == {
            "Type": kind,
            "Server": server.host,
            "Port": str(server.port),
            "LoginName": str(HANAKO),
            "DomainRequired": "off",
            "SPA": "off",
            "SSL": ssl,
            "Encryption": encryption,
            "AuthRequired": "on",
        }


def test_outlooks_question_names_an_address() -> None:
    assert outlook_asks(question("hanako@example.jp")) == "hanako@example.jp"
    assert outlook_asks(question("hanako@example.jp", schema="")) == "hanako@example.jp"
    assert outlook_asks(question("花子@日本語.jp").decode().encode("utf-8")) == "花子@日本語.jp"
    in_utf_16 = question("hanako@example.jp").decode().replace("utf-8", "utf-16")
    assert outlook_asks(in_utf_16.encode("utf-16")) == "hanako@example.jp"


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)
HOSTILE = {
    "empty": b"",
    "NUL": b"\0" * 100,
    "text": b"EMailAddress=hanako@example.jp",
    "cut short": question("hanako@example.jp")[:-10],
    "entity bomb": BOMB + b"]><a>&j;</a>",
    "file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + question("&x;@example.jp").partition(b"?>")[2],
    "parameter entity": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/">%x;]><a/>',
    "document type": b"<!DOCTYPE a>" + question("hanako@example.jp").partition(b"?>")[2],
    "no namespace": question("hanako@example.jp", namespace=""),
    "wrong namespace": question("hanako@example.jp", namespace=RESPONSE),
    "namespace of telephones": question(
        "hanako@example.jp",
        namespace="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006",
    ),
    "wrong root": question("hanako@example.jp", root="Request"),
    "answer nobody gives": question("hanako@example.jp", schema="urn:x"),
    "no address": question(),
    "empty address": question(""),
    "two addresses": question("hanako@example.jp", "taro@example.jp"),
    "address of elements": question("<b>hanako@example.jp</b>"),
    "unknown encoding": b'<?xml version="1.0" encoding="x-none"?><a/>',
    "encoding of several bytes": b'<?xml version="1.0" encoding="iso-2022-jp"?><a/>',
    "not its encoding": b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>',
    "deep": b"<a>" * 9_000 + b"</a>" * 9_000,
    "many attributes": b"<a " + b" ".join(b'a%d=""' % n for n in range(4_000)) + b"/>",
}


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_all_04_a_question_that_outlook_would_not_ask_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        outlook_asks(body)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@example(question("a\u2028b@example.jp"))
def test_whatever_is_posted_is_an_address_or_refused(body: bytes) -> None:
    try:
        assert isinstance(outlook_asks(body), str)
    except Refused as refused:
        assert "\n" not in str(refused)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=300))
def test_an_error_is_xml_whatever_it_says(why: str) -> None:
    why = why.replace("\ufffe", "").replace("\uffff", "")
    root = fromstring(autoconfig.outlook_error(600, why))
    error = root.find(f"{{{ENVELOPE}}}Response/{{{ENVELOPE}}}Error")
    assert error is not None
    assert error.findtext(f"{{{ENVELOPE}}}ErrorCode") == "600"
    assert (error.findtext(f"{{{ENVELOPE}}}Message") or "") == why


@pytest.mark.parametrize("protocol", ["AutodiscoverV1", "Autodiscoverv1", "autodiscoverv1"])
def test_outlook_that_asks_in_json_is_sent_to_the_xml(protocol: str) -> None:
    assert json.loads(autoconfig.outlook_redirect(protocol, "example.jp")) == {
        "Protocol": "AutodiscoverV1",
        "Url": "https://autodiscover.example.jp/autodiscover/autodiscover.xml",
    }


@pytest.mark.parametrize("protocol", ["", "ActiveSync", "Ews", "\r\nX: y"])
def test_other_protocols_are_not_served(protocol: str) -> None:
    with pytest.raises(Refused) as refused:
        autoconfig.outlook_redirect(protocol, "example.jp")
    assert str(refused.value) == "Protocol: only AutodiscoverV1 is served"


# Addresses and hosts


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("hanako@example.jp", "hanako@example.jp"),
        (" Hanako@Example.JP ", "hanako@example.jp"),
        ("postmaster@example.jp", "postmaster@example.jp"),
        ("taro@日本語.jp", "taro@xn--wgv71a119e.jp"),
    ],
)
def test_an_address_counts_in_its_plain_form(written: str, address: str) -> None:
    assert str(address_at(written, SERVED, "address")) == address


@pytest.mark.parametrize(
    "written",
    [
        *("", "@", "hanako", "hanako@", "@example.jp", "a b@example.jp", "花子@example.jp"),
        *("%EMAILADDRESS%", "a@b@example.jp", "a\0@example.jp", "a@example.jp\0", "\0"),
        *("a@example.jp\r\nSet-Cookie: x=1", "a\n@example.jp", "<script>@example.jp"),
        *("a@[127.0.0.1]", "a@" + "b." * 200 + "jp", LONG, "a,b@example.jp", "a/../b@example.jp"),
    ],
)
@pytest.mark.req("ALL-04")
def test_all_04_what_is_no_address_is_refused_without_repeating_it(written: str) -> None:
    with pytest.raises(Refused) as refused:
        address_at(written, SERVED, "emailaddress")
    assert not isinstance(refused.value, NotServed)
    assert str(refused.value) == (
        "emailaddress: write one mail address as NAME@DOMAIN, 254 characters at most"
    )


@given(st.text(max_size=300) | st.text(max_size=30).map(lambda text: f"{text}@example.jp"))
@example("ａ@example.jp")
@example("a@xn--.jp")
def test_whatever_is_written_is_an_address_of_ours_or_refused(written: str) -> None:
    try:
        address = address_at(written, SERVED, "address")
    except Refused as refused:
        assert len(str(refused)) < 120 and str(refused).isascii()
    else:
        assert address.domain in SERVED
        assert re.fullmatch(r"[a-z0-9_+.@-]+", str(address))


@pytest.mark.parametrize(
    "written", ["a@example.org", "a@sub.example.jp", "a@autoconfig.example.jp"]
)
def test_a_domain_of_somebody_else_is_not_served(written: str) -> None:
    with pytest.raises(NotServed):
        address_at(written, SERVED, "address")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.jp", "example.jp"),
        ("autoconfig.example.jp", "example.jp"),
        ("Autodiscover.Example.JP:8443", "example.jp"),
        ("mta-sts.example.jp.", "example.jp"),
        ("autoconfig.example.org", "autoconfig.example.org"),
        ("autoconfig.autoconfig.example.org", "autoconfig.example.org"),
    ],
)
def test_the_host_header_names_the_domain(host: str, domain: str) -> None:
    assert domain_of_host(host, SERVED) == domain


@given(st.text(max_size=300))
@example("")
@example(":80")
@example("[::1]:80")
@example("www.example.jp")
@example("autoconfig.")
@example("autoconfig.example.jp\0")
@example("example.jp@evil.example")
def test_any_other_host_is_not_served(host: str) -> None:
    try:
        assert domain_of_host(host, SERVED) in SERVED
    except NotServed as refused:
        assert len(str(refused)) < 120


# Apple Mail


def account_of(profile: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    envelope = plistlib.loads(profile)
    [account] = envelope["PayloadContent"]
    return envelope, account


@pytest.mark.req("ISP-17", "ISP-22", "ALL-05")
@pytest.mark.parametrize("language", ["ja", "en"])
def test_apple_profile_is_one_mail_account_without_a_password(
    language: Literal["ja", "en"],
) -> None:
    envelope, account = account_of(autoconfig.apple(HANAKO, POLICY, language))
    assert (envelope["PayloadType"], envelope["PayloadVersion"]) == ("Configuration", 1)
    assert account["PayloadType"] == "com.apple.mail.managed" and account["PayloadVersion"] == 1
    assert account["EmailAccountType"] == "EmailTypeIMAP"
    assert account["EmailAddress"] == account["EmailAccountName"] == str(HANAKO)
    for way, host, port in (
        ("Incoming", "imap.example.jp", 993),
        ("Outgoing", "smtp.example.jp", 465),
    ):
        server = {k: v for k, v in account.items() if k.startswith(f"{way}MailServer")}
        assert server == {
            f"{way}MailServerHostName": host,
            f"{way}MailServerPortNumber": port,
            f"{way}MailServerUseSSL": True,
            f"{way}MailServerUsername": str(HANAKO),
            f"{way}MailServerAuthentication": "EmailAuthPassword",
        }
    assert account["OutgoingPasswordSameAsIncomingPassword"] is True
    assert not {"IncomingPassword", "OutgoingPassword"} & account.keys()
    assert POLICY.desk.phone in envelope["PayloadDescription"]
    assert POLICY.desk.hours in envelope["PayloadDescription"]
    assert envelope["PayloadDescription"].isascii() is (language == "en")


def test_apple_sends_by_587_where_there_is_no_port_under_tls_from_the_first_byte() -> None:
    _, account = account_of(autoconfig.apple(HANAKO, with_security("starttls"), "ja"))
    assert account["OutgoingMailServerPortNumber"] == 587
    assert account["OutgoingMailServerUseSSL"] is True
    _, account = account_of(autoconfig.apple(HANAKO, with_security("none"), "ja"))
    assert account["IncomingMailServerUseSSL"] is account["OutgoingMailServerUseSSL"] is False


def test_identifiers_are_those_of_the_address_for_ever() -> None:
    def named(address: MailAddress, policy: Policy) -> list[str]:
        envelope, account = account_of(autoconfig.apple(address, policy, "ja"))
        return [
            each[key]
            for each in (envelope, account)
            for key in ("PayloadIdentifier", "PayloadUUID")
        ]

    first = named(HANAKO, POLICY)
    assert first == named(HANAKO, with_security("starttls"))
    assert len({*first, *named(MailAddress("taro", "example.jp"), POLICY)}) == 8
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", each) for each in first)
    assert [uuid.UUID(each).version for each in (first[1], first[3])] == [5, 5]
    assert first[0].startswith("jp.example.mail.")


def certificate(folder: Path, *kind: str) -> Web:
    """A certificate made by OpenSSL, as an operator would."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            *kind,
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=Sample Net",
            "-keyout",
            "web.key",
            "-out",
            "web.crt",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return Web(certificate="web.crt", certificate_key="web.key")


RSA, EC = ("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@pytest.mark.parametrize("kind", [RSA, EC], ids=["rsa", "ec"])
@pytest.mark.parametrize("command", ["smime", "cms"])
def test_openssl_verifies_the_signature_of_a_profile(
    tmp_path: Path, kind: tuple[str, ...], command: str
) -> None:
    who = signer(certificate(tmp_path, *kind), tmp_path)
    assert who is not None
    profile = autoconfig.apple(HANAKO, POLICY, "ja")
    signed = autoconfig.signed(profile, who)
    verify = ["openssl", command, "-verify", "-inform", "der", "-binary", "-purpose", "any"]
    verify += ["-CAfile", "web.crt"]
    done = subprocess.run(verify, cwd=tmp_path, input=signed, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == profile
    tampered = signed.replace(b"imap.example.jp", b"imap.example.cn")
    assert subprocess.run(verify, cwd=tmp_path, input=tampered, capture_output=True).returncode


def test_certificates_that_vouch_go_with_the_signature(tmp_path: Path) -> None:
    web = certificate(tmp_path, *EC)
    own = (tmp_path / "web.crt").read_bytes()
    certificate(tmp_path, *RSA)
    (tmp_path / "both.crt").write_bytes(own + (tmp_path / "web.crt").read_bytes())
    certificate(tmp_path, *EC)
    (tmp_path / "both.crt").write_bytes((tmp_path / "web.crt").read_bytes() + own)
    who = signer(msgspec.structs.replace(web, certificate="both.crt"), tmp_path)
    assert who is not None and len(who.vouching) == 1
    command = ["openssl", "pkcs7", "-inform", "der", "-print_certs", "-noout"]
    listed = subprocess.run(
        command, input=autoconfig.signed(b"x", who), capture_output=True, check=True
    ).stdout
    assert listed.count(b"subject") == 2


def test_a_certificate_that_does_not_serve_is_told_in_one_line(tmp_path: Path) -> None:
    assert signer(Web(), tmp_path) is None
    with pytest.raises(Refused, match=r"web\.certificate: name certificate and certificate_key"):
        signer(Web(certificate="web.crt"), tmp_path)
    both = Web(certificate="web.crt", certificate_key="web.key")
    with pytest.raises(Fault, match=r"web\.certificate: cannot read .*web\.crt: No such file"):
        signer(both, tmp_path)
    certificate(tmp_path, *EC)
    other = (tmp_path / "web.key").read_bytes()
    certificate(tmp_path, *EC)
    assert signer(both, tmp_path) is not None
    (tmp_path / "web.key").write_bytes(other)
    with pytest.raises(Fault, match="do not belong together"):
        signer(both, tmp_path)
    certificate(tmp_path, "ed25519")
    with pytest.raises(Fault, match="RSA or of an elliptic curve"):
        signer(both, tmp_path)
    for broken in (b"", b"x", (tmp_path / "web.crt").read_bytes()):
        (tmp_path / "web.key").write_bytes(broken)
        with pytest.raises(Fault, match="no PEM without a passphrase"):
            signer(both, tmp_path)


def test_files_hold_what_any_web_server_can_hand_out() -> None:
    files = autoconfig.static_files("example.jp", POLICY)
    thunderbird = files["mail/config-v1.1.xml"]
    assert files == {
        "mail/config-v1.1.xml": thunderbird,
        ".well-known/autoconfig/mail/config-v1.1.xml": thunderbird,
        ".well-known/mta-sts.txt": b"version: STSv1\nmode: testing\nmx: mx.example.jp\n"
        b"max_age: 604800\n",
    }
    assert thunderbird == FORMS["thunderbird.xml"]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in FORMS.items():
        (FOLDER / name).write_bytes(content)
