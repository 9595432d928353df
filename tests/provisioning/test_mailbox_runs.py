"""Mailboxes opened, re-issued, suspended, resumed and removed, and what the night makes of them."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import history
from isp.lifecycle import ContractStatus
from isp.tables import Journal, Outbox
from provisioning.passwords import verify
from provisioning.queries import domains, mailbox_named, mailboxes
from provisioning.runs.mailboxes import (
    add_domain,
    add_mailbox,
    mailbox_json,
    reissue,
    remove,
    resume,
    suspend,
)
from provisioning.runs.nightly import BARRING, Night, reconcile
from provisioning.tables import DEAD, Mailbox

TARO = "taro@example.jp"


def test_a_domain_is_served_once_under_its_stored_form(database: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        add_domain(session, shift, "Example.JP")
        add_domain(session, shift, "日本語.jp")
        with pytest.raises(Refused, match="example.jp is served already"):
            add_domain(session, shift, "example.jp")
        assert [domain.name for domain in domains(session)] == ["example.jp", "xn--wgv71a119e.jp"]
        assert [entry.act for entry in history(session, "example.jp")] == ["domain.added"]


def test_isp_01_a_password_is_shown_once_and_kept_as_a_hash(database: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        mailbox, password = add_mailbox(session, shift, " Taro@Example.JP ", CONTRACT)
        session.commit()
        session.refresh(mailbox)
        assert verify(password, mailbox.password_hash)
        assert mailbox_json(mailbox) == {
            "address": TARO,
            "contract": CONTRACT,
            "display_name": "会員 00000001",
            "quota_mb": 5000,
            "status": "active",
            "suspended_by": "",
            "reason": "",
            "remove_on": None,
            "barred": [],
        }
        assert_no_secret(session, password, mailbox.password_hash)


def assert_no_secret(session: Session, *secrets: str) -> None:
    """Neither journal nor outbox carries any of these."""
    kept = [f"{entry.before}{entry.after}" for entry in session.scalars(select(Journal))]
    sent = [entry.message.decode("utf-8", "replace") for entry in session.scalars(select(Outbox))]
    assert not [text for text in kept + sent for secret in secrets if secret in text]


@pytest.mark.parametrize(
    ("address", "contract", "quota_mb", "field", "why"),
    [
        ("taro", CONTRACT, None, "address", "no @"),
        ("postmaster@example.jp", CONTRACT, None, "address", "RFC 2142"),
        ("taro@example.com", CONTRACT, None, "address", "isp domain add example.com"),
        ("hanako@example.jp", CONTRACT, None, "address", "in use"),
        ("gone@example.jp", CONTRACT, None, "address", "was removed"),
        (TARO, "K00000009", None, "contract", "no contract"),
        (TARO, "K00000002", None, "contract", "ended since 2026-03-31"),
        (TARO, "K00000003", None, "contract", "withdrawn since 2026-04-05"),
        (TARO, "K00000004", None, "contract", "1 of the 1 mailboxes of plan P00000004"),
        (TARO, CONTRACT, 0, "quota_mb", "1 and 1000000"),
        (TARO, CONTRACT, 1_000_001, "quota_mb", "1 and 1000000"),
    ],
)
def test_all_04_a_mailbox_is_refused_by_field_and_rule(
    database: Engine,
    day: MakeDay,
    address: str,
    contract: str,
    quota_mb: int | None,
    field: str,
    why: str,
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session, mailboxes=3)
        conclude(session, "K00000002", "ended", ended_on=date(2026, 3, 31))
        conclude(session, "K00000003", "withdrawn", ended_on=date(2026, 4, 5))
        conclude(session, "K00000004", mailboxes=1)
        for taken, held in (("hanako", CONTRACT), ("gone", CONTRACT), ("one", "K00000004")):
            add_mailbox(session, shift, f"{taken}@example.jp", held)
        remove(session, shift, "gone@example.jp", at_once=True)
        session.flush()
        before = session.scalars(select(Journal.id)).all()
        with pytest.raises(Refused, match=why) as refused:
            add_mailbox(session, shift, address, contract, quota_mb=quota_mb)
        assert refused.value.field == field
        assert session.scalars(select(Journal.id)).all() == before


def test_a_mailbox_of_a_suspended_contract_opens_suspended(database: Engine, day: MakeDay) -> None:
    with Session(database) as session:
        conclude(session, status="suspended")
        mailbox, _ = add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
        assert (mailbox.status, mailbox.suspended_by) == ("suspended", "contract")


def test_isp_01_a_reissued_password_kills_the_old_one(database: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        _, old = add_mailbox(session, shift, TARO, CONTRACT)
        mailbox, new = reissue(session, shift, TARO)
        assert new != old
        assert verify(new, mailbox.password_hash) and not verify(old, mailbox.password_hash)
        _, newest = reissue(session, shift, TARO)
        session.flush()
        notices = session.scalars(select(Outbox)).all()
        assert [notice.kind for notice in notices] == ["mailbox-password-reissued"] * 2
        assert {notice.recipient for notice in notices} == {"member00000001@example.net"}
        acts = [entry.act for entry in history(session, TARO)]
        assert acts == ["mailbox.added", *["mailbox.password-reissued"] * 2]
        assert_no_secret(session, old, new, newest, mailbox.password_hash)


def test_an_operators_suspension_outlasts_that_of_the_contract(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        mailbox = suspend(session, shift, TARO, "大量送信")
        assert (mailbox.status, mailbox.suspended_by, mailbox.reason) == (
            "suspended",
            "operator",
            "大量送信",
        )
        with pytest.raises(Refused, match="suspended already"):
            suspend(session, shift, TARO)
        for status in ("suspended", "active"):
            becomes(session, status)
            assert reconcile(session, shift).acts == {}
        assert resume(session, shift, TARO).status == "active"
        with pytest.raises(Refused, match="nothing to resume"):
            resume(session, shift, TARO)


def test_while_the_contract_is_suspended_the_desk_lifts_its_own_suspension_only(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        suspend(session, shift, TARO)
        becomes(session, "suspended")
        mailbox = resume(session, shift, TARO)
        assert (mailbox.status, mailbox.suspended_by) == ("suspended", "contract")
        with pytest.raises(Refused, match="resume with it"):
            resume(session, shift, TARO)
        becomes(session, "active")
        assert reconcile(session, shift) == Night(Counter({"mailbox.resumed": 1}))


def test_a_removed_mailbox_comes_back_within_the_grace_and_never_after(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session, mailboxes=1)
        add_mailbox(session, shift, TARO, CONTRACT)
        mailbox = remove(session, shift, TARO)
        assert (mailbox.status, mailbox.remove_on) == ("suspended", date(2026, 5, 10))
        with pytest.raises(Refused, match="on 2026-05-10 already"):
            remove(session, shift, TARO)
        assert resume(session, shift, TARO).remove_on is None
        remove(session, shift, TARO)
        assert reconcile(session, shift_of(day("2026-05-09"))).acts == {}
        removed = Night(Counter({"mailbox.removed": 1}), barred=(TARO,))
        assert reconcile(session, shift_of(day("2026-05-10"))) == removed
        assert reconcile(session, shift_of(day("2026-05-10"))) == Night(Counter())
        session.expire_all()
        assert (mailbox.status, mailbox.password_hash) == ("removed", DEAD)
        for act in (resume, reissue, remove, suspend):
            with pytest.raises(Refused, match="has been removed"):
                act(session, shift, TARO)


def test_a_mailbox_on_its_way_out_leaves_its_place_in_the_plan(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session, mailboxes=1)
        add_mailbox(session, shift, TARO, CONTRACT)
        remove(session, shift, TARO)
        add_mailbox(session, shift, "jiro@example.jp", CONTRACT)
        with pytest.raises(Refused, match="1 of the 1"):
            resume(session, shift, TARO)
        assert remove(session, shift, TARO, at_once=True).status == "removed"


def test_all_02_the_night_follows_the_contract_and_may_be_missed(
    database: Engine, day: MakeDay
) -> None:
    with Session(database) as session:
        conclude(session)
        mailbox, _ = add_mailbox(session, shift_of(day("2026-04-10")), TARO, CONTRACT)
        nights: list[tuple[ContractStatus, date | None, str, dict[str, int], str]] = [
            ("suspended", None, "2026-05-01", {"mailbox.suspended": 1}, "suspended"),
            ("active", None, "2026-05-02", {"mailbox.resumed": 1}, "active"),
            ("cancelling", None, "2026-05-03", {}, "active"),
            (
                "ended",
                date(2026, 5, 31),
                "2026-06-01",
                {"mailbox.removal-scheduled": 1},
                "active",
            ),
            ("ended", date(2026, 5, 31), "2026-06-29", {}, "active"),
            ("ended", date(2026, 5, 31), "2026-06-30", {"mailbox.removed": 1}, "removed"),
        ]
        for status, ended_on, today, done, left in nights:
            becomes(session, status, ended_on)
            shift = shift_of(day(today))
            night = reconcile(session, shift)
            assert night.acts == done
            assert night.barred == ((TARO,) if done.keys() & BARRING else ())
            assert reconcile(session, shift).acts == {}
            session.expire_all()
            assert mailbox.status == left
        acts = [entry.act for entry in history(session, TARO)]
        assert acts == ["mailbox.added", *[act for night in nights for act in night[3]]]
        last = history(session, TARO)[-1]
        assert last.before == {
            "status": "active",
            "suspended_by": "",
            "remove_on": "2026-06-30",
            "reason": "",
            "may_fetch": True,
            "may_send": True,
            "may_receive": True,
        }


def test_isp_01_an_operator_lists_mailboxes_by_contract_domain_and_status(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        conclude(session, "K00000002")
        add_domain(session, shift, "example.net")
        for address, contract in (
            ("b@example.jp", CONTRACT),
            ("a@example.net", CONTRACT),
            ("c@example.jp", "K00000002"),
        ):
            add_mailbox(session, shift, address, contract)
        suspend(session, shift, "c@example.jp")

        def listed(found: list[Mailbox]) -> str:
            return " ".join(mailbox.address.partition("@")[0] for mailbox in found)

        assert listed(mailboxes(session)) == "a b c"
        assert listed(mailboxes(session, contract=CONTRACT)) == "a b"
        assert listed(mailboxes(session, domain="example.jp")) == "b c"
        assert listed(mailboxes(session, status="active")) == "a b"
        with pytest.raises(Refused, match="no contract"):
            mailboxes(session, contract="K00000009")
        with pytest.raises(Refused, match="no mailbox 'd@example.jp'"):
            mailbox_named(session, "d@example.jp")
