"""How many documents one process makes a second: `python benchmarks/documents.py [documents]`.

Each is made from its values, for a member of its own. The goal is 200 invoices a second.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from datetime import date, datetime

from billing.documents import DocumentLine, InvoiceDocument, invoice_html, invoice_pdf
from isp.calendar import TOKYO
from isp.documents import Addressee
from isp.month import Month
from isp.notices import notice
from isp.policy import parse, profile_text
from isp.tax import tax_totals
from provisioning.letters import MailboxCredential, WelcomeLetter, welcome_pdf

POLICY = parse(profile_text("consumer-isp"))
SENT_AT = datetime(2026, 5, 3, 9, 0, tzinfo=TOKYO)
APRIL = Month.parse("2026-04")


def member(ordinal: int) -> Addressee:
    name, address = f"山田 花子{ordinal}", f"東京都渋谷区神宮前{ordinal}-2-3"
    return Addressee(f"C{ordinal:08d}", name, "150-0001", address)


def invoice(ordinal: int, lines: int = 2) -> InvoiceDocument:
    number = f"K{ordinal:08d}"
    rows = [DocumentLine("光ファミリー 月額料金", number, 5_200, 10)] * (lines - 1)
    rows.append(DocumentLine("口座振替手数料", "", 200, 10))
    taxes = tax_totals([(row.net, row.tax_rate) for row in rows], "floor")
    return InvoiceDocument(
        number=f"R{ordinal:08d}",
        customer=member(ordinal),
        month=APRIL,
        issued_on=date(2026, 5, 3),
        due_on=date(2026, 5, 25),
        method="account-transfer",
        lines=tuple(rows),
        taxes=taxes,
        net=taxes[0].net,
        tax=taxes[0].tax,
        gross=taxes[0].net + taxes[0].tax,
        issuer=POLICY.operator,
        desk=POLICY.desk,
    )


def welcome(ordinal: int) -> bytes:
    return welcome_pdf(
        WelcomeLetter(
            customer=member(ordinal),
            contract_number=f"K{ordinal:08d}",
            plan_name="光ファミリー",
            opened_on=date(2026, 4, 20),
            connection_id=f"x{ordinal}@ppp.example.jp",
            connection_password=f"kT7w{ordinal:010d}",
            mailboxes=(MailboxCredential(f"m{ordinal}@example.jp", f"Wn4v{ordinal:010d}"),),
            mail=POLICY.mail,
            first_guide=None,
            operator=POLICY.operator,
            desk=POLICY.desk,
        )
    )


def announcement(ordinal: int) -> bytes:
    return notice(
        "transfer-announced",
        "ja",
        {
            "operator": POLICY.operator,
            "desk": POLICY.desk,
            "customer_name": f"山田 花子{ordinal}",
            "customer_kind": "individual",
            "customer_number": f"C{ordinal:08d}",
            "invoice_number": f"R{ordinal:08d}",
            "month": APRIL,
            "gross": 5_940,
            "debit_on": date(2026, 5, 25),
        },
        sender="noreply@example.jp",
        recipient=f"m{ordinal}@example.com",
        message_id=f"<{ordinal}@example.jp>",
        date=SENT_AT,
    )


def rate(make: Callable[[int], object], documents: int) -> float:
    """Documents a second of this process's own time, the first ones apart, which fill caches."""
    for ordinal in range(20):
        make(ordinal)
    started = time.process_time()
    for ordinal in range(20, 20 + documents):
        make(ordinal)
    return documents / (time.process_time() - started)


def main(documents: int) -> None:
    makes: dict[str, Callable[[int], object]] = {
        "invoice, 2 lines, PDF": lambda n: invoice_pdf(invoice(n)),
        "invoice, 10 lines, PDF": lambda n: invoice_pdf(invoice(n, 10)),
        "invoice, 120 lines, PDF": lambda n: invoice_pdf(invoice(n, 120)),
        "invoice, 2 lines, HTML": lambda n: invoice_html(invoice(n)),
        "welcome letter, PDF": welcome,
        "notice by mail": announcement,
    }
    for name, make in makes.items():
        print(f"{name}: {rate(make, documents):,.0f}/s")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
