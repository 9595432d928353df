"""Bank account numbers are kept sealed [暗号化保管]: without the key a copy of the database is mute.

The key lies in a file of its own, one Fernet key (AES-128-CBC with HMAC-SHA256) a line. The first
line seals, every line opens, so that a new key can be put on top while old seals still open.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from isp.errors import Fault, Refused


def make_key(path: Path) -> None:
    """A new key at `path`, readable by its owner only; a file that is there is never replaced.

    Who loses the key loses what was sealed with it, so it is refused rather than overwritten.
    """
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("key_file", f"{path} exists already and is kept") from None
    except OSError as wrong:
        raise Fault(f"key file: cannot make {path}: {wrong.strerror}") from None
    with open(opened, "wb") as file:
        file.write(_new_key() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def add_key(path: Path) -> None:
    """Put a new current key on top of those at `path`; what older keys sealed still opens."""
    keys = _read(path)
    opened, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    with open(opened, "wb") as file:
        file.write(b"\n".join([_new_key(), *keys, b""]))
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)


class Seal:
    """Seals and opens short texts with the keys in a file."""

    def __init__(self, path: Path) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        self._path = path
        try:
            self._keys = MultiFernet([Fernet(key) for key in _read(path)])
        except ValueError:
            raise Fault(f"key file: {path} holds no keys; put its backup there") from None

    def seal(self, text: str) -> bytes:
        """The text, unreadable and unalterable without the key; each time it looks different."""
        return self._keys.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The text that was sealed; a wrong key or an altered seal is a Fault."""
        return self._opened(self._keys.decrypt, sealed).decode()

    def reseal(self, sealed: bytes) -> bytes:
        """The same text under the current key, after `add_key`."""
        return self._opened(self._keys.rotate, sealed)

    def _opened(self, act: Callable[[bytes], bytes], sealed: bytes) -> bytes:
        from cryptography.fernet import InvalidToken

        try:
            return act(sealed)
        except InvalidToken:
            raise Fault(
                f"key file: a bank account does not open with {self._path}: put the key there that "
                "belongs to this database; if it is the one, the database has been altered"
            ) from None


def _new_key() -> bytes:
    from cryptography.fernet import Fernet  # late: most commands neither seal nor open

    return Fernet.generate_key()


def _read(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            keys = file.read(65_536).split()
    except FileNotFoundError:
        raise Fault(
            f"key file: there is no {path}: put its backup there; without it bank accounts and signing keys "
            "in the database cannot be read"
        ) from None
    except OSError as wrong:
        raise Fault(f"key file: cannot read {path}: {wrong.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise Fault(f"key file: others may read {path}: run `chmod 600 {path}`")
    return keys
