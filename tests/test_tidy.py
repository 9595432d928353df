"""The house rules that no other tool proves: short functions, one clock, one commit, every word kept."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from isp.database import Base

ROOT = Path(__file__).parent.parent
PACKAGES = ("isp", "billing", "provisioning", "portal", "cli", "templates")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LONGEST = 60
FORBIDDEN_WORDS = {"manager", "service", "helper", "util", "utils", "handler", "data", "info"}
THE_CLOCK = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
THE_CLOCK |= {("time", name) for name in ("time", "time_ns", "localtime", "gmtime", "strftime")}

# Modules that touch something outside, and what; every other one is a rule and must be pure.
OUTSIDE_BY_NAME = {"tables", "queries", "checks", "runs", "migrations", "clients"}
OUTSIDE = {
    "isp.backup": "the database and its copies",
    "isp.database": "the database",
    "isp.documents": "templates and the typesetter",
    "isp.journal": "the session",
    "isp.numbers": "the session",
    "isp.outbox": "the session",
    "isp.policy": "isp.toml",
    "isp.sealing": "the key file",
    "isp.shift": "the key file",
    "provisioning.archives": "files",
    "provisioning.directory": "the session",
    "provisioning.feed": "databases",
    "provisioning.sessions": "Dovecot",
    "provisioning.dns_check": "the network",
    "provisioning.log_tail": "files",
    "provisioning.mailbox_size": "files, and Dovecot",
    "provisioning.maildir": "files",
    "provisioning.passwords": "processes that hash in parallel",
    "provisioning.radius_log": "files",
    "provisioning.proof": "the mail servers",
    "provisioning.relay": "another mail server",
    "provisioning.policyd": "the network",
    "provisioning.smtpd": "the network",
    "provisioning.tally": "a file of its own",
    "provisioning.certificate": "files",
    "provisioning.web_folders": "files",
}


def sources(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


PRODUCT = sources(*PACKAGES)
EVERYTHING = PRODUCT + sources("tests", "docs", "benchmarks")


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def calls(file: Path) -> Iterator[tuple[str, str, int]]:
    """`a.b.c()` as ("b", "c", line)."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            of = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            yield of, node.func.attr, node.lineno


def test_functions_are_short() -> None:
    long = [
        f"{name(file)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for file in EVERYTHING
        if file.parent.name != "versions"  # a migration lists columns, it does not reason
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= LONGEST
    ]
    assert long == []


def test_only_the_app_commits() -> None:
    found = [
        f"{name(file)}:{at}" for file in PRODUCT for _, act, at in calls(file) if act == "commit"
    ]
    assert [where for where in found if not where.startswith("cli/app.py:")] == []
    assert found, "the app commits somewhere"


def test_only_the_app_reads_the_clock() -> None:
    found = [
        f"{name(file)}:{at}"
        for file in PRODUCT
        for *act, at in calls(file)
        if tuple(act) in THE_CLOCK
    ]
    assert [where for where in found if not where.startswith("cli/app.py:")] == []
    assert found, "the app reads the clock somewhere"


def test_every_rule_module_is_in_the_purity_contract() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    [pure] = [set(each["source_modules"]) for each in contracts if each["type"] == "forbidden"]
    rules = {
        module(file)
        for file in sources("isp", "billing", "provisioning")
        if not OUTSIDE_BY_NAME.intersection(module(file).split(".")) and file.stem != "__init__"
    }
    assert pure == rules - OUTSIDE.keys()
    assert OUTSIDE.keys() <= rules


def test_names_of_modules_say_what_they_are() -> None:
    vague = [
        name(file)
        for file in PRODUCT
        if FORBIDDEN_WORDS.intersection(re.split(r"[_.]", module(file)))
    ]
    assert vague == []


def test_every_module_says_what_it_is_for() -> None:
    written = [file for file in EVERYTHING if file.stat().st_size]
    assert [name(file) for file in written if not ast.get_docstring(tree(file))] == []


def test_every_table_says_what_it_holds() -> None:
    for package in ("isp", "billing", "provisioning"):
        importlib.import_module(f"{package}.tables")
    silent = [
        mapper.class_.__name__
        for mapper in Base.registry.mappers
        if not mapper.class_.__dict__.get("__doc__")
    ]
    assert silent == []


@pytest.mark.parametrize("file", EVERYTHING, ids=name)
def test_nothing_is_left_undone_or_waved_through(file: Path) -> None:
    """No TODO, no skipped test; a linter is silenced with its reason beside it."""
    text = "" if file == Path(__file__) else file.read_text("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name(file)}:{number}: {line.strip()}"
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", line), where
        assert not re.search(r"pytest\.(skip|xfail|importorskip)\b|mark\.(skip|xfail)", line), where
        for silenced in re.finditer(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])(.*)", line):
            assert re.match(r"\s*(- |# )\S", silenced[1]), f"no reason: {where}"
        assert not re.search(r"# (noqa|type: ignore)(?!: |\[)", line), (
            f"silences everything: {where}"
        )


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_no_failure_is_swallowed(file: str) -> None:
    assert not re.search(r"\|\| *(true|:)|^\t-", (ROOT / file).read_text("utf-8"), re.MULTILINE)


def test_every_package_is_shipped() -> None:
    """The wheel holds the packages that pyproject.toml lists, no more and no fewer."""
    found = {module(file) for file in PRODUCT if file.stem == "__init__"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_library_says_why() -> None:
    """docs/dependencies.md has a line for each library that pyproject.toml asks for."""
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(x for xs in project["optional-dependencies"].values() for x in xs),
    ]
    asked = {re.split(r"[\[<>=~! ]", each)[0].lower() for each in wanted} - {project["name"]}
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    told = {
        word
        for row in re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE)
        for word in re.findall(r"[\w-]+", row.lower())
    }
    assert sorted(asked - told) == []


def test_names_of_tests_are_unique() -> None:
    """Without packages around them, two files of one name would be one module to pytest."""
    counted = Counter(file.name for file in sources("tests") if file.name != "conftest.py")
    assert [found for found, times in counted.items() if times > 1] == []


# Commands


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for word in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), word)
        assert command is not None, word
        yield " ".join([*path, word]), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, word))


def test_every_command_and_option_has_help_and_an_example() -> None:
    from cli.app import main

    silent = []
    for path, command in commands(main):
        if not command.help:
            silent.append(path)
        if not isinstance(command, click.Group) and "Example" not in (command.help or ""):
            silent.append(f"{path}: example")
        silent += [
            f"{path} {parameter.opts[0]}"
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.help
        ]
    assert silent == []


# Requirements


def proven(file: Path) -> set[str]:
    """The numbers that a file's tests carry, in a name (`test_isp_10_...`) or a marker."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef):
            in_name = re.match(r"test_(isp|res|eq|biz|lic|all)_(\d\d)_", node.name)
            if in_name:
                found.add(f"{in_name[1].upper()}-{in_name[2]}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.req":
            found |= {str(ast.literal_eval(number)) for number in node.args}
    return found


def test_every_requirement_has_a_test() -> None:
    lines = (ROOT / "tests" / "requirements.txt").read_text("utf-8").splitlines()
    required = {line for line in lines if not line.startswith("#")}
    shown = {number for file in sources("tests") for number in proven(file)}
    assert sorted(required - shown) == []
    assert sorted(n for n in shown if not re.fullmatch(r"(ISP|RES|EQ|BIZ|LIC|ALL)-\d\d", n)) == []
