"""The commands of the core as an operator types them: init, every form of output, the database."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import desk
import pytest
from click.testing import CliRunner, Result
from desk import TARO, contract, joined, member, on, options, plan
from office import Office
from sqlalchemy import text
from sqlalchemy.engine import Engine

from cli.app import main

# Starting an office


def init(folder: Path, *words: str, **environment: str | None) -> Result:
    """`isp init` in a folder, without the environment of anybody's office."""
    names = ("ISP_CONFIG", "ISP_DATABASE_URL", "ISP_TODAY", "ISP_NOW", "ISP_FORMAT")
    clean: dict[str, str | None] = dict.fromkeys(names) | environment
    config = ("--config", str(folder / "isp.toml"), "--format", "json")
    return CliRunner().invoke(main, (*config, "init", *words), env=clean, catch_exceptions=False)


def in_folder(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_init_makes_what_works_and_keeps_it_private(tmp_path: Path) -> None:
    done = init(tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "EXAMPLE" in done.stderr
    for name in ("isp.toml", "isp.key", "isp.db"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    config = (tmp_path / "isp.toml").read_text("utf-8")
    assert tomllib.loads(config)["profile"] == "consumer-isp"
    for value in ("operator", "bank account", "mail servers"):
        assert value in done.stderr
    assert config.count("[example]") > 10


@pytest.mark.parametrize("there", ["isp.toml", "isp.key"])
def test_all_04_init_overwrites_nothing(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("kept")
    done = init(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "exists already" in line
    assert (tmp_path / there).read_text() == "kept"
    assert in_folder(tmp_path) == {there}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--profile", "none"), "profile"),
        (("--profile", "../isp"), "profile"),
        (("--database", "mysql://x"), "database"),
        (("--database", 'sqlite:///a"b.db'), "database"),
        (("--database", "sqlite:///a\nb.db"), "database"),
        (("--database", "sqlite:///a\x01b.db"), "profile consumer-isp"),
        (("--database", "sqlite://"), "database"),
    ],
)
def test_all_04_init_leaves_nothing_half_done(
    tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    done = init(tmp_path, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Error: {named}: ")
    assert in_folder(tmp_path) == set()


def test_init_without_a_database_server_leaves_nothing_half_done(tmp_path: Path) -> None:
    done = init(tmp_path, "--database", "postgresql://isp@127.0.0.1:1/isp")
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert in_folder(tmp_path) == set()


def test_init_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = init(tmp_path / "none")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: config: cannot write ")


def test_init_keeps_its_hands_off_another_office(office: Office, tmp_path: Path) -> None:
    """A second key for the same database could not open what the first one sealed."""
    member(office)
    folder = tmp_path / "second"
    folder.mkdir()
    with desk.untouched(office):
        done = init(folder, "--database", office.database_url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "holds an office already" in done.stderr
    assert in_folder(folder) == set()


def test_a_password_in_the_url_is_not_printed(tmp_path: Path) -> None:
    done = init(tmp_path, "--database", "postgresql://isp:geheim@127.0.0.1:1/isp")
    assert "geheim" not in done.output + done.stderr


# Every command in every form


def test_every_answer_comes_in_every_form(office: Office) -> None:
    """What is in the JSON of a command is in its table and its CSV."""
    number = joined(office)
    office.ok("payment-method", "set", "C00000001", "invoice")
    office.ok(*on("2026-05-10"), "contract", "cancel", number, "--received", "2026-05-10")
    for words in (
        ("customer", "show", "C00000001"),
        ("customer", "list"),
        ("customer", "history", "C00000001"),
        ("payment-method", "history", "C00000001"),
        ("plan", "show", "HIKARI"),
        ("plan", "list"),
        ("contract", "show", number),
        ("contract", "list"),
        ("journal",),
        ("outbox", "list"),
        ("outbox", "show", "1"),
        ("domain", "list"),
    ):
        answer = office.ok(*words)
        table = office("--format", "table", *words)
        sheet = office("--format", "csv", *words)
        assert (table.exit_code, sheet.exit_code) == (0, 0), words
        for row in answer if isinstance(answer, list) else [answer]:
            for name, value in row.items():
                assert name in table.stdout, words
                assert name in sheet.stdout.splitlines()[0], words
                if isinstance(value, str) and value and "\n" not in value:
                    assert value in table.stdout, (words, name)
                    assert value in sheet.stdout, (words, name)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_language_of_the_operator_changes_no_key(office: Office, lang: str) -> None:
    plain: Any = office.ok("customer", "show", member(office))
    assert office.ok("--lang", lang, "customer", "show", "C00000001") == plain


def test_a_command_sees_what_the_one_before_it_did(office: Office) -> None:
    """The day at the desk, from the first plan to the list of contracts."""
    plan(office)
    number = contract(office, member(office), "2026-04-10", "2026-04-20")
    assert office.ok("contract", "list", "--status", "active")[0]["number"] == number
    office.ok(*on("2026-05-10"), "contract", "cancel", number, "--received", "2026-05-10")
    assert office.ok("contract", "list", "--status", "active") == []
    assert office.ok("contract", "list", "--status", "cancelling")[0]["number"] == number


# The database


def test_an_empty_database_is_upgraded_and_used(empty_url: str, tmp_path: Path) -> None:
    office = Office(tmp_path, empty_url)
    first = office.ok("db", "upgrade")
    assert first["before"] is None
    assert office.ok("db", "upgrade") == {
        "before": first["revision"],
        "revision": first["revision"],
    }
    assert office.ok("customer", "add", *options(TARO))["number"] == "C00000001"
    assert office.ok("check")["ok"]


def test_an_act_and_its_notice_stand_or_fall_together(office: Office, database: Engine) -> None:
    """Where the outbox cannot be written, the contract is not concluded either."""
    plan(office)
    number = member(office)
    with database.begin() as connection:
        if database.dialect.name == "sqlite":
            refusing = "CREATE TRIGGER full BEFORE INSERT ON outbox "
            refusing += "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        else:
            refusing = "ALTER TABLE outbox ADD CONSTRAINT no_room CHECK (id < 0)"
        connection.execute(text(refusing))
    with desk.untouched(office):
        refusal = office.refused(
            "contract", "apply", number, "HIKARI", "--concluded-on", "2026-04-10"
        )
    assert refusal.startswith("database: refused by a constraint: ")
    assert office.ok("contract", "list") == []
