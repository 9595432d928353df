"""The end of a log, read backwards [ログの末尾]: what is recent costs the same however long it is.

Read block by block from the end, then the file that was rotated last (`.1`), and never more than
a fixed number of bytes. Whatever is in it, and however long its lines are, memory is bounded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

BLOCK: Final = 1 << 20
MOST_BYTES: Final = 128 << 20
"""So much of a log is searched, both files together: about a second, where nothing is found."""
LONGEST_LINE: Final = 1 << 16
"""Of a longer line only its beginning is kept."""


def lines_with(
    log: Path,
    needles: Sequence[bytes],
    is_old: Callable[[bytes], bool],
    most_bytes: int = MOST_BYTES,
) -> Iterator[bytes]:
    """Lines that contain one of the needles (in lower case; case does not count), newest first.

    The search ends where a block begins with a line that `is_old`. Raises OSError where the log
    cannot be read; a rotated file that cannot is left out.
    """
    left = most_bytes
    for read, block in _blocks_of_both(log):
        yield from _hits(block, needles)
        left -= read
        if left <= 0 or is_old(block[:LONGEST_LINE].partition(b"\n")[0]):
            return


def _hits(block: bytes, needles: Sequence[bytes]) -> Iterator[bytes]:
    lowered = block.lower()
    found: dict[int, int] = {}
    for needle in needles:
        at = lowered.find(needle)
        while at >= 0:
            end = lowered.find(b"\n", at)
            end = len(block) if end < 0 else end
            found[lowered.rfind(b"\n", 0, at) + 1] = end
            at = lowered.find(needle, end)
    for start in sorted(found, reverse=True):
        yield block[start : min(found[start], start + LONGEST_LINE)]


def _blocks_of_both(log: Path) -> Iterator[tuple[int, bytes]]:
    opened = _opened(log)
    try:
        yield from _blocks(opened)
        try:
            rotated = _opened(log.with_name(f"{log.name}.1"))
        except OSError:
            return
        try:
            # Rotated meanwhile: it is the one that has just been read.
            if not os.path.samestat(os.fstat(opened), os.fstat(rotated)):
                yield from _blocks(rotated)
        finally:
            os.close(rotated)
    finally:
        os.close(opened)


def _opened(path: Path) -> int:
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(0, "is not a file", str(path))
    return opened


def _blocks(opened: int) -> Iterator[tuple[int, bytes]]:
    """How much was read, and the whole lines in it, the last ones first; in a block in order."""
    end = os.fstat(opened).st_size
    rest = b""  # the end of a line that begins before what has been read
    while end > 0:
        start = max(0, end - BLOCK)
        size, end = end - start, start
        read = os.pread(opened, size, start) + rest
        first_end = read.find(b"\n") + 1 if start else 0
        if start and not first_end:  # the middle of a line without end
            rest = read[:LONGEST_LINE]
            yield size, b""
            continue
        rest, whole = read[:first_end][:LONGEST_LINE], read[first_end:]
        yield size, whole
