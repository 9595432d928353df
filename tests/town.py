"""A small town of members, taken on and served as an operator does it at the command line."""

from __future__ import annotations

from typing import Any

from office import Office
from outside import Purse
from sqlalchemy import text

PLACE = ("--postal-code", "100-0001", "--address", "東京都千代田区千代田1-1")
COMPANY = "7100001235487"
"""A corporate number with its right check digit."""

METHODS: dict[str, tuple[str, ...]] = {
    "account-transfer": (
        *("--bank", "0001", "--branch", "001", "--account-type", "ordinary"),
        *("--account-number", "1234567", "--holder", "ヤマダタロウ"),
    ),
    "card": (
        *("--token", "tok_1", "--brand", "visa", "--last4", "4242"),
        *("--expires", "2039-12", "--holder", "TARO YAMADA"),
    ),
    "invoice": (),
}


def plan(office: Office, today: str, code: str, fee: int, term: int, *more: object) -> None:
    """A plan on sale from `today` on."""
    office.ok(
        *("--today", today, "plan", "add", code, "--name", f"プラン{code}"),
        *("--monthly-fee", fee, "--term-months", term, *more),
    )


def member(office: Office, today: str, method: str | None = None, kind: str = "individual") -> str:
    """A new member's number."""
    company = ("--corporate-number", COMPANY) if kind == "corporation" else ()
    name = "株式会社青葉商事" if company else "山田太郎"
    added = office.ok(
        *("--today", today, "customer", "add", "--name", name, "--kana", "ヤマダタロウ"),
        *("--kind", kind, "--email", "taro@example.com", "--phone", "03-1234-5678"),
        *(*PLACE, *company),
    )
    if method is not None:
        pays_by(office, today, added["number"], method)
    return str(added["number"])


def pays_by(office: Office, today: str, customer: str, method: str) -> None:
    """From today on the member pays this way."""
    command = ("payment-method", "set", customer, method, *METHODS[method])
    office.ok("--today", today, *command)


def contract(
    office: Office, concluded: str, customer: str, plan: str, opened: str | None = None
) -> str:
    """The number of a contract concluded, and opened if a day is given, on those very days."""
    made = office.ok(
        *("--today", concluded, "contract", "apply", customer, plan, "--concluded-on", concluded)
    )
    if opened is not None:
        office.ok("--today", opened, "contract", "open", made["number"], "--on", opened)
    return str(made["number"])


def daily(office: Office, today: str) -> dict[str, dict[str, Any]]:
    """The steps of the daily run of `today`, by name."""
    return {step["name"]: step for step in office.ok("--today", today, "daily")["steps"]}


def invoices(office: Office, today: str, *words: object) -> list[dict[str, Any]]:
    found = office.ok("--today", today, "invoice", "list", *words)
    assert isinstance(found, list)
    return found


def lines(invoice: dict[str, Any]) -> dict[str, int]:
    """Yen net by kind of line, for invoices with one line a kind."""
    kinds = [line["kind"] for line in invoice["lines"]]
    assert len(set(kinds)) == len(kinds), invoice
    return {line["kind"]: line["net"] for line in invoice["lines"]}


def everything(url: str) -> dict[str, list[Any]]:
    """Every row of every table, by table; to be compared with itself, some time later."""
    import billing.tables
    import isp.tables
    import provisioning.tables

    rooms = (isp.tables, billing.tables, provisioning.tables)
    tables = {name: table for room in rooms for name, table in room.Base.metadata.tables.items()}
    opened = isp.database.engine(url)
    with isp.database.reading(opened).connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in tables
        }
    opened.dispose()
    return found


def prove(office: Office, today: str, purse: Purse | None = None) -> None:
    """`isp check` finds nothing, and every yen billed has been paid, credited, or is still owed."""
    answer = office("--today", today, "check")
    proof = answer.json
    assert proof["problems"] == [] and proof["ok"] is True and proof["checked"] > 0
    assert answer.exit_code == 0
    if purse is None:
        return
    found = invoices(office, today)
    billed = sum(
        each["gross"] for each in found if each["kind"] == "invoice" and each["status"] != "void"
    )
    credited = -sum(each["gross"] for each in found if each["kind"] == "credit-note")
    owed = sum(each["balance"] for each in found)
    assert billed == purse.paid + owed + credited
