"""`isp demo`: the main job end to end on a sample of 200 members, by the commands of an operator."""

from __future__ import annotations

import io
import json
import random
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click

from cli.app import App, note, pass_app
from isp.errors import Fault, Refused

PLANS = (
    ("HIKARI-24", "ひかり24", 5200, 24, ("--early-fee", 5200, "--installation-fee", 22000)),
    ("HIKARI-36", "ひかり36", 4900, 36, ("--early-fee", 4900, "--installation-fee", 22000)),
    ("HIKARI-FREE", "ひかりフリー", 6200, 1, ("--opening-fee", 3000)),
    ("ADSL-12", "ADSL", 3100, 12, ("--early-fee", 3000, "--line", "flets-adsl")),
    ("MAIL", "メールだけ", 300, 1, ("--line", "none", "--free-months", 1)),
)
LATE_PAYER, LEAVES_15TH, LEAVES_16TH, NO_MANDATE = (
    "C00000019",
    "C00000020",
    "C00000021",
    "C00000009",
)
RENEWING, WITHDRAWING = "C00000024", "C00000025"


@dataclass
class Office:
    """An office of its own in `folder`; `isp` runs one of its commands as an operator would."""

    folder: Path
    seed: int
    steps: list[dict[str, Any]] = field(default_factory=list)

    def isp(self, today: str, *words: object) -> Any:
        """The JSON answer of `isp --today TODAY WORDS`; its notes are dropped."""
        from cli.app import main

        options = ["--config", str(self.folder / "isp.toml"), "--format", "json"]
        command = [*options, "--today", today, "--actor", "demo", *map(str, words)]
        answer = io.StringIO()
        with (
            redirect_stdout(answer),
            redirect_stderr(io.StringIO()),
            main.make_context("isp", command) as context,
        ):
            main.invoke(context)
        return json.loads(answer.getvalue())

    def step(self, name: str, act: Callable[[Office], str]) -> None:
        """Run one step, tell it, and keep what came of it; after a failure the others go on."""
        begun = time.monotonic()
        try:
            detail, ok = act(self), True
        except (Refused, Fault, click.ClickException, AssertionError) as why:
            detail, ok = f"{type(why).__name__}: {why}", False
        self.steps.append({"name": name, "ok": ok, "detail": detail})
        mark = "ok  " if ok else "FAIL"
        note(f"{mark} {name:<20} {detail}  ({time.monotonic() - begun:.1f} s)")

    def contract_of(self, customer: str) -> str:
        """The first contract of a member."""
        return str(self.isp("2026-03-01", "contract", "list", "--customer", customer)[0]["number"])


@contextmanager
def sample(name: str) -> Iterator[Path]:
    """A file of the sample that is shipped with the package."""
    with as_file(files("cli").joinpath("sample", name)) as path:
        yield path


def start(office: Office) -> str:
    started = office.isp("2026-02-28", "init")
    for code, name, fee, term, more in PLANS:
        office.isp(
            "2026-02-28",
            *("plan", "add", code, "--name", name, "--monthly-fee", fee, "--term-months", term),
            *more,
        )
    return f"{started['config']}, {len(PLANS)} plans"


def take_on(office: Office) -> str:
    with sample("customers.csv") as file:
        members = office.isp("2026-02-28", "customer", "import", file)["imported"]
    with sample("contracts.csv") as file:
        contracts = office.isp("2026-02-28", "contract", "import", file)["imported"]
    return f"{members} members, {contracts} contracts taken over"


def conclude(office: Office) -> str:
    concluded = office.isp(
        "2026-03-02", "contract", "apply", WITHDRAWING, "HIKARI-24", "--concluded-on", "2026-03-02"
    )
    number = concluded["number"]
    office.isp("2026-03-05", "contract", "open", number, "--on", "2026-03-05")
    left = office.isp("2026-03-09", "contract", "withdraw", number, "--received", "2026-03-09")
    return f"{number} concluded, opened and withdrawn on the 8th day: {left['status']}"


def open_mailboxes(office: Office) -> str:
    contracts = office.isp("2026-02-28", "contract", "list", "--status", "active")
    file = office.folder / "mailboxes.csv"
    rows = [f"member{each['number'][-3:]}@example.jp,{each['number']}" for each in contracts]
    file.write_text("\n".join(["address,contract", *rows, ""]), "utf-8")
    done = office.isp(
        "2026-02-28", "mailbox", "import", file, "-o", office.folder / "passwords.csv"
    )
    return f"{done['imported']} mailboxes, passwords in {done['file']} (0600)"


def give_guides(office: Office) -> str:
    guides = office.folder / "guides"
    guides.mkdir()
    contract = office.contract_of("C00000002")
    letter = office.folder / "welcome.pdf"
    office.isp("2026-02-28", "letter", "welcome", contract, "-o", letter)
    named = {"mail": _address(office), "connection": contract}
    for client in office.isp("2026-02-28", "guide", "list"):
        for form in ("html", "pdf"):
            office.isp(
                "2026-02-28",
                *("guide", "show", named[client["kind"]], "--client", client["client"]),
                *("--as", form, "-o", guides / f"{client['client']}.{form}"),
            )
    made = len(list(guides.iterdir()))
    return f"{made} guides for {' and '.join(named.values())} in {guides}, {letter}"


def _address(office: Office) -> str:
    return f"member{office.contract_of('C00000001')[-3:]}@example.jp"


def bill_first_month(office: Office) -> str:
    steps = _steps(office.isp("2026-03-03", "daily"))
    again = _steps(office.isp("2026-03-03", "daily"))
    assert again["bill"]["done"] == 0, "the second run billed something again"
    return f"February: {steps['bill']['done']} invoices; run again: {again['bill']['done']}"


def _steps(day: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in day["steps"]}


def draw_first_month(office: Office) -> str:
    office.isp("2026-03-09", "daily")
    _answer_cards(office, "2026-03-20", "2026-02")
    file = office.folder / "out" / "transfer-2026-02.txt"
    result = bank_answers(file, office, {LATE_PAYER: "1", NO_MANDATE: "4"})
    done = office.isp("2026-03-24", "debit", "import", result)
    failed = ", ".join(f"{each['customer']} {each['reason']}" for each in done["failed"])
    return f"23 March: {done['paid']} paid, {len(done['failed'])} failed ({failed}); {file}"


def bank_answers(request: Path, office: Office, failing: dict[str, str]) -> Path:
    """The bank's part: the request with a result code for each item, some failing by the seed."""
    from dataclasses import replace

    from billing import zengin

    sent = zengin.parse(request.read_bytes(), expects="request")
    lots = random.Random(office.seed)  # noqa: S311 # whose transfer fails is no secret
    codes = dict(failing)
    if failing:
        others = [item.customer_number.strip() for item in sent.items]
        codes |= dict.fromkeys(lots.sample(others, 3), "1") | failing
    items = [
        replace(item, result_code=codes.get(item.customer_number.strip(), "0"))
        for item in sent.items
    ]
    answered = request.with_name(f"{request.stem}-result.txt")
    answered.write_bytes(b"".join(zengin.result(sent.header, items, line_end="crlf")))
    return answered


def _answer_cards(office: Office, today: str, month: str) -> None:
    sales = office.folder / "out" / f"card-sales-{month}.csv"
    header, *rows = sales.read_text("utf-8").splitlines()
    answered = sales.with_name(f"card-results-{month}.csv")
    lines = [f"{header},result,reason", *(f"{row},ok," for row in rows), ""]
    answered.write_text("\n".join(lines), "utf-8")
    office.isp(today, "card", "import", answered)


def cancel(office: Office) -> str:
    """Leaving on the 15th, on the 16th, and in the renewal month."""
    told = []
    for customer, day in ((LEAVES_15TH, "2026-03-15"), (LEAVES_16TH, "2026-03-16")):
        number = office.contract_of(customer)
        quote = office.isp(day, "contract", "cancel", number, "--received", day, "--dry-run")
        office.isp(day, "contract", "cancel", number, "--received", day)
        told.append(f"{day}: charged to {quote['last_charged_month']}, {quote['total']} yen")
    renewal = office.isp("2026-02-28", "contract", "show", office.contract_of(RENEWING))
    assert renewal["renewal_month"] == "2026-02", renewal
    return "; ".join(told)


def second_month(office: Office) -> str:
    billed = _steps(office.isp("2026-04-03", "daily"))["bill"]["done"]
    office.isp("2026-04-08", "daily")
    _answer_cards(office, "2026-04-20", "2026-03")
    result = bank_answers(office.folder / "out" / "transfer-2026-03.txt", office, {})
    done = office.isp("2026-04-24", "debit", "import", result)
    return f"March: {billed} invoices; 23 April: {done['paid']} paid, the late payer's too"


def receive_payment(office: Office) -> str:
    unpaid = [
        each
        for each in office.isp("2026-05-01", "invoice", "list", "--customer", NO_MANDATE)
        if each["status"] in ("open", "failed")
    ]
    assert unpaid, "the member without mandate owes nothing"
    told = []
    for each in unpaid:
        paid = office.isp(
            "2026-05-01",
            *("payment", "record", each["number"], "--amount", each["gross"]),
            *("--on", "2026-05-01", "--by", "bank"),
        )
        told.append(f"{each['number']} {paid['status']}")
    return f"{NO_MANDATE} pays at the bank: {', '.join(told)}"


def close(office: Office) -> str:
    steps = _steps(office.isp("2026-05-03", "daily"))
    states = [
        office.isp("2026-05-03", "contract", "show", office.contract_of(customer))["status"]
        for customer in (LEAVES_15TH, LEAVES_16TH)
    ]
    return f"April: {steps['bill']['done']} invoices; the two who left are {' and '.join(states)}"


def explain(office: Office) -> str:
    last = office.isp("2026-05-03", "invoice", "list", "--customer", LEAVES_16TH)[-1]
    lines = office.isp("2026-05-03", "explain", last["number"])
    pdf = office.folder / f"{last['number']}.pdf"
    office.isp("2026-05-03", "invoice", "pdf", last["number"], "-o", pdf)
    return f"{last['number']}: {len(lines['lines'])} lines explained; {pdf}"


def send_message(office: Office) -> str:
    """A member's program, set up by nothing but the guide, sends through the embedded server."""
    from cli.app import business_day
    from cli.smtpd import certificate_of, submission_server

    address = _address(office)
    guide = office.isp("2026-05-03", "guide", "show", address, "--client", "thunderbird")
    passwords = dict(
        line.split(",") for line in (office.folder / "passwords.csv").read_text().splitlines()
    )
    other = next(each for each in passwords if each not in (address, "address"))
    app = App(
        config=office.folder / "isp.toml",
        day=business_day("2026-05-03", None),
        format="json",
        language=None,
        database_url=None,
        actor="demo",
    )
    with submission_server(app, host="127.0.0.1", port=0) as server:
        place = ("127.0.0.1", server.port, str(certificate_of(app)[0]))
        sent = _submit(guide["settings"], passwords[address], other, place)
    [kept] = (office.folder / "mail").rglob("new/*")
    assert sent in kept.read_bytes(), "the message did not arrive whole"
    return f"{address} to {other} on port {server.port} (guide: 587): {kept}"


def _submit(settings: dict[str, Any], password: str, to: str, place: tuple[str, int, str]) -> bytes:
    """Send as the guide says, but for the host and port of the try-out; a line of the body."""
    import smtplib
    import ssl
    from email.message import EmailMessage

    host, port, certificate = place
    message = EmailMessage()
    message["From"], message["To"] = settings["address"], to
    message["Subject"] = "はじめまして"
    line = f"sent as the guide for {settings['address']} says"
    message.set_content(f"{line}\n")
    assert settings["outgoing"]["security"] == "starttls", settings["outgoing"]
    tls = ssl.create_default_context(cafile=certificate)
    tls.check_hostname = False  # the certificate is for the name in the guide, the server is here
    with smtplib.SMTP(host, port, timeout=30) as smtp:
        smtp.starttls(context=tls)
        smtp.login(settings["username"], password)
        smtp.send_message(message)
    return line.encode()


def prove(office: Office) -> str:
    proof = office.isp("2026-05-03", "check")
    assert proof["ok"], proof["problems"]
    return f"{proof['checked']} rows checked, every yen adds up"


STEPS = (
    ("init", start),
    ("take-on", take_on),
    ("mailboxes", open_mailboxes),
    ("guides", give_guides),
    ("bill-february", bill_first_month),
    ("conclude-withdraw", conclude),
    ("transfer-march", draw_first_month),
    ("cancel", cancel),
    ("bill-march", second_month),
    ("payment", receive_payment),
    ("bill-april", close),
    ("explain", explain),
    ("message", send_message),
    ("check", prove),
)


def platform_commands(office: Office) -> list[str]:
    """How the office of the demo goes on: real mail servers, pages for mail programs, RADIUS."""
    program = "isp" if shutil.which("isp") else str(Path(sys.executable).with_name("isp"))
    isp = shlex.join([program, "--config", str(office.folder / "isp.toml")])
    return [
        f"{isp} mail-platform render -o platform   # Postfix and Dovecot: see platform/README.md",
        f"{isp} access render -o radius            # FreeRADIUS: see radius/README.txt",
        f"{isp} serve --port 8080                  # mail programs find their settings here",
        f"{isp} mailbox verify member001@example.jp  # the proof, once the servers run",
    ]


@click.command()
@click.option("--seed", type=int, default=23, show_default=True, help="Whose transfers fail.")
@click.option("--folder", type=click.Path(path_type=Path), help="Empty folder [here, else new].")
@pass_app
def demo(app: App, seed: int, folder: Path | None) -> None:
    """Run the main job end to end on a sample of 200 members, on SQLite.

    Takes members on, concludes, opens and cancels contracts, makes mailboxes and guides, bills
    three months, writes the bank's files for the 23rd and reads its results, sends a message as a
    guide says, and proves that every yen adds up. It works in an empty folder: the one named, the
    one you are in, or a new temporary one; all files stay there to be looked at.

    \b
    Example:
      isp demo --folder /tmp/try
    """
    place = folder or (
        Path.cwd() if not any(Path.cwd().iterdir()) else Path(mkdtemp(prefix="isp-"))
    )
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise Refused("folder", f"{place} is not empty; name a new one")
    office = Office(place.resolve(), seed)
    for name, act in STEPS:
        office.step(name, act)
    ok = all(step["ok"] for step in office.steps)
    commands = platform_commands(office)
    answer = {"steps": office.steps, "ok": ok, "folder": str(office.folder), "next": commands}
    if app.format == "table":
        del answer["steps"], answer["next"]  # told one by one already, and below
    app.show(answer)
    if app.format == "table" and ok:
        note("\nTo start the mail platform from this office:\n  " + "\n  ".join(commands))
    if not ok:
        raise Fault("demo: a step failed, see above")
