"""Files that come in: all rows or none, every bad row by its line, hostile files refused whole."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import desk
import pytest
from desk import AOBA, TARO, Row, acts, contract, member, notices, on, plan
from office import Answer, Office
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from isp.runs.imports import import_customers

TODAY = "2026-04-10"
ACCOUNT = {
    "payment": "account-transfer",
    "bank": "0001",
    "branch": "001",
    "account_type": "ordinary",
    "account_number": "7654321",
    "holder": "ヤマダタロウ",
}
CARD = {
    "payment": "card",
    "card_token": "tok_9f3a",
    "card_brand": "visa",
    "card_last4": "4242",
    "card_expires": "2029-03",
    "holder": "TARO YAMADA",
}

Import = Callable[..., Answer]


def as_csv(rows: Iterable[Row], line_end: str = "\n") -> str:
    kept = list(rows)
    names = list(dict.fromkeys(name for row in kept for name in row))
    written = io.StringIO()
    table = csv.DictWriter(written, names, restval="", lineterminator=line_end)
    table.writeheader()
    table.writerows(kept)
    return written.getvalue()


@pytest.fixture
def bring_in(office: Office) -> Import:
    """`bring_in("customer", rows)`: the answer to the import of a file with these rows, or bytes."""

    def make(noun: str, content: list[Row] | str | bytes, *words: str) -> Answer:
        file = office.folder / "file.csv"
        if isinstance(content, list):
            content = as_csv(content)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return office(*on(TODAY), noun, "import", file, *words)

    return make


def errors(answer: Answer) -> list[str]:
    """The lines on standard error of a file that was refused whole."""
    assert (answer.exit_code, answer.stdout) == (2, "")
    lines = answer.stderr.splitlines()
    assert all(line.startswith("Error: ") for line in lines), lines
    return [line.removeprefix("Error: ") for line in lines]


# Members


def test_members_are_taken_on_with_their_payment_methods(office: Office, bring_in: Import) -> None:
    rows = [
        TARO | ACCOUNT | {"number": "C00000007"},
        TARO | CARD,
        TARO | {"payment": "invoice", "language": "en"},
        AOBA,
    ]
    answer = bring_in("customer", rows)
    assert (answer.json["imported"], answer.exit_code) == (4, 0)
    found = office.ok("customer", "list")
    assert [(each["number"], each["payment_method"]) for each in found] == [
        ("C00000001", "card"),
        ("C00000002", "invoice"),
        ("C00000003", None),
        ("C00000007", "account-transfer"),
    ]
    shown = office.ok("customer", "show", "C00000001")
    assert {field: shown[field] for field in TARO} == TARO
    assert (shown["joined_on"], shown["language"]) == (TODAY, "ja")
    assert shown["payment_method"]["last4"] == "4242"
    assert office.ok("check")["ok"]


def test_all_03_what_a_file_brings_stands_in_the_journal(office: Office, bring_in: Import) -> None:
    bring_in("customer", [TARO | ACCOUNT, TARO | CARD, TARO])
    told = [[(act["act"], act["actor"]) for act in acts(office, f"C0000000{n}")] for n in (1, 2, 3)]
    both = [("customer.added", "tester"), ("payment-method.set", "tester")]
    assert told == [both, both, both[:1]]
    assert acts(office, "C00000001")[0]["after"].items() >= TARO.items()
    journal = office("journal", "--last", "100").stdout
    assert "7654321" not in journal
    assert "tok_9f3a" not in journal


def test_an_import_looks_like_members_taken_on_one_by_one(office: Office, bring_in: Import) -> None:
    first = member(office)
    bring_in("customer", [TARO])
    one, other = (office.ok("customer", "show", number) for number in (first, "C00000002"))
    assert other | {"number": first, "joined_on": one["joined_on"]} == one


def test_members_are_not_written_to_about_a_migration(office: Office, bring_in: Import) -> None:
    plan(office, today=TODAY)
    bring_in("customer", [TARO | ACCOUNT])
    bring_in("contract", [{"customer": "C00000001", "plan": "HIKARI", "concluded_on": TODAY}])
    assert notices(office) == []


def test_a_dry_run_says_the_same_and_changes_nothing(office: Office, bring_in: Import) -> None:
    plan(office, today=TODAY)
    member(office)
    contracts = [{"customer": "C00000001", "plan": "HIKARI", "concluded_on": TODAY}]
    with desk.untouched(office):
        for noun, rows in (("customer", [TARO | ACCOUNT, TARO | CARD]), ("contract", contracts)):
            answer = bring_in(noun, rows, "--dry-run")
            assert answer.json == {"imported": len(rows), "dry_run": True}
            assert answer.stderr.startswith("dry run: ")
        assert errors(bring_in("customer", [TARO | {"kana": "山田"}], "--dry-run"))


WRONG_MEMBERS: list[tuple[Row, str]] = [
    ({"name": ""}, "name"),
    ({"name": "山田\x07太郎"}, "name"),
    ({"name": "山田\n太郎"}, "name"),
    ({"kana": "山田太郎"}, "kana"),
    ({"kind": "person"}, "kind"),
    ({"email": "taro"}, "email"),
    ({"phone": "12"}, "phone"),
    ({"postal_code": "東京"}, "postal_code"),
    ({"address": ""}, "address"),
    ({"kind": "corporation"}, "corporate_number"),
    ({"corporate_number": "7100001235487"}, "corporate_number"),
    ({"kind": "corporation", "corporate_number": "7100001235488"}, "corporate_number"),
    ({"number": "X1"}, "number"),
    ({"number": "C0000000１"}, "number"),
    ({"language": "fr"}, "language"),
    ({"payment": "cash"}, "payment"),
    ({**ACCOUNT, "payment": ""}, "bank"),
    ({**ACCOUNT, "payment": "invoice"}, "bank"),
    ({**CARD, "payment": ""}, "card_token"),
    ({**ACCOUNT, "card_last4": "4242"}, "card_last4"),
    ({"holder": "ヤマダ"}, "holder"),
    ({**ACCOUNT, "bank": "0000"}, "bank"),
    ({**ACCOUNT, "branch": "999"}, "branch"),
    ({**ACCOUNT, "account_type": "savings"}, "account_type"),
    ({**ACCOUNT, "account_number": "1234567890"}, "account_number"),
    ({**ACCOUNT, "holder": "山田太郎"}, "holder"),
    ({**CARD, "card_token": "4242424242424242"}, "card_token"),
    ({**CARD, "card_token": ""}, "card_token"),
    ({**CARD, "card_brand": "discover"}, "card_brand"),
    ({**CARD, "card_last4": "42424"}, "card_last4"),
    ({**CARD, "card_expires": "2026-03"}, "card_expires"),
    ({**CARD, "card_expires": "03/29"}, "card_expires"),
]


def test_all_04_every_bad_row_is_named_by_line_and_field(office: Office, bring_in: Import) -> None:
    with desk.untouched(office):
        told = errors(bring_in("customer", [TARO, *(TARO | row for row, _ in WRONG_MEMBERS), TARO]))
    *bad, last = told
    assert last == f"file: {len(WRONG_MEMBERS)} bad row(s), nothing was imported"
    fields = [line.split(": ")[1] for line in bad]
    assert fields == [named for _, named in WRONG_MEMBERS]
    # A name over two lines moves what follows it down by one.
    at = [int(line.split(": ")[0].removeprefix("line ")) for line in bad]
    assert at == [n + 3 + (n > 2) for n in range(len(WRONG_MEMBERS))]
    assert "4242424242424242" not in " ".join(told)


def test_all_04_numbers_are_taken_once(office: Office, bring_in: Import) -> None:
    member(office)
    rows = [TARO | {"number": number} for number in ("C00000005", "C00000001", "C00000005", "")]
    with desk.untouched(office):
        assert errors(bring_in("customer", rows)) == [
            "line 3: number: C00000001 is in use already",
            "line 4: number: C00000005 stands in the file twice",
            "file: 2 bad row(s), nothing was imported",
        ]


def test_numbers_given_further_down_are_not_handed_out_above(
    office: Office, bring_in: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the rows are written by several statements."""
    monkeypatch.setattr("isp.runs.customers.BULK", 2)
    monkeypatch.setattr("isp.runs.imports.BULK", 2)
    plan(office, today=TODAY)
    numbers = ["", "", "", "C00000002", "C00000001", ""]
    rows = [TARO | ACCOUNT | {"number": each, "name": f"会員{n}"} for n, each in enumerate(numbers)]
    assert bring_in("customer", rows).json["imported"] == 6
    found = {each["name"]: each["number"] for each in office.ok("customer", "list")}
    assert found == {
        "会員0": "C00000003",
        "会員1": "C00000004",
        "会員2": "C00000005",
        "会員3": "C00000002",
        "会員4": "C00000001",
        "会員5": "C00000006",
    }
    contracts = [
        {"customer": "C00000001", "plan": "HIKARI", "concluded_on": TODAY, "number": number}
        for number in ("", "K00000001", "", "")
    ]
    assert bring_in("contract", contracts).json["imported"] == 4
    assert office.ok("check")["ok"]


# Contracts


def test_contracts_are_taken_over_with_their_dates(office: Office, bring_in: Import) -> None:
    plan(office, today="2024-01-01")
    who = member(office)
    common = {"customer": who, "plan": "HIKARI"}
    rows = [
        common | {"number": "K00000040", "concluded_on": "2024-02-10", "opened_on": "2024-03-01"},
        common | {"concluded_on": "2026-04-10", "applied_on": "2026-04-01"},
    ]
    assert bring_in("contract", rows).json["imported"] == 2
    new, old = office.ok(*on(TODAY), "contract", "list")
    assert (old["number"], old["status"], old["charged_from"]) == ("K00000040", "active", "2024-03")
    assert (old["term_number"], old["term_start"], old["renewal_month"]) == (
        2,
        "2026-02",
        "2028-02",
    )
    assert (new["number"], new["status"], new["applied_on"]) == (
        *("K00000001", "applied", "2026-04-01"),
    )
    [act] = acts(office, "K00000040")
    assert act["act"] == "contract.taken-over"
    assert act["after"]["customer"] == who
    assert act["after"]["plan"] == "HIKARI"
    assert office.ok("check")["ok"]


def test_a_contract_taken_over_is_like_one_concluded_here(office: Office, bring_in: Import) -> None:
    plan(office, today=TODAY, opening_fee=800, installation_fee=24000, free_months=1)
    here = office.ok("contract", "show", contract(office, member(office), TODAY, TODAY))
    row = {"customer": "C00000001", "plan": "HIKARI", "concluded_on": TODAY, "opened_on": TODAY}
    bring_in("contract", [row])
    assert office.ok("contract", "show", "K00000002") == here | {"number": "K00000002"}


WRONG_CONTRACTS: list[tuple[Row, str]] = [
    ({"customer": "C99999999"}, "customer"),
    ({"customer": ""}, "customer"),
    ({"plan": "NONE"}, "plan"),
    ({"plan": "OFFICE"}, "plan"),
    ({"plan": "OLD", "concluded_on": "2022-07-01"}, "early_fee"),
    ({"concluded_on": ""}, "concluded_on"),
    ({"concluded_on": "2026-02-30"}, "concluded_on"),
    ({"concluded_on": "2026/04/10"}, "concluded_on"),
    ({"concluded_on": "2026-W15-5"}, "concluded_on"),
    ({"concluded_on": "1026-04-10"}, "concluded_on"),
    ({"applied_on": "2026-04-11"}, "applied_on"),
    ({"opened_on": "2026-04-09"}, "opened_on"),
    ({"opened_on": "tomorrow"}, "opened_on"),
    ({"document_received_on": "2026-04-09"}, "document_received_on"),
    ({"number": "C00000001"}, "number"),
    ({"number": "K00000001"}, "number"),
]


@pytest.mark.req("ALL-04", "ISP-13")
def test_every_bad_contract_is_named_by_line_and_field(office: Office, bring_in: Import) -> None:
    plan(office, today=TODAY)
    plan(office, "OFFICE", today=TODAY, for_="corporation")
    plan(office, "OLD", today="2022-06-01", early_fee=9800)
    good = {"customer": member(office), "plan": "HIKARI", "concluded_on": "2026-04-10"}
    contract(office, good["customer"], TODAY)
    with desk.untouched(office):
        told = errors(bring_in("contract", [good, *(good | row for row, _ in WRONG_CONTRACTS)]))
    assert [line.split(": ")[:2] for line in told[:-1]] == [
        [f"line {n}", named] for n, (_, named) in enumerate(WRONG_CONTRACTS, 3)
    ]
    # What the law allowed when it was concluded is taken over.
    old = good | {"plan": "OLD", "concluded_on": "2022-06-30"}
    assert bring_in("contract", [old]).json["imported"] == 1


# Files


HEADER = ",".join(TARO)
LINE = ",".join(TARO.values())


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{LINE}\n".encode("utf-8-sig"),
        f"{HEADER}\r\n{LINE}\r\n".encode(),
        f"{HEADER}\r\n{LINE}".encode("utf-8-sig"),
        f"{HEADER}\n\n{LINE}\n\n,,,,,,\n".encode(),
        (", ".join(f'"{name}"' for name in TARO).replace(", ", ",") + f"\n{LINE}\n").encode(),
        f" {HEADER.replace(',', ' , ')} \n{LINE.replace(',', ' , ')}\n".encode(),
        f"{HEADER}\n{LINE.replace('山田太郎', chr(34) + '山田太郎' + chr(34))}\n".encode(),
    ],
    ids=["bom", "crlf", "bom-crlf-no-end", "blank-lines", "quoted", "spaces", "quoted-cell"],
)
def test_files_as_programs_write_them_are_read(
    office: Office, bring_in: Import, content: bytes
) -> None:
    assert bring_in("customer", content).json["imported"] == 1
    shown = office.ok("customer", "show", "C00000001")
    assert {field: shown[field] for field in TARO} == TARO


def test_columns_come_in_any_order(office: Office, bring_in: Import) -> None:
    assert bring_in("customer", [dict(reversed(TARO.items()))]).json["imported"] == 1
    assert office.ok("customer", "show", "C00000001")["name"] == TARO["name"]


def test_a_file_of_a_header_alone_brings_nothing(bring_in: Import) -> None:
    assert bring_in("customer", f"{HEADER}\n").json["imported"] == 0


WRONG_FILES: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b"\n", "is empty"),
    (b"\xef\xbb\xbf", "is empty"),
    (f"{HEADER}\n{LINE}\n".encode("cp932"), "is not UTF-8"),
    (f"{HEADER}\nM\xfcller\n".encode("latin-1"), "is not UTF-8"),
    (f"{HEADER}\n{LINE}\n".encode("utf-16"), "is not UTF-8"),
    (b"\x00\xff\xfe\x80", "is not UTF-8"),
    (f"{LINE}\n".encode(), "the header lacks name, kana"),
    (HEADER.replace("kana,", "").encode(), "the header lacks kana"),
    (f"{HEADER},colour\n".encode(), "the header has unknown columns: 'colour'"),
    (f"{HEADER},\n".encode(), "the header has unknown columns: ''"),
    (f"{HEADER},name\n".encode(), "the header names a column twice"),
    (f'{HEADER}\n"{LINE}\n'.encode(), "is not CSV"),
    (f'{HEADER}\n"a"b,{LINE}\n'.encode(), "is not CSV"),
    (f"{HEADER}\n{'a' * 200_000}\n".encode(), "is not CSV"),
]


def test_all_04_a_file_that_is_none_is_refused_in_one_line(
    office: Office, bring_in: Import
) -> None:
    with desk.untouched(office):
        for content, why in WRONG_FILES:
            [told] = errors(bring_in("customer", content))
            assert told.startswith("file: "), content[:40]
            assert why in told, content[:40]


def test_all_04_ragged_rows_are_named(office: Office, bring_in: Import) -> None:
    with desk.untouched(office):
        told = errors(bring_in("customer", f"{HEADER}\n{LINE},more\n{LINE}\n山田\n{LINE},,\n"))
    assert told == [
        "line 2: row: has 8 cells, the header 7",
        "line 4: row: has 1 cells, the header 7",
        "line 5: row: has 9 cells, the header 7",
        "file: 3 bad row(s), nothing was imported",
    ]


def test_all_04_a_file_that_cannot_be_read_is_refused(office: Office, tmp_path: Path) -> None:
    with desk.untouched(office):
        for noun in ("customer", "contract"):
            missing = office.refused(noun, "import", tmp_path / "none.csv")
            assert (
                missing == f"file: cannot read {tmp_path / 'none.csv'}: No such file or directory"
            )
            assert office.refused(noun, "import", tmp_path).startswith("file: ")


def test_all_04_errors_stay_on_their_line_and_leave_the_terminal_alone(
    bring_in: Import,
) -> None:
    rows = [TARO | {"number": "C\x1b[2J\nError: line 9: name: forged"}]
    [bad, _] = errors(bring_in("customer", rows))
    assert bad.startswith("line 2: number: ")
    assert bad.isprintable()


# Two at once


def test_two_imports_at_once_are_both_whole(office: Office, database: Engine) -> None:
    """One waits for the other; numbers are handed out once."""
    files = []
    for name in ("one", "other"):
        files.append(office.folder / f"{name}.csv")
        files[-1].write_text(as_csv([TARO | {"name": f"{name} {n}"} for n in range(200)]))
    failed: list[BaseException] = []
    shift = desk.shift_of(desk.day_of(TODAY), office.folder)

    def bring_in(file: Path) -> None:
        try:
            with Session(database) as session, session.begin():
                assert import_customers(session, shift, file) == 200
        except BaseException as wrong:  # whatever it is, the test must see it
            failed.append(wrong)

    jobs = [threading.Thread(target=bring_in, args=(file,)) for file in files]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert failed == []
    found = [each["number"] for each in office.ok("customer", "list")]
    assert found == [f"C{n:08d}" for n in range(1, 401)]
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM address")).scalar_one() == 400


def test_the_same_file_twice_brings_its_numbers_once(office: Office, bring_in: Import) -> None:
    rows = [TARO | {"number": "C00000042"}]
    assert bring_in("customer", rows).json["imported"] == 1
    with desk.untouched(office):
        assert errors(bring_in("customer", rows))[0] == (
            "line 2: number: C00000042 is in use already"
        )
