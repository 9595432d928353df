"""Mailboxes of another system: all rows or none, hashes taken over, passwords made where missing."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from members import CONTRACT, MakeDay, conclude, shift_of
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.database import reading
from isp.errors import Refused, RowsRefused
from isp.journal import history
from isp.tables import Journal
from provisioning.passwords import hash_password, verify
from provisioning.queries import mailbox_named
from provisioning.runs.imports import import_mailboxes, issue_passwords, read_mailboxes
from provisioning.runs.mailboxes import add_mailbox, remove
from provisioning.tables import Mailbox

OLD_PASSWORD = "Sakura4Kawagoe"
HASH = hash_password(OLD_PASSWORD, "SHA512-CRYPT")
HEADER = "address,contract,display_name,quota_mb,password_hash"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "mailboxes.csv"
    path.write_text("\n".join((header, *rows, "")), "utf-8-sig")
    return path


def test_isp_01_a_taken_over_hash_keeps_the_password_and_a_missing_one_is_made(
    database: Engine, day: MakeDay, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        f"Taro@Example.jp,{CONTRACT},会員 太郎,100,{HASH}",
        f"hanako@example.jp,{CONTRACT},,,",
        f"jiro@example.jp,K00000002,,,{HASH.removeprefix('{SHA512-CRYPT}')}",
    )
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        conclude(session, "K00000002", "suspended")
        done = import_mailboxes(session, shift, path)
        session.commit()
        assert done.rows == 3
        assert set(done.passwords) == {"hanako@example.jp"}
        taro = mailbox_named(session, "taro@example.jp")
        assert (taro.display_name, taro.quota_mb, taro.status) == ("会員 太郎", 100, "active")
        assert verify(OLD_PASSWORD, taro.password_hash)
        hanako = mailbox_named(session, "hanako@example.jp")
        assert (hanako.display_name, hanako.quota_mb) == ("会員 00000001", 5000)
        password = done.passwords["hanako@example.jp"]
        assert verify(password, hanako.password_hash)
        jiro = mailbox_named(session, "jiro@example.jp")
        assert verify(OLD_PASSWORD, jiro.password_hash)
        assert (jiro.status, jiro.suspended_by) == ("suspended", "contract")
        (entry,) = history(session, "hanako@example.jp")
        assert entry.after == {
            "address": "hanako@example.jp",
            "contract": CONTRACT,
            "display_name": "会員 00000001",
            "quota_mb": 5000,
            "status": "active",
            "password_taken_over": False,
        }
        assert password not in repr(done)
        kept = "".join(f"{entry.after}" for entry in session.scalars(select(Journal)))
        assert HASH not in kept and password not in kept and hanako.password_hash not in kept


def test_passwords_may_be_made_before_the_writing_transaction(
    database: Engine, day: MakeDay, tmp_path: Path
) -> None:
    """The dry run reads only; the passwords it leads to are the ones that are stored."""
    path = written(tmp_path, f"taro@example.jp,{CONTRACT}", header="address,contract")
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session)
        session.commit()
    with Session(reading(database)) as session:
        issued = issue_passwords(shift, read_mailboxes(session, shift, path))
    assert issued["taro@example.jp"].password not in repr(issued)
    with Session(database) as session:
        done = import_mailboxes(session, shift, path, issued)
        stored = mailbox_named(session, "taro@example.jp").password_hash
    assert done.passwords == {"taro@example.jp": issued["taro@example.jp"].password}
    assert stored == issued["taro@example.jp"].password_hash


def test_all_04_every_bad_row_is_named_and_nothing_is_imported(
    database: Engine, day: MakeDay, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        f"good@example.jp,{CONTRACT},,,{HASH}",
        f"no-at,{CONTRACT},,,",
        f"taro@example.com,{CONTRACT},,,",
        f"GOOD@example.jp,{CONTRACT},,,",
        f"here@example.jp,{CONTRACT},,,",
        f"gone@example.jp,{CONTRACT},,,",
        "a@example.jp,K00000009,,,",
        "b@example.jp,K00000002,,,",
        f"c@example.jp,{CONTRACT},,many,",
        f"d@example.jp,{CONTRACT},,0,",
        f"e@example.jp,{CONTRACT},,,{{PLAIN}}{OLD_PASSWORD}",
        f"f@example.jp,{CONTRACT},\x07,,",
        f"g@example.jp,{CONTRACT}",
        f"second@example.jp,{CONTRACT},,,{HASH}",
        f"third@example.jp,{CONTRACT},,,",
    )
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session, mailboxes=3)
        conclude(session, "K00000002", "ended", ended_on=date(2026, 4, 9))
        for name in ("here", "gone"):
            add_mailbox(session, shift, f"{name}@example.jp", CONTRACT)
        remove(session, shift, "gone@example.jp", at_once=True)
        session.flush()
        before = counted(session)
        with pytest.raises(RowsRefused) as refused:
            import_mailboxes(session, shift, path)
        assert [(line, field) for line, field, _ in refused.value.rows] == [
            (3, "address"),
            (4, "address"),
            (5, "address"),
            (6, "address"),
            (7, "address"),
            (8, "contract"),
            (9, "contract"),
            (10, "quota_mb"),
            (11, "quota_mb"),
            (12, "password_hash"),
            (13, "display_name"),
            (14, "row"),
            (16, "contract"),
        ]
        assert OLD_PASSWORD not in str(refused.value.rows)
        assert counted(session) == before


def counted(session: Session) -> tuple[int, int]:
    boxes = session.scalars(select(func.count(Mailbox.id))).one()
    return boxes, session.scalars(select(func.count(Journal.id))).one()


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("address", "lacks contract"),
        ("address,contract,quota", "unknown columns: 'quota'"),
        ("address,contract,address", "twice"),
    ],
)
def test_all_04_a_header_of_other_columns_is_refused(
    database: Engine, day: MakeDay, tmp_path: Path, header: str, why: str
) -> None:
    path = written(tmp_path, header=header)
    with Session(database) as session, pytest.raises(Refused, match=why):
        import_mailboxes(session, shift_of(day("2026-04-10")), path)


def test_a_file_of_many_rows_without_hashes_gives_each_its_own_password(
    database: Engine, day: MakeDay, tmp_path: Path
) -> None:
    rows = [f"user{n}@example.jp,{CONTRACT}" for n in range(40)]
    path = written(tmp_path, *rows, header="address,contract")
    with Session(database) as session:
        conclude(session, mailboxes=40)
        done = import_mailboxes(session, shift_of(day("2026-04-10")), path)
        assert done.rows == len(set(done.passwords.values())) == 40
        for address in ("user0@example.jp", "user39@example.jp"):
            assert verify(done.passwords[address], mailbox_named(session, address).password_hash)
