"""Delivery into Maildirs: `ROOT/DOMAIN/LOCAL_PART/{tmp,new,cur}`, as Dovecot and Postfix lay them out.

A message stands whole in `new`, on the disk itself, or nowhere: it is written and synced in `tmp`
first and moved from there. The place follows from a `MailAddress` alone, which cannot hold a path.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from provisioning.addresses import MailAddress

FOLDERS = ("tmp", "new", "cur")


def maildir(root: Path, address: MailAddress) -> Path:
    """Where the mail of an address lies."""
    return root / address.domain / address.local_part


def deliver(root: Path, address: MailAddress, message: bytes, now: datetime, hostname: str) -> Path:
    """Put one message, lines ending in CRLF, into one Maildir; its file in `new`.

    Raises OSError (a full disk, say), and then nothing is there.
    """
    with held(root, [address], message, now, hostname) as put:
        return put()[0]


@contextmanager
def held(
    root: Path, addresses: Iterable[MailAddress], message: bytes, now: datetime, hostname: str
) -> Iterator[Callable[[], list[Path]]]:
    """Write and sync the message for every address, unseen as yet; calling what is given delivers.

    All or none: an OSError while writing, or leaving without the call, removes every trace.
    """
    text = message.replace(b"\r\n", b"\n")  # Maildirs keep the line ends of the system
    waiting: list[tuple[Path, Path]] = []
    try:
        for address in addresses:
            box = _opened(root, address)
            name = _unique_name(now, hostname)
            _write(box / "tmp" / name, text)
            waiting.append((box / "tmp" / name, box / "new" / name))
        yield partial(_put, waiting)
    finally:
        for written, _ in waiting:
            written.unlink(missing_ok=True)


def _put(waiting: list[tuple[Path, Path]]) -> list[Path]:
    """Move every written message where its reader looks; on a failure take all of them back."""
    delivered: list[Path] = []
    try:
        for written, place in waiting:
            written.rename(place)
            delivered.append(place)
        for place in delivered:
            _sync(place.parent)
    except OSError:
        for place in delivered:
            place.unlink(missing_ok=True)
        raise
    return delivered


def _opened(root: Path, address: MailAddress) -> Path:
    """The Maildir of an address, made for its owner alone where it is not yet."""
    box = maildir(root, address)
    if not (box / FOLDERS[-1]).is_dir():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for made in (box.parent, box, *(box / folder for folder in FOLDERS)):
            made.mkdir(mode=0o700, exist_ok=True)
        for changed in (root, box.parent, box):
            _sync(changed)
    return box


def _unique_name(now: datetime, hostname: str) -> str:
    """A file name that no other delivery has, on this machine or another."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", hostname)
    seconds = int(now.timestamp())
    return f"{seconds}.M{now.microsecond}P{os.getpid()}R{secrets.token_hex(8)}.{host}"


def _write(path: Path, text: bytes) -> None:
    """A new file with the text, on the disk when this returns; not there if it cannot be."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(opened, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _sync(folder: Path) -> None:
    """Keep the names in a folder through a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
