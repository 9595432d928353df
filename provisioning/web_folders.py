"""Folders of web spaces [公開フォルダ]: what nginx serves, and the marks by which it knows what to do.

    ROOT/NAME/public        the member's pages; the web server's group may write
    ROOT/.passwords/NAME    name and hash for uploads; without it there is no such space
    ROOT/.suspended/NAME    the space answers 503
    ROOT/.full/NAME         uploads answer 507

Every act here may be done again, and heals what an earlier one left half done.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from isp.errors import Fault
from provisioning.web_space import Space

MARKS: Final = (".passwords", ".suspended", ".full")
_ARCHIVED: Final = re.compile(r"[a-z0-9-]{3,32}@(?P<on>\d{4}-\d\d-\d\d)(?:\.\d+)?")
MB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folders:
    """Where spaces lie, where they go when removed, and the group that the web server runs in."""

    root: Path
    archive: Path
    group: str


@contextmanager
def held(folders: Folders) -> Iterator[None]:
    """Make the folders where they are not yet; one program at a time brings them in step."""
    try:
        for folder, mode in (
            (folders.root, 0o2751),
            *((folders.root / mark, 0o2750) for mark in MARKS),
        ):
            if not folder.exists():
                folder.mkdir(mode=0o750, parents=True)
                shutil.chown(folder, group=folders.group)
                folder.chmod(mode)
        folders.archive.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folders.root / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except LookupError:
        raise Fault(f"web_space.group: there is no group {folders.group} here") from None
    except PermissionError as wrong:
        raise Fault(
            f"web_space.root: {wrong.filename}: {wrong.strerror}; the user who runs this has to own "
            f"the folder and to be in the group {folders.group}"
        ) from None
    except OSError as wrong:
        raise Fault(f"web_space.root: {wrong.filename}: {wrong.strerror}") from None


def bring_in_step(folders: Folders, space: Space, today: date) -> bool:
    """The folder and the marks of a space as its state wants them; whether anything was to do."""
    password, suspended, full = (folders.root / mark / space.name for mark in MARKS)
    home = folders.root / space.name
    if space.status == "removed":
        changed = _gone(password) | _gone(suspended) | _gone(full)
        if home.exists():
            home.rename(_free(folders.archive / f"{space.name}@{today}"))
            changed = True
        return changed
    changed = _made(home, 0o2750) | _made(home / "public", 0o2770)
    if space.status == "suspended":
        return changed | _written(suspended, "") | _gone(password)
    line = f"{space.name}:{space.password_hash.partition('}')[2]}\n"
    return changed | _written(password, line) | _gone(suspended)


def measure(folders: Folders, space: Space) -> int:
    """Bytes that the member's files take; a space above its quota is marked as full."""
    used = used_bytes(folders.root / space.name)
    full = folders.root / ".full" / space.name
    if used > space.quota_mb * MB:
        _written(full, "")
    else:
        _gone(full)
    return used


def used_bytes(folder: Path) -> int:
    """The size of all files below a folder; links are not followed, what vanishes counts nothing."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
        except PermissionError as wrong:
            raise Fault(
                f"web_space.root: {wrong.filename} cannot be read: put the user who runs this into "
                "the web server's group"
            ) from None
    return total


def forget_archived(folders: Folders, today: date, days: int) -> int:
    """Delete what was removed so many days ago; how many spaces that were."""
    forgotten = 0
    for folder in folders.archive.iterdir():
        named = _ARCHIVED.fullmatch(folder.name)
        if named and date.fromisoformat(named["on"]) + timedelta(days=days) <= today:
            shutil.rmtree(folder)
            forgotten += 1
    return forgotten


def names_with_folders(root: Path) -> set[str]:
    """The spaces that have a folder, whoever made it."""
    if not root.is_dir():
        return set()
    return {each.name for each in root.iterdir() if not each.name.startswith(".")}


def _made(folder: Path, mode: int) -> bool:
    """A folder in the group of its parent; true if it had to be made."""
    if folder.is_dir():
        return False
    folder.mkdir()
    folder.chmod(mode)  # the process' mask would take the group's right to write
    return True


def _written(file: Path, text: str) -> bool:
    """A file for the web server's group to read, there whole or as it was."""
    try:
        if file.read_text("ascii") == text:
            return False
    except FileNotFoundError:
        pass
    draft = file.with_name(f".{file.name}.part")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        os.fchmod(out.fileno(), 0o640)  # whatever the process' mask
        out.write(text)
    draft.replace(file)
    return True


def _gone(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def _free(wished: Path) -> Path:
    """A name that nothing has: a space may be removed twice on one day."""
    count, found = 1, wished
    while found.exists():
        count += 1
        found = wished.with_name(f"{wished.name}.{count}")
    return found
