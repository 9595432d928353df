"""Money is whole yen in integers; ratios are exact and every rounding is named."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Literal

Rounding = Literal["floor", "half-up", "ceil"]


def rounded(amount: Fraction, rounding: Rounding) -> int:
    """Whole yen from an exact amount. `half-up` moves a half away from zero.

    `floor` and `ceil` go towards and away from zero, so that a credit note of the same lines
    takes back exactly what the invoice charged.
    """
    sign = -1 if amount < 0 else 1
    size = abs(amount)
    if rounding == "floor":
        return sign * floor(size)
    if rounding == "ceil":
        return sign * ceil(size)
    return sign * floor(size + Fraction(1, 2))
