"""The Zengin account transfer file [全銀フォーマット 預金口座振替], both ways (ISP-07).

Fixed records of 120 bytes in JIS X 0201, one byte a character: one header, the items, one trailer,
one end record. Digits (N) stand right with zeros in front, characters (C) left with blanks behind.
Source: formats.md, which follows the Japanese Bankers Association's layout. Pure: bytes and values
only; whether a result belongs to a request is the import run's question.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from operator import attrgetter
from reprlib import repr as shown
from typing import Any, BinaryIO, Literal, NamedTuple

from isp.errors import Refused
from isp.kana import BANK_CLASS, POLICY_CLASS, named

LineEnd = Literal["none", "crlf"]

RECORD_LENGTH = 120
MOST_ITEMS = 999_999
LARGEST_TOTAL = 999_999_999_999


class Reason(NamedTuple):
    """What a result code means, for the desk and for letters."""

    ja: str
    en: str


SETTLED = "0"
RESULT_CODES = {
    SETTLED: Reason("振替済", "transferred"),
    "1": Reason("資金不足", "insufficient funds"),
    "2": Reason("預金取引なし", "no such account"),
    "3": Reason("預金者の都合による振替停止", "stopped by the payer"),
    "4": Reason("預金口座振替依頼書なし", "no transfer mandate"),
    "8": Reason("委託者の都合による振替停止", "stopped by the consignor"),
    "9": Reason("その他", "other reason"),
}
"""Result codes [振替結果コード]; every one but 0 is a failure."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose file it is [委託者] and when it is drawn; `month_day` is MMDD, the file has no year."""

    consignor_code: str
    consignor_name: str
    month_day: str
    bank: str
    bank_name: str
    branch: str
    branch_name: str
    account_type: str
    account_number: str


@dataclass(frozen=True, slots=True)
class Item:
    """One transfer [振替明細]: the payer's account, the amount in yen, our reference.

    `account_type` is the Zengin digit (1 ordinary, 2 current, 3 tax, 9 other); `new_code` is 1 for
    the first transfer from an account, 2 after a change, 0 otherwise. Names are half-width, as in
    the file. Account number and holder stay out of `repr`, so that no log shows them.
    """

    bank: str
    bank_name: str
    branch: str
    branch_name: str
    account_type: str
    account_number: str = field(repr=False)
    holder: str = field(repr=False)
    amount: int
    new_code: str
    customer_number: str
    result_code: str = SETTLED


@dataclass(frozen=True, slots=True)
class Trailer:
    """Counts and sums in yen [合計]; in a request nothing is settled or failed yet."""

    count: int = 0
    amount: int = 0
    settled_count: int = 0
    settled_amount: int = 0
    failed_count: int = 0
    failed_amount: int = 0


@dataclass(frozen=True, slots=True)
class TransferFile:
    """A whole file, proven consistent in itself."""

    header: Header
    items: tuple[Item, ...]
    trailer: Trailer


def request(header: Header, items: Iterable[Item], *, line_end: LineEnd) -> Iterator[bytes]:
    """The request to the bank [請求データ] in blocks, the trailer counted on the way.

    Memory stays flat however many items there are. A value that does not fit is refused naming
    customer and field when its block is made, so write to a file of another name first.
    """
    return _written(header, items, line_end, answered=False)


def result(header: Header, items: Iterable[Item], *, line_end: LineEnd) -> Iterator[bytes]:
    """The file as the bank returns it [結果データ]: the items with result codes, and their sums."""
    return _written(header, items, line_end, answered=True)


def parse(
    source: bytes | BinaryIO, *, expects: Literal["result", "request"] = "result"
) -> TransferFile:
    """The bank's result file [振替結果], or a request read back; anything odd is refused whole.

    Checked: records of 120 bytes in JIS X 0201 with one kind of line end (none, CRLF or LF; a 1A
    may follow the last), their order, every field, counts and sums against the items, and that
    nothing follows the end record. Refused("file", "line N: field: rule"); lines count records.
    """
    records = _records(source if isinstance(source, bytes) else source.read(_MOST_BYTES + 1))
    line, text = next(records)
    header = Header(*_cut(_HEADER, line, text))
    items: list[Item] = []
    for line, text in records:
        if text[0] != "2":
            break
        items.append(_item(_cut(_ITEM, line, text)))
    else:
        raise Refused("file", f"breaks off after line {line}, without a trailer; fetch it again")
    trailer = Trailer(*map(int, _cut(_TRAILER, line, text)))
    _prove(trailer, items, expects, line)
    line, text = next(records, (line, ""))
    if not text:
        raise Refused(
            "file", f"breaks off after line {line}, without an end record; fetch it again"
        )
    if text != _END:
        raise Refused("file", f"line {line}: record kind: must be 9 and 119 blanks after a trailer")
    if next(records, None):
        raise Refused("file", f"line {line + 1}: nothing may follow the end record")
    return TransferFile(header, tuple(items), trailer)


class _Field(NamedTuple):
    """A column of a record. A constant has no `value`; it is in the file, not among the values."""

    name: str
    length: int
    template: str
    """How a value is written, or the constant itself."""
    value: str
    """Pattern of a value that may be written."""
    cut: str
    """Pattern of the column in a file, with a group where it is a value."""
    rule: str


def _digits(name: str, length: int) -> _Field:
    form = f"[0-9]{{{length}}}"
    return _Field(name, length, "%s", form, f"({form})", f"must be {length} digits")


def _number(name: str, length: int) -> _Field:
    value, cut = f"[0-9]{{1,{length}}}", f"([0-9]{{{length}}})"
    rule = f"must be a whole number of at most {length} digits"
    return _Field(name, length, f"%0{length}d", value, cut, rule)


def _amount(name: str, length: int) -> _Field:
    value, cut = f"[1-9][0-9]{{0,{length - 1}}}", f"(?!0{{{length}}})([0-9]{{{length}}})"
    rule = f"must be whole yen above 0, at most {length} digits"
    return _Field(name, length, f"%0{length}d", value, cut, rule)


def _one_of(name: str, codes: Collection[str]) -> _Field:
    form = f"[{''.join(codes)}]"
    return _Field(name, 1, "%s", form, f"({form})", f"must be one of {', '.join(codes)}")


def _characters(name: str, length: int, *, least: int = 0) -> _Field:
    # No blank at either end of a value: it would be lost among those that fill the column.
    value = f"(?! )[{BANK_CLASS}{POLICY_CLASS}]{{{least},{length}}}(?<! )"
    cut = f"{f'(?! {{{length}}})' if least else ''}(.{{{length}}})"
    rule = f"must be {least} to {length} half-width characters, no blank at either end"
    return _Field(name, length, f"%-{length}s", value, cut, rule)


def _month_day(name: str) -> _Field:
    form = (
        "(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])"
        "|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|[12][0-9]))"
    )
    return _Field(name, 4, "%s", form, f"({form})", "must be a day of the year, MMDD")


def _constant(name: str, text: str) -> _Field:
    rule = "must be blank" if text.isspace() else f"must be {text}"
    return _Field(name, len(text), text, "", text, rule)


class _Layout:
    """A kind of record: which values it takes, how they are written, how they are cut out."""

    def __init__(self, *columns: _Field) -> None:
        self.columns = columns
        self.takes = tuple(column for column in columns if column.value)
        self.values = attrgetter(*(column.name for column in self.takes))
        self.template = "".join(column.template for column in columns)
        # Values are checked one a line: no pattern takes a line feed, so none can borrow a
        # character of its neighbour, as it could in the finished record.
        self.listed = "\n".join("%s" for _ in self.takes)
        self.allowed = re.compile("\n".join(column.value for column in self.takes))
        self.cut = re.compile("".join(column.cut for column in columns))


_HEADER = _Layout(
    _constant("record kind", "1"),
    _constant("file kind", "91"),
    _constant("character code", "0"),
    _digits("consignor_code", 10),
    _characters("consignor_name", 40, least=1),
    _month_day("month_day"),
    _digits("bank", 4),
    _characters("bank_name", 15),
    _digits("branch", 3),
    _characters("branch_name", 15),
    _one_of("account_type", "12"),
    _digits("account_number", 7),
    _constant("rest of the header", " " * 17),
)
_ITEM = _Layout(
    _constant("record kind", "2"),
    _digits("bank", 4),
    _characters("bank_name", 15),
    _digits("branch", 3),
    _characters("branch_name", 15),
    _constant("clearing house", " " * 4),
    _one_of("account_type", "1239"),
    _digits("account_number", 7),
    _characters("holder", 30, least=1),
    _amount("amount", 10),
    _one_of("new_code", "012"),
    _characters("customer_number", 20, least=1),
    _one_of("result_code", RESULT_CODES),
    _constant("rest of the item", " " * 8),
)
_TRAILER = _Layout(
    _constant("record kind", "8"),
    _number("count", 6),
    _number("amount", 12),
    _number("settled_count", 6),
    _number("settled_amount", 12),
    _number("failed_count", 6),
    _number("failed_amount", 12),
    _constant("rest of the trailer", " " * 65),
)
_END = "9" + " " * 119

_LINE_ENDS = {"none": "", "crlf": "\r\n"}
_BLOCK = 1_000
_MOST_BYTES = (MOST_ITEMS + 3) * (RECORD_LENGTH + 2) + 1

# JIS X 0201: ASCII with ¥ and ‾ for two signs, half-width kana above; the rest is undefined.
_DECODING = "".join(
    "¥" if byte == 0x5C
    else "‾" if byte == 0x7E
    else chr(byte) if 0x20 <= byte < 0x7F
    else chr(byte + 0xFEC0) if 0xA1 <= byte <= 0xDF
    else "\ufffe"
    for byte in range(256)
)  # fmt: skip
_LINE_BREAKS = {10: "\n", 13: "\r"}
_ENCODING = codecs.charmap_build(
    "".join(_LINE_BREAKS.get(byte, character) for byte, character in enumerate(_DECODING))
)


def _encoded(text: str) -> bytes:
    return codecs.charmap_encode(text, "strict", _ENCODING)[0]


def _written(
    header: Header, items: Iterable[Item], line_end: LineEnd, *, answered: bool
) -> Iterator[bytes]:
    end = _LINE_ENDS[line_end]
    yield _encoded(_record(_HEADER, header) + end)
    total = Trailer()
    remaining = iter(items)
    while block := list(islice(remaining, _BLOCK)):
        lines = [_record(_ITEM, item) for item in block]
        lines.append("")
        yield _encoded(end.join(lines))
        total = _total(block, total)
        if not answered and total.failed_count:
            raise Refused("result_code", "must be 0 for every item of a request")
        if total.count > MOST_ITEMS or total.amount > LARGEST_TOTAL:
            raise Refused(
                "file",
                f"{total.count} items of {total.amount} yen are more than the trailer can hold"
                f" ({MOST_ITEMS} items, {LARGEST_TOTAL} yen); write several files",
            )
    if not answered:
        total = Trailer(total.count, total.amount)
    yield _encoded(_record(_TRAILER, total) + end + _END + end)


def _record(layout: _Layout, values: Header | Item | Trailer) -> str:
    """120 characters, or the first value that does not fit, refused by name."""
    written: tuple[Any, ...] = layout.values(values)
    if layout.allowed.fullmatch(layout.listed % written):
        return layout.template % written
    column, value = next(
        (column, str(value))
        for column, value in zip(layout.takes, written, strict=True)
        if not re.fullmatch(column.value, str(value))
    )
    whose = f"customer {shown(values.customer_number)}: " if isinstance(values, Item) else ""
    raise Refused(column.name, f"{whose}{column.rule}{_odd_character(value)}")


def _odd_character(value: str) -> str:
    """Names the character that banks do not accept, if that is the trouble."""
    odd = re.search(f"[^{BANK_CLASS}{POLICY_CLASS}]", value)
    return f"; {named(odd[0])} is not accepted by banks" if odd else ""


def _total(items: Sequence[Item], before: Trailer) -> Trailer:
    """The counts and sums with these items added."""
    amount = sum(item.amount for item in items)
    settled = [item.amount for item in items if item.result_code == SETTLED]
    return Trailer(
        before.count + len(items),
        before.amount + amount,
        before.settled_count + len(settled),
        before.settled_amount + sum(settled),
        before.failed_count + len(items) - len(settled),
        before.failed_amount + amount - sum(settled),
    )


def _records(content: bytes) -> Iterator[tuple[int, str]]:
    """The records with their line numbers, decoded; line ends and a final 1A taken off."""
    if len(content) > _MOST_BYTES:
        raise Refused("file", f"is longer than a file of {MOST_ITEMS} items can be")
    after = content[RECORD_LENGTH : RECORD_LENGTH + 2]
    end = after if after == b"\r\n" else b"\n" if after[:1] == b"\n" else b""
    body = content.removesuffix(b"\x1a").removesuffix(end)
    if not body:
        raise Refused("file", "is empty; fetch it again")
    step = RECORD_LENGTH + len(end)
    for line, start in enumerate(range(0, len(body), step), 1):
        text = _decoded(body[start : start + RECORD_LENGTH], line)
        if len(text) < RECORD_LENGTH:
            raise Refused(
                "file", f"line {line}: breaks off after {len(text)} of {RECORD_LENGTH} bytes"
            )
        expected = end if start + step < len(body) else b""
        if body[start + RECORD_LENGTH : start + step] != expected:
            raise Refused(
                "file",
                f"line {line}: must be {RECORD_LENGTH} bytes and the same line end as line 1",
            )
        yield line, text


def _decoded(record: bytes, line: int) -> str:
    try:
        return codecs.charmap_decode(record, "strict", _DECODING)[0]
    except UnicodeDecodeError as wrong:
        byte = record[wrong.start]
        why = (
            f"is not {RECORD_LENGTH} bytes long"
            if byte in b"\r\n"
            else f"byte {byte:02X} at column {wrong.start + 1} is not JIS X 0201 (half-width)"
        )
        raise Refused("file", f"line {line}: {why}") from None


def _cut(layout: _Layout, line: int, text: str) -> tuple[str, ...]:
    """The values of a record, blanks behind taken off; the first odd column is refused by name."""
    if found := layout.cut.fullmatch(text):
        return tuple(value.rstrip(" ") for value in found.groups())
    start = 0
    for column in layout.columns:
        if not re.fullmatch(column.cut, text[start : start + column.length]):
            break
        start += column.length
    raise Refused("file", f"line {line}: {column.name}: {column.rule}")


def _item(values: tuple[str, ...]) -> Item:
    bank, bank_name, branch, branch_name, kind, number, holder, amount, new, customer, code = values
    return Item(
        bank, bank_name, branch, branch_name, kind, number, holder, int(amount), new, customer, code
    )


def _prove(trailer: Trailer, items: Sequence[Item], expects: str, line: int) -> None:
    """The trailer says what the items say; a request sent back unanswered is no result."""
    proven = _total(items, Trailer())
    unanswered = Trailer(proven.count, proven.amount)
    if expects == "request":
        if proven.failed_count:
            raise Refused("file", "is a result of the bank, not a request")
        proven = unanswered
    elif items and trailer == unanswered:
        raise Refused("file", "is a request as it was sent, not the bank's result")
    for column in fields(Trailer):
        said, true = getattr(trailer, column.name), getattr(proven, column.name)
        if said != true:
            raise Refused("file", f"line {line}: {column.name}: says {said}, the items make {true}")
