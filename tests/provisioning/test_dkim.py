"""Keys that sign mail: one takes over from another over days, one signs at a time, none is shown."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from members import MakeDay
from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from isp import sealing
from isp.calendar import Day
from isp.errors import Refused
from isp.journal import history
from isp.policy import parse, profile_text
from isp.shift import Shift
from isp.tables import Journal
from provisioning.dkim import (
    MOVES,
    STATES,
    Key,
    KeyState,
    Move,
    Pace,
    key_text,
    move,
    moves_due,
    new_selector,
    next_move,
)
from provisioning.runs.domains import (
    advance_keys,
    hand_out_key,
    key_json,
    keys_of,
    published,
    rotate,
)
from provisioning.runs.mailboxes import add_domain
from provisioning.tables import DkimKey

PACE = Pace(publish_days=3, retire_days=14)
START = date(2026, 4, 1)
WAY: tuple[tuple[KeyState, KeyState], ...] = (
    ("published", "signing"),
    ("signing", "retired"),
    ("retired", "removed"),
)


@pytest.mark.parametrize("now", STATES)
@pytest.mark.parametrize("to", STATES)
def test_a_key_goes_one_way_only(now: KeyState, to: KeyState) -> None:
    if (now, to) in WAY:
        assert move("s1", now, to) == to
    else:
        with pytest.raises(Refused, match=f"^state: key s1 is {now} and cannot become {to}"):
            move("s1", now, to)
    assert set(MOVES) == set(STATES)


def on(day: int) -> date:
    return START + timedelta(days=day)


OLD, NEW = Key("old", "signing", on(-100)), Key("new", "published", START)


@pytest.mark.parametrize(
    ("keys", "today", "moves"),
    [
        ((), on(0), ()),
        ((NEW,), on(2), ()),
        ((NEW,), on(3), (Move("new", "signing"),)),
        ((NEW,), on(30), (Move("new", "signing"),)),
        ((OLD,), on(1000), ()),
        ((OLD, NEW), on(2), ()),
        ((OLD, NEW), on(3), (Move("old", "retired"), Move("new", "signing"))),
        ((NEW, OLD), on(3), (Move("old", "retired"), Move("new", "signing"))),
        ((Key("old", "retired", START), Key("new", "signing", START)), on(13), ()),
        (
            (Key("old", "retired", START), Key("new", "signing", START)),
            on(14),
            (Move("old", "removed"),),
        ),
        ((Key("old", "removed", START),), on(1000), ()),
    ],
)
def test_what_is_due_follows_from_the_days(
    keys: tuple[Key, ...], today: date, moves: tuple[Move, ...]
) -> None:
    assert moves_due(keys, today, PACE) == moves


def test_what_comes_next_and_when() -> None:
    assert next_move(NEW, PACE) == ("signing", on(3))
    assert next_move(Key("old", "retired", START), PACE) == ("removed", on(14))
    assert next_move(OLD, PACE) is None
    assert next_move(Key("old", "removed", START), PACE) is None


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ((OLD, NEW), "new is published and will be signing from 2026-04-04 on"),
        ((Key("old", "retired", START),), "old is retired and will be removed from 2026-04-15 on"),
        ((Key("s20260401", "removed", START),), "has had a key s20260401"),
    ],
)
def test_all_04_no_change_begins_before_the_last_has_ended(keys: tuple[Key, ...], why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        new_selector("example.jp", keys, START, PACE)
    assert refused.value.field == "domain"
    assert new_selector("example.jp", (OLD,), START, PACE) == "s20260401"


def _advanced(keys: dict[str, Key], today: date, pace: Pace) -> Iterator[Move]:
    for step in moves_due(keys.values(), today, pace):
        was = keys[step.selector]
        keys[step.selector] = Key(step.selector, move(step.selector, was.state, step.to), today)
        yield step


@given(
    st.builds(Pace, st.integers(1, 5), st.integers(1, 5)),
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=60),
)
def test_one_key_signs_at_a_time_and_verifiers_always_find_it(
    pace: Pace, days: list[tuple[int, bool]]
) -> None:
    """However seldom the daily run comes, and however often a change is asked for."""
    keys: dict[str, Key] = {}
    today, has_signed = START, False
    for later, asked in days:
        today += timedelta(days=later)
        for step in list(_advanced(keys, today, pace)):
            has_signed = has_signed or step.to == "signing"
        assert list(_advanced(keys, today, pace)) == []
        if asked:
            try:
                selector = new_selector("example.jp", keys.values(), today, pace)
            except Refused:
                pass
            else:
                assert selector not in keys
                keys[selector] = Key(selector, "published", today)
        states = [key.state for key in keys.values()]
        assert states.count("signing") == int(has_signed)
        assert len(states) - states.count("removed") <= 2


def test_a_key_is_published_whole_and_early_enough() -> None:
    """From its publication to its removal every signature can be verified."""
    keys = {"old": OLD, "new": NEW}
    moved = {
        (step.selector, step.to): day
        for day in range(40)
        for step in _advanced(keys, on(day), PACE)
    }
    assert moved == {("old", "retired"): 3, ("new", "signing"): 3, ("old", "removed"): 17}


# Runs


@pytest.fixture
def shift(tmp_path: Path, day: MakeDay) -> Shift:
    """The default profile with a real key file; `at` gives the same on another day."""
    sealing.make_key(tmp_path / "isp.key")
    return Shift(parse(profile_text("consumer-isp")), day("2026-04-01"), "desk", tmp_path)


def at(shift: Shift, day: int) -> Shift:
    later = timedelta(days=day)
    return replace(shift, day=Day(shift.day.today + later, shift.day.now + later))


def states(session: Session) -> dict[str, str]:
    return {key.selector: key.state for key in keys_of(session, "example.jp")}


def test_all_02_keys_change_over_days_each_step_once(database: Engine, shift: Shift) -> None:
    seen = {}
    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        add_domain(session, shift, "example.com")
        rotate(session, shift, "example.jp")
        rotate(session, at(shift, 1), "example.com")
        for day in range(130):
            if day == 100:
                rotate(session, at(shift, day), "Example.JP")
            done = advance_keys(session, at(shift, day))
            session.commit()
            assert advance_keys(session, at(shift, day)) == 0
            if done:
                seen[day] = (done, states(session))
    assert seen == {
        3: (1, {"s20260401": "signing"}),
        4: (1, {"s20260401": "signing"}),  # that of the other domain
        103: (2, {"s20260401": "retired", "s20260710": "signing"}),
        117: (1, {"s20260401": "removed", "s20260710": "signing"}),
    }


def test_all_03_every_step_is_in_the_journal_and_no_secret_is(
    database: Engine, shift: Shift
) -> None:
    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        rotate(session, shift, "example.jp")
        advance_keys(session, at(shift, 3))
        key = hand_out_key(session, at(shift, 4), "example.jp")
        rotate(session, at(shift, 5), "example.jp")
        advance_keys(session, at(shift, 8))
        advance_keys(session, at(shift, 22))
        assert [entry.act for entry in history(session, "example.jp")] == [
            "domain.added",
            "dkim.published",
            "dkim.signing",
            "dkim.handed-out",
            "dkim.published",
            "dkim.retired",
            "dkim.signing",
            "dkim.removed",
        ]
        kept = " ".join(f"{each.before}{each.after}" for each in session.scalars(select(Journal)))
        assert "PRIVATE" not in kept
        assert key.private_key.splitlines()[1] not in kept
        assert "PRIVATE" not in repr(key)


def test_the_private_half_is_sealed_and_forgotten_when_it_signs_no_more(
    database: Engine, shift: Shift
) -> None:
    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        key = rotate(session, shift, "example.jp")
        assert key.sealed_key is not None and b"PRIVATE" not in key.sealed_key
        private = load_pem_private_key(shift.seal.open(key.sealed_key).encode(), None)
        public = load_der_public_key(base64.b64decode(key.public_key))
        assert isinstance(private, RSAPrivateKey) and isinstance(public, RSAPublicKey)
        assert private.key_size == 2048
        assert private.public_key().public_numbers() == public.public_numbers()
        assert "PRIVATE" not in str(key_json(shift, key))
        advance_keys(session, at(shift, 3))
        assert hand_out_key(session, shift, "example.jp").private_key == shift.seal.open(
            key.sealed_key
        )
        rotate(session, at(shift, 5), "example.jp")
        advance_keys(session, at(shift, 8))
        [retired, _] = keys_of(session, "example.jp")
        assert (retired.state, retired.sealed_key) == ("retired", None)


def test_what_is_published_follows_the_keys(database: Engine, shift: Shift) -> None:
    def found(day: int) -> list[str]:
        records = published(session, at(shift, day), "example.jp")
        return [str(record.name).split(".")[0] for record in records if record.kind == "dkim"]

    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        assert found(0) == []
        key = rotate(session, shift, "example.jp")
        assert found(0) == ["s20260401"]
        [record] = [x for x in published(session, shift, "example.jp") if x.kind == "dkim"]
        assert record.data.replace('" "', "") == f'"{key_text(key.public_key)}"'
        advance_keys(session, at(shift, 3))
        rotate(session, at(shift, 9), "example.jp")
        assert found(9) == ["s20260401", "s20260410"]
        advance_keys(session, at(shift, 12))
        assert found(12) == ["s20260401", "s20260410"]
        advance_keys(session, at(shift, 26))
        assert found(26) == ["s20260410"]


def test_all_04_what_cannot_be_is_refused(database: Engine, shift: Shift) -> None:
    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        with pytest.raises(Refused, match="example.com is not served here"):
            rotate(session, shift, "example.com")
        with pytest.raises(Refused, match="no key signs for example.jp yet"):
            hand_out_key(session, shift, "example.jp")
        rotate(session, shift, "example.jp")
        with pytest.raises(Refused, match="no key signs for example.jp yet"):
            hand_out_key(session, shift, "example.jp")
        with pytest.raises(Refused, match="are changing already"):
            rotate(session, at(shift, 1), "example.jp")
        assert states(session) == {"s20260401": "published"}


@pytest.mark.parametrize(
    "values",
    [
        {"state": "signing"},  # a second one
        {"state": "revoked"},
        {"state": "retired"},  # and still with its private half
        {"sealed_key": None},
    ],
)
def test_the_table_takes_no_wrong_keys(
    database: Engine, shift: Shift, values: dict[str, object]
) -> None:
    with Session(database) as session:
        add_domain(session, shift, "example.jp")
        rotate(session, shift, "example.jp")
        advance_keys(session, at(shift, 3))
        rotate(session, at(shift, 5), "example.jp")
        session.commit()
        with pytest.raises(IntegrityError):
            session.execute(update(DkimKey).where(DkimKey.selector == "s20260406").values(**values))
