"""Letters that carry IDs and passwords [入会時の送付物・再発行のお知らせ] (ISP-01).

They are the only place where a member reads a password: no notice, guide or record carries one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from isp.documents import Addressee, Language, day, letterhead, pdf
from isp.policy import Desk, Mail, Operator, Server

_READINGS: Final[Mapping[str, tuple[str, str]]] = {
    "a": ("エー", "alfa"),
    "b": ("ビー", "bravo"),
    "c": ("シー", "charlie"),
    "d": ("ディー", "delta"),
    "e": ("イー", "echo"),
    "f": ("エフ", "foxtrot"),
    "g": ("ジー", "golf"),
    "h": ("エイチ", "hotel"),
    "i": ("アイ", "india"),
    "j": ("ジェー", "juliett"),
    "k": ("ケー", "kilo"),
    "l": ("エル", "lima"),
    "m": ("エム", "mike"),
    "n": ("エヌ", "november"),
    "o": ("オー", "oscar"),
    "p": ("ピー", "papa"),
    "q": ("キュー", "quebec"),
    "r": ("アール", "romeo"),
    "s": ("エス", "sierra"),
    "t": ("ティー", "tango"),
    "u": ("ユー", "uniform"),
    "v": ("ブイ", "victor"),
    "w": ("ダブリュー", "whiskey"),
    "x": ("エックス", "x-ray"),
    "y": ("ワイ", "yankee"),
    "z": ("ゼット", "zulu"),
    "0": ("ゼロ", "zero"),
    "1": ("イチ", "one"),
    "2": ("ニ", "two"),
    "3": ("サン", "three"),
    "4": ("ヨン", "four"),
    "5": ("ゴ", "five"),
    "6": ("ロク", "six"),
    "7": ("ナナ", "seven"),
    "8": ("ハチ", "eight"),
    "9": ("キュウ", "nine"),
    "!": ("感嘆符", "exclamation"),
    '"': ("二重引用符", "quote"),
    "#": ("シャープ", "hash"),
    "$": ("ドル", "dollar"),
    "%": ("パーセント", "percent"),
    "&": ("アンド", "ampersand"),
    "'": ("引用符", "apostrophe"),
    "(": ("始め括弧", "open paren"),
    ")": ("終り括弧", "close paren"),
    "*": ("アスタリスク", "asterisk"),
    "+": ("プラス", "plus"),
    ",": ("カンマ", "comma"),
    "-": ("ハイフン", "hyphen"),
    ".": ("ピリオド", "dot"),
    "/": ("スラッシュ", "slash"),
    ":": ("コロン", "colon"),
    ";": ("セミコロン", "semicolon"),
    "<": ("小なり", "less than"),
    "=": ("イコール", "equals"),
    ">": ("大なり", "greater than"),
    "?": ("疑問符", "question"),
    "@": ("アット", "at"),
    "[": ("始め角括弧", "open bracket"),
    "\\": ("逆スラッシュ", "backslash"),
    "]": ("終り角括弧", "close bracket"),
    "^": ("ハット", "caret"),
    "_": ("下線", "underscore"),
    "`": ("逆引用符", "backtick"),
    "{": ("始め波括弧", "open brace"),
    "|": ("縦線", "bar"),
    "}": ("終り波括弧", "close brace"),
    "~": ("波線", "tilde"),
}


def spelled(password: str, language: Language) -> tuple[tuple[str, str, str], ...]:
    """How a password is read aloud: (sign, kind, reading), capitals told from small letters.

    English uses the spelling alphabet of telephony. A sign without a reading shows itself alone.
    """
    ja = language == "ja"
    capital, small, digit, other = (
        ("大文字", "小文字", "数字", "記号") if ja else ("capital", "small", "digit", "sign")
    )
    read = []
    for sign in password:
        if sign.isalpha():
            kind = capital if sign.isupper() else small
        else:
            kind = digit if sign.isdigit() else other
        reading = _READINGS.get(sign.lower(), ("", ""))[0 if ja else 1]
        read.append((sign, kind, reading))
    return tuple(read)


@dataclass(frozen=True, slots=True)
class MailboxCredential:
    """A mail address and its password, held in memory from creation to the letter only."""

    address: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomeLetter:
    """The letter on joining [入会時の送付物]; passwords do not show in its `repr`.

    It may be made before the day of opening is known; `opened_on` is None then.

    `first_guide` holds `title` and `steps` of `path`, `fields` (`label`, `value`) and `text`, as
    the guides' JSON has them, in the language of the letter.
    """

    customer: Addressee
    contract_number: str
    plan_name: str
    opened_on: date | None
    connection_id: str
    connection_password: str = field(repr=False)
    mailboxes: tuple[MailboxCredential, ...]
    mail: Mail
    first_guide: Mapping[str, object] | None
    operator: Operator
    desk: Desk
    language: Language = "ja"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueLetter:
    """The letter with a new password [再発行のお知らせ]: the old one is dead already.

    `name` is the mail address or the connection ID.
    """

    customer: Addressee
    contract_number: str
    kind: Literal["mailbox", "connection", "web-space"]
    name: str
    password: str = field(repr=False)
    reissued_on: date
    operator: Operator
    desk: Desk
    language: Language = "ja"


def _server(use: str, server: Server, language: Language) -> dict[str, str]:
    security = {
        "ssl": "SSL/TLS",
        "starttls": "STARTTLS",
        "none": "なし" if language == "ja" else "none",
    }[server.security]
    return {"use": use, "host": server.host, "port": str(server.port), "security": security}


def _servers(mail: Mail, language: Language) -> list[dict[str, str]]:
    """Servers of today's programs; outgoing mail by submission, port 587 (ISP-17)."""
    incoming, outgoing = ("受信", "送信") if language == "ja" else ("Incoming", "Outgoing")
    return [
        _server(f"{incoming} IMAP", mail.imap, language),
        _server(f"{incoming} POP3", mail.pop3, language),
        _server(f"{outgoing} SMTP", mail.submission, language),
    ]


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _guide(guide: Mapping[str, object]) -> dict[str, object]:
    steps = []
    for step in _listed(guide["steps"]):
        if not isinstance(step, Mapping):
            raise TypeError("first_guide: a step holds path, fields and text")
        path = " > ".join(str(part) for part in _listed(step["path"]))
        steps.append({"path": path, "fields": _listed(step["fields"]), "text": step["text"]})
    return {"title": guide["title"], "steps": steps}


def welcome_pdf(letter: WelcomeLetter) -> bytes:
    """The joining letter as PDF: connection, mailboxes, servers and the first guide (ISP-01)."""
    language = letter.language
    return pdf(
        "letters/welcome.typ",
        {
            **letterhead(letter.customer, letter.operator, letter.desk, language),
            "contract_number": letter.contract_number,
            "plan_name": letter.plan_name,
            "opened_on": day(letter.opened_on, language) if letter.opened_on else None,
            "connection": {
                "id": letter.connection_id,
                "password": letter.connection_password,
                "spelled": spelled(letter.connection_password, language),
            },
            "mailboxes": [
                {
                    "address": mailbox.address,
                    "password": mailbox.password,
                    "spelled": spelled(mailbox.password, language),
                }
                for mailbox in letter.mailboxes
            ],
            "servers": _servers(letter.mail, language),
            "first_guide": _guide(letter.first_guide) if letter.first_guide else None,
        },
    )


def reissue_pdf(letter: ReissueLetter) -> bytes:
    """The letter with a new password as PDF (ISP-01)."""
    language = letter.language
    return pdf(
        "letters/reissue.typ",
        {
            **letterhead(letter.customer, letter.operator, letter.desk, language),
            "contract_number": letter.contract_number,
            "kind": letter.kind,
            "name": letter.name,
            "password": letter.password,
            "spelled": spelled(letter.password, language),
            "reissued_on": day(letter.reissued_on, language),
        },
    )
