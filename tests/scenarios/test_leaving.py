"""Leaving: by the 15th and after it, free and paid, within eight days, before the opening."""

from __future__ import annotations

from typing import Any

import outside
import paper
import pytest
import town
from office import Office

BEGUN = "2026-04-01"


@pytest.fixture
def begun(office: Office) -> Office:
    town.plan(
        *(office, BEGUN, "HIKARI", 5200, 24, "--early-fee", 5200, "--opening-fee", 3000),
        *("--installation-fee", 24000),
    )
    town.plan(office, BEGUN, "BUSINESS", 8000, 24, "--early-fee", 30000, "--for", "corporation")
    town.plan(office, BEGUN, "DEAR", 5000, 12, "--installation-fee", 40000)
    return office


def leave(office: Office, contract: str, day: str, *more: str) -> dict[str, Any]:
    """The quote and the application of one day, which must say the same."""
    ask = ("--today", day, "contract", "cancel", contract, "--received", day)
    quote = office.ok(*ask, "--dry-run")
    done: dict[str, Any] = office.ok(*ask, *more)
    same = ("last_charged_month", "early_termination_fee", "total", "cheapest", "ends_on")
    assert {key: quote[key] for key in same} == {key: done[key] for key in same}
    return done


def bill_to(office: Office, first: str, last: str) -> list[dict[str, Any]]:
    """All invoices, every month from `first` to `last` having been billed by the daily run."""
    year, month = map(int, first.split("-"))
    while f"{year}-{month:02}" <= last:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        town.daily(office, f"{year}-{month:02}-03")
    return town.invoices(office, f"{year}-{month:02}-03")


@pytest.mark.req("ISP-09", "ISP-11", "ISP-13")
@pytest.mark.parametrize(
    ("received", "last", "parts"),
    [
        ("2027-01-15", "2027-01", 15),  # the 10th of 24 months
        ("2027-01-16", "2027-02", 14),
        ("2027-01-31", "2027-02", 14),
        ("2027-02-15", "2027-02", 14),
        ("2027-02-28", "2027-03", 13),
        ("2028-02-15", "2028-02", 2),
        ("2028-02-29", "2028-03", 1),
    ],
)
def test_isp_13_leaving_early_costs_the_fee_and_a_part_of_the_installation(
    begun: Office, received: str, last: str, parts: int
) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    begun.ok("--today", received, "bill", "run", "--month", "2026-04")
    done = leave(begun, contract, received)
    assert (done["last_charged_month"], done["in_renewal_month"]) == (last, False)
    assert (done["early_termination_fee"], done["installation"]) == (5200, 1000 * parts)
    months = 1 if done["last_charged_month"] == received[:7] else 2
    assert done["total"] == months * 5720 + 1100 * parts + 5200
    year, month = int(last[:4]), int(last[5:]) + 1
    billed_on = f"{year}-{month:02}-03"
    begun.ok("--today", billed_on, "bill", "run", "--month", last)
    [invoice] = town.invoices(begun, billed_on, "--month", last)
    assert town.lines(invoice) == {
        "monthly": 5200,
        "early-termination": 5200,
        "installation": 1000 * parts,
    }
    assert [tax["rate"] for tax in invoice["taxes"]] == [10, 0]
    told = begun.ok("--today", billed_on, "explain", invoice["number"])
    assert {"monthly", "early-termination", "installation"} <= {
        each["kind"] for each in told["lines"]
    }


@pytest.mark.req("ISP-10", "ISP-11")
@pytest.mark.parametrize(
    ("received", "free", "last"),
    [
        ("2028-03-31", False, "2028-04"),
        ("2028-04-01", True, "2028-04"),
        ("2028-04-15", True, "2028-04"),
        ("2028-04-16", True, "2028-05"),
        ("2028-04-30", True, "2028-05"),
        ("2028-05-01", False, "2028-05"),
        ("2030-04-30", True, "2030-05"),
        ("2032-02-29", False, "2032-03"),
    ],
)
def test_isp_11_leaving_is_free_in_the_renewal_month_alone(
    begun: Office, received: str, free: bool, last: str
) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    done = leave(begun, contract, received)
    assert (done["in_renewal_month"], done["last_charged_month"]) == (free, last)
    assert done["early_termination_fee"] == (0 if free else 5200)


@pytest.mark.req("ISP-12")
def test_isp_12_the_deadline_named_is_the_last_of_the_best_days(begun: Office) -> None:
    """From January 2028 on, who waits for 15 April pays four months and nothing else."""
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    ask = ("contract", "cancel", contract, "--dry-run", "--received")
    now = begun.ok("--today", "2028-03-16", *ask, "2028-03-16")
    assert now["total"] == 2 * 5720 + 5200
    assert now["cheapest"] == {"received_on": "2028-04-15", "total": 2 * 5720}
    # Early in the term leaving at once is the best that is left: the 15th of this very month.
    early = begun.ok("--today", "2026-06-01", *ask, "2026-06-01")
    assert early["cheapest"] == {"received_on": "2026-06-15", "total": early["total"]}


@pytest.mark.req("ISP-09")
def test_isp_09_an_application_completed_late_counts_late(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    cancel = ("contract", "cancel", contract, "--received")
    first = begun.ok("--today", "2028-04-15", *cancel, "2028-04-15", "--incomplete")
    assert first["complete"] is False
    town.daily(begun, "2028-04-20")
    assert begun.ok("contract", "show", contract)["status"] == "active"
    done = begun.ok("--today", "2028-05-02", *cancel, "2028-05-02")
    assert (done["complete"], done["last_charged_month"]) == (True, "2028-05")
    assert done["early_termination_fee"] == 5200 and done["in_renewal_month"] is False
    refused = begun.refused("--today", "2028-05-03", *cancel, "2028-05-03")
    assert refused.startswith("status: ")


@pytest.mark.req("ISP-14")
def test_isp_14_withdrawing_on_the_eighth_day_and_no_later(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    eighth, ninth = (
        town.contract(begun, "2026-04-10", member, "DEAR", "2026-04-10") for _ in range(2)
    )
    withdraw = ("contract", "withdraw")
    done = begun.ok("--today", "2026-04-17", *withdraw, eighth, "--received", "2026-04-17")
    assert done["status"] == "withdrawn" and done["number"] == eighth
    assert {each["kind"]: each["net"] for each in done["charges"]} == {
        "monthly": 5000,
        "installation": 25000,  # the legal maximum of 40000
    }
    why = begun.refused("--today", "2026-04-18", *withdraw, ninth, "--received", "2026-04-18")
    assert why.startswith("received: ") and "2026-04-17" in why
    assert begun.ok("contract", "show", ninth)["status"] == "active"
    [invoice] = bill_to(begun, "2026-04", "2026-04")
    assert town.lines({**invoice, "lines": invoice["lines"][:2]}) == {
        "monthly": 5000,
        "installation": 25000,
    }
    town.prove(begun, "2026-05-03")


@pytest.mark.req("ISP-14")
def test_isp_14_the_eight_days_count_from_the_arrival_of_the_document(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-10")
    arrived = ("contract", "document-received", contract, "--on", "2026-04-14")
    begun.ok("--today", "2026-04-14", *arrived)
    withdraw = ("contract", "withdraw", contract, "--received")
    assert begun.refused("--today", "2026-04-22", *withdraw, "2026-04-22")
    assert begun.ok("--today", "2026-04-21", *withdraw, "2026-04-21")["status"] == "withdrawn"


@pytest.mark.req("ISP-14")
def test_isp_14_an_opening_fee_already_billed_comes_back(begun: Office) -> None:
    """Concluded and opened at the end of April, withdrawn in May, April having been billed."""
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-28", member, "HIKARI", "2026-04-28")
    [april] = bill_to(begun, "2026-04", "2026-04")
    assert town.lines(april) == {"monthly": 5200, "opening": 3000}
    withdraw = ("contract", "withdraw", contract, "--received", "2026-05-05")
    begun.ok("--today", "2026-05-05", *withdraw)
    town.daily(begun, "2026-06-03")
    net: dict[str, int] = {}
    for invoice in town.invoices(begun, "2026-06-03"):
        for line in invoice["lines"]:
            net[line["kind"]] = net.get(line["kind"], 0) + line["net"]
    returned = net.pop("adjustment", 0) + net.pop("opening")
    assert (net, returned) == ({"monthly": 10400, "installation": 24000}, 0)
    town.prove(begun, "2026-06-03", outside.Purse())


@pytest.mark.req("ISP-13", "ISP-14", "ISP-21")
def test_isp_21_a_company_contracts_like_a_household_but_for_the_cap(begun: Office) -> None:
    company = town.member(begun, BEGUN, "invoice", "corporation")
    household = town.member(begun, BEGUN, "invoice")
    same = [
        town.contract(begun, "2026-04-10", who, "HIKARI", "2026-04-10")
        for who in (company, household)
    ]
    own = town.contract(begun, "2026-04-10", company, "BUSINESS", "2026-04-10")
    refused = begun.refused(
        *("--today", "2026-04-10", "contract", "apply", household, "BUSINESS"),
        *("--concluded-on", "2026-04-10"),
    )
    assert refused.startswith("plan: ")
    refused = begun.refused(
        "--today", "2026-04-12", "contract", "withdraw", own, "--received", "2026-04-12"
    )
    assert refused.startswith("customer: ")
    bills = bill_to(begun, "2026-04", "2026-04")
    amounts = {each["customer"]: each["net"] for each in bills}
    assert amounts == {household: 8200, company: 8200 + 8000}
    quotes = [leave(begun, contract, "2026-06-10")["total"] for contract in same]
    assert quotes[0] == quotes[1]
    assert leave(begun, own, "2026-06-10")["early_termination_fee"] == 30000
    june = bill_to(begun, "2026-05", "2026-06")[-2:]
    assert {each["customer"]: each["gross"] for each in june} == {
        household: quotes[0],
        company: quotes[0] + 8800 + 30000,
    }
    town.prove(begun, "2026-07-03")


@pytest.mark.req("ISP-11")
def test_isp_11_leaving_before_the_line_is_opened(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI")
    done = leave(begun, contract, "2026-04-25")
    assert (done["early_termination_fee"], done["total"]) == (5200, 5200)
    bills = bill_to(begun, "2026-04", "2026-06")
    assert [(each["month"], town.lines(each)) for each in bills] == [
        ("2026-05", {"early-termination": 5200})
    ]
    assert begun.ok("contract", "show", contract)["status"] == "ended"


@pytest.mark.req("ISP-18")
def test_isp_18_moving_where_the_line_is_and_where_it_is_not(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    there = ("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")
    move = ("--today", "2026-09-10", "contract", "move", contract, *there)
    stays = begun.ok(*move, "--no-line")
    assert stays["moved"] is False
    assert "千代田" in begun.ok("customer", "show", member)["address"]
    quote = begun.ok(
        *("--today", "2026-09-10", "contract", "cancel", contract),
        *("--received", "2026-09-10", "--dry-run"),
    )
    assert {key: stays["leaving"][key] for key in ("total", "cheapest")} == {
        key: quote[key] for key in ("total", "cheapest")
    }
    moved = begun.ok(*move, "--line")
    assert moved["moved"] is True
    shown = begun.ok("customer", "show", member)
    assert (shown["postal_code"], shown["address"]) == ("530-0001", "大阪府大阪市北区梅田1-1")
    kinds = [each["kind"] for each in begun.ok("outbox", "list", "--customer", member)]
    assert kinds.count("moved") == kinds.count("move-impossible") == 1
    term = begun.ok("--today", "2026-09-10", "contract", "show", contract)
    assert (term["term_start"], term["renewal_month"]) == ("2026-04", "2028-04")


@pytest.mark.req("ISP-15")
def test_isp_15_the_renewal_notice_names_month_fee_and_deadline(begun: Office) -> None:
    member = town.member(begun, BEGUN, "invoice")
    contract = town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-20")
    letter = begun.folder / "renewal.pdf"
    begun.ok("--today", "2028-02-20", "letter", "renewal", contract, "-o", letter)
    said = paper.text(letter.read_bytes())
    for fact in ("2028年4月", "5,200", "4月15日", contract):
        assert fact in said
    for day in ("2028-02-20", "2028-02-21", "2028-04-02"):
        town.daily(begun, day)
    told = [each for each in begun.ok("outbox", "list") if each["kind"] == "renewal-notice"]
    assert len(told) == 1
    english = begun.ok("--today", BEGUN, "customer", "set", member, "--language", "en")
    assert english["language"] == "en"


@pytest.mark.req("ISP-09", "ALL-01", "ALL-02")
def test_isp_09_an_application_the_desk_finds_months_later_takes_back_what_was_too_much(
    begun: Office,
) -> None:
    """Received on 10 May and lying in a drawer until July: June and what follows come back."""
    purse = outside.Purse()
    methods = ("account-transfer", "card", "invoice")
    members = [town.member(begun, BEGUN, method) for method in methods]
    contracts = [
        town.contract(begun, "2026-04-10", member, "HIKARI", "2026-04-10") for member in members
    ]
    out = begun.folder / "out"
    for month, third, tenth, after in (
        ("2026-04", "2026-05-03", "2026-05-10", "2026-05-26"),
        ("2026-05", "2026-06-03", "2026-06-10", "2026-06-26"),
        ("2026-06", "2026-07-03", "2026-07-10", "2026-07-26"),
    ):
        town.daily(begun, third)
        town.daily(begun, tenth)
        answer = outside.bank_answers(out / f"transfer-{month}.txt", purse)
        begun.ok("--today", after, "debit", "import", answer)
        answer = outside.card_company_answers(out / f"card-sales-{month}.csv", purse)
        begun.ok("--today", after, "card", "import", answer)
    for contract in contracts:
        ask = ("contract", "cancel", contract, "--received", "2026-05-10")
        assert begun.ok("--today", "2026-07-27", *ask)["last_charged_month"] == "2026-05"
    for _ in range(2):
        town.daily(begun, "2026-07-28")
    net: dict[tuple[str, str], int] = {}
    for invoice in town.invoices(begun, "2026-07-28"):
        for line in invoice["lines"] if invoice["status"] != "void" else []:
            if line["contract"]:
                key = line["contract"], line["kind"]
                net[key] = net.get(key, 0) + line["net"]
    for contract in contracts:
        of_it = {kind: total for (of, kind), total in net.items() if of == contract}
        assert of_it == {
            "monthly": 2 * 5200,
            "opening": 3000,
            "early-termination": 5200,
            "installation": 23000,
        }
    town.prove(begun, "2026-07-28", purse)
