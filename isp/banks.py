"""Banks, branches and the accounts of members [金融機関・口座] (ISP-03, ISP-07).

Names come from the package `zengin-code`; merged and closed branches leave it with its updates.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from reprlib import repr as shown

import msgspec

from isp.errors import Refused
from isp.kana import LongVowel, SmallKana, bank_kana

ACCOUNT_TYPES = {"ordinary": "1", "current": "2", "tax": "3", "other": "9"}
"""Kinds of account [預金種目] and their Zengin codes: 普通, 当座, 納税準備, その他."""

JAPAN_POST_BANK = "9900"
HOLDER_LENGTH = 30

_TYPE_SPELLINGS = {
    **{name: name for name in ACCOUNT_TYPES},
    **{code: name for name, code in ACCOUNT_TYPES.items()},
    "普通": "ordinary",
    "当座": "current",
    "納税準備": "tax",
    "その他": "other",
}
_SYMBOL = re.compile(r"([01])([0-9]{2})[0-9]{2}(?:-?[0-9])?")


@dataclass(frozen=True, slots=True)
class BankBranch:
    """A branch [支店] with its bank; kana are half-width, at most 15, as the bank file has them."""

    bank: str
    bank_name: str
    bank_kana: str
    branch: str
    branch_name: str
    branch_kana: str


@dataclass(frozen=True, slots=True)
class BankAccount:
    """An account to draw on [振替口座]: codes, type, 7 digits, the holder in half-width kana.

    Made by `validated`. Number and holder stay out of `repr`, so that no log shows them.
    """

    bank: str
    branch: str
    account_type: str
    account_number: str = field(repr=False)
    holder: str = field(repr=False)

    @property
    def type_code(self) -> str:
        """The Zengin digit of the account type."""
        return ACCOUNT_TYPES[self.account_type]

    def to_json(self) -> str:
        """The clear text that is stored encrypted."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> BankAccount:
        return msgspec.json.decode(text, type=cls)

    @classmethod
    def validated(
        cls,
        bank: str,
        branch: str,
        account_type: str,
        account_number: str,
        holder: str,
        *,
        small_kana: SmallKana = "large",
        long_vowel: LongVowel = "hyphen",
    ) -> BankAccount:
        """An account that can be drawn on: a known branch, 1 to 7 digits, a name that banks accept.

        Refused by field: `bank`, `branch`, `account_type`, `account_number`, `holder`.
        """
        office = branch_of(bank, branch)
        kind = _TYPE_SPELLINGS.get(unicodedata.normalize("NFKC", account_type).strip(" "))
        if kind is None:
            raise Refused(
                "account_type", f"{shown(account_type)} is none of {', '.join(ACCOUNT_TYPES)}"
            )
        number = _account_number(account_number, office.bank)
        if office.bank == JAPAN_POST_BANK and (kind == "current") != office.branch.endswith("9"):
            raise Refused(
                "account_type",
                "at Japan Post Bank branches that end in 9 hold current accounts, the others"
                " ordinary ones; check branch and type in the passbook",
            )
        name = bank_kana(holder, "holder", small_kana=small_kana, long_vowel=long_vowel)
        if len(name) > HOLDER_LENGTH:
            raise Refused(
                "holder",
                f"is {len(name)} half-width characters long (ﾞ and ﾟ count), banks take"
                f" {HOLDER_LENGTH}; write the beginning as the bank has it",
            )
        return cls(office.bank, office.branch, kind, number, name)


@lru_cache(maxsize=65_536)
def branch_of(bank: str, branch: str) -> BankBranch:
    """The branch of a bank by their codes, 4 and 3 digits; an unknown one is refused by field."""
    bank = _digits(bank, 4, "bank", "bank code [金融機関コード]")
    branch = _digits(branch, 3, "branch", "branch code [支店コード]")
    from zengin_code import Bank  # late: reading all 29,000 branches costs 0.15 s

    known = Bank.all.get(bank)
    if known is None:
        raise Refused(
            "bank", f"no bank has the code {bank}; check the passbook (after a merger codes change)"
        )
    office = known.branches.get(branch)
    if office is None:
        raise Refused(
            "branch",
            f"{known.name} ({bank}) has no branch {branch}; check the passbook"
            " (after a merger or closure codes change)",
        )
    return BankBranch(
        bank,
        known.name,
        bank_kana(known.kana, "bank")[:15],
        branch,
        office.name,
        bank_kana(office.kana, "branch")[:15],
    )


def japan_post_form(symbol: str, number: str) -> tuple[str, str, str]:
    """Branch, account type and number of a Japan Post Bank account [記号番号から店番・口座番号].

    The bank's published rule: digits 2 and 3 of the symbol [記号] and, where it begins with 1, an
    8; the number [番号] without the 1 at its end; an ordinary account. Where it begins with 0
    (giro account [振替口座]), a 9; the number as it is; a current account. A sixth digit of the
    symbol is not used. Source:
    https://www.jp-bank.japanpost.jp/kojin/sokin/koza/kj_sk_kz_furikomi_ksk.html
    """
    found = _SYMBOL.fullmatch(unicodedata.normalize("NFKC", symbol).strip(" "))
    if not found:
        raise Refused(
            "symbol", "must be the 5 digits of the passbook [記号], beginning with 1 or 0"
        )
    digits = unicodedata.normalize("NFKC", number).strip(" ")
    giro = found[1] == "0"
    if giro and re.fullmatch(r"[0-9]{1,6}", digits):
        branch, kind = found[2] + "9", "current"
    elif not giro and re.fullmatch(r"[0-9]{1,7}1", digits):
        branch, kind, digits = found[2] + "8", "ordinary", digits[:-1]
    else:
        form = "1 to 6 digits" if giro else "2 to 8 digits, the last a 1"
        raise Refused("number", f"must be {form} [番号] for a symbol that begins with {found[1]}")
    return branch_of(JAPAN_POST_BANK, branch).branch, kind, digits.zfill(7)


def _digits(text: str, length: int, name: str, what: str) -> str:
    written = unicodedata.normalize("NFKC", text).strip(" ")
    if not re.fullmatch(rf"[0-9]{{{length}}}", written):
        raise Refused(
            name, f"{shown(text)} is no {what}; write its {length} digits, zeros in front included"
        )
    return written


def _account_number(text: str, bank: str) -> str:
    """1 to 7 digits, zeros in front. The number itself stays out of the message."""
    written = unicodedata.normalize("NFKC", text).strip(" ")
    if not re.fullmatch(r"[0-9]{1,7}", written) or not written.strip("0"):
        hint = (
            "; from the symbol and number [記号番号] leave out the last digit of the number"
            if bank == JAPAN_POST_BANK
            else ""
        )
        raise Refused("account_number", f"must be 1 to 7 digits, not all of them 0{hint}")
    return written.zfill(7)
