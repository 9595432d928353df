"""`isp demo`: the main job end to end, in an empty folder, nothing else needed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import outside
import paper
import pytest

ISP = Path(sys.executable).with_name("isp")


def isp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`isp` in this folder, with nothing in the environment that could help it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ISP_")}
    return subprocess.run(
        [str(ISP), "--format", "json", *words],
        cwd=folder,
        env=clean | {"TMPDIR": str(folder.parent)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def ask(folder: Path, *words: str) -> Any:
    done = isp(folder, "--today", "2026-05-03", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.req("ISP-01", "ISP-02", "ISP-07", "ISP-09", "ISP-14", "ISP-17", "ALL-01", "ALL-02")
def test_the_demo_does_the_main_job_and_leaves_it_to_be_looked_at(tmp_path: Path) -> None:
    done = isp(tmp_path, "demo", "--seed", "7")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    assert len(answer["steps"]) > 10
    for step in answer["steps"]:
        assert step["ok"] is True and step["name"] and step["detail"], step
    assert len(done.stderr.splitlines()) >= len(answer["steps"])
    the_books(tmp_path)
    the_files_of_the_bank(tmp_path)
    the_letters(tmp_path)
    the_platform(tmp_path, answer["next"])
    [message] = (tmp_path / "mail").rglob("new/*")
    assert b"From: " in message.read_bytes() and b"Received: " in message.read_bytes()


def the_platform(folder: Path, commands: list[str]) -> None:
    """What the demo says at its end: the first two render what a mail operator starts from."""
    words = [shlex.split(command, comments=True) for command in commands]
    assert {each[1] for each in words} == {"--config"}
    assert {shutil.which(each[0]) is not None for each in words} == {True}, (
        "it can be typed as it is"
    )
    for readme, command in (("platform/README.md", words[0]), ("radius/README.txt", words[1])):
        assert isp(folder, *command[1:]).returncode == 0
        assert (folder / readme).stat().st_size > 1_000
    assert [each[3:5] for each in words[2:]] == [["serve", "--port"], ["mailbox", "verify"]]


def the_books(folder: Path) -> None:
    """What the operator of the demo sees when it is over."""
    assert len(ask(folder, "customer", "list")) == 200
    invoices = ask(folder, "invoice", "list")
    months = {each["month"] for each in invoices}
    assert months == {"2026-02", "2026-03", "2026-04"}
    assert {"paid", "open"} <= {each["status"] for each in invoices}
    left = ask(folder, "contract", "list", "--status", "ended")
    assert len(left) == 2
    charged_to = sorted(each["cancellation"]["last_charged_month"] for each in left)
    assert charged_to == ["2026-03", "2026-04"]
    assert len(ask(folder, "contract", "list", "--status", "withdrawn")) == 1
    assert ask(folder, "check")["ok"] is True


def the_files_of_the_bank(folder: Path) -> None:
    request = folder / "out" / "transfer-2026-02.txt"
    items = outside.drawn(request)
    assert len(items) > 90 and outside.transfer_day(request) == "03-23"
    assert request.stat().st_mode & 0o777 == 0o600
    results = {
        record[91:111].strip(): record[111:112]
        for record in outside.records(folder / "out" / "transfer-2026-02-result.txt")
        if record[:1] == b"2"
    }
    assert set(results.values()) == {b"0", b"1", b"4"}
    again = {item.customer for item in outside.drawn(folder / "out" / "transfer-2026-03.txt")}
    assert {who.decode() for who, code in results.items() if code == b"1"} <= again
    sold = outside.sales(folder / "out" / "card-sales-2026-02.csv")
    assert {row["sold_on"] for row in sold} == {"2026-02-28"}


def the_letters(folder: Path) -> None:
    passwords = folder / "passwords.csv"
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert len(passwords.read_text("utf-8").splitlines()) == 201
    welcome = paper.text((folder / "welcome.pdf").read_bytes())
    for fact in ("@example.jp", "smtp.example.jp", "587", "0120-000-000", "10:00"):
        assert fact in welcome
    [printed] = folder.glob("R*.pdf")
    invoice = ask(folder, "invoice", "show", printed.stem)
    said = paper.text(printed.read_bytes())
    assert printed.stem in said and "T9999999999999" in said
    assert f"{invoice['gross']:,}" in said
    address = ask(folder, "mailbox", "list")[0]["address"]
    shown = {each["client"]: each for each in ask(folder, "guide", "list")}
    for client, each in shown.items():
        page = (folder / "guides" / f"{client}.html").read_text("utf-8")
        pdf = paper.text((folder / "guides" / f"{client}.pdf").read_bytes())
        if each["kind"] == "mail":
            assert address in page and address in pdf and "587" in pdf
        else:
            assert "@ppp.example.jp" in page and "@ppp.example.jp" in pdf
        assert "0120-000-000" in page and "0120-000-000" in pdf


def test_the_demo_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not to be touched")
    done = isp(tmp_path.parent, "demo", "--folder", str(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Error: folder: ") and len(done.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_the_demo_takes_a_new_folder_where_the_one_it_is_in_is_not_empty(tmp_path: Path) -> None:
    """Asked no more than to begin: the folder it names is another one, and the config is there."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.txt").write_text("not to be touched")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ISP_")}
    process = subprocess.Popen(
        [str(ISP), "demo"],
        cwd=here,
        env=clean | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
    finally:
        process.kill()
        process.communicate()
    assert first.startswith("ok   init")
    assert [file.name for file in here.iterdir()] == ["mine.txt"]
    [new] = tmp_path.glob("isp-*")
    assert (new / "isp.toml").exists()
    shutil.rmtree(new)
