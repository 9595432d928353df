"""What the desk does again and again: members, plans and contracts by the command line, for tests.

And what tests look at afterwards: the whole database, the acts in the journal, the notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from office import Office
from sqlalchemy import inspect, text

from isp import database
from isp.calendar import TOKYO, Day
from isp.policy import parse, profile_text
from isp.shift import Shift

TODAY = "2026-04-10"
TARO = {
    "name": "山田太郎",
    "kana": "ヤマダタロウ",
    "kind": "individual",
    "email": "taro@example.com",
    "phone": "03-1234-5678",
    "postal_code": "100-0001",
    "address": "東京都千代田区千代田1-1",
}
AOBA = TARO | {
    "name": "株式会社青葉商事",
    "kana": "アオバショウジ",
    "kind": "corporation",
    "email": "soumu@aoba.example.com",
    "corporate_number": "7100001235487",
}
"""A company, its corporate number with the right check digit."""
HIKARI = {"name": "ひかり", "monthly_fee": 5200, "term_months": 24, "early_fee": 5200}

Row = dict[str, Any]


def options(fields: Row) -> list[str]:
    """`monthly_fee=5200` as `--monthly-fee 5200`; what is None is left out."""
    return [
        word
        for field, value in fields.items()
        if value is not None
        for word in (f"--{field.replace('_', '-')}", str(value))
    ]


def on(today: str) -> tuple[str, str]:
    return "--today", today


def member(office: Office, today: str = TODAY, **changes: str | None) -> str:
    """A new member's number: Taro, but for what is given."""
    added = office.ok(*on(today), "customer", "add", *options(TARO | changes))
    return str(added["number"])


def company(office: Office, today: str = TODAY, **changes: str | None) -> str:
    return member(office, today, **(AOBA | changes))


def plan(office: Office, code: str = "HIKARI", today: str = TODAY, **changes: object) -> str:
    """A plan on sale; `for_` is `--for`."""
    fields = {name.rstrip("_"): value for name, value in (HIKARI | changes).items()}
    office.ok(*on(today), "plan", "add", code, *options(fields))
    return code


def contract(
    office: Office,
    customer: str,
    concluded_on: str = TODAY,
    opened_on: str | None = None,
    plan: str = "HIKARI",
) -> str:
    """The number of a contract, each step on its day."""
    concluded = ("contract", "apply", customer, plan, "--concluded-on", concluded_on)
    number = office.ok(*on(concluded_on), *concluded)["number"]
    if opened_on is not None:
        office.ok(*on(opened_on), "contract", "open", number, "--on", opened_on)
    return str(number)


def joined(office: Office, concluded_on: str = TODAY, opened_on: str | None = None) -> str:
    """A member with a contract for 24 months: its number."""
    plan(office, today=concluded_on)
    return contract(office, member(office, concluded_on), concluded_on, opened_on or concluded_on)


def shift_of(day: Day, folder: Path = Path("/nowhere"), actor: str = "desk") -> Shift:
    """The default profile; `folder` has the key where a run needs it."""
    return Shift(parse(profile_text("consumer-isp")), day, actor, folder)


# What is left behind


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    opened = database.engine(url)
    with opened.connect() as connection:
        kept = {
            table: sorted(map(tuple, connection.execute(text(f'SELECT * FROM "{table}"'))), key=str)
            for table in inspect(connection).get_table_names()
        }
    opened.dispose()
    return kept


@contextmanager
def untouched(office: Office) -> Iterator[None]:
    """Nothing in the whole database may change meanwhile."""
    before = everything(office.database_url)
    yield
    assert everything(office.database_url) == before


def acts(office: Office, subject: str) -> list[Row]:
    """What the journal has of a subject, oldest first."""
    found = office.ok("journal", subject, "--last", 10_000)
    assert isinstance(found, list)
    return found


def notices(office: Office, kind: str | None = None) -> list[Row]:
    """The notices in the outbox, oldest first."""
    listed = office.ok("outbox", "list")
    return [notice for notice in listed if kind in (None, notice["kind"])]


def notice_text(office: Office, kind: str) -> str:
    """The text of the only notice of its kind."""
    [notice] = notices(office, kind)
    return str(office.ok("outbox", "show", notice["id"])["text"])


def month_later(day: str, months: int) -> str:
    """The first of the month so many months after that of `day`."""
    at = date.fromisoformat(day)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    return str(date(year, month + 1, 1))


def day_of(today: str) -> Day:
    """Nine in the morning of a business date."""
    at = date.fromisoformat(today)
    return Day(at, datetime.combine(at, time(9), TOKYO))
