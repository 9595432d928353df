"""Maildirs: whole messages or none, at the address's own place."""

from __future__ import annotations

import mailbox
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from isp.calendar import TOKYO
from provisioning.addresses import MailAddress
from provisioning.maildir import deliver, held, maildir

NOW = datetime(2026, 4, 10, 9, 30, 0, 123456, TOKYO)
TARO, JIRO = MailAddress("taro", "example.jp"), MailAddress("jiro", "example.jp")
MESSAGE = "Subject: こんにちは\r\n\r\n一行目\r\n.\r\n".encode()


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_message_lands_in_new_of_its_address(tmp_path: Path) -> None:
    root = tmp_path / "not" / "yet"
    delivered = deliver(root, TARO, MESSAGE, NOW, "mx.example.jp")
    assert files(root) == [delivered]
    assert delivered.parent == root / "example.jp" / "taro" / "new"
    assert delivered.read_bytes() == MESSAGE.replace(b"\r\n", b"\n")
    assert delivered.name.startswith("1775781000.M123456P") and delivered.name.endswith(
        ".mx.example.jp"
    )
    (read,) = mailbox.Maildir(maildir(root, TARO), create=False)
    assert read.get_payload(decode=True) == "一行目\n.\n".encode()


def test_mail_is_the_owners_alone(tmp_path: Path) -> None:
    delivered = deliver(tmp_path / "mail", TARO, MESSAGE, NOW, "mx")
    assert delivered.stat().st_mode & 0o777 == 0o600
    for folder in (tmp_path / "mail", *(tmp_path / "mail").rglob("*/")):
        if folder.is_dir():
            assert folder.stat().st_mode & 0o777 == 0o700


def test_the_same_message_twice_is_two_files(tmp_path: Path) -> None:
    names = {deliver(tmp_path, TARO, MESSAGE, NOW, "mx").name for _ in range(50)}
    assert len(names) == 50 == len(files(tmp_path))


def test_a_host_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    delivered = deliver(tmp_path, TARO, MESSAGE, NOW, "../../a/b:2,S\n")
    assert delivered.parent == tmp_path / "example.jp" / "taro" / "new"
    assert "/" not in delivered.name and ":" not in delivered.name and delivered.name.isprintable()


def test_nothing_is_seen_before_it_is_put_and_nothing_stays_if_it_is_not(tmp_path: Path) -> None:
    with held(tmp_path, [TARO, JIRO], MESSAGE, NOW, "mx") as put:
        assert {path.parent.name for path in files(tmp_path)} == {"tmp"}
        assert len(files(tmp_path)) == 2
        placed = put()
    assert files(tmp_path) == sorted(placed) and {path.parent.name for path in placed} == {"new"}
    with held(tmp_path, [TARO, JIRO], MESSAGE, NOW, "mx"):
        assert len(files(tmp_path)) == 4
    assert files(tmp_path) == sorted(placed)


def test_a_failure_among_several_recipients_takes_all_back(tmp_path: Path) -> None:
    with held(tmp_path, [TARO, JIRO], MESSAGE, NOW, "mx") as put:
        (maildir(tmp_path, JIRO) / "new").rmdir()
        with pytest.raises(FileNotFoundError):
            put()
    assert files(tmp_path) == []


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses to write on, as it does when the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    deliver(tmp_path, TARO, MESSAGE, NOW, "mx")
    kept = files(tmp_path)
    with no_file_larger_than(65_536), pytest.raises(OSError, match="File too large"):
        deliver(tmp_path, TARO, MESSAGE * 10_000, NOW, "mx")
    assert files(tmp_path) == kept


def test_a_link_in_the_way_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path / "mail", TARO, MESSAGE, NOW, "mx")
    monkeypatch.setattr("provisioning.maildir._unique_name", lambda *_: "guessed")
    (maildir(tmp_path / "mail", TARO) / "tmp" / "guessed").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        deliver(tmp_path / "mail", TARO, MESSAGE, NOW, "mx")
    assert not (tmp_path / "victim").exists()
