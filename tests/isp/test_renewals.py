"""What time does to contracts: notices, renewals and ends, each once, however the job is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import desk
import pytest
from desk import acts, company, contract, joined, member, notice_text, notices, on, plan
from office import Office
from sqlalchemy import update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import Day
from isp.journal import history
from isp.queries import contract_named
from isp.runs.renewals import (
    announce_renewal,
    end,
    ends_due,
    notices_due,
    renew,
    renewals_due,
)
from isp.shift import Shift
from isp.tables import Contract

MakeDay = Callable[..., Day]
Work = Callable[..., dict[str, list[str]]]


class Killed(BaseException):
    """The machine goes down: nothing may catch it."""


@pytest.fixture
def work(database: Engine, day: MakeDay) -> Work:
    """The night of `today`, each subject in a transaction of its own: what was due, by job.

    `killed_at` ends it like a power cut, within the transaction of that subject (from 0).
    """

    def jobs(shift: Shift) -> Sequence[tuple[str, Callable[[Session], list[str]], object]]:
        days = shift.policy.contract.renewal_notice_days
        return (
            ("end", lambda session: ends_due(session, shift.day), end),
            ("renew", lambda session: renewals_due(session, shift.day), renew),
            ("notice", lambda session: notices_due(session, shift.day, days), announce_renewal),
        )

    def night(today: str, killed_at: int | None = None) -> dict[str, list[str]]:
        shift = desk.shift_of(day(today))
        done: dict[str, list[str]] = {}
        count = 0
        for name, due, act in jobs(shift):
            with Session(database) as session:
                done[name] = due(session)
            for number in done[name]:
                with Session(database) as session, session.begin():
                    assert callable(act)
                    act(session, shift, number)
                    session.flush()
                    if count == killed_at:
                        raise Killed
                count += 1
        return done

    return night


def nothing(done: dict[str, list[str]]) -> bool:
    return not any(done.values())


def renewed_terms(office: Office, number: str) -> list[int]:
    return [
        act["after"]["term_number"]
        for act in acts(office, number)
        if act["act"] == "contract.renewed"
    ]


# Renewal


def test_isp_10_without_a_cancellation_the_contract_renews_by_itself(
    office: Office, work: Work
) -> None:
    number = joined(office, "2026-04-10")
    for today in ("2028-03-31", "2028-04-01", "2028-04-30"):
        assert work(today)["renew"] == [], today
    assert work("2028-05-01")["renew"] == [number]
    [act] = [act for act in acts(office, number) if act["act"] == "contract.renewed"]
    assert act["before"] == {"term_number": 1}
    assert act["after"] == {
        "term_number": 2,
        "term_start": "2028-04",
        "term_end": "2030-03",
        "renewal_month": "2030-04",
    }
    text = notice_text(office, "renewed")
    assert "2028年4月" in text
    assert "2030年3月" in text


@pytest.mark.parametrize("term", [1, 2, 3, 12, 24, 36])
def test_isp_10_a_renewal_is_due_from_the_month_after_the_renewal_month(
    office: Office, database: Engine, day: MakeDay, term: int
) -> None:
    """Month for month over more than two terms: the same arithmetic in either database."""
    plan(office, term_months=term)
    number = contract(office, member(office, "2026-04-01"), "2026-04-10")
    known = 1
    with Session(database) as session:
        for months in range(1, 2 * term + 3):
            today = desk.month_later("2026-04-10", months)
            due = renewals_due(session, day(today))
            begun = max(1, (months - 1) // term + 1)
            assert due == ([number] if begun > known else []), today
            if due:
                session.execute(update(Contract).values(term_number=begun))
                known = begun


def test_isp_10_an_incomplete_application_does_not_stop_the_renewal(
    office: Office, work: Work
) -> None:
    number = joined(office, "2026-04-10")
    words = ("contract", "cancel", number, "--received", "2028-04-10", "--incomplete")
    office.ok(*on("2028-04-10"), *words)
    assert work("2028-05-01")["renew"] == [number]


def test_isp_10_who_leaves_in_the_renewal_month_is_not_renewed(office: Office, work: Work) -> None:
    number = joined(office, "2026-04-10")
    words = ("contract", "cancel", number, "--received", "2028-04-30")
    office.ok(*on("2028-04-30"), *words)
    assert work("2028-05-01")["renew"] == []
    assert work("2028-06-01")["end"] == [number]
    assert renewed_terms(office, number) == []


def test_isp_10_a_company_renews_like_a_household(office: Office, work: Work) -> None:
    plan(office, today="2026-04-10")
    number = contract(office, company(office), "2026-04-10")
    assert work("2028-05-01")["renew"] == [number]


# Notices


def test_isp_15_the_notice_before_the_renewal_month_is_posted_once(
    office: Office, work: Work
) -> None:
    """45 days before 2028-04-01 is 2028-02-16."""
    number = joined(office, "2026-04-10")
    assert work("2028-02-15")["notice"] == []
    assert work("2028-02-16")["notice"] == [number]
    for today in ("2028-02-16", "2028-02-17", "2028-03-31", "2028-04-01", "2028-04-30"):
        assert work(today)["notice"] == [], today
    text = notice_text(office, "renewal-notice")
    for said in ("更新月: 2028年4月", "5,200円", "2028年4月15日", "2028年4月30日", "2030年3月"):
        assert said in text, said
    [act] = [act for act in acts(office, number) if act["act"] == "contract.renewal-announced"]
    assert act["after"] == {"renewal_month": "2028-04"}


def test_isp_15_every_term_has_its_notice(office: Office, work: Work) -> None:
    joined(office, "2026-04-10")
    today = date(2026, 4, 10)
    while today < date(2034, 5, 1):
        work(str(today))
        today += timedelta(days=10)
    assert len(notices(office, "renewal-notice")) == 4
    assert len(notices(office, "renewed")) == 3


def test_isp_15_two_renewal_months_due_at_once_are_both_told(office: Office, work: Work) -> None:
    """Of a term of two months, as seen on 30 June with 45 days' notice: June and August."""
    plan(office, term_months=2, early_fee=0)
    number = contract(office, member(office), "2026-04-10")
    assert work("2026-06-30")["notice"] == [number]
    assert work("2026-06-30")["notice"] == []
    assert [
        act["after"]["renewal_month"]
        for act in acts(office, number)
        if act["act"] == "contract.renewal-announced"
    ] == ["2026-06", "2026-08"]
    assert len(notices(office, "renewal-notice")) == 2


def test_isp_15_contracts_by_the_month_are_not_told_every_month(office: Office, work: Work) -> None:
    plan(office, term_months=1, early_fee=0)
    number = contract(office, member(office), "2026-04-10")
    assert work("2026-05-01")["notice"] == []
    assert work("2026-06-01")["renew"] == [number]
    assert notices(office, "renewed") == notices(office, "renewal-notice") == []


def test_isp_15_who_is_leaving_is_told_no_more(office: Office, work: Work) -> None:
    number = joined(office, "2026-04-10")
    words = ("contract", "cancel", number, "--received", "2028-02-10")
    office.ok(*on("2028-02-10"), *words)
    assert work("2028-02-20")["notice"] == []


# Ends


def test_isp_09_the_service_ends_with_the_last_month_charged(office: Office, work: Work) -> None:
    number = joined(office, "2026-04-10")
    office.ok(*on("2026-09-16"), "contract", "cancel", number, "--received", "2026-09-16")
    assert work("2026-10-31")["end"] == []
    assert work("2026-11-01")["end"] == [number]
    ended = office.ok("contract", "show", number)
    assert (ended["status"], ended["ended_on"]) == ("ended", "2026-10-31")
    assert "2026年10月31日" in notice_text(office, "contract-ended")
    assert nothing(work("2026-11-02"))


# Twice, killed, late


def a_town(office: Office) -> list[str]:
    """Contracts for which 2028-05-01 is a day with everything: renewals, notices, ends."""
    plan(office, today="2026-04-01")
    plan(office, "MONTHLY", today="2026-04-01", term_months=1, early_fee=0)
    who = member(office, "2026-04-01")
    numbers = [
        contract(office, who, concluded, concluded)
        for concluded in ("2026-04-10", "2026-04-20", "2026-06-10", "2026-04-30")
    ]
    numbers.append(contract(office, who, "2026-04-10", "2026-04-10", "MONTHLY"))
    leaver = ("contract", "cancel", numbers[3], "--received", "2028-04-10")
    office.ok(*on("2028-04-10"), *leaver)
    return numbers


def left_behind(database: Engine, numbers: list[str]) -> list[object]:
    """What the night did, without the instants of it."""
    with Session(database) as session:
        return [
            *(
                [act.act, act.before, act.after]
                for each in numbers
                for act in history(session, each)
            ),
            *(
                (contract.status, contract.term_number, contract.renewal_announced)
                for contract in (contract_named(session, number) for number in numbers)
            ),
        ]


def test_all_02_a_night_done_twice_does_each_thing_once(
    office: Office, database: Engine, work: Work
) -> None:
    numbers = a_town(office)
    done = work("2028-05-01")
    assert done == {
        "end": [numbers[3]],
        "renew": [numbers[0], numbers[1], numbers[4]],
        "notice": [numbers[2]],
    }
    once, told = left_behind(database, numbers), notices(office)
    assert nothing(work("2028-05-01"))
    assert nothing(work("2028-05-02"))
    assert left_behind(database, numbers) == once
    assert notices(office) == told


@pytest.mark.parametrize("killed_at", range(5))
def test_all_02_a_night_that_was_killed_is_finished_by_the_next(
    office: Office, database: Engine, work: Work, killed_at: int
) -> None:
    """What was not committed never happened, what was is not done again: five acts in all."""
    numbers = a_town(office)
    with pytest.raises(Killed):
        work("2028-05-01", killed_at)
    work("2028-05-01")
    assert nothing(work("2028-05-01"))
    acts_done = [
        act["act"]
        for number in numbers
        for act in acts(office, number)
        if act["act"].startswith(("contract.ren", "contract.ended"))
    ]
    # The monthly contract renewed 24 times meanwhile, in one go.
    assert acts_done.count("contract.renewed") == 2 + 24
    assert acts_done.count("contract.renewal-announced") == 1
    assert acts_done.count("contract.ended") == 1
    kinds = [notice["kind"] for notice in notices(office)]
    assert (kinds.count("renewed"), kinds.count("renewal-notice")) == (2, 1)
    assert kinds.count("contract-ended") == 1


def test_all_02_a_night_that_is_late_makes_good_what_was_missed(office: Office, work: Work) -> None:
    """Nobody ran it for six years: every term is recorded, the member is told of the last."""
    number = joined(office, "2026-04-10")
    assert work("2032-06-01")["renew"] == [number]
    assert renewed_terms(office, number) == [2, 3, 4]
    assert len(notices(office, "renewed")) == 1
    assert "2034年3月" in notice_text(office, "renewed")
    assert nothing(work("2032-06-01"))


def test_all_02_a_notice_that_is_late_is_still_given_in_the_renewal_month(
    office: Office, work: Work
) -> None:
    number = joined(office, "2026-04-10")
    assert work("2028-04-20")["notice"] == [number]
    assert work("2028-04-21")["notice"] == []


def test_all_02_an_act_asked_for_again_does_nothing(
    office: Office, database: Engine, day: MakeDay, work: Work
) -> None:
    """Two nights side by side may find the same contract due."""
    number = joined(office, "2026-04-10")
    shift = desk.shift_of(day("2028-05-01"))
    work("2028-03-01"), work("2028-05-01")
    before = (acts(office, number), notices(office))
    with Session(database) as session, session.begin():
        renew(session, shift, number)
        announce_renewal(session, shift, number)
    assert (acts(office, number), notices(office)) == before


def test_contracts_taken_over_are_not_renewed_for_the_past(office: Office, work: Work) -> None:
    """Terms that ended before the take-over ended elsewhere."""
    plan(office, today="2020-04-01")
    who = member(office)
    file = office.folder / "contracts.csv"
    file.write_text(f"customer,plan,concluded_on,opened_on\n{who},HIKARI,2020-04-10,2020-04-10\n")
    office.ok(*on("2026-04-10"), "contract", "import", file)
    assert office.ok(*on("2026-04-10"), "contract", "list")[0]["term_number"] == 3
    assert work("2026-04-10")["renew"] == []
    assert work("2026-05-01")["renew"] == ["K00000001"]


def test_isp_15_a_notice_after_the_cutoff_names_the_last_free_day(
    office: Office, work: Work
) -> None:
    joined(office, "2026-04-10")
    work("2028-04-20")
    [late] = [each for each in office.ok("outbox", "list") if each["kind"] == "renewal-notice"]
    said = office.ok("outbox", "show", late["id"])["text"]
    assert "2028年4月30日" in said
    assert "2028年4月15日" not in said, "that day is past"
