"""Probable causes by state and events: the truth tables, and that each has its words."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, get_args

import pytest

from isp.calendar import TOKYO
from isp.lifecycle import ContractStatus
from provisioning.mail_log import Event, Protocol, What
from provisioning.mail_verdicts import SENTENCES, Cause, Facts, Kind, Language, causes, told
from provisioning.wanted import NOTHING, RECEIVE_ONLY, Directions, Status

NOW = datetime(2026, 11, 22, 12, tzinfo=TOKYO)
TARO = "taro@example.jp"
HOME, CAFE = "203.0.113.5", "198.51.100.7"
WELL = Facts(
    TARO,
    "active",
    "active",
    Directions(),
    NOW,
    5_000,
    used_mb=10.0,
    servers="IMAP imap.example.jp 993 SSL/TLS",
)


def seen(
    what: What,
    minutes_ago: int = 5,
    client: str = HOME,
    protocol: Protocol = "imap",
    name: str = TARO,
    times: int = 1,
    detail: str = "",
) -> Event:
    names = frozenset([name] if name else [])
    return Event(NOW - timedelta(minutes=minutes_ago), protocol, client, what, detail, names, times)


def kinds(facts: Facts, *events: Event) -> list[Kind]:
    newest_first = sorted(events, key=lambda each: each.at, reverse=True)
    return [each.kind for each in causes(replace(facts, events=tuple(newest_first)))]


# The state

SUSPENDED: dict[str, Any] = {"status": "suspended", "reason": "unpaid"}


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["nothing-seen"]),
        ({"log_read": False}, ["log-unread"]),
        ({"status": "removed", "may": NOTHING, "remove_on": date(2026, 11, 1)}, ["removed"]),
        ({"contract": "suspended", "may": RECEIVE_ONLY}, ["contract-suspended"]),
        (
            {"contract": "suspended", "may": RECEIVE_ONLY, "status": "suspended"},
            ["contract-suspended"],
        ),
        ({**SUSPENDED, "may": RECEIVE_ONLY}, ["suspended"]),
        ({**SUSPENDED, "may": Directions(send=False)}, ["suspended"]),
        ({**SUSPENDED, "may": Directions(receive=False)}, ["receiving-barred"]),
        ({**SUSPENDED, "may": NOTHING}, ["suspended", "receiving-barred"]),
        (
            {"status": "suspended", "may": RECEIVE_ONLY, "remove_on": date(2026, 12, 1)},
            ["removal-planned"],
        ),
        (
            {"contract": "ended", "ended_on": date(2026, 11, 1), "remove_on": date(2026, 12, 1)},
            ["contract-over"],
        ),
        ({"contract": "cancelling"}, ["nothing-seen"]),
        ({"used_mb": 5_000.0}, ["full"]),
        ({"used_mb": 5_001.0}, ["full"]),
        ({"used_mb": 4_750.0}, ["almost-full"]),
        ({"used_mb": 4_749.9}, ["nothing-seen"]),
        ({"used_mb": None}, ["nothing-seen"]),
    ],
)
def test_isp_17_the_state_of_contract_and_mailbox_comes_first(
    changes: dict[str, Any], expected: list[Kind]
) -> None:
    assert kinds(replace(WELL, **changes)) == expected


def test_the_suspension_stands_before_what_follows_from_it() -> None:
    facts = replace(WELL, status="suspended", may=RECEIVE_ONLY)
    assert kinds(facts, seen("suspended"), seen("wrong-password"))[0] == "suspended"


# The log

BARE = seen("wrong-password", name="taro")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([seen("logged-in")], ["well"]),
        ([seen("delivered", client="", protocol="delivery")], ["well"]),
        ([seen("wrong-password")], ["wrong-password"]),
        # Mended: the same place has got in since.
        ([seen("wrong-password", 9), seen("logged-in", 5)], ["well"]),
        ([seen("wrong-password", 9, times=2), seen("logged-in", 5)], ["well"]),
        ([seen("wrong-password", 5), seen("logged-in", 9)], ["wrong-password"]),
        # Another place, or another protocol, mends nothing.
        ([seen("wrong-password", 9), seen("logged-in", 5, CAFE)], ["wrong-password"]),
        (
            [seen("wrong-password", 9), seen("accepted", 5, protocol="submission")],
            ["wrong-password"],
        ),
        # A second program in the same household fails all day while the first gets in.
        ([seen("wrong-password", 9, times=3), seen("logged-in", 5)], ["wrong-password"]),
        # Long ago.
        ([seen("wrong-password", 25 * 60)], ["well"]),
        ([seen("wrong-password", 24 * 60)], ["wrong-password"]),
        # At several places each is named, up to three.
        ([seen("wrong-password"), seen("wrong-password", 6, CAFE)], ["wrong-password"] * 2),
        ([seen("wrong-password", n, f"192.0.2.{n}") for n in range(1, 5)], ["wrong-password"] * 3),
        ([seen("wrong-password", n, f"192.0.2.{n}") for n in range(1, 6)], ["guessed"]),
        # The user name.
        ([BARE], ["bare-name"]),
        ([BARE, seen("wrong-password", 7)], ["bare-name", "wrong-password"]),
        ([seen("wrong-password", 9, name="taro"), seen("logged-in", 5)], ["well"]),
        ([seen("wrong-password", name="")], ["unknown-name"]),
        # TLS, told of a client alone.
        ([seen("no-tls", name="")], ["no-tls"]),
        ([seen("no-tls", 9), seen("logged-in", 5)], ["well"]),
        ([seen("tls-failed", name="")], ["tls-failed"]),
        ([seen("certificate-refused", name="")], ["certificate-refused"]),
        (
            [seen("ssl-instead-of-starttls", protocol="submission", name="")],
            ["ssl-instead-of-starttls"],
        ),
        # Sending.
        ([seen("not-logged-in", protocol="submission")], ["not-logged-in"]),
        ([seen("foreign-sender", protocol="submission")], ["foreign-sender"]),
        (
            [seen("foreign-sender", 9, protocol="submission"), seen("logged-in", 5)],
            ["foreign-sender"],
        ),
        ([seen("sending-limit", protocol="submission")], ["sending-limit"]),
        ([seen("refused", protocol="submission")], ["refused"]),
        ([seen("refused", protocol="delivery")], ["well"]),
        ([seen("bounced", protocol="delivery")], ["bounced"]),
        ([seen("deferred", protocol="delivery")], ["well"]),
        ([seen("throttled")], ["throttled"]),
        ([seen("server-fault", protocol="submission")], ["server-fault"]),
        ([seen("mailbox-full", protocol="delivery")], ["full"]),
        ([seen("mailbox-full", 25 * 60, protocol="delivery")], ["well"]),
    ],
    ids=str,
)
def test_events_lead_to_causes(events: list[Event], expected: list[Kind]) -> None:
    assert kinds(WELL, *events) == expected


@pytest.mark.parametrize(
    ("expired_days_ago", "events", "expected"),
    [
        (1, [seen("wrong-password")], ["wrong-password", "app-password-expired"]),
        (31, [seen("wrong-password")], ["wrong-password"]),
        (1, [seen("logged-in")], ["well"]),
    ],
)
def test_an_app_password_that_has_run_out_explains_a_refusal(
    expired_days_ago: int, events: list[Event], expected: list[Kind]
) -> None:
    expired = (("phone", NOW - timedelta(days=expired_days_ago)),)
    assert kinds(replace(WELL, expired=expired), *events) == expected


# The words


@pytest.mark.req("ALL-05")
def test_all_05_every_cause_has_its_words_in_both_languages() -> None:
    assert set(SENTENCES) == set(get_args(Kind))
    for kind, by_language in SENTENCES.items():
        assert set(by_language) == {"ja", "en"}, kind
        finding, mend = by_language["en"]
        assert finding.isascii() and mend.isascii(), kind
        fields = [
            {name for _, name, _, _ in string.Formatter().parse("".join(pair)) if name}
            for pair in by_language.values()
        ]
        assert fields[0] == fields[1], f"{kind}: both tell the same"


EVERYTHING: list[tuple[Facts, list[Event]]] = [
    (replace(WELL, status="removed", may=NOTHING), []),
    (replace(WELL, contract="ended", ended_on=date(2026, 11, 1)), []),
    (replace(WELL, status="suspended", may=NOTHING), []),
    (replace(WELL, status="suspended", may=RECEIVE_ONLY, remove_on=date(2026, 12, 1)), []),
    (replace(WELL, contract="suspended", may=RECEIVE_ONLY, used_mb=None), [seen("mailbox-full")]),
    (replace(WELL, used_mb=4_900.0), []),
    (WELL, []),
    (WELL, [seen("logged-in")]),
    (WELL, [seen("delivered", client="")]),
    (replace(WELL, log_read=False), []),
    (replace(WELL, expired=(("phone", NOW),)), [seen("wrong-password"), BARE]),
    (WELL, [seen("wrong-password", n, f"192.0.2.{n}") for n in range(1, 6)]),
    (WELL, [seen(what) for what in get_args(What)]),
    (WELL, [seen("wrong-password", name="")]),
    (WELL, [seen("refused", protocol="submission")]),
]


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize(("facts", "events"), EVERYTHING)
def test_every_sentence_can_be_said(facts: Facts, events: list[Event], language: Language) -> None:
    for cause in causes(replace(facts, events=tuple(events))):
        for sentence in told(cause, language):
            assert sentence and "None" not in sentence and "{" not in sentence


def test_every_cause_comes_up_somewhere() -> None:
    found = {
        cause.kind
        for facts, events in EVERYTHING
        for cause in causes(replace(facts, events=tuple(events)))
    }
    assert found == set(get_args(Kind))


def test_what_the_desk_reads_at_the_phone() -> None:
    facts = replace(
        WELL,
        events=(
            seen("wrong-password", 1, times=2),
            seen("wrong-password", 168),
            seen("logged-in", 24 * 60),
        ),
    )
    [cause] = causes(facts)
    assert told(cause, "en") == (
        "the password was refused 3 time(s) from 203.0.113.5 by IMAP since 2026-11-22 09:12; "
        "the last good log-in: 2026-11-21 12:00, IMAP, 203.0.113.5",
        "correct it in the mail program, or issue a new one with `isp mailbox reissue`",
    )
    finding, mend = told(cause, "ja")
    assert "2026-11-22 09:12 から 203.0.113.5 の受信（IMAP）でパスワードが 3 回拒否" in finding
    assert "isp mailbox reissue" in mend


def test_what_would_steer_a_terminal_is_in_no_sentence() -> None:
    facts = replace(WELL, status="suspended", may=RECEIVE_ONLY, reason="unpaid\x1b[2J\n")
    [cause] = causes(facts)
    assert all(sentence.isprintable() for sentence in told(cause, "en"))


@pytest.mark.parametrize("contract", ["applied", "active", "cancelling"])
@pytest.mark.parametrize("status", ["active"])
def test_a_sound_mailbox_is_never_called_suspended(
    contract: ContractStatus, status: Status
) -> None:
    facts = replace(WELL, contract=contract, status=status)
    assert causes(facts) == [Cause("nothing-seen", {"servers": facts.servers})]
