"""A submission server for each test that asks, and a smarthost for it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from submission import Clock, Mailboxes, Open, Smarthost

from isp.policy import Smtpd
from provisioning.certificate import self_signed, tls_context
from provisioning.smtpd import SubmissionServer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(scope="session")
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return tls_context(*certificate)


@pytest.fixture(scope="session")
def trusted(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False  # clients here call the server by its number
    return context


@pytest.fixture
def mailboxes() -> Mailboxes:
    made = Mailboxes()
    for name in ("taro", "jiro", "saburo", "postmaster"):
        made.open(f"{name}@example.jp")
    made.open("late@example.jp", may_send=False, reason="Unpaid fees: call 0120-000-000")
    made.open("okure@example.jp", may_send=False, reason="料金未納のため")
    made.aliases["yamada@example.jp"] = "taro@example.jp"
    return made


@pytest.fixture
def policy(tmp_path: Path) -> Smtpd:
    return Smtpd(
        port=0,
        maildir=str(tmp_path / "mail"),
        size_limit=20_000,
        failure_delay_seconds=0,
        idle_seconds=10,
    )


@pytest.fixture
def root(policy: Smtpd) -> Path:
    return Path(policy.maildir)


@pytest.fixture
def serve(mailboxes: Mailboxes, policy: Smtpd, tls: ssl.SSLContext) -> Iterator[Open]:
    """Opens the server, with other knobs if need be."""
    opened: list[SubmissionServer] = []

    def start(**knobs: object) -> SubmissionServer:
        chosen = msgspec.structs.replace(policy, **knobs)
        server = SubmissionServer(mailboxes, chosen, tls, "smtp.example.jp", "en", Clock())
        server.start()
        opened.append(server)
        return server

    yield start
    for server in opened:
        server.stop()


@pytest.fixture
def port(serve: Open) -> int:
    return serve().port


@pytest.fixture
def smarthost() -> Iterator[Smarthost]:
    with Smarthost() as host:
        yield host


@pytest.fixture
def relaying(serve: Open, smarthost: Smarthost) -> int:
    return serve(smarthost="127.0.0.1", smarthost_port=smarthost.port).port
