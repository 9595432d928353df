"""A mailbox proved against the embedded submission server alone; with Dovecot: tests/system."""

from __future__ import annotations

import re
import socket
import ssl
import time
from pathlib import Path

import msgspec
import pytest
from submission import PASSWORD, Clock, Mailboxes, Open, everything

from isp.errors import Refused
from isp.policy import Mail, Server, parse, profile_text
from provisioning.proof import Proof, Step, Subject, trust
from provisioning.wanted import RECEIVE_ONLY, Directions

TARO = "taro@example.jp"
NOW = Clock().now


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def published(port: int) -> Mail:
    """The servers of a house that has no more than the embedded one."""
    nobody = Server(host="localhost", port=closed_port(), security="ssl")
    clear = msgspec.structs.replace(nobody, security="none")
    submission = Server(host="localhost", port=port, security="starttls")
    return msgspec.structs.replace(
        parse(profile_text("consumer-isp")).mail,
        imap=nobody,
        pop3=nobody,
        imap_legacy=clear,
        pop3_legacy=clear,
        submission_legacy=clear,
        submission=submission,
        submissions=nobody,
    )


def proved(port: int, certificate: Path, address: str = TARO, **changes: object) -> Proof:
    values: dict[str, object] = {
        "address": address,
        "password": PASSWORD,
        "state": "active",
        "may": Directions(),
        "arrives": True,
    }
    subject = Subject(**(values | changes))  # type: ignore[arg-type]  # the fields of Subject
    proof = Proof(
        *(subject, published(port), certificate, 5, NOW, "0123456789abcdef"),
        *(time.monotonic, time.sleep),
    )
    proof.run()
    return proof


def named(proof: Proof) -> dict[str, Step]:
    return {step.name: step for step in proof.steps}


@pytest.mark.req("ISP-17")
def test_isp_17_sending_is_proved_and_no_message_is_left_that_nobody_could_delete(
    port: int, certificate: tuple[Path, Path], root: Path
) -> None:
    steps = named(proved(port, certificate[0]))
    assert {name for name, step in steps.items() if step.ok} == {
        *("state", "submission-connect", "submission-no-auth-before-tls", "submission-starttls"),
        *("submission-log-in", "send", "foreign-sender", "submission-wrong-password"),
        "published-submission",
    }
    assert steps["send"].detail.endswith("no message was sent")
    assert "553" in steps["foreign-sender"].detail
    assert steps["submission-wrong-password"].detail == (
        "refused: 535 5.7.8 Wrong user name or password"
    )
    assert steps["arrival"].detail == "not tried: it needs imap-log-in"
    assert re.search("refused", steps["imap-connect"].detail, re.IGNORECASE)
    assert everything(root) == []


@pytest.mark.req("ISP-01")
def test_isp_01_the_refusal_of_a_suspended_mailbox_is_proved(
    port: int, certificate: tuple[Path, Path], mailboxes: Mailboxes
) -> None:
    suspended = proved(port, certificate[0], "late@example.jp", may=RECEIVE_ONLY)
    barred = named(suspended)["submission-barred"]
    assert barred.ok and "call 0120-000-000" in barred.detail
    open_ = named(proved(port, certificate[0], may=RECEIVE_ONLY))["submission-barred"]
    assert not open_.ok and "though it is suspended" in open_.detail


def test_a_password_that_is_dead_opens_nothing_after_it_was_taken_back(
    serve: Open, certificate: tuple[Path, Path], mailboxes: Mailboxes
) -> None:
    only_sending = Directions(fetch=False)
    proof = proved(serve().port, certificate[0], may=only_sending)
    [alive] = proof.after_revocation()
    assert not alive.ok and "still opens the mailbox" in alive.detail
    del mailboxes.accounts[TARO]
    [dead] = proof.after_revocation()
    assert dead.ok and dead.detail.startswith("refused: 535")


def test_the_password_is_in_no_detail_whatever_a_server_sends_back(
    port: int, certificate: tuple[Path, Path]
) -> None:
    proof = proved(port, certificate[0])
    plain = ssl.SSLError(f"\x1b[31mecho {PASSWORD} {proof._plain_response()}")

    def echo() -> str:
        raise plain

    proof._step("echo", echo)
    assert PASSWORD not in repr(proof.steps) and proof._plain_response() not in repr(proof.steps)
    assert proof.steps[-1].detail.isprintable()
    assert PASSWORD not in repr(Subject(TARO, PASSWORD, "", Directions(), arrives=True))


def test_a_server_that_says_nothing_is_given_up_in_time(certificate: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        subject = Subject(TARO, PASSWORD, "", Directions(), arrives=True)
        begun = time.monotonic()
        proof = Proof(
            *(subject, published(port), certificate[0], 0.2, NOW, "0123456789abcdef"),
            *(time.monotonic, time.sleep),
        )
        steps = {step.name: step for step in proof.run()}
        assert time.monotonic() - begun < 5
    assert not steps["submission-connect"].ok
    assert "timed out" in steps["submission-connect"].detail
    assert 150 <= steps["submission-connect"].ms < 2_000


def test_authorities_that_are_none_are_refused(tmp_path: Path) -> None:
    nothing = tmp_path / "ca.pem"
    for content in (None, "", "hello"):
        if content is not None:
            nothing.write_text(content)
        with pytest.raises(Refused, match="ca: .* holds no certificates"):
            trust(nothing)
