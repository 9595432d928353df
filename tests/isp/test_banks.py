"""Banks, branches and members' accounts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.banks import BankAccount, BankBranch, branch_of, japan_post_form
from isp.errors import Refused


def validated(
    bank: str = "0001",
    branch: str = "001",
    account_type: str = "ordinary",
    account_number: str = "1234567",
    holder: str = "ヤマダ",
) -> BankAccount:
    return BankAccount.validated(bank, branch, account_type, account_number, holder)


def test_isp_07_a_branch_carries_the_names_of_the_bank_file() -> None:
    assert branch_of("0001", "001") == BankBranch(
        "0001", "みずほ", "ﾐｽﾞﾎ", "001", "東京営業部", "ﾄｳｷﾖｳ"
    )
    assert branch_of("００１０", "１０１").bank_kana == "ﾘｿﾅ"


def test_isp_07_every_known_name_fits_the_bank_file() -> None:
    from zengin_code import Bank

    offices = [
        branch_of(code, branch) for code, bank in Bank.all.items() for branch in bank.branches
    ]
    assert len(offices) > 20_000
    assert max(len(office.bank_kana) for office in offices) <= 15
    assert max(len(office.branch_kana) for office in offices) <= 15


@pytest.mark.parametrize(
    ("bank", "branch", "field", "why"),
    [
        ("9999", "001", "bank", "no bank has the code 9999"),
        ("0001", "999", "branch", "みずほ (0001) has no branch 999"),
        ("1", "001", "bank", "write its 4 digits, zeros in front included"),
        ("0001", "1", "branch", "write its 3 digits, zeros in front included"),
        ("みずほ", "001", "bank", "is no bank code"),
        ("0001", "0 1", "branch", "is no branch code"),
        ("", "001", "bank", "is no bank code"),
        ("٠٠٠١", "001", "bank", "is no bank code"),
        ("0001\n001", "001", "bank", r"'0001\n001' is no bank code"),
    ],
)
def test_all_04_unknown_banks_and_branches_are_refused(
    bank: str, branch: str, field: str, why: str
) -> None:
    with pytest.raises(Refused, match=re.escape(why)) as refusal:
        branch_of(bank, branch)
    assert refusal.value.field == field
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("account_type", "number", "holder", "kept"),
    [
        ("ordinary", "1234567", "ヤマダ タロウ", ("ordinary", "1234567", "ﾔﾏﾀﾞ ﾀﾛｳ")),
        ("当座", "12", "カ）サンプル", ("current", "0000012", "ｶ)ｻﾝﾌﾟﾙ")),
        ("3", "０００１", "ﾔﾏﾀﾞ", ("tax", "0000001", "ﾔﾏﾀﾞ")),
        ("９", "7654321", "ア" * 30, ("other", "7654321", "ｱ" * 30)),
    ],
)
def test_isp_03_an_account_is_kept_as_the_bank_has_it(
    account_type: str, number: str, holder: str, kept: tuple[str, str, str]
) -> None:
    account = BankAccount.validated("0001", "001", account_type, number, holder)
    assert (account.account_type, account.account_number, account.holder) == kept


@pytest.mark.parametrize(
    ("account_type", "code"), [("ordinary", "1"), ("current", "2"), ("tax", "3"), ("other", "9")]
)
def test_isp_07_account_types_have_their_zengin_digit(account_type: str, code: str) -> None:
    account = BankAccount.validated("0001", "001", account_type, "1", "ﾔﾏﾀﾞ")
    assert account.type_code == code


@pytest.mark.parametrize(
    ("changed", "field", "why"),
    [
        ({"account_type": "savings"}, "account_type", "none of ordinary, current, tax, other"),
        ({"account_number": "12345678"}, "account_number", "1 to 7 digits"),
        ({"account_number": ""}, "account_number", "1 to 7 digits"),
        ({"account_number": "0000000"}, "account_number", "not all of them 0"),
        ({"account_number": "12-3456"}, "account_number", "1 to 7 digits"),
        ({"holder": "山田"}, "holder", "kanji '山'"),
        ({"holder": "ガ" * 16}, "holder", "is 32 half-width characters long"),
        ({"bank": "9900", "branch": "058", "account_type": "current"}, "account_type", "end in 9"),
        ({"bank": "9900", "branch": "019"}, "account_type", "end in 9"),
        (
            {"bank": "9900", "branch": "058", "account_number": "12345671"},
            "account_number",
            "leave out the last digit",
        ),
    ],
)
def test_all_04_a_wrong_account_is_refused_by_field(
    changed: dict[str, str], field: str, why: str
) -> None:
    with pytest.raises(Refused, match=re.escape(why)) as refusal:
        validated(**changed)
    assert refusal.value.field == field


def test_a_refused_account_number_is_not_repeated() -> None:
    with pytest.raises(Refused) as refusal:
        validated(account_number="98765432")
    assert "98765432" not in str(refusal.value)


def test_an_account_shows_neither_number_nor_holder() -> None:
    account = BankAccount.validated("0001", "001", "ordinary", "7654321", "ヤマダ")
    assert "7654321" not in repr(account)
    assert "ﾔﾏﾀﾞ" not in repr(account)


@given(
    number=st.integers(1, 9_999_999),
    holder=st.text(alphabet="アガパンー（）Ａ１", min_size=1, max_size=15),
    kind=st.sampled_from(["ordinary", "current", "tax", "other"]),
)
def test_an_account_survives_storage(number: int, holder: str, kind: str) -> None:
    account = BankAccount.validated("0001", "001", kind, str(number), holder)
    assert BankAccount.from_json(account.to_json()) == account


@pytest.mark.parametrize(
    ("symbol", "number", "expected"),
    [
        ("14030", "12345671", ("408", "ordinary", "1234567")),
        ("14080", "1234561", ("408", "ordinary", "0123456")),
        ("１５１５０", "２１１１１１１１", ("518", "ordinary", "2111111")),
        ("10530-2", "11", ("058", "ordinary", "0000001")),
        ("00580", "654321", ("059", "current", "0654321")),
        ("00160-0", "100001", ("019", "current", "0100001")),
        ("001600", "1", ("019", "current", "0000001")),
    ],
)
def test_isp_07_japan_post_symbol_and_number_become_branch_and_account(
    symbol: str, number: str, expected: tuple[str, str, str]
) -> None:
    assert japan_post_form(symbol, number) == expected
    branch, kind, account_number = expected
    account = BankAccount.validated("9900", branch, kind, account_number, "ヤマダ")
    assert account.account_number == account_number


@pytest.mark.parametrize(
    ("symbol", "number", "field"),
    [
        ("24030", "12345671", "symbol"),
        ("1403", "12345671", "symbol"),
        ("14030", "12345672", "number"),
        ("14030", "123456781", "number"),
        ("14030", "1", "number"),
        ("00580", "1234567", "number"),
        ("00580", "", "number"),
        ("11940", "12345671", "branch"),
    ],
)
def test_all_04_a_wrong_japan_post_number_is_refused(symbol: str, number: str, field: str) -> None:
    with pytest.raises(Refused) as refusal:
        japan_post_form(symbol, number)
    assert refusal.value.field == field
