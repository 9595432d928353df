"""How much of its quota a mailbox uses [使用容量], by Dovecot or by the files of its Maildir."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provisioning.addresses import MailAddress
from provisioning.maildir import maildir

TIMEOUT_SECONDS: Final = 10
MEGABYTE: Final = 1 << 20
_SIZE_IN_NAME: Final = re.compile(r",S=(\d{1,12})(?=[,:]|\Z)")


def used_mb(doveadm: str, root: Path, address: str) -> float | None:
    """MB (of 1,048,576 bytes) with a tenth, or None where neither Dovecot nor the files tell.

    `doveadm` is the operator's command, "" for none; `root` holds the Maildirs.
    """
    used = _by_dovecot(doveadm, address) if doveadm else None
    if used is None:
        used = _by_files(maildir(root, MailAddress(*_parts(address))))
    return None if used is None else round(used / MEGABYTE, 1)


def _parts(address: str) -> tuple[str, str]:
    local_part, _, domain = address.rpartition("@")
    return local_part, domain


def _by_dovecot(doveadm: str, address: str) -> int | None:
    """Bytes by `doveadm quota get`, whose STORAGE counts in KB."""
    try:
        done = subprocess.run(
            [*shlex.split(doveadm), "-f", "tab", "quota", "get", "-u", address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    kept = [row[2] for row in rows if len(row) > 2 and row[1] == "STORAGE" and row[2].isdigit()]
    return sum(map(int, kept)) * 1024 if kept else None


def _by_files(box: Path) -> int | None:
    """Bytes of all messages in all folders (Maildir++); a mailbox without mail has no files yet."""
    try:
        if not box.is_dir():
            return 0 if box.parent.parent.is_dir() else None
        return sum(map(_size, _messages(box)))
    except OSError:
        return None


def _messages(box: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(box) as found:
        folders = [box, *(Path(each) for each in found if each.name.startswith("."))]
    for folder in folders:
        for state in ("new", "cur"):
            if (folder / state).is_dir():
                with os.scandir(folder / state) as messages:
                    yield from messages


def _size(message: os.DirEntry[str]) -> int:
    named = _SIZE_IN_NAME.search(message.name)
    if named:
        return int(named[1])
    try:
        return message.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # fetched and deleted meanwhile
        return 0
