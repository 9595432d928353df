"""Passwords of members [パスワード]: made, kept as a hash only, never read back (ISP-01, EQ-01).

The only module that touches passlib (the maintained fork `libpass`). What it returns is stored as
Dovecot reads it, `{SCHEME}hash`. Nothing here logs, and no message carries a password or a hash.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import secrets
import string
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, Literal

from isp.errors import Refused
from isp.policy import PasswordRule

Scheme = Literal["ARGON2ID", "SHA512-CRYPT"]

LETTERS_AND_DIGITS = "".join(
    sign for sign in string.ascii_letters + string.digits if sign not in "0O1lI"
)
"""What generated passwords are made of: nothing that a reader of the letter takes for another."""

# OWASP's least for argon2id: 19 MiB, two passes. The library's own 64 MiB cost four to five times
# the processor (10 log-ins a second instead of 46) and four at a time would fill the 256 MiB that
# Dovecot gives its auth process. Generated passwords have 80 bits, so that no cost finds them.
ARGON2_KIB = 19_456
ARGON2_PASSES = 2
# About as dear as the above: 25 ms. The library's default of 656,000 rounds takes 0.4 s in C, so
# that three people logging in keep a core busy; the format's own default of 5,000 is too cheap.
SHA512_ROUNDS = 40_000
CRYPT_ROUNDS = 5_000
"""What a hash of crypt(3) has cost that names no rounds."""

# A hash of strangers sets its own cost: one of 999,999,999 rounds would hold a core for minutes.
COST_LIMITS = {"m": 262_144, "t": 10, "p": 16, "rounds": 1_000_000, "passes": 14}

POOLED_FROM = 16
"""So many hashes (a third of a second) are worth the start of a pool."""

SHARE = 16
"""Passwords that a worker takes at a time."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How the text after `{SCHEME}` looks, and which of passlib's classes computes it."""

    algorithm: str
    pattern: re.Pattern[str]
    prefix: str = ""


_FORMS = {
    "ARGON2ID": _Form(
        "argon2",
        re.compile(
            r"\$argon2id\$v=19\$m=(?P<m>[1-9][0-9]{0,9}),t=(?P<t>[1-9][0-9]{0,9}),"
            r"p=(?P<p>[1-9][0-9]{0,9})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
        ),
    ),
    "SHA512-CRYPT": _Form(
        "sha512_crypt",
        re.compile(
            r"\$6\$(?:rounds=(?P<rounds>[1-9][0-9]{3,9})\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{86}"
        ),
    ),
    "SHA256-CRYPT": _Form(
        "sha256_crypt",
        re.compile(
            r"\$5\$(?:rounds=(?P<rounds>[1-9][0-9]{3,9})\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43}"
        ),
    ),
    # PHP's systems write $2y$, older ones $2a$; the cost is a power of two.
    "BLF-CRYPT": _Form(
        "bcrypt", re.compile(r"\$2[aby]\$(?P<passes>0[4-9]|[12][0-9]|3[01])\$[A-Za-z0-9./]{53}")
    ),
    # 64 bytes of digest and 4 to 16 of salt in Base64; passlib wants to see the scheme.
    "SSHA512": _Form("ldap_salted_sha512", re.compile(r"[A-Za-z0-9+/]{90,108}={0,2}"), "{SSHA512}"),
}
_CRYPT = {
    "$5$": "SHA256-CRYPT",
    "$6$": "SHA512-CRYPT",
    "$2a": "BLF-CRYPT",
    "$2b": "BLF-CRYPT",
    "$2y": "BLF-CRYPT",
}
_STORED = re.compile(r"\{(?P<scheme>[A-Za-z0-9.-]{1,32})\}(?P<hash>[!-~]{1,500})", re.ASCII)


def generate(rule: PasswordRule) -> str:
    """A new password: letters of both cases and digits, none mistaken for another (ISP-01).

    No character stands three times in a row (EQ-01). Every such password is equally likely.
    """
    while True:
        password = "".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(rule.length))
        if (
            re.search(r"[a-z]", password)
            and re.search(r"[A-Z]", password)
            and re.search(r"[0-9]", password)
            and not re.search(r"(.)\1\1", password)
        ):
            return password


def hash_password(password: str, scheme: Scheme = "ARGON2ID") -> str:
    """The password as it is kept: `{SCHEME}hash`, salted, as Dovecot reads it."""
    if not 1 <= len(password) <= 1_000 or not password.isprintable():
        raise Refused("password", "1 to 1,000 printable characters")
    return f"{{{scheme}}}{_maker(scheme)(password)}"


def generate_app_password() -> str:
    """A password for one device [アプリパスワード]: five groups of four small letters, 90 random bits.

    Made to be copied from a screen; small letters alone, which telephones type without a shift.
    """
    letters = [sign for sign in string.ascii_lowercase if sign not in "lo"]
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))


def digest_of(app_password: str) -> str:
    """What is kept of an app password: SHA-256 in hexadecimal, as Dovecot reads `{SHA256.HEX}`.

    A slow, salted hash guards what people choose; against 90 random bits nobody searches, and the
    digest finds the row, so that a log-in costs one look-up whatever the number of app passwords.
    """
    return hashlib.sha256(app_password.encode()).hexdigest()


def generate_and_hash_many(count: int, rule: PasswordRule) -> list[tuple[str, str]]:
    """`count` pairs of password and stored hash, on all cores (a move of many mailboxes)."""
    passwords = [generate(rule) for _ in range(count)]
    make = partial(hash_password, scheme=rule.scheme)
    if count < POOLED_FROM:
        return [(password, make(password)) for password in passwords]
    with _pool(rule.scheme) as pool:
        return list(zip(passwords, pool.map(make, passwords, chunksize=SHARE), strict=True))


def verify(password: str, stored: str) -> bool:
    """Whether the password is the one whose hash is stored; a hash that is none is nobody's."""
    try:
        form, text = _parted(stored, "password_hash")
        return bool(_algorithm(form.algorithm).verify(password, form.prefix + text))
    except (Refused, ValueError):  # ValueError: passlib refuses NUL, lone surrogates, 4 KiB
        return False


def needs_rehash(stored: str, scheme: Scheme) -> bool:
    """Whether a hash that has just been verified should be made anew by the policy's scheme.

    So are hashes of another scheme, taken over from another system, and those of the scheme that
    cost less than new ones do. A dearer one stays, and so does what is no hash.
    """
    try:
        form, text = _parted(stored, "password_hash")
    except Refused:
        return False
    if form is not _FORMS[scheme]:
        return True
    parts = form.pattern.fullmatch(text)
    assert parts is not None, "it has been matched already"
    costs = {cost: int(value) for cost, value in parts.groupdict().items() if value is not None}
    if scheme == "ARGON2ID":
        return costs["m"] < ARGON2_KIB or costs["t"] < ARGON2_PASSES
    return costs.get("rounds", CRYPT_ROUNDS) < SHA512_ROUNDS


def verify_nothing(scheme: Scheme = "ARGON2ID") -> None:
    """Take as long as `verify`, so that nobody learns from the clock who has a mailbox."""
    verify("", _nobodys_hash(scheme))


def check_hash(text: str, field: str = "password_hash") -> str:
    """A hash from another system, in the form kept here; refused unless Dovecot and we verify it.

    `{CRYPT}$6$...` and bare `$6$...` become `{SHA512-CRYPT}$6$...` (so `$5$` and `$2y$`). Refused:
    clear text (it must never be stored, EQ-01), MD5, SHA-1 and DES (a stolen table is read in
    hours), unknown schemes, and costs that would hold a core for minutes.
    """
    text = text.strip()
    if text[:3] in _CRYPT:
        text = "{CRYPT}" + text
    scheme, brace, bare = text.partition("}")
    scheme = scheme.upper()
    if scheme == "{CRYPT" and bare[:3] in _CRYPT:
        scheme = "{" + _CRYPT[bare[:3]]
    stored = scheme + brace + bare
    form, kept = _parted(stored, field)
    try:
        _algorithm(form.algorithm).from_string(form.prefix + kept)
    except ValueError:
        raise Refused(field, f"not a well-formed {scheme[1:]} hash") from None
    return stored


def _parted(stored: str, field: str) -> tuple[_Form, str]:
    """The form and the bare hash of `{SCHEME}hash`; anything else, and any absurd cost, is refused."""
    whole = _STORED.fullmatch(stored)
    if whole is None:
        raise Refused(
            field, "write {SCHEME}hash as Dovecot knows it, for example {ARGON2ID}$argon2id$..."
        )
    scheme = whole["scheme"]
    if scheme not in _FORMS:
        raise Refused(field, f"{_why_not(scheme)}; known are {', '.join(_FORMS)}")
    parts = _FORMS[scheme].pattern.fullmatch(whole["hash"])
    if parts is None:
        raise Refused(field, f"not a well-formed {scheme} hash")
    for cost, value in parts.groupdict().items():
        if value is not None and int(value) > COST_LIMITS[cost]:
            raise Refused(field, f"{cost}={value} costs too much: at most {COST_LIMITS[cost]}")
    return _FORMS[scheme], whole["hash"]


def _why_not(scheme: str) -> str:
    """Why hashes of a scheme are not taken over."""
    if scheme.startswith(("PLAIN", "CLEAR")) and "MD5" not in scheme:
        return f"{scheme} is clear text, and no password is ever stored readable"
    if "MD5" in scheme:
        return (
            f"{scheme} rests on MD5: a stolen table is read in hours, so re-issue these passwords"
        )
    if scheme in ("SHA", "SHA1", "SSHA", "CRYPT", "DES-CRYPT", "LANMAN", "NTLM"):
        return f"{scheme} is too weak: a stolen table is read in hours, so re-issue these passwords"
    return f"{scheme} cannot be verified here, so re-issue these passwords"


def _maker(scheme: Scheme) -> Callable[[str], str]:
    """What computes a new hash of the scheme, at the cost chosen above."""
    if scheme == "SHA512-CRYPT":
        costed = _algorithm("sha512_crypt").using(rounds=SHA512_ROUNDS)
    else:
        costed = _algorithm("argon2").using(
            type="ID", memory_cost=ARGON2_KIB, rounds=ARGON2_PASSES, parallelism=1
        )
    make: Callable[[str], str] = costed.hash
    return make


def _algorithm(name: str) -> Any:
    """One of passlib's classes, which carry no types."""
    return getattr(import_module("passlib.hash"), name)  # late: most commands hash nothing


@cache
def _nobodys_hash(scheme: Scheme) -> str:
    """A hash whose password was thrown away."""
    return hash_password(secrets.token_urlsafe(), scheme)


def _pool(scheme: Scheme) -> Executor:
    """Argon2 leaves the interpreter's lock, so threads use every core; SHA-512 needs processes."""
    cores = os.cpu_count()
    if scheme == "ARGON2ID":
        return ThreadPoolExecutor(cores)
    return ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn"))
