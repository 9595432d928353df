"""Setup guides [設定ガイド]: every step with the member's own values, for mail and the connection.

A client is one file in `provisioning/clients/`: a mail program (ISP-17), or a system or router that
connects by PPPoE (ISP-16). Its kind decides what a member enters there; what all guides of a kind
say alike stands in `templates/guides/words.toml`. Their texts hold placeholders such as `{address}`, filled in by plain
substitution: nothing in a file, and nothing in a member's name, is ever executed. No guide carries
a password; the letter does (ISP-01).
"""

from __future__ import annotations

import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, Self, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from isp.documents import Language, environment, pdf, printable
from isp.errors import Refused
from isp.letters import line_name
from isp.policy import Desk, Mail, Operator, Security, Server
from provisioning.figures import figure
from provisioning.qr_codes import qr_code
from provisioning.steps import Control, Drawing, Field, Step

Protocol = Literal["imap", "pop3"]
Kind = Literal["mail", "connection"]
Syntax = Literal["msmtp", "fetchmail", "mbsync", "neomutt"]

OPERATOR_WORDS: Final = frozenset({"operator", "tick", "untick", "password_source"})
SERVER_WORDS: Final = ("host", "port", "security", "ssl", "tls")
"""Of each server: `{pop_host}`, `{smtp_port}` ...; `ssl` is the box for encryption from the first
byte, which old programs have, `tls` the switch for encryption of any kind."""
LINE_WORDS: Final = frozenset({"line", "terminal", "wiring"})
"""The line type, the device between wall and computer on it, and how the two hang together."""

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")

_ESCAPED: Final[Mapping[Syntax, Mapping[int, str]]] = {
    # Reads a quoted value to the last quote of the line and knows no escapes.
    "msmtp": {},
    # Ends a quoted value at the next quote, escaped or not, but knows letters by their number.
    "fetchmail": str.maketrans({'"': r"\x22", "\\": r"\x5c"}),
    "mbsync": str.maketrans({'"': r"\"", "\\": r"\\"}),
    # Runs commands and fills in variables even between quotes.
    "neomutt": str.maketrans({letter: f"\\{letter}" for letter in '"\\$`'}),
}


def escaped(value: str, syntax: Syntax) -> str:
    """`value` as it stands between double quotes in a configuration file, and cannot leave them.

    A file's line cannot be left either: `value` has no controls (`Settings.inert`).
    """
    return value.translate(_ESCAPED[syntax])


@dataclass(frozen=True, slots=True)
class Incoming:
    """A server to fetch mail from [受信サーバー]."""

    protocol: Protocol
    host: str
    port: int
    security: Security


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The server that takes mail to send [送信サーバー], always with authentication."""

    host: str
    port: int
    security: Security
    authentication: Literal["password"] = "password"


@dataclass(frozen=True, slots=True)
class Settings(ABC):
    """What a member enters [設定内容] in the clients of one kind.

    `own` names the fields that differ from member to member, which are the placeholders for them,
    too; by the first of them the member is known.
    """

    kind: ClassVar[Kind]
    own: ClassVar[tuple[str, ...]]

    def identity(self) -> str:
        """The mail address or the connection ID."""
        return str(getattr(self, self.own[0]))

    def inert(self) -> Self:
        """Without control and direction marks, so that no name can add a line or turn one round."""
        return replace(self, **{name: printable(getattr(self, name)).strip() for name in self.own})

    def impersonal(self) -> Self:
        """What is left without the member: the same for many."""
        return replace(self, **dict.fromkeys(self.own, ""))

    def own_values(self, said: SimpleNamespace) -> dict[str, str]:
        """The member's placeholders and what stands for them."""
        return {name: getattr(self, name) or said.any_name for name in self.own}

    @abstractmethod
    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        """The other placeholders of this kind and what stands for them."""

    @abstractmethod
    def fits(self, client: Client) -> bool:
        """Whether they are for such a client."""


@dataclass(frozen=True, slots=True)
class MailSettings(Settings):
    """What a member enters for one mailbox; the best way to fetch mail comes first (ISP-17)."""

    kind = "mail"
    own = ("address", "username", "display_name")

    address: str
    username: str
    display_name: str
    incoming: tuple[Incoming, ...]
    outgoing: Outgoing

    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        values = _of_server("smtp", self.outgoing, said)
        for server in self.incoming:
            values |= _of_server("imap" if server.protocol == "imap" else "pop", server, said)
        return values

    def fits(self, client: Client) -> bool:
        return client.kind == self.kind and client.legacy is (self.incoming[0].protocol == "pop3")


@dataclass(frozen=True, slots=True)
class ConnectionSettings(Settings):
    """What a member enters for the connection by PPPoE, and over which line it goes (ISP-16)."""

    kind = "connection"
    own = ("connection_id",)

    connection_id: str
    line: str
    line_title: str

    def shared_values(self, said: SimpleNamespace) -> dict[str, str]:
        return {
            "line": self.line_title,
            "terminal": getattr(said, f"terminal_{self.line}"),
            "wiring": getattr(said, f"wiring_{self.line}"),
        }

    def fits(self, client: Client) -> bool:
        return client.kind == self.kind


MEMBER_WORDS: Final = frozenset((*MailSettings.own, *ConnectionSettings.own))


def _incoming(protocol: Protocol, server: Server) -> Incoming:
    return Incoming(protocol, server.host, server.port, server.security)


def settings_for(address: str, display_name: str, mail: Mail, *, legacy: bool) -> MailSettings:
    """The user name is the whole address; mail leaves through the submission port, 587 (ISP-17).

    Programs of today get IMAP, then POP3. Those out of support [サポート終了] know no encryption
    that servers still speak: POP3, then IMAP as the policy's `_legacy` servers have them, and
    submission in the same way.
    """
    if legacy:
        incoming = (_incoming("pop3", mail.pop3_legacy), _incoming("imap", mail.imap_legacy))
        submission = mail.submission_legacy
    else:
        incoming = (_incoming("imap", mail.imap), _incoming("pop3", mail.pop3))
        submission = mail.submission
    outgoing = Outgoing(submission.host, submission.port, submission.security)
    return MailSettings(address, address, display_name, incoming, outgoing)


def connection_settings(connection_id: str, line: str, language: Language) -> ConnectionSettings:
    """The connection ID and the line type [回線種別] as people know it (ISP-16).

    A plan without an access line is refused: there is nothing to connect over.
    """
    title = line_name(line, language)
    if not title:
        raise Refused("line", f"{connection_id} has no access line ({line}): nothing to set up")
    return ConnectionSettings(connection_id, line, title)


Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what a client's file holds: an unknown key is an error, never silently ignored."""


class Wording(Record, frozen=True):
    """A text in both languages (ALL-05)."""

    ja: Text
    en: Text

    def said(self, language: Language) -> str:
        return self.ja if language == "ja" else self.en


class Menu(Record, frozen=True):
    """The way to a screen as the program writes it in each language, one word a click."""

    ja: Annotated[tuple[Text, ...], Meta(min_length=1)]
    en: Annotated[tuple[Text, ...], Meta(min_length=1)]

    def said(self, language: Language) -> tuple[str, ...]:
        return self.ja if language == "ja" else self.en


class Entry(Record, frozen=True):
    """A field of a screen and what goes into it; a value that needs no translation is one text."""

    label: Wording
    value: Text | Wording


class Instruction(Record, frozen=True):
    """One step as the file has it, placeholders still in it."""

    path: Menu
    text: Wording
    fields: tuple[Entry, ...] = ()
    commands: tuple[Text, ...] = ()
    drawing: Drawing = "window"


Lines = Annotated[str, Meta(min_length=1, max_length=5000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]


class FileText(Record, frozen=True):
    """A configuration file of a program of the command line, placeholders still in it.

    Every value stands in double quotes. `words` are further placeholders, what the program calls
    each way of encryption: `words.tls` makes `{imap_tls}`, `{pop_tls}` and `{smtp_tls}`.
    """

    path: Annotated[str, Meta(pattern=r"^~/[A-Za-z0-9._/-]+$")]
    syntax: Syntax
    content: Lines
    mode: Literal["0600"] = "0600"
    words: dict[Annotated[str, Meta(pattern="^[a-z]+$")], dict[Security, str]] = {}


class Client(Record, frozen=True, kw_only=True):
    """A program, system or router that members set up; `aliases` are further keys that find it.

    A legacy client says since when it is out of support and names a modern one instead. `profile`
    says how to take the settings from a configuration profile [構成プロファイル] instead of typing.
    """

    key: Text
    title: Wording
    kind: Kind
    legacy: bool
    steps: Annotated[tuple[Instruction, ...], Meta(min_length=1)]
    aliases: tuple[Text, ...] = ()
    files: tuple[FileText, ...] = ()
    profile: Wording | None = None
    support_ended: Wording | None = None
    modern: Text | None = None


def placeholders(kind: Kind, *, legacy: bool) -> frozenset[str]:
    """The placeholders that a client's file may use; a legacy mail program is set up with POP3."""
    if kind == "connection":
        return OPERATOR_WORDS | LINE_WORDS | frozenset(ConnectionSettings.own)
    servers = ("pop", "smtp") if legacy else ("imap", "pop", "smtp")
    of_servers = {f"{server}_{word}" for server in servers for word in SERVER_WORDS}
    return OPERATOR_WORDS | of_servers | frozenset(MailSettings.own)


def _texts(client: Client) -> Iterator[str]:
    if client.profile:
        yield from (client.profile.ja, client.profile.en)
    for step in client.steps:
        yield from (*step.path.ja, *step.path.en, step.text.ja, step.text.en, *step.commands)
        for entry in step.fields:
            yield from (entry.label.ja, entry.label.en)
            yield from (
                (entry.value,) if isinstance(entry.value, str) else (entry.value.ja, entry.value.en)
            )


def _file_placeholders(of: FileText) -> frozenset[str]:
    words = ("host", "port", *of.words)
    servers = {f"{server}_{word}" for server in ("imap", "pop", "smtp") for word in words}
    return frozenset(MailSettings.own) | servers


def _refuse_unknown_placeholders(client: Client, file: str) -> None:
    known = placeholders(client.kind, legacy=client.legacy)
    checked = [(text, known) for text in _texts(client)]
    checked += [(each.content, _file_placeholders(each)) for each in client.files]
    for text, known in checked:
        for position, piece in enumerate(_PLACEHOLDER.split(text)):
            if position % 2 and piece not in known:
                names = ", ".join(sorted(known))
                raise Refused(file, f"unknown placeholder {{{piece}}}; there are: {names}")
            if not position % 2 and ("{" in piece or "}" in piece):
                raise Refused(file, f"a brace is not part of a placeholder in {text!r}")


def _refuse_files(client: Client, file: str) -> None:
    """Files are for mail, of a program that is supported; each names every way of encryption."""
    if client.profile and client.kind != "mail":
        raise Refused(file, "`profile` is for mail programs")
    if client.files and (client.kind != "mail" or client.legacy):
        raise Refused(file, "`files` are for mail programs that are still supported")
    for each in client.files:
        for word, said in each.words.items():
            if missing := {"ssl", "starttls", "none"} - said.keys():
                raise Refused(file, f"words.{word} lacks {', '.join(sorted(missing))}")


def client_from(key: str, text: str) -> Client:
    """The client that the TOML `text` of `clients/KEY.toml` describes; refused with its file's name."""
    file = f"clients/{key}.toml"
    try:
        client = msgspec.convert({**tomllib.loads(text), "key": key}, Client)
    except tomllib.TOMLDecodeError as wrong:
        raise Refused(file, f"not valid TOML: {wrong}") from None
    except msgspec.ValidationError as wrong:
        raise Refused(file, str(wrong)) from None
    if {client.support_ended is not None, client.modern is not None} != {client.legacy}:
        raise Refused(
            file, "`support_ended` and `modern` go with `legacy = true`, and only with it"
        )
    _refuse_files(client, file)
    _refuse_unknown_placeholders(client, file)
    return client


def by_name(found: Mapping[str, Client]) -> dict[str, Client]:
    """Every key and alias with its client; refused where two share one."""
    named = dict(found)
    for client in found.values():
        file = f"clients/{client.key}.toml"
        for alias in client.aliases:
            if named.setdefault(alias, client) is not client:
                raise Refused(file, f"the alias {alias!r} belongs to {named[alias].key!r}")
        if client.modern is not None:
            modern = found.get(client.modern)
            if modern is None or modern.legacy or modern.kind != client.kind:
                why = f"no client {client.modern!r} that is still supported, of the same kind"
                raise Refused(file, f"modern: {why}")
    return named


@cache
def clients() -> tuple[Client, ...]:
    """Everything that there is a guide for, sorted by key."""
    folder = files("provisioning").joinpath("clients")
    found = {
        file.name.removesuffix(".toml"): file
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    }
    return tuple(client_from(key, found[key].read_text("utf-8")) for key in sorted(found))


@cache
def _named() -> dict[str, Client]:
    return by_name({client.key: client for client in clients()})


def client_of(key: str) -> Client:
    """The client of a key or an alias; an unknown one is refused with the keys that there are."""
    client = _named().get(key.casefold())
    if client is None:
        keys = ", ".join(each.key for each in clients())
        raise Refused("client", f"no guide for {printable(key)!r}; there are: {keys}")
    return client


@cache
def words(language: Language, kind: Kind) -> SimpleNamespace:
    """What all guides of a kind say alike in `language`."""
    text = files("templates").joinpath("guides", "words.toml").read_text("utf-8")
    found = msgspec.convert(
        tomllib.loads(text), dict[str, dict[str, dict[str, str | tuple[str, ...]]]]
    )
    return SimpleNamespace(**found["all"][language], **found[kind][language])


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """A file of the member's own [設定ファイル], complete but for the password, which it never has."""

    path: str
    mode: str
    content: str


@dataclass(frozen=True, slots=True)
class Link:
    """What a phone opens by camera [QRコード]: this guide, or the profile that sets up the mail.

    `same` is how the addresses of all members of a domain begin, `own` what differs.
    """

    same: str
    own: str
    title: str
    text: str

    @property
    def url(self) -> str:
        return self.same + self.own

    @property
    def code(self) -> str:
        """The QR code as SVG."""
        return qr_code(self.same, self.own, self.title)


@dataclass(frozen=True, slots=True)
class Alternative:
    """What to use instead that is still supported [代わりのソフト]."""

    client: str
    title: str
    text: str


SettingsT = TypeVar("SettingsT", bound=Settings)
SettingsT_co = TypeVar("SettingsT_co", bound=Settings, covariant=True)


@dataclass(frozen=True, slots=True)
class Guide(Generic[SettingsT_co]):
    """One client's steps for one member; `warning` and `modern_alternative` where it is legacy."""

    client: str
    title: str
    legacy: bool
    kind: Kind
    address: str
    settings: SettingsT_co
    warning: str | None
    modern_alternative: Alternative | None
    steps: tuple[Step, ...]
    files: tuple[ConfigurationFile, ...]
    link: Link | None
    desk: Desk
    operator: str


Pieces = tuple[str, ...]
"""A text cut at its placeholders: every second piece is the name of one."""


def _cut(text: str, values: Mapping[str, str]) -> Pieces:
    """`text` with `values` filled in, cut at the placeholders that are left."""
    pieces = [""]
    for position, piece in enumerate(_PLACEHOLDER.split(text)):
        if position % 2 and piece not in values:
            pieces += (piece, "")
        else:
            pieces[-1] += values[piece] if position % 2 else piece
    return tuple(pieces)


def _filled(pieces: Pieces, values: Mapping[str, str]) -> str:
    if len(pieces) == 1:
        return pieces[0]
    return "".join(
        [values[piece] if position % 2 else piece for position, piece in enumerate(pieces)]
    )


@dataclass(frozen=True, slots=True)
class _Personal:
    """A step with everything in it but what differs from member to member."""

    path: tuple[Pieces, ...]
    fields: tuple[tuple[Pieces, Pieces, bool, Control], ...]
    text: Pieces
    commands: tuple[Pieces, ...]
    drawing: Drawing

    def step(self, values: Mapping[str, str]) -> Step:
        return Step(
            tuple([_filled(pieces, values) for pieces in self.path]),
            tuple(
                [
                    Field(_filled(label, values), _filled(value, values), typed, control)
                    for label, value, typed, control in self.fields
                ]
            ),
            _filled(self.text, values),
            tuple([_filled(pieces, values) for pieces in self.commands]),
            self.drawing,
        )


def _entry(
    entry: Entry, language: Language, values: Mapping[str, str]
) -> tuple[Pieces, Pieces, bool, Control]:
    value = entry.value if isinstance(entry.value, str) else entry.value.said(language)
    names = _PLACEHOLDER.findall(value)
    typed = any(name in MEMBER_WORDS or name.endswith(("_host", "_port")) for name in names)
    control: Control = "text" if typed or "operator" in names else "choice"
    cut = _cut(value, values)
    for said, shown in _CONTROLS:
        if cut == (values[said],):
            control = shown
    if control == "choice" and values["tick"] in cut[0]:
        control = "maybe"
    if control == "choice" and cut[0].startswith(("（", "(")):
        control = "empty"
    return _cut(entry.label.said(language), values), cut, typed, control


_CONTROLS: Final[tuple[tuple[str, Control], ...]] = (
    ("password_source", "secret"),
    ("tick", "ticked"),
    ("untick", "unticked"),
    ("on", "on"),
    ("off", "off"),
)


@lru_cache(maxsize=1024)
def _steps(
    key: str, language: Language, operator: str, settings: Settings
) -> tuple[Step | _Personal, ...]:
    """The steps of a client at one operator: most are the same for all members, and made once."""
    said = words(language, settings.kind)
    values = {
        "operator": operator,
        "password_source": said.password_source,
        "tick": said.tick,
        "untick": said.untick,
        "on": said.on,
        "off": said.off,
        **settings.shared_values(said),
    }
    steps: list[Step | _Personal] = []
    for step in client_of(key).steps:
        cut = _Personal(
            tuple(_cut(text, values) for text in step.path.said(language)),
            tuple(_entry(entry, language, values) for entry in step.fields),
            _cut(step.text.said(language), values),
            tuple(_cut(text, values) for text in step.commands),
            step.drawing,
        )
        fields = (text for entry in cut.fields for text in entry[:2])
        texts = (*cut.path, cut.text, *cut.commands, *fields)
        steps.append(cut if any(len(text) > 1 for text in texts) else cut.step({}))
    return tuple(steps)


@lru_cache(maxsize=64)
def _file_pieces(key: str, settings: MailSettings) -> tuple[Pieces, ...]:
    """The content of a client's files with everything in it but what is the member's own."""
    servers: dict[str, Incoming | Outgoing] = {"smtp": settings.outgoing}
    for server in settings.incoming:
        servers["imap" if server.protocol == "imap" else "pop"] = server
    made = []
    for each in client_of(key).files:
        values = {}
        for name, of in servers.items():
            values[f"{name}_host"] = escaped(of.host, each.syntax)
            values[f"{name}_port"] = str(of.port)
            for word, said in each.words.items():
                values[f"{name}_{word}"] = said[of.security]
        made.append(_cut(each.content, values))
    return tuple(made)


def configuration_files(key: str, settings: Settings) -> tuple[ConfigurationFile, ...]:
    """The client's files with the member's values; none for a client that is set up by hand.

    The name of a member without one is left empty, for the member to fill in.
    """
    found = client_of(key).files
    if not found or not isinstance(settings, MailSettings):
        return ()
    made = []
    for each, pieces in zip(found, _file_pieces(key, settings.impersonal()), strict=True):
        own = {name: escaped(getattr(settings, name), each.syntax) for name in settings.own}
        made.append(ConfigurationFile(each.path, each.mode, _filled(pieces, own)))
    return tuple(made)


def _of_server(name: str, server: Incoming | Outgoing, said: SimpleNamespace) -> dict[str, str]:
    return {
        f"{name}_host": server.host,
        f"{name}_port": str(server.port),
        f"{name}_security": getattr(said, server.security),
        f"{name}_ssl": said.tick if server.security == "ssl" else said.untick,
        f"{name}_tls": said.off if server.security == "none" else said.on,
    }


def guide_for(
    client_key: str, settings: SettingsT, language: Language, desk: Desk, operator: Operator
) -> Guide[SettingsT]:
    """The steps of one client with one member's values in them (ISP-16, ISP-17, ALL-05).

    A legacy guide warns and names the modern client. An unknown client is refused; settings made
    for another kind of client are a mistake of the caller.
    """
    client = client_of(client_key)
    if not settings.fits(client):
        raise ValueError(f"{client.key} wants other settings: {client.kind}, {client.legacy=}")
    settings = settings.inert()
    name = operator.name if language == "ja" else operator.name_en
    values = settings.own_values(words(language, client.kind))
    steps = _steps(client.key, language, name, settings.impersonal())
    warning, alternative = _caution(client.key, language)
    return Guide(
        client=client.key,
        title=client.title.said(language),
        legacy=client.legacy,
        kind=client.kind,
        address=settings.identity(),
        settings=settings,
        warning=warning,
        modern_alternative=alternative,
        steps=tuple([it if isinstance(it, Step) else it.step(values) for it in steps]),
        files=configuration_files(client.key, settings),
        link=_link(client, settings, language),
        desk=desk,
        operator=name,
    )


def _link(client: Client, settings: Settings, language: Language) -> Link | None:
    """Of a mail guide; the domain's own host serves both addresses (`isp serve`)."""
    if not isinstance(settings, MailSettings):
        return None
    domain = quote(settings.address.rpartition("@")[2], safe="")
    said = words(language, client.kind)
    what = "mobileconfig" if client.profile else f"guide/{client.key}"
    return Link(
        f"https://autoconfig.{domain}/{what}?address=",
        quote(settings.address, safe=""),
        said.link_profile if client.profile else said.link,
        client.profile.said(language) if client.profile else said.link_text,
    )


@cache
def _caution(key: str, language: Language) -> tuple[str | None, Alternative | None]:
    """Of a legacy client: since when it is out of support, what is at risk, what to use instead."""
    client = client_of(key)
    said = words(language, client.kind)
    if client.support_ended is None or client.modern is None:
        return None, None
    gap = "" if language == "ja" else " "
    title = client_of(client.modern).title.said(language)
    return (
        client.support_ended.said(language) + gap + said.risk,
        Alternative(client.modern, title, said.alternative.replace("{modern}", title)),
    )


def guide_json(guide: Guide[Settings]) -> dict[str, object]:
    """The guide as `isp guide show --format json` prints it."""
    desk = guide.desk
    return {
        "client": guide.client,
        "title": guide.title,
        "legacy": guide.legacy,
        "kind": guide.kind,
        "address": guide.address,
        "warning": guide.warning,
        "modern_alternative": asdict(guide.modern_alternative)
        if guide.modern_alternative
        else None,
        "settings": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(guide.settings).items()
        },
        "steps": [
            {
                "path": list(step.path),
                "fields": [{"label": of.label, "value": of.value} for of in step.fields],
                "text": step.text,
                "commands": list(step.commands),
            }
            for step in guide.steps
        ],
        "files": [asdict(file) for file in guide.files],
        "link": guide.link and {"url": guide.link.url, "text": guide.link.text},
        "operator": guide.operator,
        "desk": {"phone": desk.phone, "hours": desk.hours, "email": desk.email, "url": desk.url},
    }


def guide_html(guide: Guide[Settings], language: Language) -> str:
    """One page that needs no other file, to be shown, mailed or printed."""
    said = words(language, guide.kind)
    above, below = _frame(guide.client, language, guide.operator, guide.desk)
    own = environment().get_template("guides/own.html")
    steps = [_step_html(step, guide.title) for step in guide.steps]
    return above + own.render(guide=guide, steps=steps, words=said) + below


@lru_cache(maxsize=256)
def _frame(key: str, language: Language, operator: str, desk: Desk) -> tuple[str, str]:
    """The page of a client up to the member's own part, and from there on: the same for all."""
    client = client_of(key)
    warning, alternative = _caution(key, language)
    page = environment().get_template("guides/guide.html")
    above, below = page.render(
        title=client.title.said(language),
        warning=warning,
        modern_alternative=alternative,
        operator=operator,
        desk=desk,
        words=words(language, client.kind),
        language=language,
        own=_OWN_PART,
    ).split(_OWN_PART)
    return above, below


_OWN_PART: Final = "\0"


@lru_cache(maxsize=4096)
def _step_html(step: Step, title: str) -> str:
    """A step as an item of the page; most are alike for many members, and stay in use here."""
    made: str = _step_page().item(step, "" if step.commands else figure(step, title))
    return made


@cache
def _step_page() -> Any:
    return environment().get_template("guides/step.html").module


def guide_text(guide: Guide[Settings], language: Language) -> str:
    """The guide as plain text."""
    page = environment().get_template("guides/guide.txt")
    return page.render(guide=guide, words=words(language, guide.kind), language=language)


def guide_pdf(guide: Guide[Settings], language: Language) -> bytes:
    """The guide on A4, the desk at the foot of every sheet (ISP-22)."""
    said, desk = words(language, guide.kind), guide.desk
    return pdf(
        "guides/guide.typ",
        {
            **guide_json(guide),
            "steps": [
                {**asdict(step), "figure": "" if step.commands else figure(step, guide.title)}
                for step in guide.steps
            ],
            "files": [
                {"path": file.path, "lines": file.content.splitlines()} for file in guide.files
            ],
            "link": guide.link
            and {
                "url": guide.link.url,
                "title": guide.link.title,
                "text": guide.link.text,
                "code": guide.link.code,
            },
            "language": language,
            "words": vars(said),
            "issuer": {"name": guide.operator},
            "desk": {
                "name": said.desk,
                "phone": desk.phone,
                "hours": f"{said.hours} {desk.hours}",
                "reach": " ".join(filter(None, (desk.email, desk.url))),
            },
        },
    )
