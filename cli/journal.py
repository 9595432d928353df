"""`isp journal`: who did what, when, before and after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, pass_app

if TYPE_CHECKING:
    from isp.tables import Journal


def acts_json(acts: Iterable[Journal]) -> list[dict[str, Any]]:
    """Acts as the command line shows them."""
    return [
        {
            "at": act.at,
            "business_date": act.business_date,
            "actor": act.actor,
            "act": act.act,
            "subject": act.subject,
            "before": act.before,
            "after": act.after,
        }
        for act in acts
    ]


@click.command()
@click.argument("subject", required=False)
@click.option("--last", type=click.IntRange(1, 10_000), default=50, help="How many acts [50].")
@pass_app
def journal(app: App, subject: str | None, last: int) -> None:
    """Show the last acts of the office, oldest first; of one customer, contract, invoice or plan.

    \b
    Example:
      isp journal K00000001
    """
    from sqlalchemy import select

    from isp.tables import Journal

    wanted = select(Journal).order_by(Journal.id.desc()).limit(last)
    if subject is not None:
        wanted = wanted.where(Journal.subject == subject)
    with app.reading() as session:
        answer = acts_json(reversed(session.scalars(wanted).all()))
    app.show(answer)
