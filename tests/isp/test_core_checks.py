"""Faults planted into every table of the core, behind the constraints, are found and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import desk
import pytest
from desk import company, contract, member, on, plan
from office import Office
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from isp.checks import TABLES, Problem, broken_constraints, checked, problems
from isp.database import Base
from isp.database import engine as engine_of
from isp.runs.renewals import end

CUTOFF = 15


@pytest.fixture
def busy(office: Office) -> Office:
    """An office with a row in every table: active, cancelling, withdrawn and ended contracts."""
    plan(office, installation_fee=24000, opening_fee=800)
    plan(office, "OFFICE", for_="corporation")
    taro, aoba = member(office), company(office)
    office.ok(
        *("payment-method", "set", taro, "card", "--token", "tok_1", "--brand", "visa"),
        *("--last4", "4242", "--expires", "2039-03", "--holder", "TARO YAMADA"),
    )
    office.ok(
        *(*on("2026-05-01"), "payment-method", "set", aoba, "account-transfer", "--bank", "0001"),
        *("--branch", "001", "--account-number", "1234567", "--holder", "アオバ"),
    )
    office.ok(*on("2026-06-01"), "payment-method", "set", aoba, "invoice")
    numbers = [contract(office, taro, opened_on=desk.TODAY) for _ in range(4)]
    for number in numbers[1:3]:
        office.ok(*on("2026-05-20"), "contract", "cancel", number, "--received", "2026-05-20")
    office.ok(*on("2026-04-12"), "contract", "withdraw", numbers[3], "--received", "2026-04-12")
    contract(office, aoba, opened_on=desk.TODAY, plan="OFFICE")
    return office


@pytest.fixture
def engine(busy: Office, database: Engine) -> Engine:
    """The database of the busy office; K00000003 has ended, and something is parked."""
    shift = desk.shift_of(desk.day_of("2026-07-01"))
    with Session(database) as session, session.begin():
        end(session, shift, "K00000003")
    return database


@dataclass(frozen=True)
class Fault:
    """Statements that plant it, and the problem that must be told: table, subject, a part of it."""

    table: str
    subject: str
    what: str
    plant: tuple[str, ...]


def fault(table: str, subject: str, what: str, *plant: str) -> Fault:
    return Fault(table, subject, what, plant)


FAULTS = [
    fault(
        *("customer", "C00000001", "breaks ck_customer_kind"),
        "UPDATE customer SET kind = 'alien' WHERE id = 1",
    ),
    fault(
        *("customer", "C00000002", "breaks ck_customer_corporate_number"),
        "UPDATE customer SET corporate_number = NULL WHERE id = 2",
    ),
    fault(
        *("customer", "C00000002", "fails its check digit"),
        "UPDATE customer SET corporate_number = '7100001235488' WHERE id = 2",
    ),
    fault(
        *("customer", "C00000001", "breaks ck_customer_language"),
        "UPDATE customer SET language = 'fr' WHERE id = 1",
    ),
    fault(
        *("customer", "C00000077", "is not in the journal"),
        "UPDATE customer SET number = 'C00000077' WHERE id = 1",
    ),
    fault(
        *("customer", "C00000001", "has no contract address"),
        "UPDATE address SET kind = 'delivery' WHERE customer_id = 1",
    ),
    fault("address", "1", "breaks ck_address_kind", "UPDATE address SET kind = 'x' WHERE id = 1"),
    fault(
        *("address", "1", "customer_id refers to nothing"),
        "UPDATE address SET customer_id = 99 WHERE id = 1",
    ),
    fault(
        *("address", "C00000001", "is no postcode"),
        "UPDATE address SET postal_code = '1000001' WHERE id = 1",
    ),
    fault(
        *("payment_method", "C00000002", "two payment methods are valid on one day"),
        "UPDATE payment_method SET valid_until = '2026-07-01' WHERE customer_id = 2"
        " AND kind = 'account-transfer'",
    ),
    fault(
        *("payment_method", "C00000002", "two payment methods are valid on one day"),
        "DROP INDEX uq_payment_method_current",
        "UPDATE payment_method SET valid_until = NULL WHERE customer_id = 2",
    ),
    fault(
        *("payment_method", "C00000001", "has a history of payment methods, and none now"),
        "UPDATE payment_method SET valid_until = '2039-01-01' WHERE customer_id = 1",
    ),
    fault(
        *("payment_method", "2", "breaks ck_payment_method_dates"),
        "UPDATE payment_method SET valid_until = '2026-04-01' WHERE id = 2",
    ),
    fault(
        *("payment_method", "2", "breaks ck_payment_method_account"),
        "UPDATE payment_method SET sealed_account = NULL WHERE id = 2",
    ),
    fault(
        *("payment_method", "2", "breaks ck_payment_method_has_mandate"),
        "UPDATE payment_method SET mandate = 'none' WHERE id = 2",
    ),
    fault(
        *("payment_method", "1", "breaks ck_payment_method_card"),
        "UPDATE payment_method SET card_token = NULL WHERE id = 1",
    ),
    fault(
        *("payment_method", "C00000001", "keeps a card number for a token"),
        "UPDATE payment_method SET card_token = '4242424242424242' WHERE id = 1",
    ),
    fault(
        *("payment_method", "C00000001", "keeps more or less than the last 4 digits"),
        "UPDATE payment_method SET card_last4 = '42424242' WHERE id = 1",
    ),
    fault(
        *("payment_method", "1", "customer_id refers to nothing"),
        "UPDATE payment_method SET customer_id = 99 WHERE id = 1",
    ),
    fault("plan", "HIKARI", "breaks ck_plan_fees", "UPDATE plan SET early_fee = -1 WHERE id = 1"),
    fault(
        *("plan", "HIKARI", "breaks ck_plan_term_months"),
        "UPDATE plan SET term_months = 0 WHERE id = 1",
    ),
    fault("plan", "HIKARI", "has no price", "DELETE FROM plan_price WHERE plan_id = 1"),
    fault("plan", "NEW", "is not in the journal", "UPDATE plan SET code = 'NEW' WHERE id = 1"),
    fault(
        *("plan_price", "HIKARI", "has months before its first price"),
        "UPDATE plan_price SET since = 24315 WHERE plan_id = 1",
    ),
    fault(
        *("plan_price", "1", "breaks ck_plan_price_monthly_fee"),
        "UPDATE plan_price SET monthly_fee = -5200 WHERE plan_id = 1",
    ),
    fault(
        *("plan_price", "99", "plan_id refers to nothing"),
        "UPDATE plan_price SET plan_id = 99 WHERE plan_id = 1",
    ),
    fault(
        *("contract", "K00000001", "breaks ck_contract_status"),
        "UPDATE contract SET status = 'lost' WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "breaks ck_contract_opened_after_conclusion"),
        "UPDATE contract SET opened_on = '2026-04-01' WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "is suspended, and active by the journal"),
        "UPDATE contract SET status = 'suspended' WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "is not charged from the month of its opening"),
        "UPDATE contract SET charged_from = charged_from + 1 WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "is cancelling without a complete application"),
        "UPDATE contract SET status = 'cancelling' WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "costs more than one monthly fee to leave"),
        "UPDATE contract SET early_fee = 5201 WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "is for a plan that is not sold to such a customer"),
        "UPDATE contract SET plan_id = 2 WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "was told 2028-05, which is no renewal month"),
        "UPDATE contract SET renewal_announced = 24340 WHERE id = 1",
    ),
    fault(
        *("contract", "K00000099", "is not in the journal"),
        "UPDATE contract SET number = 'K00000099' WHERE id = 1",
    ),
    fault(
        *("contract", "K00000001", "customer_id refers to nothing"),
        "UPDATE contract SET customer_id = 99 WHERE id = 1",
    ),
    fault(
        *("cancellation", "K00000002", "does not end by its day of receipt"),
        "UPDATE cancellation SET last_charged_month = last_charged_month - 1 WHERE contract_id = 2",
    ),
    fault(
        *("cancellation", "K00000003", "does not end with the last month charged"),
        "UPDATE contract SET ended_on = '2026-07-31' WHERE id = 3",
    ),
    fault(
        *("cancellation", "K00000002", "is complete, yet the contract goes on"),
        "UPDATE contract SET status = 'active' WHERE id = 2",
    ),
    fault(
        *("cancellation", "K00000002", "costs more than was agreed"),
        "UPDATE cancellation SET early_fee = 99999 WHERE contract_id = 2",
    ),
    fault(
        *("cancellation", "K00000004", "costs more than was agreed"),
        "UPDATE cancellation SET early_fee = 1 WHERE contract_id = 4",
    ),
    fault(
        *("cancellation", "K00000002", "is withdrawn on one side only"),
        "UPDATE cancellation SET kind = 'withdrawal' WHERE contract_id = 2",
    ),
    fault(
        *("cancellation", "2", "breaks ck_cancellation_complete_has_end"),
        "UPDATE cancellation SET completed_on = NULL WHERE contract_id = 2",
    ),
    fault(
        *("cancellation", "99", "contract_id refers to nothing"),
        "UPDATE cancellation SET contract_id = 99 WHERE contract_id = 2",
    ),
    fault(
        *("contract", "K00000001", "is not in the journal"),
        "DELETE FROM journal WHERE subject = 'K00000001'",
    ),
    fault(
        *("contract", "K00000002", "is cancelling, and active by the journal"),
        "DELETE FROM journal WHERE subject = 'K00000002' AND act = 'contract.cancelled'",
    ),
    fault("journal", "journal_no_update", "is gone", "DROP TRIGGER journal_no_update{on_journal}"),
    fault("journal", "journal_no_delete", "is gone", "DROP TRIGGER journal_no_delete{on_journal}"),
    fault(
        *("outbox", "1", "is for C77777777, who is no customer"),
        "UPDATE outbox SET subject = 'C77777777' WHERE id = 1",
    ),
    fault(
        *("parked", "K00000001", "renew since 2026-04-10: Refused: x"),
        "INSERT INTO parked VALUES ('renew', 'K00000001', 'Refused: x', '2026-04-10')",
    ),
]


def unguarded(connection: Connection) -> None:
    """Switch off what would refuse the fault: foreign keys, checks, triggers."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        checks = text(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
        for table, name in connection.execute(checks).all():
            connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
        return
    connection.execute(text("PRAGMA ignore_check_constraints = ON"))


@pytest.fixture
def open_books(engine: Engine) -> Iterator[Connection]:
    """A connection on which SQLite keeps no foreign keys; nothing of it is committed."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.dbapi_connection
            driver.execute("PRAGMA foreign_keys = OFF")
        yield connection
        connection.rollback()
        connection.invalidate()


def planted(connection: Connection, statements: tuple[str, ...]) -> list[Problem]:
    """The problems that the checks tell while a fault is there; afterwards it never was."""
    with connection.begin() as transaction:
        unguarded(connection)
        postgresql = connection.dialect.name == "postgresql"
        for statement in statements:
            sql = statement.format(on_journal=" ON journal" if postgresql else "")
            if not postgresql and "journal WHERE" in sql:
                connection.execute(text("DROP TRIGGER journal_no_delete"))
            done = connection.execute(text(sql))
            assert done.rowcount != 0, f"plants nothing: {sql}"
        found = list(problems(Session(bind=connection), CUTOFF))
        transaction.rollback()
    return found


def test_an_office_at_work_has_no_problem(engine: Engine) -> None:
    with Session(engine) as session:
        assert list(problems(session, CUTOFF)) == []
        assert checked(session) > 40


def test_every_planted_fault_is_found(open_books: Connection) -> None:
    missed = []
    for each in FAULTS:
        found = planted(open_books, each.plant)
        if not any(
            (problem.table, problem.subject) == (each.table, each.subject)
            and each.what in problem.what
            for problem in found
        ):
            missed.append((each, found))
    assert missed == []
    assert planted(open_books, ("SELECT 1",)) == [], "what was planted is gone"


def test_a_fault_is_planted_in_every_table() -> None:
    assert {fault.table for fault in FAULTS} == {table.__tablename__ for table in TABLES}


def test_every_table_of_the_core_is_walked(engine: Engine) -> None:
    """What is in no list of tables is in another room's."""
    core = {
        mapper.class_.__tablename__
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ == "isp.tables"
    }
    assert {table.__tablename__ for table in TABLES} == core
    assert core <= set(inspect(engine).get_table_names())


def test_rows_without_a_value_or_twice_are_told(
    new_postgresql: Callable[[str], str], postgresql_template: str, tmp_path: Path
) -> None:
    """On PostgreSQL, where such constraints can be taken away; SQLite would need new tables."""
    office = Office(tmp_path, new_postgresql(postgresql_template))
    plan(office)
    for _ in range(2):
        contract(office, member(office))
    opened = engine_of(office.database_url)
    with opened.connect() as connection, connection.begin() as transaction:
        for statement in (
            "SET LOCAL session_replication_role = replica",
            "ALTER TABLE customer ALTER name DROP NOT NULL",
            "UPDATE customer SET name = NULL WHERE id = 1",
            "ALTER TABLE contract DROP CONSTRAINT uq_contract_number",
            "UPDATE contract SET number = 'K00000002' WHERE id = 1",
        ):
            connection.execute(text(statement))
        found = set(broken_constraints(Session(bind=connection), TABLES))
        transaction.rollback()
    opened.dispose()
    assert found == {
        Problem("customer", "C00000001", "name is missing"),
        Problem("contract", "K00000002", "number is there twice"),
    }


def test_checks_change_nothing_and_wait_for_nobody(busy: Office) -> None:
    with desk.untouched(busy):
        assert busy.ok("check")["ok"]
