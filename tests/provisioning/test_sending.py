"""How many recipients a mailbox may write to: a moved clock, and a file that outlives the server."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.calendar import TOKYO
from isp.errors import Fault
from provisioning.sending import SLICE_SECONDS, Reached, SendingLimits
from provisioning.tally import Tally

NOW = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)
MINUTE = timedelta(minutes=1)
TARO, JIRO = "taro@example.jp", "jiro@example.jp"


def limits(*sent: tuple[float, int], per_hour: int = 10, per_day: int = 25) -> SendingLimits:
    """Messages of Taro, so many minutes after 9:30, to so many recipients."""
    made = SendingLimits(per_hour, per_day)
    for minutes, recipients in sent:
        made.count(TARO, recipients, NOW + minutes * MINUTE)
    return made


@pytest.mark.parametrize(
    ("sent", "minutes", "recipients", "window"),
    [
        ([], 0, 10, None),
        ([], 0, 11, "hour"),
        ([], 0, 26, "day"),
        ([(0, 9)], 0, 1, None),
        ([(0, 9)], 0, 2, "hour"),
        ([(0, 10)], 59, 1, "hour"),
        ([(0, 10)], 60, 1, "hour"),
        ([(0, 10)], 64, 1, "hour"),
        ([(0, 10)], 65, 10, None),
        ([(0, 5), (30, 5)], 65, 5, None),
        ([(0, 5), (30, 5)], 65, 6, "hour"),
        ([(0, 10), (65, 10)], 130, 5, None),
        ([(0, 10), (65, 10)], 130, 6, "day"),
        ([(0, 10), (65, 10), (130, 5)], 24 * 60, 1, "day"),
        ([(0, 10), (65, 10), (130, 5)], 24 * 60 + 5, 10, None),
        ([(0, 10), (65, 10), (130, 5)], 24 * 60 + 5, 11, "day"),
    ],
)
def test_which_limit_is_reached_when(
    sent: list[tuple[float, int]], minutes: float, recipients: int, window: str | None
) -> None:
    reached = limits(*sent).reached(TARO, recipients, NOW + minutes * MINUTE)
    assert (reached and reached.window) == window
    assert limits(*sent).reached(JIRO, 10, NOW + minutes * MINUTE) is None, "others are free"


@pytest.mark.parametrize(
    ("per_hour", "per_day", "recipients", "reached"),
    [
        (0, 0, 10**9, None),
        (0, 5, 6, Reached(5, "day")),
        (5, 0, 6, Reached(5, "hour")),
        (5, 0, 5, None),
        (5, 3, 4, Reached(3, "day")),
    ],
)
def test_zero_is_no_limit(
    per_hour: int, per_day: int, recipients: int, reached: Reached | None
) -> None:
    made = limits(per_hour=per_hour, per_day=per_day)
    assert made.reached(TARO, recipients, NOW) == reached


def test_without_limits_nothing_is_remembered() -> None:
    assert list(limits((0, 5), per_hour=0, per_day=0).remembered()) == []


def test_what_is_said_is_one_line_of_ascii() -> None:
    told = Reached(200, "hour").told
    assert told == (
        "This mailbox may send to 200 recipients in one hour, and has: try again later, "
        "or call the support desk"
    )
    assert told.isascii() and len(told) < 400


SENT = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 6), st.sampled_from([TARO, JIRO]), st.booleans()),
    max_size=60,
)


@given(SENT)
def test_isp_01_never_more_than_the_limit_in_any_hour_or_day(
    attempts: list[tuple[int, int, str, bool]],
) -> None:
    """Minutes since the last message, recipients, mailbox, and whether it was taken after all."""
    made, now = SendingLimits(10, 25), NOW
    taken: list[tuple[datetime, int, str]] = []
    for minutes, recipients, mailbox, kept in attempts:
        now += minutes * MINUTE
        if made.reached(mailbox, recipients, now) is None:
            made.count(mailbox, recipients, now)
            if kept:
                taken.append((now, recipients, mailbox))
            else:
                made.forget(mailbox, recipients, now)
    for begin, _, mailbox in taken:
        for span, limit in ((timedelta(hours=1), 10), (timedelta(days=1), 25)):
            inside = [n for at, n, who in taken if who == mailbox and begin <= at < begin + span]
            assert sum(inside) <= limit


@given(SENT)
def test_who_stays_below_both_limits_is_never_refused(
    attempts: list[tuple[int, int, str, bool]],
) -> None:
    """Counted over a window and the five minutes by which forgiveness may be late."""
    made, now = SendingLimits(10, 25), NOW
    taken: list[tuple[datetime, int, str]] = []
    for minutes, recipients, mailbox, _ in attempts:
        now += minutes * MINUTE
        late = timedelta(seconds=SLICE_SECONDS)
        free = all(
            sum(n for at, n, who in taken if who == mailbox and at > now - span - late) + recipients
            <= limit
            for span, limit in ((timedelta(hours=1), 10), (timedelta(days=1), 25))
        )
        if free:
            assert made.reached(mailbox, recipients, now) is None
            made.count(mailbox, recipients, now)
            taken.append((now, recipients, mailbox))


@given(SENT)
def test_memory_is_bounded_and_lapses(attempts: list[tuple[int, int, str, bool]]) -> None:
    made, now = SendingLimits(10, 25), NOW
    for minutes, recipients, mailbox, _ in attempts:
        now += minutes * MINUTE
        made.count(mailbox, recipients, now)
    assert len(list(made.remembered())) <= 2 * 290
    made.sweep(now + timedelta(days=1, minutes=10))
    assert list(made.remembered()) == []


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sent.db"


@pytest.fixture
def tally(file: Path) -> Iterator[Tally]:
    with Tally(SendingLimits(10, 25), file, NOW) as opened:
        yield opened


def again(file: Path, now: datetime = NOW) -> Tally:
    return Tally(SendingLimits(10, 25), file, now)


def test_what_was_sent_counts_after_a_restart(tally: Tally, file: Path) -> None:
    assert tally.take(TARO, 6, NOW) is None
    assert tally.take(TARO, 3, NOW) is None
    assert tally.take(TARO, 2, NOW) == Reached(10, "hour")
    tally.give_back(TARO, 3, NOW)
    # Not closed, as after a kill.
    with again(file) as other:
        assert other.reached(TARO, 4, NOW) is None
        assert other.reached(TARO, 5, NOW) == Reached(10, "hour")
        assert other.reached(JIRO, 10, NOW) is None
    with again(file, NOW + 65 * MINUTE) as later:
        assert later.reached(TARO, 10, NOW + 65 * MINUTE) is None
        assert later.reached(TARO, 20, NOW + 65 * MINUTE) == Reached(25, "day")
    with again(file, NOW + 2 * timedelta(days=1)) as much_later:
        assert much_later.take(JIRO, 1, NOW + 2 * timedelta(days=1)) is None
    with sqlite3.connect(file) as read:
        assert read.execute("SELECT mailbox, recipients FROM sent").fetchall() == [(JIRO, 1)]
    read.close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_threads_at_the_same_time_never_take_more_than_the_limit(file: Path) -> None:
    with Tally(SendingLimits(100, 0), file, NOW) as tally, ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: tally.take(TARO, 1, NOW) is None, range(300)))
    assert sum(taken) == 100
    with Tally(SendingLimits(100, 0), file, NOW) as other:
        assert other.reached(TARO, 1, NOW) == Reached(100, "hour")


def test_the_file_stays_small_while_the_server_runs(tally: Tally, file: Path) -> None:
    for hour in range(60):
        assert tally.take(TARO, 1, NOW + hour * timedelta(hours=1)) is None
    with sqlite3.connect(file) as read:
        assert read.execute("SELECT count(*) FROM sent").fetchone()[0] <= 26
    read.close()


def test_a_file_that_fails_stops_no_mail_and_is_told_once(
    tally: Tally, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with sqlite3.connect(file) as other:
        other.execute("DROP TABLE sent")
    other.close()
    for _ in range(3):
        assert tally.take(TARO, 2, NOW) is None
    tally.give_back(TARO, 2, NOW)
    assert tally.reached(TARO, 7, NOW) == Reached(10, "hour"), "counted on in memory"
    assert len(caplog.records) == 1
    assert "the file of sending limits cannot be written" in caplog.text


def test_a_file_that_is_none_is_one_line(file: Path) -> None:
    file.write_bytes(b"no database at all, and long enough to be looked at" * 50)
    with pytest.raises(Fault, match=r"^the sending limits in .* cannot be read .*remove the file"):
        again(file)
    with pytest.raises(Fault, match=r"^cannot keep the sending limits in "):
        again(file / "nowhere" / "sent.db")


def test_without_a_file_limits_hold_as_long_as_the_server_runs() -> None:
    with Tally(SendingLimits(10, 25), None, NOW) as tally:
        assert tally.take(TARO, 10, NOW) is None
        assert tally.take(TARO, 1, NOW) == Reached(10, "hour")
        tally.give_back(TARO, 10, NOW)
        assert tally.take(TARO, 10, NOW) is None
