"""Figures of setup guides [図]: each step's screen drawn from the step itself.

A window with its title, the way to it, its fields with what to enter, and the button to click;
menus to open one after the other; the wiring; or a terminal with the commands. All are SVG without
script, style, font or any other file, so that a page, a PDF and a browser show the same.

The frame of a figure depends only on how many lines each text takes, and is kept; a member's own
lines are then put into it. So thousands a second are drawn.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import Final
from unicodedata import combining, east_asian_width

from provisioning.steps import Step

WIDTH: Final = 300
"""Of every figure, in units that are pixels on a phone."""

_SANS: Final = "'Noto Sans JP','Noto Sans',system-ui,'Hiragino Sans','Yu Gothic UI',sans-serif"
_MONO: Final = "'JetBrains Mono','Noto Sans JP','Noto Sans',ui-monospace,Consolas,Menlo,monospace"

_INK, _QUIET, _ACCENT, _LINE, _PALE = "#1b1f26", "#4c5665", "#1d3f72", "#b9c4d6", "#eef2f8"
_MARK, _MARKED = "#fff4c9", "#c98a00"
"""What a member types is marked: yellow, and by a thicker line where print has no colours."""
_NIGHT, _NIGHT_INK, _NIGHT_QUIET = "#1f2733", "#f2f5f9", "#8fd19e"

# Texts

_NOT_AT_START: Final = frozenset(
    "›、。，．・：；？！）」』】〕〉》］｝ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.:;?!)]}"
)
_WORDS: Final = re.compile(r"[\u0021-\u02ff]+|[\u30a1-\u30ff]+|.", re.DOTALL)
_TYPED: Final = re.compile(r"@?[\u0021-\u003f\u0041-\u02ff]+|.", re.DOTALL)
_BROAD: Final = frozenset("MWmw@%")


def text_width(text: str, *, mono: bool = False) -> float:
    """How wide `text` is, in ems: a full-width letter is one; rather too wide than too narrow."""
    width = 0.0
    for letter in text:
        if combining(letter):
            continue
        if east_asian_width(letter) in "WFA":
            width += 1.0
        elif mono:
            width += 0.6
        else:
            width += 0.95 if letter in _BROAD else 0.7 if letter.isupper() else 0.58
    return width


def wrapped(text: str, room: float, *, mono: bool = False) -> tuple[str, ...]:
    """`text` in lines of at most `room` ems, at least one.

    Words of Latin letters or katakana stay whole where they fit on a line; a mark that ends something
    does not begin a line, but hangs over the end of the one before [ぶら下げ]. An address that has to be
    parted is parted before its @, so that nobody types a host name in two.
    """
    if text_width(text, mono=mono) <= room:
        return (text,)
    lines, line, used = [], "", 0.0
    for word in (_TYPED if mono else _WORDS).findall(text):
        width = text_width(word, mono=mono)
        pieces = [word] if width <= room else list(word)
        for piece in pieces:
            width = text_width(piece, mono=mono)
            hangs = piece in _NOT_AT_START and used <= room
            if line and used + width > room and not hangs:
                lines.append(line.rstrip())
                line, used = "", 0.0
                if piece.isspace():
                    continue
            line, used = line + piece, used + width
    return (*lines, line) if line else tuple(lines)


def balanced(text: str, room: float) -> tuple[str, ...]:
    """`text` in as few lines as `wrapped` makes, none much shorter than the others."""
    lines = wrapped(text, room)
    for narrower in range(int(room), int(room / 2), -1):
        if len(wrapped(text, narrower)) > len(lines):
            break
        lines = wrapped(text, narrower)
    return lines


@lru_cache(maxsize=1024)
def _title(text: str) -> tuple[str, ...]:
    return tuple([escape(line) for line in balanced(text, _TITLE_ROOM)])


@lru_cache(maxsize=8192)
def _lines(text: str, room: float, mono: bool = False) -> tuple[str, ...]:
    """Wrapped and escaped."""
    return tuple([escape(line) for line in wrapped(text, room, mono=mono)])


_FILL: Final = re.compile(
    r"次のとおり|次の項目|入力|欄に|選[びん]|fill in|type |choose|the following|as follows|below",
    re.IGNORECASE,
)
_CLICK: Final = re.compile(
    r"\[([^\]]+)\](?:(?:（[^）]*）)?(?:、| または )\[[^\]]+\])*(?:（[^）]*）)? ?(?:を|の順に)(?:クリック|タップ)"
    r"|(?:click|tap) \[([^\]]+)\]",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def button(text: str) -> str:
    """The button that a step's text says to click once the screen is filled in, or none."""
    clicks = [(found.start(), found[1] or found[2]) for found in _CLICK.finditer(text)]
    filled = _FILL.search(text)
    after = [name for at, name in clicks if filled and at > filled.start()]
    return after[0] if after else clicks[0][1] if clicks else ""


# Drawing: `%s` stands where a line of text goes


def _rect(
    x: float, y: float, width: float, height: float, *, fill: str, line: str = "", **more: str
) -> str:
    stroke = f' stroke="{line}"' if line else ""
    others = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}"'
        f"{stroke}{others}/>"
    )


def _text(
    x: float, y: float, count: int, size: float, *, fill: str = _INK, step: float = 0, **more: str
) -> str:
    """`count` lines of text, the first on the base line `y`."""
    others = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    step = step or size * 1.4
    return "".join(
        f'<text x="{x:g}" y="{y + step * line:g}" font-size="{size:g}" fill="{fill}"{others}>%s</text>'
        for line in range(count)
    )


def _mono(x: float, y: float, count: int, size: float = 13, fill: str = _INK) -> str:
    return _text(x, y, count, size, fill=fill, font_family=_MONO)


_LEFT: Final = 14
_INNER: Final = WIDTH - 2 * _LEFT
_TITLE_ROOM, _WAY_ROOM = (WIDTH - 92) / 14, _INNER / 11.5
_LABEL_ROOM, _BOX_ROOM, _CHOICE_ROOM = _INNER / 12.5, (_INNER - 20) / 13, (_INNER - 40) / 13
_BOX_LABEL_ROOM, _NOTE_ROOM = (_INNER - 30) / 12.5, _INNER / 11.5
_MENU_ROOM, _COMMAND_ROOM = (_INNER - 44) / 13, (_INNER - 14) / 12

Row = tuple[str, int, int]
"""A field: its control, and how many lines label and value take."""


def _input(row: Row, y: float) -> tuple[str, float]:
    """A label and the box below it; the y where the next row begins."""
    control, labels, values = row
    drawn = _text(_LEFT, y + 12, labels, 12.5, fill=_QUIET)
    top = y + 17.5 * labels + 1
    tall = 13 + 18.2 * (1 if control == "secret" else values)
    fill, line, stroke = ("#fff", _LINE, "1.2")
    if control in ("text", "secret"):
        fill, line, stroke = (_MARK, _MARKED, "1.8")
    dashes = {"stroke_dasharray": "4 3"} if control == "empty" else {}
    drawn += _rect(_LEFT, top, _INNER, tall, fill=fill, line=line, stroke_width=stroke, **dashes)
    if control == "secret":
        drawn += "".join(
            f'<circle cx="{_LEFT + 14 + 11 * dot}" cy="{top + tall / 2:g}" r="3" fill="{_INK}"/>'
            for dot in range(8)
        )
        drawn += _text(_LEFT, top + tall + 15, values, 11.5, fill=_QUIET)
        return drawn, top + tall + 6 + 16.1 * values + 8
    if control == "text":
        drawn += _mono(_LEFT + 10, top + 20, values)
    else:
        fill = _QUIET if control == "empty" else _INK
        drawn += _text(_LEFT + 10, top + 20, values, 13, fill=fill)
    if control == "choice":
        x, middle = WIDTH - _LEFT - 20, top + tall / 2 - 2.5
        drawn += (
            f'<path d="M{x} {middle:g}l5 5 5-5" fill="none" stroke="{_QUIET}" stroke-width="2"/>'
        )
    return drawn, top + tall + 12


def _box(row: Row, y: float) -> tuple[str, float]:
    """A box to tick, or a switch, with its label, and below what to do with it."""
    control, labels, values = row
    if control in ("on", "off"):
        fill, knob = (_ACCENT, 12) if control == "on" else (_LINE, 0)
        drawn = _rect(_LEFT - 1, y + 2, 30, 18, fill=fill).replace('rx="6"', 'rx="9"')
        drawn += f'<circle cx="{_LEFT + 8 + knob}" cy="{y + 11:g}" r="6.5" fill="#fff"/>'
        x = _LEFT + 38
    else:
        ticked = control == "ticked"
        dashes = {"stroke_dasharray": "3 2"} if control == "maybe" else {}
        fill, line = (_ACCENT, _ACCENT) if ticked else ("#fff", _QUIET)
        drawn = _rect(_LEFT, y + 2, 17, 17, fill=fill, line=line, stroke_width="1.6", **dashes)
        drawn = drawn.replace('rx="6"', 'rx="3.5"')
        if ticked:
            drawn += (
                f'<path d="M{_LEFT + 4} {y + 10.5:g}l3.5 4 6-7.5" fill="none" stroke="#fff" '
                'stroke-width="2.4"/>'
            )
        x = _LEFT + 27
    drawn += _text(x, y + 15, labels, 12.5)
    below = y + 17.5 * labels
    drawn += _text(x, below + 14, values, 11.5, fill=_MARKED_INK, font_weight="bold")
    return drawn, below + 16.1 * values + 14


_MARKED_INK: Final = "#8a5a00"


def _click(lines: int, width: int, y: float, *, phone: bool = False) -> tuple[str, float]:
    """The button to click, and the pointer on it; on a phone, where a finger taps."""
    x, tall = WIDTH - _LEFT - width, 14 + 18.2 * lines
    drawn = _rect(x, y, width, tall, fill=_ACCENT)
    drawn += _text(
        x + width / 2, y + 20.5, lines, 13, fill="#fff", font_weight="bold", text_anchor="middle"
    )
    if phone:
        drawn += (
            f'<circle cx="{x + width - 9}" cy="{y + tall - 5:g}" r="11" fill="{_MARKED}" '
            f'fill-opacity="0.45" stroke="{_MARKED}" stroke-width="2"/>'
        )
    else:
        drawn += (
            f'<path d="M{x + width - 12} {y + tall - 11:g}v17l4-3.6 2.8 6 3-1.4-2.8-5.8h5.4z" '
            f'fill="#fff" stroke="{_INK}" stroke-width="1.3" stroke-linejoin="round"/>'
        )
    return drawn, y + tall + 12


def _framed(tall: float, inside: str, fill: str = "#fff", line: str = _LINE) -> str:
    tall = round(tall)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" '
        f'height="{tall}" role="img" aria-label="%s" font-family="{_SANS}"><title>%s</title>'
        + _rect(0.75, 0.75, WIDTH - 1.5, tall - 1.5, fill=fill, line=line, stroke_width="1.5")
        + inside
        + "</svg>"
    )


def _bar(titles: int, ways: int, *, phone: bool) -> tuple[str, float]:
    """The title bar, and below it the way to this window; on a phone there is a way back."""
    tall = 17 + 19.6 * titles
    drawn = (
        f'<path d="M1.5 {tall:g}V8q0-6.5 6.5-6.5h{WIDTH - 16}q6.5 0 6.5 6.5V{tall:g}z" '
        f'fill="{_PALE}"/><path d="M1 {tall:g}h{WIDTH - 2}" stroke="{_LINE}"/>'
    )
    signs = (
        f'<path d="M{_LEFT + 6} 12l-6 6 6 6" fill="none" stroke="{_ACCENT}" stroke-width="2.2"/>'
        if phone
        else f'<path d="M{WIDTH - 52} 18.5h8m8.5-4.5h8v8h-8zm16.5 0l8 8m0-8l-8 8" fill="none" '
        f'stroke="{_QUIET}" stroke-width="1.2"/>'
    )
    x = _LEFT + 18 if phone else _LEFT
    drawn += signs + _text(x, 23, titles, 14, fill=_ACCENT, font_weight="bold")
    if ways:
        drawn += _text(_LEFT, tall + 18, ways, 11.5, fill=_QUIET)
        tall += 16.1 * ways + 8
    return drawn, tall + 12


@lru_cache(maxsize=4096)
def _window(
    titles: int,
    ways: int,
    rows: tuple[Row, ...],
    button_lines: int,
    button_width: int,
    *,
    phone: bool,
) -> str:
    drawn, y = _bar(titles, ways, phone=phone)
    for row in rows:
        made, y = (_box if row[0] in _BOXES else _input)(row, y)
        drawn += made
    if button_lines:
        made, y = _click(button_lines, button_width, y + 2, phone=phone)
        drawn += made
    return _framed(y + 2, drawn)


_BOXES: Final = frozenset({"ticked", "unticked", "maybe", "on", "off"})


@lru_cache(maxsize=1024)
def _menus(
    rows: tuple[int, ...], button_lines: int, button_width: int, *, phone: bool = False
) -> str:
    """Menus to open one after the other; the last is marked."""
    drawn, y = "", 12.0
    for number, lines in enumerate(rows, start=1):
        last = number == len(rows)
        tall = 16 + 18.2 * lines
        colours = (_MARK, _MARKED, "1.8") if last else ("#fff", _LINE, "1.2")
        drawn += _rect(
            _LEFT, y, _INNER, tall, fill=colours[0], line=colours[1], stroke_width=colours[2]
        )
        drawn += (
            f'<circle cx="{_LEFT + 18}" cy="{y + tall / 2:g}" r="10" fill="{_ACCENT}"/>'
            f'<text x="{_LEFT + 18}" y="{y + tall / 2 + 4.3:g}" font-size="12" fill="#fff" '
            f'font-weight="bold" text-anchor="middle">{number}</text>'
        )
        drawn += _text(_LEFT + 38, y + 21.5, lines, 13)
        y += tall
        if not last:
            drawn += f'<path d="M{WIDTH / 2 - 5:g} {y + 5:g}l5 5 5-5" fill="none" stroke="{_QUIET}" stroke-width="2"/>'
            y += 15
    if button_lines:
        made, y = _click(button_lines, button_width, y + 12, phone=phone)
        drawn += made
    return _framed(y + 12, drawn)


@lru_cache(maxsize=256)
def _wiring(boxes: tuple[tuple[int, int], ...]) -> str:
    """The wall, the device of the line and the member's own, each joined to the next by a cable."""
    drawn, y = "", 12.0
    for number, (labels, values) in enumerate(boxes, start=1):
        tall = 14 + 16.1 * labels + 18.9 * values
        drawn += _rect(_LEFT, y, _INNER, tall, fill=_PALE, line=_LINE, stroke_width="1.4")
        drawn += _text(_LEFT + 14, y + 19, labels, 11.5, fill=_QUIET)
        drawn += _text(
            _LEFT + 14, y + 20 + 16.1 * labels, values, 13.5, fill=_ACCENT, font_weight="bold"
        )
        y += tall
        if number < len(boxes):
            drawn += (
                f'<path d="M{_LEFT + 40} {y:g}v22" stroke="{_MARKED}" stroke-width="4"/>'
                f'<path d="M{_LEFT + 33} {y + 1.5:g}h14m-14 19h14" stroke="{_INK}" stroke-width="5"/>'
            )
            y += 22
    return _framed(y + 12, drawn)


@lru_cache(maxsize=256)
def _terminal(titles: int, commands: tuple[int, ...]) -> str:
    drawn = "".join(
        f'<circle cx="{_LEFT + 5 + 15 * dot}" cy="18" r="4.5" fill="{colour}"/>'
        for dot, colour in enumerate(("#e2695f", "#e5b84b", "#6fbf73"))
    )
    drawn += _text(_LEFT + 54, 22.5, titles, 13, fill=_NIGHT_INK, font_weight="bold")
    y = 16 + 18.2 * titles
    drawn += f'<path d="M1 {y:g}h{WIDTH - 2}" stroke="#4c5665"/>'
    y += 22
    for lines in commands:
        drawn += _mono(_LEFT, y, 1, 12, _NIGHT_QUIET).replace("%s", "$")
        drawn += _mono(_LEFT + 14, y, lines, 12, _NIGHT_INK)
        y += 16.8 * lines + 5
    return _framed(y + 2, drawn, _NIGHT, _NIGHT)


# From a step to its figure


@lru_cache(maxsize=1024)
def _button(name: str) -> tuple[tuple[str, ...], int]:
    """The lines of a button's name and the button's width."""
    if not name:
        return (), 0
    lines = balanced(name, (_INNER - 30) / 13.5)
    width = max(84, round(max(map(text_width, lines)) * 13.5) + 30)
    return tuple([escape(line) for line in lines]), min(_INNER, width)


def figure(step: Step, title: str) -> str:
    """The SVG of a step's screen for the guide of this title; empty where there is nothing to draw.

    A field that the member types is marked, a box ticked or not as the step says.
    """
    said = escape(" › ".join(step.path))
    own = [said, said]
    if step.commands:
        titles = _title(step.path[-1])
        commands = [_lines(command, _COMMAND_ROOM, mono=True) for command in step.commands]
        own += titles
        for lines in commands:
            own += lines
        return _terminal(len(titles), tuple([len(lines) for lines in commands])) % tuple(own)
    if step.drawing == "wiring":
        return _wiring_of(step, title, own)
    if step.fields:
        return _window_of(step, own)
    return _menus_of(step, own)


def _window_of(step: Step, own: list[str]) -> str:
    titles = _title(step.path[-1])
    ways = _lines(" › ".join((*step.path[:-1], "")), _WAY_ROOM) if len(step.path) > 1 else ()
    own += titles
    own += ways
    clicked = button(step.text)
    rows = []
    for field in step.fields:
        control = field.control
        if control == "choice" and field.value == clicked:
            continue  # choosing it is the click
        if control in _BOXES:
            labels, values = (
                _lines(field.label, _BOX_LABEL_ROOM),
                _lines(field.value, _BOX_LABEL_ROOM),
            )
        else:
            labels = _lines(field.label, _LABEL_ROOM)
            if control == "text":
                values = _lines(field.value, _BOX_ROOM, mono=True)
            else:
                values = _lines(field.value, _NOTE_ROOM if control == "secret" else _CHOICE_ROOM)
        own += labels
        own += values
        rows.append((control, len(labels), len(values)))
    names, width = _button(clicked)
    own += names
    phone = step.drawing == "phone"
    frame = _window(len(titles), len(ways), tuple(rows), len(names), width, phone=phone)
    return frame % tuple(own)


def _menus_of(step: Step, own: list[str]) -> str:
    name = button(step.text)
    if len(step.path) == 1 and not name:
        return ""
    if len(step.path) == 1:
        return _window_of(step, own)
    rows = [_lines(piece, _MENU_ROOM) for piece in step.path]
    names, width = _button("" if name in step.path else name)
    for lines in rows:
        own += lines
    own += names
    phone = step.drawing == "phone"
    return _menus(tuple([len(each) for each in rows]), len(names), width, phone=phone) % tuple(own)


def _wiring_of(step: Step, title: str, own: list[str]) -> str:
    boxes = [(field.label, field.value) for field in step.fields]
    sizes = []
    for label, value in (*boxes, ("", title)):
        labels = _lines(label, _NOTE_ROOM - 2) if label else ()
        values = _lines(value, (_INNER - 28) / 13.5)
        own += labels
        own += values
        sizes.append((len(labels), len(values)))
    return _wiring(tuple(sizes)) % tuple(own)
