"""The journal: every change with who and when, never changed itself, and never a secret in it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import desk
import pytest
from desk import TARO, acts, contract, everything, joined, member, on, plan
from office import Office
from sqlalchemy import delete, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from isp.journal import SECRET, history, kept, plain, record
from isp.month import Month
from isp.tables import Journal

# It cannot be changed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET actor = 'nobody'",
        "UPDATE journal SET id = id + 1000",
        "UPDATE journal SET after = NULL WHERE id = 1",
        "DELETE FROM journal",
        "DELETE FROM journal WHERE id = 1",
    ],
)
def test_all_03_the_database_refuses_to_change_the_journal(
    office: Office, database: Engine, statement: str
) -> None:
    member(office)
    with desk.untouched(office):
        with pytest.raises(IntegrityError, match="rows are kept as they are"):
            with database.begin() as connection:
                connection.execute(text(statement))


def test_all_03_no_way_around(office: Office, database: Engine) -> None:
    """Neither by writing a row over another, nor by emptying the table, nor by the program itself."""
    member(office)
    around = {
        "sqlite": [
            "INSERT OR REPLACE INTO journal SELECT * FROM journal",
            "REPLACE INTO journal SELECT * FROM journal WHERE id = 1",
        ],
        "postgresql": [
            "TRUNCATE journal",
            "INSERT INTO journal SELECT * FROM journal ON CONFLICT (id) DO UPDATE SET actor = 'x'",
        ],
    }
    with desk.untouched(office):
        for statement in around[database.dialect.name]:
            with pytest.raises(IntegrityError), database.begin() as connection:
                connection.execute(text(statement))
        for act in (update(Journal).values(actor="nobody"), delete(Journal)):
            with pytest.raises(IntegrityError), Session(database) as session:
                session.execute(act)


def test_all_03_an_act_once_taken_back_leaves_the_rest(office: Office, database: Engine) -> None:
    """What is rolled back was never done; what was committed before stays."""
    member(office)
    shift = desk.shift_of(desk.day_of(desk.TODAY))
    with desk.untouched(office), Session(database) as session:
        record(session, shift, "test.done", "C00000001")
        session.flush()
        session.rollback()


# Every change is in it


def test_all_03_every_change_leaves_its_act(office: Office) -> None:
    """Each command that changes something, and the act by which it is told."""
    place = ("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")
    file = office.folder / "file.csv"
    customers = ",".join(TARO) + "\n" + ",".join(TARO.values()) + "\n"
    contracts = "customer,plan,concluded_on\nC00000001,HIKARI,2026-04-10\n"
    commands: list[tuple[tuple[object, ...], str]] = [
        (("plan", "add", "HIKARI", *desk.options(desk.HIKARI)), "plan.added"),
        (("plan", "price", "HIKARI", "--monthly-fee", 5500, "--from", "2030-04"), "plan.priced"),
        (("plan", "set", "HIKARI", "--early-fee", 3000), "plan.changed"),
        (("customer", "add", *desk.options(TARO)), "customer.added"),
        (("customer", "set", "C00000001", "--phone", "090-1234-5678"), "customer.changed"),
        (("customer", "import", file, customers), "customer.added"),
        (("payment-method", "set", "C00000001", "invoice"), "payment-method.set"),
        (
            ("contract", "apply", "C00000001", "HIKARI", "--concluded-on", "2026-04-10"),
            "contract.concluded",
        ),
        (("contract", "import", file, contracts), "contract.taken-over"),
        (("contract", "open", "K00000001", "--on", "2026-04-10"), "contract.opened"),
        (
            ("contract", "document-received", "K00000001", "--on", "2026-04-12"),
            "contract.document-received",
        ),
        (("contract", "suspend", "K00000001"), "contract.suspended"),
        (("contract", "resume", "K00000001"), "contract.resumed"),
        (("contract", "move", "K00000001", *place, "--line"), "contract.moved"),
        (("contract", "move", "K00000001", *place, "--no-line"), "contract.move-impossible"),
        (
            ("contract", "cancel", "K00000001", "--received", "2026-04-14", "--incomplete"),
            "contract.cancellation-incomplete",
        ),
        (("contract", "cancel", "K00000001", "--received", "2026-04-15"), "contract.cancelled"),
        (("contract", "withdraw", "K00000002", "--received", "2026-04-15"), "contract.withdrawn"),
    ]
    for words, act in commands:
        if words[1] == "import":
            *words, content = words  # type: ignore[assignment]  # the last word is the file's text
            file.write_text(str(content))
        before = len(office.ok("journal", "--last", 10_000))
        office.ok("--now", "2026-04-15T11:22:33", "--actor", "suzuki", *words)
        new = office.ok("journal", "--last", 10_000)[before:]
        assert act in [told["act"] for told in new], words
        for told in new:
            assert (told["actor"], told["at"]) == ("suzuki", "2026-04-15T11:22:33+09:00")
            assert told["business_date"] == "2026-04-15"
            assert told["after"], words


def test_all_03_looking_leaves_no_trace(office: Office) -> None:
    number = joined(office)
    with desk.untouched(office):
        for words in (
            ("customer", "show", "C00000001"),
            ("customer", "list"),
            ("customer", "history", "C00000001"),
            ("payment-method", "history", "C00000001"),
            ("plan", "list"),
            ("plan", "show", "HIKARI"),
            ("contract", "show", number),
            ("contract", "list"),
            ("contract", "cancel", number, "--received", "2026-05-10", "--dry-run"),
            ("outbox", "list"),
            ("journal",),
            ("check",),
        ):
            for form in ("json", "csv", "table"):
                assert office("--format", form, *words).exit_code == 0, words


def test_all_03_before_and_after_stand_side_by_side(office: Office) -> None:
    number = joined(office)
    office.ok(*on("2026-05-10"), "contract", "cancel", number, "--received", "2026-05-10")
    act = acts(office, number)[-1]
    assert act["before"] == {"status": "active"}
    assert act["after"] == office.ok(*on("2026-05-10"), "contract", "show", number)


# Who acts


def test_who_acts_is_named_by_environment_or_option(office: Office) -> None:
    number = member(office)
    assert acts(office, number)[0]["actor"] == "tester"  # by ISP_ACTOR
    office.ok("--actor", "鈴木", "customer", "set", number, "--phone", "090-1234-5678")
    assert acts(office, number)[1]["actor"] == "鈴木"


@pytest.mark.parametrize("actor", ["a\nb", "\x1b[31m", "あ" * 81, "a\u202eb"])
def test_all_04_an_actor_that_could_forge_a_line_is_refused(office: Office, actor: str) -> None:
    with desk.untouched(office):
        refusal = office.refused("--actor", actor, "customer", "add", *desk.options(TARO))
    assert refusal.startswith("actor: ")


# No secret is in it


def test_all_03_no_secret_is_in_the_journal(office: Office) -> None:
    """Account numbers, card tokens, passwords and their hashes; nor in clear in any other table."""
    number = joined(office)
    who = ("payment-method", "set", "C00000001")
    office.ok(
        *(*who, "account-transfer", "--bank", "0001", "--branch", "001"),
        *("--account-number", "7654321", "--holder", "ヤマダタロウ"),
    )
    office.ok(
        *(*who, "card", "--token", "tok_9f3a", "--brand", "visa", "--last4", "4242"),
        *("--expires", "2039-03", "--holder", "TARO YAMADA"),
    )
    office.ok("domain", "add", "example.jp")
    passwords = [
        office.ok("mailbox", "add", "taro@example.jp", "--contract", number)["password"],
        office.ok("mailbox", "reissue", "taro@example.jp")["password"],
    ]
    kept_rows = everything(office.database_url)
    [mailbox] = [row for row in kept_rows["mailbox"] if "taro@example.jp" in row]
    [hashed] = [cell for cell in mailbox if isinstance(cell, str) and cell.startswith("{")]
    assert len(set(passwords)) == 2
    journal = str(kept_rows["journal"])
    assert "mailbox" in journal
    for secret in ("7654321", "tok_9f3a", hashed, hashed.partition("}")[2], *passwords):
        assert secret not in journal
    for secret in ("7654321", *passwords):
        assert secret not in str(kept_rows)


def test_all_03_of_a_secret_only_its_change_is_told() -> None:
    row = dict.fromkeys(SECRET, "geheim") | {"name": "山田", "missing": None}
    told = kept(row)
    assert told is not None
    assert {told[name] for name in SECRET} == {"***"}
    assert (told["name"], told["missing"]) == ("山田", None)
    assert kept({"card_token": None}) == {"card_token": None}
    assert kept(None) is None


def test_values_are_kept_as_json_knows_them() -> None:
    at = datetime(2026, 4, 10, 9, tzinfo=UTC)
    values = {"on": date(2026, 4, 10), "at": at, "month": Month.parse("2026-04"), "n": (1, True)}
    assert plain(values) == {
        "on": "2026-04-10",
        "at": "2026-04-10T09:00:00+00:00",
        "month": "2026-04",
        "n": [1, True],
    }
    with pytest.raises(AssertionError, match="cannot keep a bytes"):
        plain({"message": b"secret"})


# Read


def test_isp_08_a_subject_has_its_history_in_order(office: Office, database: Engine) -> None:
    plan(office)
    first, second = member(office), member(office)
    number = contract(office, first, opened_on=desk.TODAY)
    with Session(database) as session:
        assert [act.act for act in history(session, number)] == [
            *("contract.concluded", "contract.opened")
        ]
    assert [act["act"] for act in acts(office, second)] == ["customer.added"]
    assert acts(office, "K99999999") == []


def test_the_last_acts_are_shown_oldest_first(office: Office) -> None:
    for _ in range(3):
        member(office)
    assert [act["subject"] for act in office.ok("journal", "--last", 2)] == [
        *("C00000002", "C00000003")
    ]
    assert len(office.ok("journal")) == 3
