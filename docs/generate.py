"""Write docs/commands.md, the reference of every command, from the commands themselves.

`python docs/generate.py` writes it; with `--check` it fails where the file is stale.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from cli.app import main as isp

TARGET = Path(__file__).with_name("commands.md")
OPENING = """\
# Commands

Made by `make docs` from the commands themselves; edit their docstrings instead. `isp COMMAND --help`
says the same. Exit codes: 0 done; 2 refused, with one line `Error: FIELD: what is wrong` on standard
error and nothing changed; 1 a fault of the machine.
"""


def reference() -> str:
    """The whole page."""
    parts = [OPENING, "## isp\n", *_command(click.Context(isp, info_name="isp"), isp)]
    return "\n".join(parts)


def _walk(group: click.Group, context: click.Context, depth: int) -> Iterator[str]:
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command is None:
            raise SystemExit(f"{word} is listed and is no command")
        below = click.Context(command, info_name=word, parent=context)
        yield f"{'#' * depth} {below.command_path}\n"
        yield from _command(below, command)


def _command(context: click.Context, command: click.Command) -> Iterator[str]:
    if not isinstance(command, click.Group) or context.parent is None:
        words = " ".join(command.collect_usage_pieces(context))
        yield f"```\n{context.command_path} {words}\n```\n"
    yield from _prose(inspect.cleandoc(command.help or ""))
    options = [param for param in command.params if isinstance(param, click.Option)]
    if options:
        yield "| option | |\n| --- | --- |"
        yield "\n".join(_option(option, context) for option in options) + "\n"
    if isinstance(command, click.Group):
        yield from _walk(command, context, 2 if context.parent is None else 3)


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; the part marked with a backspace, where lines stay as they are, is an example."""
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("\b"):
            title, _, lines = paragraph.removeprefix("\b").strip("\n").partition("\n")
            yield f"{title}\n\n```sh\n{textwrap.dedent(lines)}\n```\n"
        else:
            yield f"{paragraph}\n"


def _option(option: click.Option, context: click.Context) -> str:
    names = " / ".join(", ".join(names) for names in (option.opts, option.secondary_opts) if names)
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    facts = [option.help or ""]
    if option.required:
        facts.append("Required.")
    if option.multiple:
        facts.append("May be given several times.")
    if option.envvar:
        facts.append(f"Environment: `{option.envvar}`.")
    cells = (f"`{names}{value}`", " ".join(facts))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def run(words: list[str]) -> int:
    """Write the page, or check it."""
    page = reference()
    if words == ["--check"]:
        if TARGET.exists() and TARGET.read_text("utf-8") == page:
            return 0
        print(f"{TARGET.name} is stale: run `make docs`", file=sys.stderr)
        return 1
    TARGET.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
