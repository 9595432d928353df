"""Maildirs put into archives and taken out again [メールのアーカイブ]: tar files (pax), compressed by gzip.

The folders belong to a system user whom an attacker may have become, and whoever runs this may be root:
every name is opened inside the folder that is held open, and a symbolic link is never followed.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Final

from provisioning.maildir import FOLDERS
from provisioning.reconciling import Kind

DEEPEST: Final = 20
"""Folders within folders; Maildir++ has one level, and an endless depth would end the program."""
COMPRESSION: Final = 1
"""The fastest: most of what takes room in mail has been compressed before."""
_IN_MAILDIR = re.compile(
    r"(?P<folder>\.[^/.\0][^/\0]*/)?"
    r"(?:(?P<of>cur|new)/(?P<message>[^/.\0][^/\0]*)|(?P<keywords>dovecot-keywords))",
    re.DOTALL,
)


@contextmanager
def opened(name: str | os.PathLike[str], within: int | None = None) -> Iterator[int]:
    """A folder held open; inside another one it must be no symbolic link, else OSError."""
    guard = 0 if within is None else os.O_NOFOLLOW
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | guard, dir_fd=within)
    try:
        yield folder
    finally:
        os.close(folder)


def what_lies_in(folder: int) -> dict[str, Kind]:
    """The names in a folder and what they stand for, without a look at any of them."""
    with os.scandir(folder) as entries:
        return {entry.name: _kind(entry) for entry in entries}


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    return "folder" if entry.is_dir(follow_symlinks=False) else "file"


def cleared(name: str, within: int) -> None:
    """Remove a folder of ours with all that is in it, if it is there."""
    try:
        shutil.rmtree(name, dir_fd=within)
    except FileNotFoundError:
        return
    except RecursionError:
        raise OSError(errno.ELOOP, "folders too deep within one another", name) from None
    os.fsync(within)


# Into an archive


def pack(maildir: int, name: str, part: str, into: int) -> None:
    """Write the whole Maildir into a new file `name`, mode 0600, on the disk when this returns.

    `part` is what it is called while it is being written; on an OSError (a full disk, say) there is
    neither.
    """
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=into)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with open(os.open(part, flags, 0o600, dir_fd=into), "wb") as out:
            with (
                gzip.GzipFile(fileobj=out, mode="wb", compresslevel=COMPRESSION, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                _add(tar, maildir, "", 1)
            out.flush()
            os.fsync(out.fileno())
        os.rename(part, name, src_dir_fd=into, dst_dir_fd=into)
        os.fsync(into)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=into)


def _add(tar: tarfile.TarFile, folder: int, path: str, depth: int) -> None:
    """Everything in an open folder: files, folders, and links as links."""
    if depth > DEEPEST:
        raise OSError(errno.ELOOP, "folders too deep within one another", path)
    with os.scandir(folder) as entries:
        for entry in entries:
            member = tarfile.TarInfo(path + entry.name)
            member.mode = 0o600
            kind = _kind(entry)
            if kind == "folder":
                member.type, member.mode = tarfile.DIRTYPE, 0o700
                tar.addfile(member)
                with opened(entry.name, folder) as inner:
                    _add(tar, inner, f"{path}{entry.name}/", depth + 1)
            elif kind == "link":
                member.type = tarfile.SYMTYPE
                member.linkname = os.readlink(entry.name, dir_fd=folder)
                tar.addfile(member)
            else:
                _add_file(tar, folder, entry.name, member)
            tar.getmembers().clear()  # it would keep one of each for ever


def _add_file(tar: tarfile.TarFile, folder: int, name: str, member: tarfile.TarInfo) -> None:
    """A file; sockets and pipes hold no mail."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would be waited for
    try:
        file = os.open(name, flags, dir_fd=folder)
    except OSError as wrong:
        if wrong.errno == errno.ENXIO:  # a socket
            return
        raise
    with open(file, "rb") as content:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode):
            member.size, member.mtime = found.st_size, found.st_mtime
            tar.addfile(member, content)


# Out of an archive


@dataclass
class Unpacked:
    """What has come out of an archive: folders as they lie in the Maildir, messages and bytes."""

    folders: set[str] = field(default_factory=set)
    messages: int = 0
    bytes: int = 0


def unpack(archive: IO[bytes], into: int, folder: str, owner: tuple[int, int] | None) -> Unpacked:
    """Put the messages of an archive into `.FOLDER` and folders below it, in an open folder.

    Messages and their keywords only: indexes and settings are the new place's own. `owner` (user,
    group) is who gets them, None: whoever runs this. `into` is closed to the owner meanwhile, who
    could put links into it.
    """
    done = Unpacked()
    _make_maildir(into, f".{folder}", owner)
    done.folders.add(f".{folder}")
    try:
        with (
            gzip.GzipFile(fileobj=archive) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as tar,
        ):
            while (member := tar.next()) is not None:
                place = _IN_MAILDIR.fullmatch(member.name)
                if place and member.isreg() and (content := tar.extractfile(member)):
                    name = f".{folder}{(place['folder'] or '').removesuffix('/')}"
                    if name not in done.folders:
                        _make_maildir(into, name, owner)
                        done.folders.add(name)
                    _write(content, into, name, place, owner)
                    done.messages += place["message"] is not None
                    done.bytes += member.size
                tar.members = []  # type: ignore[attr-defined]  # it would keep one of each for ever
            while unpacked.read(1 << 16):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError) as wrong:
        raise OSError(errno.EIO, f"damaged archive: {wrong}") from None
    return done


def _make_maildir(within: int, name: str, owner: tuple[int, int] | None) -> None:
    make_folder(within, name, owner)
    with opened(name, within) as box:
        for folder in FOLDERS:
            make_folder(box, folder, owner)


def make_folder(within: int, name: str, owner: tuple[int, int] | None) -> None:
    """A new folder for its owner alone."""
    os.mkdir(name, 0o700, dir_fd=within)
    if owner:
        os.chown(name, *owner, dir_fd=within, follow_symlinks=False)


def _write(
    content: IO[bytes],
    into: int,
    name: str,
    place: re.Match[str],
    owner: tuple[int, int] | None,
) -> None:
    """One message as a new file; what stood in `new` is new again."""
    with opened(name, into) as box:
        path = f"{place['of']}/{place['message']}" if place["of"] else place["keywords"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600, dir_fd=box), "wb") as out:
            if owner:
                os.fchown(out.fileno(), *owner)
            shutil.copyfileobj(content, out, 1 << 20)
