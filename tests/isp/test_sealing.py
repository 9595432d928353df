"""Sealed bank accounts: unreadable without the key, unalterable, and the key is kept from others."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Fault, Refused
from isp.sealing import Seal, add_key, make_key


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key file."""
    path = tmp_path_factory.mktemp("key") / "isp.key"
    make_key(path)
    return path


@given(text=st.text(max_size=50))
def test_what_was_sealed_opens(key: Path, text: str) -> None:
    seal = Seal(key)
    assert seal.open(seal.seal(text)) == text


def test_a_seal_shows_neither_its_text_nor_that_two_are_equal(key: Path) -> None:
    seal = Seal(key)
    assert b"1234567" not in seal.seal("1234567")
    assert seal.seal("1234567") != seal.seal("1234567")


@given(place=st.integers(0, 95), bit=st.integers(0, 7))
def test_an_altered_seal_does_not_open(key: Path, place: int, bit: int) -> None:
    """Any bit but those of the last four characters, where base64 has some that mean nothing."""
    sealed = bytearray(Seal(key).seal("1234567"))
    assert len(sealed) == 100
    sealed[place] ^= 1 << bit
    with pytest.raises(Fault, match="the database has been altered"):
        Seal(key).open(bytes(sealed))


def test_another_key_does_not_open_it_and_the_remedy_is_told(key: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other.key")
    with pytest.raises(Fault, match=r"^key file: .*other.key: put the key there") as fault:
        Seal(tmp_path / "other.key").open(Seal(key).seal("1234567"))
    assert "1234567" not in str(fault.value)


def test_a_key_is_private_and_never_replaced(tmp_path: Path) -> None:
    make_key(tmp_path / "isp.key")
    assert stat.S_IMODE((tmp_path / "isp.key").stat().st_mode) == 0o600
    before = (tmp_path / "isp.key").read_bytes()
    with pytest.raises(Refused, match=r"^key_file: .*isp.key exists already and is kept"):
        make_key(tmp_path / "isp.key")
    assert (tmp_path / "isp.key").read_bytes() == before


def test_a_key_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"cannot make .*No such file or directory"):
        make_key(tmp_path / "nowhere" / "isp.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_may_read_or_change_is_a_fault(tmp_path: Path, mode: int) -> None:
    make_key(tmp_path / "isp.key")
    (tmp_path / "isp.key").chmod(mode)
    with pytest.raises(Fault, match=r"others may read .*isp.key: run `chmod 600 "):
        Seal(tmp_path / "isp.key")


def test_a_missing_key_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"there is no .*isp.key: put its backup there"):
        Seal(tmp_path / "isp.key")


def test_a_folder_in_place_of_the_key_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot read"):
        Seal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"secret\n", b"\xff" * 44])
def test_a_file_without_keys_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "isp.key").touch(mode=0o600)
    (tmp_path / "isp.key").write_bytes(content)
    with pytest.raises(Fault, match="holds no keys") as fault:
        Seal(tmp_path / "isp.key")
    assert "secret" not in str(fault.value)


def test_a_new_key_seals_while_the_old_one_still_opens(tmp_path: Path) -> None:
    old, both = tmp_path / "old.key", tmp_path / "both.key"
    make_key(old)
    both.touch(mode=0o600)
    both.write_bytes(old.read_bytes())
    sealed = Seal(old).seal("1234567")
    add_key(both)
    assert stat.S_IMODE(both.stat().st_mode) == 0o600
    assert Seal(both).open(sealed) == "1234567"
    moved = Seal(both).reseal(sealed)
    newest = tmp_path / "newest.key"
    newest.touch(mode=0o600)
    newest.write_bytes(both.read_bytes().splitlines()[0])
    assert Seal(newest).open(moved) == "1234567"
    with pytest.raises(Fault):
        Seal(newest).open(sealed)
    with pytest.raises(Fault):
        Seal(old).open(moved)


def test_a_month_of_accounts_opens_in_seconds(key: Path) -> None:
    """A transfer file of 100,000 members opens as many seals; 5,000 a second is the least."""
    seal = Seal(key)
    sealed = [seal.seal(f"{number:07}") for number in range(500)]
    start = time.perf_counter()
    assert [seal.open(one) for one in sealed] == [f"{number:07}" for number in range(500)]
    assert 500 / (time.perf_counter() - start) > 5_000
