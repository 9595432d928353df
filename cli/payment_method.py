"""`isp payment-method`: how a member pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.app import App, pass_app
from isp.errors import Refused

if TYPE_CHECKING:
    from isp.runs.customers import Method


@click.group("payment-method")
def payment_method() -> None:
    """How a member pays: account transfer, card, invoice."""


@payment_method.command("set")
@click.argument("number", metavar="C")
@click.argument("kind", type=click.Choice(["account-transfer", "card", "invoice"]))
@click.option("--bank", help="Bank code, 4 digits.")
@click.option("--branch", help="Branch code, 3 digits.")
@click.option("--account-type", default="ordinary", help="ordinary or current [ordinary].")
@click.option("--account-number", help="Up to 7 digits.")
@click.option("--post-symbol", help="Japan Post Bank: 5 digits of the passbook, as 10180.")
@click.option("--post-number", help="Japan Post Bank: up to 8 digits of the passbook.")
@click.option("--holder", help="Account holder in kana, or name on the card.")
@click.option("--token", help="Of the payment provider; never a card number.")
@click.option("--brand", help="jcb, visa, mastercard, amex or diners.")
@click.option("--last4", help="Last four digits of the card.")
@click.option("--expires", metavar="YYYY-MM", help="Month of expiry.")
@pass_app
def change(app: App, /, number: str, kind: str, **fields: str | None) -> None:
    """Set how a member pays from today on; the method before stays as history.

    \b
    Examples:
      isp payment-method set C00000001 account-transfer --bank 0001 --branch 001 \\
        --account-type ordinary --account-number 1234567 --holder ヤマダタロウ
      isp payment-method set C00000001 account-transfer \\
        --post-symbol 10180 --post-number 12345671 --holder ヤマダタロウ
      isp payment-method set C00000001 card --token tok_1 --brand visa --last4 4242 \\
        --expires 2029-03 --holder "TARO YAMADA"
      isp payment-method set C00000001 invoice
    """
    from isp.queries import method_json
    from isp.runs.customers import set_payment_method

    method = _method(app, kind, fields)
    with app.transaction() as session:
        new = set_payment_method(session, app.shift, number, method)
        answer = {"customer": number, **method_json(new)}
    app.show(answer)


NEEDED = {
    "account-transfer": ("bank", "branch", "account_type", "account_number", "holder"),
    "card": ("token", "brand", "last4", "expires", "holder"),
    "invoice": (),
}


def _method(app: App, kind: str, fields: dict[str, str | None]) -> Method:
    given: dict[str, Any] = {field: value for field, value in fields.items() if value is not None}
    if kind == "account-transfer" and given.keys() & {"post_symbol", "post_number"}:
        given |= _passbook(given)
    if kind != "account-transfer" and given.get("account_type") == "ordinary":
        del given["account_type"]
    if missing := [field for field in NEEDED[kind] if field not in given]:
        raise Refused(missing[0], f"is missing for payment by {kind}")
    if surplus := [field for field in given if field not in NEEDED[kind]]:
        raise Refused(surplus[0], f"does not belong to payment by {kind}")
    policy = app.policy
    if kind == "account-transfer":
        from isp.banks import BankAccount

        return BankAccount.validated(
            **given,
            small_kana=policy.transfer.small_kana,
            long_vowel=policy.transfer.long_vowel,
        )
    if kind == "card":
        from isp.cards import Card

        return Card.validated(**given, accepted=policy.card.brands, today=app.day.today)
    return None


def _passbook(given: dict[str, Any]) -> dict[str, str]:
    """Branch, type and number of a Japan Post Bank account from symbol and number [記号番号]."""
    from isp.banks import JAPAN_POST_BANK, japan_post_form

    symbol, number = given.pop("post_symbol", None), given.pop("post_number", None)
    if symbol is None or number is None:
        missing = "post_symbol" if symbol is None else "post_number"
        raise Refused(missing, "symbol and number of the passbook go together")
    if clash := given.keys() & {"bank", "branch", "account_number"}:
        raise Refused(min(clash), "follows from the passbook's symbol and number, leave it out")
    branch, account_type, account_number = japan_post_form(symbol, number)
    return {
        "bank": JAPAN_POST_BANK,
        "branch": branch,
        "account_type": account_type,
        "account_number": account_number,
    }


@payment_method.command("history")
@click.argument("number", metavar="C")
@pass_app
def history(app: App, number: str) -> None:
    """Show how a member has paid, the current method last.

    \b
    Example:
      isp payment-method history C00000001
    """
    from isp.queries import method_json, payment_methods

    with app.reading() as session:
        answer = [method_json(method) for method in payment_methods(session, number)]
    # A table has the same columns in every row, whatever the kind.
    columns = dict.fromkeys(name for row in answer for name in row)
    app.show([{name: row.get(name) for name in columns} for row in answer])
