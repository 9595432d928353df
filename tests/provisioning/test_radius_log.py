"""What the desk reads of FreeRADIUS' log, whose names strangers have typed (ISP-01)."""

from __future__ import annotations

from pathlib import Path

import pytest

from isp.errors import Fault
from provisioning.radius_log import SAID, logins

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
def test_isp_01_log_ins_of_a_connection_are_read(
    tmp_path: Path, line: str, accepted: bool, why: str
) -> None:
    (tmp_path / "radius.log").write_text(f"{line}\n")
    [login] = logins(tmp_path / "radius.log", NAME, 10)
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
def test_isp_01_lines_of_others_and_forged_ones_do_not_count(tmp_path: Path, line: str) -> None:
    (tmp_path / "radius.log").write_text(f"{line}\n")
    assert logins(tmp_path / "radius.log", NAME, 10) == []


def test_isp_01_the_last_ones_are_told_the_oldest_first(tmp_path: Path) -> None:
    def lines(*seconds: int) -> str:
        at = "Sun Nov 22 01:04:{:02} 2026 : Auth: (7) Login OK: [{}] {}\n"
        return "".join(at.format(second, NAME, FROM) for second in seconds)

    log = tmp_path / "radius.log"
    log.with_name("radius.log.1").write_text(lines(1, 2, 3))
    log.write_bytes(lines(4, 5).encode() + b"\xff[k00000001\n")
    assert [each.at.second for each in logins(log, NAME, 4)] == [2, 3, 4, 5]


def test_all_04_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"platform\.radius_log: cannot read"):
        logins(tmp_path / "radius.log", NAME, 10)
