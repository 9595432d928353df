"""What an invoice will say [請求書の下書き]: which charges are due, in which words, with what tax.

Pure: the bill run, its dry run, `isp check` and `isp explain` ask these rules and nothing else, so
that what is announced, billed, proven and explained is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from isp.calendar import Calendar
from isp.charges import (
    Charge,
    ChargeKind,
    Exit,
    Fees,
    PricePeriod,
    charges_in,
    exit_charges,
    running_charges,
)
from isp.documents import Language
from isp.documents import month as written_month
from isp.money import Rounding
from isp.month import Month
from isp.tax import RateTotal, tax_rate, tax_totals

MethodKind = Literal["account-transfer", "card", "invoice"]

RUNNING: frozenset[ChargeKind] = frozenset({"monthly", "opening"})
"""Kinds that an open contract is charged for a month of its own."""

LEAVING: frozenset[ChargeKind] = frozenset({"early-termination", "installation"})
"""Kinds that leaving costs, once in a contract's life."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What of a contract has been billed before the run of a month; void invoices do not count.

    `kinds`: in that month, and of what is charged once ever. `last_month`: a line of the last
    charged month. `last_month_complete`: the run of that month has ended. `opening`: net and tax
    rate of an opening fee that was billed and not yet taken back.
    """

    kinds: frozenset[str] = frozenset()
    last_month: bool = False
    last_month_complete: bool = False
    opening: tuple[int, int] | None = None


NOTHING = Billed()


def exit_falls_due(month: Month, last: Month, billed: Billed) -> bool:
    """Leaving is billed with the last charged month; that month being billed, with the next run."""
    if month == last:
        return not billed.last_month
    return month > last and (billed.last_month or billed.last_month_complete)


def due(
    month: Month,
    charged_from: Month | None,
    prices: tuple[PricePeriod, ...],
    fees: Fees,
    leaving: Exit | None,
    billed: Billed,
) -> tuple[Charge, ...]:
    """The charges of a contract that the run of `month` has still to bill (ISP-02, ISP-11, ISP-14).

    Run twice, late or out of order, the runs of all months together bill each charge once.
    """
    if leaving is None:
        charges = running_charges(month, charged_from, prices, fees)
        return tuple(charge for charge in charges if charge.kind not in billed.kinds)
    charges = tuple(
        charge
        for charge in charges_in(month, charged_from, prices, fees, leaving)
        if charge.kind in RUNNING
    )
    if exit_falls_due(month, leaving.last_charged_month, billed):
        charges += exit_charges(leaving, fees)
    charges = tuple(charge for charge in charges if charge.kind not in billed.kinds)
    if leaving.withdrawn and billed.opening:
        net, rate = billed.opening
        charges += (Charge("adjustment", -net, rate),)
    return charges


def charged_after(month: Month, charged_from: Month | None, leaving: Exit | None) -> bool:
    """Whether the contract will be charged in some later month, as far as is known today."""
    return charged_from is not None and (leaving is None or leaving.last_charged_month > month)


def transfer_fee(month: Month, fee: int) -> Charge:
    """The handling fee of account transfer [口座振替手数料], one per member and month (ISP-05)."""
    return Charge("transfer-fee", fee, tax_rate("standard", month))


class Totals(NamedTuple):
    """Sums of an invoice in yen; tax rounded once per rate (ALL-01)."""

    net: int
    tax: int
    gross: int
    taxes: tuple[RateTotal, ...]


def totals(charges: tuple[Charge, ...], rounding: Rounding) -> Totals:
    """The sums of charges that stand on one invoice."""
    taxes = tax_totals(((charge.net, charge.tax_rate) for charge in charges), rounding)
    net = sum(total.net for total in taxes)
    tax = sum(total.tax for total in taxes)
    return Totals(net, tax, net + tax, taxes)


def billed_method(kind: str | None, mandate: str | None, default: MethodKind) -> MethodKind:
    """How an invoice is to be paid: by the member's method, as long as the mandate stands (ISP-03).

    Without a method on file, or with a suspended mandate, by `default`.
    """
    if kind == "account-transfer" and mandate == "active":
        return "account-transfer"
    return "card" if kind == "card" else default


def transfer_date(month: Month, day: int, calendar: Calendar) -> date:
    """The day on which the transfer for the billed `month` is drawn [振替日] (ISP-07).

    The given day of the month after, moved to the next bank business day.
    """
    return calendar.on_or_after((month + 1).day(day))


def sale_date(month: Month) -> date:
    """The date of a card sale [利用日]: the last day of the month it bills (ISP-06)."""
    return month.last


def pay_by(month: Month, calendar: Calendar) -> date:
    """By when an invoice for `month` is payable: the end of the next, moved to a business day."""
    return calendar.on_or_after((month + 1).last)


def due_date(method: MethodKind, month: Month, transfer_day: int, calendar: Calendar) -> date:
    """`due_on` of an invoice for `month` (ISP-06, ISP-07, BIZ-13)."""
    if method == "account-transfer":
        return transfer_date(month, transfer_day, calendar)
    return sale_date(month) if method == "card" else pay_by(month, calendar)


_WORDS: dict[ChargeKind, dict[Language, str]] = {
    "monthly": {"ja": "月額料金 {plan} {month}分", "en": "Monthly fee, {plan}, {month}"},
    "opening": {"ja": "初期費用 {plan}", "en": "Opening fee, {plan}"},
    "transfer-fee": {
        "ja": "口座振替手数料 {month}分",
        "en": "Account transfer handling fee, {month}",
    },
    "early-termination": {"ja": "契約解除料 {plan}", "en": "Early termination fee, {plan}"},
    "installation": {"ja": "工事費の残額 {plan}", "en": "Remaining installation cost, {plan}"},
    "adjustment": {
        "ja": "初期契約解除による初期費用の返還 {plan}",
        "en": "Opening fee returned after early withdrawal, {plan}",
    },
}


def description(kind: ChargeKind, plan: str, month: Month, language: Language) -> str:
    """The words of a line on the invoice, in the member's language."""
    return _WORDS[kind][language].format(plan=plan, month=written_month(month, language))
