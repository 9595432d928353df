"""Aliases, forwarding, catch-all and app passwords of mailboxes, as runs of the office."""

from __future__ import annotations

from datetime import timedelta

import pytest
from members import CONTRACT, MakeDay, conclude, shift_of
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import history
from isp.tables import Journal
from provisioning.passwords import digest_of, generate_app_password
from provisioning.runs import app_passwords as runs
from provisioning.runs.aliases import add_alias, aliases, remove_alias, set_catch_all
from provisioning.runs.app_passwords import (
    add_app_password,
    app_password_json,
    app_passwords,
    revoke_app_password,
)
from provisioning.runs.mailboxes import (
    add_mailbox,
    forward,
    forwarding_json,
    reissue,
    remove,
    suspend,
)
from provisioning.tables import AppPassword

TARO, HANAKO, JIRO = "taro@example.jp", "hanako@example.jp", "jiro@example.jp"
OTHER = "K00000002"


@pytest.fixture
def mailboxes(database: Engine, day: MakeDay) -> Engine:
    """Taro and Hanako of one contract, Jiro of another."""
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        conclude(session, OTHER)
        for address, contract in ((TARO, CONTRACT), (HANAKO, CONTRACT), (JIRO, OTHER)):
            add_mailbox(session, shift, address, contract)
        session.commit()
    return database


def test_an_alias_belongs_to_its_contract_for_ever(mailboxes: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        alias = add_alias(session, shift, " Info@Example.JP ", TARO)
        assert (alias.address, alias.mailbox.address) == ("info@example.jp", TARO)
        with pytest.raises(Refused, match="info@example.jp is an alias: its mailbox is taro@"):
            aliases(session, "INFO@example.jp")
        with pytest.raises(Refused, match="in use"):
            add_alias(session, shift, "info@example.jp", JIRO)
        with pytest.raises(Refused, match="in use"):
            add_alias(session, shift, HANAKO, TARO)
        with pytest.raises(Refused, match="in use"):
            add_mailbox(session, shift, "info@example.jp", OTHER)
        remove_alias(session, shift, "info@example.jp")
        with pytest.raises(Refused, match="removed already"):
            remove_alias(session, shift, "info@example.jp")
        with pytest.raises(Refused, match="in use"):
            add_alias(session, shift, "info@example.jp", JIRO)
        back = add_alias(session, shift, "info@example.jp", HANAKO)
        assert (back.id, back.status, back.mailbox.address) == (alias.id, "active", HANAKO)
        assert [each.address for each in aliases(session)] == ["info@example.jp"]
        assert aliases(session, TARO) == []
        acts = [entry.act for entry in history(session, TARO)]
        assert acts == ["mailbox.added", "mailbox.alias-added", "mailbox.alias-removed"]


@pytest.mark.parametrize(
    ("alias", "to", "field", "why"),
    [
        ("info@example.net", TARO, "address", "no mail domain of ours"),
        ("../x@example.jp", TARO, "address", "before the @"),
        ("info", TARO, "address", "@"),
        ("postmaster@example.jp", TARO, "address", "postmaster"),
        ("info@example.jp", "nobody@example.jp", "address", "no mailbox"),
    ],
)
def test_all_04_an_alias_that_cannot_be_is_refused(
    mailboxes: Engine, day: MakeDay, alias: str, to: str, field: str, why: str
) -> None:
    with Session(mailboxes) as session:
        with pytest.raises(Refused, match=why) as refused:
            add_alias(session, shift_of(day("2026-04-10")), alias, to)
        assert refused.value.field == field


def test_a_mailbox_has_so_many_aliases_and_no_more(mailboxes: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        for number in range(shift.policy.platform.aliases):
            add_alias(session, shift, f"a{number}@example.jp", TARO)
        with pytest.raises(Refused, match="5 aliases of at most 5"):
            add_alias(session, shift, "more@example.jp", TARO)
        remove_alias(session, shift, "a0@example.jp")
        add_alias(session, shift, "more@example.jp", TARO)


def test_forwarding_is_set_shown_and_ended(mailboxes: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        taro = forward(session, shift, TARO, ["b..@Docomo.example", "A@example.com", TARO])
        assert forwarding_json(session, taro) == {
            "forwards_to": ["A@example.com", "b..@docomo.example"],
            "keeps_copy": True,
        }
        taro = forward(session, shift, TARO, [])
        assert forwarding_json(session, taro) == {"forwards_to": [], "keeps_copy": True}
        with pytest.raises(Refused, match="at most 5"):
            forward(session, shift, TARO, [f"{n}@example.com" for n in range(6)])
        with pytest.raises(Refused, match="needs somewhere to go"):
            forward(session, shift, TARO, [], keeps_copy=False)
        for keeps_copy in (True, False):
            with pytest.raises(Refused, match="is the mailbox itself"):
                forward(session, shift, TARO, [TARO], keeps_copy=keeps_copy)
        last = history(session, TARO)[-1]
        assert (last.act, last.before) == (
            "mailbox.forwarding-set",
            {"forwards_to": ["A@example.com", "b..@docomo.example"], "keeps_copy": True},
        )


@pytest.mark.parametrize(
    "to",
    [
        "nobody",
        "@example.com",
        "a b@example.com",
        "a,b@example.com",
        '"a b"@example.com',
        "|/bin/sh@example.com",
        "-x@example.com",
        "a@b",
        "日本@example.com",
        "x" * 65 + "@example.com",
        "a@example.com\n",
        "a%b@example.com",
    ],
)
def test_all_04_mail_is_forwarded_to_addresses_and_to_nothing_else(
    mailboxes: Engine, day: MakeDay, to: str
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        if to.endswith("\n"):  # white space around it is nobody's fault
            assert forwarding_json(session, forward(session, shift, TARO, [to]))["forwards_to"]
            return
        with pytest.raises(Refused) as refused:
            forward(session, shift, TARO, [to])
        assert refused.value.field == "to"


def test_mail_never_goes_round_in_a_circle(mailboxes: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        add_alias(session, shift, "info@example.jp", HANAKO)
        forward(session, shift, TARO, ["info@example.jp"], keeps_copy=False)
        forward(session, shift, HANAKO, [JIRO], keeps_copy=False)
        with pytest.raises(Refused, match="round for ever"):
            forward(session, shift, JIRO, ["x@example.com", TARO.upper()], keeps_copy=False)
        forward(session, shift, JIRO, [TARO])  # with a copy it comes to rest


def test_a_catch_all_is_a_mailbox_of_its_domain(mailboxes: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        assert set_catch_all(session, shift, "Example.jp", TARO)["catch_all"] == TARO
        assert set_catch_all(session, shift, "example.jp", HANAKO)["catch_all"] == HANAKO
        assert set_catch_all(session, shift, "example.jp", None)["catch_all"] is None
        assert set_catch_all(session, shift, "example.jp", None)["catch_all"] is None
        with pytest.raises(Refused, match="no mail domain"):
            set_catch_all(session, shift, "example.net", TARO)
        with pytest.raises(Refused, match="no mailbox"):
            set_catch_all(session, shift, "example.jp", "x@example.jp")


def test_isp_01_an_app_password_is_shown_once_and_kept_as_a_digest(
    mailboxes: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        added, password = add_app_password(session, shift, TARO, " Phone ", timedelta(days=30))
        assert added.digest == digest_of(password)
        assert app_password_json(added, shift.day.now) == {
            "address": TARO,
            "name": "Phone",
            "created_at": shift.day.now,
            "expires_at": shift.day.now + timedelta(days=30),
            "expired": False,
        }
        assert app_password_json(added, shift.day.now + timedelta(days=30))["expired"]
        with pytest.raises(Refused, match="has an app password 'phone'"):
            add_app_password(session, shift, TARO, "phone")
        session.flush()
        kept = [f"{entry.before}{entry.after}" for entry in session.scalars(select(Journal))]
        assert not [text for text in kept if password in text or added.digest in text]


def test_app_passwords_are_few_named_and_taken_back_one_by_one(
    mailboxes: Engine, day: MakeDay
) -> None:
    shift, later = shift_of(day("2026-04-10")), shift_of(day("2026-05-10"))
    with Session(mailboxes) as session:
        for number in range(10):
            add_app_password(session, shift, TARO, f"device {number}", timedelta(days=9))
        with pytest.raises(Refused, match="10 app passwords of at most 10"):
            add_app_password(session, shift, TARO, "more")
        add_app_password(session, later, TARO, "more")  # the others have expired
        revoke_app_password(session, later, TARO, "Device 3")
        with pytest.raises(Refused, match="no app password 'device 3'"):
            revoke_app_password(session, later, TARO, "device 3")
        assert len(app_passwords(session, TARO)) == 10
        for wrong in ("", "a\nb"):
            with pytest.raises(Refused):
                add_app_password(session, later, HANAKO, wrong)
        with pytest.raises(Refused, match="expired already"):
            add_app_password(session, later, HANAKO, "x", timedelta())


def test_app_passwords_of_a_mailbox_are_told_apart_by_four_digits(
    mailboxes: Engine, day: MakeDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = shift_of(day("2026-04-10"))
    alike = iter(alike_by_digest())
    monkeypatch.setattr(runs, "generate_app_password", lambda: next(alike))
    with Session(mailboxes) as session:
        first, _ = add_app_password(session, shift, TARO, "phone")
        second, _ = add_app_password(session, shift, TARO, "tablet")
        assert first.digest[:4] != second.digest[:4]
        assert next(alike, None) is None, "the one that began alike was thrown away"


def alike_by_digest() -> tuple[str, str, str]:
    """Two whose digests begin with the same four digits, and another."""
    seen: dict[str, str] = {}
    for number in range(100_000):
        first = seen.setdefault(digest_of(str(number))[:4], str(number))
        if first != str(number):
            return first, str(number), "another"
    raise AssertionError("no such pair")


@pytest.mark.parametrize("how", ["reissue", "remove"])
def test_isp_01_a_new_password_ends_all_app_passwords(
    mailboxes: Engine, day: MakeDay, how: str
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(mailboxes) as session:
        add_app_password(session, shift, TARO, "phone")
        add_app_password(session, shift, HANAKO, "phone")
        if how == "reissue":
            reissue(session, shift, TARO)
            after = history(session, TARO)[-1].after
            assert after == {"password_hash": "***", "app_passwords_dropped": ["phone"]}
        else:
            remove(session, shift, TARO, at_once=True)
        left = session.scalars(select(AppPassword)).all()
        assert [each.mailbox.address for each in left] == [HANAKO]


def test_an_app_password_has_ninety_bits_and_nothing_to_mistake() -> None:
    made = {generate_app_password() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(each) for each in made} == {24}
    assert set("".join(made)) == set("abcdefghijkmnpqrstuvwxyz-")


@pytest.mark.parametrize("reason", ["a\nb", "x" * 201, "a\x1b[31m"])
def test_all_04_a_reason_is_one_line_that_servers_can_say(
    mailboxes: Engine, day: MakeDay, reason: str
) -> None:
    with Session(mailboxes) as session:
        with pytest.raises(Refused, match="reason"):
            suspend(session, shift_of(day("2026-04-10")), TARO, reason)
