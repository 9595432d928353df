"""What lines of the mail log say: real ones of Dovecot 2.3.19 and Postfix 3.7.11, and hostile ones.

`mail_logs/syslog.log` was written by these servers, a test program having done all that members do
wrong; only the addresses of clients are others.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.calendar import TOKYO
from provisioning import policyd, smtpd
from provisioning.mail_log import LONGEST_DETAIL, Event, event, instant
from provisioning.sending import Reached

NOW = datetime(2026, 11, 22, 12, tzinfo=TOKYO)
LINES = (Path(__file__).parent / "mail_logs" / "syslog.log").read_bytes().splitlines()
TARO = "taro@example.jp"


def real(*words: str) -> bytes:
    """The first real line with these words."""
    return next(line for line in LINES if all(word.encode() in line for word in words))


def read(line: bytes) -> Event | None:
    return event(line, NOW, UTC)


CASES = [
    (["imap-login: Login: user=<taro"], "logged-in", "imap", "203.0.113.5", TARO, 1),
    (["pop3-login: Login: user=<taro"], "logged-in", "pop3", "203.0.113.5", TARO, 1),
    (["imap-login", "auth failed, 1 att", "taro@"], "wrong-password", "imap", "203.0.113.5", TARO, 1),
    (["imap-login", "auth failed, 3 att"], "wrong-password", "imap", "203.0.113.5", TARO, 3),
    (["pop3-login", "auth failed", "TLS"], "wrong-password", "pop3", "203.0.113.5", TARO, 1),
    (["imap-login", "user=<taro>"], "wrong-password", "imap", "203.0.113.5", "taro", 1),
    (["imap-login", "internal failure, 1 succ", "jiro"], "suspended", "imap", "203.0.113.5", "jiro@example.jp", 1),
    (["pop3-login", "internal failure, 1 succ"], "suspended", "pop3", "203.0.113.5", "jiro@example.jp", 1),
    (["imap-login", "in 0 secs): user=<taro@"], "no-tls", "imap", "203.0.113.7", TARO, 1),
    (["pop3-login", "in 0 secs): user=<taro@"], "no-tls", "pop3", "203.0.113.7", TARO, 1),
    (["imap-login", "disallowed plaintext"], "no-tls", "imap", "203.0.113.7", "", 1),
    (["imap-login", "unknown ca"], "certificate-refused", "imap", "203.0.113.5", "", 1),
    (["imap-login", "unsupported protocol"], "tls-failed", "imap", "203.0.113.5", "", 1),
    (["lmtp(taro", "saved mail to INBOX"], "delivered", "delivery", "", TARO, 1),
    (["lmtp(full", "Quota exceeded"], "mailbox-full", "delivery", "", "full@example.jp", 1),
    (["client=", "sasl_username=taro"], "accepted", "submission", "203.0.113.5", TARO, 1),
    (["SASL PLAIN auth", "sasl_username=taro@"], "wrong-password", "submission", "203.0.113.5", TARO, 1),
    (["SASL LOGIN auth", "sasl_username=taro@"], "wrong-password", "submission", "203.0.113.5", TARO, 1),
    (["SASL PLAIN auth", "sasl_username=taro", "taro\n"[:-1]], "wrong-password", "submission", "203.0.113.5", TARO, 1),
    (["Connection lost to auth"], "server-fault", "submission", "203.0.113.5", "taro", 1),
    (["not owned by user"], "foreign-sender", "submission", "203.0.113.5", TARO, 1),
    (["not logged in"], "not-logged-in", "submission", "203.0.113.5", TARO, 1),
    (["5.2.1 <barred"], "refused", "submission", "203.0.113.5", TARO, 1),
    (["5.1.1 <nouser"], "refused", "submission", "203.0.113.5", TARO, 1),
    (["orig_to=<yamada", "status=sent"], "sent", "delivery", "", "yamada@example.jp", 1),
    (["to=<kaeru", "status=deferred"], "deferred", "delivery", "", "kaeru@example.org", 1),
    (["to=<full", "status=bounced"], "mailbox-full", "delivery", "", "full@example.jp", 1),
    (["improper command pipelining"], "ssl-instead-of-starttls", "submission", "203.0.113.7", "", 1),
    (["disconnect", "helo=1 mail=0/1"], "no-tls", "submission", "203.0.113.7", "", 1),
    (["disconnect", "ehlo=1 auth=0/1 mail=0/1"], "no-tls", "submission", "203.0.113.5", "", 1),
    (["SSL_accept error"], "tls-failed", "submission", "203.0.113.5", "", 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "what", "protocol", "client", "name", "times"), CASES, ids=lambda each: str(each)
)
def test_real_lines_say_what_happened(
    words: list[str], what: str, protocol: str, client: str, name: str, times: int
) -> None:
    found = read(real(*words))
    assert found is not None
    assert (found.what, found.protocol, found.client, found.times) == (
        what,
        protocol,
        client,
        times,
    )
    assert name in found.names if name else not found.names


@pytest.mark.parametrize(
    "words",
    [
        ["auth: passwd-file"],
        ["connect from"],
        ["cleanup"],
        ["qmgr"],
        ["Disconnected: Logged out in="],
        ["no auth attempts", "Aborted login by logging out"],
        ["lmtp(", "Connect from local"],
        ["disconnect from", "starttls=1 auth=1 mail=1 rcpt=1 data=1"],
    ],
)
def test_lines_that_say_nothing_of_it_are_left_out(words: list[str]) -> None:
    assert read(real(*words)) is None


def test_nothing_of_a_whole_day_is_taken_for_something_else() -> None:
    """Each line counts once: what Dovecot's auth says of a failure is in the line of the login."""
    found = Counter(each.what for each in map(read, LINES) if each)
    assert found == {
        "accepted": 7,
        "certificate-refused": 1,
        "deferred": 2,
        "delivered": 5,
        "foreign-sender": 2,
        "logged-in": 6,
        "mailbox-full": 2,
        "no-tls": 6,
        "not-logged-in": 1,
        "refused": 3,
        "sent": 5,
        "server-fault": 2,
        "ssl-instead-of-starttls": 1,
        "suspended": 3,
        "tls-failed": 3,
        "wrong-password": 12,
    }


@pytest.mark.parametrize("line", LINES[::3])
def test_both_stamps_of_syslog_say_the_same(line: bytes) -> None:
    _, _, clock, rest = line.split(b" ", 3)
    iso = b"2026-11-22T" + clock + b".123456+00:00 " + rest
    one, other = read(line), read(iso)
    assert (one is None) == (other is None)
    if one and other:
        assert other.at - one.at == timedelta(microseconds=123_456)
        assert (one.what, one.names, one.client) == (other.what, other.names, other.client)


@pytest.mark.parametrize(
    "line",
    [
        b"Nov 22 01:18:10 mail dovecot: imap-login: Info: Disconnected: Connection closed (auth failed,"
        b" 1 attempts in 1 secs): user=<taro@example.jp>, method=PLAIN, rip=203.0.113.5,"
        b" lip=198.51.100.1, TLS: Connection closed, session=<XyMUQNNgTpV/AAAB>",
        b"Nov 22 01:18:10 imap-login: Info: Disconnected: Connection closed (auth failed,"
        b" 1 attempts in 1 secs): user=<taro@example.jp>, method=PLAIN, rip=203.0.113.5,"
        b" lip=198.51.100.1, TLS: Connection closed, session=<XyMUQNNgTpV/AAAB>",
        b"Nov 22 01:18:10 mail dovecot: imap-login: Aborted login (auth failed, 1 attempts in 2 secs):"
        b" user=<taro@example.jp>, method=PLAIN, rip=203.0.113.5, lip=198.51.100.1, TLS",
    ],
)
def test_dovecots_own_file_and_older_versions_say_the_same(line: bytes) -> None:
    found = read(line)
    assert found is not None and found.what == "wrong-password"
    assert found.client == "203.0.113.5" and found.names == {TARO}


@pytest.mark.parametrize(
    ("stamp", "now", "expected"),
    [
        ("Nov 22 09:00:00", "2026-11-22T12:00", "2026-11-22T09:00"),
        ("Nov  2 09:00:00", "2026-11-22T12:00", "2026-11-02T09:00"),
        ("Dec 31 23:59:00", "2026-01-01T00:01", "2025-12-31T23:59"),
        ("Nov 23 09:00:00", "2026-11-22T12:00", "2026-11-23T09:00"),  # a clock that is ahead
        ("Nov 24 09:00:00", "2026-11-22T12:00", "2025-11-24T09:00"),
        ("Feb 29 09:00:00", "2026-11-22T12:00", "2024-02-29T09:00"),
        ("2026-11-22T00:00:00Z", "2026-11-22T12:00", "2026-11-22T09:00"),
        ("2026-11-22T09:00:00.123+0900", "2026-11-22T12:00", "2026-11-22T09:00:00.123"),
        ("2026-11-22T09:00:00", "2026-11-22T12:00", "2026-11-22T09:00"),
        ("Feb 30 09:00:00", "2026-11-22T12:00", None),
        ("Nov 22 25:00:00", "2026-11-22T12:00", None),
        ("2026-13-22T09:00:00", "2026-11-22T12:00", None),
        ("yesterday", "2026-11-22T12:00", None),
    ],
)
def test_stamps_without_a_year_are_of_the_last_one(
    stamp: str, now: str, expected: str | None
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=TOKYO)
    wanted = expected and datetime.fromisoformat(expected).replace(tzinfo=TOKYO)
    assert instant(f"{stamp} mail x: y", at, TOKYO) == (wanted or None)


def test_stamps_without_a_zone_are_of_the_machines() -> None:
    line = "Nov 22 01:00:00 mail x: y"
    assert instant(line, NOW, UTC) == instant(line.replace("01", "10", 1), NOW, TOKYO)
    west = timezone(timedelta(hours=-8))
    assert instant(line, NOW, west) == datetime(2026, 11, 22, 18, tzinfo=TOKYO)


# The embedded servers

VALUES = {
    "client": "2001:db8::5",
    "login": TARO,
    "queue_id": "0123456789ABCDEF",
    "recipients": 3,
    "size": 1_234,
    "reply": "550 5.1.1 <x@example.jp> There is no such mailbox",
    "host": "127.0.0.1",
    "port": 587,
    "place": "inet:127.0.0.1:10031",
    "why": "OperationalError",
}
TOLD = {
    "logged_in": "logged-in",
    "wrong_password": "wrong-password",
    "unknown_login": "wrong-password",
    "throttled": "throttled",
    "suspended": "suspended",
    "accepted": "accepted",
    "not_taken": "refused",
    "refused": "refused",
    "no_tls": "tls-failed",
}
SENTENCES = [
    (name, sentence)
    for events in (smtpd.EVENTS, policyd.EVENTS)
    for name, sentences in events.items()
    for sentence in sentences
]


@pytest.mark.parametrize(("name", "sentence"), SENTENCES)
@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-22 01:00:00,123 INFO ",
        "Nov 22 01:00:00 mail isp[99]: 2026-11-22 01:00:00,123 WARNING ",
        "2026-11-22T01:00:00.123456+00:00 mail isp[99]: ",
    ],
)
def test_the_embedded_servers_events_are_known_in_both_languages(
    name: str, sentence: str, stamp: str
) -> None:
    """Whatever these servers tell of a login or a refusal, in the words that they have today."""
    found = read((stamp + sentence.format(**VALUES)).encode())
    if name not in TOLD:
        assert found is None
        return
    assert found is not None and found.what == TOLD[name]
    assert found.client == ("2001:db8::5" if "{client}" in sentence else "")
    assert found.names == ({TARO} if "{login}" in sentence else set())
    assert found.at.replace(microsecond=0) == datetime(2026, 11, 22, 10, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        ("553 5.7.1 <x@example.jp> is not your address", "foreign-sender"),
        ("452 4.7.1 " + Reached(200, "hour").told, "sending-limit"),
        ("452 4.7.1 " + Reached(1_000, "day").told, "sending-limit"),
        ("550 5.1.1 <x@example.jp> There is no such mailbox", "refused"),
    ],
)
@pytest.mark.parametrize("language", [0, 1])
def test_why_a_mail_was_refused_is_in_the_reply(reply: str, what: str, language: int) -> None:
    sentence = smtpd.EVENTS["refused"][language].format(**(VALUES | {"reply": reply}))
    found = read(f"2026-11-22 01:00:00,123 INFO {sentence}".encode())
    assert found is not None and found.what == what and found.names == {TARO}
    line = real("Too many recipients").replace(b"Too many recipients", reply[10:].encode())
    other = read(line)
    assert other is not None
    assert what != "sending-limit" or other.what == what


@pytest.mark.parametrize(
    ("why", "what"),
    [
        ("(reason unavailable)", "wrong-password"),
        ("UGFzc3dvcmQ6", "wrong-password"),
        ("authentication failure", "wrong-password"),
        ("unpaid", "suspended"),
        ("Sending is suspended: call 0120-000-000", "suspended"),
        ("Connection lost to authentication server", "server-fault"),
        ("Temporary authentication failure", "server-fault"),
    ],
)
def test_why_postfix_refuses_a_log_in(why: str, what: str) -> None:
    line = real("SASL PLAIN auth", "sasl_username=taro@")
    found = read(line.replace(b"(reason unavailable)", why.encode()))
    assert found is not None and found.what == what and found.names == {TARO}


# Hostile lines


def test_a_name_that_looks_like_the_rest_of_a_line_forges_nothing() -> None:
    told = "Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): "
    forged = "x>, method=PLAIN, rip=198.51.100.66, lip=1.1.1.1, TLS, user=<taro@example.jp"
    tail = ", method=PLAIN, rip=203.0.113.5, lip=198.51.100.1, TLS, session=<a>"
    line = f"Nov 22 01:00:00 mail dovecot: imap-login: {told}user=<{forged}>{tail}"
    found = read(line.encode())
    assert found is not None
    assert found.client == "203.0.113.5" and found.names == {"x"}
    login = "Login: user=<taro@example.jp>, method=PLAIN, rip=198.51.100.66, TLS"
    refused = f"Nov 22 01:00:00 mail dovecot: imap-login: {told}user=<{login}>{tail}"
    assert (other := read(refused.encode())) is not None and other.what == "wrong-password"


def test_what_would_steer_a_terminal_is_not_in_a_detail() -> None:
    line = real("5.1.1 <nouser").replace(b"User unknown", b"\x1b[2J\xff\xfeUser\x00unknown")
    found = read(line)
    assert found is not None and found.detail.isprintable()
    long = read(real("5.1.1 <nouser").replace(b"User unknown", b"x" * 5_000))
    assert long is not None and len(long.detail) <= LONGEST_DETAIL


PIECES = [
    *(
        re.escape(word)
        for word in ("user=<", ">", "[", "]", ": ", "rip=", "client=", "status=sent (")
    ),
    *("Nov 22 01:00:00 mail ", "postfix/submission/smtpd[1]: ", "dovecot: imap-login: ", "to=<"),
    *("NOQUEUE: reject: RCPT from ", "warning: ", "disconnect from ", " auth=0/1", "; from=<"),
]


@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=30), st.binary(max_size=99)
)
def test_no_line_whatever_raises(pieces: list[str], noise: bytes) -> None:
    line = "".join(pieces).encode("utf-8", "surrogatepass") + noise
    for each in (line, b"Nov 22 01:00:00 mail postfix/submission/smtpd[1]: " + line):
        found = read(each)
        assert found is None or (found.detail.isprintable() and found.times >= 0)


@pytest.mark.parametrize("filler", [b"a" * 8_000, b" x=y" * 2_000, b"[" * 8_000, b"<>," * 2_600])
@pytest.mark.parametrize(
    "head",
    [
        b"postfix/submission/smtpd[1]: NOQUEUE: reject: RCPT from a[1.1.1.1]: 550 ",
        b"postfix/submission/smtpd[1]: ABCDEF: client=a[1.1.1.1]",
        b"postfix/submission/smtpd[1]: disconnect from a[1.1.1.1]",
        b"postfix/smtp[1]: ABCDEF: to=<a@example.jp>, ",
        b"dovecot: imap-login: ",
        b"isp[1]: 203.0.113.5: ",
    ],
)
def test_no_line_costs_more_than_its_length(head: bytes, filler: bytes) -> None:
    import time

    begun = time.perf_counter()
    for _ in range(20):
        read(b"Nov 22 01:00:00 mail " + head + filler)
    assert time.perf_counter() - begun < 1
