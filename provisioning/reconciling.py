"""What mail folders need so that they fit the mailboxes [突合]: the rule, which sees names only.

A Maildir lies at ROOT/DOMAIN/LOCAL_PART, the archive of a removed one at ARCHIVE/DOMAIN/LOCAL_PART-YYYYMMDD.tar.gz.
No local part begins with a dot, so names with a dot in front are ours, for what is under way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from isp.errors import Refused
from provisioning.addresses import MailAddress
from provisioning.wanted import Status

Kind = Literal["folder", "link", "file"]
"""What a name stands for: a symbolic link is never followed, "file" is anything else."""
Where = Literal["mail", "archive"]

MAKING: Final = ".making"
RESTORING: Final = ".restoring"
ENDING: Final = ".tar.gz"
PART: Final = ".part"
LEAVING: Final = ".leaving"
_ARCHIVE = re.compile(r"(?P<local>.+)-(?P<on>[0-9]{8})(?:\.(?P<number>[1-9][0-9]{0,3}))?")
_OF_THE_DISK: Final = frozenset({"lost+found"})


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """The mail of a removed mailbox [アーカイブ], put aside on a day; a second one of that day is 2."""

    address: MailAddress
    archived_on: date
    number: int = 1

    @property
    def stem(self) -> str:
        further = f".{self.number}" if self.number > 1 else ""
        return f"{self.address.local_part}-{self.archived_on:%Y%m%d}{further}"

    @property
    def name(self) -> str:
        """The file in the archive's folder of the domain."""
        return f"{self.stem}{ENDING}"

    @property
    def part(self) -> str:
        """The file while it is being written."""
        return f".{self.stem}{ENDING}{PART}"

    @property
    def leaving(self) -> str:
        """The Maildir from when nobody delivers into it any more until its archive is safe."""
        return f".{self.stem}{LEAVING}"

    def kept_until(self, days: int) -> date:
        """The day on which it is forgotten."""
        return self.archived_on + timedelta(days)


@dataclass(frozen=True, slots=True)
class Make:
    """A mailbox has no Maildir: without one its quota and first log-in would find nothing."""

    address: MailAddress


@dataclass(frozen=True, slots=True)
class PutAside:
    """The Maildir of a removed mailbox; `begun` where a run before this one has got stuck."""

    archive: Archive
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Forget:
    """An archive whose days are over."""

    archive: Archive


@dataclass(frozen=True, slots=True)
class Clear:
    """What a run that was killed has left half done."""

    where: Where
    domain: str
    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """Something that is told and never touched."""

    place: str
    why: str


Action = Make | PutAside | Forget | Clear | Report


def for_domain(
    domain: str,
    mailboxes: Iterable[tuple[str, Status]],
    there: Mapping[str, Kind],
    kept: Collection[Archive],
    today: date,
) -> Iterator[Action]:
    """What to do in ROOT/DOMAIN: its mailboxes as (address, status), what lies `there`, its archives.

    A Maildir that no mailbox has is told, never touched: it may be the last copy of somebody's mail.
    """
    rest = dict(there)
    begun = {name: archive for name in there if (archive := left_behind(domain, name))}
    of: dict[MailAddress, str] = {archive.address: "" for archive in begun.values()}
    taken = {*kept, *begun.values()}
    for text, status in mailboxes:
        address = _own(text, domain)
        if address is None:
            yield Report(shown(text), "is no mail address of this domain: see `isp check`")
            continue
        if address in of:
            of[address] = status
        lies = rest.pop(address.local_part, None)
        if lies is None and status != "removed":
            yield Make(address)
        elif lies is not None and lies != "folder":
            yield Report(str(address), f"has {_WHAT[lies]} in place of its Maildir")
        elif lies and status == "removed":
            yield PutAside(_free(address, today, taken))
    for name, lies in sorted(rest.items()):
        archive = begun.get(name)
        if archive and lies == "folder" and of[archive.address]:
            yield PutAside(archive, begun=True)
        elif name in (MAKING, RESTORING) and lies == "folder":
            yield Clear("mail", domain, name)
        else:
            yield Report(f"{domain}/{shown(name)}", _unknown(lies))


def for_root(domains: Collection[str], there: Mapping[str, Kind]) -> Iterator[Report]:
    """What lies in the root of the Maildirs, or of the archives, and is no domain's folder."""
    for name, lies in sorted(there.items()):
        if (name in domains and lies == "folder") or name in _OF_THE_DISK:
            continue
        if name in domains:
            yield Report(name, f"is {_WHAT[lies]}, not the folder of its domain")
        else:
            yield Report(shown(name), "belongs to no domain that is served; left as it is")


def for_archives(
    domain: str, there: Mapping[str, Kind], today: date, days: int
) -> Iterator[Forget | Clear | Report]:
    """What to do in ARCHIVE/DOMAIN; an archive is kept for so many days."""
    for name, lies in sorted(there.items()):
        archive = archive_named(domain, name)
        if archive and lies == "file":
            if archive.kept_until(days) <= today:
                yield Forget(archive)
        elif name.startswith(".") and name.endswith(ENDING + PART) and lies == "file":
            yield Clear("archive", domain, name)
        else:
            why = _WHAT[lies] if lies != "file" else "a file"
            yield Report(f"{domain}/{shown(name)}", f"is {why}, and no archive; left as it is")


def archive_named(domain: str, name: str) -> Archive | None:
    """The archive that a file name stands for; None unless it is written just so."""
    archive = _read(domain, name.removesuffix(ENDING))
    return archive if archive and archive.name == name else None


def left_behind(domain: str, name: str) -> Archive | None:
    """The archive that a Maildir on its way out will be."""
    archive = _read(domain, name.removeprefix(".").removesuffix(LEAVING))
    return archive if archive and archive.leaving == name else None


def restored_folder(archive: Archive, into: MailAddress) -> str:
    """The folder in which the mail of an archive comes back, a name of its own in every mailbox.

    As IMAP shows it. A dot would divide it in Maildir++, so there is none.
    """
    stem = archive.stem if archive.address != into else archive.stem.rpartition("-")[2]
    if archive.address.domain != into.domain:
        stem += f"@{archive.address.domain}"
    return "Restored-" + stem.replace(".", "_")


def shown(name: str) -> str:
    """A name from the disk as text that can be printed and stored, whatever bytes it has."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


_WHAT: Final[Mapping[Kind, str]] = {
    "folder": "a folder",
    "link": "a symbolic link (never followed)",
    "file": "something that is no folder",
}


def _unknown(lies: Kind) -> str:
    return (
        "belongs to no mailbox; left as it is"
        if lies == "folder"
        else f"is {_WHAT[lies]} and belongs to no mailbox; left as it is"
    )


def _own(text: str, domain: str) -> MailAddress | None:
    """The address of a row, if it can be the name of a folder in this domain."""
    local_part, _, its_domain = text.rpartition("@")
    try:
        return MailAddress(local_part, domain) if its_domain == domain else None
    except Refused:
        return None


def _free(address: MailAddress, today: date, taken: set[Archive]) -> Archive:
    """The next archive of an address that is not there yet."""
    number = 1
    while (archive := Archive(address, today, number)) in taken:
        number += 1
    return archive


def _read(domain: str, stem: str) -> Archive | None:
    found = _ARCHIVE.fullmatch(stem)
    if found is None:
        return None
    try:
        on = date(int(found["on"][:4]), int(found["on"][4:6]), int(found["on"][6:]))
        return Archive(MailAddress(found["local"], domain), on, int(found["number"] or 1))
    except (Refused, ValueError):
        return None
