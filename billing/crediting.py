"""What a credit note takes back [適格返還請求書]: net and tax per rate, never more than was charged."""

from __future__ import annotations

from fractions import Fraction

from isp.errors import Refused
from isp.money import Rounding, rounded
from isp.tax import RateTotal


def taken_back(net: int, left: RateTotal, rounding: Rounding) -> RateTotal:
    """Net and tax, both negative, of `net` yen taken back at the rate of `left`.

    `left` is what earlier credit notes have left of the invoice at this rate. Who takes back all
    of it takes back its tax to the yen, whatever was rounded on the way (ALL-01).
    """
    if net > left.net:
        raise Refused(
            "lines", f"{net} yen net at {left.rate} % are more than the {left.net} yen left of it"
        )
    if net == left.net:
        return RateTotal(left.rate, -left.net, -left.tax)
    tax = rounded(Fraction(net * left.rate, 100), rounding)
    return RateTotal(left.rate, -net, -min(tax, left.tax))


def split(amount: int, left: RateTotal, rounding: Rounding) -> RateTotal:
    """Net and tax, both negative, of `amount` yen with tax at the rate of `left` [内税].

    Together they are the amount to the yen.
    """
    whole = left.net + left.tax
    if not 0 < amount <= whole:
        raise Refused(
            "amount", f"{amount} yen at {left.rate} % are not between 1 and the {whole} yen left"
        )
    if amount == whole:
        return RateTotal(left.rate, -left.net, -left.tax)
    tax = rounded(Fraction(amount * left.rate, 100 + left.rate), rounding)
    # At least a yen net is left, so that no tax is left that belongs to nothing.
    tax = max(amount - left.net + 1, min(tax, left.tax))
    return RateTotal(left.rate, tax - amount, -tax)
