"""`isp daily`: every day, on some days, killed, twice at once; always the same books (ALL-02)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import outside
import postgresql
import pytest
import town
from office import Office
from submission import Smarthost

import isp.database

# A street of members, and what they and the bank do in four months ----------------------------------

BEGUN, END = date(2026, 1, 5), date(2026, 5, 4)
ACCOUNT, CARD, BILL = "account-transfer", "card", "invoice"


class Street:
    """Members of every kind; `on(day)` does what the desk, the bank and the card company do."""

    def __init__(self, office: Office) -> None:
        self.office, self.purse = office, outside.Purse()
        begun = BEGUN.isoformat()
        office.ok("--today", begun, "domain", "add", "example.jp")
        leaving = ("--early-fee", 3000, "--installation-fee", 12000)
        town.plan(office, begun, "YEAR", 3000, 12, *leaving, "--opening-fee", 1000)
        town.plan(office, begun, "MONTH", 1000, 1, "--free-months", 1)
        town.plan(office, begun, "SHORT", 2000, 3)
        self.members = [
            town.member(office, begun, method)
            for method in (ACCOUNT, ACCOUNT, ACCOUNT, CARD, CARD, BILL)
        ]
        plans = ("YEAR", "MONTH", "SHORT", "YEAR", "SHORT", "MONTH")
        self.contracts = [
            town.contract(office, begun, member, plan, begun)
            for member, plan in zip(self.members, plans, strict=True)
        ]
        self.second = town.contract(office, begun, self.members[0], "SHORT", begun)
        for number, contract in enumerate(self.contracts, 1):
            self.isp(BEGUN, "mailbox", "add", f"m{number}@example.jp", "--contract", contract)

    def isp(self, day: date, *words: object) -> Any:
        return self.office.ok("--today", day.isoformat(), *words)

    def on(self, day: date) -> None:
        first = self.contracts
        at_the_desk = {
            date(2026, 2, 9): ("contract", "suspend", first[5]),
            date(2026, 3, 12): ("contract", "resume", first[5]),
            date(2026, 3, 14): ("contract", "cancel", first[0], "--received", "2026-03-14"),
            date(2026, 4, 16): ("contract", "cancel", first[4], "--received", "2026-04-16"),
            date(2026, 3, 2): (
                *("plan", "price", "MONTH", "--monthly-fee", 1100, "--from", "2026-04"),
            ),
        }
        if day in at_the_desk:
            self.isp(day, *at_the_desk[day])
        if day.day == 25:
            self.results(day)

    def results(self, day: date) -> None:
        """On the 25th bank and card company answer; one account lacks funds in February."""
        month = (day.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
        out = self.office.folder / "out"
        codes = {self.members[1]: "1"} if month == "2026-02" else {}
        if (request := out / f"transfer-{month}.txt").exists():
            answer = outside.bank_answers(request, self.purse, codes)
            self.isp(day, "debit", "import", answer)
        if (sold := out / f"card-sales-{month}.csv").exists():
            answer = outside.card_company_answers(sold, self.purse)
            self.isp(day, "card", "import", answer)

    def books(self) -> dict[str, Any]:
        """What must be the same on whatever days the work was done."""
        end = END.isoformat()
        return {
            "invoices": [
                {key: value for key, value in each.items() if key != "issued_on"}
                for each in town.invoices(self.office, end)
            ],
            "contracts": self.isp(END, "contract", "list"),
            "mailboxes": self.isp(END, "mailbox", "list"),
            "notices": Counter(
                (each["kind"], each["customer"]) for each in self.isp(END, "outbox", "list")
            ),
            "acts": Counter(
                (each["act"], each["subject"]) for each in self.isp(END, "journal", "--last", 10000)
            ),
            "files": {
                file.name: file.read_bytes()
                for file in sorted((self.office.folder / "out").iterdir())
            },
        }


def days() -> Iterator[date]:
    return (BEGUN + timedelta(days=n) for n in range((END - BEGUN).days + 1))


def every_day(street: Street) -> None:
    for day in days():
        street.on(day)
        town.daily(street.office, day.isoformat())


def now_and_then(street: Street) -> None:
    """On the 6th, the 20th and the last day, whatever was missed between."""
    for day in days():
        street.on(day)
        if day.day in (6, 20) or day == END:
            town.daily(street.office, day.isoformat())


def several_times_a_day(street: Street) -> None:
    for day in days():
        street.on(day)
        if day.day in (4, 9, 17, 28) or day == END:
            for _ in range(3):
                town.daily(street.office, day.isoformat())


def by_single_commands(street: Street) -> None:
    """Bills and files by hand, the rest by the daily run."""
    for day in days():
        street.on(day)
        month = (day.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
        if month < "2026-01":
            continue
        out = street.office.folder / "out"
        if day.day == 3:
            street.isp(day, "bill", "run", "--month", month)
            out.mkdir(exist_ok=True)
            street.isp(
                day, "card", "export", "--month", month, "-o", out / f"card-sales-{month}.csv"
            )
        if day.day == 10 and month < "2026-04":
            street.isp(
                day, "debit", "export", "--month", month, "-o", out / f"transfer-{month}.txt"
            )
        if day.day in (6, 20) or day == END:
            town.daily(street.office, day.isoformat())


@pytest.mark.req("ALL-02", "ISP-10")
def test_all_02_the_books_are_the_same_on_whatever_days_the_work_is_done(
    tmp_path: Path,
    sqlite_template: Path,
    new_postgresql: Callable[[str], str],
    postgresql_template: str,
) -> None:
    done: dict[str, dict[str, Any]] = {}
    ways = (every_day, now_and_then, several_times_a_day, by_single_commands)
    for number, way in enumerate(ways):
        folder = tmp_path / way.__name__
        folder.mkdir()
        shutil.copy(sqlite_template, folder / "isp.db")
        url = f"sqlite:///{folder / 'isp.db'}" if number else new_postgresql(postgresql_template)
        street = Street(Office(folder, url))
        way(street)
        town.prove(street.office, END.isoformat(), street.purse)
        done[way.__name__] = street.books()
    usual = done.pop("every_day")
    assert len(usual["invoices"]) > 20 and len(usual["files"]) > 7
    assert usual["acts"]["contract.renewed", "K00000003"] == 1
    assert usual["acts"]["contract.ended", "K00000001"] == 1
    for way_name, books in done.items():
        for what, found in books.items():
            assert found == usual[what], (way_name, what)


def test_isp_07_a_transfer_day_that_was_missed_is_made_good_by_the_next(office: Office) -> None:
    """The office was closed from the 9th to the 24th: both months are drawn together."""
    purse = outside.Purse()
    town.plan(office, "2026-01-05", "P", 1000, 1)
    member = town.member(office, "2026-01-05", ACCOUNT)
    town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    for day in ("2026-02-03", "2026-02-25", "2026-03-10"):
        town.daily(office, day)
    file = office.folder / "out" / "transfer-2026-02.txt"
    assert [item.amount for item in outside.drawn(file)] == [1320, 1320]
    assert outside.transfer_day(file) == "03-23"
    office.ok("--today", "2026-03-24", "debit", "import", outside.bank_answers(file, purse))
    assert {each["status"] for each in town.invoices(office, "2026-03-24")} == {"paid"}
    town.prove(office, "2026-03-24", purse)


def test_all_02_a_contract_opened_long_ago_and_told_late_is_billed_for_every_month(
    office: Office,
) -> None:
    """The opening in February reaches the desk in May: nothing of it is lost."""
    town.plan(office, "2026-01-05", "P", 1000, 1)
    early, late = (town.member(office, "2026-01-05", BILL) for _ in range(2))
    town.contract(office, "2026-01-05", early, "P", "2026-01-05")
    told_late = town.contract(office, "2026-01-05", late, "P")
    for day in ("2026-02-03", "2026-03-03", "2026-04-03", "2026-05-03"):
        town.daily(office, day)
    office.ok("--today", "2026-05-10", "contract", "open", told_late, "--on", "2026-02-10")
    town.daily(office, "2026-05-11")
    billed = town.invoices(office, "2026-05-11", "--customer", late)
    assert [each["month"] for each in billed] == ["2026-02", "2026-03", "2026-04"]
    assert len(town.invoices(office, "2026-05-11", "--customer", early)) == 4
    town.prove(office, "2026-05-11")


def test_all_02_a_void_invoice_of_an_old_month_is_replaced_by_the_next_daily_run(
    office: Office,
) -> None:
    town.plan(office, "2026-01-05", "P", 1000, 1)
    member = town.member(office, "2026-01-05", BILL)
    town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    for day in ("2026-02-03", "2026-03-03", "2026-04-03"):
        town.daily(office, day)
    first = town.invoices(office, "2026-04-03")[0]["number"]
    office.ok("--today", "2026-04-10", "invoice", "void", first, "--reason", "宛名")
    assert town.daily(office, "2026-04-11")["bill"]["done"] == 1
    assert town.daily(office, "2026-04-12")["bill"]["done"] == 0
    replaced = town.invoices(office, "2026-04-12")[-1]
    assert (replaced["month"], replaced["issued_on"], replaced["gross"]) == (
        *("2026-01", "2026-04-11", 1100),
    )
    town.prove(office, "2026-04-12")


def test_contracts_taken_over_are_not_billed_for_the_months_before(office: Office) -> None:
    """Another provider's members come in April: their months up to March are not ours."""
    town.plan(office, "2026-01-05", "P", 1000, 1)
    member = town.member(office, "2026-01-05", BILL)
    town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    for day in ("2026-02-03", "2026-03-03", "2026-04-03"):
        town.daily(office, day)
    file = office.folder / "contracts.csv"
    file.write_text(
        f"customer,plan,concluded_on,opened_on\n{member},P,2020-01-05,2020-01-05\n", "utf-8"
    )
    office.ok("--today", "2026-04-10", "contract", "import", file)
    taken_over = office.ok("contract", "list")[-1]["number"]
    for day in ("2026-04-11", "2026-05-03"):
        town.daily(office, day)
    months = {
        each["month"]
        for each in town.invoices(office, "2026-05-03")
        for line in each["lines"]
        if line["contract"] == taken_over
    }
    assert months == {"2026-04"}
    town.prove(office, "2026-05-03")
    told_to = office.ok("--today", "2026-05-04", "bill", "run", "--month", "2026-03")
    assert told_to["contracts"] == 1, "the command bills what it is told to"


# A crowd, billed by processes that are killed, or run at once ---------------------------------------

CROWD = 400
ISP = Path(sys.executable).with_name("isp")


def gather(office: Office) -> None:
    """Members from a file, ready for the bills of January."""
    office.ok("--today", "2026-01-05", "domain", "add", "example.jp")
    town.plan(office, "2026-01-05", "P", 1000, 24)
    kinds = (
        "account-transfer,0001,001,ordinary,{:07},ヤマダ,,,,",
        "card,,,,,TARO YAMADA,tok_{},visa,4242,2039-12",
        "invoice,,,,,,,,,",
    )
    header = "number,name,kana,kind,email,phone,postal_code,address,payment,bank,branch,"
    header += "account_type,account_number,holder,card_token,card_brand,card_last4,card_expires"
    members = [
        f"C{n:08},会員{n},カイイン,individual,m{n}@example.com,03-1234-5678,100-0001,"
        f"東京都千代田区千代田1-1,{kinds[n % 3].format(n)}"
        for n in range(1, CROWD + 1)
    ]
    contracts = [f"K{n:08},C{n:08},P,2026-01-05,2026-01-05" for n in range(1, CROWD + 1)]
    leavers = [f"K{n:08}" for n in range(1, CROWD + 1, 8)]
    file = office.folder / "in.csv"
    file.write_text("\n".join([header, *members, ""]), "utf-8")
    office.ok("--today", "2026-01-05", "customer", "import", file)
    file.write_text("\n".join(["number,customer,plan,concluded_on,opened_on", *contracts, ""]))
    office.ok("--today", "2026-01-05", "contract", "import", file)
    for number in leavers:
        command = ("contract", "cancel", number, "--received", "2026-01-10")
        office.ok("--today", "2026-01-10", *command)
    scheme = "{SHA512-CRYPT}" + "$6$saltsaltsalt$" + "a" * 86
    boxes = [f"m{n}@example.jp,K{n:08},{scheme}" for n in range(1, CROWD + 1)]
    file.write_text("\n".join(["address,contract,password_hash", *boxes, ""]))
    office.ok("--today", "2026-01-05", "mailbox", "import", file)


class Crowd:
    """Copies of an office with a crowd in it, on one kind of database."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, worker: str) -> None:
        self.request, self.folder, self.name = request, folder, f"isp_crowd_{worker}"
        self.on_sqlite = request.param == "sqlite"
        if self.on_sqlite:
            shutil.copy(request.getfixturevalue("sqlite_template"), folder / "isp.db")
            url = f"sqlite:///{folder / 'isp.db'}"
        else:
            self.cluster: postgresql.Cluster = request.getfixturevalue("cluster")
            self.cluster.create(self.name, request.getfixturevalue("postgresql_template"))
            url = self.cluster.url(self.name)
        gather(Office(folder, url))

    def copy(self, folder: Path, make: Callable[[str], str]) -> Office:
        folder.mkdir()
        if self.on_sqlite:
            shutil.copy(self.folder / "isp.db", folder / "isp.db")
        office = Office(
            folder, f"sqlite:///{folder / 'isp.db'}" if self.on_sqlite else make(self.name)
        )
        shutil.copy(self.folder / "isp.key", folder / "isp.key")
        return office


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker: str
) -> Iterator[Crowd]:
    made = Crowd(request, tmp_path_factory.mktemp("crowd"), worker)
    yield made
    if not made.on_sqlite:
        made.cluster.drop(made.name)


def begin(office: Office, *words: str) -> subprocess.Popen[str]:
    """The command as a process of its own, as cron starts it."""
    return subprocess.Popen(
        [str(ISP), "--format", "json", "--now", "2026-02-09T04:15:00", *words],
        env={
            **os.environ,
            "ISP_CONFIG": str(office.config),
            "ISP_DATABASE_URL": office.database_url,
            "ISP_ACTOR": "tester",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(office: Office) -> dict[str, Any]:
    """Invoices and notices to the letter, acts counted, every file byte for byte."""
    rows = town.everything(office.database_url)
    return {
        "invoices": town.invoices(office, "2026-02-09"),
        "mailboxes": rows["mailbox"],
        # Without their ids: what a killed transaction had taken PostgreSQL does not give again.
        "notices": sorted(row.partition(", ")[2] for row in rows["outbox"]),
        "collections": Counter(
            (each["month"], each["records"], each["amount"], each["state"])
            for each in batches(office)
        ),
        # So too the numbers of batches.
        "acts": Counter(
            (each["act"], re.sub(r"^batch \d+$", "batch", each["subject"]))
            for each in office.ok("--today", "2026-02-09", "journal", "--last", 10000)
        ),
        "files": {file.name: file.read_bytes() for file in (office.folder / "out").iterdir()},
    }


def batches(office: Office) -> list[dict[str, Any]]:
    """What was given out, by the journal."""
    acts = office.ok("--today", "2026-02-09", "journal", "--last", 10000)
    return [each["after"] for each in acts if each["act"] == "batch.exported"]


@pytest.fixture
def undisturbed(
    crowd: Crowd, tmp_path: Path, new_postgresql: Callable[[str], str]
) -> dict[str, Any]:
    """What one daily run makes that nobody disturbs."""
    office = crowd.copy(tmp_path / "undisturbed", new_postgresql)
    process = begin(office, "daily")
    _, notes = process.communicate()
    assert process.returncode == 0, notes
    town.prove(office, "2026-02-09")
    return result(office)


def same(found: dict[str, Any], usual: dict[str, Any]) -> None:
    assert len(usual["invoices"]) == CROWD and len(usual["files"]) == 2
    for what in usual:
        assert found[what] == usual[what], what


def killed_when(office: Office, done: Callable[[], bool]) -> None:
    """A daily run that is killed as soon as it has `done` something."""
    process = begin(office, "daily")
    try:
        while not done():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.req("ALL-02", "ISP-07")
def test_all_02_a_daily_run_killed_again_and_again_goes_on_where_it_stopped(
    crowd: Crowd,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    new_postgresql: Callable[[str], str],
) -> None:
    """Killed at odd moments, then between bills and the bank's file, then before the card file.

    Where a file is to be written stands a pipe that nobody reads: the run waits there.
    """
    office = crowd.copy(tmp_path / "killed", new_postgresql)
    out = office.folder / "out"
    out.mkdir(0o700)
    to_bank, to_cards = out / "transfer-2026-01.txt.part", out / "card-sales-2026-01.csv.part"
    os.mkfifo(to_bank)
    for patience in (0.5, 0.8, 1.1):
        process = begin(office, "daily")
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def members_are_told() -> bool:
        """By the last notice, who does not pay by card has heard of the invoice."""
        rows = town.everything(office.database_url)["outbox"]
        return len(rows) == len(undisturbed["notices"])

    killed_when(office, members_are_told)
    assert len(town.invoices(office, "2026-02-09")) == CROWD and batches(office) == []
    to_bank.unlink()
    os.mkfifo(to_cards)
    killed_when(office, (out / "transfer-2026-01.txt").exists)
    assert [each["channel"] for each in batches(office)] == [ACCOUNT]
    to_cards.unlink()
    for _ in range(2):
        process = begin(office, "daily")
        _, notes = process.communicate()
        assert process.returncode == 0, notes
    town.prove(office, "2026-02-09")
    same(result(office), undisturbed)


@pytest.mark.req("ALL-02")
def test_all_02_two_daily_runs_and_a_bill_run_at_once_do_everything_once(
    crowd: Crowd,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    new_postgresql: Callable[[str], str],
) -> None:
    office = crowd.copy(tmp_path / "at_once", new_postgresql)
    commands = (["daily"], ["daily"], ["bill", "run", "--month", "2026-01"], ["daily"])
    processes = [begin(office, *words) for words in commands]
    told = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, 1, 2} and 0 in codes
    for code, notes in zip(codes, told, strict=True):
        assert code == 0 or "is running on this database" in notes
    last = begin(office, "daily")
    last.communicate()
    assert last.returncode == 0
    town.prove(office, "2026-02-09")
    same(result(office), undisturbed)


@pytest.mark.req("ALL-02")
def test_all_02_one_run_after_the_other_never_meets_the_one_before(
    new_postgresql: Callable[[str], str], postgresql_template: str
) -> None:
    """A busy PostgreSQL notices late that a connection was closed; the next run need not wait."""
    database = isp.database.engine(new_postgresql(postgresql_template))
    holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with isp.database.job_lock(database, "daily"):
        with isp.database.reading(database).connect() as connection:
            held_by = connection.exec_driver_sql(
                f"{holder} AND database = (SELECT oid FROM pg_database"
                " WHERE datname = current_database())"
            ).scalar_one()
        os.kill(held_by, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (held_by, signal.SIGCONT)).start()
    with isp.database.job_lock(database, "daily"):
        pass
    database.dispose()


# What fails stops nobody -----------------------------------------------------------------------------


def test_a_recipient_who_is_refused_is_parked_and_tried_again(office: Office) -> None:
    town.plan(office, "2026-01-05", "P", 1000, 1)
    good, bad = (town.member(office, "2026-01-05", BILL) for _ in range(2))
    office.ok("--today", "2026-01-05", "customer", "set", bad, "--email", "full@example.com")
    for member in (good, bad):
        town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    with Smarthost() as server:
        text = office.config.read_text("utf-8")
        begins = text.index("[outbox]")
        settings = text[begins:].replace('host = ""', 'host = "127.0.0.1"', 1)
        settings = settings.replace("port = 25", f"port = {server.port}", 1)
        office.config.write_text(text[:begins] + settings, "utf-8")
        server.answers["full@example.com"] = "552 5.2.2 mailbox full"
        answer = office("--today", "2026-02-03", "daily")
        assert answer.exit_code == 1 and "full@example.com" in answer.stderr
        sent = len(server.taken)
        assert sent > 0 and {each.recipients[0] for each in server.taken} == {"taro@example.com"}
        steps = {step["name"]: step for step in answer.json["steps"]}
        assert steps["bill"]["done"] == 2 and steps["outbox"]["failed"] > 0
        proof = office("--today", "2026-02-03", "check")
        assert proof.exit_code == 1 and proof.json["ok"] is False
        assert all("mailbox full" in each["problem"] for each in proof.json["problems"])
        server.answers.clear()
        assert town.daily(office, "2026-02-04")["outbox"]["failed"] == 0
        assert {each.recipients[0] for each in server.taken[sent:]} == {"full@example.com"}
        told = len(server.taken)
        town.daily(office, "2026-02-05")
        assert len(server.taken) == told
    town.prove(office, "2026-02-05")


def test_a_step_that_cannot_run_keeps_no_other_from_running(office: Office) -> None:
    town.plan(office, "2026-01-05", "P", 1000, 1)
    for method in (ACCOUNT, CARD):
        member = town.member(office, "2026-01-05", method)
        town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    in_the_way = office.folder / "out"
    in_the_way.write_text("a file where the folder should be")
    answer = office("--today", "2026-02-09", "daily")
    assert answer.exit_code == 1
    steps = {step["name"]: step for step in answer.json["steps"]}
    assert steps["bill"]["done"] == 2
    assert steps["transfer-file"]["failed"] == steps["card-file"]["failed"] == 1
    assert "Traceback" not in answer.stderr
    in_the_way.unlink()
    steps = town.daily(office, "2026-02-10")
    assert steps["transfer-file"]["done"] == steps["card-file"]["done"] == 1
    town.prove(office, "2026-02-10")


def test_isp_07_a_transfer_day_moved_into_the_next_month_still_gets_its_file(
    office: Office,
) -> None:
    """28 February 2026 is a Saturday: an office that draws on the 28th draws on 2 March."""
    text = office.config.read_text("utf-8")
    assert "\nday = 23\n" in text
    office.config.write_text(text.replace("\nday = 23\n", "\nday = 28\n"), "utf-8")
    town.plan(office, "2026-01-05", "P", 1000, 1)
    member = town.member(office, "2026-01-05", ACCOUNT)
    town.contract(office, "2026-01-05", member, "P", "2026-01-05")
    town.daily(office, "2026-02-03")
    assert town.daily(office, "2026-02-20")["transfer-file"]["done"] == 1
    assert outside.transfer_day(office.folder / "out" / "transfer-2026-01.txt") == "03-02"
