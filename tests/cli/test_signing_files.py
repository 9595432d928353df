"""The folder of OpenDKIM's keys, kept by `isp daily` and `isp mail-platform reconcile`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from desk import acts, on, untouched
from mailstack import set_knobs
from office import Office

NAMES = ["s20260401._domainkey.example.jp.key", "s20260402._domainkey.example.com.key"]


@pytest.fixture
def desk(office: Office) -> Office:
    """Two domains with keys that sign from April 4 and 5 on; a folder that another user owns."""
    folder = office.folder / "dkim"
    folder.mkdir(mode=0o700)
    os.chown(folder, pwd.getpwnam("mail").pw_uid, pwd.getpwnam("mail").pw_gid)
    reload = f"touch {office.folder / 'reloaded'}"
    set_knobs(office.config, {"platform__dkim": "dkim", "platform__dkim_reload": reload})
    for day, name in (("2026-04-01", "example.jp"), ("2026-04-02", "example.com")):
        office.ok(*on(day), "domain", "add", name)
        office.ok(*on(day), "domain", "dkim", "rotate", name)
    return office


def night(desk: Office, day: str, failed: int = 0) -> int:
    answer = desk(*on(day), "daily")
    [step] = [each for each in answer.json["steps"] if each["name"] == "mail-platform"]
    assert step["failed"] == failed
    assert answer.exit_code == min(failed, 1)
    return int(step["done"])


def lying(desk: Office) -> list[str]:
    return sorted(os.listdir(desk.folder / "dkim"))


def reloaded(desk: Office) -> bool:
    """Whether OpenDKIM has been told since this was asked last."""
    told = desk.folder / "reloaded"
    there = told.exists()
    told.unlink(missing_ok=True)
    return there


def handed_out(desk: Office, domain: str) -> int:
    return [entry["act"] for entry in acts(desk, domain)].count("dkim.handed-out")


def waiting(desk: Office) -> list[str]:
    found = desk("check").json["problems"]
    return [each["problem"] for each in found if each["table"] == "parked"]


@pytest.mark.req("ALL-02")
@pytest.mark.req("ALL-03")
def test_all_02_the_files_follow_the_keys_each_handed_out_once(desk: Office) -> None:
    night(desk, "2026-04-03")
    assert lying(desk) == ["keys"]  # OpenDKIM starts with a table in which nobody is
    assert reloaded(desk)
    night(desk, "2026-04-04")
    assert lying(desk) == ["keys", NAMES[0]] and reloaded(desk)
    night(desk, "2026-04-05")
    assert lying(desk) == ["keys", *NAMES] and reloaded(desk)
    owner = pwd.getpwnam("mail")
    for name in lying(desk):
        found = (desk.folder / "dkim" / name).stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (
            *(0o600, owner.pw_uid),
            owner.pw_gid,
        )
    for _ in range(2):
        assert night(desk, "2026-04-05") == 0
    assert not reloaded(desk)
    assert [handed_out(desk, name) for name in ("example.jp", "example.com")] == [1, 1]
    desk.ok(*on("2026-04-06"), "domain", "dkim", "export", "example.jp", "-o", desk.folder / "k")
    assert (desk.folder / "k").read_text() == (desk.folder / "dkim" / NAMES[0]).read_text()


@pytest.mark.req("ALL-02")
def test_all_02_what_would_be_written_is_told_and_nothing_done(desk: Office) -> None:
    (desk.folder / "dkim" / NAMES[0]).touch()
    words = (*on("2026-04-03"), "mail-platform", "reconcile")
    with untouched(desk):
        told = desk.ok(*words, "--dry-run")["actions"]
    assert [each["act"] for each in told] == ["write", "reload"]
    assert lying(desk) == ["keys", NAMES[0]][1:]
    assert desk.ok(*words)["actions"] == told
    assert [each["act"] for each in desk.ok(*words, "--dry-run")["actions"]] == ["clear"]
    assert [each["act"] for each in desk.ok(*words)["actions"]] == ["clear"]
    assert lying(desk) == ["keys"]
    assert desk.ok(*words)["actions"] == []


@pytest.mark.req("ALL-02")
def test_all_02_what_opendkim_has_not_taken_up_is_parked_and_told_again(desk: Office) -> None:
    reload = desk.config.read_text()
    for command, why in (
        ("sh -c 'echo no such unit >&2; exit 5'", "no such unit"),
        ("/nowhere/systemctl", "No such file"),
        ("'", "No closing quotation"),
    ):
        set_knobs(desk.config, {"platform__dkim_reload": command})
        night(desk, "2026-04-04", failed=1)
        [parked] = waiting(desk)
        assert why in parked
    desk.config.write_text(reload)
    assert night(desk, "2026-04-05") > 0
    assert waiting(desk) == [] and reloaded(desk)
    assert handed_out(desk, "example.jp") == 1
    assert night(desk, "2026-04-05") == 0 and not reloaded(desk)


@pytest.mark.parametrize("step", ["fsync", "replace", "fchown", "unlink"])
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.req("ALL-02")
def test_all_02_a_run_that_is_killed_is_done_again(
    desk: Office, monkeypatch: pytest.MonkeyPatch, step: str, after: int
) -> None:
    """Wherever it ends: the table never names a file that is not whole."""
    night(desk, "2026-04-04")
    reloaded(desk)
    before = (desk.folder / "dkim" / NAMES[0]).read_text()
    real, calls = getattr(os, step), iter(range(100))

    def killed(*words: object, **more: object) -> object:
        if next(calls) == after:
            raise KeyboardInterrupt
        return real(*words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, step, killed)
        desk(*on("2026-04-05"), "daily")
    for line in (desk.folder / "dkim" / "keys").read_text().splitlines():
        assert Path(line.rpartition(":")[2]).read_text().endswith("-----END PRIVATE KEY-----\n")
    assert (desk.folder / "dkim" / NAMES[0]).read_text() == before
    for _ in range(2):
        night(desk, "2026-04-06")
    assert lying(desk) == ["keys", *NAMES]
    assert reloaded(desk) and waiting(desk) == []


def test_nothing_that_the_folders_owner_has_put_there_is_followed(desk: Office) -> None:
    """OpenDKIM speaks with the world; the office, which writes here, may be root."""
    secret = desk.folder / "secret"
    secret.write_text("secret")
    folder = desk.folder / "dkim"
    (folder / ".keys.part").symlink_to(secret)
    (folder / f".{NAMES[0]}.part").symlink_to(desk.folder / "planted")
    (folder / "keys").symlink_to(secret)
    os.mkfifo(folder / NAMES[0])
    night(desk, "2026-04-04")
    assert secret.read_text() == "secret" and not (desk.folder / "planted").exists()
    assert lying(desk) == ["keys", NAMES[0]]
    for name in lying(desk):
        assert (folder / name).is_file() and not (folder / name).is_symlink()


def test_what_others_may_read_or_have_changed_is_written_anew(desk: Office) -> None:
    night(desk, "2026-04-04")
    key = desk.folder / "dkim" / NAMES[0]
    text = key.read_text()
    for harm in (
        lambda: key.chmod(0o640),
        lambda: os.chown(key, 0, 0),
        lambda: key.write_text("another"),
        key.unlink,
    ):
        harm()
        assert night(desk, "2026-04-04") > 0
        assert key.read_text() == text and key.stat().st_mode & 0o777 == 0o600
    assert handed_out(desk, "example.jp") == 5


def test_all_04_a_folder_that_is_not_there_or_a_word_that_is_missing_is_told(desk: Office) -> None:
    (desk.folder / "dkim").rmdir()
    night(desk, "2026-04-04", failed=1)
    assert "No such file" in waiting(desk)[0] and "README" in waiting(desk)[0]
    set_knobs(desk.config, {"platform__dkim_reload": ""})
    assert "platform.dkim_reload" in desk.refused("mail-platform", "render", "-o", "platform")
    night(desk, "2026-04-04", failed=1)
    assert "systemctl reload-or-restart opendkim" in waiting(desk)[0]
    set_knobs(desk.config, {"platform__dkim": ""})
    night(desk, "2026-04-04")
    assert waiting(desk) == []


@pytest.mark.req("ALL-03")
def test_all_03_no_key_is_told_to_anybody_but_the_file(desk: Office) -> None:
    said = [
        desk(*on(day), *words)
        for day in ("2026-04-04", "2026-04-05")
        for words in (
            ("mail-platform", "reconcile", "--dry-run"),
            ("daily",),
            ("journal", "example.jp"),
        )
    ]
    text = (desk.folder / "dkim" / NAMES[0]).read_text()
    for answer in said:
        for line in text.splitlines():
            assert line not in answer.stdout + answer.stderr
