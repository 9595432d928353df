"""The end of a log, read backwards: order, rotation, bounds, and that what is recent is cheap."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from provisioning import log_tail
from provisioning.log_tail import lines_with


def never(line: bytes) -> bool:
    return False


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mail.log"


def found(log: Path, *needles: bytes) -> list[bytes]:
    return list(lines_with(log, needles, never))


def test_lines_come_newest_first_and_once(log: Path) -> None:
    log.write_bytes(b"1 taro jiro\n2 nobody\n3 TARO\n4 jiro\n")
    assert found(log, b"taro", b"jiro") == [b"4 jiro", b"3 TARO", b"1 taro jiro"]


def test_a_last_line_that_is_being_written_counts(log: Path) -> None:
    log.write_bytes(b"1 taro\n2 taro")
    assert found(log, b"taro") == [b"2 taro", b"1 taro"]


def test_an_empty_log_has_nothing(log: Path) -> None:
    log.write_bytes(b"")
    assert found(log, b"taro") == []


@pytest.mark.parametrize("seed", range(8))
def test_no_line_is_lost_or_doubled_at_the_edge_of_a_block(
    log: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(log_tail, "BLOCK", 64)
    chance = random.Random(seed)
    lines = [
        b"%d %s %s" % (number, chance.choice([b"taro", b"jiro"]), b"x" * chance.randrange(150))
        for number in range(200)
    ]
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert found(log, b"taro") == [line for line in reversed(lines) if b"taro" in line]


def test_the_rotated_file_follows(log: Path) -> None:
    log.write_bytes(b"3 taro\n")
    log.with_name("mail.log.1").write_bytes(b"1 taro\n2 taro\n")
    assert found(log, b"taro") == [b"3 taro", b"2 taro", b"1 taro"]


def test_a_log_that_is_rotated_meanwhile_is_not_read_twice(log: Path) -> None:
    log.write_bytes(b"1 taro\n")
    os.link(log, log.with_name("mail.log.1"))
    assert found(log, b"taro") == [b"1 taro"]


def test_the_search_ends_at_what_is_old(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "BLOCK", 16)
    log.write_bytes(b"old taro 1\nold taro 2\nold taro 3\nold taro 4\nnew taro 3\nnew taro 4\n")
    seen = list(lines_with(log, [b"taro"], lambda line: line.startswith(b"old")))
    assert seen[:2] == [b"new taro 4", b"new taro 3"] and b"old taro 1" not in seen


def test_a_recent_line_of_a_log_of_two_gigabytes_costs_one_block(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with log.open("wb") as file:
        file.truncate(2 << 30)  # sparse: nothing but its end is on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"\nnew taro\n")
    reads: list[int] = []
    pread = os.pread

    def counted(opened: int, size: int, start: int) -> bytes:
        reads.append(size)
        return pread(opened, size, start)

    monkeypatch.setattr(os, "pread", counted)
    assert next(lines_with(log, [b"taro"], never)) == b"new taro"
    assert sum(reads) <= log_tail.BLOCK
    # And where nothing is found, the search is bounded, whatever the file is made of.
    assert list(lines_with(log, [b"jiro"], never, 8 * log_tail.BLOCK)) == []
    assert sum(reads) <= 10 * log_tail.BLOCK


def test_of_a_line_without_end_only_the_beginning_is_kept(log: Path) -> None:
    log.write_bytes(b"1 taro\n2 taro " + b"x" * (3 * log_tail.BLOCK) + b"\n3 taro\n")
    third, second, first = found(log, b"taro")
    assert (third, first) == (b"3 taro", b"1 taro")
    assert second.startswith(b"2 taro x") and len(second) <= log_tail.LONGEST_LINE


def test_what_is_no_file_is_refused_and_not_waited_for(log: Path) -> None:
    os.mkfifo(log)
    with pytest.raises(OSError, match="is not a file"):
        found(log, b"taro")
    with pytest.raises(FileNotFoundError):
        found(log.with_name("none"), b"taro")
