"""`isp customer`: members taken on, shown, changed, imported."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.parameters import EXISTING_FILE

KINDS = click.Choice(["individual", "sole-proprietor", "corporation"])


@click.group()
def customer() -> None:
    """Members: take on, show, change, import."""


@customer.command("add")
@click.option("--name", required=True, help="Name, or company name.")
@click.option("--kana", required=True, help="Its reading in katakana.")
@click.option("--kind", required=True, type=KINDS, help="Household, sole proprietor or company.")
@click.option("--email", required=True, help="Where notices go.")
@click.option("--phone", required=True, help="With or without hyphens.")
@click.option("--postal-code", required=True, help="With or without hyphen.")
@click.option("--address", required=True, help="Where the line is.")
@click.option("--corporate-number", default="", help="13 digits, for a corporation.")
@click.option("--no-number-because", default="", help="Why a corporation has none yet.")
@click.option("--language", type=click.Choice(["ja", "en"]), default="ja", help="Of its documents.")
@pass_app
def add(app: App, /, **fields: str) -> None:
    """Take on a member.

    \b
    Example:
      isp customer add --name 山田太郎 --kana ヤマダタロウ --kind individual \\
        --email taro@example.com --phone 03-1234-5678 \\
        --postal-code 100-0001 --address 東京都千代田区千代田1-1
    """
    from isp.queries import customer_json, customer_named
    from isp.runs.customers import NewCustomer, add_customers, checked

    with app.transaction() as session:
        taken_on = checked(NewCustomer(**fields), app.shift)
        [(_, number)] = add_customers(session, app.shift, [taken_on])
        answer = customer_json(session, customer_named(session, number))
    doubt_address(taken_on.postal_code, taken_on.address)
    app.show(answer)


def doubt_address(postal_code: str, address: str) -> None:
    """Tell the operator where postcode and address do not seem to belong together."""
    from isp.identity import address_doubt

    if doubt := address_doubt(postal_code, address):
        note(f"please check: {doubt}")


@customer.command("show")
@click.argument("number", metavar="C")
@pass_app
def show(app: App, number: str) -> None:
    """Show what is registered of a member.

    \b
    Example:
      isp customer show C00000001
    """
    from isp.queries import customer_json, customer_named

    with app.reading() as session:
        answer = customer_json(session, customer_named(session, number))
    app.show(answer)


@customer.command("list")
@click.option("--kind", type=KINDS, help="Of this kind only.")
@click.option("--search", help="Part of name, kana, mail address or phone.")
@pass_app
def listing(app: App, kind: str | None, search: str | None) -> None:
    """List members.

    \b
    Example:
      isp customer list --search ヤマダ
    """
    from isp.queries import customers_json

    with app.reading() as session:
        answer = customers_json(session, kind=kind, search=search)
    app.show(answer)


@customer.command("set")
@click.argument("number", metavar="C")
@click.option("--name", help="New name.")
@click.option("--kana", help="New reading.")
@click.option("--email", help="New mail address.")
@click.option("--phone", help="New phone number.")
@click.option("--postal-code", help="Of the contract address.")
@click.option("--address", help="Contract address.")
@click.option("--billing-postal-code", help="Of the billing address.")
@click.option("--billing-address", help="Where invoices go.")
@click.option("--corporate-number", help="13 digits.")
@click.option("--language", help="ja or en.")
@pass_app
def change(app: App, /, number: str, **fields: str | None) -> None:
    """Change what is registered; the history is kept and the member told.

    \b
    Example:
      isp customer set C00000001 --phone 090-1234-5678
    """
    from isp.errors import Refused
    from isp.queries import customer_json
    from isp.runs.customers import set_customer

    changes = {field: value for field, value in fields.items() if value is not None}
    if not changes:
        raise Refused("field", "nothing to change: name at least one, see `isp customer set -h`")
    with app.transaction() as session:
        answer = customer_json(session, set_customer(session, app.shift, number, changes))
    for kind in ("", "billing_"):
        if changes.keys() & {f"{kind}postal_code", f"{kind}address"}:
            doubt_address(answer[f"{kind}postal_code"], answer[f"{kind}address"])
    app.show(answer)


@customer.command("history")
@click.argument("number", metavar="C")
@pass_app
def history(app: App, number: str) -> None:
    """Show every change of a member with who and when.

    \b
    Example:
      isp customer history C00000001
    """
    from cli.journal import acts_json
    from isp.journal import history
    from isp.queries import customer_named

    with app.reading() as session:
        answer = acts_json(history(session, customer_named(session, number).number))
    app.show(answer)


@customer.command("import")
@click.argument("file", type=EXISTING_FILE)
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@pass_app
def bring_in(app: App, file: Path, dry_run: bool) -> None:
    """Take on the members of a CSV file: all rows, or none.

    Columns: number (kept when given), name, kana, kind, email, phone, postal_code, address,
    [corporate_number], [language], [payment] (account-transfer, card or invoice), [bank],
    [branch], [account_type], [account_number], [holder], [card_token], [card_brand],
    [card_last4], [card_expires].

    \b
    Example:
      isp customer import customers.csv --dry-run
    """
    from isp.runs.imports import import_customers

    with app.transaction() as session:
        imported = import_customers(session, app.shift, file)
        if dry_run:
            session.rollback()
    if dry_run:
        note("dry run: every row is good, nothing was changed")
    app.show({"imported": imported, "dry_run": dry_run})
