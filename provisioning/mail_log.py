"""What a line of the mail log says about a mailbox [メールログ]: log-ins, refusals, deliveries.

Dovecot 2.3, Postfix 3.7 and the embedded submission server, under either time stamp of syslog or
their own. Every line is hostile: a stranger chooses the names that he logs in with. Lines that
say nothing about who could or could not use a mailbox are None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal

from isp.calendar import TOKYO

Protocol = Literal["imap", "pop3", "submission", "delivery"]
What = Literal[
    "logged-in",
    "wrong-password",
    "suspended",
    "throttled",
    "no-tls",
    "tls-failed",
    "certificate-refused",
    "ssl-instead-of-starttls",
    "not-logged-in",
    "foreign-sender",
    "sending-limit",
    "refused",
    "server-fault",
    "accepted",
    "sent",
    "deferred",
    "bounced",
    "delivered",
    "mailbox-full",
]

LONGEST_LINE: Final = 8_192
"""Bytes of a line that are looked at; syslog cuts sooner."""
LONGEST_DETAIL: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; names are in lower case, as typed by who logged in.

    `client` is the address of the other side, "" where the line does not tell; `names` are all
    logins and addresses that the line is about; `queue_id` is Postfix's number of the message.
    """

    at: datetime
    protocol: Protocol
    client: str
    what: What
    detail: str
    names: frozenset[str] = frozenset()
    times: int = 1
    queue_id: str = ""


_STAMP = (
    r"(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r"|(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[ ]{1,2}(?P<day>\d{1,2})"
    r" (?P<time>\d\d:\d\d:\d\d)(?:\.\d{1,6})?"
)
_LINE = re.compile(rf"(?:<\d{{1,3}}>)?(?:{_STAMP}) (?P<rest>.*)", re.DOTALL)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_OWN = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR) (?P<text>.*)", re.DOTALL)
_TAGGED = re.compile(
    r"(?:(?P<host>[\w.:-]{0,254}\w) )?(?P<tag>[\w./-]{1,100})(?P<who>\([^)]{0,320}\))?"
    r"(?:<[^>]{0,80}>){0,2}(?:\[\d{1,10}\])?: (?P<text>.*)",
    re.DOTALL,
)


def instant(line: str, now: datetime, zone: tzinfo) -> datetime | None:
    """When the line was written, or None where it begins with no stamp.

    A stamp without a zone is of `zone`, that of the machine; one without a year is the last time
    that this day came round.
    """
    found = _LINE.match(line)
    return _instant(found, now, zone) if found else None


def _instant(found: re.Match[str], now: datetime, zone: tzinfo) -> datetime | None:
    try:
        if found["iso"]:
            at = datetime.fromisoformat(found["iso"].replace(",", "."))
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(TOKYO)
        latest = now.astimezone(zone) + timedelta(days=1)  # clocks differ
        month = _MONTHS.index(found["month"]) + 1
        hour, minute, second = map(int, found["time"].split(":"))
        for year in range(latest.year, latest.year - 5, -1):  # 29 February is rare
            if month == 2 and found["day"] == "29" and year % 4:
                continue
            at = datetime(year, month, int(found["day"]), hour, minute, second, tzinfo=zone)
            if at <= latest:
                return at.astimezone(TOKYO)
    except (ValueError, OverflowError):
        pass
    return None


def event(raw: bytes, now: datetime, zone: tzinfo) -> Event | None:
    """What one line says, or None. Whatever is in it, it raises nothing and costs little."""
    line = raw[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n")
    found = _LINE.match(line)
    at = _instant(found, now, zone) if found else None
    if found is None or at is None:
        return None
    rest = found["rest"]
    own = _OWN.match(rest)
    if own:
        return _embedded(own["text"], at)
    tagged = _TAGGED.match(rest)
    if tagged is None:
        return None
    tag, text = tagged["tag"], tagged["text"]
    if tag.startswith("postfix"):
        return _postfix(tag, text, at)
    if tag == "dovecot":
        inner = _TAGGED.match(text)
        return _dovecot(inner["tag"], inner["who"], inner["text"], at) if inner else None
    stamped = _LINE.match(text)  # systemd puts its stamp before that of the program
    own = _OWN.match(stamped["rest"]) if stamped else None
    if own:
        return _embedded(own["text"], at)
    return _embedded(text, at) or _dovecot(tag, tagged["who"], text, at)


def _clean(detail: str) -> str:
    """A piece of a line for people: printable, short."""
    plain = "".join(sign if sign.isprintable() else " " for sign in detail)
    return " ".join(plain.split())[:LONGEST_DETAIL]


def _names(*names: str | None) -> frozenset[str]:
    return frozenset(name.lower() for name in names if name)


# Dovecot

_LOGIN_OF = re.compile(r"user=<(?P<user>[^>]{0,320})>")
_CLIENT_OF = re.compile(r"\brip=(?P<client>[0-9A-Fa-f:.]{2,45})\b")
_FAILED = re.compile(r"\(auth failed, (?P<times>\d{1,6}) attempts")
_LEVEL = re.compile(r"(?:Info|Warning|Error|Debug): ")
_CERTIFICATE = re.compile(r"unknown ca|bad certificate|certificate (?:unknown|expired|revoked)")
_FULL = re.compile(r"quota exceeded|mailbox is full|mailbox for user is full", re.IGNORECASE)


def _dovecot(process: str, who: str | None, text: str, at: datetime) -> Event | None:
    text = _LEVEL.sub("", text, count=1) if _LEVEL.match(text) else text
    if process in ("imap-login", "pop3-login"):
        return _dovecot_login("imap" if process == "imap-login" else "pop3", text, at)
    if process == "lmtp" and who:
        return _dovecot_delivery(who[1:-1], text, at)
    return None


def _dovecot_login(protocol: Protocol, text: str, at: datetime) -> Event | None:
    # What stands before is ours; behind `user=<` the stranger chooses.
    said, _, behind = text.partition("user=<")
    login = _LOGIN_OF.match("user=<" + behind)
    if login is None:
        return None
    tail = behind.partition(">")[2]
    client = ["", *_CLIENT_OF.findall(tail)][-1]  # an earlier one may be part of the name
    here = Event(at, protocol, client, "logged-in", "", _names(login["user"]))
    under_tls = ", TLS" in tail
    if said.startswith("Login: "):
        return replace(here, detail="TLS" if under_tls else "without TLS")
    if "tried to use disallowed plaintext auth" in said:
        return replace(here, what="no-tls", detail="log-in tried without TLS")
    failed = _FAILED.search(said)
    if failed and ("method=" in tail or under_tls):
        return replace(here, what="wrong-password", detail="", times=int(failed["times"]))
    if failed:  # no method was begun: it was refused before the password was looked at
        return replace(here, what="no-tls", detail="log-in tried without TLS")
    if re.search(r"internal failure, \d{1,6} successful auths", said):
        # The password was right, and then a refusal: so Dovecot logs `nologin`.
        return replace(here, what="suspended", detail="the password was right")
    if "SSL_accept() failed" in said or "SSL_accept() failed" in tail:
        what: What = "certificate-refused" if _CERTIFICATE.search(text) else "tls-failed"
        told = re.search(r"routines::?([^:(,]{1,80})", text)
        return replace(here, what=what, detail=_clean(told[1] if told else ""))
    return None


def _dovecot_delivery(user: str, text: str, at: datetime) -> Event | None:
    here = Event(at, "delivery", "", "delivered", "", _names(user))
    if _FULL.search(text) and "failed" in text:
        return replace(here, what="mailbox-full", detail="over quota")
    if re.search(r": (?:saved mail to|stored mail into mailbox) ", text):
        return here
    return None


# Postfix

_PEER = r"[^\s\[\]]{1,255}\[(?P<client>[^\]\s]{2,60})\](?::\d{1,5})?"
_ACCEPTED = re.compile(
    rf"(?P<queue_id>\w{{5,20}}): client={_PEER}(?:, [a-z_]+=[^,\s]{{1,320}})*?"
    r", sasl_username=(?P<login>[^,\s]{1,320})"
)
_SASL = re.compile(
    rf"warning: {_PEER}: SASL (?P<method>[\w-]{{1,20}}) authentication failed:? ?(?P<why>.*)",
    re.DOTALL,
)
_SASL_LOGIN = re.compile(r", sasl_username=(?P<login>\S{1,320})\Z")
_REJECTED = re.compile(
    rf"(?:NOQUEUE|\w{{5,20}}): (?:milter-)?reject: (?P<command>[A-Z-]{{4,20}}) from {_PEER}: "
    r"(?P<code>[45]\d\d) (?P<said>.*); from=<(?P<sender>[^>]{0,320})>"
    r"(?: to=<(?P<recipient>[^>]{0,320})>)?",
    re.DOTALL,
)
_OWNED = re.compile(r"not owned by user (?P<login>\S{1,320})")
_DELIVERY = re.compile(
    r"(?P<queue_id>\w{5,20}): to=<(?P<recipient>[^>]{0,320})>, "
    r"(?:orig_to=<(?P<original>[^>]{0,320})>, )?.{0,500}?\bdsn=(?P<dsn>\d\.\d{1,3}\.\d{1,3}), "
    r"status=(?P<status>sent|deferred|bounced|expired) \((?P<why>.*)\)",
    re.DOTALL,
)
_GONE = re.compile(rf"disconnect from {_PEER}(?P<counts>( [a-z]+=\d+(?:/\d+)?)*)")
_TLS_ERROR = re.compile(rf"SSL_accept error from {_PEER}: (?P<why>.*)", re.DOTALL)
_TLS_HELLO = re.compile(
    rf"improper command pipelining after CONNECT from {_PEER}: (?:\\026\\003|\\x16\\x03)", re.DOTALL
)
_OUR_FAULT = re.compile(r"Connection lost to authentication server|temporary", re.IGNORECASE)
_LIMIT = re.compile(r"may send to \d+ recipients in one (?:hour|day)")
_WHY_UNTOLD = re.compile(
    r"\(reason unavailable\)|.{0,80}(?:failure|mechanism)|[A-Za-z0-9+/]{8,}={0,2}|", re.IGNORECASE
)


def _postfix(tag: str, text: str, at: datetime) -> Event | None:
    if tag.endswith("/smtpd"):
        for reads in (_postfix_login, _postfix_reject, _postfix_connection):
            found = reads(text, at)
            if found:
                return found if "submission" in tag or "smtps" in tag else _from_outside(found)
        return None
    return _postfix_delivery(text, at)


def _from_outside(found: Event) -> Event | None:
    """Port 25: mail of other servers, that was refused; no member logs in there."""
    if found.what not in ("refused", "mailbox-full"):
        return None
    return replace(found, protocol="delivery")


def _postfix_login(text: str, at: datetime) -> Event | None:
    accepted = _ACCEPTED.match(text)
    if accepted:
        return Event(
            *(at, "submission", accepted["client"], "accepted", ""),
            _names(accepted["login"]),
            queue_id=accepted["queue_id"],
        )
    failed = _SASL.match(text)
    if failed is None:
        return None
    login = _SASL_LOGIN.search(failed["why"])
    why = failed["why"][: login.start()] if login else failed["why"]
    name = login["login"] if login and login["login"] != "(unavailable)" else None
    untold = _WHY_UNTOLD.fullmatch(why) is not None
    what: What = "wrong-password" if untold else "suspended"  # whose reason Dovecot hands on
    if _OUR_FAULT.search(why):
        what = "server-fault"
    detail = "" if untold else _clean(why)
    return Event(at, "submission", failed["client"], what, detail, _names(name))


def _postfix_reject(text: str, at: datetime) -> Event | None:
    found = _REJECTED.match(text)
    if found is None:
        return None
    said = found["said"]
    owned = _OWNED.search(said)
    what: What = "refused"
    if owned:
        what = "foreign-sender"
    elif "not logged in" in said or "Must issue a STARTTLS" in said:
        what = "not-logged-in"
    elif _LIMIT.search(said):
        what = "sending-limit"
    elif said.startswith(("5.2.2 ", "4.2.2 ")):
        what = "mailbox-full"
    names = _names(found["sender"], found["recipient"])
    if owned:  # the sender's own mailbox is another, and this no trouble of its
        names = _names(owned["login"])
    elif what == "mailbox-full":  # which is the recipient's
        names = _names(found["recipient"])
    detail = _clean(f"{found['code']} {said}")
    return Event(at, "submission", found["client"], what, detail, names)


def _postfix_connection(text: str, at: datetime) -> Event | None:
    """What tells of no login, only of a client: TLS that did not come about."""
    hello = _TLS_HELLO.match(text)
    if hello:
        return Event(at, "submission", hello["client"], "ssl-instead-of-starttls", "")
    broken = _TLS_ERROR.match(text)
    if broken:
        return Event(at, "submission", broken["client"], "tls-failed", "")
    gone = _GONE.match(text)
    if gone:
        counts = gone["counts"].split()
        tried = any(count.startswith(("auth=0/", "mail=0/")) for count in counts)
        if tried and not any(count.startswith("starttls=") for count in counts):
            return Event(
                *(at, "submission", gone["client"], "no-tls"), "log-in or mail tried without TLS"
            )
    return None


def _postfix_delivery(text: str, at: datetime) -> Event | None:
    found = _DELIVERY.match(text)
    if found is None:
        return None
    status, dsn = found["status"], found["dsn"]
    what: What = "sent" if status == "sent" else "bounced"
    if status == "deferred":
        what = "deferred"
    if dsn in ("5.2.2", "4.2.2"):
        what = "mailbox-full"
    recipient = found["original"] or found["recipient"]
    detail = recipient if what == "sent" else f"{recipient}: {found['why']}"
    names = _names(found["recipient"], found["original"])
    return Event(at, "delivery", "", what, _clean(detail), names, queue_id=found["queue_id"])


# The embedded submission server and the policy service, in both languages (their EVENTS)

_OF = r"(?P<client>[0-9A-Fa-f:.]{2,45}): "
_LOGIN = r"(?P<login>[^\s:]{1,320})"
_REPLY = r"(?P<reply>.{1,4000})"
_SENTENCES: Final[tuple[tuple[What, str], ...]] = (
    ("logged-in", f"{_OF}{_LOGIN} がログインしました"),
    ("logged-in", f"{_OF}{_LOGIN} has logged in"),
    ("wrong-password", f"{_OF}{_LOGIN} のパスワードが違います"),
    ("wrong-password", rf"{_OF}wrong password for {_LOGIN}\.\Z"),
    ("wrong-password", f"{_OF}登録のないユーザー名でログイン"),
    ("wrong-password", f"{_OF}a log-in under an unknown name"),
    ("throttled", f"{_OF}ログインの失敗が続いたため"),
    ("throttled", f"{_OF}too many failed log-ins"),
    ("suspended", f"{_OF}{_LOGIN} は送信を停止されています"),
    ("suspended", f"{_OF}{_LOGIN} is suspended from sending"),
    ("tls-failed", f"{_OF}TLS を始められませんでした"),
    ("tls-failed", f"{_OF}no TLS came about"),
    ("refused", f"{_OF}{_LOGIN} の差出人または宛先を断りました（{_REPLY}）"),
    ("refused", f"{_OF}sender or recipient of {_LOGIN} refused: {_REPLY}"),
    ("refused", f"{_OF}{_LOGIN} の送信を断りました（{_REPLY}）"),
    ("refused", f"{_OF}sending by {_LOGIN} refused: {_REPLY}"),
    ("accepted", rf"\w{{5,20}}: {_LOGIN} のメールを受け付けました"),
    ("accepted", rf"\w{{5,20}}: mail of {_LOGIN} accepted, "),
    ("refused", rf"\w{{5,20}}: {_LOGIN} のメールを受け付けませんでした（{_REPLY}）"),
    ("refused", rf"\w{{5,20}}: mail of {_LOGIN} not accepted: {_REPLY}"),
)
_EMBEDDED: Final = [(what, re.compile(sentence, re.DOTALL)) for what, sentence in _SENTENCES]


def _embedded(text: str, at: datetime) -> Event | None:
    for what, pattern in _EMBEDDED:
        found = pattern.match(text)
        if found:
            told = found.groupdict()
            reply = told.get("reply") or ""
            if what == "refused" and reply.startswith("553"):
                what = "foreign-sender"
            elif _LIMIT.search(reply):
                what = "sending-limit"
            detail = "the password was right" if what == "suspended" else reply
            return Event(
                *(at, "submission", told.get("client") or "", what, _clean(detail)),
                _names(told.get("login")),
            )
    return None
