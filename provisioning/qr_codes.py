"""QR codes [QRコード]: an address of the web for the camera of a phone, as SVG.

segno draws a code in a millisecond or five, which is most of what a guide would cost. All but the
member's own letters is alike in thousands of guides, and a QR code is linear: data, parity and mask
(ISO/IEC 18004) are all added by exclusive or. So a code is that of the same text with zeros for its
own letters, and over it what each of those changes; both are asked of segno once and kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from segno import QRCode

QUIET_ZONE: Final = 4
"""Modules of white around a code, which readers need."""

_ERROR_LEVEL: Final = "m"
"""15 % of a code may be dirty or torn."""
_MASK: Final = 0
"""The same for all, as only so codes can be added; readers take any of the eight."""


def _made(text: bytes, version: int | None = None) -> QRCode:
    import segno

    return segno.make(
        text,
        version=version,
        error=_ERROR_LEVEL,
        boost_error=False,
        mode="byte",
        mask=_MASK,
        micro=False,
    )


def _modules(code: QRCode) -> int:
    """The modules as bits of one number, dark is 1: rows from the top, each in whole bytes."""
    rows = ["".join("1" if module else "0" for module in row) for row in code.matrix]
    across = (len(rows) + 7) // 8 * 8
    return int("".join(row.ljust(across, "0") for row in rows), 2)


@lru_cache(maxsize=512)
def _beginning(same: bytes, own: int) -> tuple[int, int]:
    """Version and modules of a text that begins alike in many codes, with `own` zeros after it."""
    code = _made(same + bytes(own))
    assert isinstance(code.version, int)
    return code.version, _modules(code)


@lru_cache(maxsize=4096)
def _zeros(version: int, length: int) -> int:
    return _modules(_made(bytes(length), version))


@lru_cache(maxsize=65536)
def _letter(version: int, place: int, letter: int) -> int:
    """The modules that a letter at this place turns over."""
    text = bytes(place) + bytes([letter])
    return _modules(_made(text, version)) ^ _zeros(version, place + 1)


def modules(same: str, own: str) -> list[bytes]:
    """The code of the ASCII text `same + own`: a row from the top each, its modules as bits.

    `same` is what many codes begin with, `own` what differs between them. A row of n modules takes
    n / 8 bytes, rounded up.
    """
    alike, letters = same.encode("ascii"), own.encode("ascii")
    version, made = _beginning(alike, len(letters))
    for place, letter in enumerate(letters, start=len(alike)):
        made ^= _letter(version, place, letter)
    size = 17 + 4 * version
    across = (size + 7) // 8
    rows = made.to_bytes(size * across, "big")
    return [rows[start : start + across] for start in range(0, len(rows), across)]


def _stroke(byte: int) -> str:
    """Eight modules of a row as a path: dark ones drawn, light ones passed over."""
    runs: list[list[int]] = []
    for bit in f"{byte:08b}":
        if runs and runs[-1][0] == int(bit):
            runs[-1][1] += 1
        else:
            runs.append([int(bit), 1])
    return "".join(f"h{length}" if dark else f"m{length} 0" for dark, length in runs)


_STROKES: Final = tuple(_stroke(byte) for byte in range(256))


def qr_code(same: str, own: str, title: str) -> str:
    """The SVG of the code for `same + own`, black on white; `title` is read out to the blind."""
    from html import escape

    rows = modules(same, own)
    whole = len(rows) + 2 * QUIET_ZONE
    path = []
    for y, row in enumerate(rows, start=QUIET_ZONE):
        path.append(f"M{QUIET_ZONE} {y}.5")
        path += map(_STROKES.__getitem__, row)
    said = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" width="{whole * 4}" '
        f'height="{whole * 4}" role="img" aria-label="{said}">'
        f'<title>{said}</title><rect width="{whole}" height="{whole}" fill="#fff"/>'
        f'<path d="{"".join(path)}" stroke="#000" fill="none"/></svg>'
    )
