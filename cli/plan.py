"""`isp plan`: plans and their dated prices."""

from __future__ import annotations

from datetime import date

import click

from cli.app import App, pass_app
from cli.parameters import DAY, MONTH, YEN
from isp.charges import Fees, PenaltyTax
from isp.legal import SoldTo
from isp.month import Month


@click.group()
def plan() -> None:
    """Plans and their dated prices."""


@plan.command("add")
@click.argument("code")
@click.option("--name", required=True, help="As members read it.")
@click.option("--monthly-fee", required=True, type=YEN, help="Yen a month, net.")
@click.option("--term-months", required=True, type=int, help="Minimum term in months, from 1.")
@click.option("--early-fee", type=YEN, default=0, help="Early termination fee, yen net.")
@click.option(
    "--early-fee-tax",
    type=click.Choice(["none", "standard"]),
    default="none",
    show_default=True,
    help="Whether tax is due on it.",
)
@click.option("--opening-fee", type=YEN, default=0, help="Billed with the opening month, yen net.")
@click.option("--free-months", type=int, default=0, help="First months without monthly fee.")
@click.option("--installation-fee", type=YEN, default=0, help="Owed in proportion when leaving.")
@click.option(
    "--for",
    "sold_to",
    type=click.Choice(["any", "consumer", "corporation"]),
    default="any",
    show_default=True,
    help="Who may buy it.",
)
@click.option("--sold-until", type=DAY, help="Last day on which contracts are concluded.")
@click.option(
    "--line",
    default="flets-hikari-next",
    show_default=True,
    help="Type of the access line: flets-hikari-next, b-flets, flets-adsl or none.",
)
@click.option("--mailboxes", type=int, default=5, show_default=True, help="Mailboxes included.")
@pass_app
def add(
    app: App,
    code: str,
    name: str,
    monthly_fee: int,
    term_months: int,
    early_fee: int,
    early_fee_tax: PenaltyTax,
    opening_fee: int,
    free_months: int,
    installation_fee: int,
    sold_to: SoldTo,
    sold_until: date | None,
    line: str,
    mailboxes: int,
) -> None:
    """Put a plan on sale.

    \b
    Example:
      isp plan add HIKARI --name ひかり光 --monthly-fee 5200 --term-months 24 --early-fee 5200
    """
    from isp.queries import plan_json
    from isp.runs.plans import add_plan

    fees = Fees(term_months, early_fee, early_fee_tax, opening_fee, free_months, installation_fee)
    with app.transaction() as session:
        added = add_plan(
            session,
            app.shift,
            code=code,
            name=name,
            monthly_fee=monthly_fee,
            fees=fees,
            sold_to=sold_to,
            sold_until=sold_until,
            line=line,
            mailboxes=mailboxes,
        )
        answer = plan_json(added)
    app.show(answer)


@plan.command("price")
@click.argument("code")
@click.option("--monthly-fee", required=True, type=YEN, help="Yen a month, net.")
@click.option("--from", "since", required=True, type=MONTH, help="First month of the new price.")
@pass_app
def price(app: App, code: str, monthly_fee: int, since: Month) -> None:
    """Set the monthly fee from a month on, for old and new contracts.

    \b
    Example:
      isp plan price HIKARI --monthly-fee 5500 --from 2027-04
    """
    from billing.queries import billed_to
    from isp.queries import prices_json
    from isp.runs.plans import set_price

    with app.transaction() as session:
        priced = set_price(session, app.shift, code, monthly_fee, since, billed_to(session))
        answer = {"code": code, "prices": prices_json(priced)}
    app.show(answer)


@plan.command("set")
@click.argument("code")
@click.option("--early-fee", type=YEN, help="For contracts concluded from now on, yen net.")
@click.option("--sold-until", type=DAY, help="Last day on which contracts are concluded.")
@pass_app
def change(app: App, code: str, early_fee: int | None, sold_until: date | None) -> None:
    """Change what later contracts pin; those concluded keep their terms.

    \b
    Example:
      isp plan set HIKARI --sold-until 2027-03-31
    """
    from isp.queries import plan_json
    from isp.runs.plans import set_plan

    with app.transaction() as session:
        changed = set_plan(session, app.shift, code, early_fee=early_fee, sold_until=sold_until)
        answer = plan_json(changed)
    app.show(answer)


@plan.command("show")
@click.argument("code")
@pass_app
def show(app: App, code: str) -> None:
    """Show a plan with all its prices.

    \b
    Example:
      isp plan show HIKARI
    """
    from isp.queries import plan_json, plan_named

    with app.reading() as session:
        answer = plan_json(plan_named(session, code))
    app.show(answer)


@plan.command("list")
@pass_app
def listing(app: App) -> None:
    """List all plans.

    \b
    Example:
      isp plan list
    """
    from sqlalchemy import select

    from isp.queries import plan_json
    from isp.tables import Plan

    with app.reading() as session:
        plans = session.scalars(select(Plan).order_by(Plan.code))
        answer = [plan_json(found) for found in plans]
    app.show(answer)
