"""The engines behind every document: values stay values, Japanese prints everywhere, bytes repeat."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from paper import SHIPPED, fonts, lines, pages, text, unprinted

from isp import documents
from isp.documents import Addressee, Language, letterhead, pdf, printable
from isp.month import Month
from isp.policy import parse, profile_text

POLICY = parse(profile_text("consumer-isp"))
HANAKO = Addressee("C00000042", "山田 花子", "150-0001", "東京都渋谷区神宮前1-2-3")
RENEWAL = {
    "contract_number": "K00000001",
    "plan_name": "光ファミリー",
    "issued_on": "2028年2月15日",
    "renewal_month": "2028年4月",
    "renewal_first": "2028年4月1日",
    "following_month": "2028年5月",
    "early_fee": "5,200円",
    "has_early_fee": True,
    "cheapest_day": "2028年4月15日",
    "last_free_day": "2028年4月30日",
    "next_term_end": "2030年3月",
}


def letter(language: Language = "ja", customer: Addressee = HANAKO, **values: object) -> bytes:
    """Any letter will do to try the engine."""
    head = letterhead(customer, POLICY.operator, POLICY.desk, language)
    return pdf("letters/renewal.typ", {**head, **RENEWAL, **values})


@pytest.mark.parametrize(
    ("amount", "language", "written"),
    [
        (0, "ja", "0円"),
        (1234, "ja", "1,234円"),
        (-1_234_567, "ja", "-1,234,567円"),
        (1234, "en", "¥1,234"),
        (-200, "en", "-¥200"),
    ],
)
def test_all_05_yen_in_both_languages(amount: int, language: Language, written: str) -> None:
    assert documents.yen(amount, language) == written


@pytest.mark.parametrize(
    ("language", "day", "month"),
    [("ja", "2026年4月10日", "2026年4月"), ("en", "10 April 2026", "April 2026")],
)
def test_all_05_days_and_months_in_both_languages(language: Language, day: str, month: str) -> None:
    assert documents.day(date(2026, 4, 10), language) == day
    assert documents.month(Month.parse("2026-04"), language) == month


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("ja", "1,234円 2026年4月10日 2026年4月"),
        ("en", "¥1,234 10 April 2026 April 2026"),
        (None, "1,234円 2026年4月10日 2026年4月"),
    ],
)
def test_filters_speak_the_language_of_the_values(language: str | None, said: str) -> None:
    template = documents.environment().from_string("{{ a|yen }} {{ d|day }} {{ m|month }}")
    values = {"a": 1234, "d": date(2026, 4, 10), "m": Month.parse("2026-04")}
    assert template.render(values if language is None else {**values, "language": language}) == said


def test_a_value_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        documents.environment().from_string("{{ nobody }}").render()


@pytest.mark.parametrize(
    ("hostile", "printed"),
    [
        ("山田\r\nBcc: x", "山田 Bcc: x"),
        ("a\x00\x1b[2Jb\x9f", "a [2Jb "),
        ("a\u2028b\u2029", "a b "),
        ("\u202egpj.exe\u2066\ufeff", "gpj.exe"),
        ("\ud800x", "x"),
        ("soft\u00adhyphen\u061c\u180e", "softhyphen"),
        ("山田\U000e0001\U000e0041\U000e007f太郎", "山田太郎"),
        ("葛\U000e0100飾", "葛\U000e0100飾"),
    ],
)
def test_printable_is_one_line_with_nothing_hidden(hostile: str, printed: str) -> None:
    assert printable(hostile) == printed


@given(st.text(st.characters()))
def test_printable_is_always_one_encodable_line(anything: str) -> None:
    line = printable(anything)
    assert len(line.splitlines()) <= 1
    assert printable(line) == line
    line.encode()


@pytest.mark.parametrize(
    ("corporation", "language", "name"),
    [
        (False, "ja", "山田 花子 様"),
        (True, "ja", "山田 花子 御中"),
        (False, "en", "山田 花子"),
        (True, "en", "山田 花子"),
    ],
)
def test_companies_and_persons_are_addressed_as_is_due(
    corporation: bool, language: Language, name: str
) -> None:
    to = Addressee("C1", "山田 花子", "1500001", "東京都", corporation).written(language)
    assert (to["name"], to["postal_code"]) == (name, "〒150-0001")


def test_japanese_prints_with_the_fonts_of_the_package_alone() -> None:
    document = letter()
    assert fonts(document) == {"NotoSansJP-Regular", "NotoSansJP-Bold"} <= SHIPPED
    assert unprinted(document) == 0


def test_the_licence_of_the_fonts_is_beside_them() -> None:
    folder = documents._FOLDER / "fonts"
    licence = (folder / "OFL.txt").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert {file.stem for file in folder.glob("*.ttf")} == SHIPPED
    assert [name for name in SHIPPED if name not in licence] == []


def japanese() -> str:
    """Kana and every character for names in JIS X 0213 and in Windows' extensions."""
    blocks = [(0x3041, 0x30FF), (0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2FA20)]
    found = []
    for code in (code for first, end in blocks for code in range(first, end)):
        try:
            chr(code).encode("euc_jisx0213")
        except UnicodeEncodeError:
            if not chr(code).encode("cp932", "ignore"):
                continue
        found.append(chr(code))
    return "".join(found)


def test_no_name_has_a_letter_that_the_fonts_lack() -> None:
    names = "Łukasz Nguyễn Đặng Żółć İpek Иван Ωμέγα 髙﨑 ㈱ ① 〒 ※"
    everything = japanese()
    assert len(everything) > 10_000
    assert unprinted(letter(plan_name=everything + names)) == 0


def test_a_letter_that_no_font_has_is_noticed() -> None:
    """The check above can fail."""
    assert unprinted(letter(plan_name="光😀")) == 1


HOSTILE = [
    "#panic()",
    '"); #panic("x',
    "*bold* _it_ $x$ `raw` = head @ref <label> \\",
    "#sys.inputs",
    "{{ 7 * 7 }}{% include 'x' %}",
    "</text><script>alert(1)</script>",
    "\\u0022}",
    "//comment /*x*/",
    "--- ... ~ -?",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_value_prints_as_it_is_written(hostile: str) -> None:
    document = letter(contract_number=hostile, customer=Addressee("C1", hostile, "1500001", "東京"))
    said = text(document)
    assert said.count(hostile.replace(" ", "")) == 2
    assert unprinted(document) == 0


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_no_value_breaks_a_document(anything: str) -> None:
    document = letter(
        contract_number=anything,
        plan_name=anything,
        customer=Addressee("1", anything, "1", anything),
    )
    assert "契約更新月のご案内" in text(document)


def test_a_name_cannot_forge_a_line() -> None:
    said = lines(letter(customer=Addressee("C1", "山田\nお振替日 なし", "1500001", "東京")))
    assert "お振替日 なし 様" not in said


def test_the_same_values_give_the_same_bytes() -> None:
    first = letter()
    assert letter("en") != first
    assert letter() == first


def test_what_is_no_value_of_a_document_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"whole numbers, dates and lists, not 0\.5"):
        letter(early_fee=0.5)


@pytest.mark.parametrize(
    ("language", "hours"), [("ja", "受付時間10:00-21:00"), ("en", "Hours10:00-21:00")]
)
def test_isp_22_the_desk_stands_on_every_page(language: Language, hours: str) -> None:
    long = pages(letter(language, plan_name="長い名前" * 1_500))
    assert len(long) > 1
    for number, page in enumerate(long, 1):
        assert POLICY.desk.phone in page
        assert hours in page
        assert page.endswith(f"{number}/{len(long)}")
    assert [page for page in long[1:] if "K00000001" not in page] == []
