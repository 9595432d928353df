"""Guides for the connection by PPPoE: each system on each line, by contract number or connection ID."""

from __future__ import annotations

import io
import json
import re

import pytest
from members import CONTRACT, MakeDay, becomes, conclude, shift_of
from office import Office
from pypdf import PdfReader
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from town import contract, member, plan

from isp import policy
from isp.documents import Language, printable
from isp.errors import Refused
from isp.runs.plans import LINES
from provisioning import guides
from provisioning.client_files import OPERATOR_WORDS, client_of, clients, placeholders
from provisioning.guides import Guide
from provisioning.queries import access_named, guide_settings
from provisioning.runs.access import open_access
from provisioning.runs.mailboxes import add_mailbox
from provisioning.runs.nightly import reconcile
from provisioning.settings import ConnectionSettings, connection_settings, settings_for

POLICY = policy.parse(policy.profile_text("consumer-isp"))
ID = "k00000001@ppp.example.jp"
LANGUAGES: tuple[Language, ...] = ("ja", "en")
KEYS = [client.key for client in clients() if client.kind == "connection"]
TERMINALS = {
    "flets-hikari-next": ("フレッツ 光ネクスト", "FLET'S Hikari Next", "ONU"),
    "b-flets": ("Bフレッツ", "B FLET'S", "ONU"),
    "flets-adsl": ("フレッツ・ADSL", "FLET'S ADSL", "ADSL"),
}


def made(
    key: str, language: Language = "ja", line: str = "flets-hikari-next", name: str = ID
) -> Guide[ConnectionSettings]:
    own = connection_settings(name, line, language)
    return guides.guide_for(key, own, language, POLICY.desk, POLICY.operator)


def paper(guide: Guide[ConnectionSettings], language: Language) -> list[str]:
    """The words of each sheet, all on one line, since the layout may break them anywhere."""
    document = PdfReader(io.BytesIO(guides.guide_pdf(guide, language)))
    return ["".join(page.extract_text().split()) for page in document.pages]


def undrawn(page: str) -> str:
    """The page without its figures, in which a long name takes several lines."""
    return re.sub("<svg.*?</svg>", "", page)


# Systems and lines


@pytest.mark.parametrize(
    ("key", "title", "legacy"),
    [
        ("windows-xp", "Windows XP", True),
        ("windows-vista", "Windows Vista", True),
        ("windows-7", "Windows 7", True),
        ("windows-10", "Windows 10", False),
        ("windows-11", "Windows 11", False),
        ("macosx-10-1", "Mac OS X 10.1", True),
        ("macosx-10-6", "Mac OS X 10.6", True),
        ("macos", "macOS", False),
        ("router", "Home router", False),
    ],
)
def test_isp_16_every_named_system_is_found(key: str, title: str, legacy: bool) -> None:
    client = client_of(key)
    assert title in client.title.en
    assert (client.kind, client.legacy) == ("connection", legacy)


@pytest.mark.req("ISP-16", "ISP-22", "ALL-05")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("line", TERMINALS)
@pytest.mark.parametrize("key", KEYS)
def test_isp_16_every_form_carries_the_connection_id_and_the_members_own_line(
    key: str, line: str, language: Language
) -> None:
    guide = made(key, language, line)
    japanese, english, terminal = TERMINALS[line]
    title = japanese if language == "ja" else english
    assert guide.settings == ConnectionSettings(ID, line, title)
    for form in (guides.guide_html(guide, language), guides.guide_text(guide, language)):
        shown = form.replace("&#39;", "'")
        wanted = (ID, title, terminal, "PPPoE", "0120-000-000", "10:00-21:00")
        assert [value for value in wanted if value not in shown] == []
        settings, wiring = shown.split(guide.steps[0].path[0], 1)
        other = {"ONU": "ADSL モデム" if language == "ja" else "ADSL modem", "ADSL": "ONU"}[
            terminal
        ]
        assert other not in settings.split(guides.words(language, "connection").settings)[1]
        assert other not in wiring
    entered = [field for step in guide.steps for field in step.fields]
    assert ID in [field.value for field in entered]
    assert {field.value for field in entered if field.typed} == {ID}
    assert title in [field.value for field in guide.steps[0].fields]
    assert "{" not in guides.guide_text(guide, language)


@pytest.mark.req("ISP-16", "ISP-22")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", KEYS)
def test_isp_16_the_paper_says_it_too_with_the_desk_on_every_sheet(
    key: str, language: Language
) -> None:
    sheets = paper(made(key, language, "flets-adsl"), language)
    title = "フレッツ・ADSL" if language == "ja" else "FLET'SADSL"
    assert all(value in "".join(sheets) for value in (ID, title, "PPPoE"))
    assert all("0120-000-000" in sheet and "10:00-21:00" in sheet for sheet in sheets)


def test_isp_16_there_is_a_guide_for_every_line_that_is_sold() -> None:
    assert {*LINES} - {"none"} == {*TERMINALS}
    for line in ("none", "fax"):
        with pytest.raises(Refused, match="has no access line") as refused:
            connection_settings(ID, line, "ja")
        assert refused.value.field == "line"


@pytest.mark.parametrize("key", KEYS)
def test_isp_16_json_is_what_the_command_line_promises(key: str) -> None:
    guide = made(key, "en", "b-flets")
    told = guides.guide_json(guide)
    read = json.loads(json.dumps(told))
    assert read == told
    assert {name: told[name] for name in ("client", "legacy", "kind", "address", "settings")} == {
        "client": key,
        "legacy": client_of(key).legacy,
        "kind": "connection",
        "address": ID,
        "settings": {"connection_id": ID, "line": "b-flets", "line_title": "B FLET'S"},
    }
    assert len(read["steps"]) == len(guide.steps)
    assert all(set(step) == {"path", "fields", "text", "commands"} for step in read["steps"])


def test_settings_of_the_other_kind_of_client_are_a_mistake_of_the_caller() -> None:
    connection = connection_settings(ID, "b-flets", "ja")
    mail = settings_for("taro@example.jp", "", POLICY.mail, legacy=False)
    for key, own in (("thunderbird", connection), ("router", mail), ("outlook-2003", connection)):
        with pytest.raises(ValueError, match=key):
            guides.guide_for(key, own, "ja", POLICY.desk, POLICY.operator)


def test_a_connection_has_no_mail_placeholders_and_mail_none_of_the_line() -> None:
    connection = placeholders("connection", legacy=False)
    mail = placeholders("mail", legacy=False)
    assert connection & mail == OPERATOR_WORDS
    assert "connection_id" in connection and "address" in mail


# IDs that mean harm


@pytest.mark.parametrize("key", ["windows-xp", "router"])
@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>@x",
        '"><img src=x onerror=alert(1)>@x',
        "{{ 7 * 7 }}{password}{line}@x",
        '#read("/etc/passwd")@x',
        "]) #set text(red@x",
        "k1@ppp.example.jp\nパスワード: secret",
        "\u202ek1@x\u202c",
    ],
)
def test_isp_16_a_hostile_connection_id_is_printed_as_it_is_and_does_nothing(
    key: str, name: str
) -> None:
    inert = printable(name).strip()
    hostile, harmless = made(key, name=name), made(key)
    assert hostile.address == hostile.settings.connection_id == inert
    assert guides.guide_text(hostile, "ja") == guides.guide_text(harmless, "ja").replace(ID, inert)
    page, plain = (undrawn(guides.guide_html(guide, "ja")) for guide in (hostile, harmless))
    assert page.count("<") == plain.count("<")
    printed = "".join(paper(hostile, "ja"))
    assert "root:" not in printed
    assert "".join(inert.split()) in printed


# By contract number or connection ID


@pytest.mark.parametrize("name", [CONTRACT, ID, ID.upper(), f" {CONTRACT} "])
def test_isp_16_settings_are_found_by_contract_number_or_connection_id(
    database: Engine, day: MakeDay, name: str
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        conclude(session).plan.line = "flets-adsl"
        open_access(session, shift, CONTRACT)
        settings = guide_settings(session, shift, name, "router")
        assert settings == ConnectionSettings(ID, "flets-adsl", "フレッツ・ADSL")
        assert access_named(session, name).connection_id == ID


def test_isp_16_without_account_line_or_service_there_is_nothing_to_set_up(
    database: Engine, day: MakeDay
) -> None:
    shift = shift_of(day("2026-04-10"))
    with Session(database) as session:
        held = conclude(session)
        add_mailbox(session, shift, "taro@example.jp", CONTRACT)
        for name in (CONTRACT, ID, "taro@example.jp", "K00000009", "%", ""):
            with pytest.raises(Refused, match="there is no connection account") as refused:
                guide_settings(session, shift, name, "router")
            assert refused.value.field == "address"
        open_access(session, shift, CONTRACT)
        held.plan.line = "none"
        with pytest.raises(Refused, match="has no access line"):
            guide_settings(session, shift, CONTRACT, "router")
        with pytest.raises(Refused, match="address: "):
            guide_settings(session, shift, CONTRACT, "thunderbird")
        held.plan.line = "b-flets"
        becomes(session, "ended", shift.day.today)
        reconcile(session, shift_of(day("2026-04-11")))
        session.expire_all()
        with pytest.raises(Refused, match="has been removed"):
            guide_settings(session, shift, CONTRACT, "router")


# The command


def test_isp_16_the_desk_prints_a_connection_guide(office: Office) -> None:
    begun = "2026-04-01"
    plan(office, begun, "ADSL", 3100, 12, "--line", "flets-adsl")
    held = contract(office, begun, member(office, begun, "invoice"), "ADSL", begun)
    opened = office.ok("--today", begun, "access", "open", held)
    listed = {each["client"]: each for each in office.ok("guide", "list")}
    assert {each for each in listed if listed[each]["kind"] == "connection"} == {*KEYS}
    assert listed["windows-xp"]["legacy"] and not listed["router"]["legacy"]
    by_number, by_id = (
        office.ok("--lang", "en", "guide", "show", name, "--client", "windows-xp")
        for name in (held, opened["connection_id"])
    )
    assert by_number == by_id
    assert set(by_id) >= {"client", "title", "legacy", "kind", "address", "settings", "steps"}
    assert by_id["address"] == opened["connection_id"]
    assert by_id["settings"]["line_title"] == "FLET'S ADSL"
    assert opened["password"] not in json.dumps(by_id)
    assert by_id["modern_alternative"]["client"] == "windows-11"
    file = office.folder / "guide.pdf"
    office.ok("guide", "show", held, "--client", "router", "--as", "pdf", "-o", file)
    assert file.read_bytes().startswith(b"%PDF-")
    why = office.refused("guide", "show", "K99999999", "--client", "router")
    assert why.startswith("address: ") and "isp access open" in why
