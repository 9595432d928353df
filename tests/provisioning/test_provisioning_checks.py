"""`isp check` finds what somebody, or some other program, has put wrongly into the mail side."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.sealing import make_key
from provisioning.checks import checked, problems
from provisioning.runs.access import open_access
from provisioning.runs.aliases import add_alias, set_catch_all
from provisioning.runs.app_passwords import add_app_password
from provisioning.runs.domains import rotate
from provisioning.runs.mailboxes import add_domain, add_mailbox, forward, remove
from provisioning.runs.nightly import reconcile

TARO = "taro@example.jp"
ACCOUNT = "k00000001@ppp.example.jp"
WEAK = "{SHA512-CRYPT}$6$short"


@pytest.mark.parametrize(
    ("fault", "table", "subject", "what"),
    [
        (
            "INSERT INTO domain (name, added_on) VALUES ('Example.JP', '2026-04-01')",
            "domain",
            "Example.JP",
            "not a domain name",
        ),
        (
            "UPDATE mailbox SET address = 'Taro@example.jp' WHERE address = 'taro@example.jp'",
            "mailbox",
            "Taro@example.jp",
            "not a mail address",
        ),
        (
            "UPDATE mailbox SET domain = 'example.net' WHERE address = 'taro@example.jp'",
            "mailbox",
            TARO,
            "under the domain example.net",
        ),
        (
            "UPDATE mailbox SET password_hash = '{PLAIN}secret' WHERE address = 'taro@example.jp'",
            "mailbox",
            TARO,
            "no hash that a password",
        ),
        (
            "UPDATE mailbox SET password_hash = (SELECT password_hash FROM mailbox WHERE "
            "address = 'taro@example.jp') WHERE address = 'gone@example.jp'",
            "mailbox",
            "gone@example.jp",
            "keeps the hash",
        ),
        (
            "UPDATE mailbox SET remove_on = '2026-04-08' WHERE address = 'taro@example.jp'",
            "mailbox",
            TARO,
            "was to be removed on 2026-04-08",
        ),
        (
            "UPDATE alias SET address = 'Info@example.jp'",
            "alias",
            "Info@example.jp",
            "not a mail address",
        ),
        (
            "UPDATE alias SET domain = 'example.net'",
            "alias",
            "info@example.jp",
            "under the domain example.net",
        ),
        (
            "UPDATE forward SET destination = 'a, b@example.com'",
            "forward",
            TARO,
            "goes to a, b@example.com, which is no mail address",
        ),
        (
            "DELETE FROM forward; UPDATE mailbox SET keeps_copy = false",
            "mailbox",
            TARO,
            "forwards to nobody",
        ),
        (
            "UPDATE catch_all SET domain = 'example.net'",
            "catch_all",
            "example.net",
            "of another domain",
        ),
        ("UPDATE plan SET mailboxes = 0", "mailbox", CONTRACT, "has 1 mailboxes, .* includes 0"),
        (
            "UPDATE access_account SET connection_id = 'k00000002@ppp.example.jp'",
            "access_account",
            "k00000002@ppp.example.jp",
            "not the connection ID of contract K00000001",
        ),
        (
            f"UPDATE access_account SET password_hash = '{WEAK}'",
            "access_account",
            ACCOUNT,
            "no hash that a password",
        ),
        (
            "INSERT INTO domain (name, added_on) VALUES ('example.org', '2026-04-01')",
            "domain",
            "example.org",
            "not in the journal",
        ),
        (
            "INSERT INTO mailbox (address, domain, contract_id, display_name, quota_mb, "
            "password_hash, status) SELECT 'own@example.jp', domain, contract_id, 'x', 1, "
            "password_hash, 'active' FROM mailbox WHERE address = 'taro@example.jp'",
            "mailbox",
            "own@example.jp",
            "not in the journal",
        ),
        (
            "UPDATE access_account SET contract_id = (SELECT id FROM contract WHERE "
            "number = 'K00000002'), connection_id = 'k00000002@ppp.example.jp'",
            "access_account",
            "K00000002",
            "not in the journal",
        ),
        (
            "UPDATE access_account SET status = 'removed'",
            "access_account",
            ACCOUNT,
            "keeps the hash",
        ),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(
    database: Engine, day: MakeDay, fault: str, table: str, subject: str, what: str
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        conclude(session, "K00000002")
        add_domain(session, shift, "example.net")
        add_mailbox(session, shift, TARO, CONTRACT)
        add_mailbox(session, shift, "gone@example.jp", CONTRACT)
        remove(session, shift, "gone@example.jp", at_once=True)
        add_alias(session, shift, "info@example.jp", TARO)
        forward(session, shift, TARO, ["taro@example.com"])
        set_catch_all(session, shift, "example.jp", TARO)
        add_app_password(session, shift, TARO, "phone")
        open_access(session, shift, CONTRACT)
        session.flush()
        assert list(problems(session, shift)) == []
        assert checked(session) == 9
        for statement in fault.split("; "):
            session.execute(text(statement))
        found = list(problems(session, shift))
        assert {(problem.table, problem.subject) for problem in found} == {(table, subject)}
        said = " ".join(problem.what for problem in found)
        assert re.search(what, said)
        assert "secret" not in said and "$6$" not in said


def test_what_outlives_its_contract_is_found_until_the_night_has_seen_to_it(
    database: Engine, day: MakeDay
) -> None:
    """Due yesterday is not late yet: the run of today may be still to come."""
    with Session(database) as session:
        conclude(session)
        shift = shift_of(day("2026-04-10"))
        add_mailbox(session, shift, TARO, CONTRACT)
        open_access(session, shift, CONTRACT)
        becomes(session, "ended", date(2026, 4, 30))

        def found(today: str) -> list[str]:
            return [problem.subject for problem in problems(session, shift_of(day(today)))]

        assert found("2026-05-01") == []
        assert found("2026-05-02") == [ACCOUNT]
        assert found("2026-05-31") == [ACCOUNT]
        assert found("2026-06-01") == [TARO, ACCOUNT]
        reconcile(session, shift_of(day("2026-06-01")))
        assert found("2026-06-01") == []


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("UPDATE dkim_key SET public_key = 'AAAA'", "do not belong together"),
        ("UPDATE dkim_key SET sealed_key = :junk", "does not open"),
    ],
)
def test_a_signing_key_whose_halves_do_not_fit_is_found(
    database: Engine, day: MakeDay, tmp_path: Path, fault: str, what: str
) -> None:
    make_key(tmp_path / "isp.key")
    shift = replace(shift_of(day("2026-04-10")), root=tmp_path)
    with Session(database) as session:
        add_domain(session, shift, "example.net")
        key = rotate(session, shift, "example.net")
        session.flush()
        assert list(problems(session, shift)) == []
        session.execute(text(fault), {"junk": b"junk"} if ":junk" in fault else {})
        session.expire_all()
        [found] = problems(session, shift)
        assert (found.table, found.subject) == (
            "dkim_key",
            f"{key.selector}._domainkey.example.net",
        )
        assert what in found.what
