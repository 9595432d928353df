"""Cards on file: token, brand, last four, expiry, and never a card number."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from isp.cards import Card, card_brand, card_expires, card_token, holds_card_number
from isp.errors import Refused
from isp.month import Month
from isp.policy import Brand

BRANDS: tuple[Brand, ...] = ("jcb", "visa", "mastercard", "amex", "diners")
TODAY = date(2026, 4, 30)


@pytest.mark.parametrize(
    "token",
    [
        "tok_1MqLiJLkdIwHu7ixUEgbFdYF",
        "T",
        "550e8400-e29b-41d4-a716-446655440000",
        "card-446655440000-4242",
        "cus_20260430120000",
        "YWJjZGVm/+==",
        "tok_4242424242424241",
        "12345678901",
    ],
)
def test_isp_04_a_token_is_kept_as_it_is(token: str) -> None:
    assert card_token(token) == token


@pytest.mark.parametrize(
    "number",
    [
        "4242424242424242",
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242.4242.4242.4242",
        "4242--4242--4242--4242",
        "４２４２４２４２４２４２４２４２",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782-822463-10005",
        "36227206271667",
        "3530111333300000",
        "6011111111111117",
        "6200000000000005",
        "tok_4242424242424242",
        "tok4242424242424242end",
        "tok_4242-4242-4242-4242",
        "id:9:4242424242424242",
        "0000 4242 4242 4242 4242 0000",
        "4242424242424241",
        "123456789012",
        "9999999999999999999",
    ],
)
def test_isp_04_a_card_number_is_no_token(number: str) -> None:
    with pytest.raises(Refused, match="looks like a card number") as refusal:
        card_token(number)
    assert refusal.value.field == "token"
    assert not re.search("[0-9]", str(refusal.value))


@given(
    start=st.sampled_from(
        ["4", "51", "55", "2221", "2720", "34", "37", "300", "36", "3528", "3589"]
    ),
    rest=st.text("0123456789", min_size=20, max_size=20),
    separator=st.sampled_from(["", " ", "-", ".", "/", "_", "・"]),
    before=st.sampled_from(["", "tok_", "a", "00-"]),
    after=st.sampled_from(["", "_x", "z9", "-1"]),
)
def test_isp_04_no_valid_card_number_passes_in_any_dress(
    start: str, rest: str, separator: str, before: str, after: str
) -> None:
    length = 15 if start in ("34", "37") else 14 if start in ("300", "36") else 16
    body = (start + rest)[: length - 1]
    number = body + luhn.calc_check_digit(body)
    dressed = separator.join(re.findall(".{1,4}", number))
    assert holds_card_number(before + dressed + after)


@pytest.mark.parametrize(
    "token", ["", "with blank", "tab\t", "line\n", "日本語", "nul\x00", "x" * 256, "9" * 300]
)
def test_all_04_a_token_is_visible_ascii(token: str) -> None:
    with pytest.raises(Refused, match="1 to 255 visible ASCII") as refusal:
        card_token(token)
    assert refusal.value.field == "token"


@pytest.mark.parametrize(
    ("written", "brand"),
    [
        ("jcb", "jcb"),
        ("JCB", "jcb"),
        ("ＪＣＢ", "jcb"),
        ("visa", "visa"),
        ("Visa", "visa"),
        ("MasterCard", "mastercard"),
        ("Master Card", "mastercard"),
        ("master", "mastercard"),
        ("AMERICAN EXPRESS", "amex"),
        ("american-express", "amex"),
        ("AmEx", "amex"),
        ("Diners", "diners"),
        ("Diners Club International", "diners"),
    ],
)
def test_isp_04_the_five_brands_however_spelt(written: str, brand: str) -> None:
    assert card_brand(written, BRANDS) == brand


@pytest.mark.parametrize("written", ["discover", "", "unionpay", "amex"])
def test_isp_04_brands_outside_the_policy_are_refused(written: str) -> None:
    with pytest.raises(Refused, match="take one of jcb, visa") as refusal:
        card_brand(written, ("jcb", "visa"))
    assert refusal.value.field == "brand"


@pytest.mark.parametrize(
    ("written", "today", "why"),
    [
        ("2026-04", date(2026, 4, 30), None),
        ("2026-04", date(2026, 5, 1), "2026-04 is over"),
        ("2046-04", date(2026, 4, 30), None),
        ("2046-05", date(2026, 4, 30), "more than 20 years away"),
        ("2026-13", date(2026, 4, 30), "is not a month"),
        ("04/26", date(2026, 4, 30), "is not a month"),
        ("", date(2026, 4, 30), "is not a month"),
    ],
)
def test_isp_04_a_card_is_good_to_the_last_day_of_its_month(
    written: str, today: date, why: str | None
) -> None:
    if why is None:
        assert card_expires(written, today) == Month.parse(written)
        return
    with pytest.raises(Refused, match=why) as refusal:
        card_expires(written, today)
    assert refusal.value.field == "expires"


def test_isp_04_a_card_keeps_token_brand_last_four_expiry_and_name() -> None:
    card = Card.validated(
        "tok_secret", "VISA", "4242", "2027-05", " TARO YAMADA", accepted=BRANDS, today=TODAY
    )
    assert card == Card("tok_secret", "visa", "4242", Month.parse("2027-05"), "TARO YAMADA")
    assert "tok_secret" not in repr(card)
    assert "YAMADA" not in repr(card)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"token": "4242424242424242"}, "token"),
        ({"brand": "discover"}, "brand"),
        ({"last4": "424"}, "last4"),
        ({"last4": "42424"}, "last4"),
        ({"last4": "4242424242424242"}, "last4"),
        ({"last4": "abcd"}, "last4"),
        ({"expires": "2020-01"}, "expires"),
        ({"holder": ""}, "holder"),
        ({"holder": "TARO\nYAMADA"}, "holder"),
        ({"holder": "4242 4242 4242 4242"}, "holder"),
    ],
)
def test_all_04_a_wrong_card_is_refused_by_field(changed: dict[str, str], field: str) -> None:
    offered = {
        "token": "tok_1",
        "brand": "visa",
        "last4": "4242",
        "expires": "2027-05",
        "holder": "TARO YAMADA",
    } | changed
    with pytest.raises(Refused) as refusal:
        Card.validated(**offered, accepted=BRANDS, today=TODAY)
    assert refusal.value.field == field
    assert "4242424242424242" not in str(refusal.value)
