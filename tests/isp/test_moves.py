"""Moving house: the contract goes along where the line is, else the member is told what leaving costs."""

from __future__ import annotations

import desk
from desk import acts, contract, joined, member, notice_text, notices, on, plan
from office import Office

TODAY = "2027-01-16"
UMEDA = ("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")


def move(number: str, *words: str) -> tuple[str, ...]:
    return (*on(TODAY), "contract", "move", number, *words)


def test_isp_18_where_the_line_is_the_address_changes_and_the_term_runs_on(office: Office) -> None:
    number = joined(office)
    before = office.ok(*on(TODAY), "contract", "show", number)
    answer = office.ok(*move(number, *UMEDA, "--line"))
    assert answer == {
        "number": number,
        "moved": True,
        "postal_code": "530-0001",
        "address": "大阪府大阪市北区梅田1-1",
        "leaving": None,
    }
    assert office.ok(*on(TODAY), "contract", "show", number) == before
    shown = office.ok("customer", "show", "C00000001")
    assert (shown["postal_code"], shown["address"]) == ("530-0001", "大阪府大阪市北区梅田1-1")
    changed = acts(office, "C00000001")[-1]
    assert changed["act"] == "customer.changed"
    assert changed["before"] == {
        "postal_code": "100-0001",
        "address": "東京都千代田区千代田1-1",
    }
    assert acts(office, number)[-1]["act"] == "contract.moved"
    assert "梅田" in notice_text(office, "moved")
    assert notices(office, "data-changed") == []


def test_isp_18_where_it_is_not_the_member_is_told_and_nothing_moves(office: Office) -> None:
    """Leaving under the ordinary rules: January and February, and the fee; a month later likewise."""
    number = joined(office)
    shown = office.ok("customer", "show", "C00000001")
    before = office.ok(*on(TODAY), "contract", "show", number)
    answer = office.ok(*move(number, *UMEDA, "--no-line"))
    assert answer["moved"] is False
    leaving = answer["leaving"]
    quote = office.ok(*on(TODAY), "contract", "cancel", number, "--received", TODAY, "--dry-run")
    assert leaving == quote
    assert (leaving["total"], leaving["early_termination_fee"]) == (2 * 5720 + 5200, 5200)
    assert leaving["cheapest"] == {"received_on": "2027-02-15", "total": 2 * 5720 + 5200}
    assert office.ok("customer", "show", "C00000001") == shown
    assert office.ok(*on(TODAY), "contract", "show", number) == before
    text = notice_text(office, "move-impossible")
    for said in ("梅田", "5,200円", "16,640円", "2027年2月15日"):
        assert said in text, said
    assert acts(office, number)[-1]["act"] == "contract.move-impossible"


def test_isp_18_the_member_may_then_cancel_under_the_ordinary_rules(office: Office) -> None:
    number = joined(office)
    told = office.ok(*move(number, *UMEDA, "--no-line"))["leaving"]
    left = office.ok(*on(TODAY), "contract", "cancel", number, "--received", TODAY)
    assert left == told | {"status": "cancelling"}


def test_isp_18_who_is_leaving_may_move_where_the_line_is(office: Office) -> None:
    number = joined(office)
    office.ok(*on(TODAY), "contract", "cancel", number, "--received", TODAY)
    assert office.ok(*move(number, *UMEDA, "--line"))["moved"] is True
    with desk.untouched(office):
        assert office.refused(*move(number, *UMEDA, "--no-line")).startswith("status: ")


def test_every_move_is_told(office: Office) -> None:
    number = joined(office)
    office.ok(*move(number, *UMEDA, "--line"))
    office.ok(*move(number, "--postal-code", "060-0001", "--address", "北海道札幌市1", "--line"))
    assert len(notices(office, "moved")) == 2
    assert office.ok("check")["ok"]


def test_all_04_a_wrong_move_changes_nothing(office: Office) -> None:
    number = joined(office)
    plan(office, "OTHER")
    gone = contract(office, member(office), plan="OTHER")
    words = ("contract", "withdraw", gone, "--received", desk.TODAY)
    office.ok(*on(desk.TODAY), *words)
    with desk.untouched(office):
        for command, named in (
            ((number, *UMEDA), "line"),
            ((number, "--postal-code", "530-0001", "--line"), "address"),
            ((number, "--postal-code", "5300-001", "--address", "x1", "--line"), "postal_code"),
            ((number, "--postal-code", "530-0001", "--address", "", "--line"), "address"),
            ((number, "--postal-code", "530-0001", "--address", "a\nb", "--no-line"), "address"),
            (("K99999999", *UMEDA, "--line"), "contract"),
            ((gone, *UMEDA, "--line"), "status"),
            ((gone, *UMEDA, "--no-line"), "status"),
        ):
            refusal = office.refused(*move(*command))
            assert refusal.startswith(f"{named}: "), (command, refusal)
