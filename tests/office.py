"""The command line run in-process, as an operator types it, in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from isp import sealing
from isp.policy import profile_text


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Office:
    """`office("--today", "2026-04-10", "customer", "list")` runs `isp` with these words.

    The folder has an `isp.toml` of the profile and its key; output is JSON unless `--format` is
    among the words. An error that `isp` does not answer for is raised as it is.
    """

    def __init__(self, folder: Path, database_url: str, profile: str = "consumer-isp") -> None:
        self.folder = folder
        self.database_url = database_url
        self.config = folder / "isp.toml"
        self.config.write_text(profile_text(profile), "utf-8")
        sealing.make_key(folder / "isp.key")

    def __call__(self, *words: object, stdin: str | None = None) -> Answer:
        from cli.app import main

        command = tuple(str(word) for word in words)
        environment = {
            "ISP_CONFIG": str(self.config),
            "ISP_DATABASE_URL": self.database_url,
            "ISP_FORMAT": "json",
            "ISP_TODAY": None,
            "ISP_NOW": None,
            "ISP_LANG": None,
            "ISP_ACTOR": "tester",
        }
        done = CliRunner().invoke(
            main, command, input=stdin, env=environment, catch_exceptions=False
        )
        return Answer(command, done.exit_code, done.stdout, done.stderr)

    def ok(self, *words: object, stdin: str | None = None) -> Any:
        """What the command printed as JSON; it must have succeeded."""
        answer = self(*words, stdin=stdin)
        assert answer.exit_code == 0, f"isp {' '.join(answer.command)}: {answer.stderr}"
        return answer.json

    def refused(self, *words: object, stdin: str | None = None) -> str:
        """The one line with which the command was refused; nothing else was printed (ALL-04)."""
        answer = self(*words, stdin=stdin)
        assert answer.exit_code == 2, f"isp {' '.join(answer.command)}: {answer}"
        assert answer.stdout == ""
        lines = answer.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("Error: "), answer.stderr
        return lines[0].removeprefix("Error: ")
