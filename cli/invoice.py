"""`isp invoice`: invoices and credit notes."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, pass_app
from cli.parameters import MONTH, NEW_FILE, YEN
from isp.month import Month

STATUSES = click.Choice(["open", "collecting", "paid", "failed", "void"])


@click.group()
def invoice() -> None:
    """Invoices and credit notes."""


@invoice.command("list")
@click.option("--customer", metavar="C", help="Of this member only.")
@click.option("--month", type=MONTH, help="Of this month only.")
@click.option("--status", type=STATUSES, help="In this state only.")
@pass_app
def listing(app: App, customer: str | None, month: Month | None, status: str | None) -> None:
    """List invoices in the order of issue.

    \b
    Example:
      isp invoice list --month 2026-03 --status failed
    """
    from billing.queries import invoices, invoices_json

    with app.reading() as session:
        found = invoices(session, customer=customer, month=month, status=status)
        answer = list(invoices_json(session, found))
    if app.format == "table":
        keys = ("number", "customer", "month", "due_on", "method", "status", "gross", "balance")
        answer = [{key: each[key] for key in keys} for each in answer]
    app.show(answer)


@invoice.command("show")
@click.argument("number", metavar="R")
@pass_app
def show(app: App, number: str) -> None:
    """Show an invoice with its lines and taxes.

    \b
    Example:
      isp invoice show R00000001
    """
    from billing.queries import invoice_json, invoice_named

    with app.reading() as session:
        answer = invoice_json(session, invoice_named(session, number))
    app.show(answer)


@invoice.command("pdf")
@click.argument("number", metavar="R")
@click.option("-o", "file", type=NEW_FILE, required=True, help="PDF file.")
@pass_app
def as_pdf(app: App, number: str, file: Path) -> None:
    """Print an invoice as a qualified invoice; card payers get none.

    \b
    Example:
      isp invoice pdf R00000001 -o invoice.pdf
    """
    from billing.documents import invoice_pdf
    from billing.queries import invoice_named
    from billing.runs.papers import invoice_document

    with app.reading() as session:
        document = invoice_document(
            session, app.shift, invoice_named(session, number), app.language
        )
        content = invoice_pdf(document)
    file.write_bytes(content)
    app.show({"number": number, "file": str(file)})


@invoice.command("html")
@click.argument("number", metavar="R")
@click.option("-o", "file", type=NEW_FILE, help="HTML file [standard output].")
@pass_app
def as_html(app: App, number: str, file: Path | None) -> None:
    """Print an invoice as one HTML page.

    \b
    Example:
      isp invoice html R00000001 -o invoice.html
    """
    from billing.documents import invoice_html
    from billing.queries import invoice_named
    from billing.runs.papers import invoice_document

    with app.reading() as session:
        document = invoice_document(
            session, app.shift, invoice_named(session, number), app.language
        )
        content = invoice_html(document)
    if file is None:
        click.echo(content)
        return
    file.write_text(content, "utf-8")
    app.show({"number": number, "file": str(file)})


@invoice.command("credit")
@click.argument("number", metavar="R")
@click.option("--reason", required=True, help="Printed on the credit note.")
@click.option("--line", "lines", type=int, multiple=True, help="Position of a line to take back.")
@click.option("--amount", type=YEN, help="Yen with tax, instead of lines.")
@click.option("--tax-rate", type=int, help="Of which rate, where the invoice has several.")
@pass_app
def credit(
    app: App,
    number: str,
    reason: str,
    lines: tuple[int, ...],
    amount: int | None,
    tax_rate: int | None,
) -> None:
    """Take back lines or an amount by a credit note; the invoice itself never changes.

    \b
    Example:
      isp invoice credit R00000001 --line 1 --reason "outage in March"
    """
    from billing.queries import invoice_json
    from billing.runs.corrections import credit

    with app.transaction() as session:
        done = credit(
            session, app.shift, number, reason, lines=lines, amount=amount, tax_rate=tax_rate
        )
        answer = {
            **invoice_json(session, done.credit_note),
            "invoice": done.invoice.number,
            "invoice_balance": done.balance,
        }
    app.show(answer)


@invoice.command("void")
@click.argument("number", metavar="R")
@click.option("--reason", required=True, help="Why, for the journal.")
@pass_app
def void(app: App, number: str, reason: str) -> None:
    """Void an unpaid invoice; the next bill run of its month replaces it.

    \b
    Example:
      isp invoice void R00000001 --reason "wrong plan"
    """
    from billing.queries import invoice_json
    from billing.runs.corrections import void

    with app.transaction() as session:
        answer = invoice_json(session, void(session, app.shift, number, reason))
    app.show(answer)
