"""The log of FreeRADIUS [認証ログ]: who was let in and who was not, for the desk's questions.

Every name in it was typed by a stranger, so that only lines of exactly the known form count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from isp.errors import Fault
from provisioning.log_tail import lines_with

Why = Literal[
    "",
    "wrong-password",
    "suspended",
    "unknown-connection-id",
    "no-pap",
    "no-connection-id",
    "other",
]

_LINE: Final = re.compile(
    r"(?P<at>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}) : Auth: \(\d+\) +"
    r"(?P<verdict>Login OK|Login incorrect|Invalid user)(?: \((?P<why>[^\[\]]*)\))?: "
    r"\[(?P<name>[^\[\]]*)\] \(from client (?P<client>[^\[\]\s]+) port \d+"
    r"(?: cli (?P<station>[^\[\]\s]+))?\)"
)
_WHY: Final[dict[str, Why]] = {
    "suspended": "suspended",
    "unknown connection ID": "unknown-connection-id",
    "no PAP": "no-pap",
    "no connection ID": "no-connection-id",
}


@dataclass(frozen=True, slots=True)
class Login:
    """One log-in, accepted or rejected; `name` as it was typed, `client` the access server."""

    at: datetime
    accepted: bool
    name: str
    why: Why
    client: str
    station: str


def logins(log: Path, connection_id: str, last: int) -> list[Login]:
    """The last log-ins under this connection ID, or its first part with another realm or none.

    Oldest first; the log is searched from its end, with the one that was rotated last. That it
    cannot be read is the machine's fault.
    """
    user = connection_id.partition("@")[0]
    try:
        lines = lines_with(log, [f"[{user}".encode()], lambda _: False)
        found = (login(line.decode("utf-8", "replace"), user) for line in lines)
        return list(islice(filter(None, found), last))[::-1]
    except OSError as wrong:
        raise Fault(
            f"platform.radius_log: cannot read {log}: {wrong.strerror}; correct it in isp.toml, "
            "or run this where FreeRADIUS runs"
        ) from None


def login(line: str, user: str) -> Login | None:
    """The log-in that a line tells, if it is one of this user, whatever the realm."""
    parts = _LINE.fullmatch(line)
    if parts is None or parts["name"].lower().partition("@")[0] != user:
        return None
    accepted = parts["verdict"] == "Login OK"
    return Login(
        # The server writes the time of the machine's own zone, without naming it.
        at=datetime.strptime(parts["at"], "%a %b %d %H:%M:%S %Y").astimezone(),
        accepted=accepted,
        name=parts["name"],
        why="" if accepted else _reason(parts["why"] or ""),
        client=parts["client"],
        station=parts["station"] or "",
    )


def _reason(told: str) -> Why:
    if "does not match" in told:
        return "wrong-password"
    return _WHY.get(told, "other")


SAID: Final[dict[Why, tuple[str, str]]] = {
    "": ("接続できました。", "let in"),
    "wrong-password": ("パスワードが違います。", "wrong password"),
    "suspended": ("契約が停止中のため拒否しました。", "refused, the contract was suspended"),
    "unknown-connection-id": (
        "この接続IDは登録がありません。@ より後ろの部分を含めてご確認ください。",
        "no such connection ID: look at what follows the @, too",
    ),
    "no-pap": (
        "PAP 以外の方式で接続しようとしました。アクセスサーバーの設定をご確認ください。",
        "not by PAP: see the configuration of the access server",
    ),
    "no-connection-id": ("接続IDに使えない文字があります。", "signs that no connection ID has"),
    "other": ("その他の理由で拒否しました。", "refused for another reason, see the log"),
}
"""What the desk reads of a log-in, in Japanese and English."""
