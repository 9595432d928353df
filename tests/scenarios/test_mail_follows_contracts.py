"""Mailboxes and connection accounts follow their contracts: suspended, resumed, gone after grace."""

from __future__ import annotations

from typing import Any

import pytest
import town
from office import Office

BEGUN = "2026-01-05"
FIRST, SECOND = "taro@example.jp", "hanako@example.jp"


@pytest.fixture
def contract(office: Office) -> str:
    """A contract with two mailboxes and a connection account."""
    office.ok("--today", BEGUN, "domain", "add", "example.jp")
    town.plan(office, BEGUN, "MONTHLY", 1000, 1, "--mailboxes", 2)
    member = town.member(office, BEGUN, "invoice")
    made = town.contract(office, BEGUN, member, "MONTHLY", BEGUN)
    for address in (FIRST, SECOND):
        office.ok("--today", BEGUN, "mailbox", "add", address, "--contract", made)
    office.ok("--today", BEGUN, "access", "open", made)
    return made


def mailboxes(office: Office, today: str) -> dict[str, Any]:
    return {each["address"]: each for each in office.ok("--today", today, "mailbox", "list")}


def statuses(office: Office, today: str) -> dict[str, str]:
    return {address: each["status"] for address, each in mailboxes(office, today).items()}


def access(office: Office, today: str, contract: str) -> str:
    return str(office.ok("--today", today, "access", "show", contract)["status"])


@pytest.mark.req("ISP-01", "ALL-02")
def test_isp_01_mailboxes_are_suspended_and_come_back_with_their_contract(
    office: Office, contract: str
) -> None:
    office.ok("--today", "2026-02-01", "mailbox", "suspend", SECOND, "--reason", "spam")
    office.ok("--today", "2026-02-02", "contract", "suspend", contract)
    assert town.daily(office, "2026-02-02")["mailboxes"]["done"] > 0
    assert set(statuses(office, "2026-02-02").values()) == {"suspended"}
    assert access(office, "2026-02-02", contract) == "suspended"
    assert town.daily(office, "2026-02-02")["mailboxes"]["done"] == 0
    office.ok("--today", "2026-02-10", "contract", "resume", contract)
    town.daily(office, "2026-02-10")
    # What the desk has suspended for a reason of its own stays so.
    assert statuses(office, "2026-02-10") == {FIRST: "active", SECOND: "suspended"}
    assert access(office, "2026-02-10", contract) == "active"
    office.ok("--today", "2026-02-11", "mailbox", "resume", SECOND)
    assert set(statuses(office, "2026-02-11").values()) == {"active"}
    town.prove(office, "2026-02-11")


@pytest.mark.req("ISP-01", "ISP-09", "ALL-02")
def test_isp_01_mailboxes_are_removed_when_the_grace_is_over(office: Office, contract: str) -> None:
    cancel = ("contract", "cancel", contract, "--received", "2026-02-10")
    office.ok("--today", "2026-02-10", *cancel)
    town.daily(office, "2026-02-28")
    assert set(statuses(office, "2026-02-28").values()) == {"active"}
    town.daily(office, "2026-03-01")
    assert office.ok("contract", "show", contract)["status"] == "ended"
    assert access(office, "2026-03-01", contract) == "removed"
    boxes = mailboxes(office, "2026-03-01")
    assert {each["remove_on"] for each in boxes.values()} == {"2026-03-30"}
    assert {each["status"] for each in boxes.values()} == {"active"}
    town.daily(office, "2026-03-29")
    assert set(statuses(office, "2026-03-29").values()) == {"active"}
    town.daily(office, "2026-03-30")
    assert set(statuses(office, "2026-03-30").values()) == {"removed"}
    town.prove(office, "2026-03-30")
    again = office.refused("--today", "2026-03-31", "mailbox", "add", FIRST, "--contract", contract)
    assert again.startswith(("address: ", "contract: "))
    assert office.refused("--today", "2026-03-31", "mailbox", "reissue", FIRST)


@pytest.mark.req("ISP-01")
def test_isp_01_a_mailbox_beyond_the_plan_is_refused_until_one_is_removed(
    office: Office, contract: str
) -> None:
    add = ("--today", "2026-02-01", "mailbox", "add", "jiro@example.jp", "--contract", contract)
    assert office.refused(*add).startswith("contract: ")
    office.ok("--today", "2026-02-01", "mailbox", "remove", SECOND)
    assert office.ok(*add)["status"] == "active"
    assert office.refused("--today", "2026-02-01", "mailbox", "resume", SECOND)
    town.daily(office, "2026-03-05")
    assert statuses(office, "2026-03-05")[SECOND] == "removed"
    town.prove(office, "2026-03-05")
