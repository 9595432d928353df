"""What the configuration of Postfix and Dovecot is made of: ports, sentences, and forms that need no quoting."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.policy import Desk, Policy, Server, parse, profile_text
from provisioning.platform import (
    Feed,
    Layout,
    Platform,
    Postgresql,
    barred,
    listeners,
    rendered,
    scram_verifier,
)

POLICY = parse(profile_text("consumer-isp"))
POSTGRESQL = Postgresql(host="127.0.0.1", port=5432, name="isp")
FEED = Feed("/var/lib/isp/feed/mail.db")
PASSWORD = "S3cret-of-the-role"


def platform(**changed: Any) -> Platform:
    values: dict[str, Any] = {
        "policy": POLICY,
        "layout": Layout(),
        "source": POSTGRESQL,
        "mail_root": "/var/mail/isp",
        "certificate": "/etc/ssl/isp.pem",
        "key": "/etc/ssl/isp.key",
        "password": PASSWORD,
        "salt": bytes(16),
    }
    return Platform(**values | changed)


def policy(section: str, **knobs: object) -> Policy:
    changed = msgspec.structs.replace(getattr(POLICY, section), **knobs)
    return msgspec.structs.replace(POLICY, **{section: changed})


def texts(**changed: Any) -> dict[str, str]:
    return {file.path: file.text for file in rendered(platform(**changed))}


def server(port: int, security: str) -> Server:
    return msgspec.convert({"host": "h", "port": port, "security": security}, Server)


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    ("servers", "ports"),
    [
        ([(993, "ssl"), (143, "none")], [("imap", 143, False), ("imaps", 993, True)]),
        ([(993, "ssl"), (143, "starttls")], [("imap", 143, False), ("imaps", 993, True)]),
        ([(993, "ssl"), (993, "ssl")], [("imap", 0, False), ("imaps", 993, True)]),
        ([(143, "starttls"), (143, "none")], [("imap", 143, False), ("imaps", 0, True)]),
        (
            [(993, "ssl"), (1993, "ssl")],
            [("imap", 0, False), ("imaps", 993, True), ("imaps1", 1993, True)],
        ),
    ],
)
def test_isp_17_the_servers_of_the_policy_are_the_ports_that_listen(
    servers: list[tuple[int, str]], ports: list[tuple[str, int, bool]]
) -> None:
    found = listeners("imap", [server(*each) for each in servers])
    assert [(each.name, each.number, each.tls) for each in found] == ports


@pytest.mark.req("ISP-17")
def test_isp_17_programs_out_of_support_send_by_a_port_of_their_own() -> None:
    master = texts()["postfix/master.cf"]
    assert re.search(
        r"^587 inet .*\n.*\n +-o smtpd_tls_security_level=encrypt$", master, re.MULTILINE
    )
    assert re.search(
        r"^10588 inet .*\n.*legacy\n +-o smtpd_tls_auth_only=no$", master, re.MULTILINE
    )
    for name in ("README.md", "README.ja.md"):
        assert "tcp dport 587 redirect to :10588" in texts()[name]
    none = policy("mail", submission_legacy=POLICY.mail.submission)
    assert "legacy" not in texts(policy=none)["postfix/master.cf"]
    assert "10588" not in texts(policy=none)["README.md"]


@pytest.mark.parametrize("taken", ["submission", "submissions"])
def test_all_04_a_port_that_asks_for_tls_asks_everybody(taken: str) -> None:
    clear = msgspec.structs.replace(getattr(POLICY.mail, taken), security="none")
    with pytest.raises(Refused, match=r"^mail\.submission_legacy\.host: port \d+ of smtp"):
        texts(policy=policy("mail", submission_legacy=clear))


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "25 25"])
def test_all_04_a_port_is_a_number(port: str) -> None:
    for name in ("mx_port", "legacy_port"):
        with pytest.raises(Refused) as refused:
            Layout().with_values([f"{name}={port}"])
        assert refused.value.field == name


def test_all_04_one_port_cannot_be_with_tls_and_without() -> None:
    with pytest.raises(Refused, match=r"^mail\.pop3\.port: one port cannot be both"):
        listeners("pop3", [server(995, "ssl"), server(995, "none")])


@pytest.mark.parametrize("legacy", ["imap_legacy", "pop3_legacy"])
def test_isp_17_only_what_the_policy_says_is_let_in_without_tls(legacy: str) -> None:
    found = texts(policy=policy("mail", **{legacy: server(1143, "starttls")}))
    left = {"imap_legacy": "pop3", "pop3_legacy": "imap"}[legacy]
    conf = found["dovecot/dovecot.conf"]
    assert re.findall(r"protocol (\w+) \{\n  ssl = yes\n  disable_plaintext_auth = no", conf) == [
        left
    ]
    assert "\nssl = required\ndisable_plaintext_auth = yes\n" in conf


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"mail_root": "mail"}, "smtpd.maildir"),
        ({"mail_root": "/var/my mail"}, "smtpd.maildir"),
        ({"mail_root": "/var/%n"}, "smtpd.maildir"),
        ({"certificate": "/etc/ssl/x\ny"}, "smtpd.certificate"),
        ({"key": "/etc/$ssl"}, "smtpd.certificate_key"),
        ({"source": Feed("/var/lib/f#d/mail.db")}, "platform.feed"),
        ({"policy": policy("platform", mail_log="mail.log")}, "platform.mail_log"),
        ({"policy": policy("desk", phone="0120'; DROP")}, "desk.phone"),
        ({"policy": policy("desk", phone="０１２０")}, "desk.phone"),
        ({"policy": policy("smtpd", smarthost="a b")}, "smtpd.smarthost"),
        ({"policy": policy("mail", domain="x\\y")}, "mail.domain"),
        ({"policy": policy("mail", submission=server(587, "none"))}, "mail.submission.security"),
        ({"policy": policy("mail", submissions=server(465, "none"))}, "mail.submissions.security"),
    ],
)
def test_all_04_what_cannot_stand_in_the_files_is_refused_by_name(
    changed: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        rendered(platform(**changed))
    assert refused.value.field == field


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize("name", ["isp'", "is p", "isp\n", "", "$x", "a=b"])
def test_all_04_a_database_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=r"^database\.url"):
        replace(POSTGRESQL, name=name)


@pytest.mark.req("ALL-04")
def test_all_04_places_are_set_by_their_names() -> None:
    assert Layout().with_values(["mx_port=2525", "queue=/srv/q"]).mx_port == "2525"
    for value, field in (
        ("mxport=2525", "set"),
        ("mx_port", "mx_port"),
        ("queue=relative", "queue"),
        ("listen=*", "set"),
        ("dovecot_listen=$x", "dovecot_listen"),
    ):
        with pytest.raises(Refused) as refused:
            Layout().with_values([value])
        assert refused.value.field == field


@given(st.text(alphabet="0123456789-+() ", min_size=1, max_size=40))
def test_isp_22_sentences_name_the_desk_and_end_no_literal(phone: str) -> None:
    desk = msgspec.structs.replace(POLICY.desk, phone=phone)
    told = barred(desk)
    assert all(phone in sentence for sentence in told.values())
    assert told["smtp"].isascii() and len(told["smtp"]) < 400  # a reply line has 512 (RFC 5321)
    assert not any(sign in sentence for sentence in told.values() for sign in "'\"%\\#\n")


def test_isp_01_only_private_files_hold_the_passwords() -> None:
    for source in (POSTGRESQL, FEED):
        for file in rendered(platform(source=source)):
            holds = PASSWORD in file.text
            assert not holds or file.private or file.path.startswith("postfix/isp-"), file.path
    assert PASSWORD not in texts()["database.sql"]


def test_isp_01_a_verifier_verifies_as_the_rfc_has_it() -> None:
    """The example of RFC 7677, 3: the proof and the signature in it follow from the two keys."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    said = (
        f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={base64.b64encode(salt).decode()},i=4096,"
        f"c=biws,r={nonce}"
    )
    stored, server = scram_verifier("pencil", salt).rpartition("$")[2].split(":")
    signature = hmac.digest(base64.b64decode(stored), said.encode(), "sha256")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == base64.b64decode(stored)
    answered = hmac.digest(base64.b64decode(server), said.encode(), "sha256")
    assert base64.b64encode(answered) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("source", [POSTGRESQL, FEED])
@pytest.mark.parametrize("log", ["", "/var/log/isp-mail.log"])
def test_all_05_both_readmes_have_the_same_steps_and_name_every_file(
    source: Postgresql | Feed, log: str
) -> None:
    found = texts(source=source, policy=policy("platform", mail_log=log))
    steps = [
        [line for line in found[name].splitlines() if line.startswith("    ")]
        for name in ("README.md", "README.ja.md")
    ]
    assert steps[0] == steps[1]
    for name in found.keys() - {"README.md", "README.ja.md"}:
        pattern = "postfix/isp-*.cf" if name.startswith("postfix/isp-") else name
        assert pattern in "\n".join(steps[0]), name
    assert ("logrotate" in found) is bool(log)
    assert ("database.sql" in found) is (source is POSTGRESQL)


def test_isp_17_the_limits_are_asked_three_times_when_there_is_somebody_to_ask() -> None:
    without = texts()["postfix/main.cf"]
    assert "$limits" not in without
    asked = texts(policy=policy("platform", policy_service="inet:127.0.0.1:10587"))
    assert asked["postfix/main.cf"].count("check_policy_service { $limits }") == 3
    assert "limits = inet:127.0.0.1:10587," in asked["postfix/main.cf"]


def test_isp_17_a_protected_connection_to_the_database_stays_protected() -> None:
    source = replace(POSTGRESQL, host="db.example.jp", tls=(("sslmode", "verify-full"),))
    found = texts(source=source)
    assert "PGSSLMODE=verify-full" in found["postfix/main.cf"]
    assert "sslmode=verify-full\n" in found["dovecot/dovecot-sql.conf.ext"]


def test_isp_22_a_desk_without_a_phone_that_servers_can_say_is_told_so() -> None:
    desk = msgspec.structs.replace(POLICY.desk, phone="0120-000-000（無料）")
    assert isinstance(desk, Desk)
    with pytest.raises(Refused, match=r"^desk\.phone: "):
        barred(desk)
