"""Consumption tax [消費税]: dated rates, tax rounded once per invoice and rate (ALL-01)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from isp.money import Rounding, rounded
from isp.month import Month

TaxClass = Literal["standard", "reduced", "none"]

_RATES: tuple[tuple[Month, int, int], ...] = (
    (Month.parse("2019-10"), 10, 8),
    (Month.parse("2014-04"), 8, 8),
)
"""Standard and reduced rate in percent, by the first month of validity; before that 5 %."""


@dataclass(frozen=True, slots=True)
class RateTotal:
    """What an invoice says per tax rate: percent, yen net, yen tax."""

    rate: int
    net: int
    tax: int


def tax_rate(tax_class: TaxClass, month: Month) -> int:
    """Percent that applies to what is supplied in `month`; 0 for what is not taxed.

    Every change of rate so far fell on the first of a month, and a service supplied for a month
    is supplied at its end, so the month decides.
    """
    if tax_class == "none":
        return 0
    for since, standard, reduced in _RATES:
        if month >= since:
            return standard if tax_class == "standard" else reduced
    return 5


def tax_totals(lines: Iterable[tuple[int, int]], rounding: Rounding) -> tuple[RateTotal, ...]:
    """Totals per rate of (net, percent) lines, highest rate first; tax is rounded once per rate.

    Three lines of 105 yen at 10 % are 31 yen of tax, not 30 (formats: qualified invoice).
    """
    nets: dict[int, int] = {}
    for net, rate in lines:
        nets[rate] = nets.get(rate, 0) + net
    return tuple(
        RateTotal(rate, net, rounded(Fraction(net * rate, 100), rounding))
        for rate, net in sorted(nets.items(), reverse=True)
    )


def gross(lines: Iterable[tuple[int, int]], rounding: Rounding) -> int:
    """Yen with tax of (net, percent) lines taken as one invoice."""
    return sum(total.net + total.tax for total in tax_totals(lines, rounding))
