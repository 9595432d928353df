"""Addresses of own mailboxes: what may be given to a member, and what never leaves the folder."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isp.errors import Refused
from provisioning.addresses import ROLE_NAMES, MailAddress, mail_address, mail_domain


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("taro@example.jp", "taro@example.jp"),
        (" Taro.Yamada@EXAMPLE.JP ", "taro.yamada@example.jp"),
        ("t@a-b.example.jp", "t@a-b.example.jp"),
        ("_x-1.y_2+tag@example.jp", "_x-1.y_2+tag@example.jp"),
        ("0120@example.jp", "0120@example.jp"),
        ("info@example.jp", "info@example.jp"),
        ("taro@日本語.jp", "taro@xn--wgv71a119e.jp"),
        ("taro@ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"),
        ("taro@xn--wgv71a119e.jp", "taro@xn--wgv71a119e.jp"),
        ("a" * 64 + "@example.jp", "a" * 64 + "@example.jp"),
        ("taro@" + "a" * 63 + ".jp", "taro@" + "a" * 63 + ".jp"),
    ],
)
def test_a_members_address_is_kept_in_one_form(text: str, whole: str) -> None:
    address = mail_address(text)
    assert str(address) == whole
    assert (address.local_part, address.domain) == tuple(whole.split("@"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("taro", "has no @"),
        ("", "has no @"),
        ("@example.jp", "nothing stands before the @"),
        ("太郎@example.jp", "half-width"),
        ("ｔａｒｏ@example.jp", "half-width"),
        ("taro..y@example.jp", "no two dots"),
        (".taro@example.jp", "no dot at either end"),
        ("taro.@example.jp", "no dot at either end"),
        ("-rf@example.jp", "no hyphen in front"),
        ("../../etc/passwd@example.jp", "letters, digits"),
        ("a/b@example.jp", "letters, digits"),
        ("a\0b@example.jp", "letters, digits"),
        ("a\nb@example.jp", "letters, digits"),
        ("a b@example.jp", "letters, digits"),
        ('"a b"@example.jp', "letters, digits"),
        ("a%b@example.jp", "letters, digits"),
        ("a@b@example.jp", "letters, digits"),
        ("a" * 65 + "@example.jp", "64 characters"),
        ("taro@", "is no mail domain"),
        ("taro@localhost", "is no mail domain"),
        ("taro@192.0.2.1", "is no mail domain"),
        ("taro@[192.0.2.1]", "in the domain"),
        ("taro@example.jp.", "in the domain"),
        ("taro@.example.jp", "in the domain"),
        ("taro@exa..mple.jp", "in the domain"),
        ("taro@-example.jp", "in the domain"),
        ("taro@exa_mple.jp", "in the domain"),
        ("taro@../x.jp", "in the domain"),
        ("taro@a/b.jp", "in the domain"),
        ("taro@xn--a.jp", "no valid domain name"),
        ("taro@☃️‍日.jp", "no valid domain name"),
        ("taro@" + "a" * 64 + ".jp", "in the domain"),
        ("taro@" + ".".join(["a" * 60] * 5) + ".jp", "253"),
    ],
)
def test_all_04_a_wrong_address_is_refused_by_its_field_and_rule(text: str, why: str) -> None:
    with pytest.raises(Refused, match=f"^row 3: .*({why})") as refused:
        mail_address(text, "row 3")
    assert "\n" not in str(refused.value) and "\0" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(ROLE_NAMES))
def test_role_names_stay_with_the_operator(name: str) -> None:
    with pytest.raises(Refused, match="RFC 2142"):
        mail_address(f"{name.upper()}@example.jp")
    with pytest.raises(Refused, match="RFC 2142"):
        mail_address(f"{name}+x@example.jp")
    assert mail_address(f"{name}@example.jp", role_names=True).local_part == name
    assert mail_address(f"{name}1@example.jp").local_part == f"{name}1"


@pytest.mark.parametrize(
    ("local_part", "domain"),
    [
        ("..", "example.jp"),
        ("a/b", "example.jp"),
        ("taro", ".."),
        ("taro", "a/b.jp"),
        ("Taro", "x.jp"),
    ],
)
def test_no_address_of_a_wrong_form_can_be_made(local_part: str, domain: str) -> None:
    with pytest.raises(Refused):
        MailAddress(local_part, domain)


def test_domains_come_in_their_ascii_form() -> None:
    assert mail_domain(" Mail.Example.JP ") == "mail.example.jp"
    assert mail_domain("例え.テスト") == "xn--r8jz45g.xn--zckzah"
    with pytest.raises(Refused, match=r"^domain: "):
        mail_domain("example")


@given(
    st.text(max_size=80)
    | st.text("aZ0./\\@%\0\n ~-_+é。", max_size=20).map(lambda name: f"{name}@example.jp")
    | st.text("aZ0./\\@%\0\n ~-_+é。", max_size=20).map(lambda name: f"taro@{name}.jp")
)
@example("taro@" + "xn--" * 10)
@example("taro@\udcff.jp")
def test_an_accepted_address_is_stable_and_a_refusal_fits_one_line(text: str) -> None:
    address = outcome(text)
    if isinstance(address, Refused):
        assert str(address).isprintable()
        return
    assert mail_address(str(address)) == address
    for part in (address.local_part, address.domain):
        assert PurePosixPath(part).parts == (part,)
        assert part.isascii() and part.isprintable() and not part.startswith((".", "-"))


def outcome(text: str) -> MailAddress | Refused:
    """The address, or why there is none."""
    try:
        return mail_address(text)
    except Refused as refused:
        return refused
