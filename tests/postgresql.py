"""A private PostgreSQL cluster for one test session: nobody else's data, no running server needed.

The first test that asks starts it, workers of pytest-xdist share it, the session stops it by its
process number. PostgreSQL refuses to run as root, so root starts it as the user `postgres`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

PASSWORD = "Kaki-no-ki 7%@/:"  # with everything that a URL has to escape
TEMPLATE = "isp_template"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
    "log_min_messages": "fatal",
    "timezone": "Asia/Tokyo",  # not UTC, to show that nothing depends on the server's zone
}


@dataclass(frozen=True)
class Cluster:
    """Where the cluster listens: a Unix socket without a password, loopback with one."""

    folder: Path
    port: int

    def url(self, database: str) -> str:
        return f"postgresql://isp@/{database}?host={self.folder}&port={self.port}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="isp", dbname=database, autocommit=True
        )

    def create(self, database: str, template: str = "template0") -> None:
        with self.connect() as server:
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(database), sql.Identifier(template)
                )
            )

    def drop(self, database: str) -> None:
        with self.connect() as server:
            server.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database))
            )


def programs() -> Path:
    """Debian's newest PostgreSQL, else the one on the path."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda found: int(found.parts[-3]), default=None)
    on_path = shutil.which("initdb")
    if newest is None and on_path is None:
        raise RuntimeError("PostgreSQL is not installed: run `make system-packages`")
    return (newest or Path(str(on_path)).resolve()).parent


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cluster(folder: Path) -> Cluster:
    """The session's cluster, started by whoever asks first; `folder` is shared by its workers."""
    with _alone(folder):
        running = folder / "running"
        if not running.exists():
            started = _start()
            running.write_text(f"{started.folder}\n{started.port}\n")
        where, port = running.read_text().splitlines()
        return Cluster(Path(where), int(port))


def stop(folder: Path) -> None:
    """End the session's cluster, if one was started, and remove its data."""
    with _alone(folder):
        running = folder / "running"
        if not running.exists():
            return
        home = Path(running.read_text().splitlines()[0])
        running.unlink()
    number = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(number, signal.SIGQUIT)  # at once: the data is thrown away
    for _ in range(500):
        if not Path(f"/proc/{number}").exists():
            break
        time.sleep(0.02)
    shutil.rmtree(home)


def _start() -> Cluster:
    bin_ = programs()
    home = Path(tempfile.mkdtemp(prefix="isp-pg-", dir="/tmp"))  # short: socket paths are limited
    owner = "postgres" if os.geteuid() == 0 else None
    if owner:
        os.chown(home, pwd.getpwnam(owner).pw_uid, -1)
    how = "--username=isp --encoding=UTF8 --locale=C --auth-local=trust --no-sync"
    _run(
        [bin_ / "initdb", f"--pgdata={home}/data", "--auth-host=scram-sha-256", *how.split()], owner
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = SETTINGS | {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(home),
    }
    with (home / "data" / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    _run([bin_ / "pg_ctl", "start", "-w", "-s", "-D", home / "data", "-l", home / "log"], owner)
    started = Cluster(home, port)
    with started.connect() as server:
        server.execute(sql.SQL("ALTER ROLE isp PASSWORD {}").format(sql.Literal(PASSWORD)))
    return started


def _run(command: Sequence[Path | str], owner: str | None) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        user=owner,
        group=owner,
        extra_groups=[] if owner else None,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
