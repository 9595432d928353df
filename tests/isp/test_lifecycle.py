"""The moves a contract may make."""

from __future__ import annotations

import itertools

import pytest

from isp.errors import Refused
from isp.lifecycle import MOVES, STATUSES, ContractStatus, move

WORDS = ("applied", "active", "suspended", "cancelling", "ended", "withdrawn")

# Written once more, from the member's side: what may happen to a contract in this state.
MAY = {
    ("applied", "active"),  # opened
    ("applied", "cancelling"),  # cancelled before it was opened
    ("applied", "withdrawn"),
    ("active", "suspended"),
    ("active", "cancelling"),
    ("active", "withdrawn"),
    ("suspended", "active"),
    ("suspended", "cancelling"),
    ("suspended", "withdrawn"),
    ("cancelling", "ended"),
    ("cancelling", "withdrawn"),  # cancelled first, then withdrawn within the eight days
}


def test_the_status_words_are_those_of_the_command_line() -> None:
    assert STATUSES == WORDS
    assert set(MOVES) == set(WORDS)


@pytest.mark.parametrize(("now", "to"), list(itertools.product(STATUSES, STATUSES)))
def test_a_contract_moves_only_as_the_table_says(now: ContractStatus, to: ContractStatus) -> None:
    if (now, to) in MAY:
        assert move("K000001", now, to) == to
        return
    with pytest.raises(Refused) as refused:
        move("K000001", now, to)
    assert refused.value.field == "status"
    for said in ("K000001", now, to, *MOVES[now]):
        assert said in refused.value.why


@pytest.mark.parametrize("final", ["ended", "withdrawn"])
def test_what_is_over_is_over(final: ContractStatus) -> None:
    assert MOVES[final] == ()
    with pytest.raises(Refused, match="final"):
        move("K000001", final, "active")


def test_every_state_can_be_reached_from_an_application_and_leads_to_an_end() -> None:
    reached: set[ContractStatus] = {"applied"}
    while more := {to for now in reached for to in MOVES[now]} - reached:
        reached |= more
    assert reached == set(STATUSES)
    for status in set(STATUSES) - {"ended", "withdrawn"}:
        assert MOVES[status], status
