"""The bank's file, both ways."""

import re
import string
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import zengin
from billing.zengin import Header, Item, LineEnd, Trailer, parse, request, result
from isp.errors import Refused

HEADER = Header(
    consignor_code="1234567890",
    consignor_name="ｻﾝﾌﾟﾙﾈﾂﾄ(ｶ",
    month_day="0525",
    bank="0001",
    bank_name="ﾐｽﾞﾎ",
    branch="001",
    branch_name="ﾄｳｷﾖｳ",
    account_type="1",
    account_number="1234567",
)
YAMADA = Item(
    bank="0010",
    bank_name="ﾘｿﾅ",
    branch="101",
    branch_name="ﾄｳｷﾖｳｴｲｷﾞﾖｳﾌﾞ",
    account_type="1",
    account_number="0000012",
    holder="ﾔﾏﾀﾞ ﾀﾛｳ",
    amount=4_180,
    new_code="1",
    customer_number="C00000001",
)
SAMPLE = Item(
    bank="9900",
    bank_name="ﾕｳﾁﾖ",
    branch="019",
    branch_name="ｾﾞﾛｲﾁｷﾕｳ",
    account_type="2",
    account_number="0654321",
    holder="ｶ)ｻﾝﾌﾟﾙ-¥",
    amount=9_999_999_999,
    new_code="0",
    customer_number="C00000002",
)

# Written out by hand from formats.md, column by column, one literal a field.
GOLDEN_HEADER = (
    "1" "91" "0" "1234567890" "ｻﾝﾌﾟﾙﾈﾂﾄ(ｶ                              " "0525"
    "0001" "ﾐｽﾞﾎ           " "001" "ﾄｳｷﾖｳ          " "1" "1234567" "                 "
)  # fmt: skip
GOLDEN_YAMADA = (
    "2" "0010" "ﾘｿﾅ            " "101" "ﾄｳｷﾖｳｴｲｷﾞﾖｳﾌﾞ  " "    " "1" "0000012"
    "ﾔﾏﾀﾞ ﾀﾛｳ                      " "0000004180" "1" "C00000001           " "0" "        "
)  # fmt: skip
GOLDEN_SAMPLE = (
    "2" "9900" "ﾕｳﾁﾖ           " "019" "ｾﾞﾛｲﾁｷﾕｳ       " "    " "2" "0654321"
    "ｶ)ｻﾝﾌﾟﾙ-\\                     " "9999999999" "0" "C00000002           " "0" "        "
)  # fmt: skip
GOLDEN_TRAILER = (
    "8" "000002" "010000004179" "000000" "000000000000" "000000" "000000000000"
    "                                                                 "
)  # fmt: skip
GOLDEN_END = (
    "9" "                                                            "
    "                                                           "
)  # fmt: skip
GOLDEN = [GOLDEN_HEADER, GOLDEN_YAMADA, GOLDEN_SAMPLE, GOLDEN_TRAILER, GOLDEN_END]
GOLDEN_RESULT = [
    GOLDEN_HEADER,
    GOLDEN_YAMADA[:111] + "1" + GOLDEN_YAMADA[112:],
    GOLDEN_SAMPLE,
    "8" "000002" "010000004179" "000001" "009999999999" "000001" "000000004180" + " " * 65,
    GOLDEN_END,
]  # fmt: skip


def written(lines: list[str], end: str = "\r\n") -> bytes:
    """In cp932, which the banks' programs use: half-width kana and 5C are the same bytes in it."""
    return "".join(line + end for line in lines).encode("cp932")


def test_isp_07_the_golden_file_has_records_of_120_characters() -> None:
    assert [len(line) for line in GOLDEN + GOLDEN_RESULT] == [120] * 10
    assert sum(column.length for column in zengin._HEADER.columns) == 120
    assert sum(column.length for column in zengin._ITEM.columns) == 120
    assert sum(column.length for column in zengin._TRAILER.columns) == 120


@pytest.mark.parametrize(("line_end", "end"), [("crlf", "\r\n"), ("none", "")])
def test_isp_07_the_request_is_the_golden_file(line_end: LineEnd, end: str) -> None:
    assert b"".join(request(HEADER, [YAMADA, SAMPLE], line_end=line_end)) == written(GOLDEN, end)


def test_isp_07_the_result_is_read_back() -> None:
    found = parse(written(GOLDEN_RESULT))
    assert found.header == HEADER
    assert found.items == (replace(YAMADA, result_code="1"), SAMPLE)
    assert found.trailer == Trailer(2, 10_000_004_179, 1, 9_999_999_999, 1, 4_180)
    assert zengin.RESULT_CODES[found.items[0].result_code].en == "insufficient funds"
    bank = result(HEADER, found.items, line_end="crlf")
    assert b"".join(bank) == written(GOLDEN_RESULT)


def test_isp_07_every_result_code_has_a_reason_in_both_languages() -> None:
    assert "".join(zengin.RESULT_CODES) == "0123489"
    assert all(reason.ja and reason.en for reason in zengin.RESULT_CODES.values())


@pytest.mark.parametrize("end", ["", "\r\n", "\n"])
@pytest.mark.parametrize("tail", [b"", b"\x1a"])
def test_isp_07_line_ends_and_the_old_end_of_file_mark_are_taken(end: str, tail: bytes) -> None:
    content = written(GOLDEN_RESULT, end)
    expected = parse(written(GOLDEN_RESULT))
    assert parse(content + tail) == expected
    assert parse(BytesIO(content + tail)) == expected
    assert parse(content.removesuffix(end.encode()) + tail) == expected


def edited(line: int, start: int, text: str) -> bytes:
    """The golden result with some columns (from 0) of a line (from 1) overwritten."""
    lines = list(GOLDEN_RESULT)
    old = lines[line - 1]
    lines[line - 1] = old[:start] + text + old[start + len(text) :]
    return written(lines)


RIGHT = written(GOLDEN_RESULT)
CRLF_LINES = RIGHT.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\x1a", "is empty"),
        (b"\r\n", "line 1: is not 120 bytes long"),
        (RIGHT[:60], "line 1: breaks off after 60 of 120 bytes"),
        (RIGHT[:300], "line 3: breaks off after 56 of 120 bytes"),
        (b"".join(CRLF_LINES[:1]), "breaks off after line 1, without a trailer"),
        (b"".join(CRLF_LINES[:3]), "breaks off after line 3, without a trailer"),
        (b"".join(CRLF_LINES[:4]), "breaks off after line 4, without an end record"),
        (b"".join(CRLF_LINES[1:]), "line 1: record kind: must be 1"),
        (b"".join([*CRLF_LINES, CRLF_LINES[-1]]), "line 6: nothing may follow the end record"),
        (b"".join([*CRLF_LINES, CRLF_LINES[1]]), "line 6: nothing may follow the end record"),
        (b"".join([*CRLF_LINES, b"\r\n"]), "line 5: must be 120 bytes and the same line end"),
        (b"".join([*CRLF_LINES[:3], CRLF_LINES[4]]), "line 4: record kind: must be 8"),
        (b"".join([*CRLF_LINES[:1], *CRLF_LINES]), "line 2: record kind: must be 8"),
        (b"".join([*CRLF_LINES[:4], *CRLF_LINES[3:]]), "line 5: record kind: must be 9"),
        (b"".join([*CRLF_LINES[:4], CRLF_LINES[1]]), "line 5: record kind: must be 9"),
        (b"".join([*CRLF_LINES[:2], CRLF_LINES[1], *CRLF_LINES[3:]]), "amount: says 10000004179"),
        (b"".join([*CRLF_LINES[:2], *CRLF_LINES[3:]]), "line 3: count: says 2, the items make 1"),
        (CRLF_LINES[0] + CRLF_LINES[1][1:] + CRLF_LINES[2], "line 2: is not 120 bytes long"),
        (
            CRLF_LINES[0] + b"2" + CRLF_LINES[1] + CRLF_LINES[2],
            "line 2: must be 120 bytes and the same line end",
        ),
        (RIGHT.replace(b"\r\n", b"\n", 1), "line 2: must be 120 bytes"),
        (RIGHT.decode("cp932").encode("utf-8"), "line 1: byte EF at column 15 is not JIS X 0201"),
        (RIGHT.decode("cp932").encode("utf-16"), "line 1: byte FF at column 1"),
        (b"\xef\xbb\xbf" + RIGHT, "line 1: byte EF at column 1"),
        (RIGHT.decode("cp932").encode("euc-jp"), "line 1: byte 8E at column 15"),
        (edited(1, 16, "\0"), "line 1: byte 00 at column 17"),
        (edited(1, 1, "21"), "line 1: file kind: must be 91"),
        (edited(1, 3, "1"), "line 1: character code: must be 0"),
        (edited(1, 4, "A"), "line 1: consignor_code: must be 10 digits"),
        (edited(1, 14, " " * 40), "line 1: consignor_name: must be 1 to 40"),
        (edited(1, 54, "0230"), "line 1: month_day: must be a day of the year"),
        (edited(1, 54, "1301"), "line 1: month_day: must be a day of the year"),
        (edited(1, 95, "9"), "line 1: account_type: must be one of 1, 2"),
        (edited(1, 119, "X"), "line 1: rest of the header: must be blank"),
        (edited(2, 1, "001 "), "line 2: bank: must be 4 digits"),
        (edited(2, 38, "1234"), "line 2: clearing house: must be blank"),
        (edited(2, 42, "4"), "line 2: account_type: must be one of 1, 2, 3, 9"),
        (edited(2, 50, " " * 30), "line 2: holder: must be 1 to 30"),
        (edited(2, 80, "0000000000"), "line 2: amount: must be whole yen above 0"),
        (edited(2, 80, "      4180"), "line 2: amount: must be whole yen above 0"),
        (edited(2, 80, "-000004180"), "line 2: amount: must be whole yen above 0"),
        (
            edited(2, 80, "0000004181"),
            "line 4: amount: says 10000004179, the items make 10000004180",
        ),
        (edited(2, 90, "3"), "line 2: new_code: must be one of 0, 1, 2"),
        (edited(2, 91, " " * 20), "line 2: customer_number: must be 1 to 20"),
        (edited(2, 111, "5"), "line 2: result_code: must be one of 0, 1, 2, 3, 4, 8, 9"),
        (edited(2, 111, " "), "line 2: result_code: must be one of 0"),
        (edited(2, 111, "0"), "line 4: settled_count: says 1, the items make 2"),
        (edited(2, 112, "X"), "line 2: rest of the item: must be blank"),
        (edited(4, 19, "000002"), "line 4: settled_count: says 2, the items make 1"),
        (edited(4, 36, "8"), "line 4: settled_amount: says 9999999998"),
        (edited(4, 37, "000000"), "line 4: failed_count: says 0, the items make 1"),
        (edited(4, 54, "1"), "line 4: failed_amount: says 4181, the items make 4180"),
        (edited(4, 60, "9"), "line 4: rest of the trailer: must be blank"),
        (edited(5, 60, "9"), "line 5: record kind: must be 9 and 119 blanks"),
        (written(GOLDEN), "is a request as it was sent, not the bank's result"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_isp_07_a_bad_result_file_is_refused_whole(content: bytes, why: str) -> None:
    with pytest.raises(Refused, match=re.escape(why)) as refusal:
        parse(content)
    assert refusal.value.field == "file"
    assert str(refusal.value).isprintable()


def test_all_04_an_endless_file_is_refused() -> None:
    with (
        open("/dev/zero", "rb") as endless,
        pytest.raises(Refused, match="longer than a file of 999999 items can be"),
    ):
        parse(endless)


def test_isp_07_a_result_is_no_request() -> None:
    assert parse(written(GOLDEN), expects="request").items == (YAMADA, SAMPLE)
    with pytest.raises(Refused, match="is a result of the bank"):
        parse(written(GOLDEN_RESULT), expects="request")


@pytest.mark.parametrize(
    ("changed", "field", "why"),
    [
        ({"holder": "山田"}, "holder", "kanji '山' (U+5C71) is not accepted by banks"),
        ({"holder": "ヤマダ"}, "holder", "'ヤ' (U+30E4) is not accepted by banks"),
        ({"holder": "Yamada"}, "holder", "'a' (U+0061) is not accepted by banks"),
        ({"holder": "ﾔﾏﾀﾞ?"}, "holder", "'?' (U+003F) is not accepted by banks"),
        ({"holder": "ﾔﾏﾀﾞ\r\n"}, "holder", r"'\r' (U+000D) is not accepted by banks"),
        ({"holder": "ｱ" * 31}, "holder", "must be 1 to 30"),
        ({"holder": ""}, "holder", "must be 1 to 30"),
        ({"holder": " ﾔﾏﾀﾞ"}, "holder", "no blank at either end"),
        ({"holder": "ﾔﾏﾀﾞ "}, "holder", "no blank at either end"),
        ({"bank": "001"}, "bank", "must be 4 digits"),
        ({"bank": "001", "bank_name": "1234567890123456"}, "bank", "must be 4 digits"),
        ({"branch": "٠٠١"}, "branch", "must be 3 digits"),
        ({"branch_name": "ｱ" * 16}, "branch_name", "must be 0 to 15"),
        ({"account_type": "4"}, "account_type", "must be one of 1, 2, 3, 9"),
        ({"account_number": "123456"}, "account_number", "must be 7 digits"),
        ({"amount": 0}, "amount", "whole yen above 0"),
        ({"amount": -1}, "amount", "whole yen above 0"),
        ({"amount": 10_000_000_000}, "amount", "at most 10 digits"),
        ({"new_code": ""}, "new_code", "must be one of 0, 1, 2"),
        ({"result_code": "7"}, "result_code", "must be one of 0, 1, 2, 3, 4, 8, 9"),
    ],
)
def test_isp_07_an_item_that_does_not_fit_names_customer_and_field(
    changed: dict[str, Any], field: str, why: str
) -> None:
    odd = replace(YAMADA, customer_number="C00000099", **changed)
    with pytest.raises(Refused, match=re.escape(why)) as refusal:
        list(request(HEADER, [YAMADA, odd], line_end="crlf"))
    assert refusal.value.field == field
    assert "customer 'C00000099'" in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("number", ["", "C" * 21, "c1", "C\n1"])
def test_isp_07_a_customer_number_has_1_to_20_characters(number: str) -> None:
    with pytest.raises(Refused) as refusal:
        list(request(HEADER, [replace(YAMADA, customer_number=number)], line_end="crlf"))
    assert refusal.value.field == "customer_number"


def test_isp_07_a_request_holds_no_results() -> None:
    with pytest.raises(Refused, match="must be 0 for every item of a request"):
        list(request(HEADER, [replace(YAMADA, result_code="1")], line_end="crlf"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"consignor_code": "123"}, "consignor_code"),
        ({"consignor_name": "サンプル"}, "consignor_name"),
        ({"month_day": "0231"}, "month_day"),
        ({"month_day": "0431"}, "month_day"),
        ({"account_type": "3"}, "account_type"),
    ],
)
def test_isp_07_a_wrong_header_is_refused_by_field(changed: dict[str, str], field: str) -> None:
    with pytest.raises(Refused) as refusal:
        list(request(replace(HEADER, **changed), [YAMADA], line_end="crlf"))
    assert refusal.value.field == field


def test_isp_07_more_than_the_trailer_can_hold_is_refused() -> None:
    most = replace(YAMADA, amount=9_999_999_999)
    with pytest.raises(Refused, match="write several files"):
        list(request(HEADER, [most] * 101, line_end="crlf"))


def test_isp_07_a_long_request_needs_flat_memory() -> None:
    def items() -> Iterator[Item]:
        for ordinal in range(10_000):
            yield replace(YAMADA, customer_number=f"C{ordinal:08d}")

    tracemalloc.start()
    size = sum(map(len, request(HEADER, items(), line_end="none")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 10_003 * 120
    assert peak < 1_500_000


ACCEPTED = " ()-.,/¥｢｣" + string.digits + string.ascii_uppercase
KANA = "".join(map(chr, [*range(0xFF67, 0xFFA0)]))


def characters(longest: int, shortest: int = 0) -> st.SearchStrategy[str]:
    return st.text(ACCEPTED + KANA, min_size=shortest, max_size=longest).filter(
        lambda text: text == text.strip(" ")
    )


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=length, max_size=length)


HEADERS = st.builds(
    Header,
    digits(10),
    characters(40, 1),
    st.dates().map(lambda day: f"{day:%m%d}"),
    digits(4),
    characters(15),
    digits(3),
    characters(15),
    st.sampled_from("12"),
    digits(7),
)
ITEMS = st.builds(
    Item,
    digits(4),
    characters(15),
    digits(3),
    characters(15),
    st.sampled_from("1239"),
    digits(7),
    characters(30, 1),
    st.integers(1, 9_999_999_999),
    st.sampled_from("012"),
    characters(20, 1),
    st.sampled_from(sorted(zengin.RESULT_CODES)),
)
LINE_ENDS: st.SearchStrategy[LineEnd] = st.sampled_from(["none", "crlf"])


@given(HEADERS, st.lists(ITEMS, max_size=5), LINE_ENDS)
def test_isp_07_what_is_written_is_read_back(
    header: Header, items: list[Item], line_end: LineEnd
) -> None:
    content = b"".join(result(header, items, line_end=line_end))
    assert len(content) == (len(items) + 3) * (120 if line_end == "none" else 122)
    found = parse(content)
    assert (found.header, found.items) == (header, tuple(items))
    unanswered = [replace(item, result_code="0") for item in items]
    sent = parse(b"".join(request(header, unanswered, line_end=line_end)), expects="request")
    assert (sent.header, sent.items) == (header, tuple(unanswered))
    assert sent.trailer == Trailer(len(items), sum(item.amount for item in items))


@given(st.lists(ITEMS, min_size=1, max_size=3), st.data(), LINE_ENDS)
def test_isp_07_no_part_of_a_file_passes_for_the_whole(
    items: list[Item], data: st.DataObject, line_end: LineEnd
) -> None:
    content = b"".join(result(HEADER, items, line_end=line_end))
    last = len(content) - (2 if line_end == "crlf" else 0)
    with pytest.raises(Refused):
        parse(content[: data.draw(st.integers(0, last - 1))])


@given(st.binary(max_size=700) | st.binary(max_size=200).map(lambda junk: RIGHT + junk))
def test_all_04_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        parse(content)
    except Refused as refusal:
        assert refusal.field == "file"
        assert str(refusal).isprintable()
