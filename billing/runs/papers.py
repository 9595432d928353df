"""Invoices and credit notes as documents [請求書・返還請求書] (ALL-01, ISP-04)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from billing.documents import DocumentLine, InvoiceDocument
from billing.tables import Invoice
from isp.banks import branch_of
from isp.documents import Addressee, Language
from isp.errors import Refused
from isp.policy import Policy
from isp.shift import Shift
from isp.tax import RateTotal


def invoice_document(
    session: Session, shift: Shift, invoice: Invoice, language: Language | None = None
) -> InvoiceDocument:
    """An invoice as it was issued, its recipient as of that day, in the member's language.

    Card payers get no invoice from the operator: their statement is the card company's (ISP-04).
    """
    customer = invoice.customer
    if invoice.method == "card" and invoice.kind == "invoice":
        raise Refused(
            "invoice",
            f"{invoice.number} was paid by card: card payers get no invoice (ISP-04); "
            f"see `isp invoice show {invoice.number}`",
        )
    policy = shift.policy
    language = language or customer.language
    credit = invoice.kind == "credit-note"
    return InvoiceDocument(
        number=invoice.number,
        kind=invoice.kind,
        refers_to=invoice.refers_to.number if invoice.refers_to else "",
        customer=Addressee(
            number=customer.number,
            name=invoice.recipient_name,
            postal_code=invoice.recipient_postal_code,
            address=invoice.recipient_address,
            corporation=customer.kind == "corporation",
        ),
        month=invoice.month,
        issued_on=invoice.issued_on,
        due_on=None if credit else invoice.due_on,
        method=invoice.method,
        lines=tuple(
            DocumentLine(
                description=line.description,
                contract=line.contract.number if line.contract else "",
                net=line.net,
                tax_rate=line.tax_rate,
            )
            for line in invoice.lines
        ),
        taxes=tuple(RateTotal(total.rate, total.net, total.tax) for total in invoice.taxes),
        net=invoice.net,
        tax=invoice.tax,
        gross=invoice.gross,
        issuer=policy.operator,
        desk=policy.desk,
        how_to_pay=_account(policy, language) if invoice.method == "invoice" and not credit else (),
        language=language,
    )


_TYPES = {"ordinary": ("普通", "ordinary"), "current": ("当座", "current")}


def _account(policy: Policy, language: Language) -> tuple[tuple[str, str], ...]:
    """The operator's account, to which members without account transfer pay."""
    own = policy.transfer
    branch = branch_of(own.bank, own.branch)
    kind = _TYPES[own.account_type]
    if language == "ja":
        return (
            ("振込先", f"{branch.bank_name}銀行 {branch.branch_name}"),
            ("口座", f"{kind[0]} {own.account_number}"),
            ("口座名義", own.consignor_name),
        )
    return (
        ("Bank", f"{branch.bank} {branch.bank_kana} / {branch.branch} {branch.branch_kana}"),
        ("Account", f"{kind[1]} {own.account_number}"),
        ("Holder", own.consignor_name),
    )
