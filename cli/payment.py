"""`isp payment`: money that came in another way than by account transfer or card."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from cli.app import App, note, pass_app
from cli.parameters import DAY, YEN

PAID_BY = click.Choice(["bank", "convenience-store", "post", "cash"])


@click.group()
def payment() -> None:
    """Money that came in another way."""


@payment.command("record")
@click.argument("number", metavar="R")
@click.option("--amount", required=True, type=YEN, help="Yen received.")
@click.option("--on", "paid_on", required=True, type=DAY, help="Day it was received.")
@click.option("--by", "channel", required=True, type=PAID_BY, help="How it came.")
@click.option("--reference", help="Of the notice, so that it is booked once [day and amount].")
@pass_app
def receive(
    app: App, number: str, amount: int, paid_on: date, channel: Any, reference: str | None
) -> None:
    """Book a payment of an invoice; the same notice twice is booked once.

    \b
    Example:
      isp payment record R00000001 --amount 5720 --on 2026-04-28 --by bank
    """
    from billing.runs.payments import record_payment

    with app.transaction() as session:
        done = record_payment(session, app.shift, number, amount, paid_on, channel, reference)
        answer = _booked(done)
    app.show(answer)


@payment.command("refund")
@click.argument("number", metavar="R")
@click.option("--amount", required=True, type=YEN, help="Yen paid back.")
@click.option("--on", "paid_on", required=True, type=DAY, help="Day it was paid back.")
@click.option("--by", "channel", required=True, type=PAID_BY, help="How it went.")
@click.option("--reference", help="Of the order, so that it is booked once [day and amount].")
@pass_app
def give_back(
    app: App, number: str, amount: int, paid_on: date, channel: Any, reference: str | None
) -> None:
    """Book money paid back, at most what a credit note left in the member's favour.

    \b
    Example:
      isp payment refund R00000001 --amount 5720 --on 2026-05-12 --by bank
    """
    from billing.runs.payments import refund

    with app.transaction() as session:
        done = refund(session, app.shift, number, amount, paid_on, channel, reference)
        answer = _booked(done)
    app.show(answer)


def _booked(done: Any) -> dict[str, Any]:
    if done.already:
        note("this notice was booked before: nothing was changed")
    return {
        "invoice": done.invoice.number,
        "status": done.invoice.status,
        "balance": done.balance,
        "already": done.already,
    }
