"""`isp mailbox verify` and `why` with the real Postfix and Dovecot, on both databases."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import postgresql
import pytest
import town
from authority import Authority
from mailstack import MailStack, module_office, set_knobs
from office import Answer, Office

from isp.calendar import TOKYO
from isp.policy import load
from provisioning.proof import Proof, Subject
from provisioning.wanted import Directions

TODAY = "2026-01-05"
TARO, HANAKO, JIRO, SABURO, SHIRO, GORO = MEMBERS = [
    f"{name}@example.jp" for name in ("taro", "hanako", "jiro", "saburo", "shiro", "goro")
]
FULL = "full@example.jp"
TRANSPORT = ["submission-connect", "submission-no-auth-before-tls", "submission-starttls"]
WRONG = ["submission-wrong-password", "imap-wrong-password"]
PUBLISHED = [
    f"published-{server}"
    for server in (
        *("imap", "imap-legacy", "pop3", "pop3-legacy"),
        *("submission", "submission-legacy", "submissions"),
    )
]
ALL_STEPS = [
    *("state", *TRANSPORT, "submission-log-in", "imap-connect", "pop3-connect", "imap-log-in"),
    *("send", "arrival", "imap-fetch", "pop3-log-in", "pop3-fetch", "message-removed"),
    *("foreign-sender", *WRONG, *PUBLISHED, "revoked-password"),
]


class Post:
    """An office with its mail servers, six mailboxes, and the authority of the certificate."""

    def __init__(self, stack: MailStack, authority: Authority) -> None:
        self.stack, self.office, self.authority = stack, stack.office, authority
        self.passwords: dict[str, str] = {}

    def fill(self) -> None:
        office = self.office
        office.ok("--today", TODAY, "domain", "add", "example.jp")
        town.plan(office, TODAY, "P", 1000, 1, "--mailboxes", 9)
        member = town.member(office, TODAY, "invoice")
        contract = town.contract(office, TODAY, member, "P", TODAY)
        for each in MEMBERS:
            added = office.ok("--today", TODAY, "mailbox", "add", each, "--contract", contract)
            self.passwords[each] = added["password"]

    def verify(self, address: str, *words: object) -> Answer:
        return self.office(
            *("mailbox", "verify", address, "--ca", self.authority.file, "--timeout", 15, *words)
        )

    def why(self, address: str) -> dict[str, Any]:
        found: dict[str, Any] = self.office.ok("--lang", "en", "mailbox", "why", address)
        return found

    def findings(self, address: str) -> str:
        return "\n".join(each["finding"] for each in self.why(address)["verdicts"])


def opened(office: Office, folder: Path) -> Iterator[Post]:
    authority = Authority(folder / "authority")
    certificate, key = authority.certificate("localhost")
    with MailStack(
        office, smtpd__certificate=str(certificate), smtpd__certificate_key=str(key)
    ) as stack:
        stack.trusted = ssl.create_default_context(cafile=authority.file)
        post = Post(stack, authority)
        post.fill()
        yield post


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def post(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    cluster: postgresql.Cluster,
    postgresql_template: str,
) -> Iterator[Post]:
    folder = tmp_path_factory.mktemp("office")
    with module_office(
        request.param, folder, sqlite_template, cluster, postgresql_template
    ) as office:
        yield from opened(office, folder)


def steps_of(answer: Answer) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in answer.json["steps"]}


def failed(answer: Answer) -> set[str]:
    return {name for name, step in steps_of(answer).items() if not step["ok"]}


@pytest.mark.req("ISP-17", "ISP-01")
def test_isp_17_a_mailbox_is_proved_from_end_to_end_and_nothing_is_left(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "provisioning.runs.app_passwords.generate_app_password", lambda: "Known-To-This-Test-Alone"
    )
    answer = post.verify(TARO)
    assert failed(answer) == set(), answer.stdout
    assert (answer.exit_code, answer.stderr, answer.json["address"]) == (0, "", TARO)
    assert answer.json["ok"] is True
    steps = steps_of(answer)
    assert list(steps) == ALL_STEPS
    assert all(set(step) == {"name", "ok", "detail", "ms"} for step in steps.values())
    assert all(0 <= step["ms"] < 15_000 for step in steps.values())
    assert "for localhost until" in steps["submission-starttls"]["detail"]
    assert "90 days" in steps["published-imap"]["detail"]
    assert "PLAIN LOGIN" in steps["published-submission"]["detail"]
    assert "TLS 1.2 and 1.3" in steps["published-pop3"]["detail"]
    assert "553" in steps["foreign-sender"]["detail"]
    assert "535" in steps["submission-wrong-password"]["detail"]
    assert post.stack.delivered(TARO) == []
    assert post.office.ok("app-password", "list", TARO) == []
    everything = answer.stdout + post.stack.log() + str(post.office.ok("journal", TARO))
    assert "Known-To-This-Test-Alone" not in everything


def test_the_members_own_messages_stay(post: Post) -> None:
    """Even those that are flagged as deleted and wait for the member's program to expunge them."""
    with post.stack.submission(HANAKO, post.passwords[HANAKO]) as client:
        client.sendmail(HANAKO, [HANAKO], b"Subject: kept\r\n\r\nkept needle\r\n")
    post.stack.wait_for(HANAKO, b"kept needle")
    with post.stack.imap(HANAKO, post.passwords[HANAKO]) as client:
        client.select()
        client.store("1", "+FLAGS", "(\\Deleted)")
        client.unselect()
    assert post.verify(HANAKO).exit_code == 0
    [kept] = post.stack.delivered(HANAKO)
    assert b"kept needle" in kept


def test_a_full_list_of_app_passwords_does_not_keep_a_mailbox_from_being_proved(
    post: Post,
) -> None:
    most = load(post.office.config).platform.app_passwords
    for number in range(most):
        post.office.ok("app-password", "add", SABURO, "--name", f"device {number}")
    assert failed(post.verify(SABURO)) == set()
    assert len(post.office.ok("app-password", "list", SABURO)) == most


def test_a_certificate_of_an_unknown_authority_fails_what_needs_it(
    post: Post, tmp_path: Path
) -> None:
    answer = post.verify(TARO, "--ca", Authority(tmp_path / "other").file)
    assert answer.exit_code == 1 and answer.json["ok"] is False
    assert "mailbox verify: " in answer.stderr and len(answer.stderr.splitlines()) == 1
    steps = steps_of(answer)
    for name in ("submission-starttls", "imap-connect", "pop3-connect", "published-submissions"):
        assert "the certificate is not good" in steps[name]["detail"], name
    assert steps["send"]["detail"] == "not tried: it needs submission-log-in"
    for name in ("submission-no-auth-before-tls", "published-imap-legacy", "published-pop3-legacy"):
        assert steps[name]["ok"], steps[name]
    assert post.office.ok("app-password", "list", TARO) == []


def test_what_the_table_shows_names_each_step(post: Post) -> None:
    shown = post.verify(TARO, "--timeout", 20)
    table = post.office(
        *("--format", "table", "mailbox", "verify", TARO, "--ca", post.authority.file)
    )
    assert shown.exit_code == table.exit_code == 0
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["name", *ALL_STEPS]


def test_without_imap_the_message_is_fetched_and_deleted_by_pop3(post: Post) -> None:
    """What is published for IMAP leads nowhere, as after a typing error in isp.toml."""
    config, written = post.office.config, post.office.config.read_text("utf-8")
    set_knobs(config, {"mail.imap__port": 9})
    try:
        answer = post.verify(TARO)
    finally:
        config.write_text(written, "utf-8")
    steps = steps_of(answer)
    assert failed(answer) == {
        *("imap-connect", "imap-log-in", "arrival", "imap-fetch", "imap-wrong-password"),
        *("published-imap", "revoked-password"),
    }
    assert steps["message-removed"]["detail"] == "by POP3"
    assert post.stack.delivered(TARO) == []


def test_a_password_taken_back_in_the_middle_is_a_failed_step(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = Proof._imap_fetch

    def meanwhile(proof: Proof) -> str:
        told = going_on(proof)
        [one] = post.office.ok("app-password", "list", JIRO)
        post.office.ok("app-password", "revoke", JIRO, "--name", one["name"])
        return told

    monkeypatch.setattr(Proof, "_imap_fetch", meanwhile)
    answer = post.verify(JIRO)
    assert answer.exit_code == 1
    steps = steps_of(answer)
    assert steps["imap-fetch"]["ok"] and not steps["pop3-log-in"]["ok"]
    assert "Authentication failed" in steps["pop3-log-in"]["detail"]
    assert all(steps[name]["ok"] for name in ("foreign-sender", *WRONG, *PUBLISHED))
    assert post.office.ok("app-password", "list", JIRO) == []
    assert "Traceback" not in answer.stderr


def proof_of(post: Post, subject: Subject) -> dict[str, bool]:
    import time

    mail = load(post.office.config).mail
    now = datetime.now(TOKYO)
    proof = Proof(
        *(subject, mail, post.authority.file, 15, now, "0123456789abcdef"),
        *(time.monotonic, time.sleep),
    )
    return {step.name: step.ok for step in proof.run()}


@pytest.mark.req("ISP-01")
@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        (["fetch", "send"], ["submission-barred", "imap-barred", "pop3-barred"]),
        (["send"], ["submission-barred", "imap-log-in"]),
        (["fetch"], ["submission-log-in", "imap-barred", "pop3-barred", "recipient"]),
        (["receive"], ["submission-log-in", "imap-log-in", "recipient"]),
        (["fetch", "send", "receive"], ["submission-barred", "imap-barred", "pop3-barred"]),
    ],
)
def test_isp_01_of_a_suspended_mailbox_the_refusal_is_proved(
    post: Post, directions: list[str], expected: list[str]
) -> None:
    words = [word for each in directions for word in ("--direction", each)]
    post.office.ok("mailbox", "suspend", JIRO, "--reason", "unpaid", *words)
    try:
        answer = post.verify(JIRO)
    finally:
        post.office.ok("mailbox", "resume", JIRO)
    assert failed(answer) == set() and answer.exit_code == 0, answer.stdout
    steps = steps_of(answer)
    assert answer.json["steps"][0]["name"] == "state"
    assert steps["state"]["detail"] == f"suspended: {', '.join(directions)} barred (unpaid)"
    assert set(expected) <= set(steps) and "send" not in steps
    for name in (name for name in expected if name.endswith("-barred")):
        assert "unpaid" in steps[name]["detail"]
    if directions == ["receive"]:
        assert "5.2.1" in steps["recipient"]["detail"]


def test_a_suspension_that_the_servers_do_not_keep_is_a_failed_step(post: Post) -> None:
    nothing = Directions(fetch=False, send=False, receive=False)
    subject = Subject(TARO, post.passwords[TARO], "suspended", nothing, arrives=True)
    steps = proof_of(post, subject)
    assert not any(steps[name] for name in ("submission-barred", "imap-barred", "pop3-barred"))
    deaf = Subject(TARO, post.passwords[TARO], "", Directions(receive=False), arrives=True)
    assert proof_of(post, deaf)["recipient"] is False


def test_of_a_mailbox_that_only_forwards_no_message_leaves_the_house(post: Post) -> None:
    subject = Subject(TARO, post.passwords[TARO], "", Directions(), arrives=False)
    steps = proof_of(post, subject)
    assert steps["recipient"] and "send" not in steps
    assert post.stack.delivered(TARO) == []


def test_our_own_proofs_are_no_trouble_of_the_members(post: Post) -> None:
    assert post.verify(TARO).exit_code == 0
    assert "password" not in post.findings(TARO)


@pytest.mark.req("ISP-17", "ALL-05")
def test_isp_17_why_finds_the_causes_in_the_servers_own_log(post: Post) -> None:
    stack, right = post.stack, post.passwords[SHIRO]
    assert "nobody has tried to use this mailbox" in post.findings(SHIRO)
    for _ in range(2):
        with pytest.raises(imaplib.IMAP4.error):
            stack.imap(SHIRO, "wrong")
    with pytest.raises(poplib.error_proto):
        stack.pop3("shiro", right)
    with stack.submission(SHIRO, right) as client:
        with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)):
            client.sendmail(TARO, [SHIRO], b"Subject: x\r\n\r\nx\r\n")
    stack.wait_for_log(r"pop3-login: .*auth failed.*user=<shiro>")
    stack.wait_for_log(r"not owned by user shiro@")
    answer = post.why(SHIRO)
    told = "\n".join(each["finding"] for each in answer["verdicts"])
    assert "the password was refused 2 time(s) from 127.0.0.1 by IMAP" in told
    assert "the user name was typed without its domain" in told
    assert "a sender that is not the member's own" in told
    assert answer["quota"] == {"used_mb": 0.0, "quota_mb": 5000}
    assert {"at", "protocol", "client", "what", "detail"} == set(answer["events"][0])
    age = datetime.now(TOKYO) - datetime.fromisoformat(answer["events"][0]["at"])
    assert abs(age.total_seconds()) < 60
    stack.imap(SHIRO, right).logout()
    stack.wait_for_log(r"imap-login: .*Login: user=<shiro@")
    assert "refused 2 time(s)" not in post.findings(SHIRO), "it was mended"


@pytest.mark.req("ISP-01")
def test_isp_01_why_names_a_suspension_first_and_the_servers_refusal_of_it(post: Post) -> None:
    post.office.ok("mailbox", "suspend", GORO, "--reason", "unpaid")
    for _ in range(2):
        with pytest.raises(imaplib.IMAP4.error):
            post.stack.imap(GORO, post.passwords[GORO])
    with pytest.raises(smtplib.SMTPAuthenticationError):
        post.stack.submission(GORO, post.passwords[GORO])
    post.stack.wait_for_log(r"imap-login: .*user=<goro@")
    post.stack.wait_for_log(r"authentication failed: unpaid, sasl_username=goro@")
    answer = post.why(GORO)
    assert "suspended fetching and sending (reason: unpaid)" in answer["verdicts"][0]["finding"]
    assert [each["what"] for each in answer["events"][:3]] == ["suspended"] * 3
    assert not any("password was refused" in each["finding"] for each in answer["verdicts"])


def test_why_tells_of_mail_that_was_refused_because_the_mailbox_is_full(post: Post) -> None:
    contract = post.office.ok("mailbox", "list")[0]["contract"]
    post.office.ok("mailbox", "add", FULL, "--contract", contract, "--quota-mb", 1)
    with pytest.raises(smtplib.SMTPException):
        post.stack.receive("a@example.net", [FULL], b"Subject: x\r\n\r\n" + b"x" * 70 * 20_000)
    post.stack.wait_for_log(r"reject: RCPT .*5\.2\.2 .*full@example\.jp")
    answer = post.why(FULL)
    assert "the mailbox is full, mail to it is returned (0.0 of 1 MB)" in str(answer["verdicts"])
    assert (answer["events"][0]["what"], answer["events"][0]["protocol"]) == (
        "mailbox-full",
        "delivery",
    )


def test_dovecot_away_fails_what_needs_it_and_is_waited_for_in_vain_only_once(
    office: Office, tmp_path: Path
) -> None:
    for post in opened(office, tmp_path):
        post.stack.stop_dovecot()
        answer = post.verify(TARO, "--timeout", 2)
        assert answer.exit_code == 1
        steps = steps_of(answer)
        assert not steps["imap-connect"]["ok"] and not steps["pop3-connect"]["ok"]
        assert "refused" in steps["imap-connect"]["detail"].lower()
        assert steps["imap-fetch"]["detail"].startswith("not tried")
        assert not steps["published-imap"]["ok"] and not steps["revoked-password"]["ok"]
        assert office.ok("app-password", "list", TARO) == []
