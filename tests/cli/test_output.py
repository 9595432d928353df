"""How answers look: one JSON value, CSV that no spreadsheet runs, tables that nothing steers."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import desk
import pytest
from desk import TARO, joined, member, plan
from office import Office

from cli.output import write
from isp.month import Month

ISP = Path(sys.executable).with_name("isp")
Printed = Callable[[object, str], str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What `write` puts on standard output."""

    def run(value: object, form: str) -> str:
        write(value, form)
        return capsys.readouterr().out

    return run


@pytest.fixture
def town(sqlite_template: Path, tmp_path: Path) -> Office:
    """An office with a member and a contract, in the folder of the test."""
    (tmp_path / "isp.db").write_bytes(sqlite_template.read_bytes())
    office = Office(tmp_path, f"sqlite:///{tmp_path / 'isp.db'}")
    joined(office)
    return office


def run(office: Office, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ISP_")}
    return subprocess.run(
        [ISP, "--config", str(office.config), *words],
        env=clean | environment,
        capture_output=True,
        check=False,
    )


# JSON


def test_an_answer_is_one_json_value(printed: Printed) -> None:
    value = {"name": "山田", "n": 5200, "none": None, "yes": True, "months": [Month(24315)]}
    text = printed(value | {"on": date(2026, 4, 10)}, "json")
    assert json.loads(text) == value | {"months": ["2026-04"], "on": "2026-04-10"}
    assert "山田" in text
    assert text.endswith("}\n")


def test_a_list_has_an_element_a_line(printed: Printed) -> None:
    rows = [{"number": n, "name": "山\n田", "part": {"a": [1, 2]}} for n in range(3)]
    lines = printed(rows, "json").splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("[", "]", 5)
    assert json.loads("\n".join(lines)) == rows
    assert json.loads(printed([], "json")) == []


def test_instants_are_told_in_japan_time(printed: Printed) -> None:
    value = {"at": datetime(2026, 4, 9, 15, 30, tzinfo=UTC)}
    assert json.loads(printed(value, "json")) == {"at": "2026-04-10T00:30:00+09:00"}


@pytest.mark.parametrize("value", [5, "text", [1], None, {"secret": b"bytes"}])
@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_what_is_no_answer_is_a_defect(printed: Printed, value: object, form: str) -> None:
    with pytest.raises(TypeError):
        printed(value, form)


def test_json_alone_is_on_standard_output(town: Office) -> None:
    """Lists, objects and empty lists; with a dry run's note; with errors nothing at all."""
    for words in (
        ("customer", "list"),
        ("customer", "list", "--search", "nobody"),
        ("customer", "show", "C00000001"),
        ("contract", "list"),
        ("contract", "cancel", "K00000001", "--received", "2026-05-10", "--dry-run"),
        ("journal",),
        ("outbox", "list"),
        ("plan", "list"),
    ):
        done = run(town, "--format", "json", "--today", "2026-05-10", *words)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
    for line in ("customer show C9", "contract open K00000001 --on x", "no"):
        done = run(town, "--format", "json", *line.split())
        assert (done.returncode, done.stdout) == (2, b"")


def test_a_terminal_that_is_not_utf_8_gets_the_same_value(town: Office) -> None:
    words = ("--format", "json", "customer", "show", "C00000001")
    plain = run(town, *words)
    ascii_only = run(town, *words, PYTHONIOENCODING="ascii")
    assert ascii_only.stdout.isascii()
    assert json.loads(ascii_only.stdout) == json.loads(plain.stdout)


# CSV


def test_csv_has_a_header_and_a_row_each(printed: Printed) -> None:
    rows = [
        {"a": 1, "b": 'say "hi", you', "on": date(2026, 4, 10)},
        {"a": None, "b": "山\n田", "c": True, "part": {"x": [Month(24315)]}},
    ]
    read = list(csv.reader(io.StringIO(printed(rows, "csv"))))
    assert read == [
        ["a", "b", "on", "c", "part"],
        ["1", 'say "hi", you', "2026-04-10", "", ""],
        ["", "山\n田", "", "yes", '{"x": ["2026-04"]}'],
    ]
    assert printed({"a": 1}, "csv") == "a\n1\n"
    assert printed([], "csv") == ""


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "+1",
        "-1+1",
        "@SUM(1)",
        "\t=1",
        "\n=1",
        "＝1+1",
        "＋1",
        "－1",
        "＠SUM(1)",
    ],
)
def test_a_spreadsheet_takes_no_text_for_a_formula(printed: Printed, text: str) -> None:
    [_, [cell]] = csv.reader(io.StringIO(printed({"name": text}, "csv"), newline=""))
    assert cell == f"'{text}"


def test_a_stray_line_end_does_not_break_a_row(printed: Printed) -> None:
    text = printed([{"a": "1\r=2", "b": "x\r\ny"}], "csv")
    assert "\r" not in text
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["1\n=2", "x\ny"]]


def test_numbers_stay_numbers(printed: Printed) -> None:
    assert printed({"amount": -5200, "fee": 0, "flag": False}, "csv") == (
        "amount,fee,flag\n-5200,0,no\n"
    )


def test_a_member_named_like_a_formula_is_harmless(office: Office) -> None:
    member(office, name="=HYPERLINK(1)")
    listed = office("--format", "csv", "customer", "list")
    assert "'=HYPERLINK(1)" in listed.stdout
    assert office.ok("customer", "show", "C00000001")["name"] == "=HYPERLINK(1)"


# Tables


def test_a_table_lines_up_kanji_and_numbers(printed: Printed) -> None:
    rows = [
        {"number": "C1", "name": "山田", "fee": 5200},
        {"number": "C22", "name": "Smith", "fee": None},
        {"number": "C3", "name": "ｶﾅ", "fee": -1234567},
    ]
    assert printed(rows, "table") == (
        "number  name          fee\n"
        "C1      山田        5,200\n"
        "C22     Smith\n"
        "C3      ｶﾅ     -1,234,567\n"
    )


def test_a_single_answer_has_a_line_a_field(printed: Printed) -> None:
    value = {"number": "K1", "charges": [{"kind": "monthly", "net": 5200}, {"kind": "x", "net": 0}]}
    assert printed(value, "table") == (
        "number   K1\ncharges  kind=monthly  net=5,200\n         kind=x  net=0\n"
    )


def test_cells_of_several_lines_keep_their_columns(printed: Printed) -> None:
    rows = [{"a": "x", "b": [1, 2], "c": "y"}]
    assert printed(rows, "table") == "a  b  c\nx  1  y\n   2\n"


def test_nothing_is_cut_however_wide(printed: Printed) -> None:
    rows = [{f"column{n}": "あ" * 60 for n in range(20)}]
    assert printed(rows, "table").count("あ" * 60) == 20


def test_an_empty_list_says_so_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    write([], "table")
    assert capsys.readouterr() == ("", "(none)\n")


def test_what_steers_a_terminal_is_not_sent_to_one(printed: Printed) -> None:
    steering = "".join(map(chr, [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)]))
    for value in ({"name": f"a{steering}b"}, [{"name": f"a{steering}b"}], {"of": {"x": steering}}):
        text = printed(value, "table")
        assert set(text) & set(steering) == set()
        assert "\N{REPLACEMENT CHARACTER}" in text
    assert printed({"markup": "[red]x[/red]"}, "table") == "markup  [red]x[/red]\n"


def test_a_narrow_terminal_gets_a_line_a_field(town: Office) -> None:
    """Of a list too wide for it; a pipe has no width."""
    main, terminal = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ISP_")}
    done = subprocess.run(
        [ISP, "--config", str(town.config), "contract", "list"],
        env=clean | {"COLUMNS": "80", "LINES": "24"},
        stdout=terminal,
        stderr=subprocess.PIPE,
        check=True,
    )
    os.close(terminal)
    shown = os.read(main, 65_536).decode().splitlines()
    os.close(main)
    assert done.stderr == b""
    assert shown[0].split() == ["number", "K00000001"]
    assert len(run(town, "contract", "list").stdout.splitlines()) == 2


# Where it goes


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_reader_that_has_gone_is_no_error(town: Office, form: str) -> None:
    """`isp journal | head -1`: no trace, no complaint on the way out."""
    for words in (("journal",), ("customer", "show", "C00000001"), ("--help",)):
        read, written = os.pipe()
        os.close(read)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ISP_")}
        done = subprocess.run(
            [ISP, "--config", str(town.config), "--format", form, *words],
            env=clean,
            stdout=written,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(written)
        assert (done.returncode, done.stderr) == (1, b""), words


def test_a_disk_that_is_full_is_a_fault_in_one_line(town: Office) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [ISP, "--config", str(town.config), "--format", "json", "journal"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    assert "No space left on device" in line


def test_many_rows_are_printed_in_a_moment(printed: Printed) -> None:
    row: dict[str, Any] = {**desk.HIKARI, **TARO, "on": date(2026, 4, 10), "m": Month(24315)}
    rows = [row] * 5_000
    for form in ("json", "csv", "table"):
        assert printed(rows, form).count("山田太郎") == 5_000


def test_plans_are_shown_with_their_first_price_open(office: Office) -> None:
    plan(office)
    table = office("--format", "table", "plan", "show", "HIKARI").stdout
    assert "monthly_fee=5,200" in table
