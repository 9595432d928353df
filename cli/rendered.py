"""Configuration of other programs, written into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from isp.errors import Refused


def write_rendered(
    folder: Path,
    files: Mapping[str, str],
    *,
    own: Collection[str] = (),
    private: Collection[str] = (),
    mode: int = 0o640,
) -> list[str]:
    """Write the files with their mode, `private` ones 0600, and name those written.

    Files in `own` are the operator's once they exist. Each takes the place of the old one in one
    step, so that a server never reads half a file.
    """
    written = []
    try:
        for name, text in files.items():
            file = folder / name
            if name in own and file.exists():
                continue
            _make(file.parent, mode | 0o110 | (mode & 0o004) >> 2)
            part = file.with_name(f".{file.name}.part")
            part.unlink(missing_ok=True)
            opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(opened, "w", encoding="utf-8") as out:
                os.fchmod(opened, 0o600 if name in private else mode)
                out.write(text)
            part.replace(file)
            written.append(name)
    except OSError as wrong:
        raise Refused("o", f"cannot write {wrong.filename or folder}: {wrong.strerror}") from None
    return written


def _make(folder: Path, mode: int) -> None:
    """A folder with this mode, whatever the process' mask; one that is there stays as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)
