"""Configuration of other programs, written into a folder of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from isp.errors import Refused

if TYPE_CHECKING:
    from cli.app import App
    from provisioning.platform import Postgresql


def write_rendered(
    folder: Path,
    files: Mapping[str, str],
    *,
    own: Collection[str] = (),
    private: Collection[str] = (),
    mode: int = 0o640,
) -> list[str]:
    """Write the files with their mode, `private` ones 0600, and name those written.

    Files in `own` are the operator's once they exist. Each takes the place of the old one in one
    step, so that a server never reads half a file.
    """
    written = []
    try:
        for name, text in files.items():
            file = folder / name
            if name in own and file.exists():
                continue
            _make(file.parent, mode | 0o110 | (mode & 0o004) >> 2)
            part = file.with_name(f".{file.name}.part")
            part.unlink(missing_ok=True)
            opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(opened, "w", encoding="utf-8") as out:
                os.fchmod(opened, 0o600 if name in private else mode)
                out.write(text)
            part.replace(file)
            written.append(name)
    except OSError as wrong:
        raise Refused("o", f"cannot write {wrong.filename or folder}: {wrong.strerror}") from None
    return written


def _make(folder: Path, mode: int) -> None:
    """A folder with this mode, whatever the process' mask; one that is there stays as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def read_by_servers(app: App) -> Postgresql | None:
    """How servers reach the office's PostgreSQL; None: they read the feed beside SQLite.

    An office that speaks to PostgreSQL by a socket is let in by the name of its system user, which
    the servers are not: they come over loopback.
    """
    from sqlalchemy.engine import make_url

    from provisioning.platform import Postgresql

    url = make_url(app.engine.url)
    if url.get_backend_name() == "sqlite":
        return None
    words = {name: value for name, value in url.query.items() if isinstance(value, str)}
    host = url.host or words.get("host", "")
    return Postgresql(
        host="127.0.0.1" if not host or host.startswith("/") else host,
        port=url.port or int(words.get("port", 5432)),
        name=url.database or "isp",
        tls=tuple((name, words[name]) for name in ("sslmode", "sslrootcert") if name in words),
    )


def kept_password(file: Path) -> str:
    """The password of a role, as it was made with this folder, or a new one of 192 random bits."""
    try:
        password = file.read_text("ascii").strip()
    except FileNotFoundError:
        return secrets.token_urlsafe(24)
    except (OSError, UnicodeDecodeError) as wrong:
        raise Refused("o", f"cannot read {file}: {wrong}") from None
    if not password.replace("-", "").replace("_", "").isalnum():
        raise Refused("o", f"{file} does not hold one word of letters, digits, - and _")
    return password
