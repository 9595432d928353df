"""Setup guides as the desk makes them: every program and system, every form, the member's values."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import paper
import pytest
import town
from office import Office

from cli.guide import bare, place
from isp.policy import parse, profile_text
from provisioning import guides
from provisioning.settings import settings_for

BEGUN, ADDRESS = "2026-01-05", "taro@example.jp"
LINES = {"flets-hikari-next": "光ネクスト", "b-flets": "Bフレッツ", "flets-adsl": "ADSL"}

LEGACY_MAIL = (
    *("windows-mail", "windows-live-mail", "outlook-2007", "outlook-2003", "outlook-express-6"),
    "macosx-10-6-mail",
)
MODERN_MAIL = ("outlook", "outlook-new", "thunderbird", "apple-mail", "iphone", "gmail-android")
COMMAND_LINE = ("msmtp", "fetchmail", "mbsync", "neomutt")
LEGACY_SYSTEMS = ("windows-7", "windows-vista", "windows-xp", "macosx-10-1", "macosx-10-6")
MODERN_SYSTEMS = ("windows-11", "macos", "router")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Office:
    """An office with a member who has a mailbox and a connection account on each kind of line."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "isp.db").write_bytes(sqlite_template.read_bytes())
    office = Office(folder, f"sqlite:///{folder / 'isp.db'}")
    office.ok("--today", BEGUN, "domain", "add", "example.jp")
    member = town.member(office, BEGUN, "invoice")
    for line in LINES:
        town.plan(office, BEGUN, line, 1000, 1, "--line", line)
        contract = town.contract(office, BEGUN, member, line, BEGUN)
        office.ok("--today", BEGUN, "access", "open", contract)
    office.ok("--today", BEGUN, "mailbox", "add", ADDRESS, "--contract", "K00000001")
    return office


def shown(office: Office, client: str, of: str = ADDRESS, lang: str = "ja") -> dict[str, Any]:
    found: dict[str, Any] = office.ok("--lang", lang, "guide", "show", of, "--client", client)
    return found


def sending_host(client: str) -> str:
    """Where the policy of the profile lets such a program send."""
    mail = parse(profile_text("consumer-isp")).mail
    return settings_for(ADDRESS, "", mail, legacy=client in LEGACY_MAIL).outgoing.host


@pytest.mark.req("ISP-16", "ISP-17")
def test_isp_17_every_program_and_system_has_a_guide(desk: Office) -> None:
    listed = {each["client"]: (each["kind"], each["legacy"]) for each in desk.ok("guide", "list")}
    wanted = dict.fromkeys(LEGACY_MAIL, ("mail", True))
    wanted |= dict.fromkeys((*MODERN_MAIL, *COMMAND_LINE), ("mail", False))
    wanted |= dict.fromkeys(LEGACY_SYSTEMS, ("connection", True))
    wanted |= dict.fromkeys(MODERN_SYSTEMS, ("connection", False))
    assert {client: listed.get(client) for client in wanted} == wanted


@pytest.mark.req("ISP-17", "ISP-22")
@pytest.mark.parametrize("client", [*LEGACY_MAIL, *MODERN_MAIL, *COMMAND_LINE])
def test_isp_17_a_mail_guide_carries_the_members_own_values_in_every_form(
    desk: Office, client: str
) -> None:
    guide = shown(desk, client)
    legacy = client in LEGACY_MAIL
    incoming = {each["protocol"]: each for each in guide["settings"]["incoming"]}
    assert {name: each["port"] for name, each in incoming.items()} == (
        {"pop3": 110, "imap": 143} if legacy else {"pop3": 995, "imap": 993}
    )
    assert incoming["pop3"]["host"] == "pop.example.jp"
    assert incoming["imap"]["host"] == "imap.example.jp"
    outgoing = guide["settings"]["outgoing"]
    assert (outgoing["host"], outgoing["port"]) == (sending_host(client), 587)
    entered = {field["value"] for step in guide["steps"] for field in step["fields"]}
    entered |= {file["content"] for file in guide["files"]}
    assert any(ADDRESS in str(value) for value in entered)
    for lang in ("ja", "en"):
        for form in ("html", "text", "pdf"):
            file = desk.folder / f"{client}-{lang}.{form}"
            show = ("guide", "show", ADDRESS, "--client", client, "--as", form, "-o", file)
            desk.ok("--lang", lang, *show)
            whole = file.read_bytes()
            page = paper.text(whole) if form == "pdf" else whole.decode("utf-8")
            for fact in (ADDRESS, sending_host(client), "587", "0120-000-000", "10:00", "21:00"):
                assert fact in page, (lang, form, fact)
            assert ("サポート" if lang == "ja" else "upport") in page
    printed = desk("guide", "show", ADDRESS, "--client", client, "--as", "text").stdout
    assert printed.encode() == (desk.folder / f"{client}-ja.text").read_bytes()


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("client", LEGACY_MAIL)
def test_isp_17_a_guide_for_what_is_out_of_support_says_so_at_its_top(
    desk: Office, client: str
) -> None:
    guide = shown(desk, client)
    assert guide["legacy"] is True and guide["warning"]
    assert guide["modern_alternative"]["client"] in MODERN_MAIL
    text = desk("guide", "show", ADDRESS, "--client", client, "--as", "text").stdout
    assert "サポートが終了" in text and text.index("サポートが終了") < text.index(
        sending_host(client)
    )


@pytest.mark.req("ISP-16")
@pytest.mark.parametrize("client", [*LEGACY_SYSTEMS, *MODERN_SYSTEMS])
def test_isp_16_a_connection_guide_knows_line_and_connection_id(desk: Office, client: str) -> None:
    for number, (line, title) in enumerate(LINES.items(), 1):
        contract = f"K{number:08}"
        identity = desk.ok("access", "show", contract)["connection_id"]
        guide = shown(desk, client, contract)
        assert (guide["client"], guide["legacy"]) == (client, client in LEGACY_SYSTEMS)
        assert guide["settings"]["connection_id"] == identity
        assert guide["settings"]["line"] == line
        said = desk("guide", "show", contract, "--client", client, "--as", "text").stdout
        assert identity in said and title in said.replace(" ", "").replace("\u3000", "")
        assert shown(desk, client, identity) == guide


@pytest.mark.req("ISP-01", "ISP-17")
def test_isp_01_no_guide_carries_a_password(desk: Office) -> None:
    password = desk.ok("mailbox", "reissue", ADDRESS)["password"]
    connection = desk.ok("access", "reissue", "K00000001")["password"]
    for each in desk.ok("guide", "list"):
        of = ADDRESS if each["kind"] == "mail" else "K00000001"
        for form in ("html", "text", "json"):
            show = ("guide", "show", of, "--client", each["client"], "--as", form)
            said = desk(*show).stdout
            assert len(said) > 500 and password not in said and connection not in said


def test_a_guide_of_the_other_kind_is_refused(desk: Office) -> None:
    show = ("guide", "show")
    assert desk.refused(*show, ADDRESS, "--client", "router").startswith(("address: ", "client: "))
    refused = desk.refused(*show, "K00000001", "--client", "thunderbird")
    assert refused.startswith(("address: ", "client: "))
    assert desk.refused(*show, "K99999999", "--client", "router")
    assert desk.refused(*show, ADDRESS, "--client", "../thunderbird").startswith("client: ")


def test_a_file_name_decides_the_form(desk: Office) -> None:
    for suffix, begins in ((".pdf", b"%PDF-"), (".html", b"<!"), (".json", b"{")):
        file = desk.folder / f"named{suffix}"
        done = desk(
            *("--format", "table", "guide", "show", ADDRESS, "--client", "iphone", "-o", file)
        )
        assert done.exit_code == 0 and file.read_bytes().startswith(begins)


def test_a_pdf_is_nothing_for_a_terminal(desk: Office) -> None:
    terminal, its_end = os.openpty()
    isp = Path(sys.executable).with_name("isp")
    wanted = ("guide", "show", ADDRESS, "--client", "thunderbird", "--as", "pdf")
    done = subprocess.run(
        [isp, "--config", desk.config, *wanted],
        env={**os.environ, "ISP_DATABASE_URL": desk.database_url},
        stdout=its_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(its_end)
    os.close(terminal)
    assert done.returncode == 2
    assert done.stderr == "Error: o: a PDF is nothing for a terminal: name a file\n"


# Configuration files


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("client", COMMAND_LINE)
def test_isp_17_the_bare_file_is_written_for_its_owner_alone(desk: Office, client: str) -> None:
    (wanted,) = shown(desk, client)["files"]
    show = ("guide", "show", ADDRESS, "--client", client, "--as", "config")
    assert desk(*show).stdout == wanted["content"]
    file = desk.folder / f"{client}rc"
    file.write_text("older and longer\n" * 100)
    file.chmod(0o644)
    assert desk.ok(*show, "-o", file)["file"] == str(file)
    assert file.read_text() == wanted["content"]
    assert file.stat().st_mode & 0o777 == 0o600
    folder = desk.folder / "home"
    folder.mkdir(exist_ok=True)
    desk.ok(*show, "-o", folder)
    assert (folder / Path(wanted["path"]).name).read_text() == wanted["content"]


def test_several_files_go_into_a_folder_or_one_after_the_other(tmp_path: Path) -> None:
    policy = parse(profile_text("consumer-isp"))
    own = settings_for(ADDRESS, "", policy.mail, legacy=False)
    made = guides.guide_for("msmtp", own, "ja", policy.desk, policy.operator)
    two = (
        guides.ConfigurationFile("~/.a", "0600", "a\n"),
        guides.ConfigurationFile("~/.b", "0600", "b\n"),
    )
    several = replace(made, files=two)
    assert place(several, tmp_path / "new") == str(tmp_path / "new")
    assert {file.name: file.read_text() for file in (tmp_path / "new").iterdir()} == {
        ".a": "a\n",
        ".b": "b\n",
    }
    assert bare(several.files) == "# ==== ~/.a ====\na\n\n# ==== ~/.b ====\nb\n"


def test_what_has_no_file_is_refused(desk: Office) -> None:
    show = ("guide", "show", ADDRESS, "--client")
    for rest in ((), ("-o", desk.folder / "no")):
        why = desk.refused(*show, "thunderbird", "--as", "config", *rest)
        assert why.startswith("as: thunderbird has no configuration file; these have: fetchmail, ")
    assert not (desk.folder / "no").exists()
    assert desk.refused(*show, "msmtp", "--as", "pdf", "-o", desk.folder).startswith("o: ")


# Figures


@pytest.mark.req("ISP-16", "ISP-17")
def test_isp_17_the_desk_gets_a_picture_of_one_step(desk: Office) -> None:
    figure = ("guide", "figure", ADDRESS, "--client", "thunderbird", "--step")
    drawn = desk("--format", "table", *figure, "3").stdout
    assert drawn.startswith("<svg ") and "imap.example.jp" in drawn
    file = desk.folder / "step.svg"
    told = desk.ok(*figure, "3", "-o", file)
    assert (told["step"], told["file"]) == (3, str(file))
    assert file.read_text("utf-8") == drawn.rstrip("\n")
    assert desk.ok("--lang", "en", *figure, "3")["path"] == [
        "Edit configuration",
        "Incoming server",
    ]
    assert desk.ok(*figure, "3")["figure"] == drawn.rstrip("\n")
    for wrong in ("0", "6", "-1"):
        assert desk.refused(*figure, wrong).startswith("step: thunderbird has steps 1 to 5, not ")
    nothing = ("guide", "figure", "K00000001", "--client", "macosx-10-6", "--step", "5")
    assert desk.refused(*nothing).startswith("step: step 5 of macosx-10-6 is all in its text")
