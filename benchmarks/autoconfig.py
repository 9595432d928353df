"""How many mail programs `isp serve` sets up a second, beside automx2, both with two processes.

    python benchmarks/autoconfig.py [--seconds 4] [--peer FOLDER]

automx2 is the one that Debian ships and mail platforms use; it runs under gunicorn, as its manual
says, installed into a temporary folder (or --peer, a folder that is kept). The limit is what is
left of it when only one question to SQLite is left: a bare WSGI function under the same gunicorn.
wrk, on the same two cores, asks for Thunderbird's file and posts Outlook's question. Connections
are closed after each answer, as gunicorn does it, and for ours also kept open, as a web server in
front of it does it. Rounds alternate, so that noise hits all; medians. Goal: 10 times automx2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

GOAL = 10
ROUNDS = 3
CONNECTIONS = 32
ISP = Path(sys.executable).with_name("isp")
CLOSE = "Connection: close"

POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "text/xml"
wrk.body = [[<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
<Request><EMailAddress>taro@example.jp</EMailAddress><AcceptableResponseSchema>
http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a
</AcceptableResponseSchema></Request></Autodiscover>]]
"""
BARE = """
import sqlite3
opened = sqlite3.connect(__file__[:-3] + ".db")
def app(environ, start_response):
    domain = environ["QUERY_STRING"].rpartition("%40")[2] or "example.jp"
    (answer,) = opened.execute("SELECT answer FROM domain WHERE name = ?", (domain,)).fetchone()
    start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))])
    return [answer]
"""
SEED = {
    "version": 2,
    "provider": "Sample Net K.K.",
    "domains": [{"name": "example.jp"}],
    "servers": [
        {"name": "imap.example.jp", "type": "imap", "port": 993},
        {"name": "pop.example.jp", "type": "pop", "port": 995},
        {"name": "smtp.example.jp", "type": "smtp", "port": 587},
        {"name": "smtp.example.jp", "type": "smtp", "port": 465},
    ],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def running(command: Sequence[object], port: int, folder: Path, **env: str) -> Iterator[int]:
    """A server, from when it answers until the end."""
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.1)
            time.sleep(3)  # every process of it has started
            yield port
        finally:
            process.terminate()
            process.wait()


def peer_programs(folder: Path) -> Path:
    """automx2 and gunicorn in a place of their own."""
    if not (folder / "bin" / "gunicorn").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "automx2", "gunicorn"], check=True, stderr=subprocess.DEVNULL)
    return folder / "bin" / "gunicorn"


def ours(folder: Path) -> contextlib.AbstractContextManager[int]:
    env = {"ISP_CONFIG": str(folder / "isp.toml")}
    subprocess.run(
        [str(ISP), "init"], cwd=folder, env={**os.environ, **env}, check=True, capture_output=True
    )
    port = free_port()
    return running([ISP, "serve", "--port", port, "--workers", 2], port, folder, **env)


def gunicorn(program: Path, app: str, folder: Path) -> contextlib.AbstractContextManager[int]:
    (folder / "automx2.conf").write_text(
        f"[automx2]\nloglevel = CRITICAL\ndb_uri = sqlite:///{folder}/automx2.db\n"
    )
    port = free_port()
    command = [program, "-w", 2, "-b", f"127.0.0.1:{port}", "--log-level", "critical", app]
    return running(command, port, folder, AUTOMX2_CONF=str(folder / "automx2.conf"))


def bare(folder: Path) -> None:
    (folder / "bare.py").write_text(BARE)
    with sqlite3.connect(folder / "bare.db") as made:
        made.execute("CREATE TABLE domain (name TEXT PRIMARY KEY, answer BLOB)")
        made.execute("INSERT INTO domain VALUES ('example.jp', ?)", (b"x" * 1337,))
    made.close()


def rate(port: int, path: str, seconds: int, *words: object) -> float:
    """Requests a second that were answered with 200."""
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{seconds}s",
            *map(str, words),
            f"http://127.0.0.1:{port}{path}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--peer", type=Path)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="isp-autoconfig-") as place,
        contextlib.ExitStack() as on,
    ):
        folder = Path(place)
        post = folder / "outlook.lua"
        post.write_text(POST)
        bare(folder)
        program = peer_programs(asked.peer or folder / "peer").absolute()
        ports = {
            "ours": on.enter_context(ours(folder)),
            "automx2": on.enter_context(gunicorn(program, "automx2.server:app", folder)),
            "bare": on.enter_context(gunicorn(program, "bare:app", folder)),
        }
        seed = urllib.request.Request(
            f"http://127.0.0.1:{ports['automx2']}/initdb/",
            json.dumps(SEED).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(seed).read()
        thunderbird = "/mail/config-v1.1.xml?emailaddress=taro%40example.jp"
        compare(ports, "Thunderbird", thunderbird, asked.seconds, [])
        compare(ports, "Outlook", "/autodiscover/autodiscover.xml", asked.seconds, ["-s", post])


def compare(
    ports: dict[str, int], what: str, path: str, seconds: int, words: Sequence[object]
) -> None:
    """Rounds of all in turn; the medians, and ours in proportion to the others'."""
    kinds = [("ours", True), ("ours", False), ("automx2", False), ("bare", False)]
    rates: dict[tuple[str, bool], list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind in kinds:
            closing = [] if kind[1] else ["-H", CLOSE]
            rates[kind].append(rate(ports[kind[0]], path, seconds, *words, *closing))
    kept, closed, peer, limit = (statistics.median(rates[kind]) for kind in kinds)
    print(f"{what}: ours {kept:.0f} requests/s, {closed:.0f} with a connection for each")
    for name, other in (("automx2", peer), ("bare WSGI", limit)):
        print(
            f"  {name} {other:.0f}: {kept / other:.1f} times, {closed / other:.1f} with new connections"
        )
    print(f"  goal: {GOAL} times automx2")


if __name__ == "__main__":
    main()
