"""The command line's mail programs, set up by their guides alone, at work with the real servers (ISP-17).

Each program gets a home of its own, the files that `isp guide show` writes, and the commands of its
guide; nothing else is configured. What stands for the member: an editor that types the password as
the guide says. What stands for the machine: the guides name Debian's file of trusted authorities,
and the programs run in a mount namespace of their own in which that file is the authority of the
test and /var/mail is a folder of the test. Without it the file is the machine's, and must not do.
"""

from __future__ import annotations

import email
import email.policy
import mailbox
import os
import pty
import pwd
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from select import select
from typing import Any

import postgresql
import pytest
from desk import TODAY, contract, member, on, plan
from mailstack import MailStack, module_office

CONTRACT = "K00000001"
TRUST_FILE = "/etc/ssl/certs/ca-certificates.crt"
NAME = "山田 花子"
STRANGER = "kaeru@example.net"
TEXT = "こんにちは。"
NANO = f"""#!/bin/sh
# The member at the editor: types a password or a letter, saves, and leaves.
case "$1" in
  */neomutt-*) echo {TEXT} > "$1" ;;
  *) if [ -e "$TYPED/${{1##*/}}" ]; then cat "$TYPED/${{1##*/}}" > "$1"; fi ;;
esac
"""

onsqlite = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)
onpostgresql = pytest.mark.parametrize("stack", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    cluster: postgresql.Cluster,
    postgresql_template: str,
) -> Iterator[MailStack]:
    """Postfix and Dovecot of an office with a member who may have many mailboxes."""
    folder = tmp_path_factory.mktemp("office")
    of = (request.param, folder, sqlite_template, cluster, postgresql_template)
    with module_office(*of) as office, MailStack(office) as made:
        office.ok("domain", "add", "example.jp")
        plan(office, mailboxes=20)
        number = contract(office, member(office), TODAY, TODAY)
        assert number == CONTRACT
        yield made


class Home:
    """A member's computer: one mailbox, one program set up by its guide."""

    def __init__(self, folder: Path, stack: MailStack, client: str, password: str = "") -> None:
        """A wrong `password` is typed where one is given."""
        self.folder, self.stack, self.client = folder / "home", stack, client
        self.address = f"{client}.{len(stack.office.ok('mailbox', 'list'))}@example.jp"
        opened = stack.office.ok(
            *on(TODAY), "mailbox", "add", self.address, "--contract", CONTRACT,
            "--display-name", NAME,
        )  # fmt: skip
        self.password = password or opened["password"]
        self.typed, self.programs, self.post = (folder / n for n in ("typed", "bin", "post"))
        for made in (self.folder, self.typed, self.programs, self.post):
            made.mkdir(mode=0o700)
        self.post.chmod(0o777)
        (self.programs / "nano").write_text(NANO)
        (self.programs / "nano").chmod(0o755)

    def set_up(self, place: str) -> Any:
        """Follow the guide to its last step, which tries what was set up; that step's commands.

        `place` is where the configuration is written, below the home: a folder or the file itself.
        """
        show = ("guide", "show", self.address, "--client", self.client)
        guide = self.stack.office.ok(*show, "--as", "config", "-o", self.folder / place)
        [file] = guide["files"]
        written = self.folder / Path(file["path"]).name
        assert written.read_text("utf-8") == file["content"]
        assert TRUST_FILE in file["content"] and self.password not in str(guide)
        for step in guide["steps"][:-1]:
            self._type(step)
            for command in step["commands"]:
                if not command.startswith("sudo "):  # the machine has it: `make system-packages`
                    done = self.run("sh", "-ec", command)
                    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command
        assert written.read_text("utf-8") == file["content"]
        secrets = [each for each in self.folder.iterdir() if each.is_file()]
        assert {each.stat().st_mode & 0o777 for each in secrets} == {0o600}
        assert {written} < set(secrets), "the password has a file of its own"
        return guide["steps"][-1]["commands"]

    def _type(self, step: dict[str, Any]) -> None:
        """What the step has the member write: the password alone, or the words of ~/.netrc."""
        file = re.search(r"nano ~/(\S+)", "\n".join(step["commands"]))
        if file is None or file[1] == f".{self.client}rc":
            return
        line = self.password
        if file[1] == ".netrc":
            server, login, _ = (field["value"] for field in step["fields"])
            line = f"machine {server} login {login} password {self.password}"
        (self.typed / file[1]).write_text(f"{line}\n", "utf-8")

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        trusted: bool = True,
        screen: bool = False,
        dialog: Sequence[tuple[str, str]] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program at home, on a machine that trusts the servers' authority or does not.

        On a `screen` there may be a `dialog`: what it draws, and what is typed then.
        """
        mounts = [(self.post, "/var/mail")]
        if trusted:
            mounts.append((self.stack.home / "tls" / "ca.pem", TRUST_FILE))
        script = "".join(
            f"mount --bind {shlex.quote(str(ours))} {theirs} && " for ours, theirs in mounts
        )
        command = [
            *("unshare", "--mount", "sh", "-c", f'{script}exec "$@"', "sh"),
            *(str(word) for word in words),
        ]
        environment = {
            "HOME": str(self.folder),
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "TYPED": str(self.typed),
            "EDITOR": "nano",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm",
        }
        if screen:
            return _on_a_screen(command, self.folder, environment, dialog)
        return subprocess.run(
            command, cwd=self.folder, env=environment, input=stdin, capture_output=True, text=True,
            timeout=30,
        )  # fmt: skip

    def gets(self, subject: str) -> None:
        """A message from outside has come for this member."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = STRANGER, self.address, subject
        message.set_content(f"{TEXT}\n")
        self.stack.receive(STRANGER, [self.address], message.as_bytes())
        self.stack.wait_for(self.address, STRANGER.encode())


def _on_a_screen(
    command: list[str], folder: Path, environment: dict[str, str], dialog: Sequence[tuple[str, str]]
) -> subprocess.CompletedProcess[str]:
    """Run a program that wants a terminal; `stdout` is all that it has drawn."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    drawn, new, waiting = b"", b"", list(dialog)
    end = time.monotonic() + 30
    try:
        while select([ours], [], [], max(0, end - time.monotonic()))[0]:
            try:
                got = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                break
            drawn, new = drawn + got, new + got
            if waiting and waiting[0][0].encode() in new:
                os.write(ours, waiting.pop(0)[1].encode())
                new = b""
        else:
            raise AssertionError(f"{command[-1]} has not ended: {drawn!r}")
        process.wait(timeout=30)
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode, drawn.decode(), "")


def read(message: bytes) -> tuple[str, str, str]:
    """Who wrote it, its subject and its text."""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return str(parsed["From"]), str(parsed["Subject"]), str(parsed.get_content()).rstrip("\n")


@onsqlite
@pytest.mark.req("ISP-17")
def test_isp_17_msmtp_sends_by_its_guide_alone(stack: MailStack, tmp_path: Path) -> None:
    home = Home(tmp_path, stack, "msmtp")
    asks, sends = home.set_up(".msmtprc")
    told = home.run("sh", "-c", asks)
    assert told.returncode == 0 and "TLS1.3" in told.stdout, told
    done = home.run("sh", "-c", sends)
    assert (done.returncode, done.stderr) == (0, "")
    stack.wait_for(home.address, b"Subject: test")
    [message] = stack.delivered(home.address)
    assert b"with ESMTPSA" in message and read(message) == (home.address, "test", "test")
    stack.wait_for_log(f"sasl_username={re.escape(home.address)}")


@onpostgresql
@pytest.mark.req("ISP-17")
def test_isp_17_fetchmail_fetches_by_its_guide_alone(stack: MailStack, tmp_path: Path) -> None:
    home = Home(tmp_path, stack, "fetchmail")
    home.gets("試験")
    fetches, daemon = home.set_up(".")
    assert "--daemon" in daemon
    done = home.run("sh", "-c", fetches)
    assert done.returncode == 0 and "TLSv1.3" in done.stdout, done
    nothing_new = home.run("sh", "-c", fetches)
    assert nothing_new.returncode == 1, nothing_new
    with closing(mailbox.mbox(home.post / pwd.getpwuid(os.geteuid()).pw_name)) as post:
        [message] = post
        assert read(message.as_bytes()) == (STRANGER, "試験", TEXT)
    assert len(stack.delivered(home.address)) == 1, "the guide says that it stays on the server"
    stack.wait_for_log(f"imap-login: .*Login: user=<{home.address}>.*TLS")


@onsqlite
@pytest.mark.req("ISP-17")
def test_isp_17_mbsync_fetches_by_its_guide_alone(stack: MailStack, tmp_path: Path) -> None:
    home = Home(tmp_path, stack, "mbsync")
    home.gets("試験")
    lists, fetches = home.set_up(".")
    listed = home.run("sh", "-c", lists)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {"INBOX", "Sent", "Trash"} <= set(listed.stdout.split())
    for _again in range(2):
        done = home.run("sh", "-c", fetches)
        assert (done.returncode, done.stderr) == (0, "")
    [message] = (home.folder / "Mail" / "INBOX" / "new").iterdir()
    assert read(message.read_bytes()) == (STRANGER, "試験", TEXT)
    assert (home.folder / "Mail").stat().st_mode & 0o777 == 0o700
    stack.wait_for_log(f"imap-login: .*Login: user=<{home.address}>.*TLS")


@onpostgresql
@pytest.mark.req("ISP-17")
def test_isp_17_neomutt_sends_and_reads_by_its_guide_alone(
    stack: MailStack, tmp_path: Path
) -> None:
    """Keys typed as in the guide: [m], [y]; then the message is opened and saved to a file."""
    home = Home(tmp_path, stack, "neomutt")
    [starts] = home.set_up(".")
    writes = f"m{home.address}<enter>試験<enter>y<exit>"
    done = home.run(*starts.split(), "-e", f'push "{writes}"', screen=True)
    assert done.returncode == 0, done
    sent = stack.wait_for(home.address, b"neomutt.")
    assert read(sent) == (f"{NAME} <{home.address}>", "試験", TEXT)
    assert b"with ESMTPSA" in sent
    stack.wait_for_log(f"sasl_username={re.escape(home.address)}")
    with stack.imap(home.address, home.password) as client:
        assert client.select("Sent", readonly=True) == ("OK", [b"1"])

    reads = "<pipe-message>cat > saved<enter><exit>"
    done = home.run(*starts.split(), "-e", f'push "{reads}"', screen=True)
    assert done.returncode == 0, done
    saved = (home.folder / "saved").read_bytes()
    assert read(saved) == read(sent) and b"Received:" in saved


@onpostgresql
@pytest.mark.req("ISP-17")
def test_isp_17_neomutt_sends_from_a_script(stack: MailStack, tmp_path: Path) -> None:
    home = Home(tmp_path, stack, "neomutt")
    home.set_up(".neomuttrc")
    done = home.run("neomutt", "-s", "試験", home.address, stdin=f"{TEXT}\n")
    assert done.returncode == 0, done
    message = stack.wait_for(home.address, b"with ESMTPSA")
    assert read(message) == (f"{NAME} <{home.address}>", "試験", TEXT)


NEOMUTT = ("sh", "-c", "echo test | neomutt -s test x@example.jp")
SEND = ("sh", "-c", "echo test | msmtp x@example.jp")


@onsqlite
@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    ("client", "words", "password", "why"),
    [
        ("msmtp", SEND, "Chigau-no-1", "authentication failed"),
        ("msmtp", SEND, "", "certificate verification failed"),
        ("fetchmail", ("fetchmail",), "Chigau-no-1", "Authorization failure"),
        ("fetchmail", ("fetchmail",), "", "certificate verify failed"),
        ("mbsync", ("mbsync", "isp"), "Chigau-no-1", "Authentication failed"),
        ("mbsync", ("mbsync", "isp"), "", "SSL error connecting"),
        ("neomutt", NEOMUTT, "Chigau-no-1", "SASL authentication failed"),
    ],
    ids=lambda value: value.replace(" ", "-").strip("()") if isinstance(value, str) else "",
)
def test_isp_17_a_program_that_cannot_log_in_or_must_not_says_so(
    stack: MailStack, tmp_path: Path, client: str, words: tuple[str, ...], password: str, why: str
) -> None:
    """With a wrong password, or where the machine does not know the servers' authority."""
    home = Home(tmp_path, stack, client, password)
    home.gets("試験")
    home.set_up(".")
    done = home.run(*words, trusted=bool(password))
    assert done.returncode and why in done.stdout + done.stderr, done
    not_let_in(stack, home)
    assert not list(home.post.iterdir()) and not (home.folder / "Mail" / "INBOX").exists()


@onsqlite
@pytest.mark.req("ISP-17")
def test_isp_17_neomutt_asks_before_it_trusts_a_stranger(stack: MailStack, tmp_path: Path) -> None:
    home = Home(tmp_path, stack, "neomutt")
    home.set_up(".")
    rejects = ("(r)eject, accept (o)nce", "r")
    dialog = (rejects, rejects, ("(no mailbox)", "q"))  # it tries twice
    done = home.run("neomutt", trusted=False, screen=True, dialog=dialog)
    assert done.returncode == 0, done
    not_let_in(stack, home)


def not_let_in(stack: MailStack, home: Home) -> None:
    log = stack.log()
    assert f"Login: user=<{home.address}>" not in log
    assert f"sasl_method=PLAIN, sasl_username={home.address}" not in log
