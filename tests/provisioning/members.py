"""A member with a contract, as the tests of mailboxes need one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from isp.calendar import TOKYO, Day
from isp.lifecycle import ContractStatus
from isp.month import Month
from isp.policy import parse, profile_text
from isp.shift import Shift
from isp.tables import Address, Contract, Customer, Plan
from provisioning.runs.mailboxes import add_domain
from provisioning.tables import Domain

CONTRACT = "K00000001"
MakeDay = Callable[..., Day]


def shift_of(day: Day, actor: str = "desk") -> Shift:
    """The default profile; no run of the mail side touches a file, so the folder is nowhere."""
    return Shift(parse(profile_text("consumer-isp")), day, actor, Path("/nowhere"))


def conclude(
    session: Session,
    number: str = CONTRACT,
    status: ContractStatus = "active",
    *,
    mailboxes: int = 2,
    ended_on: date | None = None,
) -> Contract:
    """A contract of a new member, who has concluded it on 2026-04-01, in this status."""
    ordinal = number.removeprefix("K")
    customer = Customer(
        number=f"C{ordinal}",
        kind="individual",
        name=f"会員 {ordinal}",
        kana="カイイン",
        email=f"member{ordinal}@example.net",
        phone="03-1234-5678",
        joined_on=date(2026, 4, 1),
        addresses=[
            Address(kind="contract", postal_code="100-0001", address="東京都千代田区千代田1-1")
        ],
    )
    plan = Plan(
        code=f"P{ordinal}",
        name="光プラン",
        line="hikari",
        term_months=24,
        early_fee=0,
        early_fee_tax="none",
        opening_fee=0,
        free_months=0,
        installation_fee=0,
        sold_to="any",
        mailboxes=mailboxes,
    )
    contract = Contract(
        number=number,
        customer=customer,
        plan=plan,
        status=status,
        applied_on=date(2026, 4, 1),
        concluded_on=date(2026, 4, 1),
        document_received_on=date(2026, 4, 1),
        opened_on=None if status == "applied" else date(2026, 4, 1),
        charged_from=None if status == "applied" else Month.parse("2026-04"),
        ended_on=ended_on,
        term_months=24,
        early_fee=0,
        early_fee_tax="none",
        opening_fee=0,
        free_months=0,
        installation_fee=0,
    )
    if session.get(Domain, "example.jp") is None:
        now = datetime(2026, 4, 1, 9, tzinfo=TOKYO)
        add_domain(session, shift_of(Day(now.date(), now)), "example.jp")
    session.add(contract)
    session.flush()
    return contract


def becomes(
    session: Session, status: ContractStatus, ended_on: date | None = None, number: str = CONTRACT
) -> None:
    """The contract is in another status by now, whoever moved it."""
    session.execute(
        update(Contract)
        .where(Contract.number == number)
        .values(status=status, ended_on=ended_on)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
