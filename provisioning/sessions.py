"""Open sessions in Dovecot [接続中のセッション], ended when what they were opened with is no more."""

from __future__ import annotations

import shlex
import subprocess
from typing import Final

TIMEOUT_SECONDS: Final = 10
NOBODY_THERE: Final = 68
"""EX_NOHOST: `doveadm kick` found no session of this user."""


class NotEnded(Exception):
    """Dovecot could not be asked."""


def end(doveadm: str, address: str) -> None:
    """Forget what Dovecot has kept of a log-in, and end its IMAP and POP3 sessions.

    `doveadm` is the operator's command, with options (`sudo doveadm`, `doveadm -c FILE`).
    """
    for words in (["auth", "cache", "flush", address], ["kick", address]):
        command = [*shlex.split(doveadm), *words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as wrong:
            raise NotEnded(f"{' '.join(words)}: {wrong}") from None
        if done.returncode not in (0, NOBODY_THERE):
            told = " ".join(done.stderr.split())[:200]
            raise NotEnded(f"{' '.join(words)}: {told or f'exit code {done.returncode}'}")
