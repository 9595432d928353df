"""What a contract costs in a month [料金]: whole months from the month of opening on (ISP-02).

The same rule serves the bill run, the quote for leaving and `isp explain`, so that what is said
beforehand is what is billed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isp.month import Month
from isp.tax import tax_rate

ChargeKind = Literal[
    "monthly",
    "opening",
    "transfer-fee",
    "early-termination",
    "installation",
    "discount",
    "points",
    "item",
    "adjustment",
]
PenaltyTax = Literal["none", "standard"]
"""Whether an early termination fee is taxed depends on the contract: plan data, default none."""


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """The monthly fee of a plan, yen net, from a month on."""

    since: Month
    monthly_fee: int


@dataclass(frozen=True, slots=True)
class Fees:
    """What a contract pins at conclusion; yen net."""

    term_months: int
    early_fee: int = 0
    early_fee_tax: PenaltyTax = "none"
    opening_fee: int = 0
    free_months: int = 0
    installation_fee: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a contract ends: its last charged month and what leaving costs, yen net.

    `withdrawn`: by early withdrawal [初期契約解除], which takes back the opening fee (ISP-14).
    """

    last_charged_month: Month
    early_fee: int
    installation: int
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """One line to bill: kind, yen net, tax rate in percent."""

    kind: ChargeKind
    net: int
    tax_rate: int


def price_in(prices: tuple[PricePeriod, ...], month: Month) -> int:
    """The monthly fee valid in `month`, yen net; before the first period, the first.

    `prices` are in the order of their months.
    """
    valid = prices[0]
    for period in prices:
        if period.since > month:
            break
        valid = period
    return valid.monthly_fee


def running_charges(
    month: Month, charged_from: Month | None, prices: tuple[PricePeriod, ...], fees: Fees
) -> tuple[Charge, ...]:
    """What an open contract costs in `month` as long as nobody leaves.

    The first `free_months` from the opening month cost nothing; the opening fee comes with the
    opening month. A line of nothing is no line.
    """
    if charged_from is None or month < charged_from:
        return ()
    rate = tax_rate("standard", month)
    charges = []
    if month >= charged_from + fees.free_months and (price := price_in(prices, month)):
        charges.append(Charge("monthly", price, rate))
    if month == charged_from and fees.opening_fee:
        charges.append(Charge("opening", fees.opening_fee, rate))
    return tuple(charges)


def exit_charges(leaving: Exit, fees: Fees) -> tuple[Charge, ...]:
    """What leaving costs, billed with the last charged month or, that being billed, the next run.

    Taxed at the rate of the last charged month, in which it fell due.
    """
    charges = []
    if leaving.early_fee:
        rate = tax_rate(fees.early_fee_tax, leaving.last_charged_month)
        charges.append(Charge("early-termination", leaving.early_fee, rate))
    if leaving.installation:
        rate = tax_rate("standard", leaving.last_charged_month)
        charges.append(Charge("installation", leaving.installation, rate))
    return tuple(charges)


def charges_in(
    month: Month,
    charged_from: Month | None,
    prices: tuple[PricePeriod, ...],
    fees: Fees,
    leaving: Exit | None = None,
) -> tuple[Charge, ...]:
    """Everything a contract costs in `month`, the exit included when `month` is its last.

    A member who has withdrawn owes no opening fee (ISP-14).
    """
    if leaving is None:
        return running_charges(month, charged_from, prices, fees)
    if month > leaving.last_charged_month:
        return ()
    charges = running_charges(month, charged_from, prices, fees)
    if leaving.withdrawn:
        charges = tuple(charge for charge in charges if charge.kind != "opening")
    if month == leaving.last_charged_month:
        charges += exit_charges(leaving, fees)
    return charges
