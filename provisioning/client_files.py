"""What clients' files hold [設定ガイドの元データ]: steps, menus and values in both languages, as data.

A client is one file in `provisioning/clients/`. Its texts hold placeholders such as `{address}`; an
unknown one is refused when the file is read, and nothing in a file is ever executed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from isp.documents import Language, printable
from isp.errors import Refused
from isp.policy import Security
from provisioning.settings import ConnectionSettings, Kind, MailSettings
from provisioning.steps import Drawing

Syntax = Literal["msmtp", "fetchmail", "mbsync", "neomutt"]

OPERATOR_WORDS: Final = frozenset({"operator", "tick", "untick", "password_source"})
SERVER_WORDS: Final = ("host", "port", "security", "ssl", "tls")
"""Of each server: `{pop_host}`, `{smtp_port}` ...; `ssl` is the box for encryption from the first
byte, which old programs have, `tls` the switch for encryption of any kind."""
LINE_WORDS: Final = frozenset({"line", "terminal", "wiring"})
"""The line type, the device between wall and computer on it, and how the two hang together."""

PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


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
        for position, piece in enumerate(PLACEHOLDER.split(text)):
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
