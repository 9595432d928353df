"""What identifies a member: accepted forms, and what is refused by field."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp import identity
from isp.errors import Refused

Check = Callable[[str], str]


@pytest.mark.parametrize(
    ("check", "offered", "kept"),
    [
        (identity.name, "山田　太郎", "山田　太郎"),
        (identity.name, "　山田 太郎 ", "山田 太郎"),
        (identity.name, "山田\u00a0太郎", "山田 太郎"),
        (identity.name, "か\u3099とう", "がとう"),
        (identity.name, "株式会社サンプル☆ネット", "株式会社サンプル☆ネット"),
        (identity.name, "葛\U000e0100城", "葛\U000e0100城"),
        (identity.name, "𠮷田 﨑", "𠮷田 﨑"),
        (identity.name, "Anne O'Neill-Müller", "Anne O'Neill-Müller"),
        (identity.name, "字" * 80, "字" * 80),
        (identity.kana, "ﾔﾏﾀﾞ たろう", "ヤマダ タロウ"),
        (identity.address, "東京都千代田区千代田１－１", "東京都千代田区千代田１－１"),
        (identity.phone, "0312345678", "03-1234-5678"),
        (identity.phone, "03-1234-5678", "03-1234-5678"),
        (identity.phone, "０３（１２３４）５６７８", "03-1234-5678"),
        (identity.phone, "０９０ー１２３４ー５６７８", "090-1234-5678"),
        (identity.phone, "+81 90-1234-5678", "090-1234-5678"),
        (identity.phone, "+81(0)3-1234-5678", "03-1234-5678"),
        (identity.phone, "0422123456", "042-212-3456"),
        (identity.phone, "0466-12-3456", "0466-12-3456"),
        (identity.phone, "0120000000", "0120-000-000"),
        (identity.phone, "05012345678", "050-1234-5678"),
        (identity.phone, "090-0000-0000", "090-0000-0000"),
        (identity.postal_code, "1000001", "100-0001"),
        (identity.postal_code, "〒100-0001", "100-0001"),
        (identity.postal_code, "１００－０００１", "100-0001"),
        (identity.email, "Taro.Yamada+isp@Example.JP", "Taro.Yamada+isp@example.jp"),
        (identity.email, " a@example.com ", "a@example.com"),
        (identity.email, "o'neill@example.com", "o'neill@example.com"),
        (identity.email, "a@例え.jp", "a@xn--r8jz45g.jp"),
        (identity.email, "a@host.test", "a@host.test"),
        (identity.corporate_number, "7000012050002", "7000012050002"),
        (identity.corporate_number, "7-0000-1205-0002", "7000012050002"),
        (identity.corporate_number, "７００００１２０５０００２", "7000012050002"),
    ],
)
def test_isp_08_registered_data_has_one_form(check: Check, offered: str, kept: str) -> None:
    assert check(offered) == kept
    assert check(kept) == kept


@pytest.mark.parametrize(
    ("check", "offered", "field", "why"),
    [
        (identity.name, "", "name", "must not be empty"),
        (identity.name, "　", "name", "must not be empty"),
        (identity.name, "!!!", "name", "must not be empty"),
        (identity.name, "山田\n太郎", "name", r"control character '\n' (U+000A)"),
        (identity.name, "山田\x00", "name", "U+0000"),
        (identity.name, "山田\x1b[31m", "name", "U+001B"),
        (identity.name, "山田\u202e太郎", "name", "U+202E"),
        (identity.name, "山田\u2066太郎", "name", "U+2066"),
        (identity.name, "山田\u200b太郎", "name", "U+200B"),
        (identity.name, "山田\ufeff", "name", "U+FEFF"),
        (identity.name, "山田\u2028太郎", "name", "U+2028"),
        (identity.name, "山田\ud800", "name", "U+D800"),
        (identity.name, "山田\ue000", "name", "U+E000"),
        (identity.name, "山田\u3164", "name", "U+3164"),
        (identity.name, "Taro\ufe0f", "name", "U+FE0F"),
        (identity.name, "字" * 81, "name", "81 characters long, at most 80"),
        (identity.kana, "山田", "kana", "kanji '山'"),
        (identity.address, "東京都\r千代田区", "address", "U+000D"),
        (identity.address, "字" * 201, "address", "at most 200"),
        (identity.phone, "12345", "phone", "'12345' is no Japanese phone number"),
        (identity.phone, "0312345", "phone", "no Japanese phone number"),
        (identity.phone, "031234567890", "phone", "no Japanese phone number"),
        (identity.phone, "0000000000", "phone", "no Japanese phone number"),
        (identity.phone, "0212345678", "phone", "no Japanese phone number"),
        (identity.phone, "0501234567", "phone", "no Japanese phone number"),
        (identity.phone, "+1 212 555 0100", "phone", "no Japanese phone number"),
        (identity.phone, "0120-FLOWER", "phone", "no Japanese phone number"),
        (identity.phone, "03-1234-5678 内線9", "phone", "no Japanese phone number"),
        (identity.phone, "", "phone", "no Japanese phone number"),
        (identity.postal_code, "100-000", "postal_code", "write 7 digits"),
        (identity.postal_code, "10-00001", "postal_code", "write 7 digits"),
        (identity.postal_code, "abc-defg", "postal_code", "write 7 digits"),
        (identity.postal_code, "100-0001\n", "postal_code", "write 7 digits"),
        (identity.email, "taro", "email", "'taro' is no mail address"),
        (identity.email, "taro@", "email", "no mail address"),
        (identity.email, "@example.jp", "email", "no mail address"),
        (identity.email, "taro@localhost", "email", "no mail address"),
        (identity.email, "taro@example..jp", "email", "no mail address"),
        (identity.email, "ta ro@example.jp", "email", "no mail address"),
        (identity.email, "太郎@example.jp", "email", "no mail address"),
        (identity.email, "Taro <taro@example.jp>", "email", "no mail address"),
        (identity.email, "taro@example.jp\nBcc: x@example.com", "email", "no mail address"),
        (identity.email, "a@b@example.jp", "email", "no mail address"),
        (identity.email, "a" * 65 + "@example.jp", "email", "no mail address"),
        (identity.corporate_number, "7000012050003", "corporate_number", "check digit"),
        (identity.corporate_number, "700001205000", "corporate_number", "write its 13 digits"),
        (identity.corporate_number, "0000000000000", "corporate_number", "check digit"),
        (identity.corporate_number, "T7000012050002", "corporate_number", "without the T"),
        (identity.corporate_number, "株式会社", "corporate_number", "write its 13 digits"),
    ],
)
def test_all_04_bad_identity_is_refused_on_one_line(
    check: Check, offered: str, field: str, why: str
) -> None:
    with pytest.raises(Refused, match=re.escape(why)) as refusal:
        check(offered)
    assert refusal.value.field == field
    assert str(refusal.value).replace("　", " ").isprintable()


def test_biz_03_the_check_digit_of_a_corporate_number_finds_every_wrong_digit() -> None:
    """One wrong digit is found, but for 0 in place of 9, which weigh the same modulo 9."""
    right = "7000012050002"
    for place, digit in enumerate(right):
        for other in set("0123456789") - {digit} - ({"9"} if digit == "0" else set()):
            with pytest.raises(Refused):
                identity.corporate_number(right[:place] + other + right[place + 1 :])


def test_a_field_may_be_named_by_the_caller() -> None:
    with pytest.raises(Refused) as refusal:
        identity.email("taro", "orderer_email")
    assert refusal.value.field == "orderer_email"


def test_isp_18_a_postcode_is_checked_against_the_address() -> None:
    assert identity.address_doubt("100-0001", "東京都 千代田区千代田１－１") is None
    assert identity.address_doubt("100-0001", "千代田区千代田1-1") is None
    assert identity.address_doubt("498-0000", "三重県桑名郡木曽岬町1-1") is None
    elsewhere = identity.address_doubt("100-0001", "大阪府大阪市北区梅田1-1")
    assert elsewhere == "100-0001 is in 東京都千代田区, which the address does not name"
    unknown = identity.address_doubt("999-9999", "東京都千代田区千代田1-1")
    assert unknown == "999-9999 is not in Japan Post's list of today"
    assert identity.postal_code("9999999") == "999-9999", "a new postcode is no reason to refuse"


def test_large_offices_have_postcodes_of_their_own() -> None:
    assert identity.postal_code("100-8111") == "100-8111"
    assert identity.address_doubt("100-8111", "東京都千代田区千代田1-1") is None


@given(st.text(max_size=120))
def test_whatever_is_accepted_can_be_printed_and_is_stable(text: str) -> None:
    for check in (identity.name, identity.address, identity.kana):
        try:
            kept = check(text)
        except Refused as refusal:
            assert len(str(refusal)) < 200
            continue
        assert kept.replace("\u3000", " ").isprintable()
        assert check(kept) == kept


@given(st.text(alphabet="0123456789-+()ー０９ ", max_size=20))
def test_a_phone_number_is_refused_or_keeps_its_digits(text: str) -> None:
    try:
        kept = identity.phone(text)
    except Refused:
        return
    assert re.fullmatch(r"0[0-9]{1,4}-[0-9]{1,4}-[0-9]{3,4}", kept)
    assert identity.phone(kept) == kept
