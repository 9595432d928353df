"""A small office to bill from: members, plans and contracts put where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session

from billing.queries import invoice_json
from billing.runs.bill import BillResult, bill
from billing.tables import Invoice
from isp import sealing
from isp.banks import BankAccount
from isp.calendar import TOKYO, Day
from isp.month import Month
from isp.policy import Policy, parse, profile_text
from isp.shift import Shift
from isp.tables import Address, Cancellation, Contract, Customer, PaymentMethod, Plan, PlanPrice

ACCOUNT = BankAccount("0001", "001", "ordinary", "1234567", "ﾔﾏﾀﾞ ﾀﾛｳ")
EVER = Month.parse("1900-01")


def month(text: str) -> Month:
    return Month.parse(text)


class Bureau:
    """`bureau.customer()`, `bureau.contract(customer, plan, opened="2026-04-10")`, `bureau.bill("2026-04")`."""

    def __init__(self, engine: Engine | Connection, root: Path) -> None:
        """On an engine each act commits; on a connection all is undone with its transaction."""
        self.engine, self.root = engine, root
        self.policy: Policy = parse(profile_text("consumer-isp"))
        if not (root / "isp.key").exists():
            sealing.make_key(root / "isp.key")
        self._numbers = count(1)

    def shift(self, today: str, at: str = "09:00") -> Shift:
        on = date.fromisoformat(today)
        day = Day(on, datetime.combine(on, time.fromisoformat(at), TOKYO))
        return Shift(self.policy, day, "tester", self.root)

    def with_policy(self, section: str, **knobs: Any) -> None:
        changed = msgspec.structs.replace(getattr(self.policy, section), **knobs)
        self.policy = msgspec.structs.replace(self.policy, **{section: changed})

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with self.session() as session:
            yield session
            session.commit()

    def session(self, **knobs: Any) -> Session:
        return Session(self.engine, join_transaction_mode="create_savepoint", **knobs)

    def act(self, today: str, run: Callable[..., Any], *words: Any, **knobs: Any) -> Any:
        """`run(session, shift, *words)` as the command line would, in a transaction of its own."""
        with self.session(expire_on_commit=False) as session:
            done = run(session, self.shift(today), *words, **knobs)
            session.commit()
            return done

    def plan(
        self,
        fee: int = 5_000,
        *,
        prices: dict[str, int] | None = None,
        name: str = "光ベーシック",
        **fees: Any,
    ) -> int:
        """A plan with one price, or several from months on; its id."""
        columns = {
            "code": f"P{next(self._numbers)}",
            "name": name,
            "line": "none",
            "term_months": 24,
            "early_fee": 0,
            "early_fee_tax": "none",
            "opening_fee": 0,
            "free_months": 0,
            "installation_fee": 0,
            "sold_to": "any",
            "mailboxes": 5,
        }
        with self.transaction() as session:
            made = Plan(**(columns | fees))
            made.prices.append(PlanPrice(since=EVER, monthly_fee=fee))
            for since, price in (prices or {}).items():
                made.prices.append(PlanPrice(since=month(since), monthly_fee=price))
            session.add(made)
            session.flush()
            return made.id

    def customer(
        self,
        pays: str | None = None,
        *,
        mandate: str = "active",
        language: str = "ja",
        account: BankAccount = ACCOUNT,
        billing_address: str | None = None,
    ) -> int:
        """A member paying by `account-transfer`, `card`, `invoice` or not saying how; the id."""
        number = next(self._numbers)
        with self.transaction() as session:
            made = Customer(
                number=f"C{number:08d}",
                kind="individual",
                name=f"山田 太郎{number}",
                kana="ヤマダ タロウ",
                email=f"member{number}@example.jp",
                phone="+81312345678",
                language=language,
                joined_on=date(2020, 1, 1),
            )
            made.addresses.append(
                Address(kind="contract", postal_code="100-0001", address="東京都千代田区千代田1-1")
            )
            if billing_address:
                made.addresses.append(
                    Address(kind="billing", postal_code="530-0001", address=billing_address)
                )
            session.add(made)
            session.flush()
            id = made.id
        if pays:
            self.pays(id, pays, mandate=mandate, account=account)
        return id

    def pays(
        self,
        customer: int,
        how: str,
        *,
        since: str = "2020-01-01",
        mandate: str = "active",
        account: BankAccount = ACCOUNT,
        token: str = "tok_1",
    ) -> int:
        """From `since` on the member pays this way; the id of the payment method."""
        columns: dict[str, Any] = {"kind": how, "valid_from": date.fromisoformat(since)}
        if how == "account-transfer":
            sealed = self.shift(since).seal.seal(account.to_json())
            columns |= {
                "mandate": mandate,
                "bank": account.bank,
                "branch": account.branch,
                "sealed_account": sealed,
            }
        if how == "card":
            columns |= {
                "card_token": token,
                "card_brand": "visa",
                "card_last4": "4242",
                "card_expires": month("2030-12"),
                "holder": "TARO YAMADA",
            }
        with self.transaction() as session:
            old = session.scalar(
                select(PaymentMethod).where(
                    PaymentMethod.customer_id == customer, PaymentMethod.valid_until.is_(None)
                )
            )
            if old:
                old.valid_until = date.fromisoformat(since)
                session.flush()
            made = PaymentMethod(customer_id=customer, **columns)
            session.add(made)
            session.flush()
            return made.id

    def contract(
        self,
        customer: int,
        plan: int,
        opened: str | None = "2026-04-10",
        *,
        number: str | None = None,
        **fees: Any,
    ) -> int:
        """A contract concluded and opened on one day, or not opened yet; its id."""
        on = date.fromisoformat(opened) if opened else date(2026, 4, 1)
        with self.transaction() as session:
            of = session.get_one(Plan, plan)
            pinned = {
                "term_months": of.term_months,
                "early_fee": of.early_fee,
                "early_fee_tax": of.early_fee_tax,
                "opening_fee": of.opening_fee,
                "free_months": of.free_months,
                "installation_fee": of.installation_fee,
            }
            made = Contract(
                number=number or f"K{next(self._numbers):08d}",
                customer_id=customer,
                plan_id=plan,
                status="active" if opened else "applied",
                applied_on=on,
                concluded_on=on,
                document_received_on=on,
                opened_on=on if opened else None,
                charged_from=Month.of(on) if opened else None,
                **{"term_number": 1} | pinned | fees,
            )
            session.add(made)
            session.flush()
            return made.id

    def leaves(
        self,
        contract: int,
        last: str,
        *,
        early_fee: int = 0,
        installation: int = 0,
        withdrawn: bool = False,
    ) -> None:
        """The contract ends with the month `last`, its application being complete."""
        with self.transaction() as session:
            of = session.get_one(Contract, contract)
            received = max(month(last).first, of.concluded_on)
            of.cancellation = Cancellation(
                contract_id=contract,
                kind="withdrawal" if withdrawn else "cancellation",
                first_received_on=received,
                completed_on=received,
                last_charged_month=month(last),
                in_renewal_month=False,
                early_fee=early_fee,
                early_fee_basis="",
                installation=installation,
            )
            of.status = "withdrawn" if withdrawn else "cancelling"
            of.ended_on = received if withdrawn else None

    def bill(self, billed: str, today: str | None = None, **knobs: Any) -> BillResult:
        """The bill run of a month, on the third of the next unless told otherwise."""
        of = month(billed)
        on = today or (of + 1).day(3).isoformat()
        return bill(self.transaction, self.shift(on), of, **knobs)

    def invoices(self) -> list[dict[str, Any]]:
        """All invoices and credit notes in the order of issue, as the command line shows them."""
        with self.transaction() as session:
            return [
                invoice_json(session, invoice)
                for invoice in session.scalars(select(Invoice).order_by(Invoice.id))
            ]

    def lines(self) -> list[tuple[str, str, int]]:
        """(month, kind, net) of every line, in the order of issue."""
        return [
            (str(invoice["month"]), line["kind"], line["net"])
            for invoice in self.invoices()
            for line in invoice["lines"]
        ]
