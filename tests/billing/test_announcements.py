"""Notices of invoices: the right one to each member, each once, however often it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from bureau import Bureau, month
from sqlalchemy import Engine, select

from billing.runs import announcements
from billing.runs.announcements import announce
from billing.runs.corrections import void
from billing.runs.payments import record_payment
from isp.tables import Customer, Outbox

TODAY = "2026-05-03"


@pytest.fixture
def bureau(database: Engine, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


def told(bureau: Bureau) -> list[tuple[str, str]]:
    """(customer, kind of notice) in the order of the outbox."""
    with bureau.transaction() as session:
        return [
            (subject, kind)
            for subject, kind in session.execute(
                select(Outbox.subject, Outbox.kind).order_by(Outbox.id)
            )
        ]


def in_parts(bureau: Bureau, limit: int) -> Iterator[int]:
    """As the daily run asks: a transaction a part, until nothing is left."""
    after: int | None = 0
    while after is not None:
        posted, after = bureau.act(TODAY, announce, month("2026-04"), limit, after)
        yield posted


@pytest.mark.req("ISP-04", "ISP-07", "ALL-02")
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_isp_04_each_member_is_told_once_and_card_payers_not_at_all(
    bureau: Bureau, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "LOOK_AT", 2)
    plan = bureau.plan(5_000)
    numbers = []
    for pays in ("account-transfer", "card", "invoice", None, "invoice", "invoice"):
        customer = bureau.customer(pays)
        bureau.contract(customer, plan)
        with bureau.transaction() as session:
            numbers.append(session.get_one(Customer, customer).number)
    bureau.bill("2026-04")
    bureau.bill("2026-05", "2026-06-03")
    bureau.act(TODAY, void, "R00000005", "誤り")
    bureau.act(TODAY, record_payment, "R00000006", 5_500, date(2026, 5, 3), "cash")
    before = told(bureau)
    assert sum(in_parts(bureau, limit)) == 3
    assert told(bureau)[len(before) :] == [
        (numbers[0], "transfer-announced"),
        (numbers[2], "invoice-issued"),
        (numbers[3], "invoice-issued"),
    ]
    assert sum(in_parts(bureau, limit)) == 0
    assert len(told(bureau)) == len(before) + 3


@pytest.mark.req("ISP-07", "ALL-05")
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", ("5,720円", "2026年5月25日", "R00000001")),
        ("en", ("¥5,720", "25 May 2026", "R00000001")),
    ],
)
def test_amount_and_day_of_transfer_are_announced(
    bureau: Bureau, language: str, words: tuple[str, ...]
) -> None:
    bureau.contract(bureau.customer("account-transfer", language=language), bureau.plan(5_000))
    bureau.bill("2026-04")
    list(in_parts(bureau, 10))
    with bureau.transaction() as session:
        [raw] = session.scalars(select(Outbox.message))
    text = message_from_bytes(raw, policy=default).get_content()
    assert all(word in text for word in words)
