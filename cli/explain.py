"""`isp explain`: why each line of an invoice is what it is."""

from __future__ import annotations

import click

from cli.app import App, pass_app


@click.command()
@click.argument("number", metavar="R")
@pass_app
def explain(app: App, number: str) -> None:
    """Say for each line of an invoice the rule, dates and price that made it.

    So that the desk can answer a caller; in JSON in both languages, as a table in the one of --lang.

    \b
    Example:
      isp --lang en explain R00000001
    """
    from billing.queries import explained, explanation_json

    with app.reading() as session:
        lines = [explanation_json(reason) for reason in explained(session, app.shift, number)]
    if app.format == "table":
        rule = "rule_en" if app.policy.language == "en" else "rule"
        keys = ("line", "amount", rule, "requirements")
        app.show([{key: line[key] for key in keys} for line in lines])
    else:
        app.show({"invoice": number, "lines": lines})
