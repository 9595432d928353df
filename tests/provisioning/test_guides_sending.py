"""Guides sent by mail: to whom, in which language, with what attached, and what the journal knows."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from members import CONTRACT, MakeDay, conclude, shift_of
from office import Office
from paper import text
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from town import contract, member, plan

from isp.documents import Language
from isp.errors import Refused
from isp.journal import history
from isp.tables import Outbox
from provisioning.runs.access import open_access
from provisioning.runs.guides import send_guide
from provisioning.runs.mailboxes import add_mailbox

TARO, MEMBER = "taro@example.jp", "member00000001@example.net"


def read(message: bytes) -> tuple[EmailMessage, str, bytes]:
    """The message, its text, and the PDF that is attached."""
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    body = found.get_body(("plain",))
    (attached,) = found.iter_attachments()
    assert body is not None and attached.get_content_type() == "application/pdf"
    content = attached.get_content()
    assert isinstance(content, bytes)
    return found, str(body.get_content()), content


@pytest.mark.req("ISP-17", "ISP-22", "ALL-05")
@pytest.mark.parametrize("language", ["ja", "en"])
def test_isp_17_a_guide_goes_to_the_member_in_the_members_language(
    database: Engine, day: MakeDay, language: Language
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session).customer.language = language
        _, password = add_mailbox(session, shift, TARO, CONTRACT, "Taro")
        answer = send_guide(session, shift, TARO, "Thunderbird")
        assert answer == {
            "address": TARO,
            "customer": "C00000001",
            "client": "thunderbird",
            "to": MEMBER,
            "language": language,
        }
        waiting = session.scalars(select(Outbox)).one()
        assert (waiting.kind, waiting.recipient, waiting.subject) == (
            "setup-guide",
            MEMBER,
            "C00000001",
        )
        message, body, pdf = read(waiting.message)
    assert (
        message["Subject"]
        == {
            "ja": "設定ガイドをお送りします(Thunderbird)",
            "en": "Your set-up guide (Thunderbird)",
        }[language]
    )
    assert MEMBER in message["To"]
    heading = {"ja": "設定の手順", "en": "Steps"}[language]
    for said in (body, text(pdf)):
        for fact in (TARO, "smtp.example.jp", "587", "0120-000-000", "10:00", heading):
            assert fact in said
        assert password not in said
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "guide-thunderbird.pdf"


@pytest.mark.req("ISP-17", "ALL-03")
def test_isp_17_a_guide_may_be_sent_again_and_each_sending_is_recorded(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"), actor="sato")
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        send_guide(session, shift, TARO, "iphone")
        send_guide(session, shift, TARO, "iphone", "taro@Example.COM")
        send_guide(session, shift, TARO, "outlook")
        session.flush()
        waiting = session.scalars(select(Outbox).order_by(Outbox.id)).all()
        assert [each.recipient for each in waiting] == [MEMBER, "taro@example.com", MEMBER]
        assert "taro@example.com" in read(waiting[1].message)[0]["To"]
        assert len({each.message_id for each in waiting}) == 3
        sent = [entry for entry in history(session, TARO) if entry.act == "guide.sent"]
        assert [entry.after for entry in sent] == [
            {"client": "iphone", "to": MEMBER, "language": "ja"},
            {"client": "iphone", "to": "taro@example.com", "language": "ja"},
            {"client": "outlook", "to": MEMBER, "language": "ja"},
        ]
        assert {entry.actor for entry in sent} == {"sato"}


@pytest.mark.req("ISP-16")
def test_isp_16_a_connection_guide_is_sent_by_contract_or_connection_id(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        held = conclude(session)
        held.plan.line, held.customer.language = "flets-adsl", "en"
        opened, _ = open_access(session, shift, CONTRACT)
        by_number = send_guide(session, shift, CONTRACT, "router")
        by_id = send_guide(session, shift, opened.connection_id, "router")
        assert by_number == by_id
        assert by_number["address"] == opened.connection_id
        bodies = [read(each.message)[1] for each in session.scalars(select(Outbox))]
    assert len(bodies) == 2 and all("FLET'S ADSL" in body for body in bodies)


@pytest.mark.parametrize(
    ("address", "client", "to", "field"),
    [
        ("hanako@example.jp", "iphone", None, "address"),
        (TARO, "eudora", None, "client"),
        (TARO, "router", None, "address"),
        (TARO, "iphone", "nobody", "to"),
        (TARO, "iphone", "a@example.com, b@example.com", "to"),
        (TARO, "iphone", "", "to"),
        (TARO, "iphone", "a@example.com\nBcc: b@example.com", "to"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_nothing_is_posted(
    database: Engine, day: MakeDay, address: str, client: str, to: str | None, field: str
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        with pytest.raises(Refused) as refused:
            send_guide(session, shift, address, client, to)
        assert refused.value.field == field
        assert session.scalars(select(Outbox.id)).all() == []
        assert [entry.act for entry in history(session, TARO)] == ["mailbox.added"]


def test_isp_17_the_desk_sends_a_guide(office: Office) -> None:
    begun = "2026-04-01"
    plan(office, begun, "NET", 1000, 1)
    held = contract(office, begun, member(office, begun, "invoice"), "NET", begun)
    office.ok("--today", begun, "domain", "add", "example.jp")
    office.ok("--today", begun, "mailbox", "add", TARO, "--contract", held)
    told = office.ok("--today", begun, "guide", "send", TARO, "--client", "neomutt")
    assert (told["client"], told["address"]) == ("neomutt", TARO)
    kinds = {each["kind"]: each for each in office.ok("outbox", "list", "--waiting")}
    assert kinds["setup-guide"]["recipient"] == told["to"]
    again = ("guide", "send", TARO, "--client", "neomutt", "--to", "x@example.org")
    assert office.ok("--today", begun, *again)["to"] == "x@example.org"
    assert office.refused("guide", "send", TARO, "--client", "iphone", "--to", "x").startswith("to")
