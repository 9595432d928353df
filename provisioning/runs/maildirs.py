"""Maildirs follow their mailboxes [メール保管場所の突合]: made, put into archives, forgotten, brought back.

Every step may be the last one of a run that is killed: the next run goes on from there. Nothing of a
member's mail is removed before its archive is on the disk and in the journal.
"""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.errors import Fault, Refused
from isp.journal import history, record
from isp.shift import Shift
from provisioning.addresses import MailAddress, mail_address
from provisioning.archives import (
    Unpacked,
    cleared,
    make_folder,
    opened,
    pack,
    unpack,
    what_lies_in,
)
from provisioning.maildir import FOLDERS
from provisioning.queries import domains, mailbox_named
from provisioning.reconciling import (
    MAKING,
    RESTORING,
    Action,
    Archive,
    Clear,
    Forget,
    Make,
    PutAside,
    Report,
    archive_named,
    for_archives,
    for_domain,
    for_root,
    restored_folder,
)
from provisioning.tables import Mailbox

Transaction = Callable[[], AbstractContextManager[Session]]
Owner = tuple[int, int] | None
ARCHIVED: Final = "mailbox.archived"
FORGOTTEN: Final = "mailbox.archive-forgotten"
RESTORED: Final = "mailbox.archive-restored"
SUBSCRIPTIONS: Final = "subscriptions"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
AT_ONCE: Final = 10_000
_ORDER: Final = (Report, Clear, Forget, Make, PutAside)
"""First what gives room; archives last, which need it."""


def root_of(shift: Shift) -> Path:
    """Where the Maildirs lie."""
    return shift.root / shift.policy.smtpd.maildir


def is_ours(shift: Shift) -> bool:
    """Whether whoever runs this may see to the mail: root, its owner, or anybody while there is none."""
    try:
        return os.geteuid() in (0, root_of(shift).stat().st_uid)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def archive_of(shift: Shift) -> Path:
    """Where the archives lie."""
    return shift.root / shift.policy.platform.archive


# What is to be done


def planned(session: Session, shift: Shift) -> list[Action]:
    """What would make Maildirs and archives fit the mailboxes, in the order in which it is done.

    Nothing while there is no root of Maildirs. Names are read, one domain after the other; no
    Maildir is looked into. A folder closed to whoever runs this is a Fault: the rest of a day's run
    does not depend on the mail.
    """
    try:
        with opened(root_of(shift)) as root:
            found = list(_found(session, shift, root))
    except FileNotFoundError:
        return []
    except PermissionError as wrong:
        raise Fault(
            f"smtpd.maildir: {wrong.filename or root_of(shift)}: {wrong.strerror}; this has to be run by "
            f"root, or by the owner of the mail (platform.vmail is {shift.policy.platform.vmail!r})"
        ) from None
    return sorted(found, key=lambda action: _ORDER.index(type(action)))


def _found(session: Session, shift: Shift, root: int) -> Iterator[Action]:
    today, days = shift.day.today, shift.policy.platform.archive_days
    served = {domain.name for domain in domains(session)}
    there = what_lies_in(root)
    yield from for_root(served, there)
    with ExitStack() as held:
        archives: int | None = None
        kept = {}
        if archive_of(shift).is_dir():
            archives = held.enter_context(opened(archive_of(shift)))
            kept = what_lies_in(archives)
        yield from for_root(served, kept)
        rows = session.execute(
            select(Mailbox.domain, Mailbox.address, Mailbox.status)
            .order_by(Mailbox.domain, Mailbox.address)
            .execution_options(yield_per=AT_ONCE)
        )
        without = set(served)
        for domain, mailboxes in groupby(rows, lambda row: str(row.domain)):
            without.discard(domain)
            found = _names(archives, domain) if kept.get(domain) == "folder" else {}
            yield from for_archives(domain, found, today, days)
            mine = {archive for name in found if (archive := archive_named(domain, name))}
            if there.get(domain, "folder") == "folder":
                lies = _names(root, domain) if domain in there else {}
                states = ((row.address, row.status) for row in mailboxes)
                yield from for_domain(domain, states, lies, mine, today)
        for domain in sorted(without & there.keys()):
            if there[domain] == "folder":
                yield from for_domain(domain, (), _names(root, domain), (), today)


def _names(within: int | None, domain: str) -> dict[str, Any]:
    if within is None:
        return {}
    with opened(domain, within) as folder:
        return dict(what_lies_in(folder))


# Doing it


def carry_out(
    transaction: Transaction, shift: Shift, actions: Iterable[Action]
) -> Iterator[tuple[Action, str]]:
    """Do each action that is no report; each comes back with what went wrong, or "".

    One mailbox's trouble stops nobody. A full disk does: nothing of that mailbox has been removed,
    and the rest waits for the next run (Fault).
    """
    for action in actions:
        if isinstance(action, Report):
            continue
        try:
            _do(transaction, shift, action)
        except OSError as wrong:
            if wrong.errno in FULL:
                raise Fault(
                    f"platform.archive: {wrong.strerror}; no mail has been removed: make room, then "
                    "run `isp mail-platform reconcile`"
                ) from None
            yield action, wrong.strerror or str(wrong)
        else:
            yield action, ""


def _do(transaction: Transaction, shift: Shift, action: Clear | Forget | Make | PutAside) -> None:
    match action:
        case Make(address):
            owner = _owner(shift)
            with _mail_of(shift, address.domain, owner, make=True) as domain:
                _make(domain, address, owner)
        case PutAside(archive, begun):
            _put_aside(transaction, shift, archive, begun=begun)
        case Forget(archive):
            _forget(transaction, shift, archive)
        case Clear("mail", name_of_domain, name):
            with _mail_of(shift, name_of_domain) as domain:
                cleared(name, domain)
        case Clear("archive", name_of_domain, name):
            with _archives_of(shift, name_of_domain) as folder:
                os.unlink(name, dir_fd=folder)


def _owner(shift: Shift) -> Owner:
    """Who gets what root makes: the policy's user, or whoever has the root of the Maildirs."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(shift.policy.platform.vmail)
    except KeyError:
        found = os.stat(root_of(shift))
        return found.st_uid, found.st_gid
    return user.pw_uid, user.pw_gid


@contextmanager
def _mail_of(
    shift: Shift, domain: str, owner: Owner = None, *, make: bool = False
) -> Iterator[int]:
    """The folder ROOT/DOMAIN, held open."""
    with opened(root_of(shift)) as root:
        if make and domain not in what_lies_in(root):
            make_folder(root, domain, owner)
            os.fsync(root)
        with opened(domain, root) as folder:
            yield folder


@contextmanager
def _archives_of(shift: Shift, domain: str, *, make: bool = False) -> Iterator[int]:
    """The folder ARCHIVE/DOMAIN, held open; for the one who runs this alone."""
    place = archive_of(shift)
    if make and not place.is_dir():
        place.mkdir(mode=0o700, parents=True)
        with opened(place.parent) as above:
            os.fsync(above)
    with opened(place) as root:
        if make and domain not in what_lies_in(root):
            make_folder(root, domain, None)
            os.fsync(root)
        with opened(domain, root) as folder:
            yield folder


def _make(domain: int, address: MailAddress, owner: Owner) -> None:
    """An empty Maildir, whole from the first moment; one that a server made meanwhile stays."""
    cleared(MAKING, domain)
    make_folder(domain, MAKING, None)  # closed to its owner until it is done
    with opened(MAKING, domain) as box:
        for folder in FOLDERS:
            make_folder(box, folder, owner)
        if owner:
            os.fchown(box, *owner)
    try:
        os.rename(MAKING, address.local_part, src_dir_fd=domain, dst_dir_fd=domain)
    except OSError as wrong:
        cleared(MAKING, domain)
        if wrong.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _put_aside(transaction: Transaction, shift: Shift, archive: Archive, *, begun: bool) -> None:
    """The Maildir under another name, its archive, the journal, and only then is it removed."""
    with (
        _mail_of(shift, archive.address.domain) as domain,
        _archives_of(shift, archive.address.domain, make=True) as archives,
    ):
        if not begun:
            name = archive.address.local_part
            os.rename(name, archive.leaving, src_dir_fd=domain, dst_dir_fd=domain)
            os.fsync(domain)
        with opened(archive.leaving, domain) as maildir:
            if archive.name not in what_lies_in(archives):
                pack(maildir, archive.name, archive.part, archives)
        size = os.stat(archive.name, dir_fd=archives, follow_symlinks=False).st_size
        _tell_once(transaction, shift, ARCHIVED, archive, bytes=size)
        cleared(archive.leaving, domain)


def _forget(transaction: Transaction, shift: Shift, archive: Archive) -> None:
    with _archives_of(shift, archive.address.domain) as folder:
        _tell_once(transaction, shift, FORGOTTEN, archive)
        os.unlink(archive.name, dir_fd=folder)
        os.fsync(folder)


def _tell_once(
    transaction: Transaction, shift: Shift, act: str, archive: Archive, **more: int
) -> None:
    """Record what is done to an archive, unless the run before was killed just after it had."""
    subject = str(archive.address)
    with transaction() as session:
        told = [entry.after or {} for entry in history(session, subject) if entry.act == act]
        if all(after.get("archive") != archive.name for after in told):
            record(session, shift, act, subject, after={"archive": archive.name, **more})


# Looking at archives, and bringing one back


@dataclass(frozen=True)
class Kept:
    """An archive that is there."""

    archive: Archive
    bytes: int


def archives_kept(shift: Shift, domain: str | None = None) -> Iterator[Kept]:
    """The archives, of one domain or of all, in the order of domains, names and days."""
    if not archive_of(shift).is_dir():
        return
    with opened(archive_of(shift)) as root:
        there = [name for name, kind in what_lies_in(root).items() if kind == "folder"]
        for domain in sorted(name for name in there if domain in (None, name)):
            with opened(domain, root) as folder:
                names = (name for name, kind in what_lies_in(folder).items() if kind == "file")
                read = (archive_named(domain, name) for name in names)
                for archive in sorted(each for each in read if each):
                    found = os.stat(archive.name, dir_fd=folder, follow_symlinks=False)
                    yield Kept(archive, found.st_size)


@dataclass(frozen=True)
class Restored:
    """What came back, into which mailbox and folder of it; its quota in MB."""

    archive: Archive
    into: MailAddress
    folder: str
    messages: int
    bytes: int
    quota_mb: int


def restore(
    transaction: Transaction,
    shift: Shift,
    address: str,
    into: str | None = None,
    archived_on: date | None = None,
) -> Restored:
    """Bring the mail of an archive back as a folder of a mailbox that is there, beside what is in it.

    The latest archive of the address, or that of a day. A removed address never comes back, so
    its mail is restored into another mailbox of the same member. What is there as this folder already is
    never written over: refused. The archive stays until its days are over.
    """
    with transaction() as session:
        target = _target(session, address, into)
        box, quota_mb = mail_address(target.address, role_names=True), target.quota_mb
    archive = _latest(shift, mail_address(address, role_names=True), archived_on)
    folder = restored_folder(archive, box)

    def tell(messages: int) -> None:
        after = {"archive": archive.name, "into": str(box), "folder": folder, "messages": messages}
        with transaction() as session:
            record(session, shift, RESTORED, str(archive.address), after=after)

    try:
        owner = _owner(shift)
        with (
            _archives_of(shift, archive.address.domain) as archives,
            _file(archive.name, archives) as packed,
            _mail_of(shift, box.domain, owner, make=True) as domain,
        ):
            if box.local_part not in what_lies_in(domain):
                _make(domain, box, owner)
            try:
                came = _bring_back(packed, domain, box, folder, owner, tell)
            finally:
                cleared(RESTORING, domain)
    except OSError as wrong:
        raise Fault(
            f"address: cannot restore {archive.name}: {wrong.strerror}; the archive is as it was"
        ) from None
    return Restored(archive, box, folder, came.messages, came.bytes, quota_mb)


def _target(session: Session, address: str, into: str | None) -> Mailbox:
    """The mailbox that gets the mail: of the same member, and not removed."""
    source = mailbox_named(session, address)
    target = mailbox_named(session, into) if into else source
    customer = source.contract.customer.number
    if target.contract.customer_id != source.contract.customer_id:
        raise Refused("into", f"{target.address} is not of {customer}, whose mail this is")
    if target.status == "removed":
        raise Refused(
            "into" if into else "address",
            f"{target.address} has been removed, and no address comes back: name a mailbox of "
            f"{customer} by --into",
        )
    return target


def _latest(shift: Shift, address: MailAddress, on: date | None) -> Archive:
    found = [
        kept.archive
        for kept in archives_kept(shift, address.domain)
        if kept.archive.address == address and on in (None, kept.archive.archived_on)
    ]
    if not found:
        day = f" of {on}" if on else ""
        raise Refused("address", f"{address} has no archive{day}: see `isp mail-platform archives`")
    return max(found)


@contextmanager
def _file(name: str, within: int) -> Iterator[IO[bytes]]:
    """A file in an open folder, read; no symbolic link."""
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=within), "rb") as file:
        yield file


def _bring_back(
    packed: IO[bytes],
    domain: int,
    box: MailAddress,
    folder: str,
    owner: Owner,
    tell: Callable[[int], None],
) -> Unpacked:
    """Unpack where nobody looks, and move folder by folder into the Maildir.

    The folder itself comes last, after the journal: it says that all is there, and a run that was
    killed before is simply done again.
    """
    with opened(box.local_part, domain) as maildir:
        if f".{folder}" in what_lies_in(maildir):
            raise Refused(
                "address", f"{box} has a folder {folder} already: rename or remove it first"
            )
        cleared(RESTORING, domain)
        make_folder(domain, RESTORING, None)  # closed to its owner until it is done
        with opened(RESTORING, domain) as fresh:
            came = unpack(packed, fresh, folder, owner)
            os.sync()
            for each in sorted(came.folders - what_lies_in(maildir).keys() - {f".{folder}"}):
                os.rename(each, each, src_dir_fd=fresh, dst_dir_fd=maildir)
            _subscribe(fresh, maildir, sorted(came.folders), owner)
            tell(came.messages)
            os.rename(f".{folder}", f".{folder}", src_dir_fd=fresh, dst_dir_fd=maildir)
        os.fsync(maildir)
    return came


def _subscribe(fresh: int, maildir: int, folders: Iterable[str], owner: Owner) -> None:
    """Mail programs that show subscribed folders only are to show these; as Dovecot keeps the list.

    Its second version has a tab between the levels of a name, the first a dot.
    """
    try:
        with _file(SUBSCRIPTIONS, maildir) as kept:
            lines = kept.read().splitlines()
    except FileNotFoundError:
        lines = [b"V\t2", b""]
    level = b"\t" if lines[:1] == [b"V\t2"] else b"."
    names = [os.fsencode(folder.removeprefix(".")).replace(b".", level) for folder in folders]
    lines += [name for name in names if name not in lines]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(SUBSCRIPTIONS, flags, 0o600, dir_fd=fresh), "wb") as out:
        out.write(b"".join(line + b"\n" for line in lines))
        if owner:
            os.fchown(out.fileno(), *owner)
    os.rename(SUBSCRIPTIONS, SUBSCRIPTIONS, src_dir_fd=fresh, dst_dir_fd=maildir)
