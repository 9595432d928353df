"""The configuration of Postfix and Dovecot [メールサーバー設定], written from the policy.

What a member may do is not in it: the servers ask the views `mail_*` at each question. Values are put
into files of three grammars, so every one is held to a form that needs no quoting in any of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from isp.documents import environment
from isp.errors import Refused
from isp.policy import Desk, Mail, Policy, Server
from provisioning import opendkim

ROLE: Final = "isp_mail"
VIEWS: Final = (
    "mail_domain",
    "mail_login",
    "mail_user",
    "mail_route",
    "mail_sender",
    "mail_refused",
)
"""PostgreSQL's role for the mail servers, and what it may read."""

_MAPS: Final = {
    "domains": (
        "virtual_mailbox_domains: the domains whose mail is ours.",
        "SELECT name FROM mail_domain WHERE name = '%s'",
    ),
    "mailboxes": (
        "virtual_mailbox_maps: every mailbox that has not been removed.",
        "SELECT address FROM mail_user WHERE address = '%s'",
    ),
    "routes": (
        "virtual_alias_maps: mailboxes to themselves, forwards, aliases, and @DOMAIN for a catch-all.",
        "SELECT destination FROM mail_route WHERE address = '%s'",
    ),
    "postmaster": (
        "virtual_alias_maps, too: postmaster@ and abuse@ of every domain without such a mailbox.",
        "SELECT 'postmaster@{hostname}' FROM mail_domain"
        " WHERE '%s' IN ('postmaster@' || name, 'abuse@' || name)"
        " AND NOT EXISTS (SELECT 1 FROM mail_route WHERE address = '%s')",
    ),
    "senders": (
        "smtpd_sender_login_maps: who may send as this address.",
        "SELECT login FROM mail_sender WHERE address = '%s'",
    ),
    "refused": (
        "check_recipient_access: addresses that take no mail now.",
        "SELECT '550 5.2.1 This mailbox takes no mail now' FROM mail_refused WHERE address = '%s'",
    ),
    "alive": (
        "check_helo_access: finds nothing, and fails when the database is away.",
        "SELECT name FROM mail_domain WHERE name = '' AND '%s' = ''",
    ),
}
_PORT: Final = re.compile(
    r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
)
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+@-]{0,200}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_LIST: Final = re.compile(r"[A-Za-z0-9._:*/\[\], -]{1,200}")
_PHONE: Final = re.compile(r"[A-Za-z0-9 +().,/-]{1,40}")
SCRAM_ROUNDS: Final = 4_096
"""What PostgreSQL itself takes; the passwords here have 192 random bits."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the servers live and as whom they run: Debian 12, unless said otherwise."""

    postfix: str = "/etc/postfix"
    dovecot: str = "/etc/dovecot"
    queue: str = "/var/spool/postfix"
    postfix_state: str = "/var/lib/postfix"
    run: str = "/run/dovecot"
    dovecot_state: str = "/var/lib/dovecot"
    instance: str = "dovecot"
    opendkim: str = "/etc/opendkim"
    opendkim_run: str = "/run/opendkim"
    opendkim_user: str = "opendkim"
    postfix_user: str = "postfix"
    postdrop_group: str = "postdrop"
    dovecot_user: str = "dovecot"
    login_user: str = "dovenull"
    postfix_interfaces: str = "all"
    dovecot_listen: str = "*, ::"
    trusted: str = "127.0.0.1/32, [::1]/128"
    mx_port: str = "25"
    legacy_port: str = "10588"

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            form = _PATH if str(each.default).startswith("/") else _LIST
            if not form.fullmatch(value):
                raise Refused(each.name, f"{value!r} cannot stand in a configuration file")
            if each.name.endswith("_port") and not _PORT.fullmatch(value):
                raise Refused(each.name, f"{value!r} is no port: write a number from 1 to 65535")

    def with_values(self, values: Sequence[str]) -> Layout:
        """The layout with `NAME=VALUE` in place of what it says."""
        known = {each.name for each in fields(self)}
        changed = dict(value.partition("=")[::2] for value in values)
        for name in changed.keys() - known:
            raise Refused("set", f"{name!r} is not known; there are: {', '.join(sorted(known))}")
        return replace(self, **changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgresql:
    """The office's database as the servers reach it: over TCP with a password.

    `tls` are settings of libpq, such as `("sslmode", "verify-full")`.
    """

    host: str
    port: int
    name: str
    tls: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for value in (self.host, self.name, *(value for _, value in self.tls)):
            if not (_HOST.fullmatch(value) or _PATH.fullmatch(value)):
                raise Refused("database.url", f"{value!r} cannot stand in a configuration file")


@dataclass(frozen=True, slots=True)
class Feed:
    """The feed beside an office on SQLite: the file `mail.db`."""

    path: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file of the configuration: its place in the folder, its text, and whether it is root's alone."""

    path: str
    text: str
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything that is written from; paths are absolute, the password is the role's.

    `dkim` is the folder of OpenDKIM's keys; without one mail is not signed.
    """

    policy: Policy
    layout: Layout
    source: Postgresql | Feed
    mail_root: str
    certificate: str
    key: str
    password: str
    salt: bytes
    dkim: str = ""

    def __post_init__(self) -> None:
        policy = self.policy
        if self.dkim:
            opendkim.check_knobs(self.dkim, policy.platform.dkim_reload)
        for knob, path in (
            ("smtpd.maildir", self.mail_root),
            ("smtpd.certificate", self.certificate),
            ("smtpd.certificate_key", self.key),
            ("platform.mail_log", policy.platform.mail_log or "/"),
            ("platform.feed", self.source.path if isinstance(self.source, Feed) else "/"),
        ):
            if not _PATH.fullmatch(path):
                raise Refused(
                    knob, f"{path!r}: write a whole path of ASCII letters, digits and ._+@-"
                )
        for knob, host in (
            ("mail.domain", policy.mail.domain),
            ("mail.submission.host", policy.mail.submission.host),
            ("smtpd.smarthost", policy.smtpd.smarthost or "-"),
        ):
            if not _HOST.fullmatch(host):
                raise Refused(
                    knob, f"{host!r} is no host of ASCII letters, digits, dots and hyphens"
                )


@dataclass(frozen=True, slots=True)
class Listener:
    """A port on which Dovecot listens."""

    name: str
    number: int
    tls: bool


def listeners(protocol: Literal["imap", "pop3"], servers: Sequence[Server]) -> list[Listener]:
    """The ports of a protocol, once each: with TLS from the start (`ssl`) or not."""
    ports = sorted({(server.port, server.security == "ssl") for server in servers})
    if len({port for port, _ in ports}) < len(ports):
        raise Refused(f"mail.{protocol}.port", "one port cannot be both: ssl and not")
    made = []
    for name, tls in ((protocol, False), (f"{protocol}s", True)):
        numbers = [port for port, has_tls in ports if has_tls is tls] or [0]
        made += [Listener(f"{name}{count or ''}", port, tls) for count, port in enumerate(numbers)]
    return made


def in_the_clear(mail: Mail) -> list[str]:
    """The protocols that the policy lets programs out of support speak without TLS."""
    servers = {"imap": (mail.imap, mail.imap_legacy), "pop3": (mail.pop3, mail.pop3_legacy)}
    return [name for name, both in servers.items() if any(s.security == "none" for s in both)]


def barred(desk: Desk) -> dict[str, str]:
    """What a member with the right password is told who is barred, where the operator gave no reason.

    By language, and for SMTP, whose answers are ASCII (RFC 5321, 4.2).
    """
    if not _PHONE.fullmatch(desk.phone):
        raise Refused("desk.phone", "mail servers say it: digits, letters and +().,/- only")
    return {
        "ja": f"このメールボックスは現在ご利用いただけません。サポートデスク {desk.phone} へお問い合わせください。",
        "en": f"This mailbox cannot be used at present: please call the support desk, {desk.phone}",
        "smtp": f"Sending from this mailbox is suspended: please call the support desk, {desk.phone}",
    }


def scram_verifier(password: str, salt: bytes, rounds: int = SCRAM_ROUNDS) -> str:
    """A password as PostgreSQL keeps it (RFC 5803): it verifies, and does not tell it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = [base64.b64encode(each).decode() for each in (salt, client, server)]
    return f"SCRAM-SHA-256${rounds}:{told[0]}${told[1]}:{told[2]}"


def rendered(platform: Platform) -> list[Rendered]:
    """Every file of the folder that `isp mail-platform render` writes, in the order of its paths.

    Refused: a knob whose value cannot stand in these files, or that the servers cannot keep.
    """
    return sorted(_files(platform), key=lambda file: file.path)


def _files(platform: Platform) -> Iterator[Rendered]:
    values = _values(platform)

    def filled(template: str, **more: object) -> str:
        found = environment().get_template(f"platform/{template}.j2")
        return found.render(**values, **more)

    yield Rendered("postfix/main.cf", filled("postfix/main.cf"))
    yield Rendered("postfix/master.cf", filled("postfix/master.cf"))
    for name, (purpose, query) in _MAPS.items():
        query = query.replace("{hostname}", platform.policy.mail.submission.host)
        text = filled("postfix/map.cf", purpose=purpose, query=query)
        yield Rendered(f"postfix/isp-{name}.cf", text)
    yield Rendered("dovecot/dovecot.conf", filled("dovecot/dovecot.conf"))
    for name in ("dovecot-app.conf.ext", "dovecot-sql.conf.ext", "dovecot-barred.conf.ext"):
        yield Rendered(f"dovecot/{name}", filled(f"dovecot/{name}"), private=True)
    if platform.dkim:
        for name in ("opendkim.conf", "sign.lua"):
            yield Rendered(f"opendkim/{name}", filled(f"opendkim/{name}"))
    if isinstance(platform.source, Postgresql):
        yield Rendered("database.sql", filled("database.sql"))
    if platform.policy.platform.mail_log:
        yield Rendered("logrotate", filled("logrotate"))
    yield Rendered("README.md", filled("README.md"))
    yield Rendered("README.ja.md", filled("README.ja.md"))


def _check_submission(mail: Mail) -> None:
    """Refuse ports of submission where passwords would pass in clear unasked, or that are two things."""
    for knob, server, security in (
        ("submission", mail.submission, "starttls"),
        ("submissions", mail.submissions, "ssl"),
    ):
        if server.security != security:
            raise Refused(f"mail.{knob}.security", f'has to be "{security}": passwords pass there')
    legacy = mail.submission_legacy
    asking_for_tls = {(each.host, each.port) for each in (mail.submission, mail.submissions)}
    if legacy.security == "none" and (legacy.host, legacy.port) in asking_for_tls:
        raise Refused(
            "mail.submission_legacy.host",
            f"port {legacy.port} of {legacy.host} asks for TLS: give programs that know none a "
            "name of their own",
        )


def _values(platform: Platform) -> dict[str, Any]:
    policy, layout, source = platform.policy, platform.layout, platform.source
    mail, sqlite = policy.mail, isinstance(source, Feed)
    _check_submission(mail)
    kind = "sqlite" if sqlite else "pgsql"
    legacy = mail.submission_legacy
    smarthost = policy.smtpd.smarthost
    log = policy.platform.mail_log
    return {
        "layout": layout,
        "hostname": mail.submission.host,
        "log_name": mail.submission.host.partition(".")[0],
        "domain": mail.domain,
        "maps": {name: f"proxy:{kind}:{layout.postfix}/isp-{name}.cf" for name in _MAPS},
        "kind": kind,
        "log": log,
        "log_folder": log.rpartition("/")[0] or "/",
        "source": source,
        "sqlite": sqlite,
        "database_tls": () if isinstance(source, Feed) else source.tls,
        "password": platform.password,
        "role": {
            "name": ROLE,
            "views": VIEWS,
            "verifier": scram_verifier(platform.password, platform.salt),
        },
        "smarthost": f"[{smarthost}]:{policy.smtpd.smarthost_port}" if smarthost else "",
        "certificate": platform.certificate,
        "key": platform.key,
        "mail_root": platform.mail_root,
        "vmail": policy.platform.vmail,
        "dkim": platform.dkim,
        "key_table": f"{platform.dkim}/{opendkim.KEYS}",
        "policy_service": policy.platform.policy_service,
        "size_limit": policy.smtpd.size_limit,
        "recipient_limit": policy.smtpd.recipient_limit,
        "connections_per_client": policy.smtpd.connections_per_client,
        "failure_delay": policy.smtpd.failure_delay_seconds,
        "submission_port": mail.submission.port,
        "submissions_port": mail.submissions.port,
        "submission_legacy": legacy if legacy.security == "none" else None,
        "listeners": {
            "imap": listeners("imap", (mail.imap, mail.imap_legacy)),
            "pop3": listeners("pop3", (mail.pop3, mail.pop3_legacy)),
        },
        "in_the_clear": in_the_clear(mail),
        "barred": barred(policy.desk),
        # Printable ASCII and not empty; GLOB and ~ know ranges by code point.
        "ascii": "(reason <> '' AND reason NOT GLOB '*[^ -~]*')"
        if sqlite
        else "(reason COLLATE \"C\" ~ '^[ -~]+$')",
        "unexpired": "julianday(expires_at) > julianday('now')" if sqlite else "expires_at > now()",
    }
