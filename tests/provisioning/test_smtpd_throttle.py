"""When a log-in has to wait: a moved clock, no sockets."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.calendar import TOKYO
from provisioning import throttle
from provisioning.smtpd import _plain_address, _throttled_by
from provisioning.throttle import LoginThrottle

NOW = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)
SECOND = timedelta(seconds=1)


def throttled(*failures: tuple[str, str], limit: int = 3) -> LoginThrottle:
    made = LoginThrottle(limit, timedelta(seconds=300))
    for login, client in failures:
        made.failed(login, client, NOW)
    return made


@pytest.mark.parametrize(
    ("failures", "login", "client", "held"),
    [
        ([], "a", "1", None),
        ([("a", "1")] * 2, "a", "1", None),
        ([("a", "1")] * 3, "a", "1", "client"),
        ([("a", "1")] * 3, "b", "1", "client"),
        ([("a", "1")] * 3, "a", "2", "login"),
        ([("a", "1")] * 3, "b", "2", None),
        ([("a", "1"), ("b", "1"), ("c", "1")], "d", "1", "client"),
        ([("a", "1"), ("a", "2"), ("a", "3")], "a", "4", "login"),
    ],
)
def test_what_is_held_after_which_failures(
    failures: list[tuple[str, str]], login: str, client: str, held: str | None
) -> None:
    assert throttled(*failures).held(login, client, NOW) == held


def test_who_has_been_here_before_is_held_for_own_failures_only() -> None:
    made = throttled()
    made.succeeded("a", "1")
    for stranger in range(10):
        made.failed("a", f"x{stranger}", NOW)
        made.failed(f"neighbour{stranger}", "1", NOW)
    assert made.held("a", "1", NOW) is None
    assert made.held("a", "2", NOW) == "login" and made.held("b", "1", NOW) == "client"
    for _ in range(3):
        made.failed("a", "1", NOW)
    assert made.held("a", "1", NOW) == "login"
    made.succeeded("a", "1")  # from a session that was let in before
    assert made.held("a", "1", NOW) is None


def test_a_success_does_not_pardon_guesses_at_others() -> None:
    made = throttled(("a", "1"), ("b", "1"), ("c", "1"))
    made.succeeded("mine", "1")
    assert made.held("d", "1", NOW) == "client"


@pytest.mark.parametrize(("seconds", "held"), [(0, "client"), (300, "client"), (301, None)])
def test_the_wait_ends(seconds: int, held: str | None) -> None:
    assert throttled(*[("a", "1")] * 3).held("a", "1", NOW + seconds * SECOND) == held


def test_slow_guessing_is_counted_while_each_follows_within_the_window() -> None:
    made = throttled()
    for number in range(3):
        assert made.held("a", "1", NOW + number * 299 * SECOND) is None
        made.failed("a", "1", NOW + number * 299 * SECOND)
    assert made.held("a", "1", NOW + 3 * 299 * SECOND) == "client"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), max_size=30))
def test_never_more_guesses_than_the_limit_at_one_name_or_from_one_address(
    attempts: list[tuple[str, str]],
) -> None:
    made = throttled()
    let_in = []
    for login, client in attempts:
        if made.held(login, client, NOW) is None:
            let_in.append((login, client))
            made.failed(login, client, NOW)
    for name in "abc":
        assert sum(login == name for login, _ in let_in) <= 3
    for address in "123":
        assert sum(client == address for _, client in let_in) <= 3


def test_a_flood_of_names_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "ENTRIES", 30)
    made = throttled()
    for number in range(200):
        made.failed(f"name{number}", "1", NOW)
        made.succeeded(f"name{number}", "2")
    assert len(made._failed) <= 30 and len(made._known) <= 30
    assert made.held("x", "1", NOW) == "client", "the most recent are kept"
    made.failed("x", "9", NOW + 301 * SECOND)
    assert set(made._failed) == {("client", "9"), ("login", "x"), ("x", "9")}


@pytest.mark.parametrize(
    ("peer", "address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
    ],
)
def test_an_ipv6_household_is_one_client(peer: str, address: str, counted_as: str) -> None:
    assert _plain_address(peer) == address
    assert _throttled_by(_plain_address(peer)) == counted_as
