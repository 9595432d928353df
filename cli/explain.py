"""`isp explain`: why each line of an invoice is what it is."""

from __future__ import annotations

import click

from cli.app import App, pass_app


@click.command()
@click.argument("number", metavar="R")
@pass_app
def explain(app: App, number: str) -> None:
    """Say for each line of an invoice the rule, dates and price that made it.

    So that the desk can answer a caller; in Japanese, or in English by --lang en.

    \b
    Example:
      isp --lang en explain R00000001
    """
    from billing.queries import explained

    language = app.policy.language
    with app.reading() as session:
        reasons = explained(session, app.shift, number)
    lines = [
        {
            "line": reason.about,
            "kind": reason.kind,
            "amount": reason.amount,
            "rule": reason.rule[language],
            "price": reason.price,
            "dates": dict(reason.dates),
            "requirements": list(reason.requirements),
        }
        for reason in reasons
    ]
    app.show({"invoice": number, "lines": lines} if app.format == "json" else lines)
