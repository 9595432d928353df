"""What becomes of an invoice as it is collected and paid [回収]: the rules, without any row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal

from billing.drafting import transfer_date
from isp.calendar import Calendar
from isp.documents import Language
from isp.month import Month

Status = Literal["open", "collecting", "paid", "failed", "void"]
Channel = Literal["account-transfer", "card"]

MANDATE_ENDS = frozenset("234")
"""Result codes after which nothing may be drawn until the member gives a new mandate (ISP-07)."""

DRAWN_AGAIN = frozenset("19")
"""Result codes after which a second try may succeed: no funds, or no reason given."""

SOLD, DECLINED = "ok", "declined"
"""What the card company answers."""

CARD_REASONS: dict[Language, str] = {
    "ja": "カード会社が承認しませんでした",
    "en": "declined by the card company",
}
"""Why a card sale failed, where the card company gives no reason of its own."""


def status_of(owed: int, *, void: bool, exported: bool, failed: bool) -> Status:
    """The status of an invoice: `owed` yen are left, a collection is `exported` or has `failed`.

    What is with the bank stays `collecting` until the bank has answered, whatever else happens;
    what came back unpaid stays `failed` until it is paid.
    """
    if void:
        return "void"
    if exported:
        return "collecting"
    if owed <= 0:
        return "paid"
    return "failed" if failed else "open"


def is_drawn_again(
    channel: Channel, code: str, insufficient_funds: Literal["retry", "invoice"]
) -> bool:
    """Whether what failed is drawn again next month; otherwise the member pays by invoice."""
    return channel == "account-transfer" and code in DRAWN_AGAIN and insufficient_funds == "retry"


def next_draw(month: Month, today: date, transfer_day: int, calendar: Calendar) -> Month:
    """The billed month with whose transfer a failed item of `month` is drawn again.

    The next one; or, where the bank's answer was read late, the first still to come.
    """
    following = month + 1
    while transfer_date(following, transfer_day, calendar) <= today:
        following += 1
    return following


def pay_failed_by(collect_on: date, today: date, calendar: Calendar) -> date:
    """By when an invoice is payable that could not be collected on `collect_on`.

    The end of the month after, counted from today where the answer was read late.
    """
    return calendar.on_or_after((Month.of(max(collect_on, today)) + 1).last)


def statement_months(month: Month) -> Iterator[Month]:
    """Months in whose card statement the sale for `month` may show: one to three later (ISP-06)."""
    return (month + 1).until(month + 3)


def billed_months(statement: Month) -> Iterator[Month]:
    """Months to which a line of a card statement may belong (ISP-06)."""
    return (statement - 3).until(statement - 1)
