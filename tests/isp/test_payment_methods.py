"""How a member pays: one method now and its history; accounts sealed, card numbers never kept."""

from __future__ import annotations

from pathlib import Path

import desk
import pytest
from desk import Row, acts, everything, member, on, untouched
from office import Answer, Office
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from isp.banks import BankAccount
from isp.sealing import Seal

ACCOUNT: Row = {
    "bank": "0001",
    "branch": "001",
    "account_type": "ordinary",
    "account_number": "7654321",
    "holder": "ヤマダタロウ",
}
CARD: Row = {
    "token": "tok_9f3a",
    "brand": "visa",
    "last4": "4242",
    "expires": "2029-03",
    "holder": "TARO YAMADA",
}
TODAY = "2026-04-10"


def pay(number: str, kind: str, **fields: object) -> tuple[str, ...]:
    return ("payment-method", "set", number, kind, *desk.options(fields))


def history(office: Office, number: str) -> list[Row]:
    found = office.ok("payment-method", "history", number)
    assert isinstance(found, list)
    return found


# One current method and its history


def test_isp_03_a_member_has_one_method_and_its_history(office: Office) -> None:
    number = member(office)
    account = office.ok(*on("2026-04-10"), *pay(number, "account-transfer", **ACCOUNT))
    card = office.ok(*on("2026-06-01"), *pay(number, "card", **CARD))
    invoice = office.ok(*on("2026-08-20"), *pay(number, "invoice"))
    assert [account["kind"], card["kind"], invoice["kind"]] == [
        *("account-transfer", "card", "invoice")
    ]
    assert account["customer"] == number
    assert [(each["kind"], each["from"], each["until"]) for each in history(office, number)] == [
        ("account-transfer", "2026-04-10", "2026-06-01"),
        ("card", "2026-06-01", "2026-08-20"),
        ("invoice", "2026-08-20", None),
    ]
    assert office.ok("customer", "show", number)["payment_method"]["kind"] == "invoice"
    told = [act for act in acts(office, number) if act["act"] == "payment-method.set"]
    assert [(act["before"] or {}).get("kind") for act in told] == [None, "account-transfer", "card"]
    assert [act["after"]["kind"] for act in told] == ["account-transfer", "card", "invoice"]


def test_isp_03_of_two_methods_on_one_day_the_last_counts(office: Office) -> None:
    number = member(office)
    office.ok(*on(TODAY), *pay(number, "card", **CARD))
    office.ok(*on(TODAY), *pay(number, "invoice"))
    assert [(each["from"], each["until"]) for each in history(office, number)] == [
        (TODAY, TODAY),
        (TODAY, None),
    ]
    assert office.ok("check")["ok"]


def test_isp_03_history_only_goes_forward(office: Office) -> None:
    """A change entered with an earlier business date begins with the change before it."""
    number = member(office)
    office.ok(*on("2026-05-01"), *pay(number, "card", **CARD))
    office.ok(*on("2026-04-20"), *pay(number, "invoice"))
    assert [(each["from"], each["until"]) for each in history(office, number)] == [
        ("2026-05-01", "2026-05-01"),
        ("2026-05-01", None),
    ]
    assert office.ok("check")["ok"]


def test_isp_03_the_database_refuses_a_second_current_method(
    office: Office, database: Engine
) -> None:
    number = member(office)
    office.ok(*pay(number, "invoice"))
    copied = "INSERT INTO payment_method (customer_id, kind, valid_from) "
    copied += "SELECT customer_id, kind, valid_from FROM payment_method"
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text(copied))


# Cards


CARD_NUMBERS = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "378282246310005",
    "3530111333300000",
    "30569309025904",
    "tok_4242424242424242",
    "4111111111111111:2029",
]


def test_isp_04_a_card_number_is_never_taken_for_a_token(office: Office) -> None:
    number = member(office)
    with untouched(office):
        for written in CARD_NUMBERS:
            refusal = office.refused(*pay(number, "card", **CARD | {"token": written}))
            assert refusal.startswith("token: looks like a card number")
            assert written not in refusal
            for field in ("last4", "holder"):
                refusal = office.refused(*pay(number, "card", **CARD | {field: written}))
                assert refusal.startswith(f"{field}: "), (field, written)
                assert written not in refusal


def test_isp_04_token_brand_last_four_and_expiry_are_all_that_is_kept(office: Office) -> None:
    number = member(office)
    shown = office.ok(*on(TODAY), *pay(number, "card", **CARD))
    assert shown == {
        "customer": number,
        "kind": "card",
        "from": TODAY,
        "until": None,
        "brand": "visa",
        "last4": "4242",
        "expires": "2029-03",
    }
    [kept] = everything(office.database_url)["payment_method"]
    assert {word for word in kept if isinstance(word, str) and not word.startswith("2026-")} == {
        *("card", "none", "tok_9f3a", "visa", "4242", "TARO YAMADA")
    }


def test_isp_04_the_token_is_neither_shown_nor_journalled(office: Office) -> None:
    number = member(office)
    said: list[Answer] = [office(*pay(number, "card", **CARD))]
    said += [
        office(*form, *words)
        for form in (("--format", "table"), ("--format", "csv"), ("--format", "json"))
        for words in (("customer", "show", number), ("payment-method", "history", number))
    ]
    said.append(office("journal", "--last", "1000"))
    assert all(answer.exit_code == 0 for answer in said)
    assert not any("tok_9f3a" in answer.stdout + answer.stderr for answer in said)


@pytest.mark.parametrize(
    ("brand", "kept"),
    [
        ("jcb", "jcb"),
        ("VISA", "visa"),
        ("MasterCard", "mastercard"),
        ("AMERICAN EXPRESS", "amex"),
        ("Diners", "diners"),
    ],
)
def test_isp_04_brands_that_are_taken(office: Office, brand: str, kept: str) -> None:
    assert office.ok(*pay(member(office), "card", **CARD | {"brand": brand}))["brand"] == kept


def test_isp_04_other_brands_are_refused(office: Office) -> None:
    number = member(office)
    with untouched(office):
        for brand in ("discover", "unionpay", "", "visa electron"):
            refusal = office.refused(*pay(number, "card", **CARD | {"brand": brand}))
            assert refusal.startswith("brand: "), brand


def test_isp_04_the_operator_may_take_fewer_brands(office: Office) -> None:
    policy = office.config.read_text("utf-8")
    taken = 'brands = ["jcb", "visa", "mastercard", "amex", "diners"]'
    assert taken in policy
    office.config.write_text(policy.replace(taken, 'brands = ["jcb"]'), "utf-8")
    number = member(office)
    assert office.refused(*pay(number, "card", **CARD)).startswith("brand: ")
    assert office.ok(*pay(number, "card", **CARD | {"brand": "jcb"}))["brand"] == "jcb"


# Accounts


def test_isp_03_the_account_number_is_kept_sealed(office: Office, database: Engine) -> None:
    number = member(office)
    answer = office(*on(TODAY), *pay(number, "account-transfer", **ACCOUNT))
    assert answer.json == {
        "customer": number,
        "kind": "account-transfer",
        "from": TODAY,
        "until": None,
        "bank": "0001",
        "branch": "001",
        "mandate": "active",
    }
    with database.connect() as connection:
        sealed = connection.execute(text("SELECT sealed_account FROM payment_method")).scalar_one()
    opened = BankAccount.from_json(Seal(office.folder / "isp.key").open(bytes(sealed)))
    assert (opened.account_number, opened.holder) == ("7654321", "ﾔﾏﾀﾞﾀﾛｳ")
    journal = office("journal", "--last", "1000").stdout
    for secret in ("7654321", "ﾔﾏﾀﾞﾀﾛｳ"):
        assert secret not in answer.stdout + answer.stderr + journal
        for file in Path(office.folder).glob("isp.db*"):
            assert secret.encode() not in file.read_bytes()


WRONG: list[tuple[str, Row, str]] = [
    ("account-transfer", {"bank": "0000"}, "bank"),
    ("account-transfer", {"bank": "1"}, "bank"),
    ("account-transfer", {"bank": "みずほ"}, "bank"),
    ("account-transfer", {"branch": "999"}, "branch"),
    ("account-transfer", {"branch": "0001"}, "branch"),
    ("account-transfer", {"account_type": "savings"}, "account_type"),
    ("account-transfer", {"account_number": "12345678"}, "account_number"),
    ("account-transfer", {"account_number": "12-3456"}, "account_number"),
    ("account-transfer", {"account_number": "0000000"}, "account_number"),
    ("account-transfer", {"holder": "山田太郎"}, "holder"),
    ("account-transfer", {"holder": ""}, "holder"),
    ("account-transfer", {"holder": "ア" * 31}, "holder"),
    ("account-transfer", {"holder": "ヤマダ\x07タロウ"}, "holder"),
    ("account-transfer", {"bank": None}, "bank"),
    ("account-transfer", {"holder": None}, "holder"),
    ("account-transfer", {"token": "tok_1"}, "token"),
    ("card", {"token": ""}, "token"),
    ("card", {"token": "tok 1"}, "token"),
    ("card", {"token": "トークン"}, "token"),
    ("card", {"token": None}, "token"),
    ("card", {"last4": "42"}, "last4"),
    ("card", {"expires": "2026-03"}, "expires"),
    ("card", {"expires": "2029-13"}, "expires"),
    ("card", {"expires": "03/29"}, "expires"),
    ("card", {"expires": "2099-01"}, "expires"),
    ("card", {"holder": None}, "holder"),
    ("card", {"bank": "0001"}, "bank"),
    ("card", {"account_type": "current"}, "account_type"),
    ("invoice", {"holder": "ヤマダ"}, "holder"),
    ("cash", {}, "kind"),
]


def test_all_04_a_wrong_payment_method_changes_nothing(office: Office) -> None:
    number = member(office)
    good = {"account-transfer": ACCOUNT, "card": CARD}
    with untouched(office):
        for kind, changes, named in WRONG:
            fields = {**good.get(kind, {}), **changes}
            refusal = office.refused(*on(TODAY), *pay(number, kind, **fields))
            assert refusal.startswith(f"{named}: "), (kind, changes)
        refusal = office.refused(*pay("C99999999", "invoice"))
        assert refusal == "customer: there is no customer 'C99999999'"


def test_without_its_key_the_office_takes_no_account(office: Office) -> None:
    number = member(office)
    (office.folder / "isp.key").unlink()
    with untouched(office):
        answer = office(*pay(number, "account-transfer", **ACCOUNT))
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("Error: key file: there is no ")
    assert len(answer.stderr.splitlines()) == 1
