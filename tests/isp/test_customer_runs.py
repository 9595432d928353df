"""Members: taken on, shown, changed with history, whatever is wrong refused by its field."""

from __future__ import annotations

import threading
from collections.abc import Callable

import desk
import pytest
from desk import AOBA, TARO, Row, acts, company, member, notices, on, untouched
from office import Office
from sqlalchemy import insert, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.calendar import Day
from isp.errors import Refused
from isp.numbers import given_number, next_ordinal
from isp.runs.customers import CheckedCustomer, NewCustomer, add_customers, checked
from isp.tables import Customer

MakeDay = Callable[..., Day]


def taken_on(office: Office, **fields: str) -> tuple[str, ...]:
    return ("customer", "add", *desk.options(fields))


# Taken on


def test_isp_08_a_member_is_shown_as_registered(office: Office) -> None:
    added = office.ok(*on("2026-04-01"), *taken_on(office, **TARO))
    assert added == office.ok("customer", "show", "C00000001")
    assert {field: added[field] for field in TARO} == TARO
    assert added["number"] == "C00000001"
    assert added["joined_on"] == "2026-04-01"
    assert added["payment_method"] is None


def test_widths_and_hyphens_are_put_right(office: Office) -> None:
    added = office.ok(
        *taken_on(
            office,
            **TARO
            | {
                "kana": "やまだ ﾀﾛｳ",
                "phone": "０３(1234)5678",
                "postal_code": "1000001",
                "email": "taro@EXAMPLE.com",
            },
        )
    )
    assert (added["kana"], added["phone"]) == ("ヤマダ タロウ", "03-1234-5678")
    assert (added["postal_code"], added["email"]) == ("100-0001", "taro@example.com")


@pytest.mark.req("ISP-21")
def test_a_company_gives_its_corporate_number_or_says_why_not(office: Office) -> None:
    assert office.ok("customer", "show", company(office))["corporate_number"] == "7100001235487"
    founded = company(office, corporate_number=None, no_number_because="設立登記の申請中")
    assert office.ok("customer", "show", founded)["no_number_because"] == "設立登記の申請中"
    changed = office.ok("customer", "set", founded, "--corporate-number", "7100001235487")
    assert (changed["corporate_number"], changed["no_number_because"]) == ("7100001235487", None)


def test_isp_21_companies_contract_on_the_plans_and_prices_of_households(office: Office) -> None:
    desk.plan(office)
    fields = ("plan", "term_months", "early_fee", "opening_fee", "term_end", "charged_from")
    both = [
        office.ok("contract", "show", desk.contract(office, who, opened_on=desk.TODAY))
        for who in (member(office), company(office))
    ]
    assert [both[0][field] for field in fields] == [both[1][field] for field in fields]
    quotes = [
        office.ok("contract", "cancel", each["number"], "--received", "2026-05-10", "--dry-run")
        for each in both
    ]
    assert quotes[0]["total"] == quotes[1]["total"]


WRONG = [
    ("name", "", "name"),
    ("name", "   ", "name"),
    ("name", "山田\x1b[2J太郎", "name"),
    ("name", "山田\n太郎", "name"),
    ("name", "山田\u202e太郎", "name"),
    ("name", "あ" * 81, "name"),
    ("kana", "山田", "kana"),
    ("kana", "", "kana"),
    ("kana", "ヤマダ<b>", "kana"),
    ("email", "taro", "email"),
    ("email", "taro@", "email"),
    ("email", "taro@example.com\nBcc: x@example.com", "email"),
    ("email", "太郎@example.com", "email"),
    ("phone", "1234", "phone"),
    ("phone", "+1 212 555 0100", "phone"),
    ("postal_code", "999-999", "postal_code"),
    ("postal_code", "100-000", "postal_code"),
    ("address", "", "address"),
    ("address", "東京都\x00千代田区", "address"),
    ("address", "東" * 201, "address"),
    ("kind", "company", "kind"),
    ("corporate_number", "7100001235487", "corporate_number"),
    ("no_number_because", "設立中", "corporate_number"),
    ("language", "fr", "language"),
]


def test_all_04_a_wrong_field_is_refused_by_its_name(office: Office) -> None:
    with untouched(office):
        for field, value, named in WRONG:
            refusal = office.refused(*taken_on(office, **TARO | {field: value}))
            assert refusal.startswith(f"{named}: "), (field, value)


def test_all_04_a_company_without_a_right_number_is_refused(office: Office) -> None:
    with untouched(office):
        for number in ("", "7100001235488", "T7100001235487", "123", "７１０００012354８８"):
            refusal = office.refused(*taken_on(office, **AOBA | {"corporate_number": number}))
            assert refusal.startswith("corporate_number: "), number


def test_all_04_a_missing_field_is_named(office: Office) -> None:
    with untouched(office):
        for missing in TARO:
            fields = {field: value for field, value in TARO.items() if field != missing}
            refusal = office.refused(*taken_on(office, **fields))
            assert refusal.startswith(f"{missing}: is missing")


# Changed


CHANGES: list[Row] = [
    {"name": "山田花子"},
    {"kana": "ヤマダハナコ"},
    {"email": "hanako@example.com"},
    {"phone": "090-1234-5678"},
    {"language": "en"},
    {"postal_code": "530-0001", "address": "大阪府大阪市北区梅田1-1"},
    {"billing_postal_code": "530-0001", "billing_address": "大阪府大阪市北区梅田1-1"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: next(iter(changes)))
def test_isp_08_every_change_is_kept_with_who_and_when(office: Office, changes: Row) -> None:
    number = member(office)
    before = office.ok("customer", "show", number)
    done = ("customer", "set", number, *desk.options(changes))
    changed = office.ok("--now", "2026-05-01T10:30:00", "--actor", "suzuki", *done)
    assert changed == office.ok("customer", "show", number) == before | changes
    [added, act] = office.ok("customer", "history", number)
    assert added["act"] == "customer.added"
    assert added["after"].items() >= TARO.items()
    assert act == {
        "at": "2026-05-01T10:30:00+09:00",
        "business_date": "2026-05-01",
        "actor": "suzuki",
        "act": "customer.changed",
        "subject": number,
        "before": {field: before[field] for field in changes},
        "after": changes,
    }


def test_isp_08_several_changes_are_one_act_and_one_notice(office: Office) -> None:
    number = member(office)
    office.ok("customer", "set", number, "--name", "山田次郎", "--phone", "090-1234-5678")
    [_, act] = acts(office, number)
    assert act["after"] == {"name": "山田次郎", "phone": "090-1234-5678"}
    assert len(notices(office, "data-changed")) == 1


def test_what_stays_the_same_is_no_change(office: Office) -> None:
    number = member(office)
    with untouched(office):
        office.ok("customer", "set", number, *desk.options({"name": TARO["name"]}))


def test_two_changes_at_one_instant_are_both_told(office: Office) -> None:
    number = member(office)
    for phone in ("090-1234-5678", "090-1234-5679"):
        office.ok("--now", "2026-05-01T10:30:00", "customer", "set", number, "--phone", phone)
    assert len(notices(office, "data-changed")) == 2


WRONG_CHANGES = [
    ((), "field"),
    (("--kana", "山田"), "kana"),
    (("--name", "山田\u200b"), "name"),
    (("--email", "nobody"), "email"),
    (("--phone", "119"), "phone"),
    (("--postal-code", "000-000"), "postal_code"),
    (("--billing-postal-code", "999-999", "--billing-address", "x1"), "billing_postal_code"),
    (("--billing-postal-code", "530-0001"), "billing_address"),
    (("--billing-address", "大阪府大阪市"), "billing_postal_code"),
    (("--language", "de"), "language"),
    (("--corporate-number", "7100001235487"), "corporate_number"),
    (("--phone", "090-1234-5678", "--kana", "山田"), "kana"),
]


def test_all_04_a_wrong_change_changes_nothing(office: Office) -> None:
    number = member(office)
    with untouched(office):
        for words, named in WRONG_CHANGES:
            refusal = office.refused("customer", "set", number, *words)
            assert refusal.startswith(f"{named}: "), words


def test_all_04_an_unknown_member_is_refused(office: Office) -> None:
    for command in (("show",), ("history",), ("set", "--name", "山田")):
        refusal = office.refused("customer", command[0], "C99999999", *command[1:])
        assert refusal == "customer: there is no customer 'C99999999'"


def test_a_doubtful_postcode_is_a_note_for_the_desk(office: Office) -> None:
    """No reason to refuse: postcodes open every month."""
    added = office(*taken_on(office, **TARO | {"postal_code": "999-9999"}))
    assert (added.exit_code, added.json["postal_code"]) == (0, "999-9999")
    assert added.stderr.startswith("please check: 999-9999")
    number = member(office)
    assert office("customer", "set", number, "--postal-code", "530-0001").stderr
    assert not office("customer", "set", number, "--phone", "090-1234-5678").stderr
    moved = ("--postal-code", "530-0001", "--address", "大阪府大阪市北区梅田1-1")
    assert not office("customer", "set", number, *moved).stderr


# Found


def test_members_are_listed_in_the_order_of_their_numbers(office: Office) -> None:
    taro, aoba = member(office), company(office)
    office.ok("payment-method", "set", taro, "invoice")
    assert office.ok("customer", "list") == [
        {
            "number": taro,
            "kind": "individual",
            **{field: TARO[field] for field in ("name", "kana", "email", "phone")},
            "payment_method": "invoice",
        },
        {
            "number": aoba,
            "kind": "corporation",
            **{field: AOBA[field] for field in ("name", "kana", "email", "phone")},
            "payment_method": None,
        },
    ]
    assert [found["number"] for found in office.ok("customer", "list", "--kind", "individual")] == [
        taro
    ]


def test_a_search_is_for_the_words_as_written(office: Office) -> None:
    member(office, email="taro_yamada@example.com")
    company(office)
    for search, found in (("アオバ", 1), ("example", 2), ("%", 0), ("_", 1), ("03-1234", 2)):
        assert len(office.ok("customer", "list", "--search", search)) == found, search


# Numbers


def new(number: str = "") -> NewCustomer:
    return NewCustomer(**TARO, number=number)


@pytest.fixture
def add(database: Engine, day: MakeDay) -> Callable[..., list[str]]:
    """Takes on members with these numbers, "" for the next; in a transaction of its own."""
    shift = desk.shift_of(day("2026-04-10"))

    def make(*numbers: str) -> list[str]:
        each: list[CheckedCustomer] = [checked(new(number), shift) for number in numbers]
        with Session(database) as session, session.begin():
            return [number for _, number in add_customers(session, shift, each)]

    return make


def test_numbers_go_on_after_the_highest_of_our_form(add: Callable[..., list[str]]) -> None:
    assert add("", "") == ["C00000001", "C00000002"]
    # Kept from another system: of our form, of another length, with letters, with a hyphen.
    add("C00000010", "C99", "C1234567A", "C9-999999", "C000000999")
    assert add("", "") == ["C00000011", "C00000012"]


def test_numbers_given_later_are_not_handed_out_before(add: Callable[..., list[str]]) -> None:
    assert add("", "", "C00000002", "C00000001", "") == [
        *("C00000003", "C00000004"),
        *("C00000002", "C00000001", "C00000005"),
    ]


def test_after_the_last_number_comes_a_refusal(add: Callable[..., list[str]]) -> None:
    add("C99999999")
    with pytest.raises(Refused, match="number: C99999999 is in use, and no number comes after it"):
        add("")


@pytest.mark.parametrize("number", ["c1", "C", "K1", "C-ü", "C１", "C" + "1" * 18, "C1\n", "C 1"])
def test_all_04_a_number_of_another_form_is_refused(number: str) -> None:
    with pytest.raises(Refused, match=r"^number: "):
        given_number(number, "C")


def test_two_desks_at_once_get_different_numbers(
    database: Engine, add: Callable[..., list[str]]
) -> None:
    got: list[str] = []

    def work() -> None:
        for _ in range(5):
            got.extend(add(""))

    desks = [threading.Thread(target=work) for _ in range(3)]
    for started in desks:
        started.start()
    for started in desks:
        started.join()
    assert sorted(got) == [f"C{n:08d}" for n in range(1, 16)]


def test_ten_thousand_and_one_members_keep_their_order(
    database: Engine, add: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by several statements, each row gets its own address."""
    monkeypatch.setattr("isp.runs.customers.BULK", 3)
    assert add(*[""] * 10) == [f"C{n:08d}" for n in range(1, 11)]
    with Session(database) as session:
        found = session.scalars(select(Customer)).all()
        assert all(len(each.addresses) == 1 for each in found)


def test_next_ordinal_looks_at_its_own_prefix(database: Engine, day: MakeDay) -> None:
    shift = desk.shift_of(day("2026-04-10"))
    columns = checked(new(), shift).columns
    with Session(database) as session, session.begin():
        session.execute(
            insert(Customer),
            [{**columns, "number": number} for number in ("C00000007", "CN00000099", "D00000050")],
        )
        assert next_ordinal(session, Customer.number, "C") == 8
        assert next_ordinal(session, Customer.number, "CN") == 100
        assert next_ordinal(session, Customer.number, "E") == 1
