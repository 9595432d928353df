"""A private Postfix and Dovecot for tests, started from exactly what `isp mail-platform render` writes.

Use, with the office of a test (on SQLite or PostgreSQL):

    stack = MailStack(office)              # knobs of isp.toml: ports, folders, hosts "localhost"
    with stack:                            # render, check, start: two seconds
        office.ok("domain", "add", ...)    # the database may be filled before or after the start
        with stack.submission("taro@example.jp", password) as client:      # smtplib, 587 STARTTLS
            client.sendmail("taro@example.jp", ["jiro@example.jp"], b"...")
        stack.wait_for("jiro@example.jp", b"needle")     # the message in the Maildir
        with stack.imap("jiro@example.jp", password) as client: ...         # imaplib, 993
        client = stack.pop3("jiro@example.jp", password)                    # poplib, 995
        stack.receive("a@example.net", ["jiro@example.jp"], b"...")         # MX, from 127.0.0.2

`stack.ports` has `mx submission submissions legacy imap imaps pop3 pop3s`, `stack.trusted` is the context that
trusts the private CA, `stack.log()` what both servers have logged, `stack.doveadm(...)` and
`stack.flush()` act on them; `stop_dovecot`, `start_dovecot`, `stop_postfix`, `start_postfix` take one
away and give it back. One office for a whole module: `module_office` below. Root is needed, as for any
Postfix; the mail belongs to Debian's system user `mail`.
"""

from __future__ import annotations

import fcntl
import imaplib
import os
import poplib
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

import office
import postgresql

import isp.database

VMAIL = "mail"
OUTSIDE = "127.0.0.2"
"""From where mail of strangers comes: Postfix trusts 127.0.0.1."""

PORTS = ("mx", "submission", "submissions", "legacy", "imap", "imaps", "pop3", "pop3s")
ROLE_PASSWORD = "Kaede-no-ha-0123456789"  # one for all tests: roles are shared by the cluster


class MailStack:
    """Postfix and Dovecot of one office; `smarthost` is the port of 127.0.0.1 for outside mail."""

    def __init__(
        self,
        office: office.Office,
        smarthost: int | None = None,
        *,
        signs: bool = False,
        **knobs: str | int,
    ) -> None:
        """Further `knobs` of isp.toml are named as `section__knob`, such as `smtpd__size_limit`.

        With `signs` there is an OpenDKIM, too.
        """
        if os.geteuid():
            raise RuntimeError("Postfix and Dovecot can be started by root only")
        self.office = office
        self.home = Path(tempfile.mkdtemp(prefix="isp-mail-", dir="/tmp"))  # sockets: short paths
        self.home.chmod(0o755)
        self.postfix = self.home / "etc" / "postfix"
        self.dovecot = self.home / "etc" / "dovecot"
        self.root = self.home / "mail"
        # OpenDKIM takes no keys from below a folder in which everybody may write.
        self.dkim = Path(tempfile.mkdtemp(prefix="isp-dkim-", dir="/var/lib")) if signs else None
        self.log_file = self.home / "mail.log"
        self.ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        try:
            self.certificate, self.trusted = _certificate(self.home / "tls")
            self._lay_out()
            self._set_knobs(smarthost, knobs)
        except BaseException:
            self._clear()
            raise

    # Starting and stopping

    def __enter__(self) -> Self:
        try:
            self.render()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_postfix()
        self.stop_dovecot()
        self.stop_opendkim()
        self._clear()

    def _clear(self) -> None:
        for place in filter(None, (self.home, self.dkim)):
            shutil.rmtree(place)

    def render(self) -> None:
        """Write the configuration by the command, and install it as its README says."""
        folder = self.home / "render"
        folder.mkdir(exist_ok=True)
        on_postgresql = not self.office.database_url.startswith("sqlite")
        if on_postgresql:
            (folder / "isp_mail.password").touch(mode=0o600)
            (folder / "isp_mail.password").write_text(ROLE_PASSWORD)
        places = {
            "postfix": self.postfix,
            "dovecot": self.dovecot,
            "queue": self.home / "queue",
            "postfix_state": self.home / "state-postfix",
            "run": self.home / "run",
            "dovecot_state": self.home / "state-dovecot",
            "opendkim": self.home / "etc" / "opendkim",
            "opendkim_run": self.home / "run-opendkim",
            "instance": self.home.name,
            "postfix_interfaces": "127.0.0.1",
            "dovecot_listen": "127.0.0.1",
            "mx_port": self.ports["mx"],
            "legacy_port": self.ports["legacy"],
        }
        words = [word for name, value in places.items() for word in ("--set", f"{name}={value}")]
        self.office.ok("mail-platform", "render", "-o", folder, *words)
        for file in (folder / "postfix").iterdir():
            group, mode = ("postfix", "0640") if file.name.startswith("isp-") else ("root", "0644")
            self._install(file, self.postfix, group, mode)
        for file in (folder / "dovecot").iterdir():
            self._install(file, self.dovecot, "root", "0644" if file.suffix == ".conf" else "0600")
        if self.dkim:
            etc = self.home / "etc"
            self._install(folder / "opendkim" / "opendkim.conf", etc, "root", "0644")
            self._install(folder / "opendkim" / "sign.lua", etc / "opendkim", "root", "0644")
        if on_postgresql:
            self._make_roles(folder / "database.sql")
        else:
            shutil.chown(self.home / "feed" / "mail.db", "root", "postfix")

    def _install(self, file: Path, folder: Path, group: str, mode: str) -> None:
        self.run("install", "-D", "-g", group, "-m", mode, file, folder / file.name)

    def start(self) -> None:
        # Where Dovecot puts its sockets. `postfix check` would make it, but looks for two seconds.
        private = self.home / "queue" / "private"
        private.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(private, "postfix", "root")
        self.start_dovecot()
        if self.dkim:
            self.office.ok("mail-platform", "reconcile")
            self.start_opendkim()
        self.start_postfix()

    def start_postfix(self) -> None:
        self.run("postfix", "-c", self.postfix, "start")
        self._wait_for_ports("mx", "submission", "submissions")

    def start_dovecot(self) -> None:
        self.run("dovecot", "-c", self.dovecot / "dovecot.conf")
        self._wait_for_ports("imap", "imaps", "pop3", "pop3s")

    def start_opendkim(self) -> None:
        self.run("opendkim", "-x", self.home / "etc" / "opendkim.conf")
        end = time.monotonic() + 10
        while not (self.home / "run-opendkim" / "opendkim.pid").exists():
            if time.monotonic() > end:
                raise RuntimeError("OpenDKIM does not run")
            time.sleep(0.02)

    def stop_opendkim(self) -> None:
        _end(self.home / "run-opendkim" / "opendkim.pid")

    def stop_postfix(self) -> None:
        _end(self.home / "queue" / "pid" / "master.pid")

    def stop_dovecot(self) -> None:
        _end(self.home / "run" / "master.pid")

    # Clients

    def submission(self, login: str = "", password: str = "", *, tls: bool = True) -> smtplib.SMTP:
        """Port 587, after STARTTLS unless told otherwise, logged in where a login is given."""
        client = smtplib.SMTP("localhost", self.ports["submission"], "pc.example.net", timeout=15)
        with _closed_on_failure(client):
            if tls:
                client.starttls(context=self.trusted)
            if login:
                client.login(login, password)
        return client

    def submissions(self, login: str, password: str) -> smtplib.SMTP:
        """Port 465."""
        client = smtplib.SMTP_SSL(
            "localhost", self.ports["submissions"], "pc.example.net", timeout=15,
            context=self.trusted,
        )  # fmt: skip
        with _closed_on_failure(client):
            client.login(login, password)
        return client

    def mx(self, source: str = OUTSIDE) -> smtplib.SMTP:
        """Port 25, as another server."""
        return smtplib.SMTP(
            "127.0.0.1", self.ports["mx"], "mx.example.net", 15, source_address=(source, 0)
        )

    def receive(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Mail from outside; smtplib raises what the server refuses."""
        with self.mx() as client:
            client.sendmail(sender, list(recipients), message)

    def imap(self, login: str, password: str, *, tls: bool = True) -> imaplib.IMAP4:
        """Port 993, or 143 without TLS; logged in. imaplib raises with the server's words."""
        client: imaplib.IMAP4
        if tls:
            client = imaplib.IMAP4_SSL(
                "localhost", self.ports["imaps"], ssl_context=self.trusted, timeout=15
            )
        else:
            client = imaplib.IMAP4("localhost", self.ports["imap"], timeout=15)
        try:
            client.login(login, password)
        except BaseException:
            client.shutdown()
            raise
        return client

    def pop3(self, login: str, password: str, *, tls: bool = True) -> poplib.POP3:
        """Port 995, or 110 without TLS; logged in."""
        client: poplib.POP3
        if tls:
            client = poplib.POP3_SSL(
                "localhost", self.ports["pop3s"], context=self.trusted, timeout=15
            )
        else:
            client = poplib.POP3("localhost", self.ports["pop3"], timeout=15)
        try:
            client.user(login)
            client.pass_(password)
        except BaseException:
            client.close()
            raise
        return client

    # Looking

    def delivered(self, address: str) -> list[bytes]:
        """The messages in a mailbox's Maildir, read from the disk."""
        local_part, domain = address.split("@")
        found: list[bytes] = []
        for folder in ("new", "cur"):
            for file in (self.root / domain / local_part / folder).glob("*"):
                with suppress(FileNotFoundError):  # it was moved to cur meanwhile
                    found.append(file.read_bytes())
        return found

    def wait_for(self, address: str, needle: bytes, seconds: float = 10) -> bytes:
        """The message with these bytes, once it has been delivered."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.delivered(address):
                if needle in message:
                    return message
            time.sleep(0.02)
        raise AssertionError(f"{needle!r} has not reached {address}:\n{self.log()[-3000:]}")

    def wait_for_log(self, pattern: str, seconds: float = 10) -> str:
        """The first line of the log that has the regular expression in it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.log().splitlines():
                if re.search(pattern, line):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} is not in the log:\n{self.log()[-3000:]}")

    def log(self) -> str:
        """What Postfix and Dovecot have logged."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def queue(self) -> str:
        """What waits in Postfix's queue, as `postqueue -p` tells it."""
        return self.run("postqueue", "-c", self.postfix, "-p")

    def flush(self) -> None:
        """Try everything in the queue now."""
        self.run("postqueue", "-c", self.postfix, "-f")

    def doveadm(self, *words: object) -> str:
        return self.run("doveadm", "-c", self.dovecot / "dovecot.conf", *words)

    def run(self, *words: object) -> str:
        """A program of the servers; its output, which a server that stays would hold as a pipe."""
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(word) for word in words],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=30,
            )
            output.seek(0)
            told = output.read()
        if done.returncode:
            raise RuntimeError(f"{words}: {told}\n{self.log()[-3000:]}")
        return told

    # Making

    def _lay_out(self) -> None:
        owner = pwd.getpwnam(VMAIL)
        for name in ("mail", "run", "state-dovecot", "state-postfix", "queue"):
            (self.home / name).mkdir()
        self.root.chmod(0o700)
        os.chown(self.root, owner.pw_uid, owner.pw_gid)
        if self.dkim:
            signer, postfix = pwd.getpwnam("opendkim"), pwd.getpwnam("postfix")
            for place, group, mode in (
                (self.dkim, signer.pw_gid, 0o700),
                (self.home / "run-opendkim", signer.pw_gid, 0o755),
                (self.home / "queue" / "opendkim", postfix.pw_gid, 0o2750),
            ):
                place.mkdir(exist_ok=True)
                os.chown(place, signer.pw_uid, group)
                place.chmod(mode)
        os.chown(self.home / "state-postfix", pwd.getpwnam("postfix").pw_uid, -1)

    def _set_knobs(self, smarthost: int | None, more: dict[str, str | int]) -> None:
        ports = self.ports
        knobs: dict[str, str | int] = {
            "mail.imap__port": ports["imaps"],
            "mail.imap_legacy__port": ports["imap"],
            "mail.pop3__port": ports["pop3s"],
            "mail.pop3_legacy__port": ports["pop3"],
            "mail.submission__port": ports["submission"],
            "mail.submissions__port": ports["submissions"],
            "mail.submission_legacy__port": ports["legacy"],
            "smtpd__maildir": str(self.root),
            "smtpd__certificate": str(self.certificate[0]),
            "smtpd__certificate_key": str(self.certificate[1]),
            "smtpd__failure_delay_seconds": 0,
            "platform__vmail": VMAIL,
            "platform__feed": str(self.home / "feed"),
            "platform__mail_log": str(self.log_file),
            "platform__doveadm": f"doveadm -c {self.dovecot}/dovecot.conf",
        }
        if self.dkim:
            pid = self.home / "run-opendkim" / "opendkim.pid"
            # As `systemctl reload-or-restart` does: who does not run yet reads the tables when it starts.
            knobs["platform__dkim_reload"] = f"sh -c 'test ! -e {pid} || kill -USR1 $(cat {pid})'"
            knobs["platform__dkim"] = str(self.dkim)
        servers = (
            *("imap", "pop3", "imap_legacy", "pop3_legacy"),
            *("submission", "submissions", "submission_legacy"),
        )
        knobs |= {f"mail.{server}__host": "localhost" for server in servers}
        if smarthost is not None:
            knobs |= {"smtpd__smarthost": "127.0.0.1", "smtpd__smarthost_port": smarthost}
        set_knobs(self.office.config, knobs | more)

    def _make_roles(self, file: Path) -> None:
        """Run database.sql as the superuser; roles are the cluster's, so one test at a time."""
        url = isp.database.engine(self.office.database_url).url
        host, port = str(url.query["host"]), str(url.query["port"])
        with open(f"/tmp/isp-roles-{port}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run("psql", "-q", "-X", "-h", host, "-p", port, "-U", "isp", "-d", url.database,
                     "-f", file)  # fmt: skip

    def _wait_for_ports(self, *names: str) -> None:
        end = time.monotonic() + 15
        for name in names:
            while True:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.ports[name]), 1).close()
                    break
                if time.monotonic() > end:
                    raise RuntimeError(f"{name} does not answer:\n{self.log()[-3000:]}")
                time.sleep(0.02)


def set_knobs(config: Path, knobs: dict[str, str | int]) -> None:
    """Other values in an isp.toml, `section__knob` each; whatever else is in it stays."""
    text = config.read_text("utf-8")
    for name, value in knobs.items():
        section, _, knob = name.rpartition("__")
        written = f'"{value}"' if isinstance(value, str) else str(value)
        place = re.search(rf"(?ms)^\[{re.escape(section)}\]$(?:(?!^\[).)*?^{knob} = ([^\n]*)", text)
        if place is None:
            raise AssertionError(f"{name} is no knob of {config}")
        text = text[: place.start(1)] + written + text[place.end(1) :]
    config.write_text(text, "utf-8")


@contextmanager
def module_office(
    kind: str, folder: Path, sqlite_template: Path, cluster: postgresql.Cluster, template: str
) -> Iterator[office.Office]:
    """An office that many tests share, on "sqlite" or "postgresql", from the session's templates."""
    if kind == "sqlite":
        shutil.copy(sqlite_template, folder / "isp.db")
        yield office.Office(folder, f"sqlite:///{folder / 'isp.db'}")
        return
    name = f"isp_mail_{os.getpid()}_{random.SystemRandom().randrange(10**9)}"
    cluster.create(name, template)
    try:
        yield office.Office(folder, cluster.url(name))
    finally:
        cluster.drop(name)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has, below those that the system gives to outgoing connections.

    Each worker of pytest-xdist has its own among them; and the chance is the system's, since
    Hypothesis gives that of `random` the same seed in each.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    chance = random.SystemRandom()
    found: list[int] = []
    with closing(_Sockets()) as held:
        while len(found) < count:
            port = chance.randrange(20_000 + worker, 32_000, 8)
            with suppress(OSError):
                held.bind(port)
                found.append(port)
    return found


class _Sockets:
    """Ports held while others are looked for."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def bind(self, port: int) -> None:
        opened = socket.socket()
        self._open.append(opened)
        opened.bind(("127.0.0.1", port))

    def close(self) -> None:
        for each in self._open:
            each.close()


@contextmanager
def _closed_on_failure(client: smtplib.SMTP) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.close()
        raise


def _end(pid_file: Path) -> None:
    """End the server of this file and all that it has started, at once, as a power cut would."""
    if not pid_file.exists() or not pid_file.read_text().strip():
        return
    started = _with_children(int(pid_file.read_text()))
    for pid in started:  # the master first, or it would start new ones
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in started) and time.monotonic() < end:
        time.sleep(0.01)
    pid_file.unlink(missing_ok=True)


def _with_children(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []  # it has just gone
    return [pid, *(each for child in below for each in _with_children(int(child)))]


def _runs(pid: int) -> bool:
    """Whether a process is there that has not merely been left unburied by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _certificate(folder: Path) -> tuple[tuple[Path, Path], ssl.SSLContext]:
    """A server's certificate for localhost by a CA of our own, and the context that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def made(name: str, issuer: str, signs: bool, by: ec.EllipticCurvePrivateKey | None) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
            .sign(by or key, hashes.SHA256())
        )
        place = folder / f"{name}.pem"
        place.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = place.with_suffix(".key")
        secret.touch(mode=0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        keys[name] = key
        return place

    keys: dict[str, ec.EllipticCurvePrivateKey] = {}
    folder.mkdir()
    authority = made("ca", "ca", True, None)
    server = made("localhost", "ca", False, keys["ca"])
    return (server, server.with_suffix(".key")), ssl.create_default_context(cafile=str(authority))
