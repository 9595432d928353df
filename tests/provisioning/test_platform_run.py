"""Maildirs made, archived, forgotten and brought back: killed anywhere, attacked, on a full disk."""

from __future__ import annotations

import errno
import mailbox
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from members import MakeDay, conclude, shift_of
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

import isp.database
from isp.calendar import TOKYO
from isp.errors import Fault, Refused
from isp.journal import history
from isp.shift import Shift
from provisioning.addresses import mail_address
from provisioning.maildir import deliver
from provisioning.reconciling import Action, Make, PutAside, Report
from provisioning.runs.mailboxes import add_mailbox, remove
from provisioning.runs.maildirs import archives_kept, carry_out, planned, restore
from provisioning.tables import Mailbox

NOW = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)
TARO, JIRO, OTHER = "taro@example.jp", "jiro@example.jp", "other@example.jp"
VMAIL = 8
"""Who has the root of the Maildirs here; the policy's own user need not be there."""


@dataclass
class Post:
    """An office with two members, its mail root and what a test does with them."""

    database: Engine
    shift: Shift

    @property
    def root(self) -> Path:
        return self.shift.root / "mail" / "example.jp"

    @property
    def archive(self) -> Path:
        return self.shift.root / "archive" / "example.jp"

    @property
    def transaction(self) -> Callable[[], Any]:
        return sessionmaker(self.database).begin

    def on(self, today: date) -> Post:
        day = replace(self.shift.day, today=today)
        return Post(self.database, replace(self.shift, day=day))

    def add(self, address: str, status: str = "active", contract: str = "K00000001") -> None:
        with Session(self.database) as session:
            add_mailbox(session, self.shift, address, contract)
            if status == "removed":
                remove(session, self.shift, address, at_once=True)
            session.commit()

    def mail(self, address: str, text: str = "hello") -> None:
        message = f"Subject: {text}\r\n\r\n{text}\r\n".encode()
        deliver(self.shift.root / "mail", mail_address(address), message, NOW, "mx")

    def close(self, address: str) -> None:
        with self.transaction() as session:
            remove(session, self.shift, address, at_once=True)

    def planned(self) -> list[Action]:
        with Session(self.database) as session:
            return planned(session, self.shift)

    def run(self) -> list[tuple[Action, str]]:
        return list(carry_out(self.transaction, self.shift, self.planned()))

    def done(self) -> None:
        """Everything that is to be done can be done, and then there is nothing left."""
        assert [wrong for _, wrong in self.run() if wrong] == []
        assert [each for each in self.planned() if not isinstance(each, Report)] == []

    def acts(self, address: str) -> list[str]:
        with Session(self.database) as session:
            told = [entry.act for entry in history(session, address)]
        return [act for act in told if "archive" in act]

    def names(self) -> list[str]:
        return sorted(str(each.relative_to(self.shift.root)) for each in self.shift.root.rglob("*"))


@pytest.fixture
def post(database: Engine, tmp_path: Path, day: MakeDay) -> Post:
    shift = replace(shift_of(day("2026-04-10")), root=tmp_path / "office")
    (shift.root / "mail").mkdir(parents=True, mode=0o700)
    os.chown(shift.root / "mail", VMAIL, VMAIL)
    with Session(database) as session:
        conclude(session, mailboxes=20)
        conclude(session, "K00000002", mailboxes=20)
        session.commit()
    return Post(database, shift)


def subjects(folder: Path) -> list[str]:
    """As a program that knows nothing of the office reads a Maildir."""
    return sorted(str(message["subject"]) for message in mailbox.Maildir(folder, create=False))


# What is done


@pytest.mark.req("ISP-01")
def test_isp_01_a_new_mailbox_gets_a_maildir_of_the_mail_users_own(post: Post) -> None:
    post.add(TARO)
    post.add(JIRO, "removed")
    assert post.planned() == [Make(mail_address(TARO))]
    post.done()
    made = [
        post.root,
        post.root / "taro",
        *(post.root / "taro" / of for of in ("cur", "new", "tmp")),
    ]
    assert sorted((post.shift.root / "mail").rglob("*")) == sorted(made)
    for folder in made:
        found = folder.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o700, VMAIL, VMAIL)
    post.mail(TARO)
    post.done()
    assert subjects(post.root / "taro") == ["hello"]


def test_an_office_without_a_mail_root_has_nothing_to_do(post: Post) -> None:
    post.add(TARO)
    (post.shift.root / "mail").rmdir()
    assert post.planned() == [] == list(carry_out(post.transaction, post.shift, []))
    assert post.names() == []


def test_a_maildir_that_a_server_has_made_meanwhile_stays(post: Post) -> None:
    post.add(TARO)
    actions = post.planned()
    post.mail(TARO)
    assert [wrong for _, wrong in carry_out(post.transaction, post.shift, actions)] == [""]
    assert subjects(post.root / "taro") == ["hello"]
    post.done()


def test_the_mail_of_a_removed_mailbox_goes_to_the_archive(post: Post) -> None:
    post.add(TARO)
    post.add(JIRO)
    post.done()
    post.mail(TARO, "first")
    post.mail(TARO, "second")
    post.mail(JIRO, "stays")
    post.close(TARO)
    post.done()
    assert sorted(os.listdir(post.root)) == ["jiro"]
    file = post.archive / "taro-20260410.tar.gz"
    assert [each.name for each in post.archive.iterdir()] == [file.name]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with tarfile.open(file) as tar:
        assert sorted(name.split("/")[0] for name in tar.getnames() if "/" not in name) == [
            "cur",
            "new",
            "tmp",
        ]
        texts = [tar.extractfile(each).read() for each in tar if each.isreg()]  # type: ignore[union-attr]  # regular files have content
    assert sorted(texts) == [b"Subject: first\n\nfirst\n", b"Subject: second\n\nsecond\n"]
    assert post.acts(TARO) == ["mailbox.archived"] and post.acts(JIRO) == []
    assert subjects(post.root / "jiro") == ["stays"]


def test_mail_that_came_while_the_archive_was_made_gets_one_of_its_own(post: Post) -> None:
    post.add(TARO, "removed")
    post.mail(TARO, "first")
    post.done()
    post.mail(TARO, "late")
    post.done()
    assert sorted(os.listdir(post.archive)) == ["taro-20260410.2.tar.gz", "taro-20260410.tar.gz"]
    assert post.acts(TARO) == ["mailbox.archived"] * 2


def test_an_archive_is_forgotten_when_its_days_are_over(post: Post) -> None:
    post.add(TARO, "removed")
    post.mail(TARO)
    post.done()
    post.on(date(2026, 7, 8)).done()
    assert os.listdir(post.archive) == ["taro-20260410.tar.gz"]
    post.on(date(2026, 7, 9)).done()
    assert os.listdir(post.archive) == []
    assert post.acts(TARO) == ["mailbox.archived", "mailbox.archive-forgotten"]


def test_what_nobody_has_is_told_and_left_as_it_is(post: Post) -> None:
    post.add(TARO)
    post.mail("stranger@example.jp")
    post.mail("hanako@elsewhere.example.com")
    (post.root / "stray").write_text("x")
    (post.root / "\udcff\n").mkdir()
    (post.shift.root / "mail" / "lost+found").mkdir()
    post.archive.mkdir(parents=True)
    (post.archive / "notes.txt").write_text("x")
    before = post.names()
    reports = [each.place for each in post.planned() if isinstance(each, Report)]
    assert reports == [
        "elsewhere.example.com",
        "example.jp/notes.txt",
        "example.jp/stranger",
        "example.jp/stray",
        "example.jp/\\xff\\x0a",
    ]
    post.done()
    assert set(before) <= set(post.names())


# Killed, and a full disk


WATCHED = frozenset(
    {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chown", "os.scandir"}
)


def disturbed(url: str, shift: Shift, act: Callable[[Post], None], at: int, how: str) -> bool:
    """Do something in another process, which is disturbed at its nth step; whether it got through.

    A step is whatever it asks of the file system, the start of a transaction, and its end. "kill"
    ends the process on the spot, "full" makes the system say that the disk is full.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in ((0, 99) if how == "kill" else (0, 98)), "see its traceback"
        return code == 0
    code = 70
    try:
        database = isp.database.engine(url)
        with database.connect():
            pass
        steps = 0

        def step(event: str, arguments: tuple[object, ...] = ()) -> None:
            nonlocal steps
            path = arguments[0] if arguments else ""
            if event not in WATCHED or (isinstance(path, str) and path.startswith("/usr")):
                return
            steps += 1
            if steps == at and how == "kill":
                os._exit(99)
            if steps == at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        class Watched(Post):
            @property
            def transaction(self) -> Callable[[], Any]:
                @contextmanager
                def begin() -> Iterator[Session]:
                    step("open")
                    with sessionmaker(self.database).begin() as session:
                        yield session
                        step("open")
                    step("open")

                return begin

        sys.addaudithook(step)
        act(Watched(database, shift))
        code = 0 if steps < at else 98
    except (Fault, OSError):
        code = 98
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run_all(post: Post) -> None:
    with Session(post.database) as session:
        actions = planned(session, post.shift)
    for _, wrong in carry_out(post.transaction, post.shift, actions):
        if wrong:
            raise OSError(wrong)


def url_of(post: Post) -> str:
    return post.database.url.render_as_string(hide_password=False)


def everything_kept(post: Post, name: str) -> set[bytes]:
    """The messages of a name, wherever they are: Maildir, on its way out, whole archive."""
    found = set()
    for folder in post.root.glob(f"*{name}*"):
        found |= {file.read_bytes() for file in folder.rglob("new/*")}
    for file in post.archive.glob(f"{name}-*.tar.gz"):
        with tarfile.open(file) as tar:
            found |= {tar.extractfile(each).read() for each in tar if each.isreg()}  # type: ignore[union-attr]  # regular files have content
    return found


@pytest.mark.req("ALL-02", "ALL-03")
@pytest.mark.parametrize("how", ["kill", "full"])
def test_all_02_wherever_archiving_stops_no_mail_is_lost_and_the_next_run_ends_it(
    post: Post, how: str
) -> None:
    at, through = 0, False
    with Session(post.database) as session:
        conclude(session, "K00000009", mailboxes=500)
        session.commit()
    while not through:
        at += 1
        name = f"m{at}"
        post.add(f"{name}@example.jp", contract="K00000009")
        for text in ("one", "two"):
            post.mail(f"{name}@example.jp", f"{name} {text}")
        post.close(f"{name}@example.jp")
        mail = everything_kept(post, name)
        assert len(mail) == 2
        through = disturbed(url_of(post), post.shift, run_all, at, how)
        assert everything_kept(post, name) == mail
        post.done()
        assert everything_kept(post, name) == mail
        assert post.acts(f"{name}@example.jp") == ["mailbox.archived"]
        assert os.listdir(post.root) == []
        assert [each.name for each in post.archive.glob(f"*{name}-*")] == [
            f"{name}-20260410.tar.gz"
        ]
        shutil.rmtree(post.archive)
    assert at > 25


@pytest.mark.req("ALL-02")
@pytest.mark.parametrize("how", ["kill", "full"])
def test_all_02_wherever_the_making_of_a_maildir_stops_the_next_run_makes_it(
    post: Post, how: str
) -> None:
    post.add(TARO)
    at, through = 0, False
    while not through:
        at += 1
        through = disturbed(url_of(post), post.shift, run_all, at, how)
        post.done()
        assert os.listdir(post.root) == ["taro"]
        assert sorted(os.listdir(post.root / "taro")) == ["cur", "new", "tmp"]
        assert (post.root / "taro").stat().st_uid == VMAIL
        shutil.rmtree(post.root)
    assert at > 10


@pytest.mark.req("ALL-02", "ALL-03")
@pytest.mark.parametrize("how", ["kill", "full"])
def test_all_02_an_archive_is_forgotten_once_and_never_untold(post: Post, how: str) -> None:
    at, through = 0, False
    later = post.on(date(2026, 8, 1))
    with Session(post.database) as session:
        conclude(session, "K00000009", mailboxes=500)
        session.commit()
    while not through:
        at += 1
        address = f"m{at}@example.jp"
        post.add(address, "removed", "K00000009")
        post.mail(address)
        post.done()
        through = disturbed(url_of(post), later.shift, run_all, at, how)
        if os.listdir(post.archive) == []:
            assert post.acts(address)[-1] == "mailbox.archive-forgotten"
        later.done()
        assert os.listdir(post.archive) == []
        assert post.acts(address) == ["mailbox.archived", "mailbox.archive-forgotten"]
    assert at > 5


@pytest.mark.req("ALL-02", "ALL-03")
@pytest.mark.parametrize("how", ["kill", "full"])
def test_all_02_mail_is_restored_whole_or_not_at_all(post: Post, how: str) -> None:
    post.add(TARO)
    post.add(JIRO)
    post.done()
    post.mail(TARO, "in the inbox")
    shutil.copytree(post.root / "taro", post.root / "taro" / ".Sent")
    post.close(TARO)
    post.done()
    post.mail(JIRO, "own")

    def bring_back(post: Post) -> None:
        restore(post.transaction, post.shift, TARO, JIRO)

    box = post.root / "jiro"
    at, through = 0, False
    while not through:
        at += 1
        told = len(post.acts(TARO))
        through = disturbed(url_of(post), post.shift, bring_back, at, how)
        if (box / ".Restored-taro-20260410").exists():
            assert post.acts(TARO)[told:] == ["mailbox.archive-restored"]
            with pytest.raises(Refused, match="already"):
                bring_back(post)
        else:
            bring_back(post)
        assert subjects(box) == ["own"]
        for folder in (".Restored-taro-20260410", ".Restored-taro-20260410.Sent"):
            assert subjects(box / folder) == ["in the inbox"]
            shutil.rmtree(box / folder)
        lines = (box / "subscriptions").read_text().splitlines()
        assert len(lines) == len(set(lines)) == 4
        post.done()
        assert sorted(os.listdir(post.root)) == ["jiro"]
    assert at > 40


# Attacks


def test_links_in_place_of_folders_are_told_and_never_followed(post: Post, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (secret / "new").mkdir(parents=True)
    (secret / "new" / "1").write_text("secret")
    for address, status in ((TARO, "removed"), (JIRO, "active")):
        post.add(address, status)
    post.root.mkdir()
    for name in ("taro", "jiro", ".making", ".restoring", ".taro-20260409.leaving"):
        (post.root / name).symlink_to(secret)
    post.archive.mkdir(parents=True)
    for name in ("taro-20200101.tar.gz", ".taro-20200101.tar.gz.part"):
        (post.archive / name).symlink_to(secret / "new" / "1")
    before = post.names()
    assert [type(each) for each in post.planned()] == [Report] * 7
    post.done()
    assert post.names() == before and (secret / "new" / "1").read_text() == "secret"


@pytest.mark.parametrize("where", ["mail", "archive"])
def test_a_link_in_place_of_a_domains_folder_keeps_all_of_it_as_it_is(
    post: Post, tmp_path: Path, where: str
) -> None:
    post.add(TARO, "removed")
    post.add(JIRO)
    post.mail(TARO)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = post.shift.root / where / "example.jp"
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    told = [each.place for each in post.planned() if isinstance(each, Report)]
    assert told == ["example.jp"]
    wrong = [why for _, why in post.run() if why]
    assert len(wrong) == (where == "archive")
    assert list(elsewhere.iterdir()) == []
    if where == "archive":
        assert len(everything_kept(replace(post), "taro")) == 1
        place.unlink()
        post.done()
        assert os.listdir(place) == ["taro-20260410.tar.gz"]


def test_a_link_put_there_between_looking_and_doing_is_not_followed(
    post: Post, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    (secret / "new").mkdir(parents=True)
    (secret / "new" / "1").write_text("secret")
    post.add(TARO, "removed")
    post.mail(TARO)
    actions = post.planned()
    shutil.rmtree(post.root / "taro")
    (post.root / "taro").symlink_to(secret)
    [(_, wrong)] = carry_out(post.transaction, post.shift, actions)
    assert wrong
    assert (secret / "new" / "1").read_text() == "secret"
    assert not list(post.shift.root.rglob("*.tar.gz")) and post.acts(TARO) == []


def test_whatever_lies_in_a_maildir_is_archived_without_being_followed_or_waited_for(
    post: Post, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    post.add(TARO, "removed")
    post.add(JIRO)
    post.mail(TARO)
    box = post.root / "taro"
    (box / "cur" / "1:2,S").symlink_to(secret / "key")
    (box / ".Link").symlink_to(secret)
    os.mkfifo(box / "new" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(box)
        listening.bind("socket")
        os.chdir(tmp_path)
    strange = [b"new/-rf", b"new/\xff\n\x1b[2J", b"new/" + b"x" * 255, "new/日本".encode()]
    for name in strange:
        Path(os.fsdecode(os.fsencode(box) + b"/" + name)).write_bytes(b"Subject: odd\n\nx\n")
    post.done()
    assert (secret / "key").read_text() == "secret"
    with tarfile.open(post.archive / "taro-20260410.tar.gz") as tar:
        kinds = {os.fsencode(each.name): each.type for each in tar}
    assert kinds[b".Link"] == kinds[b"cur/1:2,S"] == tarfile.SYMTYPE
    assert set(strange) <= kinds.keys() and not {b"new/pipe", b"socket"} & kinds.keys()
    done = restore(post.transaction, post.shift, TARO, JIRO)
    assert done.messages == 5
    box = post.root / "jiro" / ".Restored-taro-20260410"
    assert sorted(os.listdir(os.fsencode(box / "new")))[:1] == [b"-rf"]
    assert not [each for each in post.root.rglob("*") if each.is_symlink()]


def test_folders_without_end_are_one_mailboxes_trouble(post: Post) -> None:
    post.add(TARO, "removed")
    post.add(JIRO, "removed")
    post.mail(TARO)
    post.mail(JIRO)
    top = os.open(post.root / "taro", os.O_RDONLY)
    at = os.dup(top)
    for _ in range(1500):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    found = {
        str(action.archive.address): wrong
        for action, wrong in post.run()
        if isinstance(action, PutAside)
    }
    assert found[JIRO] == "" and "too deep" in found[TARO]
    os.close(top)
    assert len(list(post.root.glob(".taro-*.leaving/new/*"))) == 1
    subprocess.run(["rm", "-rf", post.root], check=True)  # pytest itself could not


# Brought back


def filled(post: Post) -> None:
    post.add(TARO)
    post.add(JIRO)
    post.add(OTHER, contract="K00000002")
    post.done()
    post.mail(TARO, "inbox")
    box = post.root / "taro"
    for name in (".Sent", ".Sent.2025", ".&kAFP4W4IMH8-"):
        for of in ("cur", "new", "tmp"):
            (box / name / of).mkdir(parents=True)
        (box / name / "cur" / "1.M1P1.mx:2,Sa").write_text(f"Subject: {name}\n\nx\n")
        (box / name / "dovecot-keywords").write_text("0 $Important\n")
        (box / name / "dovecot.index.log").write_text("of its old place")
    (box / "tmp" / "half").write_text("half a message")
    post.close(TARO)
    post.done()


@pytest.mark.req("ISP-01")
def test_restored_mail_is_read_in_folders_of_another_mailbox_of_the_member(post: Post) -> None:
    filled(post)
    done = restore(post.transaction, post.shift, TARO, JIRO)
    assert (str(done.into), done.folder, done.messages) == (JIRO, "Restored-taro-20260410", 4)
    box = post.root / "jiro"
    assert {name for name in os.listdir(box) if name.startswith(".")} == {
        ".Restored-taro-20260410",
        ".Restored-taro-20260410.Sent",
        ".Restored-taro-20260410.Sent.2025",
        ".Restored-taro-20260410.&kAFP4W4IMH8-",
    }
    assert subjects(box) == [] and subjects(box / ".Restored-taro-20260410") == ["inbox"]
    sent = box / ".Restored-taro-20260410.Sent"
    assert subjects(sent) == [".Sent"]
    assert sorted(os.listdir(sent)) == ["cur", "dovecot-keywords", "new", "tmp"]
    assert os.listdir(sent / "cur") == ["1.M1P1.mx:2,Sa"]
    for path in [box / "subscriptions", *box.glob(".Restored*"), *box.glob(".Restored*/**/*")]:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (VMAIL, VMAIL)
        assert found.st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert (box / "subscriptions").read_text() == (
        "V\t2\n\n"
        "Restored-taro-20260410\n"
        "Restored-taro-20260410\t&kAFP4W4IMH8-\n"
        "Restored-taro-20260410\tSent\n"
        "Restored-taro-20260410\tSent\t2025\n"
    )
    with Session(post.database) as session:
        told = history(session, TARO)[-1]
    assert (told.act, told.after) == (
        "mailbox.archive-restored",
        {
            "archive": "taro-20260410.tar.gz",
            "into": JIRO,
            "folder": "Restored-taro-20260410",
            "messages": 4,
        },
    )
    post.done()


def test_a_list_of_subscriptions_of_old_keeps_its_form(post: Post) -> None:
    filled(post)
    (post.root / "jiro" / "subscriptions").write_text("Sent\n")
    restore(post.transaction, post.shift, TARO, JIRO)
    lines = (post.root / "jiro" / "subscriptions").read_text().splitlines()
    assert lines[0] == "Sent" and "Restored-taro-20260410.Sent.2025" in lines


def test_a_mailbox_that_the_database_has_again_gets_its_mail_back(post: Post) -> None:
    """After a copy of the database from before the removal has been restored."""
    filled(post)
    with post.transaction() as session:
        mailbox = session.query(Mailbox).filter_by(address=TARO).one()
        mailbox.status = "active"
        mailbox.may_fetch = mailbox.may_send = mailbox.may_receive = True
    post.done()
    done = restore(post.transaction, post.shift, TARO)
    assert (str(done.into), done.folder) == (TARO, "Restored-20260410")
    assert subjects(post.root / "taro" / ".Restored-20260410") == ["inbox"]


@pytest.mark.parametrize(
    ("address", "into", "on", "field", "why"),
    [
        (TARO, None, None, "address", "--into"),
        (TARO, TARO, None, "into", "has been removed"),
        (TARO, OTHER, None, "into", "not of C00000001"),
        (TARO, "nobody@example.jp", None, "address", "no mailbox"),
        ("nobody@example.jp", JIRO, None, "address", "no mailbox"),
        (JIRO, None, None, "address", "no archive"),
        (TARO, JIRO, date(2026, 4, 9), "address", "no archive of 2026-04-09"),
        ("../../etc@example.jp", JIRO, None, "address", "letters"),
        (TARO, "../taro@example.jp", None, "address", "letters"),
    ],
)
def test_mail_never_comes_back_where_it_does_not_belong(
    post: Post, address: str, into: str | None, on: date | None, field: str, why: str
) -> None:
    filled(post)
    before = post.names()
    with pytest.raises(Refused, match=why) as refused:
        restore(post.transaction, post.shift, address, into, on)
    assert refused.value.field == field
    assert post.names() == before


@pytest.mark.parametrize("harm", ["cut", "flipped", "not an archive", "checksum"])
def test_a_damaged_archive_brings_nothing_back(post: Post, harm: str) -> None:
    filled(post)
    file = post.archive / "taro-20260410.tar.gz"
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
            "not an archive": b"x" * 1000,
            "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        }[harm]
    )
    before = post.names()
    with pytest.raises(Fault, match="cannot restore"):
        restore(post.transaction, post.shift, TARO, JIRO)
    assert post.names() == before
    assert post.acts(TARO) == ["mailbox.archived"]


def test_nothing_in_an_archive_leads_out_of_its_folder(post: Post, tmp_path: Path) -> None:
    filled(post)
    message = tmp_path / "message"
    message.write_text("Subject: planted\n\nx\n")
    with tarfile.open(post.archive / "taro-20260410.tar.gz", "w:gz") as tar:
        for name in (
            "/etc/planted",
            "../planted",
            "cur/../../planted",
            "cur/..",
            "../cur/planted",
            "../.x/cur/planted",
            "..x/cur/planted",
            ".x/../cur/planted",
            "cur/a/b",
            "new/good",
        ):
            member = tar.gettarinfo(message)
            member.name = name
            with message.open("rb") as content:
                tar.addfile(member, content)
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"cur/{kind!r}")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    done = restore(post.transaction, post.shift, TARO, JIRO)
    assert done.messages == 1
    assert [str(each) for each in tmp_path.rglob("*planted*")] == []
    assert not Path("/etc/planted").exists()
    assert subjects(post.root / "jiro" / ".Restored-taro-20260410") == ["planted"]


def test_the_archives_are_listed_with_their_size(post: Post) -> None:
    filled(post)
    (post.archive / "notes").write_text("x")
    [kept] = archives_kept(post.shift)
    assert (str(kept.archive.address), kept.archive.archived_on) == (TARO, date(2026, 4, 10))
    assert kept.bytes == (post.archive / kept.archive.name).stat().st_size
    assert list(archives_kept(post.shift, "example.com")) == []
