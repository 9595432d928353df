"""Plans: put on sale within the law, priced from a month on, changed for later contracts only."""

from __future__ import annotations

import desk
import pytest
from desk import HIKARI, Row, acts, contract, member, on, plan, untouched
from office import Office

TODAY = "2026-04-10"


def add(code: str = "X", **changes: object) -> tuple[str, ...]:
    return ("plan", "add", code, *desk.options(HIKARI | changes))


def test_a_plan_is_shown_as_it_was_put_on_sale(office: Office) -> None:
    fees = {"opening_fee": 800, "free_months": 2, "installation_fee": 24000}
    added = office.ok(*add("HIKARI-1", **fees, mailboxes=3, line="b-flets"))
    assert added == office.ok("plan", "show", "HIKARI-1")
    assert added == {
        "code": "HIKARI-1",
        **HIKARI,
        **fees,
        "line": "b-flets",
        "early_fee_tax": "none",
        "for": "any",
        "sold_until": None,
        "mailboxes": 3,
        "prices": [{"from": None, "monthly_fee": 5200}],
    }
    assert office.ok("plan", "list") == [added]
    assert [act["act"] for act in acts(office, "HIKARI-1")] == ["plan.added"]


WRONG: list[tuple[str, Row, str]] = [
    ("", {}, "code"),
    ("HIKARI 1", {}, "code"),
    ("ひかり", {}, "code"),
    ("X" * 33, {}, "code"),
    ("-X", {}, "command"),
    ("X", {"name": ""}, "name"),
    ("X", {"name": "ひかり\x1b[31m"}, "name"),
    ("X", {"name": "ひ" * 81}, "name"),
    ("X", {"monthly_fee": "5,200"}, "monthly_fee"),
    ("X", {"monthly_fee": "5200.5"}, "monthly_fee"),
    ("X", {"monthly_fee": "５２００"}, "monthly_fee"),
    ("X", {"monthly_fee": "-1"}, "monthly_fee"),
    ("X", {"monthly_fee": "10000001"}, "monthly_fee"),
    ("X", {"monthly_fee": "9" * 30}, "monthly_fee"),
    ("X", {"monthly_fee": None}, "monthly_fee"),
    ("X", {"term_months": "0"}, "term_months"),
    ("X", {"term_months": "121"}, "term_months"),
    ("X", {"term_months": "two"}, "term_months"),
    ("X", {"term_months": "9" * 30}, "term_months"),
    ("X", {"opening_fee": "-800"}, "opening_fee"),
    ("X", {"installation_fee": "-1"}, "installation_fee"),
    ("X", {"free_months": "121"}, "free_months"),
    ("X", {"free_months": "-1"}, "free_months"),
    ("X", {"mailboxes": "-1"}, "mailboxes"),
    ("X", {"mailboxes": "1001"}, "mailboxes"),
    ("X", {"line": "isdn"}, "line"),
    ("X", {"for": "everybody"}, "for"),
    ("X", {"early_fee_tax": "reduced"}, "early_fee_tax"),
    ("X", {"sold_until": "2026-02-30"}, "sold_until"),
    ("X", {"early_fee": "-1"}, "early_fee"),
    ("TAKEN", {}, "code"),
]


def test_all_04_a_wrong_plan_is_not_stored(office: Office) -> None:
    plan(office, "TAKEN")
    with untouched(office):
        for code, changes, named in WRONG:
            refusal = office.refused(*on(TODAY), *add(code, **changes))
            assert refusal.startswith(f"{named}: "), (code, changes, refusal)
        for command in (("show",), ("price", "--monthly-fee", "1", "--from", "2027-01")):
            refusal = office.refused("plan", command[0], "NONE", *command[1:])
            assert refusal == "plan: there is no plan 'NONE': see `isp plan list`"


# The legal cap


@pytest.mark.parametrize("sold_to", ["any", "consumer"])
def test_isp_13_a_plan_above_one_monthly_fee_is_not_stored(office: Office, sold_to: str) -> None:
    with untouched(office):
        refusal = office.refused(*on(TODAY), *add(early_fee=5201, **{"for": sold_to}))
    assert refusal.startswith("early_fee: 5201 yen is more than one monthly fee (5200 yen)")
    assert "ISP-13" in refusal
    assert office.ok(*on(TODAY), *add(early_fee=5200, **{"for": sold_to}))["early_fee"] == 5200


def test_isp_13_a_plan_for_companies_is_exempt(office: Office) -> None:
    added = office.ok(*on(TODAY), *add(early_fee=60000, **{"for": "corporation"}))
    assert added["early_fee"] == 60000


@pytest.mark.parametrize(
    ("today", "sold_until", "stored"),
    [
        ("2022-06-30", None, True),
        ("2022-07-01", None, False),
        ("2026-04-10", "2022-06-30", True),
        ("2026-04-10", "2022-07-01", False),
        ("2022-06-30", "2026-04-10", True),
    ],
)
def test_isp_13_what_counts_is_whether_it_is_sold_since_2022_07_01(
    office: Office, today: str, sold_until: str | None, stored: bool
) -> None:
    command = (*on(today), *add(early_fee=9800, sold_until=sold_until))
    if stored:
        office.ok(*command)
    else:
        with untouched(office):
            assert office.refused(*command).startswith("early_fee: ")


def test_isp_13_a_lower_price_may_not_leave_the_fee_above_it(office: Office) -> None:
    plan(office)
    lower = ("plan", "price", "HIKARI", "--monthly-fee", "4800", "--from", "2027-04")
    with untouched(office):
        assert office.refused(*on(TODAY), *lower).startswith("early_fee: ")
    office.ok(*on(TODAY), "plan", "set", "HIKARI", "--early-fee", "4800")
    office.ok(*on(TODAY), *lower)


def test_isp_13_a_higher_fee_is_held_to_every_price_to_come(office: Office) -> None:
    plan(office, early_fee=4800)
    for fee, since in ((4800, "2027-04"), (6000, "2028-04")):
        price = ("plan", "price", "HIKARI", "--monthly-fee", fee, "--from", since)
        office.ok(*on(TODAY), *price)
    raised = ("plan", "set", "HIKARI", "--early-fee", "5200")
    with untouched(office):
        assert office.refused(*on("2026-12-31"), *raised).startswith("early_fee: ")
        assert office.refused(*on("2028-03-31"), *raised).startswith("early_fee: ")
    assert office.ok(*on("2028-04-01"), *raised)["early_fee"] == 5200


def test_isp_13_the_sale_of_an_old_plan_is_not_prolonged_above_the_cap(office: Office) -> None:
    office.ok(*on("2022-06-01"), *add("OLD", early_fee=9800, sold_until="2022-06-30"))
    longer = ("plan", "set", "OLD", "--sold-until", "2026-12-31")
    with untouched(office):
        assert office.refused(*on(TODAY), *longer).startswith("early_fee: ")
    office.ok(*on(TODAY), *longer, "--early-fee", "5200")


# Prices


def test_prices_are_valid_from_their_month_on(office: Office) -> None:
    plan(office, early_fee=0)
    command = ("plan", "price", "HIKARI")
    office.ok(*command, "--monthly-fee", "6000", "--from", "2028-04")
    answer = office.ok(*command, "--monthly-fee", "5600", "--from", "2027-04")
    assert answer == {
        "code": "HIKARI",
        "prices": [
            {"from": None, "monthly_fee": 5200},
            {"from": "2027-04", "monthly_fee": 5600},
            {"from": "2028-04", "monthly_fee": 6000},
        ],
    }
    again = office.ok(*command, "--monthly-fee", "5700", "--from", "2027-04")
    assert again["prices"][1] == {"from": "2027-04", "monthly_fee": 5700}
    told = [act["after"]["prices"][-1] for act in acts(office, "HIKARI") if act["before"]]
    assert len(told) == 3


def test_all_04_a_wrong_price_is_refused(office: Office) -> None:
    plan(office, early_fee=0)
    with untouched(office):
        for fee, since, named in (
            ("5600", "2027-4", "from"),
            ("5600", "2027-13", "from"),
            ("5600", "27-04", "from"),
            ("5600", "2027-04-01", "from"),
            ("-5600", "2027-04", "monthly_fee"),
            ("abc", "2027-04", "monthly_fee"),
        ):
            command = ("plan", "price", "HIKARI", "--monthly-fee", fee, "--from", since)
            assert office.refused(*command).startswith(f"{named}: "), (fee, since)


# Later contracts only


def test_a_concluded_contract_keeps_what_it_pinned(office: Office) -> None:
    plan(office)
    first = contract(office, member(office))
    office.ok("plan", "set", "HIKARI", "--early-fee", "3000")
    second = contract(office, member(office))
    assert office.ok("contract", "show", first)["early_fee"] == 5200
    assert office.ok("contract", "show", second)["early_fee"] == 3000


def test_a_plan_is_not_sold_after_its_last_day(office: Office) -> None:
    plan(office)
    office.ok("plan", "set", "HIKARI", "--sold-until", "2026-03-31")
    number = member(office)
    office.ok("contract", "apply", number, "HIKARI", "--concluded-on", "2026-03-31")
    late = ("contract", "apply", number, "HIKARI", "--concluded-on", "2026-04-01")
    with untouched(office):
        assert office.refused(*late) == "plan: HIKARI is not sold after 2026-03-31"


def test_all_04_a_change_of_nothing_is_refused(office: Office) -> None:
    plan(office)
    with untouched(office):
        assert office.refused("plan", "set", "HIKARI").startswith("early_fee: nothing to change")
