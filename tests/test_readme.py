"""What the pages say is true: the tour is run, commands and options exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.app import main

ROOT = Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SEPARATORS = {";", "&&", "||", "|"}


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def shown(page: Path) -> list[tuple[str, str]]:
    """Commands of the page's console blocks, each with the output that it is said to give."""
    steps: list[tuple[str, str]] = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            end = next(at for at, line in enumerate(lines) if not line.endswith("\\\n")) + 1
            steps.append(("".join(lines[:end]).strip(), "".join(lines[end:])))
    return steps


def pattern(output: str) -> re.Pattern[str]:
    """The output as shown: a line `...` stands for any lines, `...` in a line for any signs."""
    lines = []
    for line in output.rstrip().splitlines():
        if line.strip() == "...":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(".*?".join(map(re.escape, line.rstrip().split("..."))) + r"\n")
    return re.compile("".join(lines))


def run(command: str, folder: Path) -> str:
    """Standard output and error as a terminal shows them, without blanks at the ends of lines."""
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={"PATH": programs, "HOME": str(folder), "USER": "taro", "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.rstrip().splitlines())


def test_the_tour_of_the_readme_is_what_happens(tmp_path: Path) -> None:
    steps = shown(ROOT / "README.md")
    assert len(steps) > 5
    for command, expected in steps:
        given = run(command, tmp_path)
        assert pattern(expected).fullmatch(given), f"$ {command}\n{given}\nis shown as\n{expected}"


def test_a_wrong_output_would_be_found() -> None:
    assert pattern("status  active\n...\ntotal  1...9\n").fullmatch(
        "status  active\nplan  X\nkind  Y\ntotal  1,449\n"
    )
    assert not pattern("status  active\n...\n").fullmatch("status  ended\n")
    assert not pattern("status  active\n").fullmatch("status  active\nplan  X\n")


def test_all_05_both_readmes_show_the_same_tour() -> None:
    assert shown(ROOT / "README.md") == shown(ROOT / "README.ja.md")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `isp ...` in shell text, without what is piped, chained or commented."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|<>")
        words.whitespace_split = True
        spoken: list[str] = []
        for word in [*words, ";"]:
            if word not in SEPARATORS and word not in "<>>":
                spoken.append(word)
                continue
            if spoken and Path(spoken[0]).name == "isp":
                yield spoken[1:]
            spoken = []


def said(page: Path) -> list[list[str]]:
    """Every command that the page names, in a block or within a sentence."""
    text = page.read_text("utf-8")
    spans = re.findall(r"(?<!`)`(isp [a-z-][^`]*)`(?!`)", BLOCK.sub("", text))
    spans += [*blocks(page, "sh"), *(command for command, _ in shown(page))]
    return [words for span in spans for words in commands(span)]


def refuse_unknown(words: list[str]) -> None:
    """Parse the words as `isp` would, without running anything; a UsageError where it would not."""
    command: click.Command = main
    context = click.Context(main, info_name="isp")
    while True:
        parser = command.make_parser(context)
        parser.allow_interspersed_args = not isinstance(command, click.Group)
        _, words, _ = parser.parse_args(list(words))
        if not isinstance(command, click.Group) or not words or not words[0].islower():
            return
        name, below, words = command.resolve_command(context, words)
        assert below is not None
        command, context = below, click.Context(below, info_name=name, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_the_page_exist(page: Path) -> None:
    wrong = []
    for words in said(page):
        try:
            refuse_unknown(words)
        except click.UsageError as unknown:
            wrong.append(f"isp {' '.join(words)}: {unknown.message}")
    assert wrong == []


def test_a_command_that_is_none_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        refuse_unknown(["customer", "add", "--nick-name", "T"])
    with pytest.raises(click.UsageError):
        refuse_unknown(["--today", "2026-04-10", "customer", "rename", "C00000001"])
    assert list(commands("cd x && isp db backup A \\\n  -q > F; ls # isp foo")) == [
        ["db", "backup", "A", "-q"]
    ]


def heading_names(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_on_the_page_lead_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        led_to = (page.parent / file).resolve() if file else page
        if not led_to.exists() or (anchor and anchor not in heading_names(led_to)):
            lost.append(target)
    assert lost == []


def test_the_page_of_files_is_found_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_every_decision_is_in_their_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    written = {page.name for page in folder.glob("[0-9]*.md")}
    assert set(re.findall(r"\]\((\d{4}-[a-z-]+\.md)\)", index)) == written


def test_the_samples_of_units_run_commands_that_exist() -> None:
    folder = ROOT / "docs" / "deploy"
    started = []
    for file in sorted(folder.iterdir()):
        for line in file.read_text("utf-8").splitlines():
            found = re.search(r"/opt/isp/bin/(isp [^>|]*)", line)
            if found and not line.startswith("#"):
                started.append(found[1])
                for words in commands(found[1].replace("$(date +\\%F)", "DAY")):
                    refuse_unknown(words)
    assert len(started) >= 5
