"""A contract's life at the desk: concluded, opened, left, withdrawn; every limit on both databases."""

from __future__ import annotations

from datetime import date

import desk
import pytest
from desk import Row, acts, company, contract, joined, member, notice_text, notices, on, plan
from office import Office
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.queries import contracts_json, customers_json


def show(office: Office, number: str, today: str) -> Row:
    found = office.ok(*on(today), "contract", "show", number)
    assert isinstance(found, dict)
    return found


def leave(number: str, received: str, *more: str) -> tuple[str, ...]:
    return (*on(received), "contract", "cancel", number, "--received", received, *more)


def ask(office: Office, number: str, received: str, today: str = desk.TODAY) -> Row:
    words = ("contract", "cancel", number, "--received", received, "--dry-run")
    found = office.ok(*on(today), *words)
    assert isinstance(found, dict)
    return found


# Concluded


def test_isp_10_the_term_counts_from_the_month_of_conclusion(office: Office) -> None:
    number = joined(office, "2026-04-10", "2026-04-20")
    fields = ("term_number", "term_start", "term_end", "renewal_month")
    for today, *expected in (
        ("2026-04-10", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-03-31", 1, "2026-04", "2028-03", "2028-04"),
        # In the renewal month the member may yet leave: the term that has just ended counts.
        ("2028-04-30", 1, "2026-04", "2028-03", "2028-04"),
        ("2028-05-01", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-04-30", 2, "2028-04", "2030-03", "2030-04"),
        ("2030-05-01", 3, "2030-04", "2032-03", "2032-04"),
    ):
        shown = show(office, number, today)
        assert [shown[field] for field in fields] == expected, today


def test_isp_10_the_day_in_the_month_does_not_matter(office: Office) -> None:
    plan(office)
    who = member(office)
    for concluded in ("2026-04-01", "2026-04-30"):
        number = contract(office, who, concluded)
        assert show(office, number, concluded)["term_end"] == "2028-03"


def test_isp_02_fees_run_from_the_month_of_opening(office: Office) -> None:
    number = joined(office, "2026-04-10", "2026-05-31")
    shown = show(office, number, "2026-06-01")
    assert (shown["status"], shown["opened_on"], shown["charged_from"]) == (
        *("active", "2026-05-31", "2026-05"),
    )
    assert shown["term_start"] == "2026-04"


def test_a_contract_before_its_opening_is_applied_for(office: Office) -> None:
    plan(office)
    number = contract(office, member(office))
    shown = show(office, number, desk.TODAY)
    assert (shown["status"], shown["opened_on"], shown["charged_from"]) == ("applied", None, None)
    assert shown["cancellation"] is None
    assert shown["applied_on"] == shown["document_received_on"] == desk.TODAY


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("C99999999", "HIKARI", "--concluded-on", "2026-04-10"), "customer"),
    (("C00000001", "NONE", "--concluded-on", "2026-04-10"), "plan"),
    (("C00000001", "HIKARI"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "2026-02-30"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "2026-W15-5"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "20260410"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "1899-12-31"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "3000-01-01"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "9999-12-31"), "concluded_on"),
    (("C00000001", "HIKARI", "--concluded-on", "２０２６-04-10"), "concluded_on"),
    (
        *(("C00000001", "HIKARI", "--concluded-on", "2026-04-10", "--applied-on", "2026-04-11"),),
        "applied_on",
    ),
    (
        (
            *("C00000001", "HIKARI", "--concluded-on", "2026-04-10"),
            *("--document-received-on", "2026-04-09"),
        ),
        "document_received_on",
    ),
    (("C00000001", "OFFICE", "--concluded-on", "2026-04-10"), "plan"),
    (("C00000002", "HOME", "--concluded-on", "2026-04-10"), "plan"),
]


def test_all_04_a_wrong_application_changes_nothing(office: Office) -> None:
    plan(office)
    plan(office, "OFFICE", for_="corporation")
    plan(office, "HOME", for_="consumer")
    member(office), company(office)
    with desk.untouched(office):
        for words, named in WRONG:
            refusal = office.refused(*on("2026-04-10"), "contract", "apply", *words)
            assert refusal.startswith(f"{named}: "), words


# The legal cap


@pytest.mark.parametrize(
    ("kind", "concluded_on", "concluded"),
    [
        ("individual", "2022-06-30", True),
        ("individual", "2022-07-01", False),
        ("sole-proprietor", "2022-06-30", True),
        ("sole-proprietor", "2022-07-01", False),
        ("corporation", "2022-07-01", True),
    ],
)
def test_isp_13_a_contract_above_the_cap_is_not_concluded(
    office: Office, kind: str, concluded_on: str, concluded: bool
) -> None:
    """A plan from before the law, that is still on sale when it comes into force."""
    plan(office, today="2022-06-01", early_fee=9800)
    who = company(office) if kind == "corporation" else member(office, kind=kind)
    words = (*on("2022-07-01"), "contract", "apply", who, "HIKARI", "--concluded-on", concluded_on)
    if concluded:
        assert office.ok(*words)["early_fee"] == 9800
    else:
        with desk.untouched(office):
            refusal = office.refused(*words)
        assert refusal.startswith("early_fee: the plan's 9800 yen is more than one monthly fee")
        assert "ISP-13" in refusal


def test_isp_13_what_remains_of_installation_is_charged_in_proportion(office: Office) -> None:
    """In the 10th of 24 months, the month of cancellation counting as used: 15/24."""
    plan(office, installation_fee=24000)
    number = contract(office, member(office), "2026-04-10", "2026-04-20")
    assert ask(office, number, "2027-01-10")["total"] == 5720 + 5200 + 15000 * 110 // 100
    assert office.ok(*leave(number, "2027-01-10"))["installation"] == 15000


# Left


@pytest.mark.parametrize(
    ("received", "last", "ends_on"),
    [
        ("2026-09-01", "2026-09", "2026-09-30"),
        ("2026-09-15", "2026-09", "2026-09-30"),
        ("2026-09-16", "2026-10", "2026-10-31"),
        ("2026-12-31", "2027-01", "2027-01-31"),
        ("2027-02-15", "2027-02", "2027-02-28"),
    ],
)
def test_isp_09_charges_end_by_the_day_of_receipt(
    office: Office, received: str, last: str, ends_on: str
) -> None:
    number = joined(office)
    answer = office.ok(*leave(number, received))
    assert (answer["complete"], answer["received_on"]) == (True, received)
    assert (answer["last_charged_month"], answer["ends_on"]) == (last, ends_on)
    shown = show(office, number, received)
    assert shown["status"] == "cancelling"
    assert shown["cancellation"]["last_charged_month"] == last
    assert "cancellation-received" in [notice["kind"] for notice in notices(office)]
    assert office.ok("check")["ok"]


def test_isp_09_an_incomplete_application_counts_when_it_is_completed(office: Office) -> None:
    number = joined(office)
    incomplete = office.ok(*leave(number, "2026-09-14", "--incomplete"))
    assert (incomplete["complete"], incomplete["status"]) == (False, "active")
    assert incomplete["last_charged_month"] is incomplete["ends_on"] is incomplete["total"] is None
    shown = show(office, number, "2026-09-14")
    assert shown["status"] == "active"
    assert shown["cancellation"]["first_received_on"] == "2026-09-14"
    assert shown["cancellation"]["complete"] is False
    assert [act["act"] for act in acts(office, number)][-1] == "contract.cancellation-incomplete"
    assert "2026年9月14日" in notice_text(office, "cancellation-incomplete")

    completed = office.ok(*leave(number, "2026-09-16"))
    assert (completed["status"], completed["received_on"]) == ("cancelling", "2026-09-16")
    assert completed["last_charged_month"] == "2026-10"
    cancellation = show(office, number, "2026-09-16")["cancellation"]
    assert cancellation["first_received_on"] == "2026-09-14"
    assert (cancellation["received_on"], cancellation["complete"]) == ("2026-09-16", True)


@pytest.mark.parametrize(
    ("received", "last", "fee", "in_renewal_month"),
    [
        ("2028-03-31", "2028-04", 5200, False),
        ("2028-04-01", "2028-04", 0, True),
        ("2028-04-15", "2028-04", 0, True),
        ("2028-04-16", "2028-05", 0, True),
        ("2028-04-30", "2028-05", 0, True),
        ("2028-05-01", "2028-05", 5200, False),
    ],
)
def test_isp_11_leaving_is_free_in_the_renewal_month_only(
    office: Office, received: str, last: str, fee: int, in_renewal_month: bool
) -> None:
    number = joined(office, "2026-04-10")
    answer = office.ok(*leave(number, received))
    assert answer["in_renewal_month"] is in_renewal_month
    assert (answer["last_charged_month"], answer["early_termination_fee"]) == (last, fee)
    kept = show(office, number, received)["cancellation"]
    assert (kept["early_termination_fee"], kept["in_renewal_month"]) == (fee, in_renewal_month)
    assert "ISP-11" in kept["early_fee_basis"]


@pytest.mark.parametrize(
    ("received", "total", "cheapest_on", "cheapest_total"),
    [
        # January at 5,720 with tax, and the fee of 5,200, untaxed; until the 15th the same.
        ("2027-01-10", 10920, "2027-01-15", 10920),
        ("2027-01-16", 2 * 5720 + 5200, "2027-02-15", 2 * 5720 + 5200),
        # One month more, and it is the renewal month.
        ("2028-03-10", 5720 + 5200, "2028-03-15", 5720 + 5200),
        ("2028-03-16", 2 * 5720 + 5200, "2028-04-15", 2 * 5720),
        ("2028-04-01", 5720, "2028-04-15", 5720),
        ("2028-04-16", 2 * 5720, "2028-04-30", 2 * 5720),
    ],
)
def test_isp_12_the_cost_of_leaving_is_told_beforehand_and_changes_nothing(
    office: Office, received: str, total: int, cheapest_on: str, cheapest_total: int
) -> None:
    number = joined(office, "2026-04-10")
    with desk.untouched(office):
        answer = ask(office, number, received)
        incomplete = ("contract", "cancel", number, "--received", received, "--incomplete")
        office.ok(*on(desk.TODAY), *incomplete, "--dry-run")
    assert answer["total"] == total
    assert answer["cheapest"] == {"received_on": cheapest_on, "total": cheapest_total}
    done = office.ok(*leave(number, received))
    assert done == answer | {"status": "cancelling"}


def test_all_04_a_wrong_application_to_leave_changes_nothing(office: Office) -> None:
    number = joined(office)
    office.ok(*leave(number, "2026-09-14", "--incomplete"))
    left = contract(office, member(office), opened_on=desk.TODAY)
    office.ok(*leave(left, "2026-05-10"))
    with desk.untouched(office):
        for words, named in (
            (leave("K99999999", "2026-09-20"), "contract"),
            (leave(number, "2026-09-13"), "received"),
            (leave(number, "2026-04-09"), "received"),
            (leave(number, "2026-09-20", "--incomplete"), "incomplete"),
            (leave(left, "2026-05-11"), "status"),
            ((*leave(left, "2026-05-11"), "--dry-run"), "status"),
            (("contract", "cancel", number), "received"),
            (("contract", "cancel", number, "--received", "2026-02-30"), "received"),
            ((*on("2026-09-19"), *leave(number, "2026-09-20")[2:]), "received"),
        ):
            assert office.refused(*words).startswith(f"{named}: "), words


# Withdrawn


def test_isp_14_a_consumer_withdraws_within_8_days_of_the_document(office: Office) -> None:
    """Received on the 10th, the first day: the 17th is the eighth."""
    plan(office, opening_fee=800, installation_fee=41000)
    who = member(office)
    numbers = [contract(office, who, "2026-04-10", "2026-04-12") for _ in range(2)]
    with desk.untouched(office):
        late = ("contract", "withdraw", numbers[0], "--received", "2026-04-18")
        assert office.refused(*on("2026-04-18"), *late).startswith(
            "received: 2026-04-18 is after 2026-04-17, the last day to withdraw"
        )
    in_time = ("contract", "withdraw", numbers[0], "--received", "2026-04-17")
    answer = office.ok(*on("2026-04-20"), *in_time)
    assert (answer["number"], answer["status"]) == (numbers[0], "withdrawn")
    assert answer["ended_on"] == "2026-04-17"
    # The service used, installation up to the legal maximum; no opening fee, no fee for leaving.
    assert answer["charges"] == [
        {"month": "2026-04", "kind": "monthly", "net": 5200, "tax_rate": 10},
        {"month": "2026-04", "kind": "installation", "net": 25000, "tax_rate": 10},
    ]
    assert answer["cancellation"]["kind"] == "withdrawal"
    assert answer["cancellation"]["early_termination_fee"] == 0
    assert len(notices(office, "withdrawn")) == 1
    assert office.ok("check")["ok"]


def test_isp_14_the_days_count_from_the_receipt_of_the_document(office: Office) -> None:
    number = joined(office, "2026-04-10", "2026-04-12")
    received = ("contract", "document-received", number, "--on", "2026-04-14")
    assert office.ok(*on("2026-04-15"), *received)["document_received_on"] == "2026-04-14"
    [act] = [act for act in acts(office, number) if act["act"] == "contract.document-received"]
    assert act["before"] == {"document_received_on": "2026-04-10"}
    late = ("contract", "withdraw", number, "--received", "2026-04-22")
    assert office.refused(*on("2026-04-22"), *late).startswith("received: ")
    in_time = ("contract", "withdraw", number, "--received", "2026-04-21")
    assert office.ok(*on("2026-04-22"), *in_time)["status"] == "withdrawn"


def test_isp_14_what_was_never_opened_costs_nothing(office: Office) -> None:
    plan(office, installation_fee=41000)
    number = contract(office, member(office))
    words = ("contract", "withdraw", number, "--received", "2026-04-12")
    assert office.ok(*on("2026-04-12"), *words)["charges"] == []


def test_isp_14_companies_do_not_withdraw(office: Office) -> None:
    plan(office)
    number = contract(office, company(office), opened_on=desk.TODAY)
    with desk.untouched(office):
        refusal = office.refused(
            *on("2026-04-12"), "contract", "withdraw", number, "--received", "2026-04-12"
        )
    assert refusal.startswith("customer: early withdrawal is for consumers")
    assert "初期契約解除" not in notice_text(office, "contract-concluded")


def test_isp_14_who_has_asked_to_leave_may_still_withdraw(office: Office) -> None:
    """An incomplete application arrived later than the withdrawal, which lay at the desk."""
    number = joined(office, "2026-04-10", "2026-04-12")
    office.ok(*leave(number, "2026-04-15", "--incomplete"))
    words = ("contract", "withdraw", number, "--received", "2026-04-14")
    assert office.ok(*on("2026-04-16"), *words)["status"] == "withdrawn"
    assert office.ok("check")["ok"]


def test_all_04_a_wrong_withdrawal_changes_nothing(office: Office) -> None:
    number = joined(office, "2026-04-10", "2026-04-12")
    with desk.untouched(office):
        for words, named in (
            (("K99999999", "--received", "2026-04-12"), "contract"),
            ((number, "--received", "2026-04-09"), "received"),
            ((number, "--received", "2026-04-14"), "received"),
            ((number, "--received", "soon"), "received"),
            ((number,), "received"),
        ):
            refusal = office.refused(*on("2026-04-13"), "contract", "withdraw", *words)
            assert refusal.startswith(f"{named}: "), words


# Documents


def test_isp_15_the_contract_document_goes_out_with_the_conclusion(office: Office) -> None:
    plan(office, opening_fee=800, installation_fee=24000)
    contract(office, member(office))
    document = notice_text(office, "contract-concluded")
    for said in (
        *("K00000001", "ひかり", "2026年4月10日", "5,200円", "5,720円", "800円", "24,000円"),
        *("2026年4月から2028年3月", "更新月: 2028年4月", "契約解除料: 5,200円", "毎月15日"),
        *("8日目", "2026年4月17日", "0120-000-000", "10:00-21:00"),
    ):
        assert said in document, said
    assert len(notices(office)) == 1
    contract(office, "C00000001")
    assert len(notices(office, "contract-concluded")) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("flets-hikari-next", "1Gbps"),
        ("b-flets", "100Mbps"),
        ("flets-adsl", "47Mbps"),
        ("none", ""),
    ],
)
def test_isp_19_the_contract_document_says_that_speed_is_best_effort(
    office: Office, line: str, said: str
) -> None:
    plan(office, line=line)
    contract(office, member(office))
    document = notice_text(office, "contract-concluded")
    assert "ベストエフォート" in document
    assert said in document


@pytest.mark.req("ISP-19", "ALL-05")
def test_a_member_who_reads_english_gets_english(office: Office) -> None:
    plan(office)
    contract(office, member(office, language="en"))
    document = notice_text(office, "contract-concluded")
    assert "best effort" in document
    assert "ベストエフォート" not in document


# The moves that the table allows


def test_a_contract_is_suspended_and_resumed(office: Office) -> None:
    number = joined(office)
    assert office.ok("contract", "suspend", number)["status"] == "suspended"
    assert office.ok("contract", "resume", number)["status"] == "active"
    assert [act["act"] for act in acts(office, number)][-2:] == [
        *("contract.suspended", "contract.resumed")
    ]


def test_all_04_a_move_that_the_table_forbids_changes_nothing(office: Office) -> None:
    opened = joined(office)
    applied = contract(office, member(office))
    withdrawn = contract(office, "C00000002")
    words = ("contract", "withdraw", withdrawn, "--received", desk.TODAY)
    office.ok(*on(desk.TODAY), *words)
    with desk.untouched(office):
        for command, named in (
            (("open", opened, "--on", "2026-04-20"), "status"),
            (("open", withdrawn, "--on", "2026-04-20"), "status"),
            (("open", applied, "--on", "2026-04-09"), "on"),
            (("open", applied, "--on", "2026-02-30"), "on"),
            (("open", applied), "on"),
            (("open", "K99999999", "--on", "2026-04-20"), "contract"),
            (("suspend", applied), "status"),
            (("resume", opened), "status"),
            (("suspend", withdrawn), "status"),
            (("cancel", withdrawn, "--received", desk.TODAY), "status"),
            (("withdraw", withdrawn, "--received", desk.TODAY), "status"),
            (("show", "K99999999"), "contract"),
            (("document-received", opened, "--on", "2026-04-09"), "on"),
            (("document-received", opened, "--on", "2099-01-01"), "on"),
        ):
            refusal = office.refused(*on("2026-04-20"), "contract", *command)
            assert refusal.startswith(f"{named}: "), command


# Listed


def test_contracts_are_listed_as_they_are_shown(office: Office) -> None:
    first = joined(office)
    second = contract(office, company(office))
    office.ok(*leave(first, "2026-05-10"))
    both = [show(office, number, "2026-06-01") for number in (first, second)]
    listed = ("contract", "list")
    assert office.ok(*on("2026-06-01"), *listed) == both
    assert office.ok(*on("2026-06-01"), *listed, "--status", "cancelling") == both[:1]
    assert office.ok(*on("2026-06-01"), *listed, "--customer", "C00000002") == both[1:]
    assert office.ok(*listed, "--customer", "C00000002", "--status", "ended") == []
    assert office.refused(*listed, "--customer", "C9").startswith("customer: ")
    assert office.refused(*listed, "--status", "lost").startswith("status: ")


def test_lists_ask_the_database_once_whatever_their_length(
    office: Office, database: Engine
) -> None:
    plan(office)
    for _ in range(3):
        office.ok(*leave(contract(office, member(office), opened_on=desk.TODAY), "2026-05-10"))
    asked: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *told: asked.append(told[2]))
    with Session(database) as session:
        assert len(contracts_json(session, date(2026, 4, 10), status=None, customer=None)) == 3
        assert len(customers_json(session, kind=None, search=None)) == 3
    assert len([statement for statement in asked if "SELECT" in statement]) == 2
