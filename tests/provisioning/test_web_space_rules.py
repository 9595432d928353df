"""Web spaces: their names, what a night does with them, their folders, and what the desk is told."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path, PurePosixPath

import pytest
from desk import TODAY, contract, joined, member, on, untouched
from hypothesis import given
from hypothesis import strategies as st
from office import Office
from pypdf import PdfReader

from isp.errors import Fault, Refused
from isp.lifecycle import STATUSES, ContractStatus
from isp.policy import parse, profile_text
from provisioning.passwords import verify
from provisioning.wanted import Action, ContractState, Status
from provisioning.web_folders import Folders, bring_in_step, held, measure, used_bytes
from provisioning.web_space import (
    RESERVED,
    Space,
    SpaceState,
    WebServer,
    for_space,
    quota_files,
    space_after,
    space_name,
    web_server_files,
)

NIGHT = date(2026, 5, 1)
DUE = date(2026, 5, 30)
GROUP = os.getgid()


@pytest.mark.req("ISP-20")
@pytest.mark.parametrize("name", ["abc", "taro-yamada", "0123", "a" * 32, " Taro "])
def test_isp_20_names_that_may_be_chosen(name: str) -> None:
    assert space_name(name) == name.strip().lower()


@pytest.mark.req("ISP-20", "ALL-04")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "ab",
            "a" * 33,
            "-abc",
            "abc-",
            "taro_y",
            "taro.y",
            "太郎",
            "ｔａｒｏ",
            "a/b",
            "..",
            "~taro",
        ),
        *("xn--abc", "ab--c", "taro\n", "ta ro", "taro\x00", *sorted(RESERVED)),
    ],
)
def test_isp_20_names_that_are_refused(name: str) -> None:
    if name == "taro\n":
        assert space_name(name) == "taro"  # what an editor leaves at the end is no part of a name
        return
    with pytest.raises(Refused, match="^name: "):
        space_name(name)


def test_isp_20_reserved_names_are_names_at_all() -> None:
    """One that the rule of form refuses anyway would stand in the list for nothing."""
    assert [name for name in RESERVED if not name.replace("-", "").isalnum()] == []


@pytest.mark.req("ISP-20", "ALL-02")
@pytest.mark.parametrize(
    ("status", "ended_on", "space", "wanted"),
    [
        ("applied", None, SpaceState("active"), None),
        ("active", None, SpaceState("active"), None),
        ("suspended", None, SpaceState("active"), Action("suspend")),
        ("suspended", None, SpaceState("suspended"), None),
        ("active", None, SpaceState("suspended"), Action("resume")),
        ("cancelling", None, SpaceState("suspended"), None),
        ("cancelling", None, SpaceState("active"), None),
        ("active", None, SpaceState("suspended", DUE), None),
        ("suspended", None, SpaceState("suspended", DUE), None),
        ("active", None, SpaceState("suspended", NIGHT), Action("remove", NIGHT)),
        ("ended", date(2026, 4, 30), SpaceState("active"), Action("schedule", DUE)),
        ("ended", date(2026, 4, 30), SpaceState("suspended"), Action("schedule", DUE)),
        ("ended", date(2026, 4, 30), SpaceState("suspended", DUE), None),
        ("withdrawn", date(2026, 3, 1), SpaceState("active"), Action("remove", date(2026, 3, 31))),
        ("ended", date(2026, 3, 1), SpaceState("removed"), None),
    ],
)
def test_isp_20_what_a_night_does(
    status: ContractStatus, ended_on: date | None, space: SpaceState, wanted: Action | None
) -> None:
    assert for_space(ContractState(status, ended_on), space, NIGHT, 30) == wanted


@given(
    st.sampled_from(STATUSES),
    st.sampled_from(["active", "suspended", "removed"]),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)) | st.none(),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.integers(0, 60),
)
def test_all_02_a_second_look_finds_nothing_to_do(
    status: ContractStatus, space: Status, day: date | None, today: date, grace: int
) -> None:
    over = status in ("ended", "withdrawn")
    contract = ContractState(status, day or today if over else None)
    state = SpaceState(space, None if space == "active" else day)
    action = for_space(contract, state, today, grace)
    if action is not None:
        after = space_after(state, action)
        assert after != state
        assert for_space(contract, after, today, grace) is None
        assert not over or after.status != "active"


# Folders


def space(status: Status = "active", name: str = "taro", quota_mb: int = 1) -> Space:
    return Space(1, name, status, "{SHA512-CRYPT}$6$salt$hash", quota_mb)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    import grp

    return Folders(tmp_path / "web", tmp_path / "archive", grp.getgrgid(GROUP).gr_name)


def listed(folders: Folders) -> set[str]:
    return {
        str(each.relative_to(folders.root)) for each in folders.root.rglob("*") if each.is_file()
    } - {".lock"}


@pytest.mark.req("ISP-20")
def test_isp_20_folders_follow_the_state_and_are_archived(folders: Folders) -> None:
    previous = os.umask(0o077)
    try:
        with held(folders):
            assert bring_in_step(folders, space(), NIGHT)
            assert not bring_in_step(folders, space(), NIGHT)
    finally:
        os.umask(previous)
    public = folders.root / "taro" / "public"
    assert public.stat().st_mode & 0o7777 == 0o2770
    assert public.parent.stat().st_mode & 0o7777 == 0o2750
    password = folders.root / ".passwords" / "taro"
    assert (password.read_text(), password.stat().st_mode & 0o777) == ("taro:$6$salt$hash\n", 0o640)
    (public / "index.html").write_text("x")
    with held(folders):
        assert bring_in_step(folders, space("suspended"), NIGHT)
        assert listed(folders) == {".suspended/taro", "taro/public/index.html"}
        assert bring_in_step(folders, space(), NIGHT)
        assert bring_in_step(folders, space("removed"), NIGHT)
        assert not bring_in_step(folders, space("removed"), NIGHT)
        assert listed(folders) == set()
        bring_in_step(folders, space(), NIGHT)
        bring_in_step(folders, space("removed"), NIGHT)
    assert sorted(each.name for each in folders.archive.iterdir()) == [
        *("taro@2026-05-01", "taro@2026-05-01.2")
    ]
    assert (folders.archive / "taro@2026-05-01" / "public" / "index.html").read_text() == "x"


def test_isp_20_links_do_not_count_and_a_full_space_is_marked(folders: Folders) -> None:
    with held(folders):
        bring_in_step(folders, space(), NIGHT)
    public = folders.root / "taro" / "public"
    (public / "up").symlink_to(folders.root)
    (public / "bin").symlink_to("/usr")
    assert measure(folders, space()) < 20_000
    assert not (folders.root / ".full" / "taro").exists()
    (public / "big").write_bytes(bytes(1024 * 1024))
    assert measure(folders, space()) > 1024 * 1024
    assert (folders.root / ".full" / "taro").exists()
    assert used_bytes(folders.root / "nobody") == 0


def test_all_04_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    wrong = Folders(tmp_path / "web", tmp_path / "archive", "no-such-group")
    with pytest.raises(Fault, match=r"web_space\.group: there is no group no-such-group"):
        with held(wrong):
            raise AssertionError


# What is rendered


def server(**changes: object) -> WebServer:
    words = {
        "host": "web.example.jp",
        **{
            name: PurePosixPath(f"/srv/{name}") for name in ("root", "folder", "certificate", "key")
        },
        "group": "www-data",
        "quota_mb": 100,
    }
    return WebServer(**(words | changes))  # type: ignore[arg-type]  # any of them may be changed


@pytest.mark.req("ALL-04")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": ""}, "web_space.host"),
        ({"root": PurePosixPath("/srv/a b")}, "root"),
        ({"folder": PurePosixPath("/srv/;")}, "folder"),
        ({"key": PurePosixPath("relative")}, "key"),
        ({"listen": "localhost"}, "listen"),
        ({"listen": "*; evil"}, "listen"),
    ],
)
def test_all_04_what_cannot_stand_in_the_configuration(
    changes: dict[str, object], field: str
) -> None:
    policy = parse(profile_text("consumer-isp"))
    with pytest.raises(Refused) as refused:
        web_server_files(server(**changes), [], policy.operator, policy.desk)
    assert refused.value.field == field


@pytest.mark.req("ISP-22", "ALL-05")
def test_isp_22_every_page_has_the_desk_in_both_languages() -> None:
    policy = parse(profile_text("consumer-isp"))
    files = web_server_files(server(), [], policy.operator, policy.desk)
    pages = {name: text for name, text in files.items() if name.startswith("pages/")}
    assert len(pages) == 3
    for page in pages.values():
        assert "サポートデスク" in page and "support desk: 0120-000-000 (10:00-21:00)" in page


def test_isp_20_removed_spaces_have_no_quota() -> None:
    spaces = [space(), Space(7, "jiro", "removed", "{SHA512-CRYPT}!", 5)]
    assert quota_files(PurePosixPath("/srv/web"), spaces) == {
        "projects": "100001:/srv/web/taro\n",
        "projid": "web-taro:100001\n",
        "limits": "limit -p bhard=1m web-taro\n",
    }


# The desk


@pytest.fixture
def opened(office: Office) -> str:
    """A contract with the space `taro`, in a group that the tests' user is in."""
    import grp

    text = office.config.read_text("utf-8")
    group = grp.getgrgid(GROUP).gr_name
    office.config.write_text(text.replace('group = "www-data"', f'group = "{group}"'), "utf-8")
    number = joined(office)
    answer = office.ok(*on(TODAY), "web-space", "open", number, "--name", "Taro")
    assert answer.pop("password")
    assert answer == {
        "contract": number,
        "name": "taro",
        "url": "https://taro.web.example.jp/",
        "status": "active",
        "remove_on": None,
        "quota_mb": 100,
    }
    return number


@pytest.mark.req("ISP-20", "ALL-04")
def test_isp_20_one_space_per_contract_and_names_are_kept(office: Office, opened: str) -> None:
    other = contract(office, member(office, email="jiro@example.com"), opened_on=TODAY)
    with untouched(office):
        for words, field in (
            ((opened, "--name", "second"), "contract"),
            ((other, "--name", "taro"), "name"),
            ((other, "--name", "www"), "name"),
            ((other, "--name", "jiro", "--quota-mb", 0), "quota_mb"),
            (("K00000099", "--name", "jiro"), "contract"),
        ):
            assert office.refused("web-space", "open", *words).startswith(f"{field}: ")
        assert office.refused("web-space", "resume", "taro").startswith("status: ")
        assert office.refused("web-space", "close", "nobody").startswith("contract: ")


@pytest.mark.req("ISP-20")
def test_isp_20_closing_can_be_called_off_until_the_day(office: Office, opened: str) -> None:
    closed = office.ok(*on(TODAY), "web-space", "close", opened)
    assert (closed["status"], closed["remove_on"]) == ("suspended", "2026-05-10")
    assert office.refused(*on(TODAY), "web-space", "close", "taro").startswith("status: ")
    office.ok(*on(TODAY), "daily")
    assert office.ok(*on(TODAY), "web-space", "resume", "taro")["status"] == "active"
    office.ok(*on(TODAY), "web-space", "close", opened)
    steps = office.ok(*on("2026-05-10"), "daily")["steps"]
    assert {"name": "web-space", "done": 1, "skipped": 0, "failed": 0} in steps
    steps = office.ok(*on("2026-05-10"), "daily")["steps"]
    assert {"name": "web-space", "done": 0, "skipped": 0, "failed": 0} in steps
    for act in ("reissue", "close", "resume"):
        assert office.refused("web-space", act, "taro").startswith("status: taro has been removed")
    again = on("2026-05-11")
    assert office.refused(*again, "web-space", "open", opened, "--name", "new").startswith("name: ")
    office.ok(*again, "web-space", "open", opened, "--name", "taro")
    assert list((office.folder / "web" / "taro" / "public").iterdir()) == []
    assert office.ok(*again, "check")["ok"]


@pytest.mark.req("ISP-01", "ISP-20")
def test_isp_01_a_lost_password_comes_by_letter(office: Office, opened: str) -> None:
    file = office.folder / "letter.pdf"
    answer = office.ok(*on(TODAY), "web-space", "reissue", opened, "-o", file)
    assert "password" not in answer and answer["file"] == str(file)
    text = "".join("".join(page.extract_text().split()) for page in PdfReader(file).pages)
    assert "ホームページのユーザー名" in text and "WebDAV" in text and "taro" in text
    line = (office.folder / "web" / ".passwords" / "taro").read_text()
    stored = "{SHA512-CRYPT}" + line.strip().partition(":")[2]
    words = re.findall(r"[A-Za-z0-9]{14}", text)
    assert any(verify(word, stored) for word in words), (
        "the letter carries the password that counts"
    )


def test_isp_20_the_check_finds_what_does_not_belong(office: Office, opened: str) -> None:
    assert office.ok(*on(TODAY), "check")["ok"]
    root = office.folder / "web"
    (root / "taro").rename(root / "stray")
    told = {
        (each["subject"], each["problem"])
        for each in office(*on(TODAY), "check").json["problems"]
        if each["table"] == "web_space"
    }
    assert told == {
        ("stray", "has a folder, and belongs to no contract: move it away"),
        ("taro", "has no folder: run `isp daily`"),
    }


def test_isp_20_without_a_host_there_is_no_web_space(office: Office) -> None:
    text = office.config.read_text("utf-8")
    text = text.replace('host = "web.example.jp"', 'host = ""')
    office.config.write_text(text, "utf-8")
    number = joined(office)
    assert office.refused("web-space", "open", number, "--name", "taro").startswith(
        "web_space.host: "
    )
    assert office.refused("web-space", "render", "-o", office.folder / "x").startswith(
        "web_space.host: "
    )
    office.ok("daily")
    assert not (office.folder / "web").exists()
