"""Setup guides [設定ガイド]: every step with the member's own values, for mail and the connection.

Made of what a client's file says (`client_files`) and of what the member enters there (`settings`);
what all guides of a kind say alike stands in `templates/guides/words.toml`. Placeholders are filled in
by plain substitution: nothing in a file, and nothing in a member's name, is ever executed. No guide
carries a password; the letter does (ISP-01).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from isp.documents import Language, environment, pdf
from isp.policy import Desk, Operator
from provisioning.client_files import (
    PLACEHOLDER,
    Client,
    Entry,
    Syntax,
    client_of,
)
from provisioning.figures import figure
from provisioning.qr_codes import qr_code
from provisioning.settings import (
    MEMBER_WORDS,
    Incoming,
    Kind,
    MailSettings,
    Outgoing,
    Settings,
)
from provisioning.steps import Control, Drawing, Field, Step

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
    for position, piece in enumerate(PLACEHOLDER.split(text)):
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
    names = PLACEHOLDER.findall(value)
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


def guide_for(
    client_key: str, settings: SettingsT, language: Language, desk: Desk, operator: Operator
) -> Guide[SettingsT]:
    """The steps of one client with one member's values in them (ISP-16, ISP-17, ALL-05).

    A legacy guide warns and names the modern client. An unknown client is refused; settings made
    for another kind of client are a mistake of the caller.
    """
    client = client_of(client_key)
    if not settings.fits(client.kind, legacy=client.legacy):
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
