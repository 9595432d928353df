"""Passwords: strong when made, unreadable when kept, and only good hashes taken over."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import statistics
import time

import argon2
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isp.errors import Refused
from isp.policy import PasswordRule
from provisioning.passwords import (
    LETTERS_AND_DIGITS,
    Scheme,
    check_hash,
    generate,
    generate_and_hash_many,
    hash_password,
    needs_rehash,
    verify,
    verify_nothing,
)

SCHEMES: list[Scheme] = ["ARGON2ID", "SHA512-CRYPT"]

# Computed by OpenSSL 3 and glibc alike; Argon2 from the tests of its reference implementation.
SHA512_HELLO = "$6$saltstring$" + (
    "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
)
SHA256_HELLO = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
SHA256_ROUNDS = "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"
ARGON2ID_PASSWORD = (
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
)


def salted_sha512(password: str, salt: bytes) -> str:
    return base64.b64encode(hashlib.sha512(password.encode() + salt).digest() + salt).decode()


@pytest.mark.parametrize("length", [10, 14, 64])
def test_isp_01_generated_passwords_have_every_kind_and_no_lookalike(length: int) -> None:
    rule = PasswordRule(length=length)
    made = [generate(rule) for _ in range(300)]
    assert len(set(made)) == 300
    for password in made:
        assert len(password) == length
        assert re.search("[a-z]", password) and re.search("[A-Z]", password)
        assert re.search("[0-9]", password) and not re.search("[0O1lI]", password)
    assert set("".join(made)) == set(LETTERS_AND_DIGITS)


def test_eq_01_no_character_stands_three_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    # With three characters to choose from, nearly every draw would break the rule.
    monkeypatch.setattr("provisioning.passwords.LETTERS_AND_DIGITS", "aA2")
    for _ in range(200):
        assert not re.search(r"(.)\1\1", generate(PasswordRule(length=10)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_eq_01_a_password_is_kept_as_a_salted_hash_only(
    scheme: Scheme, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first, second = hash_password("Wm7rTk3vQz9xHd", scheme), hash_password("Wm7rTk3vQz9xHd", scheme)
    assert first != second and "Wm7rTk3vQz9xHd" not in first + second + caplog.text
    assert first.startswith("{" + scheme + "}$") and check_hash(first) == first
    assert verify("Wm7rTk3vQz9xHd", first) and verify("Wm7rTk3vQz9xHd", second)
    assert not verify("wm7rTk3vQz9xHd", first) and not verify("", first)


def test_an_argon2id_hash_is_one_to_the_reference_library() -> None:
    stored = hash_password("正しいパスワード").removeprefix("{ARGON2ID}")
    assert argon2.PasswordHasher().verify(stored, "正しいパスワード")
    parameters = argon2.extract_parameters(stored)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)


@pytest.mark.parametrize("password", ["", "a\0b", "a\nb", "x" * 1_001, "\udcff"])
def test_a_password_that_no_one_can_type_is_not_kept(password: str) -> None:
    with pytest.raises(Refused, match=r"^password: 1 to 1,000 printable characters$"):
        hash_password(password)


BCRYPT_HORSE = "$2b$05$uXoz4vPStVajc.awbjqhX.1fYHTMrDIkz.FGSIEkwwmAjv4yzKtla"
BCRYPT_KANA = "$2y$04$jBSZKiFkXXf85bicMNVesu2iPZU/6LVMYS9uryUq4Q5HbRtNe2XAC"


@pytest.mark.parametrize("text", ["{CRYPT}" + BCRYPT_KANA, BCRYPT_KANA])
def test_a_bcrypt_hash_of_php_is_named_by_what_it_is(text: str) -> None:
    assert check_hash(text) == "{BLF-CRYPT}" + BCRYPT_KANA


@pytest.mark.parametrize(
    ("password", "stored"),
    [
        ("Hello world!", "{SHA512-CRYPT}" + SHA512_HELLO),
        ("Hello world!", "{SHA256-CRYPT}" + SHA256_HELLO),
        ("Hello world!", "{SHA256-CRYPT}" + SHA256_ROUNDS),
        ("password", "{ARGON2ID}" + ARGON2ID_PASSWORD),
        ("correct horse", "{BLF-CRYPT}" + BCRYPT_HORSE),
        ("ぱすわーど", "{BLF-CRYPT}" + BCRYPT_KANA),
        ("秘密", "{SSHA512}" + salted_sha512("秘密", b"\x00\xffsa")),
        ("x", "{SSHA512}" + salted_sha512("x", b"0123456789abcdef")),
    ],
)
def test_hashes_of_other_systems_open_as_before(password: str, stored: str) -> None:
    assert check_hash(f" {stored}\n") == stored
    assert check_hash(stored.replace("CRYPT", "crypt").replace("{S", "{s")) == stored
    assert verify(password, stored)
    assert not verify(password + "x", stored)
    other = "a" if stored[-10] != "a" else "b"
    assert not verify(password, stored[:-10] + other + stored[-9:])


@pytest.mark.parametrize(
    "text", ["{CRYPT}" + SHA512_HELLO, SHA512_HELLO, "{SHA512-CRYPT}" + SHA512_HELLO]
)
def test_a_crypt_hash_is_named_by_what_it_is(text: str) -> None:
    assert check_hash(text) == "{SHA512-CRYPT}" + SHA512_HELLO


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write {SCHEME}hash"),
        ("secret", "write {SCHEME}hash"),
        ("{ARGON2ID}", "write {SCHEME}hash"),
        ("{ARGON2ID}x\ny", "write {SCHEME}hash"),
        ("$1$abc$BXBqpb9BZcZhXLgbee.0s/", "write {SCHEME}hash"),
        ("{}x", "write {SCHEME}hash"),
        ("{PLAIN}hunter2", "clear text"),
        ("{cleartext}hunter2", "clear text"),
        ("{PLAIN-MD5}5f4dcc3b5aa765d61d8327deb882cf99", "MD5"),
        ("{MD5-CRYPT}$1$abc$BXBqpb9BZcZhXLgbee.0s/", "MD5"),
        ("{SMD5}abc", "MD5"),
        ("{CRAM-MD5}abc", "MD5"),
        ("{DIGEST-MD5}abc", "MD5"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "too weak"),
        ("{SSHA}abc", "too weak"),
        ("{CRYPT}abJnggxhB/yWI", "too weak"),
        ("{CRYPT}$1$abc$BXBqpb9BZcZhXLgbee.0s/", "too weak"),
        ("{BLF-CRYPT}" + BCRYPT_HORSE.replace("$05$", "$15$"), "costs too much"),
        ("{BLF-CRYPT}" + BCRYPT_HORSE[:-1], "not a well-formed BLF-CRYPT"),
        ("{PBKDF2}$1$abc$5000$def", "cannot be verified"),
        ("{SHA512-CRYPT.b64}JDYk", "cannot be verified"),
        ("{SHA512-CRYPT}" + SHA512_HELLO[:-1], "not a well-formed SHA512-CRYPT"),
        ("{SHA512-CRYPT}" + SHA256_HELLO, "not a well-formed SHA512-CRYPT"),
        ("{SHA512-CRYPT}" + SHA512_HELLO.replace("$6$", "$6$rounds=999999999$"), "costs too much"),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("m=65536", "m=4194304"), "costs too much"),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("t=2", "t=99"), "costs too much"),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("m=65536", "m=4"), "not a well-formed ARGON2ID"),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("argon2id", "argon2i"), "not a well-formed"),
        ("{SSHA512}" + base64.b64encode(bytes(64)).decode(), "not a well-formed SSHA512"),
        ("{SSHA512}" + "A" * 93, "not a well-formed SSHA512"),
    ],
)
def test_all_04_weak_absurd_or_broken_hashes_are_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=f"^row 2: .*({why})") as refused:
        check_hash(text, "row 2")
    assert "hunter2" not in str(refused.value) and str(refused.value).isprintable()
    assert not verify("secret", text)


@given(st.text(max_size=60), st.text("{}$=,mtp0123456789abcARGON2ID-", max_size=80))
@example("\udcff", "{SSHA512}" + salted_sha512("x", b"salt"))
@example("a\0b", "{SHA512-CRYPT}" + SHA512_HELLO)
@example("x" * 5_000, "{SHA512-CRYPT}" + SHA512_HELLO)
@example("x", "{ARGON2ID}" + ARGON2ID_PASSWORD.replace("m=65536", "m=4194304"))
@settings(max_examples=200)
def test_no_input_breaks_the_check_or_gets_in(password: str, stored: str) -> None:
    assert verify(password, stored) is False


M = "m=19456,t=2,p=1"


@pytest.mark.parametrize(
    ("stored", "argon2id", "sha512"),
    [
        ("{SSHA512}" + salted_sha512("x", b"salt"), True, True),
        ("{SHA256-CRYPT}" + SHA256_ROUNDS, True, True),
        ("{BLF-CRYPT}" + BCRYPT_HORSE, True, True),
        ("{SHA512-CRYPT}" + SHA512_HELLO, True, True),
        ("{SHA512-CRYPT}" + SHA512_HELLO.replace("$6$", "$6$rounds=39999$"), True, True),
        ("{SHA512-CRYPT}" + SHA512_HELLO.replace("$6$", "$6$rounds=40000$"), True, False),
        ("{SHA512-CRYPT}" + SHA512_HELLO.replace("$6$", "$6$rounds=656000$"), True, False),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD, False, True),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("m=65536,t=2,p=1", M), False, True),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("m=65536", "m=19455"), True, True),
        ("{ARGON2ID}" + ARGON2ID_PASSWORD.replace("t=2", "t=1"), True, True),
        ("{SHA512-CRYPT}!", False, False),
        ("{PLAIN}hunter2", False, False),
        ("", False, False),
    ],
)
def test_a_cheap_or_foreign_hash_is_made_anew(stored: str, argon2id: bool, sha512: bool) -> None:
    assert needs_rehash(stored, "ARGON2ID") is argon2id
    assert needs_rehash(stored, "SHA512-CRYPT") is sha512


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_new_hash_needs_none(scheme: Scheme) -> None:
    assert not needs_rehash(hash_password("Wm7rTk3vQz9xHd", scheme), scheme)


def test_an_unknown_login_takes_as_long_as_a_known_one() -> None:
    stored = hash_password("Wm7rTk3vQz9xHd")
    verify_nothing()  # makes the hash that is nobody's
    known, unknown = [], []
    for _ in range(9):
        start = time.perf_counter()
        verify("wrong", stored)
        middle = time.perf_counter()
        verify_nothing()
        known.append(middle - start)
        unknown.append(time.perf_counter() - middle)
    assert 0.4 < statistics.median(unknown) / statistics.median(known) < 2.5


@pytest.mark.parametrize(
    ("scheme", "count"), [("ARGON2ID", 18), ("SHA512-CRYPT", 18), ("ARGON2ID", 2)]
)
def test_many_passwords_are_made_at_once(scheme: Scheme, count: int) -> None:
    rule = msgspec.structs.replace(PasswordRule(), scheme=scheme)
    made = generate_and_hash_many(count, rule)
    assert len({password for password, _ in made}) == count == len({stored for _, stored in made})
    assert verify(made[0][0], made[0][1]) and verify(made[-1][0], made[-1][1])
    assert not verify(made[0][0], made[-1][1])
    assert all(stored.startswith("{" + scheme + "}") for _, stored in made)
