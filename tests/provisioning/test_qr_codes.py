"""QR codes against the library that knows the standard, and read by a camera's program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.qr_codes import QUIET_ZONE, modules, qr_code

SAME = "https://autoconfig.example.jp/guide/thunderbird?address="
SVG = "{http://www.w3.org/2000/svg}"


def by_segno(text: str) -> list[list[int]]:
    code = segno.make(text.encode(), error="m", boost_error=False, mode="byte", mask=0, micro=False)
    return [[int(bool(module)) for module in row] for row in code.matrix]


def as_bits(rows: list[bytes]) -> list[list[int]]:
    return [[int(bit) for byte in row for bit in f"{byte:08b}"][: len(rows)] for row in rows]


def drawn(svg: str) -> list[list[int]]:
    """The modules that the path covers, counted along it as a pen would go."""
    root = ElementTree.fromstring(svg)
    size = int((root.get("viewBox") or "").split()[-1])
    grid = [[0] * size for _ in range(size)]
    (path,) = root.iter(f"{SVG}path")
    for row in (path.get("d") or "").split("M")[1:]:
        words = row.replace("h", " h ").replace("m", " m ").split()
        x, y, place = int(words[0]), int(float(words[1])), 2
        while place < len(words):
            length = int(words[place + 1])
            if words[place] == "h":
                grid[y][x : x + length] = [1] * length
            x, place = x + length, place + (2 if words[place] == "h" else 3)
    inside = slice(QUIET_ZONE, size - QUIET_ZONE)
    assert sum(map(sum, grid)) == sum(sum(row[inside]) for row in grid[inside])
    return [row[inside] for row in grid[inside]]


@settings(max_examples=25, deadline=None)
@given(
    own=st.text(alphabet="abcxyz0189._+-%@", max_size=40),
    same=st.sampled_from([SAME, "https://autoconfig.a.jp/mobileconfig?address=", "x"]),
)
def test_isp_17_adding_letters_gives_the_code_that_segno_makes(own: str, same: str) -> None:
    assert as_bits(modules(same, own)) == by_segno(same + own)


@pytest.mark.parametrize("length", [0, 1, 5, 27, 28, 29, 130, 200])
def test_isp_17_every_size_is_drawn_as_segno_makes_it(length: int) -> None:
    """Sizes grow with the text; from version 10 on its length takes two bytes."""
    own = "ab" * (length // 2) + "c" * (length % 2)
    assert drawn(qr_code(SAME, own, "x")) == by_segno(SAME + own)


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    "address", ["taro@example.jp", "a+b_c.d-e@xn--wgv71a119e.jp", f"{'long.' * 12}x@example.jp"]
)
def test_isp_17_a_camera_reads_the_address(address: str, tmp_path: Path) -> None:
    svg = tmp_path / "code.svg"
    svg.write_text(qr_code(SAME, quote(address, safe=""), "x"))
    import typst

    picture = tmp_path / "code.typ"
    picture.write_text('#set page(width: auto, height: auto)\n#image("code.svg", width: 30mm)')
    typst.compile(picture, output=tmp_path / "code.png", format="png", ppi=150)
    read = subprocess.run(
        ["zbarimg", "--quiet", "--raw", "--nodbus", tmp_path / "code.png"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert read.stdout == f"{SAME}{quote(address, safe='')}\n"


def test_what_is_read_out_is_escaped() -> None:
    root = ElementTree.fromstring(qr_code("x", "y", '<b>"&'))
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == '<b>"&'
