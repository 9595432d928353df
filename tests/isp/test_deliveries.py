"""Notices leave by a real SMTP server on this machine: each once, whatever comes between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.policy import default

import desk
import pytest
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Dialogue
from desk import contract, member, notices, on, plan
from office import Answer, Office
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import TOKYO
from isp.errors import Fault
from isp.policy import Outbox as Server
from isp.runs.deliveries import connected, send, waiting
from isp.tables import Outbox

TODAY = "2026-04-10"
NOW = datetime(2026, 4, 10, 9, tzinfo=TOKYO)


@dataclass
class Postbox:
    """The server's side: what it took, and whom it turns away."""

    took: list[Envelope] = field(default_factory=list)
    no_such: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    hangs_up_after: int | None = None

    async def handle_RCPT(
        self, server: SMTP, dialogue: Dialogue, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.no_such:
            return f"550-5.1.1 <{address}>: no such\r\n550 5.1.1 mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, dialogue: Dialogue, envelope: Envelope) -> str:
        if self.hangs_up_after is not None and len(self.took) >= self.hangs_up_after:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return "421 closing"
        if envelope.rcpt_tos[0] in self.full:
            return "452 4.2.2 mailbox full"
        self.took.append(envelope)
        return "250 OK"

    @property
    def recipients(self) -> list[str]:
        return [envelope.rcpt_tos[0] for envelope in self.took]

    @property
    def contents(self) -> list[bytes]:
        return [envelope.content for envelope in self.took if isinstance(envelope.content, bytes)]

    @property
    def identities(self) -> list[str]:
        return [
            str(message_from_bytes(content, policy=default)["Message-ID"])
            for content in self.contents
        ]


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def port(postbox: Postbox) -> Iterator[int]:
    """The port on which the server listens."""
    loop = asyncio.new_event_loop()
    opening = loop.create_server(lambda: SMTP(postbox, loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(opening)
    serving = threading.Thread(target=loop.run_forever)
    serving.start()
    yield server.sockets[0].getsockname()[1]
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    serving.join()
    for left in asyncio.all_tasks(loop):
        left.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def names_server(office: Office, port: int, security: str = "none") -> None:
    """Write the server into the policy's [outbox]."""
    head, section = office.config.read_text("utf-8").split("[outbox]\n")
    section = section.replace('host = ""', 'host = "127.0.0.1"', 1)
    section = section.replace("port = 25", f"port = {port}", 1)
    section = section.replace('security = "none"', f'security = "{security}"', 1)
    office.config.write_text(f"{head}[outbox]\n{section}", "utf-8")


@pytest.fixture
def three(office: Office, port: int) -> list[str]:
    """Three notices wait, for three members: their addresses."""
    names_server(office, port)
    plan(office)
    addresses = [f"{name}@example.com" for name in ("ichiro", "jiro", "saburo")]
    for address in addresses:
        contract(office, member(office, email=address))
    return addresses


def send_out(office: Office, today: str = TODAY) -> Answer:
    return office(*on(today), "outbox", "send")


def unsent(office: Office) -> list[str]:
    return [notice["recipient"] for notice in office.ok("outbox", "list", "--waiting")]


# Each once


def test_all_02_each_notice_is_sent_once(
    office: Office, three: list[str], postbox: Postbox, database: Engine
) -> None:
    assert send_out(office).json == {"sent": 3, "failed": 0}
    assert postbox.recipients == three
    with Session(database) as session:
        stored = session.scalars(select(Outbox).order_by(Outbox.id)).all()
        assert postbox.contents == [each.message for each in stored]
        assert postbox.identities == [each.message_id for each in stored]
    assert {envelope.mail_from for envelope in postbox.took} == {"noreply@example.jp"}
    assert all(notice["sent_at"].startswith(TODAY) for notice in notices(office))
    with desk.untouched(office):
        assert send_out(office).json == {"sent": 0, "failed": 0}
        assert send_out(office, "2026-04-11").json == {"sent": 0, "failed": 0}
    assert len(postbox.took) == 3


def test_a_notice_waits_for_its_day(office: Office, three: list[str], postbox: Postbox) -> None:
    assert send_out(office, "2026-04-09").json == {"sent": 0, "failed": 0}
    assert postbox.took == []
    assert send_out(office, "2026-04-20").json == {"sent": 3, "failed": 0}


def test_without_a_server_in_the_policy_notices_wait(office: Office) -> None:
    plan(office)
    contract(office, member(office))
    with desk.untouched(office):
        assert office.refused("outbox", "send").startswith("outbox.host: is empty in the policy")
    assert len(unsent(office)) == 1


# What is turned away


@pytest.mark.parametrize("why", ["no_such", "full"])
def test_a_refused_recipient_stays_and_the_others_go(
    office: Office, three: list[str], postbox: Postbox, why: str
) -> None:
    getattr(postbox, why).add(three[1])
    answer = send_out(office)
    assert answer.exit_code == 1, "a job of the night tells by its exit code"
    assert answer.json == {"sent": 2, "failed": 1}
    assert postbox.recipients == [three[0], three[2]]
    assert unsent(office) == [three[1]]
    code = {"no_such": "550 5.1.1", "full": "452 4.2.2"}[why]
    [told, error] = answer.stderr.splitlines()
    assert three[1] in told
    assert code in told
    assert error.startswith("Error: outbox: 1 could not be sent")
    [parked] = office("check").json["problems"]
    assert (parked["table"], parked["subject"]) == ("parked", "2")
    assert code in parked["problem"]

    getattr(postbox, why).clear()
    assert send_out(office, "2026-04-11").json == {"sent": 1, "failed": 0}
    assert postbox.recipients == [three[0], three[2], three[1]]
    assert office.ok("check")["ok"]


def test_a_notice_is_sent_to_the_address_that_the_member_has_now(
    office: Office, three: list[str], postbox: Postbox
) -> None:
    postbox.no_such.add(three[1])
    send_out(office)
    office.ok("customer", "set", "C00000002", "--email", "jiro@example.net")
    assert office.ok("outbox", "readdress", "2")["recipient"] == "jiro@example.net"
    stored = office.ok("outbox", "show", "2")
    send_out(office, "2026-04-11")
    assert "jiro@example.net" in postbox.recipients[2:]
    sent = message_from_bytes(
        postbox.contents[postbox.recipients.index("jiro@example.net")], policy=default
    )
    assert sent["To"].addresses[0].addr_spec == "jiro@example.net"
    assert sent.get_content().replace("\r\n", "\n") == stored["text"]
    assert len(set(postbox.identities)) == len(postbox.took)
    assert desk.acts(office, "C00000002")[-1]["act"] == "outbox.readdressed"
    with desk.untouched(office):
        assert office.refused("outbox", "readdress", "1").startswith("id: notice 1 is settled")
    assert office.ok("check")["ok"]


def test_a_notice_that_is_given_up_is_never_sent(
    office: Office, three: list[str], postbox: Postbox
) -> None:
    postbox.no_such.add(three[1])
    send_out(office)
    office.ok("outbox", "drop", "2", "--reason", "電話でお伝えした")
    assert office.ok("outbox", "list")[1]["dropped"] is True
    assert unsent(office) == []
    postbox.no_such.clear()
    assert send_out(office, "2026-04-11").json == {"sent": 0, "failed": 0}
    assert postbox.recipients == [three[0], three[2]]
    act = desk.acts(office, "C00000002")[-1]
    assert (act["act"], act["after"]) == ("outbox.dropped", {"reason": "電話でお伝えした"})
    with desk.untouched(office):
        again = ("outbox", "drop", "2", "--reason", "x")
        assert office.refused(*again).startswith("id: notice 2 is settled")
    assert office.ok("check")["ok"]


# What goes wrong on the way


def test_a_server_that_is_away_is_a_fault_and_the_notices_wait(
    office: Office, three: list[str]
) -> None:
    names_server(office, 1)  # tcpmux, where nobody listens
    office.config.write_text(
        office.config.read_text("utf-8").replace('"127.0.0.1"\nport = ', '"127.0.0.1"\nport = 1#'),
        "utf-8",
    )
    with desk.untouched(office):
        answer = send_out(office)
    assert (answer.exit_code, answer.stdout) == (1, "")
    [line] = answer.stderr.splitlines()
    assert line.startswith("Error: outbox: 127.0.0.1:1 does not take mail: ")
    assert unsent(office) == three


def test_a_server_without_the_security_of_the_policy_gets_no_mail(
    office: Office, port: int, postbox: Postbox
) -> None:
    names_server(office, port, "starttls")
    plan(office)
    contract(office, member(office))
    with desk.untouched(office):
        answer = send_out(office)
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "does not take mail: STARTTLS" in answer.stderr
    assert postbox.took == []


def test_all_02_a_connection_that_breaks_is_taken_up_where_it_broke(
    office: Office, three: list[str], postbox: Postbox
) -> None:
    postbox.hangs_up_after = 1
    answer = send_out(office)
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert len(answer.stderr.splitlines()) == 1
    assert unsent(office) == three[1:]
    postbox.hangs_up_after = None
    assert send_out(office).json == {"sent": 2, "failed": 0}
    assert postbox.recipients == three


class Killed(BaseException):
    """The machine goes down: nothing may catch it."""


@pytest.fixture
def by_hand(database: Engine, port: int) -> Callable[..., None]:
    """Sends what waits, a transaction a message; killed at a moment of the message of that index."""

    def run(killed_at: int | None = None, moment: str = "") -> None:
        server = Server(host="127.0.0.1", port=port, sender="noreply@example.jp")
        with Session(database) as session:
            due = waiting(session, desk.day_of(TODAY).today)
        with connected(server) as out:
            for index, id in enumerate(due):
                with Session(database) as session, session.begin():
                    if (index, "before") == (killed_at, moment):
                        raise Killed
                    assert send(session, out, server.sender, id, NOW) is None
                    session.flush()
                    if (index, "after") == (killed_at, moment):
                        raise Killed

    return run


def test_all_02_killed_before_a_message_it_is_sent_by_the_next_run(
    office: Office, three: list[str], postbox: Postbox, by_hand: Callable[..., None]
) -> None:
    with pytest.raises(Killed):
        by_hand(1, "before")
    assert postbox.recipients == three[:1]
    by_hand()
    assert postbox.recipients == three
    by_hand()
    assert len(postbox.took) == 3


def test_all_02_killed_between_server_and_book_it_is_known_as_the_same(
    office: Office, three: list[str], postbox: Postbox, by_hand: Callable[..., None]
) -> None:
    """The server has it, the book does not yet: sent again under the same Message-ID, byte for byte,
    which the reader's server knows as the same message."""
    with pytest.raises(Killed):
        by_hand(1, "after")
    assert unsent(office) == three[1:]
    by_hand()
    assert postbox.recipients == [three[0], three[1], three[1], three[2]]
    assert postbox.identities[1] == postbox.identities[2]
    assert postbox.contents[1] == postbox.contents[2]
    assert unsent(office) == []


def test_all_02_two_senders_at_once_send_each_message_once(
    office: Office, three: list[str], postbox: Postbox, by_hand: Callable[..., None]
) -> None:
    for _ in range(4):
        contract(office, "C00000001")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            by_hand()
        except BaseException as wrong:  # whatever it is, the test must see it
            failed.append(wrong)

    senders = [threading.Thread(target=work) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert failed == []
    assert sorted(postbox.identities) == sorted(set(postbox.identities))
    assert len(postbox.took) == 7
    assert unsent(office) == []


def test_a_fault_of_the_server_names_it(postbox: Postbox, port: int) -> None:
    server = Server(host="127.0.0.1", port=port, sender="noreply@example.jp")
    with pytest.raises(Fault, match=rf"outbox: 127\.0\.0\.1:{port} does not take mail: "):
        with connected(server) as out:
            out.close()
            out.noop()
