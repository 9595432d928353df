"""FreeRADIUS for connection accounts [接続認証]: its whole configuration, from the policy (ISP-01).

It reads the views radcheck and radreply, where a suspension, a re-issued password and the end of
a contract count at once. PAP only, since no password can be read (docs/decisions/0040).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from isp.documents import environment
from isp.errors import Refused
from isp.policy import Desk, Operator
from provisioning.platform import Postgresql, scram_verifier

ROLE: Final = "isp_radius"
VIEWS: Final = ("radcheck", "radreply")
OWN: Final = frozenset({"clients.conf"})
"""The operator's own, with the secrets of the access servers: written once, never over."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made for one rendering: what the access server and the database know us by."""

    nas: str
    role: str
    salt: bytes


@dataclass(frozen=True, slots=True)
class Radius:
    """What differs from office to office; `source` is the server, or on SQLite the feed's file."""

    folder: PurePosixPath
    source: Postgresql | PurePosixPath
    log: PurePosixPath
    nas: str = "192.0.2.1"
    listen: str = "*"
    port: int = 1812
    run_dir: str = "/run/freeradius"
    user: str = "freerad"


def radius_files(
    radius: Radius, operator: Operator, desk: Desk, secrets: Secrets
) -> dict[str, str]:
    """The files of the configuration by their names in the folder.

    Refused: an address of the access server that is none, and a phone number of the desk that RADIUS
    cannot carry in ASCII.
    """
    _refuse_bad_words(radius)
    values = _values(radius, operator, desk, secrets)
    names = {
        "radiusd.conf": "radiusd.conf",
        "clients.conf": "clients.conf",
        "mods-enabled/sql": "sql",
        "mods-enabled/modules": "modules",
        "mods-config/access_reject": "access_reject",
        "sites-enabled/default": "default",
        "README.txt": "README.txt",
    }
    if isinstance(radius.source, Postgresql):
        names["role.sql"] = "role.sql"
    templates = environment()
    return {
        name: templates.get_template(f"radius/{template}.j2").render(values)
        for name, template in names.items()
    }


def suspended_message(desk: Desk) -> str:
    """What a suspended member's router is told, and may show: ASCII (RFC 2865), with the desk."""
    if not desk.phone.isascii():
        raise Refused("desk.phone", f"{desk.phone} is not ASCII, and RADIUS carries nothing else")
    return f"Your contract is suspended. Please call the support desk: {desk.phone} ({desk.hours})"


def _refuse_bad_words(radius: Radius) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", radius.user):
        raise Refused("user", f"{radius.user!r} is no name of a system user")
    try:
        ipaddress.ip_network(radius.nas, strict=False)
    except ValueError:
        raise Refused("nas", f"{radius.nas!r} is no IP address or network") from None
    if radius.listen != "*":
        try:
            ipaddress.ip_address(radius.listen)
        except ValueError:
            raise Refused("listen", f"{radius.listen!r} is neither an IP address nor *") from None


def _values(
    radius: Radius, operator: Operator, desk: Desk, secrets: Secrets
) -> Mapping[str, object]:
    source = radius.source
    return {
        "operator": operator.name,
        "desk": f"サポートデスク / support desk: {desk.phone} ({desk.hours})",
        "folder": _word(str(radius.folder), "o"),
        "run_dir": _word(radius.run_dir, "run_dir"),
        "log": _word(str(radius.log), "platform.radius_log"),
        "user": radius.user,
        "listen": radius.listen,
        "port": radius.port,
        "nas": radius.nas,
        "secret": quoted(secrets.nas),
        "role": {
            "name": ROLE,
            "views": VIEWS,
            "verifier": scram_verifier(secrets.role, secrets.salt),
        },
        "password": secrets.role,
        "suspended": quoted(suspended_message(desk)),
        "server": source if isinstance(source, Postgresql) else None,
        "feed": quoted(str(source)) if isinstance(source, PurePosixPath) else "",
    }


def quoted(text: str) -> str:
    """A text between single quotes, where FreeRADIUS expands nothing."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _word(path: str, field: str) -> str:
    """A path as a bare word: later lines of the configuration are put together from it."""
    if not path.isascii() or not set(path).isdisjoint(" \t'\"\\#{}$%;,"):
        raise Refused(field, f"{path!r} has characters that FreeRADIUS takes for its own")
    return path
