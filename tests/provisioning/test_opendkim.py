"""What OpenDKIM is given: key files and their table, by rules that know no disk; and who asks it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.policy import parse, profile_text
from provisioning.opendkim import (
    KEYS,
    SigningKey,
    check_knobs,
    files,
    key_file,
    left_over,
    out_of_step,
)
from provisioning.platform import Feed, Layout, Platform, rendered

JP, COM = SigningKey("example.jp", "s20260401", "PEM 1"), SigningKey("a.com", "s20260402", "PEM 2")
NAMES = st.sampled_from(["keys", "a.key", ".keys.part", "s1._domainkey.a.com.key", "README", "x"])


def test_each_domain_has_one_line_and_one_file_and_keys_are_written_first() -> None:
    assert list(files([JP, COM], "/var/lib/k").items()) == [
        ("s20260402._domainkey.a.com.key", "PEM 2"),
        ("s20260401._domainkey.example.jp.key", "PEM 1"),
        (
            KEYS,
            "a.com a.com:s20260402:/var/lib/k/s20260402._domainkey.a.com.key\n"
            "example.jp example.jp:s20260401:/var/lib/k/s20260401._domainkey.example.jp.key\n",
        ),
    ]
    assert files([], "/var/lib/k") == {KEYS: ""}


def test_a_key_does_not_show_itself() -> None:
    assert "PEM" not in repr(JP)


@given(st.dictionaries(NAMES, st.text(max_size=2)), st.dictionaries(NAMES, st.none() | st.text()))
def test_once_written_nothing_is_out_of_step(
    wanted: dict[str, str], there: dict[str, str | None]
) -> None:
    stale = out_of_step(wanted, there)
    assert stale == [name for name in wanted if name in stale]
    assert out_of_step(wanted, there | {name: wanted[name] for name in stale}) == []


def test_what_is_left_over_is_ours_and_named_no_more() -> None:
    old = "s20250401._domainkey.example.jp.key"
    there = [key_file(JP), old, KEYS, f".{KEYS}.part", "README.PrivateKeys", "other.key", ".x"]
    assert left_over({key_file(JP), KEYS}, there) == [f".{KEYS}.part", old]


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("folder", "reload", "field"),
    [
        ("dkim", "true", "platform.dkim"),
        ("/var/lib/is p", "true", "platform.dkim"),
        ("/var/lib/a:b", "true", "platform.dkim"),
        ("/var/lib/a%b", "true", "platform.dkim"),
        ("/var/lib/x\n", "true", "platform.dkim"),
        ("/var/lib/x", "", "platform.dkim_reload"),
    ],
)
def test_all_04_a_folder_that_cannot_be_kept_is_refused(
    folder: str, reload: str, field: str
) -> None:
    check_knobs("/var/lib/isp-dkim", "systemctl reload-or-restart opendkim")
    with pytest.raises(Refused) as refused:
        check_knobs(folder, reload)
    assert refused.value.field == field


def texts(dkim: str) -> dict[str, str]:
    policy = parse(profile_text("consumer-isp"))
    knobs = msgspec.structs.replace(policy.platform, dkim=dkim, dkim_reload="true" if dkim else "")
    platform = Platform(
        policy=msgspec.structs.replace(policy, platform=knobs),
        layout=Layout(),
        source=Feed("/var/lib/isp/feed/mail.db"),
        mail_root="/var/mail/isp",
        certificate="/etc/ssl/isp.pem",
        key="/etc/ssl/isp.key",
        password="",
        salt=bytes(16),
        dkim=dkim,
    )
    return {file.path: file.text for file in rendered(platform)}


@pytest.mark.req("ISP-17")
def test_isp_17_only_the_submission_ports_ask_opendkim() -> None:
    found = texts("/var/lib/isp-dkim")
    master = found["postfix/master.cf"]
    asking = [entry.split()[0] for entry in master.split("\n\n") if "smtpd_milters" in entry]
    assert len(asking) == master.count("-o smtpd_milters=$submission_milters") == 3
    mx = next(line for line in master.splitlines() if line.startswith("25 inet"))
    after = master.splitlines()[master.splitlines().index(mx) + 1]
    assert not after.startswith(" ")  # port 25 has no options of its own
    assert "smtpd_milters" not in found["postfix/main.cf"]
    assert "milter_default_action = tempfail" in found["postfix/main.cf"]
    assert "file:/var/lib/isp-dkim/keys\n" in found["opendkim/opendkim.conf"]
    assert '"file:/var/lib/isp-dkim/keys"' in found["opendkim/sign.lua"]


def test_all_05_both_readmes_tell_the_same_steps_of_signing() -> None:
    found = texts("/var/lib/isp-dkim")
    steps = [
        [line for line in found[name].splitlines() if line.startswith("    ")]
        for name in ("README.md", "README.ja.md")
    ]
    assert steps[0] == steps[1]
    for name in ("opendkim/opendkim.conf", "opendkim/sign.lua"):
        assert name in "\n".join(steps[0])


def test_without_a_folder_nothing_speaks_of_it() -> None:
    found = texts("")
    assert not [name for name in found if name.startswith("opendkim")]
    for name, text in found.items():
        assert "milter" not in text, name
    assert "platform.dkim" in found["README.md"] and "platform.dkim" in found["README.ja.md"]
