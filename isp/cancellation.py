"""Leaving [退会・解約]: which months are still charged, what it costs, which day is cheapest.

All amounts are computed by the rules that bill them (`isp.charges`), so that the quote is the bill.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import accumulate

from isp.charges import Exit, Fees, PricePeriod, charges_in, price_in
from isp.legal import CustomerKind, is_capped
from isp.money import Rounding, rounded
from isp.month import Month
from isp.policy import ContractPolicy
from isp.tax import gross
from isp.terms import is_renewal_month


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the rules of leaving need to know of a contract."""

    customer_kind: CustomerKind
    concluded_on: date
    charged_from: Month | None
    prices: tuple[PricePeriod, ...]
    fees: Fees

    @property
    def concluded(self) -> Month:
        return Month.of(self.concluded_on)


@dataclass(frozen=True, slots=True)
class CheapestDay:
    """The member's deadline: the latest later day of receipt with the lowest total."""

    received_on: date
    total: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a complete application received on `received_on` means; fees net, `total` with tax."""

    received_on: date
    last_charged_month: Month
    in_renewal_month: bool
    early_termination_fee: int
    early_fee_basis: str
    installation: int
    total: int
    cheapest: CheapestDay

    @property
    def ends_on(self) -> date:
        """Service runs to the end of the last month charged."""
        return self.last_charged_month.last

    @property
    def exit(self) -> Exit:
        return Exit(self.last_charged_month, self.early_termination_fee, self.installation)


def last_charged_month(received_on: date, cutoff_day: int) -> Month:
    """Complete by the cutoff, charges end with that month; later, with the next (ISP-09)."""
    month = Month.of(received_on)
    return month if received_on.day <= cutoff_day else month + 1


def early_termination_fee(
    agreement: Agreement, received_on: date, policy: ContractPolicy
) -> tuple[int, str]:
    """The fee for leaving outside the renewal month [契約解除料], yen net, and its basis (ISP-11).

    A capped contract never pays more than the monthly fee valid in the month of receipt, also
    where the price has fallen since conclusion (ISP-13, in the subscriber's favour).
    """
    month = Month.of(received_on)
    fees = agreement.fees
    if is_renewal_month(agreement.concluded, fees.term_months, month):
        return 0, "renewal month, free (ISP-11)"
    if agreement.charged_from is None and not policy.early_fee_before_opening:
        return 0, "not opened, free by policy"
    if not is_capped(agreement.customer_kind, agreement.concluded_on):
        return fees.early_fee, "outside the renewal month, exempt from the cap (ISP-11, ISP-13)"
    fee = min(fees.early_fee, price_in(agreement.prices, month))
    return fee, "outside the renewal month, at most one monthly fee (ISP-11, ISP-13)"


def remaining_installation(agreement: Agreement, counted_to: Month) -> int:
    """What remains of installation work, yen net: (term - used + 1) / term of it (ISP-13).

    Months used count from the month of conclusion to `counted_to`, both included; nothing is left
    after the first term, and nothing is owed before the work was done. Rounded down.
    """
    fees = agreement.fees
    if agreement.charged_from is None or not fees.installation_fee:
        return 0
    used = counted_to - agreement.concluded + 1
    left = min(max(fees.term_months - used + 1, 0), fees.term_months)
    return rounded(Fraction(fees.installation_fee * left, fees.term_months), "floor")


def exit_on(agreement: Agreement, received_on: date, policy: ContractPolicy) -> Exit:
    """How the contract ends when a complete application is received on `received_on`."""
    last = last_charged_month(received_on, policy.cutoff_day)
    counted_to = last if policy.installation_counted_to == "last-charged" else Month.of(received_on)
    fee, _ = early_termination_fee(agreement, received_on, policy)
    return Exit(last, fee, remaining_installation(agreement, counted_to))


def _to_pay_in(
    month: Month, agreement: Agreement, rounding: Rounding, leaving: Exit | None = None
) -> int:
    """Yen with tax of one month, taxed as an invoice of its own; the opening fee is left out."""
    charges = charges_in(month, agreement.charged_from, agreement.prices, agreement.fees, leaving)
    lines = ((charge.net, charge.tax_rate) for charge in charges if charge.kind != "opening")
    return gross(lines, rounding)


def still_to_pay(agreement: Agreement, leaving: Exit, since: Month, rounding: Rounding) -> int:
    """Yen with tax from `since` to the end: monthly fees, early termination fee, installation.

    Each month is taxed as an invoice of its own; transfer and opening fees are left out.
    """
    months = since.until(leaving.last_charged_month)
    return sum(_to_pay_in(month, agreement, rounding, leaving) for month in months)


def _deadlines(received_on: date, until: date, cutoff_day: int) -> Iterator[date]:
    """The last days on which the outcome is still the same: each cutoff and each month's end."""
    for month in Month.of(received_on).until(Month.of(until)):
        for day in (month.day(cutoff_day), min(month.last, until)):
            if received_on < day <= until:
                yield day


def cheapest_day(
    agreement: Agreement, received_on: date, policy: ContractPolicy, rounding: Rounding
) -> CheapestDay:
    """The latest of the later days of receipt with the lowest total (ISP-12).

    Every day of the policy's horizon is meant; within a month the outcome changes only after the
    cutoff, so it is enough to look at the last day of each stretch.
    """
    from dateutil.relativedelta import relativedelta  # late: only quotes need it

    since = Month.of(received_on)
    until = received_on + relativedelta(months=policy.cheapest_within_months)
    running = (_to_pay_in(month, agreement, rounding) for month in since.until(Month.of(until)))
    before = tuple(accumulate(running, initial=0))  # what is paid before the nth month

    def on(day: date) -> CheapestDay:
        leaving = exit_on(agreement, day, policy)
        last = leaving.last_charged_month
        return CheapestDay(
            day, before[last - since] + _to_pay_in(last, agreement, rounding, leaving)
        )

    days = (on(day) for day in _deadlines(received_on, until, policy.cutoff_day))
    return min(days, key=lambda day: (day.total, -day.received_on.toordinal()))


def exit_quote(
    agreement: Agreement, received_on: date, policy: ContractPolicy, rounding: Rounding
) -> Quote:
    """What leaving would cost, before anybody commits (ISP-12)."""
    leaving = exit_on(agreement, received_on, policy)
    fee, basis = early_termination_fee(agreement, received_on, policy)
    month = Month.of(received_on)
    return Quote(
        received_on=received_on,
        last_charged_month=leaving.last_charged_month,
        in_renewal_month=is_renewal_month(agreement.concluded, agreement.fees.term_months, month),
        early_termination_fee=fee,
        early_fee_basis=basis,
        installation=leaving.installation,
        total=still_to_pay(agreement, leaving, month, rounding),
        cheapest=cheapest_day(agreement, received_on, policy, rounding),
    )


def withdrawal_exit(
    agreement: Agreement, received_on: date, policy: ContractPolicy, *, used: bool = True
) -> Exit:
    """How a contract ends by early withdrawal [初期契約解除] (ISP-14).

    No early termination fee; the months in which the service was open, and the installation work
    that was done up to the legal maximum. `used` says whether the service was open on that day:
    who withdraws before owes nothing, also where the opening came to be recorded.
    """
    opened = agreement.charged_from
    last = Month.of(received_on)
    if opened is None or not used:
        return Exit(last if opened is None else min(last, opened - 1), 0, 0, withdrawn=True)
    installation = min(agreement.fees.installation_fee, policy.withdrawal_installation_maximum)
    return Exit(last, 0, installation, withdrawn=True)
