"""Corrections [訂正]: an issued invoice never changes, it is credited or voided and billed anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.orm import Session, aliased

from billing.crediting import split, taken_back
from billing.queries import invoice_named, invoice_to_change, open_collection
from billing.runs.ledger import settle
from billing.tables import Invoice, InvoiceLine, InvoiceTax, Payment
from isp.documents import Language
from isp.errors import Refused
from isp.identity import name
from isp.journal import record
from isp.numbers import next_ordinal, written
from isp.shift import Shift
from isp.tax import RateTotal


@dataclass(frozen=True, slots=True)
class Credited:
    """A credit note, the invoice it belongs to and what is still to be paid of that, in yen."""

    credit_note: Invoice
    invoice: Invoice
    balance: int


def credit(
    session: Session,
    shift: Shift,
    number: str,
    reason: str,
    *,
    lines: Sequence[int] = (),
    amount: int | None = None,
    tax_rate: int | None = None,
) -> Credited:
    """Take back lines of an invoice by their positions, or an amount of yen with tax.

    `tax_rate` says of which rate, where the invoice has several. Tax is taken back per rate as it
    was charged. What has been paid already becomes a balance in the member's favour: `refund`.
    """
    invoice = invoice_to_change(session, number)
    reason = name(reason, "reason")
    if invoice.status == "void":
        raise Refused("invoice", f"{number} is void: there is nothing to take back")
    if (amount is None) == (not lines):
        raise Refused("lines", "name either lines of the invoice or an amount")
    if amount is not None:
        left = _rate_left(session, invoice, tax_rate)
        total = split(amount, left, shift.policy.billing.rounding)
        back = [
            InvoiceLine(kind="adjustment", description=reason, net=total.net, tax_rate=total.rate)
        ]
        return _issue(session, shift, invoice, reason, back, [total])
    back = [_back(session, invoice, position) for position in sorted(set(lines))]
    return _issue(session, shift, invoice, reason, back, _totals(session, shift, invoice, back))


OPENING_RETURNED: dict[Language, str] = {
    "ja": "初期契約解除による初期費用の返還",
    "en": "Opening fee returned after early withdrawal",
}
BILLED_BEYOND: dict[Language, str] = {
    "ja": "解約後の月の料金の取消",
    "en": "Months after the end of the contract",
}


def is_left(session: Session, number: str, positions: Sequence[int]) -> bool:
    """Whether credit notes made by hand have left enough of an invoice to take back these lines."""
    invoice = invoice_named(session, number)
    left = _left(session, invoice)
    lines = [line for line in invoice.lines if line.position in positions]
    return all(
        sum(line.net for line in lines if line.tax_rate == rate) <= total.net
        for rate, total in left.items()
    )


def take_back(
    session: Session,
    shift: Shift,
    number: str,
    positions: Sequence[int],
    reason: Mapping[Language, str],
) -> None:
    """Take back lines that should not have been billed (ISP-09, ISP-14).

    An invoice that nobody has paid and that holds nothing else is void; else there is a credit
    note.
    """
    invoice = invoice_to_change(session, number)
    words = reason[invoice.customer.language]
    others = {line.kind for line in invoice.lines if line.position not in positions}
    if others <= {"transfer-fee"} and _touched(session, invoice) is None:
        void(session, shift, number, words)
    else:
        credit(session, shift, number, words, lines=positions)


def _back(session: Session, invoice: Invoice, position: int) -> InvoiceLine:
    """The line that takes back the one at `position`; a line is taken back once."""
    found = next((line for line in invoice.lines if line.position == position), None)
    if found is None:
        raise Refused("lines", f"{invoice.number} has no line {position}")
    credit_note = aliased(Invoice)
    before = session.scalar(
        select(credit_note.number)
        .join(InvoiceLine, InvoiceLine.invoice_id == credit_note.id)
        .where(
            credit_note.refers_to_id == invoice.id,
            InvoiceLine.kind == found.kind,
            InvoiceLine.month == found.month,
            InvoiceLine.contract_id.is_not_distinct_from(found.contract_id),
        )
        .limit(1)
    )
    if before is not None:
        raise Refused("lines", f"line {position} has been taken back by {before}; name an amount")
    return InvoiceLine(
        contract_id=found.contract_id,
        kind=found.kind,
        description=found.description,
        net=-found.net,
        tax_rate=found.tax_rate,
    )


def _left(session: Session, invoice: Invoice) -> dict[int, RateTotal]:
    """What earlier credit notes have left of the invoice, per rate."""
    credit_note = aliased(Invoice)
    back = {
        rate: (int(net), int(tax))
        for rate, net, tax in session.execute(
            select(InvoiceTax.rate, func.sum(InvoiceTax.net), func.sum(InvoiceTax.tax))
            .join(credit_note, credit_note.id == InvoiceTax.invoice_id)
            .where(credit_note.refers_to_id == invoice.id)
            .group_by(InvoiceTax.rate)
        )
    }
    return {
        total.rate: RateTotal(
            total.rate,
            total.net + back.get(total.rate, (0, 0))[0],
            total.tax + back.get(total.rate, (0, 0))[1],
        )
        for total in invoice.taxes
    }


def _rate_left(session: Session, invoice: Invoice, rate: int | None) -> RateTotal:
    left = _left(session, invoice)
    if rate is None and len(left) > 1:
        rates = " and ".join(f"{known} %" for known in left)
        raise Refused("tax_rate", f"{invoice.number} has lines at {rates}: say which is meant")
    rate = next(iter(left)) if rate is None else rate
    if rate not in left:
        raise Refused("tax_rate", f"{invoice.number} has no line at {rate} %")
    return left[rate]


def _totals(
    session: Session, shift: Shift, invoice: Invoice, back: Sequence[InvoiceLine]
) -> list[RateTotal]:
    left = _left(session, invoice)
    nets: dict[int, int] = {}
    for line in back:
        nets[line.tax_rate] = nets.get(line.tax_rate, 0) - line.net
    rounding = shift.policy.billing.rounding
    return [
        taken_back(net, left[rate], rounding) for rate, net in sorted(nets.items(), reverse=True)
    ]


def _issue(
    session: Session,
    shift: Shift,
    invoice: Invoice,
    reason: str,
    back: Sequence[InvoiceLine],
    totals: Sequence[RateTotal],
) -> Credited:
    """Write the credit note and let the invoice stand as it now does."""
    net, tax = sum(total.net for total in totals), sum(total.tax for total in totals)
    if net + tax >= 0:
        raise Refused("lines", "a credit note takes something back; these lines do not")
    prefix = shift.policy.numbers.credit_note
    note = Invoice(
        number=written(prefix, next_ordinal(session, Invoice.number, prefix)),
        kind="credit-note",
        refers_to_id=invoice.id,
        customer_id=invoice.customer_id,
        month=invoice.month,
        issued_on=shift.day.today,
        due_on=shift.day.today,
        method=invoice.method,
        status="paid",
        net=net,
        tax=tax,
        gross=net + tax,
        recipient_name=invoice.recipient_name,
        recipient_postal_code=invoice.recipient_postal_code,
        recipient_address=invoice.recipient_address,
    )
    for position, line in enumerate(back, 1):
        line.position, line.month, line.live = position, invoice.month, False
        line.customer_id = invoice.customer_id
        note.lines.append(line)
    note.taxes.extend(InvoiceTax(rate=each.rate, net=each.net, tax=each.tax) for each in totals)
    session.add(note)
    session.flush()
    owed = settle(session, invoice)
    told = {"credit_note": note.number, "net": net, "tax": tax, "reason": reason, "balance": owed}
    record(session, shift, "invoice.credited", invoice.number, after=told)
    return Credited(note, invoice, owed)


def void(session: Session, shift: Shift, number: str, reason: str) -> Invoice:
    """Void an invoice of which nothing has been paid [取消]; the next bill run bills it anew."""
    invoice = invoice_to_change(session, number)
    reason = name(reason, "reason")
    if invoice.status == "void":
        raise Refused("invoice", f"{number} is void already")
    if why := _touched(session, invoice):
        raise Refused("invoice", why)
    before = invoice.status
    planned = open_collection(session, invoice.id)
    if planned is not None:
        planned.state = "withdrawn"
    invoice.status = "void"
    session.execute(
        update(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id).values(live=False)
    )
    session.flush()
    session.expire(invoice)
    record(
        session,
        shift,
        "invoice.voided",
        number,
        before={"status": before},
        after={"status": "void", "reason": reason},
    )
    return invoice


def _touched(session: Session, invoice: Invoice) -> str | None:
    """Why an invoice is corrected by a credit note instead: drawn, paid, credited, built upon."""
    number = invoice.number
    if invoice.status == "collecting":
        return f"{number} is being collected: wait for the result"
    paid = select(func.sum(Payment.amount)).where(Payment.invoice_id == invoice.id)
    if session.scalar(paid):
        return f"something has been paid of {number}: credit it instead"
    credited = select(Invoice.number).where(Invoice.refers_to_id == invoice.id).limit(1)
    if found := session.scalar(credited):
        return f"{found} has taken back part of {number}: credit the rest"
    opening, adjusted = aliased(InvoiceLine), aliased(InvoiceLine, name="adjusted")
    returned = session.scalar(
        select(Invoice.number)
        .join(adjusted, adjusted.invoice_id == Invoice.id)
        .where(
            adjusted.kind == "adjustment",
            text("adjusted.live"),
            exists().where(
                opening.invoice_id == invoice.id,
                opening.kind == "opening",
                opening.contract_id == adjusted.contract_id,
            ),
        )
        .limit(1)
    )
    return f"{returned} gives back its opening fee: void that one first" if returned else None
