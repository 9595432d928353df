"""What OpenDKIM reads of our keys [DKIM 署名]: a file for each key that signs today, and their table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from isp.errors import Refused

KEYS: Final = "keys"
"""KeyTable: with which selector and key file a domain signs, by the domain's name."""

_FOLDER: Final = re.compile(r"/[A-Za-z0-9._/+@-]{0,200}")
_OURS: Final = re.compile(r"(.+\._domainkey\..+\.key|\..+\.part)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What a mail server signs with; `private_key` is PEM (PKCS #8), for nobody else's eyes."""

    domain: str
    selector: str
    private_key: str = field(repr=False)


def check_knobs(folder: str, reload: str) -> None:
    """Refuse a folder whose name cannot stand in OpenDKIM's table, and one of which it never hears."""
    if not _FOLDER.fullmatch(folder):
        raise Refused(
            "platform.dkim", f"{folder!r}: write a whole path of ASCII letters, digits and ._+@-"
        )
    if not reload:
        raise Refused(
            "platform.dkim_reload",
            'OpenDKIM reads its table when it is told: "systemctl reload-or-restart opendkim"',
        )


def key_file(key: SigningKey) -> str:
    """The file of a key, named as DNS names its public half."""
    return f"{key.selector}._domainkey.{key.domain}.key"


def files(keys: Iterable[SigningKey], folder: str) -> dict[str, str]:
    """Everything that is to lie in the folder, in the order in which it is written.

    Keys first: the table never names a file that is not there.
    """
    ordered = sorted(keys, key=lambda key: key.domain)
    named = {key_file(key): key.private_key for key in ordered}
    named[KEYS] = "".join(
        f"{key.domain} {key.domain}:{key.selector}:{folder}/{key_file(key)}\n" for key in ordered
    )
    return named


def out_of_step(wanted: Mapping[str, str], there: Mapping[str, str | None]) -> list[str]:
    """The files that are to be written, in their order; `there` has None for what is not in order."""
    return [name for name, text in wanted.items() if there.get(name) != text]


def left_over(wanted: Collection[str], there: Iterable[str]) -> list[str]:
    """Key files that the table names no more, and what a run that was killed has begun.

    They go once OpenDKIM has taken up the table and a run finds nothing to do: a session that was
    open meanwhile still signs by them. What is not ours stays.
    """
    return sorted(name for name in there if name not in wanted and _OURS.fullmatch(name))
