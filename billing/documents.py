"""Invoices and credit notes on paper and screen [適格請求書・適格返還請求書] (ALL-01)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from isp.documents import Addressee, Language, day, environment, letterhead, month, pdf, plain, yen
from isp.month import Month
from isp.policy import Desk, Operator
from isp.tax import RateTotal, tax_rate


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One line as printed: `net` in whole yen, `tax_rate` in percent (0: not taxable).

    `reduced` is the mark ※ of the reduced rate; None leaves it to the month of supply, as from
    2014-04 to 2019-09 8 % was the standard rate.
    """

    description: str
    contract: str
    net: int
    tax_rate: int
    reduced: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """All that a qualified invoice says; amounts are whole yen, already summed and rounded.

    `month` is the month of supply. `due_on` is the day of transfer, of the card sale or the last
    day to pay; a credit note has none. A credit note carries negative amounts and names in
    `refers_to` the invoice it takes back. `how_to_pay` are rows of label and value, such as the
    bank account of the operator. Descriptions come in the language of the document.
    """

    number: str
    customer: Addressee
    month: Month
    issued_on: date
    due_on: date | None
    method: Literal["account-transfer", "card", "invoice"]
    lines: tuple[DocumentLine, ...]
    taxes: tuple[RateTotal, ...]
    net: int
    tax: int
    gross: int
    issuer: Operator
    desk: Desk
    kind: Literal["invoice", "credit-note"] = "invoice"
    refers_to: str = ""
    how_to_pay: tuple[tuple[str, str], ...] = ()
    language: Language = "ja"


_COMMON_JA: Final = {
    "description": "内容",
    "contract": "契約番号",
    "rate": "税率",
    "line_net": "金額(税抜)",
    "summary": "税率ごとの合計",
    "summary_rate": "区分",
    "summary_net": "対価の額(税抜)",
    "summary_tax": "消費税額",
    "summary_gross": "税込",
    "total": "合計",
    "legend": "※ は軽減税率(8%)の対象です。",
    "rounding": "消費税額の端数は、この書面につき税率ごとに1回処理しています。",
}
_COMMON_EN: Final = {
    "description": "Description",
    "contract": "Contract",
    "rate": "Tax rate",
    "line_net": "Amount (before tax)",
    "summary": "Totals per tax rate",
    "summary_rate": "Rate",
    "summary_net": "Net (before tax)",
    "summary_tax": "Consumption tax",
    "summary_gross": "Gross",
    "total": "Total",
    "legend": "※ marks items at the reduced tax rate of 8%.",
    "rounding": "Consumption tax is rounded once per tax rate on this document.",
}
_WORDS: Final[Mapping[tuple[str, Language], Mapping[str, str]]] = {
    ("invoice", "ja"): _COMMON_JA
    | {
        "title": "請求書",
        "subtitle": "適格請求書",
        "greeting": "いつもご利用いただき、ありがとうございます。下記のとおりご請求申し上げます。",
        "headline": "ご請求金額(税込)",
        "how": "お支払いについて",
    },
    ("invoice", "en"): _COMMON_EN
    | {
        "title": "Invoice",
        "subtitle": "Qualified invoice",
        "greeting": "Thank you for using our services. We invoice you for the following.",
        "headline": "Amount due (tax included)",
        "how": "How to pay",
    },
    ("credit-note", "ja"): _COMMON_JA
    | {
        "title": "返還請求書",
        "subtitle": "適格返還請求書",
        "greeting": "先にお届けした請求書について、下記のとおり対価を返還いたします。",
        "headline": "ご返還金額(税込)",
        "how": "ご返還について",
    },
    ("credit-note", "en"): _COMMON_EN
    | {
        "title": "Credit note",
        "subtitle": "Qualified return invoice",
        "greeting": "We take back the following amounts of an invoice sent to you before.",
        "headline": "Amount credited (tax included)",
        "how": "How it is returned",
    },
}


def _rate(percent: int, language: Language, reduced: bool = False) -> str:
    if percent == 0:
        return "対象外" if language == "ja" else "not taxable"
    return f"{percent}%{' ※' if reduced else ''}"


def _is_reduced(line: DocumentLine, month: Month) -> bool:
    if line.reduced is not None:
        return line.reduced
    return 0 < line.tax_rate < tax_rate("standard", month)


def _facts(document: InvoiceDocument) -> list[tuple[str, str]]:
    """Numbers and dates at the head, the date of supply among them."""
    language = document.language
    ja = language == "ja"
    supplied = f"{day(document.month.first, language)}" + (
        f"から{day(document.month.last, language)}"
        if ja
        else f" to {day(document.month.last, 'en')}"
    )
    credit = document.kind == "credit-note"
    facts = [
        ("番号" if ja else "Number", document.number),
        ("発行日" if ja else "Date of issue", day(document.issued_on, language)),
        ("取引期間" if ja else "Period of supply", supplied),
    ]
    if credit:
        facts.append(("元の請求書" if ja else "Invoice taken back", document.refers_to))
    elif document.due_on:
        label = {
            "account-transfer": "お振替日" if ja else "Date of transfer",
            "card": "カードご利用日" if ja else "Date of card sale",
            "invoice": "お支払期限" if ja else "Payable by",
        }[document.method]
        facts.append((label, day(document.due_on, language)))
    return facts


def _how(document: InvoiceDocument) -> str:
    """What the reader has to do, in one sentence."""
    due = day(document.due_on, document.language) if document.due_on else ""
    if document.language == "ja":
        if document.kind == "credit-note":
            return "ご返還の方法についてご不明な点は、サポートデスクまでお問い合わせください。"
        return {
            "account-transfer": f"{due}に、ご登録の口座から振り替えます。"
            "前日までに残高をご確認ください。",
            "card": f"ご登録のクレジットカードでお支払いいただきます(ご利用日 {due})。"
            "お手続きは不要です。",
            "invoice": f"{due}までにお支払いください。",
        }[document.method]
    if document.kind == "credit-note":
        return "Please ask the support desk if you have questions about how it is returned."
    return {
        "account-transfer": f"We draw the amount from your registered account on {due}. "
        "Please see that it is covered the day before.",
        "card": f"We charge your registered credit card (date of sale {due}). "
        "There is nothing you need to do.",
        "invoice": f"Please pay by {due}.",
    }[document.method]


def _values(document: InvoiceDocument) -> dict[str, object]:
    """Everything as it is printed, for either template."""
    language = document.language
    reduced = {line.tax_rate for line in document.lines if _is_reduced(line, document.month)}
    gross = -document.gross if document.kind == "credit-note" else document.gross
    return {
        **letterhead(document.customer, document.issuer, document.desk, language),
        "words": _WORDS[document.kind, language],
        "number": document.number,
        "facts": _facts(document),
        "month": month(document.month, language),
        "headline": yen(gross, language),
        "lines": [
            {
                "description": line.description,
                "contract": line.contract,
                "rate": _rate(line.tax_rate, language, _is_reduced(line, document.month)),
                "net": yen(line.net, language),
            }
            for line in document.lines
        ],
        "taxes": [
            {
                "rate": _rate(total.rate, language, total.rate in reduced),
                "net": yen(total.net, language),
                "tax": yen(total.tax, language),
                "gross": yen(total.net + total.tax, language),
            }
            for total in document.taxes
        ],
        "net": yen(document.net, language),
        "tax": yen(document.tax, language),
        "gross": yen(document.gross, language),
        "has_reduced": bool(reduced),
        "how": _how(document),
        "how_to_pay": document.how_to_pay,
    }


def invoice_pdf(document: InvoiceDocument) -> bytes:
    """The invoice or credit note as PDF, A4, folding into a window envelope (ALL-01)."""
    return pdf("invoices/invoice.typ", _values(document))


def invoice_html(document: InvoiceDocument) -> str:
    """The same document as one HTML page without anything to load (ALL-01)."""
    return environment().get_template("invoices/invoice.html.j2").render(plain(_values(document)))
