"""Documents [帳票]: the two engines behind every page, letter and mail the operator sends.

Text and HTML come from Jinja2, PDF from Typst. Both take values only, so that a name such as
`<b>` or `#panic()` prints as it is written; both read `templates/` alone, fonts included, so that
Japanese prints on a machine without any font of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from isp.month import Month
from isp.policy import Desk, Operator

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context
    from typst import Compiler

Language = Literal["ja", "en"]

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029]+"  # controls and line breaks: a name cannot forge a line
)
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufdd0-\ufdef"
    "\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Marks that turn the direction of what follows, hide in it, or are no characters at all."""

_ENGLISH_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def printable(text: str) -> str:
    """What of `text` may stand on paper or in a line: one line, no controls, nothing hidden."""
    return _INVISIBLE.sub("", _UNPRINTABLE.sub(" ", text))


def yen(amount: int, language: Language = "ja") -> str:
    """Whole yen as people read them: `1,234円`, in English `¥1,234`."""
    if language == "ja":
        return f"{amount:,}円"
    return f"¥{amount:,}" if amount >= 0 else f"-¥{-amount:,}"


def day(on: date, language: Language = "ja") -> str:
    """`2026年4月10日`, in English `10 April 2026`."""
    if language == "ja":
        return f"{on.year}年{on.month}月{on.day}日"
    return f"{on.day} {_ENGLISH_MONTHS[on.month - 1]} {on.year}"


def month(of: Month, language: Language = "ja") -> str:
    """`2026年4月`, in English `April 2026`."""
    if language == "ja":
        return f"{of.year}年{of.number}月"
    return f"{_ENGLISH_MONTHS[of.number - 1]} {of.year}"


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a document is for [宛名]: 御中 after a company's name, 様 after a person's."""

    number: str
    name: str
    postal_code: str
    address: str
    corporation: bool = False

    def written(self, language: Language) -> dict[str, str]:
        """As it stands in the window of the envelope."""
        if language == "en":
            name, number = self.name, f"Customer number {self.number}"
        else:
            name = f"{self.name} {'御中' if self.corporation else '様'}"
            number = f"会員番号 {self.number}"
        code = self.postal_code.replace("-", "")
        return {
            "name": name,
            "number": number,
            "postal_code": f"〒{code[:3]}-{code[3:]}",
            "address": self.address,
        }


def letterhead(
    addressee: Addressee, operator: Operator, desk: Desk, language: Language
) -> dict[str, object]:
    """What every document says of its issuer, its reader and the desk with its hours (ISP-22)."""
    ja = language == "ja"
    return {
        "language": language,
        "addressee": addressee.written(language),
        "issuer": {
            "name": operator.name if ja else operator.name_en,
            "postal_code": f"〒{operator.postal_code}",
            "address": operator.address if ja else operator.address_en,
            "registration": f"{'登録番号' if ja else 'Registration number'} "
            f"{operator.registration_number}",
        },
        "desk": {
            "name": "サポートデスク" if ja else "Support desk",
            "phone": desk.phone,
            "hours": f"{'受付時間' if ja else 'Hours'} {desk.hours}",
            "email": desk.email,
            "reach": " ".join(filter(None, (desk.email, desk.url))),
        },
    }


@cache
def environment() -> Environment:
    """The Jinja2 environment over `templates/`; an unknown value is an error, HTML is escaped.

    Filters `yen`, `day` and `month` speak the `language` of the values, Japanese without one.
    """
    from jinja2 import (
        Environment,
        PackageLoader,
        StrictUndefined,
        pass_context,
        select_autoescape,
    )

    made = Environment(
        loader=PackageLoader("templates", ""),
        autoescape=select_autoescape(("html", "html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )

    @pass_context
    def in_yen(context: Context, amount: int) -> str:
        return yen(amount, context.get("language", "ja"))

    @pass_context
    def as_day(context: Context, on: date) -> str:
        return day(on, context.get("language", "ja"))

    @pass_context
    def as_month(context: Context, of: Month) -> str:
        return month(of, context.get("language", "ja"))

    made.filters.update(yen=in_yen, day=as_day, month=as_month)
    return made


_FOLDER: Final = Path(__file__).resolve().parent.parent / "templates"
_ONE_AT_A_TIME: Final = Lock()


@cache
def _compiler() -> Compiler:
    """One per process: it keeps fonts and what it has laid out, 300 pages a second against 12."""
    import typst

    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[_FOLDER / "fonts"]
    )
    return typst.Compiler(root=_FOLDER, font_paths=fonts)


@cache
def _source(template: str) -> bytes:
    return (_FOLDER / template).read_bytes()


def plain(value: object) -> object:
    """`value` as JSON knows it, its texts printable; dates and months in their ISO form."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {str(key): plain(of) for key, of in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(of) for of in value]
    if isinstance(value, (date, Month)):
        return str(value)
    raise TypeError(f"a document takes texts, whole numbers, dates and lists, not {value!r}")


def pdf(template: str, values: Mapping[str, object]) -> bytes:
    """A PDF from a Typst template, named relative to `templates/` (`letters/welcome.typ`).

    The template reads its values by `json("/data.json")`, a file that exists for this call only:
    they cannot become markup, and unlike `sys.inputs`, which is part of the language's library,
    a new one leaves the layouts kept from earlier documents in use (2.8 ms against 12). The
    same values give the same bytes, as no clock is read.
    """
    written = json.dumps(plain(values), ensure_ascii=False).encode()
    # The stub knows single files only; the library's README documents several in a mapping.
    files: Any = {"main.typ": _source(template), "data.json": written}
    with _ONE_AT_A_TIME:
        made = _compiler().compile(input=files, format="pdf", timestamp=0)
    if not isinstance(made, bytes):
        raise TypeError(f"{template} gave no PDF")
    return made
