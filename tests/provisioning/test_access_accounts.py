"""Connection accounts and the letters that carry passwords."""

from __future__ import annotations

from datetime import date
from io import BytesIO

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from pypdf import PdfReader
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.errors import Refused
from isp.journal import history
from isp.lifecycle import ContractStatus
from isp.tables import Journal, Outbox
from provisioning.letters import welcome_pdf
from provisioning.passwords import verify
from provisioning.queries import access_of, guide_settings, mailbox_named
from provisioning.runs.access import access_json, open_access, reissue_access
from provisioning.runs.mailboxes import add_mailbox, reissue, remove
from provisioning.runs.nightly import reconcile
from provisioning.runs.welcome import access_letter, mailbox_letter, welcome
from provisioning.settings import MailSettings
from provisioning.tables import DEAD

TARO = "taro@example.jp"


def said(pdf: bytes) -> str:
    """The words of a PDF, all on one line, since the layout may break them anywhere."""
    return "".join("".join(page.extract_text().split()) for page in PdfReader(BytesIO(pdf)).pages)


def test_isp_01_a_connection_account_is_opened_once_per_contract(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        account, password = open_access(session, shift, CONTRACT)
        session.commit()
        assert access_json(account) == {
            "contract": CONTRACT,
            "connection_id": "k00000001@ppp.example.jp",
            "status": "active",
        }
        # FreeRADIUS compares by crypt, which knows no Argon2.
        assert account.password_hash.startswith("{SHA512-CRYPT}$6$")
        assert verify(password, account.password_hash)
        with pytest.raises(Refused, match="has a connection account already"):
            open_access(session, shift, CONTRACT)
        with pytest.raises(Refused, match="no contract"):
            open_access(session, shift, "K00000009")


def test_isp_01_a_reissued_connection_password_kills_the_old_one(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        with pytest.raises(Refused, match="has no connection account"):
            reissue_access(session, shift, CONTRACT)
        _, old = open_access(session, shift, CONTRACT)
        account, new = reissue_access(session, shift, CONTRACT)
        assert verify(new, account.password_hash) and not verify(old, account.password_hash)
        entries = history(session, CONTRACT)
        assert [entry.act for entry in entries] == ["access.opened", "access.password-reissued"]
        kept = "".join(f"{entry.before}{entry.after}" for entry in entries)
        assert not [secret for secret in (old, new, account.password_hash) if secret in kept]


@pytest.mark.parametrize(
    ("status", "ended_on", "then"),
    [
        ("suspended", None, "suspended"),
        ("active", None, "active"),
        ("cancelling", None, "active"),
        ("ended", date(2026, 4, 9), "removed"),
        ("withdrawn", date(2026, 4, 9), "removed"),
    ],
)
def test_all_02_the_line_ends_with_the_contract(
    database: Engine,
    day: MakeDay,
    status: ContractStatus,
    ended_on: date | None,
    then: str,
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        account, _ = open_access(session, shift, CONTRACT)
        becomes(session, status, ended_on)
        assert reconcile(session, shift).acts.total() == (then != "active")
        assert reconcile(session, shift).acts.total() == 0
        session.expire_all()
        assert account.status == then
        assert (account.password_hash == DEAD) == (then == "removed")
        if then == "removed":
            for act in (reissue_access, open_access, welcome):
                with pytest.raises(Refused, match="since 2026-04-09"):
                    act(session, shift, CONTRACT)


def test_isp_01_the_joining_letter_makes_every_password_anew(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        contract = conclude(session, mailboxes=3)
        _, old = add_mailbox(session, shift, TARO, CONTRACT, "会員 太郎")
        add_mailbox(session, shift, "jiro@example.jp", CONTRACT)
        add_mailbox(session, shift, "gone@example.jp", CONTRACT)
        remove(session, shift, "gone@example.jp")
        letter = welcome(session, shift, CONTRACT)
        assert [mailbox.address for mailbox in letter.mailboxes] == [TARO, "jiro@example.jp"]
        secrets = {letter.connection_id: letter.connection_password}
        secrets |= {mailbox.address: mailbox.password for mailbox in letter.mailboxes}
        account = access_of(session, CONTRACT)
        assert account is not None and letter.connection_id == account.connection_id
        hashes = {account.connection_id: account.password_hash}
        for mailbox in letter.mailboxes:
            hashes[mailbox.address] = mailbox_named(session, mailbox.address).password_hash
        assert all(verify(secrets[name], hashes[name]) for name in secrets)
        assert not verify(old, hashes[TARO])
        again = welcome(session, shift, CONTRACT)
        assert not verify(letter.connection_password, account.password_hash)
        assert verify(again.connection_password, account.password_hash)
        assert contract.opened_on == letter.opened_on
        kept = "".join(f"{entry.after}" for entry in session.scalars(select(Journal)))
        sent = b"".join(session.scalars(select(Outbox.message)))
        assert not [
            secret
            for secret in (*secrets.values(), *hashes.values())
            if secret in kept + repr(letter) + sent.decode()
        ]
        assert [entry.act for entry in history(session, CONTRACT)] == [
            "access.opened",
            "letter.welcome",
            "access.password-reissued",
            "letter.welcome",
        ]


@pytest.mark.req("ISP-01", "ISP-17", "ISP-22", "ALL-05")
@pytest.mark.parametrize(
    ("language", "words"),
    [("ja", ("会員番号C00000001", "10:00-21:00")), ("en", ("Customernumber", "10:00-21:00"))],
)
def test_isp_01_the_joining_letter_holds_all_that_a_member_needs(
    database: Engine, day: MakeDay, language: str, words: tuple[str, ...]
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        contract = conclude(session)
        contract.customer.language = "en" if language == "en" else "ja"
        add_mailbox(session, shift, TARO, CONTRACT, "会員 太郎")
        letter = welcome(session, shift, CONTRACT)
        assert letter.language == language
        text = said(welcome_pdf(letter))
        for needed in (
            *words,
            "k00000001@ppp.example.jp",
            letter.connection_password,
            TARO,
            letter.mailboxes[0].password,
            "imap.example.jp",
            "smtp.example.jp",
            "587",
            "Thunderbird",
            shift.policy.desk.phone,
        ):
            assert needed in text, needed


def test_isp_01_a_contract_without_mailboxes_gets_a_letter_too(
    database: Engine, day: MakeDay
) -> None:
    with Session(database) as session:
        conclude(session)
        letter = welcome(session, shift_of(day("2026-04-10")), CONTRACT, "en")
        assert (letter.mailboxes, letter.first_guide, letter.language) == ((), None, "en")
        assert letter.connection_password in said(welcome_pdf(letter))


def test_isp_01_the_letter_may_go_out_before_the_opening(database: Engine, day: MakeDay) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session, status="applied")
        letter = welcome(session, shift, CONTRACT)
        assert letter.opened_on is None
        assert access_of(session, CONTRACT) is not None
        assert letter.connection_password in said(welcome_pdf(letter))


def test_isp_01_the_letter_on_a_reissue_carries_the_new_password(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT)
        mailbox, password = reissue(session, shift, TARO)
        text = said(mailbox_letter(session, shift, mailbox, password))
        assert TARO in text and password in text and "東京都千代田区千代田1-1" in text
        open_access(session, shift, CONTRACT)
        account, password = reissue_access(session, shift, CONTRACT)
        text = said(access_letter(session, shift, account, password, "en"))
        assert "k00000001@ppp.example.jp" in text and password in text
        assert "10April2026" in text


@pytest.mark.parametrize(
    ("client", "protocol", "port"), [("thunderbird", "imap", 993), ("outlook-2003", "pop3", 110)]
)
def test_isp_17_settings_are_those_of_the_mailbox_and_the_program(
    database: Engine, day: MakeDay, client: str, protocol: str, port: int
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        add_mailbox(session, shift, TARO, CONTRACT, "会員 太郎")
        settings = guide_settings(session, shift, "TARO@example.jp", client)
        assert isinstance(settings, MailSettings)
        assert (settings.address, settings.username, settings.display_name) == (
            TARO,
            TARO,
            "会員 太郎",
        )
        assert (settings.incoming[0].protocol, settings.incoming[0].port) == (protocol, port)
        assert settings.outgoing.port == 587
        with pytest.raises(Refused, match="no guide"):
            guide_settings(session, shift, TARO, "netscape")
        remove(session, shift, TARO, at_once=True)
        with pytest.raises(Refused, match="has been removed"):
            guide_settings(session, shift, TARO, client)
