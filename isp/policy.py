"""An operator's policy, `isp.toml`: typed, validated on load, one section per trade.

Policy is data: rules get the part they need as an argument. Every knob is documented in the
profile file that `isp init` copies; a test holds the two together.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from isp.errors import Fault, Refused
from isp.money import Rounding

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Optional = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Prefix = Annotated[str, Meta(pattern=r"^[A-Z]{1,3}\Z")]
Port = Annotated[int, Meta(ge=1, le=65535)]
DayOfMonth = Annotated[int, Meta(ge=1, le=28)]
Yen = Annotated[int, Meta(ge=0, le=10_000_000)]
Days = Annotated[int, Meta(ge=0, le=366)]
TimeOfDay = Annotated[time, Meta(tz=False)]
Security = Literal["ssl", "starttls", "none"]
# A name that DNS can point to: two labels at least, lower case, ASCII (RFC 1123).
Host = Annotated[
    str,
    Meta(
        max_length=253,
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z",
    ),
]
Hosts = Annotated[tuple[Host, ...], Meta(min_length=1, max_length=5)]
Brand = Literal["jcb", "visa", "mastercard", "amex", "diners"]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section: an unknown knob is an error, never silently ignored."""


class Operator(Section, frozen=True, kw_only=True):
    """The issuer of invoices and letters [事業者]."""

    name: Text
    name_en: Text
    registration_number: Annotated[str, Meta(pattern=r"^T[0-9]{13}\Z")]
    postal_code: Annotated[str, Meta(pattern=r"^[0-9]{3}-[0-9]{4}\Z")]
    address: Text
    address_en: Text


class Desk(Section, frozen=True, kw_only=True):
    """The support desk, named on every document and page (ISP-22) [サポートデスク]."""

    phone: Text
    email: Text
    opens: TimeOfDay
    closes: TimeOfDay
    url: Optional = ""

    @property
    def hours(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"


class Numbers(Section, frozen=True, kw_only=True):
    """Prefixes of record numbers; documents already issued keep theirs."""

    customer: Prefix = "C"
    contract: Prefix = "K"
    invoice: Prefix = "R"
    credit_note: Prefix = "CN"


class Database(Section, frozen=True, kw_only=True):
    url: Text
    key_file: Text


class CalendarPolicy(Section, frozen=True, kw_only=True):
    closed: tuple[date, ...] = ()


class ContractPolicy(Section, frozen=True, kw_only=True):
    """Terms, cancellation and withdrawal (ISP-09 to ISP-15)."""

    cutoff_day: DayOfMonth = 15
    cheapest_within_months: Annotated[int, Meta(ge=1, le=120)] = 36
    installation_counted_to: Literal["last-charged", "received"] = "last-charged"
    early_fee_before_opening: bool = True
    withdrawal_days: Annotated[int, Meta(ge=8, le=60)] = 8
    withdrawal_installation_maximum: Yen = 25_000
    renewal_notice_days: Days = 45


class Billing(Section, frozen=True, kw_only=True):
    """The monthly run and its invoices (ISP-02, ALL-01)."""

    run_day: DayOfMonth = 3
    rounding: Rounding = "floor"
    default_method: Literal["invoice"] = "invoice"


class Transfer(Section, frozen=True, kw_only=True):
    """Account transfer [口座振替], consignor's side of the Zengin file (ISP-05, ISP-07)."""

    day: DayOfMonth = 23
    fee: Yen = 200
    export_day: DayOfMonth = 8
    consignor_code: Annotated[str, Meta(pattern=r"^[0-9]{10}\Z")]
    consignor_name: Text
    bank: Annotated[str, Meta(pattern=r"^[0-9]{4}\Z")]
    branch: Annotated[str, Meta(pattern=r"^[0-9]{3}\Z")]
    account_type: Literal["ordinary", "current"] = "ordinary"
    account_number: Annotated[str, Meta(pattern=r"^[0-9]{7}\Z")]
    line_end: Literal["none", "crlf"] = "crlf"
    small_kana: Literal["large", "keep"] = "large"
    long_vowel: Literal["hyphen", "keep"] = "hyphen"
    insufficient_funds: Literal["retry", "invoice"] = "retry"


class Card(Section, frozen=True, kw_only=True):
    """Credit cards that the operator accepts (ISP-04)."""

    brands: tuple[Brand, ...] = ("jcb", "visa", "mastercard", "amex", "diners")


class Server(Section, frozen=True, kw_only=True):
    """A mail server as the subscriber's program reaches it."""

    host: Text
    port: Port
    security: Security


class PasswordRule(Section, frozen=True, kw_only=True):
    """How generated passwords look and how they are kept (Dovecot scheme)."""

    length: Annotated[int, Meta(ge=10, le=64)] = 14
    scheme: Literal["ARGON2ID", "SHA512-CRYPT"] = "ARGON2ID"


class Mail(Section, frozen=True, kw_only=True):
    """Mail domain and servers (ISP-17); programs out of support use the `_legacy` servers."""

    domain: Text
    imap: Server
    pop3: Server
    pop3_legacy: Server
    imap_legacy: Server
    submission: Server
    submissions: Server
    submission_legacy: Server
    quota_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 5_000
    removal_grace_days: Days = 30
    password: PasswordRule = PasswordRule()


class Dns(Section, frozen=True, kw_only=True):
    """What the world is told about the mail domains by DNS, and how their signing keys change."""

    mx: Hosts
    senders: Hosts
    web: Host
    ttl: Annotated[int, Meta(ge=60, le=86_400)] = 3_600
    dmarc: Literal["none", "quarantine", "reject"] = "none"
    mta_sts: Literal["none", "testing", "enforce"] = "testing"
    reports: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")
    ] = "postmaster"
    dkim_publish_days: Annotated[int, Meta(ge=1, le=90)] = 3
    dkim_retire_days: Annotated[int, Meta(ge=1, le=90)] = 14
    timeout_seconds: Annotated[int, Meta(ge=1, le=60)] = 3


class Access(Section, frozen=True, kw_only=True):
    """Connection accounts for PPPoE (ISP-01): `USER@REALM`."""

    realm: Text


class Smtpd(Section, frozen=True, kw_only=True):
    """The embedded submission server."""

    host: Text = "127.0.0.1"
    port: Port = 587
    certificate: Optional = ""
    certificate_key: Optional = ""
    maildir: Text = "mail"
    size_limit: Annotated[int, Meta(ge=1024)] = 26_214_400
    smarthost: Optional = ""
    smarthost_port: Port = 25
    failures_before_throttle: Annotated[int, Meta(ge=1, le=100)] = 5
    throttle_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    idle_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 60
    failure_delay_seconds: Annotated[int, Meta(ge=0, le=30)] = 2
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 200
    connections_per_client: Annotated[int, Meta(ge=1, le=10_000)] = 20
    recipient_limit: Annotated[int, Meta(ge=100, le=1_000)] = 100


class Web(Section, frozen=True, kw_only=True):
    """What `isp serve` hands out: settings for mail programs, profiles for Apple's, guides."""

    url: Annotated[str, Meta(max_length=200, pattern=r"^(https?://[a-z0-9.:-]+(/[!-~]*)?)?\Z")] = ""
    certificate: Optional = ""
    certificate_key: Optional = ""
    refresh_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30


class Platform(Section, frozen=True, kw_only=True):
    """Postfix, Dovecot and their kin, which read the database (`isp mail-platform render`)."""

    feed: Text = "feed"
    vmail: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*\Z")] = (
        "vmail"
    )
    doveadm: Optional = ""
    dkim: Optional = ""
    dkim_reload: Optional = ""
    mail_log: Optional = ""
    radius_log: Optional = ""
    archive: Text = "archive"
    archive_days: Days = 90
    recipients_per_hour: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    recipients_per_day: Annotated[int, Meta(ge=0, le=10_000_000)] = 1_000
    app_passwords: Annotated[int, Meta(ge=0, le=100)] = 10
    aliases: Annotated[int, Meta(ge=0, le=100)] = 5
    policy_service: Annotated[
        str,
        Meta(
            max_length=200, pattern=r"^(inet:[A-Za-z0-9.:\[\]-]+:[0-9]+|unix:[A-Za-z0-9._/-]+)?\Z"
        ),
    ] = ""


class WebSpaces(Section, frozen=True, kw_only=True):
    """Members' web pages (ISP-20), served by nginx at NAME.HOST; without a host there are none."""

    host: Annotated[str, Meta(max_length=200, pattern=r"^(([a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63})?\Z")]
    root: Text = "web"
    quota_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    removal_grace_days: Days = 30
    archive: Text = "web-archive"
    archive_days: Days = 90
    group: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*\Z")] = (
        "www-data"
    )
    certificate: Optional = ""
    certificate_key: Optional = ""


class Outbox(Section, frozen=True, kw_only=True):
    """Where notices leave by SMTP; with an empty host they wait in the outbox."""

    host: Optional = ""
    port: Port = 25
    security: Literal["starttls", "none"] = "none"
    sender: Text


class Files(Section, frozen=True, kw_only=True):
    """Where the daily run puts bank and card files and letters to print."""

    directory: Text = "out"


class Policy(Section, frozen=True, kw_only=True):
    """All of `isp.toml`."""

    profile: Text
    language: Literal["ja", "en"] = "ja"
    operator: Operator
    desk: Desk
    numbers: Numbers = Numbers()
    database: Database
    calendar: CalendarPolicy = CalendarPolicy()
    contract: ContractPolicy = ContractPolicy()
    billing: Billing = Billing()
    transfer: Transfer
    card: Card = Card()
    mail: Mail
    dns: Dns
    access: Access
    smtpd: Smtpd = Smtpd()
    platform: Platform = Platform()
    web: Web = Web()
    web_space: WebSpaces
    outbox: Outbox
    files: Files = Files()


_NAMED = re.compile(r"(?:missing required|contains unknown) field `(.+?)`")


def parse(text: str, source: str = "isp.toml") -> Policy:
    """Policy from TOML text; the first wrong knob is refused by its dotted name."""
    try:
        # TOML has dates and times of its own: a quoted one is a mistake, not another spelling
        return msgspec.convert(tomllib.loads(text), Policy, builtin_types=(date, datetime, time))
    except tomllib.TOMLDecodeError as wrong:
        raise Refused(source, f"not valid TOML: {wrong}") from None
    except msgspec.ValidationError as wrong:
        why, _, section = str(wrong).partition(" - at `$.")
        knob = _NAMED.search(why)
        dotted = [section.rstrip("`"), knob[1] if knob else ""]
        raise Refused(".".join(filter(None, dotted)) or source, f"{why} ({source})") from None


def load(path: Path) -> Policy:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise Fault(
            f"no configuration at {path}: run `isp init`, or name one by --config"
        ) from None
    except (OSError, UnicodeDecodeError) as wrong:
        raise Fault(f"cannot read {path}: {wrong}") from None
    return parse(text, path.name)


def profile_names() -> list[str]:
    """The ready profiles shipped with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("isp").joinpath("profiles").iterdir()
        if entry.name.endswith(".toml")
    )


def profile_text(name: str) -> str:
    if name not in profile_names():
        raise Refused("profile", f"no profile {name!r}; there are: {', '.join(profile_names())}")
    return files("isp").joinpath("profiles", f"{name}.toml").read_text("utf-8")
