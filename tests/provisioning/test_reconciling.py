"""What mail folders need so that they fit the mailboxes: over the whole truth table, and any names."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.addresses import MailAddress
from provisioning.reconciling import (
    Action,
    Archive,
    Clear,
    Forget,
    Kind,
    Make,
    PutAside,
    Report,
    archive_named,
    for_archives,
    for_domain,
    for_root,
    left_behind,
    restored_folder,
    shown,
)
from provisioning.wanted import Status

TODAY = date(2026, 4, 10)
DOMAIN = "example.jp"
TARO, JIRO = MailAddress("taro", DOMAIN), MailAddress("jiro", DOMAIN)
OF_TODAY = Archive(TARO, TODAY)

LOCAL = st.from_regex(r"[a-z0-9_+][a-z0-9_+-]{0,20}(\.[a-z0-9_+-]{1,20}){0,2}", fullmatch=True)
DAYS = st.dates(date(1970, 1, 1), date(9999, 1, 1))
ARCHIVES = st.builds(
    Archive, st.builds(MailAddress, LOCAL, st.just(DOMAIN)), DAYS, st.integers(1, 9999)
)
KINDS = st.sampled_from(["folder", "link", "file"])
# What an attacker may call a file: anything but a slash and NUL, also bytes that are no UTF-8.
NAMES = st.binary(min_size=1, max_size=40).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_").decode("utf-8", "surrogateescape")
)


def report(place: str) -> Action:
    return Report(place, "")


def without_reasons(actions: list[Action]) -> list[Action]:
    return [Report(each.place, "") if isinstance(each, Report) else each for each in actions]


@pytest.mark.parametrize(
    ("status", "lies", "wanted"),
    [
        ("active", None, [Make(TARO)]),
        ("suspended", None, [Make(TARO)]),
        ("removed", None, []),
        (None, None, []),
        ("active", "folder", []),
        ("suspended", "folder", []),
        ("removed", "folder", [PutAside(OF_TODAY)]),
        (None, "folder", [report("example.jp/taro")]),
        ("active", "link", [report("taro@example.jp")]),
        ("suspended", "link", [report("taro@example.jp")]),
        ("removed", "link", [report("taro@example.jp")]),
        (None, "link", [report("example.jp/taro")]),
        ("active", "file", [report("taro@example.jp")]),
        ("suspended", "file", [report("taro@example.jp")]),
        ("removed", "file", [report("taro@example.jp")]),
        (None, "file", [report("example.jp/taro")]),
    ],
)
def test_a_maildir_is_made_archived_or_left_as_it_is(
    status: Status | None, lies: Kind | None, wanted: list[Action]
) -> None:
    mailboxes = [(str(TARO), status)] if status else []
    there = {"taro": lies} if lies else {}
    found = list(for_domain(DOMAIN, mailboxes, there, (), TODAY))
    assert without_reasons(found) == wanted


@pytest.mark.parametrize("status", ["active", "suspended", "removed", None])
@pytest.mark.parametrize("lies", ["folder", "link", "file"])
def test_a_maildir_on_its_way_out_goes_on_if_there_is_such_a_mailbox(
    status: Status | None, lies: Kind
) -> None:
    """Also when a copy of the database from before the removal has been restored meanwhile."""
    begun = Archive(TARO, date(2026, 4, 9))
    mailboxes = [(str(TARO), status)] if status else []
    there: dict[str, Kind] = {begun.leaving: lies, "taro": "folder"}
    found = without_reasons(list(for_domain(DOMAIN, mailboxes, there, (), TODAY)))
    if lies == "folder" and status:
        assert PutAside(begun, begun=True) in found
    else:
        assert report(f"example.jp/{begun.leaving}") in found


def test_each_archive_of_a_day_has_a_number_of_its_own() -> None:
    second = Archive(TARO, TODAY, 2)
    there: dict[str, Kind] = {"taro": "folder", second.leaving: "folder"}
    found = list(for_domain(DOMAIN, [(str(TARO), "removed")], there, {OF_TODAY}, TODAY))
    assert found == [PutAside(Archive(TARO, TODAY, 3)), PutAside(second, begun=True)]


@pytest.mark.parametrize("name", [".making", ".restoring"])
def test_what_a_killed_run_left_is_cleared_unless_it_is_something_else(name: str) -> None:
    assert list(for_domain(DOMAIN, (), {name: "folder"}, (), TODAY)) == [
        Clear("mail", DOMAIN, name)
    ]
    for lies in ("link", "file"):
        [told] = for_domain(DOMAIN, (), {name: lies}, (), TODAY)
        assert isinstance(told, Report)


@pytest.mark.parametrize(
    "row",
    [
        "../../etc/passwd@example.jp",
        "..@example.jp",
        ".making@example.jp",
        "@example.jp",
        "taro",
        "taro@example.com",
        "-rf@example.jp",
        "Taro@example.jp",
        "ta\nro@example.jp",
    ],
)
@pytest.mark.parametrize("status", ["active", "removed"])
def test_a_row_that_is_no_address_never_becomes_a_path(row: str, status: Status) -> None:
    local_part = row.rpartition("@")[0]
    there: dict[str, Kind] = {local_part: "folder"} if local_part not in ("", "..") else {}
    found = list(for_domain(DOMAIN, [(row, status)], there, (), TODAY))
    assert not [each for each in found if isinstance(each, Make | PutAside | Forget)]
    assert isinstance(found[0], Report) and found[0].place.isprintable()


@given(
    mailboxes=st.dictionaries(LOCAL, st.sampled_from(["active", "suspended", "removed"])),
    strangers=st.dictionaries(NAMES, KINDS),
    lies=st.lists(KINDS, max_size=20),
    kept=st.sets(ARCHIVES, max_size=5),
)
def test_whatever_lies_there_only_known_mailboxes_are_acted_on(
    mailboxes: dict[str, Status],
    strangers: dict[str, Kind],
    lies: list[Kind],
    kept: set[Archive],
) -> None:
    there = strangers | dict(zip(sorted(mailboxes), lies, strict=False))
    rows = [(f"{local}@{DOMAIN}", status) for local, status in sorted(mailboxes.items())]
    found = list(for_domain(DOMAIN, rows, there, kept, TODAY))
    for action in found:
        if isinstance(action, Make):
            assert action.address.local_part not in there
            assert mailboxes[action.address.local_part] != "removed"
        if isinstance(action, PutAside):
            local = action.archive.address.local_part
            assert action.archive not in kept
            assert action.begun or (there[local], mailboxes[local]) == ("folder", "removed")
            assert not action.begun or there[action.archive.leaving] == "folder"
        if isinstance(action, Report):
            assert action.place.isprintable() and action.place.encode("utf-8")
    told = [each for each in found if isinstance(each, Report)]
    quiet = {".making", ".restoring"} | {name for name in strangers if left_behind(DOMAIN, name)}
    strange = strangers.keys() - mailboxes.keys() - quiet
    assert len(told) >= len(strange)
    aside = [each.archive for each in found if isinstance(each, PutAside)]
    assert len(set(aside)) == len(aside)


def test_done_once_there_is_nothing_left_to_do() -> None:
    rows: list[tuple[str, Status]] = [(str(JIRO), "active"), (str(TARO), "removed")]
    assert list(for_domain(DOMAIN, rows, {"taro": "folder"}, (), TODAY)) == [
        Make(JIRO),
        PutAside(OF_TODAY),
    ]
    assert list(for_domain(DOMAIN, rows, {"jiro": "folder"}, {OF_TODAY}, TODAY)) == []


# Archives


@given(archive=ARCHIVES)
def test_an_archive_is_read_back_from_each_of_its_names(archive: Archive) -> None:
    assert archive_named(DOMAIN, archive.name) == archive
    assert left_behind(DOMAIN, archive.leaving) == archive
    assert left_behind(DOMAIN, archive.name) is archive_named(DOMAIN, archive.leaving) is None
    assert archive_named(DOMAIN, archive.part) is None
    assert max(map(len, (archive.name, archive.part, archive.leaving))) <= 255


@given(archives=st.lists(ARCHIVES, min_size=2, max_size=2, unique=True))
def test_no_two_archives_have_one_name(archives: list[Archive]) -> None:
    one, other = archives
    assert one.name != other.name and one.leaving != other.leaving


@given(name=NAMES)
def test_no_name_but_its_own_is_an_archive(name: str) -> None:
    for spelled in (name, f"{name}.tar.gz", f"{name}-20260410.tar.gz", f".{name}-20260410.leaving"):
        archive = archive_named(DOMAIN, spelled)
        assert archive is None or archive.name == spelled
        begun = left_behind(DOMAIN, spelled)
        assert begun is None or begun.leaving == spelled


@pytest.mark.parametrize(
    "name",
    [
        "taro-20260410.1.tar.gz",
        "taro-20260410.02.tar.gz",
        "taro-20260431.tar.gz",
        "taro-2026041.tar.gz",
        "taro-20260410.tar",
        "-20260410.tar.gz",
        "..-20260410.tar.gz",
        "Taro-20260410.tar.gz",
        "taro-２0260410.tar.gz",
        "taro-20260410.tar.gz\n",
    ],
)
def test_names_that_only_look_like_archives_are_told(name: str) -> None:
    assert archive_named(DOMAIN, name) is None
    [told] = for_archives(DOMAIN, {name: "file"}, TODAY, 90)
    assert isinstance(told, Report)


@pytest.mark.parametrize("days", [0, 1, 90, 366])
@pytest.mark.parametrize("late", [-1, 0, 1])
def test_an_archive_is_kept_for_its_days_and_then_forgotten(days: int, late: int) -> None:
    archive = Archive(TARO, TODAY - timedelta(days=days + late))
    found = list(for_archives(DOMAIN, {archive.name: "file"}, TODAY, days))
    assert found == ([Forget(archive)] if late >= 0 else [])


@pytest.mark.parametrize("lies", ["folder", "link"])
def test_what_only_has_the_name_of_an_archive_is_never_forgotten(lies: Kind) -> None:
    old = Archive(TARO, date(2020, 1, 1))
    [told] = for_archives(DOMAIN, {old.name: lies}, TODAY, 1)
    assert isinstance(told, Report)


def test_an_archive_half_written_is_cleared() -> None:
    assert list(for_archives(DOMAIN, {OF_TODAY.part: "file"}, TODAY, 90)) == [
        Clear("archive", DOMAIN, OF_TODAY.part)
    ]


# The rest


def test_in_the_root_only_folders_of_domains_are_taken_for_such() -> None:
    there: dict[str, Kind] = {
        "example.jp": "folder",
        "example.com": "folder",
        "example.net": "link",
        "lost+found": "folder",
        "..": "folder",
        "bad\udcff\x1b[2J": "file",
    }
    told = list(for_root({"example.jp", "example.net"}, there))
    assert [each.place for each in told] == [
        "..",
        "bad\\xff\\x1b[2J",
        "example.com",
        "example.net",
    ]


@given(name=NAMES)
def test_any_name_can_be_printed_and_stored(name: str) -> None:
    assert shown(name).isprintable()
    assert shown(name).encode("utf-8")


@pytest.mark.parametrize(
    ("archive", "into", "folder"),
    [
        (Archive(TARO, TODAY), TARO, "Restored-20260410"),
        (Archive(TARO, TODAY, 2), TARO, "Restored-20260410_2"),
        (Archive(TARO, TODAY), JIRO, "Restored-taro-20260410"),
        (Archive(MailAddress("a.b-c", DOMAIN), TODAY), JIRO, "Restored-a_b-c-20260410"),
        (
            Archive(TARO, TODAY),
            MailAddress("taro", "example.com"),
            "Restored-taro-20260410@example_jp",
        ),
    ],
)
def test_what_comes_back_has_a_folder_that_tells_whose_and_of_when(
    archive: Archive, into: MailAddress, folder: str
) -> None:
    assert restored_folder(archive, into) == folder
    assert "." not in folder
