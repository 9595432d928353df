"""`isp domain`: mail domains."""

from __future__ import annotations

import click

from cli.app import App, pass_app


@click.group()
def domain() -> None:
    """Mail domains."""


@domain.command("add")
@click.argument("name", metavar="DOMAIN")
@pass_app
def add(app: App, name: str) -> None:
    """Serve mail for a domain.

    \b
    Example:
      isp domain add example.jp
    """
    from provisioning.runs.mailboxes import add_domain

    with app.transaction() as session:
        answer = {"domain": add_domain(session, app.shift, name).name}
    app.show(answer)


@domain.command("list")
@pass_app
def listing(app: App) -> None:
    """List the domains that are served.

    \b
    Example:
      isp domain list
    """
    from provisioning.queries import domains

    with app.reading() as session:
        answer = [{"domain": each.name, "added_on": each.added_on} for each in domains(session)]
    app.show(answer)
