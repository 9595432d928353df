"""Configuration of other programs, written into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from isp.errors import Refused


def write_rendered(
    folder: Path,
    files: Mapping[str, str],
    own: Collection[str] = frozenset(),
    private: Collection[str] = frozenset(),
) -> list[str]:
    """Write the files, mode 0640 or `private` 0600, and name those written.

    Files in `own` are the operator's once they exist. Each takes the place of the old one in one step, so that a server never reads half a file.
    """
    written = []
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for name, text in files.items():
            file = folder / name
            if name in own and file.exists():
                continue
            file.parent.mkdir(mode=0o750, exist_ok=True)
            part = file.with_name(f".{file.name}.part")
            part.unlink(missing_ok=True)
            mode = 0o600 if name in private else 0o640
            opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with open(opened, "w", encoding="utf-8") as out:
                out.write(text)
            part.replace(file)
            written.append(name)
    except OSError as wrong:
        raise Refused("o", f"cannot write {wrong.filename or folder}: {wrong.strerror}") from None
    return written
