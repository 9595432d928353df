"""FreeRADIUS by the configuration that `isp access render` writes, on both databases (ISP-01)."""

from __future__ import annotations

import fcntl
import getpass
import grp
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from desk import TODAY, joined, on
from mailstack import ROLE_PASSWORD
from office import Office
from sqlalchemy import make_url

USER = "freerad" if os.geteuid() == 0 else getpass.getuser()
WHERE = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def program(name: str) -> str:
    found = shutil.which(name, path=WHERE)
    if found is None:
        raise RuntimeError(f"{name} is not installed: run `make system-packages`")
    return found


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def handed_to_the_server(folder: Path) -> None:
    """What README.txt says: the group of the server may read its folder, and nobody else."""
    for each in (folder, *folder.rglob("*")):
        os.chown(each, -1, grp.getgrnam(USER).gr_gid)


@dataclass
class Radius:
    """The server on a folder that was rendered, and who asks it."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.home / "radius"

    @property
    def log(self) -> Path:
        return self.home / "log" / "radius.log"

    def start(self) -> None:
        command = [program("freeradius"), "-f", "-d", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(200):
            if self.log.exists() and "Ready to process requests" in self.log.read_text():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        said = self.process.stdout.read() if self.process.stdout and self.process.poll() else b""
        raise RuntimeError(f"FreeRADIUS does not start: {said!r} {self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=10)
            self.process = None

    def secret(self) -> str:
        [found] = re.findall(r"secret = '(\w+)'", (self.folder / "clients.conf").read_text())
        return str(found)

    def asks(self, name: str, password: str, kind: str = "pap") -> str:
        """What `radtest` prints of the answer."""
        done = subprocess.run(
            [
                *(program("radtest"), "-t", kind, name, password),
                *(f"127.0.0.1:{self.port}", "0", self.secret()),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout

    def answer_within(self, seconds: int, name: str, password: str) -> str:
        """The answer to one packet, or nothing; `radtest` would go on asking."""
        attributes = f"User-Name={name},User-Password={password},Message-Authenticator=0x00"
        done = subprocess.run(
            [
                *(program("radclient"), "-x", "-t", str(seconds), "-r", "1"),
                *(f"127.0.0.1:{self.port}", "auth", self.secret()),
            ],
            input=attributes,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return "".join(line for line in done.stdout.splitlines() if line.startswith("Received"))

    def lets_in(self, name: str, password: str, kind: str = "pap") -> bool:
        answer = self.asks(name, password, kind)
        accepted, rejected = ("Received Access-Accept" in answer, "Access-Reject" in answer)
        assert accepted != rejected, answer
        return accepted


@pytest.fixture
def radius(office: Office) -> Iterator[Radius]:
    """A server as an operator sets it up, for the office of this test."""
    home = Path(tempfile.mkdtemp(prefix="isp-radius-", dir="/tmp"))
    made = Radius(home)
    try:
        home.chmod(0o711)
        (home / "log").mkdir(mode=0o770)
        handed_to_the_server(home / "log")
        text = office.config.read_text("utf-8")
        text = text.replace('feed = "feed"', f'feed = "{home}/feed"')
        text = text.replace('radius_log = ""', f'radius_log = "{made.log}"')
        office.config.write_text(text, "utf-8")
        yield made
    finally:
        made.stop()
        shutil.rmtree(home)


def set_up(office: Office, radius: Radius) -> None:
    """`isp access render`, and what its README.txt says."""
    radius.folder.mkdir(0o750, exist_ok=True)
    if not office.database_url.startswith("sqlite"):
        (radius.folder / "isp_radius.password").touch(0o600)
        (radius.folder / "isp_radius.password").write_text(ROLE_PASSWORD)
    rendered = office.ok(
        *("access", "render", "-o", radius.folder, "--nas", "127.0.0.1", "--user", USER),
        *("--listen", "127.0.0.1", "--port", radius.port, "--run-dir", radius.home / "log"),
    )
    assert "radiusd.conf" in rendered["files"]
    handed_to_the_server(radius.folder)
    if (radius.home / "feed").exists():
        os.chown(radius.home / "feed" / "radius.db", -1, grp.getgrnam(USER).gr_gid)
    else:
        make_role(office, radius.folder / "role.sql")
    radius.start()


def make_role(office: Office, file: Path) -> None:
    """Roles belong to the whole cluster: one test at a time makes them, all with one password."""
    url = make_url(office.database_url)
    host, port = str(url.query["host"]), str(url.query["port"])
    where = ("-h", host, "-p", port, "-U", "isp", "-d", str(url.database))
    with Path(f"/tmp/isp-roles-{port}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([program("psql"), "-qX", *where, "-f", str(file)], check=True)


def execute(office: Office, sql: str) -> None:
    with psycopg.connect(office.database_url, autocommit=True) as server:
        server.execute(sql.encode())


@pytest.mark.req("ISP-01")
def test_isp_01_a_connection_lives_with_its_contract(office: Office, radius: Radius) -> None:
    contract = joined(office)
    opened = office.ok(*on(TODAY), "access", "open", contract)
    name, password = opened["connection_id"], opened["password"]
    set_up(office, radius)

    assert radius.lets_in(name, password)
    assert radius.lets_in(name.upper(), password), "names are compared without regard to case"
    assert not radius.lets_in(name, password.swapcase())
    assert not radius.lets_in(name.partition("@")[0], password), "the realm is part of the name"
    assert not radius.lets_in("' OR 1=1 --", password)
    assert not radius.lets_in(name, password, "chap"), "hashes do not do for CHAP"

    office.ok(*on(TODAY), "contract", "suspend", contract)
    told = radius.asks(name, password)
    assert "Access-Reject" in told and "0120-000-000 (10:00-21:00)" in told
    state = office.ok("access", "why", name)
    assert (state["connects"], state["why"]) == (False, "suspended")
    assert [each["why"] for each in state["logins"]] == [
        *("", "", "wrong-password", "unknown-connection-id", "no-pap", "suspended"),
    ]
    office.ok(*on(TODAY), "contract", "resume", contract)
    assert radius.lets_in(name, password)

    new = office.ok(*on(TODAY), "access", "reissue", contract)["password"]
    assert not radius.lets_in(name, password)
    assert radius.lets_in(name, new)
    assert office.ok("access", "why", contract)["connects"]

    office.ok(*on(TODAY), "contract", "cancel", contract, "--received", TODAY)
    assert radius.lets_in(name, new), "who leaves connects to the last day"
    office.ok(*on("2026-05-01"), "daily")
    assert not radius.lets_in(name, new)
    gone = office.ok("--lang", "en", "access", "why", contract)
    assert (gone["why"], gone["contract_status"]) == ("removed", "ended")
    assert gone["logins"][-1]["explanation"].startswith("no such connection ID")

    log = radius.log.read_text()
    assert password not in log and new not in log
    assert "Error" not in log, log


def test_isp_01_no_server_reads_more_than_it_needs(office: Office, radius: Radius) -> None:
    """On PostgreSQL the role reads two views and writes nothing; on SQLite the feed has just them."""
    contract = joined(office)
    office.ok("access", "open", contract)
    set_up(office, radius)
    files = [file for file in radius.folder.rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in files} <= {0o640, 0o600}
    if office.database_url.startswith("sqlite"):
        assert (radius.home / "feed" / "radius.db").stat().st_mode & 0o777 == 0o640
        return
    password = (radius.folder / "isp_radius.password").read_text().strip()
    assert password not in (radius.folder / "role.sql").read_text()
    url = make_url(office.database_url)
    with psycopg.connect(
        host="127.0.0.1",
        port=int(str(url.query["port"])),
        dbname=url.database,
        user="isp_radius",
        password=password,
        autocommit=True,
    ) as server:
        assert len(server.execute("SELECT * FROM radcheck").fetchall()) == 1
        listed = server.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname = 'public' AND relkind IN ('r', 'v')"
        ).fetchall()
        relations = {row[0] for row in listed} - {"radcheck", "radreply"}
        assert {"access_account", "customer", "mail_login", "journal"} <= relations
        for relation in sorted(relations):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                server.execute(f'SELECT * FROM "{relation}"'.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.execute("SET default_transaction_read_only = off")
            server.execute("CREATE TABLE mine (id integer)")


def test_isp_01_a_database_that_is_away_turns_nobody_away(office: Office, radius: Radius) -> None:
    """Silence lets the access server ask another; afterwards the server finds back by itself."""
    opened = office.ok("access", "open", joined(office))
    name, password = opened["connection_id"], opened["password"]
    set_up(office, radius)
    radius.stop()
    feed, away = radius.home / "feed", radius.home / "away"
    if feed.exists():
        feed.rename(away)
    else:
        execute(office, "REVOKE SELECT ON radcheck FROM isp_radius")
    radius.log.unlink()
    radius.start()
    assert radius.answer_within(2, name, password) == ""
    if away.exists():
        away.rename(feed)
        time.sleep(5)  # retry_delay
    else:
        execute(office, "GRANT SELECT ON radcheck TO isp_radius")
    assert "Access-Accept" in radius.answer_within(2, name, password)


@pytest.mark.req("ALL-04", "ISP-22")
def test_all_04_what_cannot_stand_in_the_configuration_is_refused(
    office: Office, radius: Radius
) -> None:
    render = ("access", "render", "-o", radius.folder)
    assert office.refused(*render, "--nas", "bras").startswith("nas: ")
    assert office.refused(*render, "--listen", "localhost").startswith("listen: ")
    assert office.refused(*render, "--user", "a b").startswith("user: ")
    assert office.refused(*render, "--run-dir", "/a b").startswith("run_dir: ")
    text = office.config.read_text("utf-8")
    office.config.write_text(text.replace('"0120-000-000"', '"０１２０"'), "utf-8")
    assert office.refused(*render).startswith("desk.phone: ")
    assert not radius.folder.exists()


def test_isp_01_rendered_again_the_secrets_stay(office: Office, radius: Radius) -> None:
    render = ("access", "render", "-o", radius.folder)
    office.ok(*render)
    (radius.folder / "clients.conf").write_text("# ours\n")
    before = (radius.folder / "mods-enabled" / "sql").read_text()
    assert "clients.conf" not in office.ok(*render)["files"]
    assert (radius.folder / "clients.conf").read_text() == "# ours\n"
    assert (radius.folder / "mods-enabled" / "sql").read_text() == before
