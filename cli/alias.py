"""`isp alias`: further addresses of mailboxes."""

from __future__ import annotations

import click

from cli.app import App, pass_app


@click.group()
def alias() -> None:
    """Further addresses of mailboxes."""


@alias.command("add")
@click.argument("alias", metavar="ALIAS")
@click.option("--to", "address", required=True, metavar="ADDRESS", help="The mailbox.")
@pass_app
def add(app: App, alias: str, address: str) -> None:
    """Give a mailbox another address: mail to it arrives there, and may be sent from it.

    \b
    Example:
      isp alias add info@example.jp --to taro@example.jp
    """
    from provisioning.runs.aliases import add_alias, alias_json

    with app.transaction() as session:
        answer = alias_json(add_alias(session, app.shift, alias, address))
    app.show(answer)


@alias.command("remove")
@click.argument("alias", metavar="ALIAS")
@pass_app
def remove(app: App, alias: str) -> None:
    """Take an alias back; only the contract that had it may ever have it again.

    \b
    Example:
      isp alias remove info@example.jp
    """
    from provisioning.runs.aliases import alias_json, remove_alias

    with app.transaction() as session:
        answer = alias_json(remove_alias(session, app.shift, alias))
    app.show(answer)


@alias.command("list")
@click.argument("address", required=False)
@pass_app
def listing(app: App, address: str | None) -> None:
    """List aliases, of all mailboxes or of one.

    \b
    Example:
      isp alias list taro@example.jp
    """
    from provisioning.runs.aliases import alias_json, aliases

    with app.reading() as session:
        answer = [alias_json(each) for each in aliases(session, address)]
    app.show(answer)
