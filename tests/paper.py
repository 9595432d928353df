"""Reading printed documents back: text, where it stands, fonts, and letters that no font had."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from pypdf import PdfReader
from pypdf.generic import ByteStringObject, ContentStream, DictionaryObject, TextStringObject

POINTS_PER_MM = 72 / 25.4
SHIPPED = {
    f"{family}-{weight}"
    for family in ("NotoSansJP", "NotoSans", "JetBrainsMono")
    for weight in ("Regular", "Bold")
}


def pages(document: bytes) -> list[str]:
    """The text of each page without spaces and line ends, which depend on the layout."""
    return [
        re.sub(r"\s", "", page.extract_text()) for page in PdfReader(io.BytesIO(document)).pages
    ]


def text(document: bytes) -> str:
    return "".join(pages(document))


def lines(document: bytes) -> list[str]:
    """The lines of all pages as they stand."""
    return [
        line
        for page in PdfReader(io.BytesIO(document)).pages
        for line in page.extract_text().splitlines()
    ]


@dataclass(frozen=True)
class Placed:
    """A piece of text on the first page, in millimetres from its left and upper edge."""

    text: str
    left: float
    top: float


def placed(document: bytes) -> list[Placed]:
    page = PdfReader(io.BytesIO(document)).pages[0]
    height = float(page.mediabox.height)
    found: list[Placed] = []

    def visit(piece: str, page_matrix: list[float], text_matrix: list[float], *_: object) -> None:
        if piece.strip():
            x = text_matrix[4] * page_matrix[0] + page_matrix[4]
            y = text_matrix[5] * page_matrix[3] + page_matrix[5]
            found.append(Placed(piece.strip(), x / POINTS_PER_MM, (height - y) / POINTS_PER_MM))

    page.extract_text(visitor_text=visit)
    return found


def _fonts(resources: DictionaryObject) -> DictionaryObject:
    fonts = resources.get("/Font", DictionaryObject()).get_object()
    assert isinstance(fonts, DictionaryObject)
    return fonts


def fonts(document: bytes) -> set[str]:
    """Names of the fonts used, without the tag that marks a subset."""
    found: set[str] = set()
    for page in PdfReader(io.BytesIO(document)).pages:
        resources = page["/Resources"].get_object()
        assert isinstance(resources, DictionaryObject)
        for font in _fonts(resources).values():
            found.add(str(font.get_object()["/BaseFont"]).partition("+")[2].split("-Identity")[0])
    return found


def unprinted(document: bytes) -> int:
    """How many signs print as an empty box since no font has them: glyph 0 of a font."""
    reader = PdfReader(io.BytesIO(document))
    missing = 0
    for page in reader.pages:
        content = page.get_contents()
        assert isinstance(content, ContentStream)
        for operands, operator in content.operations:
            if operator not in (b"Tj", b"TJ"):
                continue
            pieces = operands[0] if operator == b"TJ" else operands
            for piece in pieces:
                if isinstance(piece, ByteStringObject | TextStringObject):
                    codes = piece.original_bytes
                    missing += [codes[i : i + 2] for i in range(0, len(codes), 2)].count(b"\0\0")
    return missing
