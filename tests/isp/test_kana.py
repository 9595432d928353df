"""Kana as banks accept it, and as members write it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.kana import LongVowel, SmallKana, bank_kana, katakana_name

ACCEPTED = frozenset(
    " ()-.,/¥｢｣0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝﾞﾟ"
)
POLICY = frozenset("ｧｨｩｪｫｬｭｮｯｰ")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ヤマダ　タロウ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("やまだ たろう", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("ﾔﾏﾀﾞ ﾀﾛｳ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("  ヤマダ　　タロウ ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("か゛", "ｶﾞ"),
        ("カ\u3099", "ｶﾞ"),
        ("パピプ", "ﾊﾟﾋﾟﾌﾟ"),
        ("ジュンイチ", "ｼﾞﾕﾝｲﾁ"),
        ("ｼﾞｭﾝｲﾁ", "ｼﾞﾕﾝｲﾁ"),
        ("ハットリ", "ﾊﾂﾄﾘ"),
        ("ヴァイオリン", "ｳﾞｱｲｵﾘﾝ"),
        ("スズキ・オフィス", "ｽｽﾞｷ.ｵﾌｲｽ"),
        ("アヲイ", "ｱｵｲ"),
        ("ヰヱヮヵヶ", "ｲｴﾜｶｹ"),
        ("ｅｘａｍｐｌｅ１２", "EXAMPLE12"),
        ("サービス", "ｻ-ﾋﾞｽ"),
        ("サ\u2010\u2212\u2015－ビ", "ｻ----ﾋﾞ"),
        ("￥，．／「」", "¥,./｢｣"),
        ("\\", "¥"),
    ],
)
def test_isp_07_bank_kana_folds_widths_small_kana_and_dashes(written: str, expected: str) -> None:
    assert bank_kana(written, "holder") == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("カ）サンプル", "ｶ)ｻﾝﾌﾟﾙ"),
        ("カ)サンプル", "ｶ)ｻﾝﾌﾟﾙ"),
        ("サンプル（カ", "ｻﾝﾌﾟﾙ(ｶ"),
        ("サンプル（カ）トウキョウシテン", "ｻﾝﾌﾟﾙ(ｶ)ﾄｳｷﾖｳｼﾃﾝ"),
        ("ユ）サンプル", "ﾕ)ｻﾝﾌﾟﾙ"),
        ("サンプル（ド", "ｻﾝﾌﾟﾙ(ﾄﾞ"),
        ("トクヒ）サンプル", "ﾄｸﾋ)ｻﾝﾌﾟﾙ"),
        ("シヤ）サンプル", "ｼﾔ)ｻﾝﾌﾟﾙ"),
    ],
)
def test_isp_21_company_abbreviations_survive(written: str, expected: str) -> None:
    assert bank_kana(written, "holder") == expected


def test_isp_07_policy_keeps_small_kana_and_the_long_vowel() -> None:
    kept = bank_kana("キャットフード－１", "holder", small_kana="keep", long_vowel="keep")
    assert kept == "ｷｬｯﾄﾌｰﾄﾞ-1"
    assert bank_kana("キャットフード", "holder", small_kana="keep") == "ｷｬｯﾄﾌ-ﾄﾞ"
    assert bank_kana("キャットフード", "holder", long_vowel="keep") == "ｷﾔﾂﾄﾌｰﾄﾞ"


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("山田太郎", "kanji '山' (U+5C71)"),
        ("㈱サンプル", "kanji '株' (U+682A)"),
        ("ラ〜メン", "'〜' (U+301C)"),
        ("ラ～メン", "'~' (U+007E)"),
        ("A&B", "'&' (U+0026)"),
        ("ヤマダ\nタロウ", r"control character '\n' (U+000A)"),
        ("ヤマダ\u202eタロウ", r"control character '\u202e' (U+202E)"),
        ("ヤマダ？", "'?' (U+003F)"),
        ("Straße", "'ß' (U+00DF)"),
        ("イスヾ", "'ヾ' (U+30FE)"),
        ("", "must not be empty"),
        ("　 ", "must not be empty"),
    ],
)
def test_all_04_bank_kana_names_the_character_it_refuses(written: str, names: str) -> None:
    with pytest.raises(Refused, match=re.escape(names)) as refusal:
        bank_kana(written, "holder")
    assert refusal.value.field == "holder"
    assert "\n" not in str(refusal.value)


@given(
    st.text(max_size=40), st.sampled_from(["large", "keep"]), st.sampled_from(["hyphen", "keep"])
)
def test_bank_kana_is_accepted_by_banks_or_refused(
    text: str, small_kana: SmallKana, long_vowel: LongVowel
) -> None:
    try:
        written = bank_kana(text, "holder", small_kana=small_kana, long_vowel=long_vowel)
    except Refused:
        return
    assert set(written) <= ACCEPTED | POLICY
    assert "ｰ" not in written or long_vowel == "keep"
    assert not set(written) & (POLICY - {"ｰ"}) or small_kana == "keep"
    assert written == written.strip(" ")
    again = bank_kana(written, "holder", small_kana=small_kana, long_vowel=long_vowel)
    assert again == written


@given(st.text(alphabet=sorted(ACCEPTED - {" "}), min_size=1, max_size=40))
def test_what_banks_accept_stays_as_it_is(text: str) -> None:
    assert bank_kana(text, "holder") == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("やまだ　たろう", "ヤマダ タロウ"),
        ("ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダ タロウ"),
        ("ヤマダ タロウ", "ヤマダ タロウ"),
        ("ジョン・スミスＪｒ.", "ジョン・スミスJr."),
        ("ｻｰﾋﾞｽ24", "サービス24"),
        ("ゔぁ", "ヴァ"),
    ],
)
def test_isp_08_kana_is_kept_in_full_width_katakana(written: str, expected: str) -> None:
    assert katakana_name(written, "kana") == expected


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("山田 タロウ", "kanji '山' (U+5C71) where kana is due"),
        ("ヤマダ\tタロウ", r"control character '\t' (U+0009)"),
        ("ヤマダ\u200bタロウ", r"control character '\u200b' (U+200B)"),
        ("Taro Yamada", "has no kana"),
        ("", "has no kana"),
        ("ア" * 81, "81 characters"),
    ],
)
def test_all_04_kana_refuses_kanji_by_name(written: str, names: str) -> None:
    with pytest.raises(Refused, match=re.escape(names)) as refusal:
        katakana_name(written, "kana")
    assert refusal.value.field == "kana"
