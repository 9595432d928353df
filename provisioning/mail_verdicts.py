"""Why a mailbox cannot be used [なぜ使えないか]: probable causes, by its state and the mail log.

Rules over values: the most certain first, each with what it found and what mends it, for the desk
to read at the phone. Where no rule finds anything, that is said as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, Literal, cast

from isp.calendar import TOKYO
from isp.lifecycle import ContractStatus
from provisioning.mail_log import Event, Protocol, What
from provisioning.wanted import Directions, Status, barred

Language = Literal["ja", "en"]

RECENT: Final = timedelta(hours=24)
"""What is older has most likely been mended by now."""
SEVERAL: Final = 3
"""So many failures of a day are a program that tries again, even where another one logs in."""
STRANGERS: Final = 5
"""So many client addresses that fail are not the member's own programs."""
ALMOST_FULL: Final = 0.95
MOST_TOLD: Final = 3
"""Clients that are named; more would not be read out at the phone."""

GOOD: Final[frozenset[What]] = frozenset({"logged-in", "accepted"})

Kind = Literal[
    "removed",
    "removal-planned",
    "contract-over",
    "contract-suspended",
    "suspended",
    "receiving-barred",
    "full",
    "almost-full",
    "bare-name",
    "unknown-name",
    "wrong-password",
    "guessed",
    "app-password-expired",
    "throttled",
    "no-tls",
    "ssl-instead-of-starttls",
    "certificate-refused",
    "tls-failed",
    "not-logged-in",
    "foreign-sender",
    "sending-limit",
    "refused",
    "bounced",
    "server-fault",
    "log-unread",
    "nothing-seen",
    "well",
]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a mailbox at this moment; `events` newest first.

    `expired` are app passwords that have run out: name and instant. `used_mb` is None where
    nobody could tell, `log_read` says whether there was a log. `servers` are the published ones.
    """

    address: str
    contract: ContractStatus
    status: Status
    may: Directions
    now: datetime
    quota_mb: int
    ended_on: date | None = None
    remove_on: date | None = None
    reason: str = ""
    used_mb: float | None = None
    expired: tuple[tuple[str, datetime], ...] = ()
    log_read: bool = True
    events: tuple[Event, ...] = ()
    servers: str = ""

    def recent(self, *what: What) -> list[Event]:
        """What of these kinds happened within the last day, newest first."""
        return [each for each in self.events if each.what in what and self.now - each.at <= RECENT]

    def last_good(self) -> Event | None:
        return next((each for each in self.events if each.what in GOOD), None)


@dataclass(frozen=True, slots=True)
class Cause:
    """A probable cause, with the values of its sentence."""

    kind: Kind
    values: Mapping[str, object] = field(default_factory=dict)


def causes(facts: Facts) -> list[Cause]:
    """Every cause that the rules find, the most certain first; never none."""
    found = [cause for rule in RULES for cause in rule(facts)]
    if found:
        return found
    good = facts.last_good()
    if not facts.log_read:
        return [Cause("log-unread", {"address": facts.address})]
    if not facts.events:
        return [Cause("nothing-seen", {"servers": facts.servers})]
    return [Cause("well", {"good": good, "address": facts.address})]


def _contract(facts: Facts) -> list[Cause]:
    if facts.status == "removed":
        return [Cause("removed", {"on": facts.remove_on})]
    found = []
    if facts.ended_on is not None:
        found.append(Cause("contract-over", {"on": facts.ended_on, "remove_on": facts.remove_on}))
    elif facts.remove_on is not None:
        found.append(Cause("removal-planned", {"on": facts.remove_on}))
    if facts.contract == "suspended":
        found.append(Cause("contract-suspended"))
    return found


def _suspended(facts: Facts) -> list[Cause]:
    if facts.status == "removed":
        return []
    closed = [each for each in barred(facts.may) if each != "receive"]
    found = []
    if closed and facts.contract != "suspended" and facts.remove_on is None:
        found.append(Cause("suspended", {"directions": tuple(closed), "reason": facts.reason}))
    if not facts.may.receive:
        found.append(Cause("receiving-barred", {"reason": facts.reason}))
    return found


def _full(facts: Facts) -> list[Cause]:
    used = facts.used_mb
    values = {"used": used, "quota": facts.quota_mb}
    if facts.recent("mailbox-full") or (used is not None and used >= facts.quota_mb):
        return [Cause("full", values)]
    if used is not None and used >= ALMOST_FULL * facts.quota_mb:
        return [Cause("almost-full", values)]
    return []


def _bare_name(facts: Facts) -> list[Cause]:
    """The local part without its domain, which is unknown to every server; or any unknown name.

    The embedded server does not tell unknown names, since now and then one is a password.
    """
    found: list[Cause] = []
    tried = [each for each in facts.recent("wrong-password") if not _mended(each, facts)]
    kinds: tuple[tuple[Kind, Callable[[Event], bool]], ...] = (
        ("bare-name", _is_bare),
        ("unknown-name", lambda each: not each.names),
    )
    for kind, is_so in kinds:
        last = next(filter(is_so, tried), None)
        if last:
            values = {"address": facts.address, "client": last.client, "at": last.at}
            found.append(Cause(kind, values))
    return found


def _is_bare(each: Event) -> bool:
    return bool(each.names) and not any("@" in name for name in each.names)


def _wrong_password(facts: Facts) -> list[Cause]:
    """Failures that no success from the same place has followed; or many, of a second program."""
    groups: dict[tuple[Protocol, str], list[Event]] = {}
    for each in facts.recent("wrong-password"):
        if each.names and not _is_bare(each):
            groups.setdefault((each.protocol, each.client), []).append(each)
    found = []
    for (protocol, client), failed in groups.items():
        good_at = max(
            (
                each.at
                for each in facts.events
                if each.what in GOOD and (each.protocol, each.client) == (protocol, client)
            ),
            default=None,
        )
        since = [each for each in failed if good_at is None or each.at > good_at]
        if not since and sum(each.times for each in failed) < SEVERAL:
            continue
        told = since or failed
        found.append(
            Cause(
                "wrong-password",
                {
                    "times": sum(each.times for each in told),
                    "client": client,
                    "protocol": protocol,
                    "since": told[-1].at,
                    "good": facts.last_good(),
                },
            )
        )
    if len({client for _, client in groups}) >= STRANGERS:
        found = [Cause("guessed", {"clients": len({client for _, client in groups})})]
    expired = [one for one in facts.expired if found and facts.now - one[1] <= 30 * RECENT]
    return [
        *found[:MOST_TOLD],
        *(Cause("app-password-expired", {"name": name, "at": at}) for name, at in expired),
    ]


def _latest(*kinds: What) -> Callable[[Facts], list[Cause]]:
    """One cause for each kind that happened within the day, told by its latest event.

    Not where the same client has logged in by the same protocol since.
    """

    def rule(facts: Facts) -> list[Cause]:
        found = []
        for kind in kinds:
            open_ = [
                each
                for each in facts.recent(kind)
                if not _mended(each, facts)
                # What others are told who write to the mailbox follows from its state.
                and (kind != "refused" or each.protocol == "submission")
            ]
            if open_:
                found.append(Cause(_KINDS[kind], {"event": open_[0], "servers": facts.servers}))
        return found

    return rule


_KINDS: Final[Mapping[What, Kind]] = {
    "throttled": "throttled",
    "no-tls": "no-tls",
    "ssl-instead-of-starttls": "ssl-instead-of-starttls",
    "certificate-refused": "certificate-refused",
    "tls-failed": "tls-failed",
    "not-logged-in": "not-logged-in",
    "foreign-sender": "foreign-sender",
    "sending-limit": "sending-limit",
    "refused": "refused",
    "bounced": "bounced",
    "server-fault": "server-fault",
}
_NOT_MENDED_BY_LOGGING_IN: Final = frozenset(
    {"foreign-sender", "sending-limit", "refused", "bounced"}
)


def _mended(each: Event, facts: Facts) -> bool:
    """Whether the same client has got further since."""
    if each.what in _NOT_MENDED_BY_LOGGING_IN:
        return False
    return any(
        other.what in GOOD
        and other.at > each.at
        and (other.client, other.protocol) == (each.client, each.protocol)
        for other in facts.events
    )


RULES: Final[tuple[Callable[[Facts], list[Cause]], ...]] = (
    _contract,
    _suspended,
    _full,
    _bare_name,
    _wrong_password,
    _latest(*_KINDS),
)

PROTOCOLS: Final[Mapping[Protocol, Mapping[Language, str]]] = {
    "imap": {"ja": "受信（IMAP）", "en": "IMAP"},
    "pop3": {"ja": "受信（POP3）", "en": "POP3"},
    "submission": {"ja": "送信（SMTP）", "en": "submission"},
    "delivery": {"ja": "配送", "en": "delivery"},
}
DIRECTIONS: Final[Mapping[str, Mapping[Language, str]]] = {
    "fetch": {"ja": "受信メールの取り込み", "en": "fetching"},
    "send": {"ja": "送信", "en": "sending"},
}
SENTENCES: Final[Mapping[Kind, Mapping[Language, tuple[str, str]]]] = {
    "removed": {
        "ja": (
            "このメールボックスは {on} に廃止されています",
            "同じアドレスは使えません。別のアドレスをご案内ください",
        ),
        "en": (
            "the mailbox was removed on {on}",
            "the address is never given again: open another with `isp mailbox add`",
        ),
    },
    "removal-planned": {
        "ja": (
            "{on} に廃止される予定のため、利用を止めています",
            "続けて使う場合は `isp mailbox resume` で取り消せます",
        ),
        "en": (
            "it is to be removed on {on}, so log-in and sending are closed",
            "call the removal off with `isp mailbox resume` where the member stays",
        ),
    },
    "contract-over": {
        "ja": (
            "契約は {on} に終了しています（メールボックスの廃止日: {remove_on}）",
            "続けて使うには新しい契約が必要です",
        ),
        "en": (
            "the contract ended on {on} (the mailbox goes on {remove_on})",
            "a new contract is needed",
        ),
    },
    "contract-suspended": {
        "ja": (
            "契約が停止中のため、受信メールの取り込みと送信ができません",
            "料金のお支払い状況を確認し、`isp contract resume` で再開してください",
        ),
        "en": (
            "the contract is suspended, so fetching and sending are closed; mail still comes in",
            "look at what is unpaid, then resume the contract",
        ),
    },
    "suspended": {
        "ja": (
            "担当者が停止しています: {directions}（理由: {reason}）",
            "理由が解決していれば `isp mailbox resume` で再開してください",
        ),
        "en": (
            "an operator has suspended {directions} (reason: {reason})",
            "once the reason is gone, `isp mailbox resume` opens it again",
        ),
    },
    "receiving-barred": {
        "ja": (
            "このメールボックス宛てのメールを受け取らない設定です（理由: {reason}）",
            "`isp mailbox resume` で受け取りを再開してください",
        ),
        "en": (
            "mail to it is refused by an operator's suspension (reason: {reason})",
            "`isp mailbox resume` lets mail in again",
        ),
    },
    "full": {
        "ja": (
            "容量がいっぱいで、新しいメールが入りません（{used} / {quota} MB）",
            "不要なメールを削除し、ごみ箱を空にしていただくか、容量を増やしてください",
        ),
        "en": (
            "the mailbox is full, mail to it is returned ({used} of {quota} MB)",
            "delete mail and empty the trash, or enlarge it",
        ),
    },
    "almost-full": {
        "ja": (
            "容量が残りわずかです（{used} / {quota} MB）",
            "不要なメールを削除していただくか、容量を増やしてください",
        ),
        "en": (
            "the mailbox is almost full ({used} of {quota} MB)",
            "delete mail, or enlarge it",
        ),
    },
    "bare-name": {
        "ja": (
            "ユーザー名に @ より前だけが入力されています（{client}、{at}）",
            "ユーザー名をメールアドレス全体 {address} に直してください",
        ),
        "en": (
            "the user name was typed without its domain (from {client}, {at})",
            "enter the whole address {address} as the user name",
        ),
    },
    "unknown-name": {
        "ja": (
            "{client} から登録のないユーザー名でログインしようとしています（{at}）",
            "ユーザー名をメールアドレス全体 {address} に直してください",
        ),
        "en": (
            "a user name that does not exist was tried from {client} ({at})",
            "enter the whole address {address} as the user name",
        ),
    },
    "wrong-password": {
        "ja": (
            "{since} から {client} の{protocol}でパスワードが {times} 回拒否されました。"
            "最後に成功したログイン: {good}",
            "メールソフトのパスワードを入れ直すか、`isp mailbox reissue` で再発行してください",
        ),
        "en": (
            "the password was refused {times} time(s) from {client} by {protocol} since {since}; "
            "the last good log-in: {good}",
            "correct it in the mail program, or issue a new one with `isp mailbox reissue`",
        ),
    },
    "guessed": {
        "ja": (
            "{clients} か所から誤ったパスワードが試されています。第三者による推測と思われます",
            "パスワードは破られていません。ご本人が使えない場合だけ再発行してください",
        ),
        "en": (
            "wrong passwords come from {clients} addresses: strangers are guessing",
            "they have not got in; issue a new one only if the member cannot log in either",
        ),
    },
    "app-password-expired": {
        "ja": (
            "アプリパスワード「{name}」は {at} に期限が切れています",
            "その端末には `isp app-password add` で新しいものを発行してください",
        ),
        "en": (
            "the app password {name!r} ran out at {at}",
            "issue a new one for that device with `isp app-password add`",
        ),
    },
    "throttled": {
        "ja": (
            "ログインの失敗が続いたため、{client} からのログインを一時的に止めています（{at}）",
            "メールソフトを閉じて数分待ち、パスワードを直してからお試しください",
        ),
        "en": (
            "after repeated failures log-ins from {client} have to wait ({at})",
            "close the mail program, wait some minutes, correct the password, then try again",
        ),
    },
    "no-tls": {
        "ja": (
            "{client} の{protocol}が暗号化なしで接続しています（{at}）",
            "メールソフトの接続の保護を設定してください: {servers}",
        ),
        "en": (
            "{client} tries {protocol} without encryption ({at})",
            "set the connection security in the mail program: {servers}",
        ),
    },
    "ssl-instead-of-starttls": {
        "ja": (
            "{client} が STARTTLS のポートに SSL/TLS で接続しています（{at}）",
            "接続の保護を STARTTLS に変えるか、SSL/TLS のポートを使ってください: {servers}",
        ),
        "en": (
            "{client} speaks SSL/TLS at once on the port for STARTTLS ({at})",
            "choose STARTTLS, or the port for SSL/TLS: {servers}",
        ),
    },
    "certificate-refused": {
        "ja": (
            "{client} のメールソフトがサーバー証明書を受け付けていません（{at}）",
            "サーバー名と端末の日付を確認してください。`isp mailbox verify` で証明書を点検できます",
        ),
        "en": (
            "the mail program at {client} does not take the server's certificate ({at})",
            "check server name and the device's date; `isp mailbox verify` checks the certificate",
        ),
    },
    "tls-failed": {
        "ja": (
            "{client} との{protocol}で暗号化を始められませんでした（{at}、{detail}）",
            "古いソフトは TLS 1.2 に対応していません。更新と、ポートの確認をお願いします: {servers}",
        ),
        "en": (
            "no encryption came about with {client} by {protocol} ({at}, {detail})",
            "old software knows no TLS 1.2: update it, and check the port: {servers}",
        ),
    },
    "not-logged-in": {
        "ja": (
            "{client} がログインせずに送信しようとしています（{at}）",
            "送信サーバーの設定で「認証が必要」を有効にしてください",
        ),
        "en": (
            "{client} tries to send without logging in ({at})",
            "turn on authentication for the outgoing server",
        ),
    },
    "foreign-sender": {
        "ja": (
            "差出人がご自分のアドレスではないため、送信を断りました（{at}、{detail}）",
            "差出人をログイン名のアドレスにするか、別名として `isp alias add` で登録してください",
        ),
        "en": (
            "a sender that is not the member's own address was refused ({at}, {detail})",
            "send as the address of the log-in, or register the other with `isp alias add`",
        ),
    },
    "sending-limit": {
        "ja": (
            "送信数の上限に達しています（{at}）",
            "心当たりがなければパスワードが盗まれています。再発行してください。"
            "あれば時間をおいてください",
        ),
        "en": (
            "the limit of recipients is reached ({at})",
            "if the member did not send so much, the password is stolen: reissue it; else wait",
        ),
    },
    "refused": {
        "ja": (
            "メールが断られています（{at}、{detail}）",
            "宛先の綴りを確認してください",
        ),
        "en": ("a mail was refused ({at}, {detail})", "check how the recipient is written"),
    },
    "bounced": {
        "ja": (
            "送ったメールが相手に届かず戻りました（{at}、{detail}）",
            "宛先を確認し、戻りメールの理由を相手先にお伝えください",
        ),
        "en": (
            "a mail could not be delivered and came back ({at}, {detail})",
            "check the recipient; the reason is for the other side",
        ),
    },
    "server-fault": {
        "ja": (
            "当社のサーバーがログインを確かめられませんでした（{at}、{detail}）",
            "設備担当に連絡してください。お客様の設定は変えずにお待ちいただきます",
        ),
        "en": (
            "our server could not check a log-in ({at}, {detail})",
            "tell the operators of the servers; the member need change nothing",
        ),
    },
    "log-unread": {
        "ja": (
            "状態に問題はありません。メールのログは読めませんでした",
            "isp.toml の platform.mail_log を設定してください。"
            "`isp mailbox verify {address}` で動作を確かめられます",
        ),
        "en": (
            "its state is good; the mail log could not be read",
            "set platform.mail_log in isp.toml; `isp mailbox verify {address}` tries it out",
        ),
    },
    "nothing-seen": {
        "ja": (
            "このメールボックスへの接続は記録にありません",
            "サーバー名・ポート・ユーザー名の誤りか、通信の遮断が考えられます。正しい設定: {servers}",
        ),
        "en": (
            "nobody has tried to use this mailbox",
            "server name, port or user name are wrong, or the network blocks it; "
            "right are: {servers}",
        ),
    },
    "well": {
        "ja": (
            "問題は見つかりません。最後に成功したログイン: {good}",
            "メールソフトの表示を伺ってください。`isp mailbox verify {address}` で動作を確かめられます",
        ),
        "en": (
            "nothing is wrong; the last good log-in: {good}",
            "ask what the program says; `isp mailbox verify {address}` tries the mailbox out",
        ),
    },
}
"""Finding and mend of each cause."""

NEVER: Final[Mapping[Language, str]] = {"ja": "記録なし", "en": "none seen"}
NO_REASON: Final[Mapping[Language, str]] = {"ja": "記載なし", "en": "none given"}
UNKNOWN: Final[Mapping[Language, str]] = {"ja": "不明", "en": "unknown"}


def told(cause: Cause, language: Language) -> tuple[str, str]:
    """Finding and mend as sentences."""
    words = {name: _word(name, value, language) for name, value in _values(cause).items()}
    finding, mend = SENTENCES[cause.kind][language]
    return finding.format(**words), mend.format(**words)


def _values(cause: Cause) -> dict[str, object]:
    values = dict(cause.values)
    event = values.pop("event", None)
    if isinstance(event, Event):
        values |= {
            "client": event.client,
            "at": event.at,
            "protocol": event.protocol,
            "detail": event.detail,
        }
    return values


def _word(name: str, value: object, language: Language) -> str:
    if name == "good":
        return _good(value, language)
    if name == "directions" and isinstance(value, tuple):
        between = "と" if language == "ja" else " and "
        return between.join(DIRECTIONS[each][language] for each in value)
    if name == "protocol":
        return PROTOCOLS[cast(Protocol, value)][language]
    if isinstance(value, datetime):
        return f"{value.astimezone(TOKYO):%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.1f}"
    if value in (None, ""):
        return (NO_REASON if name == "reason" else UNKNOWN)[language]
    return "".join(sign if sign.isprintable() else " " for sign in str(value))


def _good(value: object, language: Language) -> str:
    if not isinstance(value, Event):
        return NEVER[language]
    at = f"{value.at.astimezone(TOKYO):%Y-%m-%d %H:%M}"
    where = PROTOCOLS[value.protocol][language]
    return f"{at}, {where}, {value.client}"
