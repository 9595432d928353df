"""How fast mail is taken for good, beside a bare aiosmtpd that also syncs each message to the disk.

    python benchmarks/submission.py [--messages 2000]

The rival asks nobody anything: no TLS, no log-in, no recipient looked up, no header added; it writes
the message into a Maildir, syncs it and answers. It runs twice: syncing the file alone, and the
folder too, as ours does, without which a power cut may take the name of a message that was promised.
All serve the same clients from processes of their own; rounds alternate, so that noise hits all.
One client waits for the disk in turn with the server; eight are what a server sees. Goal: 0.7.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import secrets
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

GOAL = 0.7
ROUNDS = 3
KINDS = ("ours", "bare, file", "bare, file and folder")
PASSWORD = "Wm7rTk3vQz9xHd"
TEXT = b"".join(
    b"%03d A line of an ordinary letter, as long as such lines are.\r\n" % n for n in range(60)
)
MESSAGE = (
    b"From: Taro <user0@example.jp>\r\nTo: Jiro <user1@example.jp>\r\nSubject: benchmark\r\n"
    b"Date: Fri, 10 Apr 2026 09:30:00 +0900\r\nMessage-ID: <1@pc.example.jp>\r\n\r\n" + TEXT
)


class Mailboxes:
    """A hundred mailboxes, all with the same password."""

    def account(self, login: str) -> Any:
        from provisioning.smtpd import Account

        digest = hashlib.sha512(PASSWORD.encode() + b"salt").digest() + b"salt"
        return Account(login, "{SSHA512}" + base64.b64encode(digest).decode(), may_send=True)

    def route(self, address: str) -> Any:
        from provisioning.smtpd import Route

        if not address.endswith("@example.jp"):
            return None
        return Route((address,)) if address.startswith("user") else Route()

    def may_send_as(self, login: str, sender: str) -> bool:
        return sender == login


def serve_ours(folder: Path) -> None:
    """The product's server, until SIGTERM."""
    from isp.calendar import TOKYO
    from isp.policy import Smtpd
    from provisioning.certificate import self_signed, tls_context
    from provisioning.sending import SendingLimits
    from provisioning.smtpd import SubmissionServer
    from provisioning.tally import Tally

    policy = Smtpd(port=0, maildir=str(folder / "mail"), connections_per_client=200)
    tls = tls_context(*self_signed(folder, "smtp.example.jp"))

    def clock() -> datetime:
        return datetime.now(TOKYO)

    with Tally(SendingLimits(10**9, 10**9), folder / "smtpd.sent", clock()) as sent:
        server = SubmissionServer(
            Mailboxes(), policy, tls, "smtp.example.jp", "en", clock, sent=sent
        )
        server.run(lambda: print(server.port, flush=True))


class Bare:
    """What is left when only storing is left."""

    def __init__(self, folder: Path, folder_too: bool) -> None:
        self.box = folder / ("both" if folder_too else "file")
        self.folder_too = folder_too
        for name in ("tmp", "new", "cur"):
            (self.box / name).mkdir(parents=True)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        name = secrets.token_hex(8)
        with open(self.box / "tmp" / name, "xb") as file:
            file.write(envelope.content)
            file.flush()
            os.fsync(file.fileno())
        (self.box / "tmp" / name).rename(self.box / "new" / name)
        if self.folder_too:
            opened = os.open(self.box / "new", os.O_RDONLY)
            os.fsync(opened)
            os.close(opened)
        return "250 OK"


def serve_bare(folder: Path, folder_too: bool) -> None:
    """The rival, until it is ended."""
    from aiosmtpd.smtp import SMTP

    bare = Bare(folder, folder_too)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(bare, hostname="smtp.example.jp", loop=loop), "127.0.0.1", 0
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


class Client:
    """One connection that sends and sends."""

    def __init__(self, port: int, number: int, trusted: ssl.SSLContext | None) -> None:
        self.sender = f"user{number}@example.jp"
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reply("220")
        self.say("EHLO pc", "250")
        if trusted is not None:
            self.say("STARTTLS", "220")
            self.socket = trusted.wrap_socket(self.socket)
            self.say("EHLO pc", "250")
            plain = base64.b64encode(f"\0{self.sender}\0{PASSWORD}".encode()).decode()
            self.say(f"AUTH PLAIN {plain}", "235")

    def say(self, line: str, code: str) -> None:
        self.socket.sendall(line.encode() + b"\r\n")
        self.reply(code)

    def reply(self, code: str) -> None:
        read = b""
        while not read.endswith(b"\r\n") or read[read.rfind(b"\n", 0, -1) + 4 :][:1] == b"-":
            more = self.socket.recv(4096)
            assert more, "the server has hung up"
            read += more
        assert read.startswith(code.encode()), read

    def send(self, count: int) -> None:
        for n in range(count):
            self.say(f"MAIL FROM:<{self.sender}>", "250")
            self.say(f"RCPT TO:<user{n % 100}@example.jp>", "250")
            self.say("DATA", "354")
            self.socket.sendall(MESSAGE + b".\r\n")
            self.reply("250")


def rate(port: int, trusted: ssl.SSLContext | None, messages: int, clients: int) -> float:
    """Messages a second over connections that stand already."""
    connected = [Client(port, number, trusted) for number in range(clients)]
    share = messages // clients
    threads = [threading.Thread(target=client.send, args=(share,)) for client in connected]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begun
    for client in connected:
        client.say("QUIT", "221")
        client.socket.close()
    return share * clients / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        if asked.serve == "ours":
            serve_ours(asked.folder)
        else:
            serve_bare(asked.folder, asked.serve == "bare, file and folder")
        return
    # On the disk, not in memory: /tmp is that on some systems.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".mail-") as place:
        servers, ports = [], {}
        for kind in KINDS:
            server = subprocess.Popen(
                [sys.executable, __file__, "--serve", kind, "--folder", place],
                stdout=subprocess.PIPE,
                text=True,
            )
            servers.append(server)
            assert server.stdout is not None
            ports[kind] = int(server.stdout.readline())
        try:
            for clients, share in ((1, 4), (8, 1)):
                compare(ports, Path(place), asked.messages // share, clients)
        finally:
            for server in servers:
                server.terminate()
                server.wait()


def compare(ports: dict[str, int], place: Path, messages: int, clients: int) -> None:
    """Rounds of all in turn; the medians, and ours in proportion to the others'."""
    trusted = ssl.create_default_context(cafile=str(place / "smtpd.crt"))
    trusted.check_hostname = False
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            tls = trusted if kind == "ours" else None
            rates[kind].append(rate(ports[kind], tls, messages, clients))
    ours, *others = (statistics.median(rates[kind]) for kind in KINDS)
    print(f"{clients} client(s), {len(MESSAGE)} bytes: ours {ours:.0f} messages/s")
    for kind, other in zip(KINDS[1:], others, strict=True):
        print(f"  {kind}: {other:.0f} messages/s, ratio {ours / other:.2f} (goal {GOAL})")


if __name__ == "__main__":
    main()
