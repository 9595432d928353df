"""How much of its quota a mailbox uses, by the files; by Dovecot it is tested with Dovecot."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.mailbox_size import MEGABYTE, used_mb

TARO = "taro@example.jp"


def put(root: Path, folder: str, name: str, size: int) -> None:
    place = root / "example.jp" / "taro" / folder
    place.mkdir(parents=True, exist_ok=True)
    with (place / name).open("wb") as file:
        file.truncate(size)


def test_messages_of_all_folders_count_by_name_or_by_file(tmp_path: Path) -> None:
    put(tmp_path, "new", "1.M1P1.mail", MEGABYTE)  # as the embedded server writes them
    put(tmp_path, "cur", "2.M1P1.mail:2,S", MEGABYTE)
    put(tmp_path, "cur", f"3.M1P1.mail,S={2 * MEGABYTE},W={3 * MEGABYTE}:2,S", 10)
    put(tmp_path, ".Sent/cur", f"4.M1P1.mail,S={MEGABYTE // 2}", 10)
    put(tmp_path, "tmp", "5.M1P1.mail", 9 * MEGABYTE)  # has not been delivered yet
    put(tmp_path, ".", "dovecot.index.log", 9 * MEGABYTE)
    assert used_mb("", tmp_path, TARO) == 4.5


def test_a_mailbox_that_never_got_mail_is_empty(tmp_path: Path) -> None:
    assert used_mb("", tmp_path, TARO) == 0


def test_where_nobody_can_tell_nothing_is_told(tmp_path: Path) -> None:
    assert used_mb("", tmp_path / "elsewhere", TARO) is None


@pytest.mark.parametrize("doveadm", ["false", "/nowhere/doveadm", 'unclosed "quote', "echo"])
def test_where_dovecot_does_not_answer_the_files_do(tmp_path: Path, doveadm: str) -> None:
    put(tmp_path, "cur", "1", MEGABYTE)
    assert used_mb(doveadm, tmp_path, TARO) == 1


def test_dovecots_answer_counts_storage_in_kilobytes(tmp_path: Path) -> None:
    answer = tmp_path / "doveadm"
    answer.write_text(
        "#!/bin/sh\nprintf 'Quota name\\tType\\tValue\\tLimit\\t%%\\n"
        "User quota\\tSTORAGE\\t1536\\t5120000\\t0\\nUser quota\\tMESSAGE\\t7\\t-\\t0\\n'\n"
    )
    answer.chmod(0o755)
    assert used_mb(str(answer), tmp_path, TARO) == 1.5
