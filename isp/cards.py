"""Credit cards [クレジットカード] as the operator may know them (ISP-04).

Only the payment provider's token, the brand, the last four digits, the month of expiry and the
holder's name. A card number is refused wherever it is offered, before anything is stored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from reprlib import repr as shown

from isp.errors import Refused
from isp.identity import name
from isp.month import Month
from isp.policy import Brand

TOKEN_LENGTH = 255
LONGEST_VALIDITY = 20 * 12
"""Months; no issuer gives a card for longer, so a later expiry is a slip of the pen."""

_BRANDS: dict[str, Brand] = {
    "jcb": "jcb",
    "visa": "visa",
    "mastercard": "mastercard",
    "master": "mastercard",
    "amex": "amex",
    "americanexpress": "amex",
    "diners": "diners",
    "dinersclub": "diners",
    "jcbcard": "jcb",
    "visacard": "visa",
}

_TOKEN = re.compile(rf"[!-~]{{1,{TOKEN_LENGTH}}}")
_DIGIT_RUN = re.compile(r"[0-9](?:[^0-9A-Za-z]*[0-9]){11,}")
# Common as tokens; one in a thousand would hold a card number by chance.
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# First digits (ISO/IEC 7812) and lengths of the networks: Visa; Mastercard; American Express;
# Diners; JCB; and Discover and UnionPay, whose cards pass under the brands of others.
_NETWORKS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|5[1-5][0-9]{14}|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}(?:[0-9]{2,5})?"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"
    r"|(?:6011|62[0-9]{2}|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"
)


@dataclass(frozen=True, slots=True)
class Card:
    """A card on file [登録カード]; no log shows token or holder, they stay out of `repr`."""

    token: str = field(repr=False)
    brand: Brand
    last4: str
    expires: Month
    holder: str = field(repr=False)

    @classmethod
    def validated(
        cls,
        token: str,
        brand: str,
        last4: str,
        expires: str,
        holder: str,
        *,
        accepted: Sequence[Brand],
        today: date,
    ) -> Card:
        """A card that can be charged on `today`; refused by field, never repeating the token."""
        return cls(
            card_token(token),
            card_brand(brand, accepted),
            card_last4(last4),
            card_expires(expires, today),
            card_holder(holder),
        )


def card_token(text: str, field: str = "token") -> str:
    """The payment provider's token [トークン]; card numbers never pass for one (ISP-04).

    Refused: 12 to 19 digits, with or without separators, whatever their check digit; and a card
    number inside something longer, known by its network's first digits, length and check digit.
    """
    if len(text) <= TOKEN_LENGTH and holds_card_number(text):
        raise Refused(
            field, "looks like a card number, which is never stored; give the provider's token"
        )
    if not _TOKEN.fullmatch(text):
        raise Refused(
            field, f"must be 1 to {TOKEN_LENGTH} visible ASCII characters, as the provider gave it"
        )
    return text


def card_brand(text: str, accepted: Sequence[Brand], field: str = "brand") -> Brand:
    """One of the brands [国際ブランド] that the operator's policy accepts, however spelt."""
    spelt = re.sub(r"[\s._-]|international", "", unicodedata.normalize("NFKC", text).lower())
    brand = _BRANDS.get(spelt)
    if brand is None or brand not in accepted:
        raise Refused(field, f"{shown(text)} is not accepted; take one of {', '.join(accepted)}")
    return brand


def card_last4(text: str, field: str = "last4") -> str:
    """The last four digits [下4桁] and no more of them."""
    written = unicodedata.normalize("NFKC", text).strip(" ")
    if not re.fullmatch(r"[0-9]{4}", written):
        # The text is not repeated: it may be the whole number.
        raise Refused(field, "must be the last 4 digits of the card and nothing else")
    return written


def card_expires(text: str, today: date, field: str = "expires") -> Month:
    """The month of expiry [有効期限]; a card is good to the last day of it."""
    month = Month.parse(unicodedata.normalize("NFKC", text).strip(" "), field)
    current = Month.of(today)
    if month < current:
        raise Refused(field, f"{month} is over, the card has expired; ask for the new one")
    if month - current > LONGEST_VALIDITY:
        raise Refused(field, f"{month} is more than 20 years away; check the year")
    return month


def card_holder(text: str, field: str = "holder") -> str:
    """The name on the card [カード名義]; that it is the member's own the desk looks at (ISP-04)."""
    written = name(text, field)
    if holds_card_number(written):
        raise Refused(field, "looks like a card number, which is never stored; write the name")
    return written


def holds_card_number(text: str) -> bool:
    """Whether a text is, or contains, what may be a payment card number [カード番号]."""
    written = _UUID.sub("x", unicodedata.normalize("NFKC", text))
    runs = [re.sub(r"[^0-9]", "", run) for run in _DIGIT_RUN.findall(written)]
    if any(_in_run(run) for run in runs):
        return True
    return bool(runs) and len(runs[0]) <= 19 and not re.search(r"[A-Za-z]", written)


def _in_run(digits: str) -> bool:
    """Whether some 13 to 19 of these digits are a number of a known network."""
    from stdnum import luhn  # late: 23 ms

    return any(
        _NETWORKS.fullmatch(digits, start, start + length) is not None
        and luhn.is_valid(digits[start : start + length])
        for length in range(13, 20)
        for start in range(len(digits) - length + 1)
    )
