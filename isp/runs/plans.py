"""Plans and their dated prices [料金プラン]."""

from __future__ import annotations

import re
from datetime import date
from reprlib import repr as shown

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp import identity
from isp.charges import Fees, price_in
from isp.errors import Refused
from isp.journal import record
from isp.legal import SoldTo, refuse_plan_above_cap
from isp.month import Month
from isp.queries import EVER, plan_json, plan_named, price_periods, prices_json
from isp.shift import Shift
from isp.tables import Plan, PlanPrice

LINES = ("flets-hikari-next", "b-flets", "flets-adsl", "none")
"""Line types of connection plans; `none` for plans without a line, such as mail only (ISP-19)."""

MAX_FEE = 10_000_000


def _yen(field: str, amount: int) -> int:
    if not 0 <= amount <= MAX_FEE:
        raise Refused(field, f"{amount} is outside 0 to {MAX_FEE:,} yen")
    return amount


def add_plan(
    session: Session,
    shift: Shift,
    *,
    code: str,
    name: str,
    monthly_fee: int,
    fees: Fees,
    sold_to: SoldTo = "any",
    sold_until: date | None = None,
    line: str = "flets-hikari-next",
    mailboxes: int = 5,
) -> Plan:
    """Put a plan on sale; one that breaks the legal cap is not stored (ISP-13)."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", code):
        raise Refused("code", f"{shown(code)} must be 1 to 32 letters, digits, '-', '_' or '.'")
    name = identity.name(name)
    if line not in LINES:
        raise Refused("line", f"{shown(line)} is none of {', '.join(LINES)}")
    if session.scalar(select(Plan.id).where(Plan.code == code)):
        raise Refused("code", f"there is a plan {code!r} already")
    if not 1 <= fees.term_months <= 120:
        raise Refused("term_months", f"{fees.term_months} is outside 1 to 120 months")
    if not 0 <= fees.free_months <= 120:
        raise Refused("free_months", f"{fees.free_months} is outside 0 to 120 months")
    if not 0 <= mailboxes <= 1000:
        raise Refused("mailboxes", f"{mailboxes} is outside 0 to 1000")
    _yen("monthly_fee", monthly_fee)
    _yen("opening_fee", fees.opening_fee)
    _yen("installation_fee", fees.installation_fee)
    _yen("early_fee", fees.early_fee)
    refuse_plan_above_cap(sold_to, fees.early_fee, monthly_fee, sold_until, shift.day.today)
    plan = Plan(
        code=code,
        name=name,
        line=line,
        term_months=fees.term_months,
        early_fee=fees.early_fee,
        early_fee_tax=fees.early_fee_tax,
        opening_fee=fees.opening_fee,
        free_months=fees.free_months,
        installation_fee=fees.installation_fee,
        sold_to=sold_to,
        sold_until=sold_until,
        mailboxes=mailboxes,
        prices=[PlanPrice(since=EVER, monthly_fee=monthly_fee)],
    )
    session.add(plan)
    record(session, shift, "plan.added", code, after=plan_json(plan))
    return plan


def set_price(
    session: Session,
    shift: Shift,
    code: str,
    monthly_fee: int,
    since: Month,
    billed_to: Month | None,
) -> Plan:
    """The monthly fee from a month on, for old and new contracts alike; billed months stay.

    `billed_to` is the last month that has been billed, if any: what it said may not become wrong.
    A price so low that the plan would break the legal cap is not stored (ISP-13).
    """
    plan = plan_named(session, code)
    _yen("monthly_fee", monthly_fee)
    if billed_to is not None and since <= billed_to:
        raise Refused(
            "from", f"{since} has been billed already; begin with {billed_to + 1} or later"
        )
    refuse_plan_above_cap(
        plan.sold_to, plan.early_fee, monthly_fee, plan.sold_until, shift.day.today
    )
    before = prices_json(plan)
    for price in plan.prices:
        if price.since == since:
            price.monthly_fee = monthly_fee
            break
    else:
        plan.prices.append(PlanPrice(since=since, monthly_fee=monthly_fee))
        plan.prices.sort(key=lambda price: price.since)
    session.flush()
    record(
        session,
        shift,
        "plan.priced",
        code,
        before={"prices": before},
        after={"prices": prices_json(plan)},
    )
    return plan


def set_plan(
    session: Session, shift: Shift, code: str, *, early_fee: int | None, sold_until: date | None
) -> Plan:
    """Lower or raise the early termination fee for later contracts, or end the sale of a plan.

    Contracts concluded before keep what they pinned. What would break the legal cap in any month
    from now on is not stored, a longer sale of an old plan neither (ISP-13).
    """
    if early_fee is None and sold_until is None:
        raise Refused("early_fee", "nothing to change: give --early-fee or --sold-until")
    plan = plan_named(session, code)
    before = plan_json(plan)
    if sold_until is not None:
        plan.sold_until = sold_until
    if early_fee is not None:
        plan.early_fee = _yen("early_fee", early_fee)
    month = Month.of(shift.day.today)
    later = [price.monthly_fee for price in plan.prices if price.since > month]
    lowest = min([price_in(price_periods(plan), month), *later])
    refuse_plan_above_cap(plan.sold_to, plan.early_fee, lowest, plan.sold_until, shift.day.today)
    record(session, shift, "plan.changed", code, before=before, after=plan_json(plan))
    return plan
