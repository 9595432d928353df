"""The outbox: a notice is stored with the act that causes it, once, as the member will read it."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default

import desk
import pytest
from desk import company, contract, joined, member, notices, on, plan
from office import Office
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from isp.outbox import message_id, post
from isp.queries import customer_named
from isp.runs.contracts import Application, apply
from isp.tables import Outbox

MOVED = {
    "contract_number": "K00000001",
    "moved_on": desk.day_of(desk.TODAY).today,
    "postal_code": "100-0001",
    "address": "東京都千代田区千代田1-1",
}


@pytest.fixture
def taro(office: Office) -> str:
    return member(office)


def posted(database: Engine, key: str, times: int = 1) -> list[bool]:
    """What `post` answers to the same notice offered so often, in one transaction."""
    shift = desk.shift_of(desk.day_of(desk.TODAY))
    with Session(database) as session, session.begin():
        who = customer_named(session, "C00000001")
        return [post(session, shift, "moved", who, key, MOVED) for _ in range(times)]


def test_all_02_a_notice_is_stored_once(taro: str, office: Office, database: Engine) -> None:
    assert posted(database, "K00000001/1", times=2) == [True, False]
    assert posted(database, "K00000001/1") == [False]
    assert posted(database, "K00000001/2") == [True]
    assert len(notices(office)) == 2


def test_all_02_the_database_refuses_the_same_notice_twice(
    taro: str, office: Office, database: Engine
) -> None:
    posted(database, "K00000001/1")
    columns = "message_id, kind, subject, recipient, message, due_on"
    again = text(f"INSERT INTO outbox ({columns}) SELECT {columns} FROM outbox")
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(again)


def test_identities_tell_kinds_keys_and_operators_apart() -> None:
    given = [("moved", "a", "x"), ("opened", "a", "x"), ("moved", "b", "x"), ("moved", "a", "y")]
    assert len({message_id(*each) for each in given}) == 4
    assert message_id(*given[0]) == message_id(*given[0])


def test_all_02_an_act_that_is_undone_leaves_no_notice(
    taro: str, office: Office, database: Engine
) -> None:
    """Rendered in the transaction: neither contract nor notice without the other."""
    plan(office)
    application = Application(taro, "HIKARI", desk.day_of(desk.TODAY).today)
    shift = desk.shift_of(desk.day_of(desk.TODAY))
    with desk.untouched(office), Session(database) as session:
        apply(session, shift, application)
        session.flush()
        assert len(session.scalars(select(Outbox)).all()) == 1
        session.rollback()
    assert notices(office) == office.ok("contract", "list") == []


def test_what_is_in_the_outbox_is_the_whole_message(office: Office, database: Engine) -> None:
    joined(office)
    with Session(database) as session:
        stored = session.scalars(select(Outbox).order_by(Outbox.id)).first()
        assert stored is not None
        raw, identity = stored.message, stored.message_id
    message = message_from_bytes(raw, policy=default)
    assert message["Message-ID"] == identity
    assert message["To"].addresses[0].addr_spec == "taro@example.com"
    assert message["From"].addresses[0].addr_spec == "noreply@example.jp"
    assert message["Auto-Submitted"] == "auto-generated"
    file = office.folder / "notice.eml"
    shown = office.ok("outbox", "show", "1", "-o", file)
    assert file.read_bytes() == raw
    assert shown["subject"] == str(message["Subject"])
    assert shown["text"] == message.get_content().replace("\r\n", "\n")


def test_a_notice_keeps_what_it_said(taro: str, office: Office) -> None:
    plan(office)
    contract(office, taro)
    before = office.ok("outbox", "show", "1")
    office.ok("customer", "set", taro, "--name", "山田花子", "--email", "hanako@example.com")
    assert office.ok("outbox", "show", "1") == before
    assert before["recipient"] == "taro@example.com"
    assert notices(office)[1]["recipient"] == "hanako@example.com"


def test_notices_are_listed_by_member_and_state(taro: str, office: Office) -> None:
    plan(office)
    for who in (taro, company(office)):
        contract(office, who)
    first, second = notices(office)
    assert first == {
        "id": 1,
        "kind": "contract-concluded",
        "customer": taro,
        "recipient": "taro@example.com",
        "due_on": desk.TODAY,
        "sent_at": None,
        "dropped": False,
    }
    assert office.ok("outbox", "list", "--customer", taro) == [first]
    assert office.ok("outbox", "list", "--waiting") == [first, second]
    assert office.ok("outbox", "list", "--last", "1") == [second]


def test_all_04_a_notice_that_is_none_is_refused(taro: str, office: Office) -> None:
    plan(office)
    contract(office, taro)
    with desk.untouched(office):
        for id in ("2", "0", "-1", "x", "1.5", "9" * 30):
            for command in (("show",), ("readdress",), ("drop", "--reason", "told by phone")):
                refusal = office.refused("outbox", *command, "--", id)
                assert refusal.startswith("id: "), (id, command)
        for reason in ("", " ", "a\x1bb"):
            refusal = office.refused("outbox", "drop", "1", "--reason", reason)
            assert refusal.startswith("reason: "), reason
        assert office.refused("outbox", "list", "--last", "0").startswith("last: ")


def test_a_file_that_cannot_be_written_is_a_fault_in_one_line(taro: str, office: Office) -> None:
    plan(office)
    contract(office, taro)
    answer = office("outbox", "show", "1", "-o", office.folder / "none" / "notice.eml")
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr == (
        f"Error: {office.folder / 'none' / 'notice.eml'}: No such file or directory\n"
    )


def test_isp_22_every_notice_of_the_core_names_the_desk(office: Office) -> None:
    """All that a contract's life brings."""
    number = joined(office)
    office.ok("customer", "set", "C00000001", "--phone", "090-1234-5678")
    place = ("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")
    for line in ("--line", "--no-line"):
        office.ok(*on("2026-05-01"), "contract", "move", number, *place, line)
    leave = ("contract", "cancel", number, "--received", "2026-05-10")
    office.ok(*on("2026-05-10"), *leave, "--incomplete")
    office.ok(*on("2026-05-10"), *leave)
    other = contract(office, "C00000001")
    office.ok(*on("2026-04-12"), "contract", "withdraw", other, "--received", "2026-04-12")
    listed = notices(office)
    assert {notice["kind"] for notice in listed} == {
        *("contract-concluded", "opened", "data-changed", "moved", "move-impossible"),
        *("cancellation-incomplete", "cancellation-received", "withdrawn"),
    }
    for notice in listed:
        said = office.ok("outbox", "show", notice["id"])["text"]
        assert "0120-000-000" in said, notice["kind"]
        assert "10:00-21:00" in said, notice["kind"]
