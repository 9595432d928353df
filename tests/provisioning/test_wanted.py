"""What the night does about a mailbox or connection account, as truth tables."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.lifecycle import STATUSES, ContractStatus
from provisioning.wanted import (
    Action,
    ContractState,
    MailboxState,
    Status,
    after,
    for_access,
    for_mailbox,
    removal_day,
)

TODAY = date(2026, 5, 1)
GRACE = 30
ENDED = date(2026, 4, 30)
LONG_AGO = date(2026, 4, 1)
DUE = date(2026, 5, 30)
EARLIER = date(2026, 5, 10)

ACTIVE = MailboxState("active")
BY_CONTRACT = MailboxState("suspended", "contract")
BY_OPERATOR = MailboxState("suspended", "operator")
LEAVING = MailboxState("active", "", EARLIER)
SUSPEND, RESUME, REMOVE = Action("suspend"), Action("resume"), Action("remove")


@pytest.mark.parametrize(
    ("status", "mailbox", "wanted"),
    [
        ("applied", ACTIVE, None),
        ("applied", BY_CONTRACT, RESUME),
        ("applied", BY_OPERATOR, None),
        ("active", ACTIVE, None),
        ("active", BY_CONTRACT, RESUME),
        ("active", BY_OPERATOR, None),
        ("active", LEAVING, None),
        ("active", MailboxState("active", "", TODAY + timedelta(1)), None),
        ("active", MailboxState("active", "", TODAY), REMOVE),
        ("active", MailboxState("suspended", "operator", TODAY - timedelta(9)), REMOVE),
        ("active", MailboxState("removed", "", TODAY), None),
        ("suspended", ACTIVE, SUSPEND),
        ("suspended", LEAVING, SUSPEND),
        ("suspended", BY_CONTRACT, None),
        ("suspended", BY_OPERATOR, None),
        ("suspended", MailboxState("removed"), None),
        # Who applies to leave while unpaid does not get the mailbox back by it.
        ("cancelling", ACTIVE, None),
        ("cancelling", BY_CONTRACT, None),
        ("cancelling", BY_OPERATOR, None),
    ],
)
def test_mailbox_of_a_running_contract(
    status: ContractStatus, mailbox: MailboxState, wanted: Action | None
) -> None:
    assert for_mailbox(ContractState(status), mailbox, TODAY, GRACE) == wanted


@pytest.mark.parametrize("status", ["ended", "withdrawn"])
@pytest.mark.parametrize(
    ("ended_on", "mailbox", "wanted"),
    [
        (ENDED, ACTIVE, Action("schedule", DUE)),
        (ENDED, BY_CONTRACT, Action("schedule", DUE)),
        (ENDED, BY_OPERATOR, Action("schedule", DUE)),
        (ENDED, LEAVING, None),
        (ENDED, MailboxState("active", "", DUE), None),
        (ENDED, MailboxState("active", "", TODAY), REMOVE),
        # A promised later day outlives a grace that the policy has shortened since.
        (LONG_AGO, MailboxState("active", "", TODAY + timedelta(9)), None),
        # Nights were missed: the grace is over, and there is nothing left to schedule.
        (LONG_AGO, ACTIVE, REMOVE),
        (LONG_AGO, BY_OPERATOR, REMOVE),
        (LONG_AGO + timedelta(1), ACTIVE, Action("schedule", TODAY + timedelta(1))),
        (LONG_AGO, MailboxState("removed"), None),
    ],
)
def test_mailbox_of_a_contract_that_is_over(
    status: ContractStatus, ended_on: date, mailbox: MailboxState, wanted: Action | None
) -> None:
    assert for_mailbox(ContractState(status, ended_on), mailbox, TODAY, GRACE) == wanted


def test_without_grace_the_mailbox_goes_the_night_after_the_contract_ended() -> None:
    assert removal_day(ENDED, 0) == ENDED
    assert for_mailbox(ContractState("ended", ENDED), ACTIVE, TODAY, 0) == REMOVE


@pytest.mark.parametrize(
    ("status", "now", "wanted"),
    [
        ("applied", "active", None),
        ("active", "active", None),
        ("active", "suspended", RESUME),
        ("suspended", "active", SUSPEND),
        ("suspended", "suspended", None),
        ("cancelling", "active", None),
        ("cancelling", "suspended", None),
        ("ended", "active", REMOVE),
        ("ended", "suspended", REMOVE),
        ("ended", "removed", None),
        ("withdrawn", "active", REMOVE),
    ],
)
def test_connection_account(status: ContractStatus, now: Status, wanted: Action | None) -> None:
    ended_on = ENDED if status in ("ended", "withdrawn") else None
    assert for_access(ContractState(status, ended_on), now) == wanted


days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
contracts = st.sampled_from(STATUSES).flatmap(
    lambda status: st.builds(
        ContractState,
        st.just(status),
        days if status in ("ended", "withdrawn") else st.none(),
    )
)
mailboxes = st.one_of(
    st.builds(MailboxState, st.sampled_from(["active", "removed"]), st.just(""), st.none() | days),
    st.builds(
        MailboxState,
        st.just("suspended"),
        st.sampled_from(["operator", "contract"]),
        st.none() | days,
    ),
)


@given(contracts, mailboxes, days, st.integers(0, 366))
def test_once_done_there_is_nothing_left_to_do(
    contract: ContractState, mailbox: MailboxState, today: date, grace: int
) -> None:
    action = for_mailbox(contract, mailbox, today, grace)
    if action is not None:
        done = after(mailbox, action)
        assert done != mailbox
        assert for_mailbox(contract, done, today, grace) is None


@given(contracts, mailboxes, days, st.integers(0, 366))
def test_what_an_operator_suspended_is_never_resumed(
    contract: ContractState, mailbox: MailboxState, today: date, grace: int
) -> None:
    action = for_mailbox(contract, mailbox, today, grace)
    if action is not None and mailbox.suspended_by == "operator":
        assert after(mailbox, action).status != "active"


@given(contracts, mailboxes, days, days, st.integers(0, 366))
def test_a_missed_night_heals_the_next(
    contract: ContractState, mailbox: MailboxState, one: date, other: date, grace: int
) -> None:
    """Whether the night between was worked or missed, the later night leaves the same state."""
    earlier, later = sorted((one, other))

    def night(state: MailboxState, today: date) -> MailboxState:
        action = for_mailbox(contract, state, today, grace)
        return after(state, action) if action else state

    worked = night(night(mailbox, earlier), later)
    missed = night(mailbox, later)
    assert (worked.status, worked.suspended_by) == (missed.status, missed.suspended_by)
