"""Kana as people write it, and as banks accept it [カナ名義].

Banks accept, in the name of an account holder or a consignor, half-width large katakana without
ｦ, with ﾞ and ﾟ; capital letters, digits, the blank and the signs ( ) - . , / ¥ ｢ ｣. Sources: the
Japanese Bankers Association's protocol for PC transfers, as explained by
https://pca.jp/area_support/manual/kk/Z1sanko/z1_zengin.html (letters; no ヲ, nothing small) and
https://biz.corporate.bk.mufg.jp/faq/show/811 (signs; no middle dot); formats.md.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import jaconv

from isp.errors import Refused

SmallKana = Literal["large", "keep"]
LongVowel = Literal["hyphen", "keep"]

BANK_CLASS = r" ()\-.,/¥｢｣0-9A-Zｱ-ﾝﾞﾟ"
"""What every bank accepts, as the inside of a regular expression's character class."""

POLICY_CLASS = "ｧ-ｯｰ"
"""What some banks accept besides: small kana and the long vowel, where policy says `keep`."""

_PLAIN = re.compile(rf"[{BANK_CLASS}]+")
_REFUSED_BY_BANKS = re.compile(rf"[^{BANK_CLASS}{POLICY_CLASS}]")
_REFUSED_IN_KANA = re.compile(r"[^ァ-ヺー・A-Za-z0-9 .,&'()/\-]")
_KATAKANA = re.compile(r"[ァ-ヺ]")
_BLANKS = re.compile(r" {2,}")

# A detached voicing mark has to become a combining one, or NFKC puts a blank before it.
_VOICING = str.maketrans({"゛": "\u3099", "゜": "\u309a"})
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2500\u2501"), "-")

# What has no half-width large form of its own: ヮヵヶ are small whatever the policy; ヰヱ are
# written イエ and ヲ オ by banks; the middle dot, which banks do not have, is registered as a full
# stop; 5C is the yen sign in JIS X 0201; a voicing mark that composed with nothing stays.
_BANK_FOLD = str.maketrans(
    "ヮヵヶヰヱヲ・\\\u3099\u309aabcdefghijklmnopqrstuvwxyz",
    "ワカケイエオ.¥ﾞﾟABCDEFGHIJKLMNOPQRSTUVWXYZ",
)


def bank_kana(
    text: str, field: str, *, small_kana: SmallKana = "large", long_vowel: LongVowel = "hyphen"
) -> str:
    """A name as banks write it [半角カナ], from full-width or half-width kana or hiragana.

    Company abbreviations stay where they stand: `カ）サンプル` is `ｶ)ｻﾝﾌﾟﾙ`, `サンプル（カ` is
    `ｻﾝﾌﾟﾙ(ｶ`. Small kana become large and ー becomes `-` unless policy keeps them; dashes become
    `-`, ・ becomes `.`, ヲ becomes `ｵ`, runs of blanks one blank. A wave dash is refused, since it
    may mean ー, `-` or a range. So is everything else that banks do not accept; nothing is ever
    replaced by a question mark.
    """
    if _PLAIN.fullmatch(text) and text == text.strip() and "  " not in text:
        return text
    folded = _folded(text).translate(_BANK_FOLD)
    folded = jaconv.hira2kata(folded).translate(_BANK_FOLD)
    if small_kana == "large":
        folded = jaconv.enlarge_smallkana(folded)
    if long_vowel == "hyphen":
        folded = folded.replace("ー", "-")
    written = jaconv.z2h(folded, kana=True, digit=False, ascii=False)
    if wrong := _REFUSED_BY_BANKS.search(written):
        raise Refused(
            field,
            f"{named(wrong[0])} is not accepted by banks; write it as in the passbook, in kana,"
            " capital letters, digits, blanks and ( ) - . , / ¥ 「 」",
        )
    if not written:
        raise Refused(field, "must not be empty; write the name in kana")
    return written


def katakana_name(text: str, field: str) -> str:
    """A customer's kana [フリガナ]: full-width katakana, letters and digits half-width.

    Hiragana and half-width kana are converted; kanji are refused by name.
    """
    written = jaconv.hira2kata(_folded(text))
    if wrong := _REFUSED_IN_KANA.search(written):
        raise Refused(field, f"{named(wrong[0])} where kana is due; write the reading in katakana")
    if not _KATAKANA.search(written):
        raise Refused(field, "has no kana; write the reading in katakana")
    if len(written) > 80:
        raise Refused(field, f"is {len(written)} characters long, at most 80 are kept")
    return written


def named(character: str) -> str:
    """A character for an error message on one line: what kind, how it looks, which code point."""
    if unicodedata.name(character, "").startswith("CJK"):
        kind = "kanji"
    elif unicodedata.category(character).startswith("C"):
        kind = "control character"
    else:
        kind = "character"
    return f"{kind} {character!r} (U+{ord(character):04X})"


def _folded(text: str) -> str:
    """Widths and dashes made one: kana full-width, letters and digits half-width."""
    folded = unicodedata.normalize("NFKC", text.translate(_VOICING)).translate(_DASHES)
    return _BLANKS.sub(" ", folded.strip(" "))
