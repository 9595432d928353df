"""Keys that sign [DKIM 署名鍵] reach OpenDKIM: files that follow the rotation, and the word to read them.

Private keys leave the database into these files only. The folder's owner, as whom OpenDKIM runs, gets
them with mode 0600; each takes the place of the old one in one step.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.errors import Fault
from isp.shift import Shift
from provisioning.archives import opened
from provisioning.opendkim import SigningKey, check_knobs, files, key_file, left_over, out_of_step
from provisioning.runs.domains import hand_out_key
from provisioning.tables import DkimKey

TIMEOUT_SECONDS: Final = 30
_LONGEST: Final = 100_000_000
"""More than the table of a million domains has."""


@dataclass(frozen=True)
class Plan:
    """What would bring the folder in step: `texts` by file, in the order in which they are written."""

    texts: dict[str, str] = field(default_factory=dict, repr=False)
    domains: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()


def folder_of(shift: Shift) -> Path | None:
    """Where OpenDKIM's files lie; None where it is not used. Refused: knobs that cannot be kept."""
    if not shift.policy.platform.dkim:
        return None
    folder = shift.root / shift.policy.platform.dkim
    check_knobs(str(folder), shift.policy.platform.dkim_reload)
    return folder


def planned(session: Session, shift: Shift, folder: Path) -> Plan:
    """What of the folder is not as the keys are that sign today; nothing is changed."""
    keys = _signing(session, shift)
    wanted = files(keys, str(folder))
    try:
        with opened(folder) as held:
            names = os.listdir(held)
            there = {name: _read(held, name) for name in wanted.keys() & set(names)}
    except OSError as wrong:
        raise Fault(
            f"platform.dkim: cannot read {folder}: {wrong.strerror}; the README of "
            "`isp mail-platform render` says how it is made"
        ) from None
    stale = out_of_step(wanted, there)
    return Plan(
        {name: wanted[name] for name in stale},
        tuple(key.domain for key in keys if key_file(key) in stale),
        tuple(left_over(wanted, names)),
    )


def hand_out(session: Session, shift: Shift, plan: Plan) -> None:
    """Journal who takes which keys (ALL-03): committed before a file has one."""
    for domain in plan.domains:
        hand_out_key(session, shift, domain)


def write(folder: Path, plan: Plan) -> None:
    """Write what is out of step; done twice, or killed and done again, the same lies there."""
    try:
        with opened(folder) as held:
            for name, text in plan.texts.items():
                _put(held, name, text)
            os.fsync(held)
    except OSError as wrong:
        raise Fault(f"platform.dkim: cannot write in {folder}: {wrong.strerror}") from None


def clear(folder: Path, names: Iterable[str]) -> None:
    """Remove keys that sign no more."""
    try:
        with opened(folder) as held:
            for name in names:
                os.unlink(name, dir_fd=held)
            os.fsync(held)
    except OSError as wrong:
        raise Fault(f"platform.dkim: cannot clear {folder}: {wrong.strerror}") from None


def take_up(command: str) -> None:
    """Tell OpenDKIM to read its table, by the operator's command; Fault where that fails."""
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as wrong:
        raise Fault(f"platform.dkim_reload: {wrong}") from None
    if done.returncode:
        told = " ".join(done.stderr.split())[:200]
        raise Fault(f"platform.dkim_reload: {told or f'exit code {done.returncode}'}")


def _signing(session: Session, shift: Shift) -> list[SigningKey]:
    wanted = select(DkimKey).where(DkimKey.state == "signing").order_by(DkimKey.domain)
    return [
        SigningKey(key.domain, key.selector, shift.seal.open(key.sealed_key))
        for key in session.scalars(wanted)
        if key.sealed_key is not None
    ]


def _read(folder: int, name: str) -> str | None:
    """A file of ours as it was put there; None for one that others made, or may read."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with open(file, "rb") as found:
        kind = os.fstat(file)
        if kind.st_mode != stat.S_IFREG | 0o600 or kind.st_uid != os.fstat(folder).st_uid:
            return None
        return found.read(_LONGEST).decode("utf-8", "replace")


def _put(folder: int, name: str, text: str) -> None:
    """The owner of the folder may do there what it likes: nothing that it has made is followed."""
    part = f".{name}.part"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    with open(file, "w", encoding="utf-8") as out:
        owner = os.fstat(folder)
        os.fchown(file, owner.st_uid, owner.st_gid)
        out.write(text)
        out.flush()
        os.fsync(file)
    os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
