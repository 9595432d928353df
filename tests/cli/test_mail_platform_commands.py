"""`isp mail-platform reconcile`, `archives`, `restore`, and what the night makes of them."""

from __future__ import annotations

import json
import mailbox
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from desk import acts, contract, joined, member, on, untouched
from office import Office

from isp.calendar import TOKYO
from provisioning.addresses import mail_address
from provisioning.maildir import deliver

TARO, JIRO, HANAKO = "taro@example.jp", "jiro@example.jp", "hanako@example.jp"
TODAY = on("2026-04-10")
NOW = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)


@pytest.fixture
def desk(office: Office) -> Office:
    """Two mailboxes of one member and one of another; a mail root, in which nothing lies yet."""
    joined(office)
    office.ok(*TODAY, "domain", "add", "example.jp")
    other = contract(office, member(office), opened_on="2026-04-10")
    for address, number in ((TARO, "K00000001"), (JIRO, "K00000001"), (HANAKO, other)):
        office.ok(*TODAY, "mailbox", "add", address, "--contract", number)
    (office.folder / "mail").mkdir()
    return office


def mail(desk: Office, address: str, subject: str) -> None:
    message = f"Subject: {subject}\r\n\r\nhello\r\n".encode()
    deliver(desk.folder / "mail", mail_address(address), message, NOW, "mx")


def reconciled(desk: Office, *words: str, today: tuple[str, str] = TODAY) -> list[tuple[str, ...]]:
    """What was done, as (act, address, detail); there were no problems."""
    answer = desk.ok(*today, "mail-platform", "reconcile", *words)
    assert (answer["date"], answer["dry_run"]) == (today[1], "--dry-run" in words)
    assert answer["problems"] == []
    return [(each["act"], each["address"], each["detail"]) for each in answer["actions"]]


def nightly(desk: Office, today: tuple[str, str] = TODAY) -> dict[str, int]:
    """The night's step; it must have succeeded, as all others."""
    [step] = [each for each in desk.ok(*today, "daily")["steps"] if each["name"] == "mail-platform"]
    return {name: step[name] for name in ("done", "failed")}


def lying(desk: Office) -> list[str]:
    return sorted(os.listdir(desk.folder / "mail" / "example.jp"))


@pytest.mark.req("ALL-02")
def test_all_02_what_would_be_done_is_told_and_then_done_once(desk: Office) -> None:
    wanted = [("make", address, "") for address in (HANAKO, JIRO, TARO)]
    with untouched(desk):
        assert reconciled(desk, "--dry-run") == wanted
    assert list((desk.folder / "mail").iterdir()) == []
    assert reconciled(desk) == wanted
    assert reconciled(desk) == reconciled(desk, "--dry-run") == []
    assert lying(desk) == ["hanako", "jiro", "taro"]
    assert nightly(desk) == {"done": 0, "failed": 0}


def test_mail_that_is_closed_to_the_office_fails_its_step_and_no_other(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """One database is enough: this is about files. Root gives up its rights over those of others."""
    (tmp_path / "isp.db").write_bytes(sqlite_template.read_bytes())
    desk = Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")
    root = tmp_path / "mail"
    root.mkdir(mode=0)
    rightless = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    command = (Path(sys.executable).with_name("isp"), "--config", desk.config, "--format", "json")
    night = subprocess.run(
        [*(rightless if os.geteuid() == 0 else ()), *command, *TODAY, "daily"],
        capture_output=True,
        text=True,
    )
    assert night.returncode == 1
    assert f"mail-platform: smtpd.maildir: {root}: Permission denied; " in night.stderr
    failed = {each["name"]: each["failed"] for each in json.loads(night.stdout)["steps"]}
    assert failed.pop("mail-platform") == 1
    assert "outbox" in failed
    assert set(failed.values()) == {0}


def test_mail_of_somebody_else_is_left_to_root(
    desk: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The office's own user runs the day, Dovecot's owns the mail: nothing fails, nothing is made."""
    owner = (desk.folder / "mail").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1_000)
    day = desk.ok(*TODAY, "daily")
    [step] = [each for each in day["steps"] if each["name"] == "mail-platform"]
    assert step == {"name": "mail-platform", "done": 0, "skipped": 1, "failed": 0}
    assert list((desk.folder / "mail").iterdir()) == []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert nightly(desk) == {"done": 3, "failed": 0}


@pytest.mark.req("ISP-01", "ALL-03")
def test_the_mail_of_a_removed_mailbox_is_archived_listed_restored_and_forgotten(
    desk: Office,
) -> None:
    mail(desk, TARO, "kept")
    desk.ok(*TODAY, "mailbox", "remove", TARO, "--now")
    archive = "taro-20260410.tar.gz"
    assert ("archive", TARO, archive) in reconciled(desk, "--dry-run")
    assert lying(desk) == ["taro"]
    assert nightly(desk) == {"done": 3, "failed": 0}
    assert lying(desk) == ["hanako", "jiro"]
    [listed] = desk.ok(*TODAY, "mail-platform", "archives")
    size = (desk.folder / "archive" / "example.jp" / archive).stat().st_size
    assert listed == {
        "address": TARO,
        "archived_on": "2026-04-10",
        "forgotten_on": "2026-07-09",
        "bytes": size,
        "archive": archive,
    }
    assert desk.ok(*TODAY, "mail-platform", "archives", TARO) == [listed]
    assert desk.ok(*TODAY, "mail-platform", "archives", JIRO) == []
    done = desk.ok(*TODAY, "mail-platform", "restore", TARO, "--into", JIRO, "--on", "2026-04-10")
    folder = "Restored-taro-20260410"
    assert done == {
        "address": TARO,
        "archive": archive,
        "into": JIRO,
        "folder": folder,
        "messages": 1,
        "bytes": len("Subject: kept\n\nhello\n"),
    }
    box = mailbox.Maildir(desk.folder / "mail" / "example.jp" / "jiro", create=False)
    assert box.list_folders() == [folder]
    assert [message["subject"] for message in box.get_folder(folder)] == ["kept"]
    assert reconciled(desk) == []
    assert reconciled(desk, today=on("2026-07-09")) == [("forget", TARO, archive)]
    assert desk.ok(*TODAY, "mail-platform", "archives") == []
    assert [each["act"] for each in acts(desk, TARO)][-3:] == [
        "mailbox.archived",
        "mailbox.archive-restored",
        "mailbox.archive-forgotten",
    ]
    assert desk.ok(*TODAY, "check")["ok"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("restore", TARO), "address: taro@example.jp has been removed"),
        (("restore", TARO, "--into", HANAKO), "into: hanako@example.jp is not of C00000001"),
        (("restore", TARO, "--into", JIRO, "--on", "2026-04-09"), "address: "),
        (("restore", TARO, "--into", JIRO, "--on", "yesterday"), "on: "),
        (("restore", JIRO), "address: jiro@example.jp has no archive"),
        (("restore", "../../etc/passwd@example.jp"), "address: "),
        (("restore", "x" * 10_000), "address: "),
        (("archives", "../.."), "address: "),
    ],
)
def test_all_04_mail_comes_back_to_its_member_only(
    desk: Office, words: tuple[str, ...], why: str
) -> None:
    mail(desk, TARO, "kept")
    desk.ok(*TODAY, "mailbox", "remove", TARO, "--now")
    reconciled(desk)
    with untouched(desk):
        assert desk.refused(*TODAY, "mail-platform", *words).startswith(why)
    assert lying(desk) == ["hanako", "jiro"]


def test_more_than_the_quota_is_brought_back_with_a_warning(desk: Office) -> None:
    small = "small@example.jp"
    desk.ok(*TODAY, "mailbox", "remove", JIRO, "--now")
    added = ("mailbox", "add", small, "--contract", "K00000001", "--quota-mb", 1)
    if desk(*TODAY, *added).exit_code:  # the plan's mailboxes are used up
        desk.ok(*TODAY, "mailbox", "remove", TARO, "--now")
        desk.ok(*TODAY, *added)
    mail(desk, JIRO, "x" * 2**20)
    reconciled(desk)
    answer = desk(*TODAY, "mail-platform", "restore", JIRO, "--into", small)
    assert answer.exit_code == 0 and "more than its 1 MB" in answer.stderr


def test_an_office_without_mail_here_does_nothing(desk: Office) -> None:
    (desk.folder / "mail").rmdir()
    assert reconciled(desk) == []
    assert nightly(desk) == {"done": 0, "failed": 0}
    assert desk.ok(*TODAY, "mail-platform", "archives") == []
    assert not (desk.folder / "mail").exists() and not (desk.folder / "archive").exists()


def test_what_belongs_to_nobody_is_told_every_night_and_fails_none(desk: Office) -> None:
    mail(desk, "stranger@example.jp", "whose?")
    (desk.folder / "mail" / "elsewhere.example").mkdir()
    answer = desk.ok(*TODAY, "mail-platform", "reconcile")
    assert [each["subject"] for each in answer["problems"]] == [
        "elsewhere.example",
        "example.jp/stranger",
    ]
    night = desk(*TODAY, "daily")
    assert night.exit_code == 0 and "2 problem(s)" in night.stderr
    assert "stranger" in lying(desk)


@pytest.mark.req("ALL-02")
def test_all_02_what_cannot_be_done_is_parked_until_it_can(desk: Office) -> None:
    mail(desk, TARO, "kept")
    desk.ok(*TODAY, "mailbox", "remove", TARO, "--now")
    in_the_way = desk.folder / "archive"
    in_the_way.write_text("a file where the folder should be")
    for words in (("mail-platform", "reconcile"), ("daily",)):
        answer = desk(*TODAY, *words)
        assert answer.exit_code == 1 and "Traceback" not in answer.stderr
    proof = desk(*TODAY, "check")
    assert proof.exit_code == 1
    [problem] = proof.json["problems"]
    assert problem["subject"] == TARO and problem["problem"].startswith("maildirs since 2026-04-10")
    in_the_way.unlink()
    assert reconciled(desk) == [("archive", TARO, "taro-20260410.tar.gz")]
    assert desk.ok(*TODAY, "check")["ok"]


# Sessions and the feed


def with_doveadm(desk: Office, exit_code: int = 0) -> Path:
    """A program in place of doveadm, which writes down what it is asked; Dovecot is in tests/system."""
    asked = desk.folder / "asked"
    file = desk.folder / "doveadm"
    file.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexit {exit_code}\n')
    file.chmod(0o700)
    asked.write_text("")
    text = desk.config.read_text("utf-8")
    desk.config.write_text(text.replace('doveadm = ""', f'doveadm = "{file}"'), "utf-8")
    return asked


def asked_for(asked: Path, address: str) -> bool:
    return f"auth cache flush {address}\nkick {address}\n" in asked.read_text()


def ready(desk: Office) -> None:
    """All Maildirs and the feed are there before Dovecot is."""
    if desk.database_url.startswith("sqlite"):
        (desk.folder / "feed").mkdir()
        (desk.folder / "feed" / "mail.db").touch()
    reconciled(desk)


@pytest.mark.req("ISP-01")
def test_isp_01_the_night_ends_the_sessions_of_whom_it_has_barred(desk: Office) -> None:
    """A removal whose days of grace are over, at three mailboxes; one stays."""
    for address in (TARO, JIRO):
        desk.ok(*TODAY, "mailbox", "remove", address)
    ready(desk)
    asked = with_doveadm(desk)
    desk.ok(*on("2026-05-10"), "daily")
    assert asked_for(asked, TARO) and asked_for(asked, JIRO)
    assert not asked_for(asked, HANAKO)
    asked.write_text("")
    desk.ok(*on("2026-05-11"), "daily")
    assert asked.read_text() == ""
    assert desk.ok(*on("2026-05-11"), "check")["ok"]


@pytest.mark.req("ISP-01", "ALL-02")
def test_isp_01_sessions_wait_for_dovecot_and_end_when_it_is_back(desk: Office) -> None:
    ready(desk)
    with_doveadm(desk, exit_code=75)
    desk(*TODAY, "mailbox", "reissue", TARO)
    night = desk(*TODAY, "daily")
    assert night.exit_code == 1
    with untouched(desk):
        answer = desk.ok(*TODAY, "mail-platform", "reconcile", "--dry-run")
        assert {"act": "end-sessions", "address": TARO, "detail": ""} in answer["actions"]
    answer = desk(*TODAY, "mail-platform", "reconcile")
    assert answer.exit_code == 1
    assert [each["subject"] for each in answer.json["problems"]] == [TARO]
    asked = with_doveadm(desk)
    assert reconciled(desk) == [("end-sessions", TARO, "")]
    assert asked_for(asked, TARO)
    assert desk.ok(*TODAY, "check")["ok"]


def test_an_office_that_has_no_dovecot_any_more_waits_for_none(desk: Office) -> None:
    ready(desk)
    with_doveadm(desk, exit_code=75)
    desk(*TODAY, "mailbox", "reissue", TARO)
    text = desk.config.read_text("utf-8")
    desk.config.write_text(
        text.replace(f'doveadm = "{desk.folder / "doveadm"}"', 'doveadm = ""'), "utf-8"
    )
    assert reconciled(desk) == []
    assert desk.ok(*TODAY, "check")["ok"]


def test_a_dovecot_that_is_away_is_not_asked_for_each_of_many(desk: Office) -> None:
    """Every question may take ten seconds: after three the others wait for the next night."""
    number = contract(desk, member(desk), opened_on="2026-04-10")
    listed = "address,contract\n" + f"m1@example.jp,{number}\nm2@example.jp,{number}\n"
    (desk.folder / "more.csv").write_text(listed)
    desk.ok(*TODAY, "mailbox", "import", desk.folder / "more.csv", "-o", desk.folder / "new.csv")
    for address in (TARO, JIRO, HANAKO, "m1@example.jp", "m2@example.jp"):
        desk.ok(*TODAY, "mailbox", "remove", address)
    ready(desk)
    asked = with_doveadm(desk, exit_code=75)
    assert desk(*on("2026-05-10"), "daily").exit_code == 1
    assert len(asked.read_text().splitlines()) == 3
    asked = with_doveadm(desk)
    desk.ok(*on("2026-05-10"), "daily")
    assert len(asked.read_text().splitlines()) == 10


def test_the_servers_feed_is_brought_in_step_or_missed(desk: Office) -> None:
    with_doveadm(desk)
    missing = desk.ok(*TODAY, "mail-platform", "reconcile", "--dry-run")["problems"]
    ready_made = desk.folder / "feed"
    ready_made.mkdir()
    (ready_made / "mail.db").touch()
    answer = desk.ok(*TODAY, "mail-platform", "reconcile")
    fed = {"act": "feed", "address": "", "detail": str(ready_made)}
    if desk.database_url.startswith("sqlite"):
        assert "isp mail-platform render" in missing[0]["problem"]
        assert fed in answer["actions"] and answer["problems"] == []
    else:
        assert missing == [] and fed not in answer["actions"]
        assert "left over from SQLite" in answer["problems"][0]["problem"]


# Killed


@pytest.mark.req("ALL-02")
def test_all_02_a_command_killed_at_odd_moments_ends_its_work_the_next_time(desk: Office) -> None:
    for number in range(200):
        mail(desk, TARO, f"{number} " + "x" * 20_000)
    desk.ok(*TODAY, "mailbox", "remove", TARO, "--now")
    words = [sys.executable, "-c", "from cli.app import main; main()", *TODAY]
    environment = {
        "ISP_CONFIG": str(desk.config),
        "ISP_DATABASE_URL": desk.database_url,
        "PATH": os.environ["PATH"],
        "HOME": str(desk.folder),
    }
    leaving = desk.folder / "mail" / "example.jp" / ".taro-20260410.leaving"
    while not leaving.exists():
        process = subprocess.Popen(
            [*words, "mail-platform", "reconcile"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            while process.poll() is None and not leaving.exists():
                time.sleep(0.001)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert ("archive", TARO, "taro-20260410.tar.gz") in reconciled(desk, "--dry-run")
    assert ("archive", TARO, "taro-20260410.tar.gz") in reconciled(desk)
    assert lying(desk) == ["hanako", "jiro"]
    done = desk.ok(*TODAY, "mail-platform", "restore", TARO, "--into", JIRO)
    assert done["messages"] == 200
    assert [each["act"] for each in acts(desk, TARO)].count("mailbox.archived") == 1
