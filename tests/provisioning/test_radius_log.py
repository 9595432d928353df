"""What the desk reads of FreeRADIUS' log, whose names strangers have typed (ISP-01)."""

from __future__ import annotations

from pathlib import Path

import pytest

from isp.errors import Fault
from provisioning.radius_log import SAID, logins, tail

NAME = "k00000001@ppp.example.jp"
AT = "Sun Nov 22 01:04:20 2026 : Auth: (7) "
FROM = "(from client bras port 0 cli 00-11-22-33-44-55)"


@pytest.mark.parametrize(
    ("line", "accepted", "why"),
    [
        (f"{AT}Login OK: [{NAME}] {FROM}", True, ""),
        (f"{AT} Login OK: [K00000001@PPP.example.jp] {FROM}", True, ""),
        (
            f'{AT}Login incorrect (pap: Crypt digest does not match "known good" digest): '
            f"[{NAME}] (from client bras port 0)",
            False,
            "wrong-password",
        ),
        (f"{AT}Login incorrect (suspended): [{NAME}] {FROM}", False, "suspended"),
        (f"{AT}Login incorrect (no PAP): [{NAME}] {FROM}", False, "no-pap"),
        (
            f"{AT}Login incorrect (unknown connection ID): [k00000001@ppp.example.com] {FROM}",
            False,
            "unknown-connection-id",
        ),
        (f"{AT}Login incorrect: [{NAME}] {FROM}", False, "other"),
    ],
)
def test_isp_01_log_ins_of_a_connection_are_read(line: str, accepted: bool, why: str) -> None:
    [login] = logins([line], NAME)
    assert (login.accepted, login.why, login.client) == (accepted, why, "bras")
    assert f"{login.at:%Y-%m-%d %H:%M:%S}" == "2026-11-22 01:04:20"
    assert all(SAID[login.why])


@pytest.mark.parametrize(
    "line",
    [
        f"{AT}Login OK: [k00000002@ppp.example.jp] {FROM}",
        f"{AT}Login OK: [{NAME}] (from client bras port 0) and more",
        f"{AT}Login incorrect (suspended): [x] {FROM}: [{NAME}] {FROM}",
        f"{AT}Login incorrect (unknown): [{NAME}] (from client a port 0 cli 1] {FROM}",
        f"Sun Nov 22 01:04:20 2026 : Error: [{NAME}] {FROM}",
        "",
        "\x00\ufffd",
    ],
)
def test_isp_01_lines_of_others_and_forged_ones_do_not_count(line: str) -> None:
    assert logins([line], NAME) == []


def test_all_04_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"platform\.radius_log: cannot read"):
        tail(tmp_path / "radius.log")
    (tmp_path / "radius.log").write_bytes(b"one\n\xff\n")
    assert tail(tmp_path / "radius.log") == ["one", "\ufffd"]
