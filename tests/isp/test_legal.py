"""Legal limits on leaving: the cap since 2022-07-01, withdrawal within 8 days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.errors import Refused
from isp.legal import (
    CustomerKind,
    SoldTo,
    is_capped,
    last_day_to_withdraw,
    refuse_contract_above_cap,
    refuse_plan_above_cap,
    refuse_wrong_buyer,
)

BEFORE, SINCE = date(2022, 6, 30), date(2022, 7, 1)


@pytest.mark.parametrize(
    ("kind", "concluded_on", "capped"),
    [
        ("individual", BEFORE, False),
        ("individual", SINCE, True),
        ("individual", date(2026, 4, 10), True),
        ("sole-proprietor", BEFORE, False),
        ("sole-proprietor", SINCE, True),
        ("corporation", BEFORE, False),
        ("corporation", SINCE, False),
        ("corporation", date(2026, 4, 10), False),
    ],
)
@pytest.mark.parametrize(("early_fee", "above"), [(0, False), (4000, False), (4001, True)])
def test_isp_13_a_contract_above_the_cap_is_not_concluded(
    kind: CustomerKind, concluded_on: date, capped: bool, early_fee: int, above: bool
) -> None:
    assert is_capped(kind, concluded_on) == capped
    if not (capped and above):
        refuse_contract_above_cap(kind, concluded_on, early_fee, 4000)
        return
    with pytest.raises(Refused) as refused:
        refuse_contract_above_cap(kind, concluded_on, early_fee, 4000)
    assert refused.value.field == "early_fee"
    for said in ("4001", "4000", str(concluded_on), "ISP-13"):
        assert said in refused.value.why


@pytest.mark.parametrize(
    ("sold_to", "sold_until", "today", "capped"),
    [
        ("any", None, BEFORE, False),
        ("any", None, SINCE, True),
        ("consumer", None, SINCE, True),
        ("corporation", None, SINCE, False),
        ("corporation", None, BEFORE, False),
        ("any", BEFORE, date(2026, 4, 1), False),  # an old plan, migrated
        ("any", SINCE, date(2026, 4, 1), True),
        ("consumer", date(2030, 3, 31), BEFORE, False),
        ("consumer", date(2030, 3, 31), SINCE, True),
    ],
)
@pytest.mark.parametrize(("early_fee", "above"), [(0, False), (4000, False), (4001, True)])
def test_isp_13_a_plan_above_the_cap_is_not_stored(
    sold_to: SoldTo, sold_until: date | None, today: date, capped: bool, early_fee: int, above: bool
) -> None:
    if not (capped and above):
        refuse_plan_above_cap(sold_to, early_fee, 4000, sold_until, today)
        return
    with pytest.raises(Refused) as refused:
        refuse_plan_above_cap(sold_to, early_fee, 4000, sold_until, today)
    assert refused.value.field == "early_fee"
    for said in ("4001", "4000", "2022-07-01", "ISP-13", "--for corporation"):
        assert said in refused.value.why


@pytest.mark.parametrize(
    ("kind", "sold_to", "sells"),
    [
        ("individual", "any", True),
        ("individual", "consumer", True),
        ("individual", "corporation", False),
        ("sole-proprietor", "any", True),
        ("sole-proprietor", "consumer", True),
        ("sole-proprietor", "corporation", False),
        ("corporation", "any", True),
        ("corporation", "consumer", False),
        ("corporation", "corporation", True),
    ],
)
def test_isp_21_who_may_buy_which_plan(kind: CustomerKind, sold_to: SoldTo, sells: bool) -> None:
    if sells:
        refuse_wrong_buyer(kind, sold_to)
        return
    with pytest.raises(Refused) as refused:
        refuse_wrong_buyer(kind, sold_to)
    assert refused.value.field == "plan"
    assert kind in refused.value.why
    assert sold_to in refused.value.why


@pytest.mark.parametrize(
    ("received_on", "last_day"),
    [
        (date(2026, 4, 10), date(2026, 4, 17)),
        (date(2026, 2, 25), date(2026, 3, 4)),
        (date(2028, 2, 25), date(2028, 3, 3)),
        (date(2028, 2, 29), date(2028, 3, 7)),
        (date(2026, 12, 28), date(2027, 1, 4)),
    ],
)
def test_isp_14_eight_days_the_day_of_receipt_counting_as_the_first(
    received_on: date, last_day: date
) -> None:
    assert last_day_to_withdraw(received_on, 8) == last_day


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.integers(8, 60))
def test_isp_14_the_period_has_as_many_days_as_the_policy_says(received: date, days: int) -> None:
    last = last_day_to_withdraw(received, days)
    period = [received + timedelta(days=count) for count in range((last - received).days + 1)]
    assert len(period) == days
    assert period[0] == received
