"""A real name server (NSD) for one test session, on a free port of this machine, with zones of ours."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from dns.exception import Timeout
from dns.message import make_query
from dns.query import udp

CONFIGURATION = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: ""
  pidfile: ""
  database: ""
  server-count: 1
  tcp-timeout: 2
  rrl-ratelimit: 0
remote-control:
  control-enable: no
"""
ZONE = """\
zone:
  name: {name}
  zonefile: {name}.zone
"""
HEAD = """\
$ORIGIN {name}.
$TTL 300
@ IN SOA ns.invalid. hostmaster.invalid. {serial} 3600 600 86400 60
@ IN NS ns.invalid.
"""


class Nsd:
    """Serves the zones of these names; `publish` fills one, or fills it anew."""

    def __init__(self, folder: Path, *names: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.names = names
        self.port = 0
        self._serial = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nsd:
        program = shutil.which("nsd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if program is None:
            raise RuntimeError("NSD is not installed: run `make system-packages`")
        self.port = _free_port()
        configuration = self.folder / "nsd.conf"
        configuration.write_text(
            CONFIGURATION.format(folder=self.folder, port=self.port)
            + "".join(ZONE.format(name=name) for name in self.names)
        )
        for name in self.names:
            self._write(name, "")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-d", "-c", str(configuration)], stdout=log, stderr=log
            )
        try:
            self._wait(self.names[-1])
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    @property
    def address(self) -> str:
        """As the command line takes it."""
        return f"127.0.0.1:{self.port}"

    def publish(self, name: str, text: str) -> None:
        """Serve this text, and nothing else, as the zone of `name`; returns once it is served."""
        assert self._process is not None
        before = _with_children(self._process.pid)
        self._write(name, text)
        self._process.send_signal(signal.SIGHUP)
        self._wait(name)
        # For a moment the server that had the old zone answers beside the one that has the new.
        end = time.monotonic() + 30
        while before[-1] in _with_children(self._process.pid):
            if time.monotonic() > end:
                raise RuntimeError("nsd: the server with the old zone does not go")
            time.sleep(0.002)

    def _write(self, name: str, text: str) -> None:
        self._serial += 1
        zone = HEAD.format(name=name, serial=self._serial) + text
        (self.folder / f"{name}.zone").write_text(zone, "utf-8")

    def _wait(self, name: str) -> None:
        """Until the zone that was written last is the one that is served."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                answer = udp(make_query(name, "SOA"), "127.0.0.1", timeout=0.1, port=self.port)
            except Timeout:
                continue
            served = re.search(r"SOA \S+ \S+ (\d+) ", answer.to_text())
            if served and int(served[1]) == self._serial:
                return
            time.sleep(0.005)
        raise RuntimeError(f"nsd: {(self.folder / 'log').read_text()}")


def _with_children(pid: int) -> list[int]:
    """A process and all below it, parents first: the last of NSD's is the one that answers."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]  # it has just gone
    return [pid, *(each for child in below for each in _with_children(int(child)))]


def _free_port() -> int:
    """A port that is free for UDP and TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port = int(stream.getsockname()[1])
            try:
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
