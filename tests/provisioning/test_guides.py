"""Setup guides: every client, both languages, all four forms, and names that mean harm."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from isp import policy
from isp.documents import Language
from isp.errors import Refused
from provisioning import guides
from provisioning.client_files import by_name, client_from, client_of, clients, placeholders
from provisioning.guides import Guide
from provisioning.qr_codes import qr_code
from provisioning.settings import (
    Incoming,
    Kind,
    MailSettings,
    Outgoing,
    Settings,
    connection_settings,
    settings_for,
)

POLICY = policy.parse(policy.profile_text("consumer-isp"))
ADDRESS = "hanako.yamada@example.jp"
LANGUAGES: tuple[Language, ...] = ("ja", "en")
EVERY = [(client.key, language) for client in clients() for language in LANGUAGES]
MAIL = [(key, language) for key, language in EVERY if client_of(key).kind == "mail"]
BY_HAND = [(key, language) for key, language in MAIL if not client_of(key).files]
LEGACY = [client.key for client in clients() if client.legacy]
MODERN = [client.key for client in clients() if not client.legacy]
KINDS: tuple[Kind, ...] = ("mail", "connection")
MAIL_OF_BOTH_AGES = ["macosx-10-6-mail", "apple-mail"]
JAPANESE = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]")

PASSWORD = (
    *("パスワード", "Password", "password", "パスワードの確認入力"),
    *("password（パスワード）", "password (your password)"),
)

every_guide = pytest.mark.parametrize(("key", "language"), EVERY)
every_mail_guide = pytest.mark.parametrize(("key", "language"), MAIL)
every_guide_by_hand = pytest.mark.parametrize(("key", "language"), BY_HAND)


def made(
    key: str,
    language: Language = "ja",
    name: str = "Hanako Yamada",
    mail: policy.Mail = POLICY.mail,
) -> Guide[MailSettings]:
    legacy = client_of(key).legacy
    own = settings_for(ADDRESS, name, mail, legacy=legacy)
    return guides.guide_for(key, own, language, POLICY.desk, POLICY.operator)


def of_any_kind(key: str, language: Language = "ja") -> Guide[Settings]:
    if client_of(key).kind == "mail":
        return made(key, language)
    own = connection_settings("k00000001@ppp.example.jp", "b-flets", language)
    return guides.guide_for(key, own, language, POLICY.desk, POLICY.operator)


@cache
def pdf_pages(guide: Guide[Settings], language: Language) -> list[str]:
    return [
        page.extract_text()
        for page in PdfReader(io.BytesIO(guides.guide_pdf(guide, language))).pages
    ]


SHAPES = {"svg", "title", "rect", "circle", "path", "text"}


class Page(HTMLParser):
    """What a browser would see: the elements in order with their attributes, and the text.

    Figures stand apart: where a text breaks into lines there depends on how long it is.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.drawn: set[str] = set()
        self.figures = 0
        self._drawing = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "svg":
            self._drawing, self.figures = True, self.figures + 1
        if self._drawing:
            self.drawn.add(tag)
        else:
            self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "svg":
            self._drawing = False

    def handle_data(self, data: str) -> None:
        if not self._drawing:
            self.text += data


# Settings


@pytest.mark.req("ISP-17")
def test_isp_17_programs_of_today_get_imap_first_then_pop3_and_587_with_starttls() -> None:
    own = settings_for(ADDRESS, "山田 花子", POLICY.mail, legacy=False)
    assert own.username == own.address == ADDRESS
    assert own.incoming == (
        Incoming("imap", "imap.example.jp", 993, "ssl"),
        Incoming("pop3", "pop.example.jp", 995, "ssl"),
    )
    assert own.outgoing == Outgoing("smtp.example.jp", 587, "starttls", "password")


@pytest.mark.req("ISP-17")
def test_isp_17_legacy_programs_get_pop3_110_and_587_with_authentication() -> None:
    own = settings_for(ADDRESS, "山田 花子", POLICY.mail, legacy=True)
    assert own.incoming == (
        Incoming("pop3", "pop.example.jp", 110, "none"),
        Incoming("imap", "imap.example.jp", 143, "none"),
    )
    assert own.outgoing == Outgoing("smtp-legacy.example.jp", 587, "none", "password")


@pytest.mark.parametrize("key", MAIL_OF_BOTH_AGES)
def test_settings_of_the_other_kind_of_client_are_a_mistake_of_the_caller(key: str) -> None:
    wrong = settings_for(ADDRESS, "", POLICY.mail, legacy=not client_of(key).legacy)
    with pytest.raises(ValueError, match=key):
        guides.guide_for(key, wrong, "ja", POLICY.desk, POLICY.operator)


# Clients


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    ("key", "title", "legacy"),
    [
        ("windows-mail", "Windows Mail", True),
        ("windows-live-mail", "Windows Live Mail", True),
        ("outlook-2007", "Outlook 2007", True),
        ("outlook-2003", "Outlook 2003", True),
        ("outlook-express-5-0", "5.0", True),
        ("outlook-express-5-5", "5.5", True),
        ("outlook-express-6", "6.0", True),
        ("macosx-10-6-mail", "Mac OS X 10.6", True),
        ("outlook", "Outlook (classic", False),
        ("outlook-2021", "2016 to 2024", False),
        ("outlook-new", "New Outlook", False),
        ("thunderbird", "Thunderbird", False),
        ("apple-mail", "Apple Mail on macOS", False),
        ("iphone", "iPhone", False),
        ("ipad", "iPad", False),
        ("gmail-android", "Gmail app on Android", False),
        ("THUNDERBIRD", "Thunderbird", False),
    ],
)
def test_isp_17_every_named_program_is_found(key: str, title: str, legacy: bool) -> None:
    client = client_of(key)
    assert title in client.title.en
    assert client.legacy is legacy
    assert client.kind == "mail"


def test_clients_are_sorted_and_every_name_leads_to_one() -> None:
    keys = [client.key for client in clients()]
    assert keys == sorted(set(keys))
    assert set(by_name({client.key: client for client in clients()})) > set(keys)


def test_an_unknown_client_is_refused_with_the_keys_that_there_are() -> None:
    with pytest.raises(Refused) as refused:
        client_of("eudora\n")
    assert refused.value.field == "client"
    assert "\n" not in refused.value.why
    for client in clients():
        assert client.key in refused.value.why


# What stands in every guide


@pytest.mark.req("ISP-17", "ISP-22")
@every_mail_guide
def test_isp_17_every_form_carries_the_members_own_values_and_isp_22_the_desk(
    key: str, language: Language
) -> None:
    guide = made(key, language)
    own = guide.settings
    values = {
        guide.address,
        own.username,
        own.display_name,
        *(server.host for server in own.incoming),
        *(str(server.port) for server in own.incoming),
        *(server.protocol.upper() for server in own.incoming),
        own.outgoing.host,
        "587",
        "0120-000-000",
        "10:00-21:00",
        "support@example.jp",
        guide.operator,
        guide.title,
    }
    pages = pdf_pages(guide, language)
    forms = (
        Page(guides.guide_html(guide, language)).text,
        guides.guide_text(guide, language),
        "".join(pages),
    )
    for form in forms:
        assert [value for value in sorted(values) if value not in form] == []
    for page in pages:
        assert "0120-000-000" in page
        assert "10:00-21:00" in page


@pytest.mark.req("ISP-17")
@every_guide_by_hand
def test_isp_17_the_steps_themselves_carry_every_value(key: str, language: Language) -> None:
    guide = made(key, language)
    entered = [field.value for step in guide.steps for field in step.fields]
    first = guide.settings.incoming[0]
    wanted = (ADDRESS, "Hanako Yamada", first.host, guide.settings.outgoing.host, "587")
    assert [value for value in wanted if value not in entered] == []
    assert all(step.path and step.text for step in guide.steps)
    assert all(field.label and field.value for step in guide.steps for field in step.fields)


@every_guide_by_hand
def test_no_placeholder_is_left_and_typed_values_are_the_members_or_the_servers(
    key: str, language: Language
) -> None:
    guide = made(key, language)
    assert "{" not in guides.guide_text(guide, language)
    typed = {field.value for step in guide.steps for field in step.fields if field.typed}
    own = guide.settings
    known = {ADDRESS, own.display_name, own.outgoing.host, str(own.outgoing.port)}
    known |= {server.host for server in own.incoming}
    known |= {str(server.port) for server in own.incoming}
    assert {ADDRESS, own.outgoing.host, "587"} <= typed <= known


@pytest.mark.req("ISP-17")
@every_mail_guide
def test_isp_17_ports_and_servers_come_from_the_policy_alone(key: str, language: Language) -> None:
    def server(host: str, port: int) -> policy.Server:
        return policy.Server(host=host, port=port, security="ssl")

    mail = msgspec.structs.replace(
        POLICY.mail,
        imap=server("one.example", 1993),
        pop3=server("two.example", 1995),
        pop3_legacy=server("three.example", 1110),
        submission=server("four.example", 1587),
        submission_legacy=server("five.example", 1587),
    )
    guide = made(key, language, mail=mail)
    text = guides.guide_text(guide, language)
    for other in ("993", "995", "110", "587"):
        assert re.search(rf"\b{other}\b", text) is None
    assert "1587" in text
    assert ("four.example" in text) is not guide.legacy
    assert ("five.example" in text) is guide.legacy
    assert ("three.example" in text) is guide.legacy
    assert ("one.example" in text) is not guide.legacy


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_box_for_encryption_follows_the_policy(language: Language) -> None:
    encrypted = policy.Server(host="pop.example.jp", port=995, security="ssl")
    mail = msgspec.structs.replace(POLICY.mail, pop3_legacy=encrypted)

    def ticked(guide: Guide[Settings], port: str) -> str:
        fields = [field for step in guide.steps for field in step.fields]
        return fields[[field.value for field in fields].index(port) + 1].value

    plain, safe = (made("windows-mail", language, mail=of) for of in (POLICY.mail, mail))
    said = guides.words(language, "mail")
    assert ticked(plain, "110") == said.untick
    assert ticked(safe, "995") == said.tick


@pytest.mark.req("ALL-05")
@every_guide
def test_all_05_english_guides_hold_no_japanese_and_japanese_ones_do(
    key: str, language: Language
) -> None:
    guide = of_any_kind(key, language)
    forms = (
        Page(guides.guide_html(guide, language)).text,
        guides.guide_text(guide, language),
        json.dumps(guides.guide_json(guide), ensure_ascii=False),
    )
    for form in forms:
        assert (JAPANESE.search(form) is None) is (language == "en")


@pytest.mark.req("ALL-05")
@pytest.mark.parametrize("key", [*MAIL_OF_BOTH_AGES, "windows-xp", "router"])
def test_all_05_an_english_pdf_holds_no_japanese(key: str) -> None:
    assert JAPANESE.search("".join(pdf_pages(of_any_kind(key, "en"), "en"))) is None


@pytest.mark.parametrize("kind", KINDS)
def test_all_05_both_languages_say_the_same_things(kind: Kind) -> None:
    ja, en = (vars(guides.words(language, kind)) for language in LANGUAGES)
    assert set(ja) == set(en)
    assert all({**ja, **en}.values())
    assert len(ja["troubles"]) == len(en["troubles"])


@every_guide
def test_isp_01_a_guide_says_where_the_password_is_and_cannot_carry_one(
    key: str, language: Language
) -> None:
    guide = of_any_kind(key, language)
    said = guides.words(language, guide.kind)
    passwords = [
        field.value
        for step in guide.steps
        for field in step.fields
        if field.label.endswith(PASSWORD) and field.value != said.tick  # "Remember this password"
    ]
    assert passwords
    assert set(passwords) == {said.password_source}
    assert said.password_note in guides.guide_text(guide, language)
    assert "password" not in placeholders(guide.kind, legacy=guide.legacy)


def test_a_member_without_a_display_name_may_choose_one() -> None:
    guide = made("thunderbird", "en", name="")
    assert guide.settings.display_name == ""
    assert guide.steps[0].fields[0].value == "(your name, as you like)"
    assert "(your name, as you like)" in guides.guide_text(guide, "en")
    assert "(your name, as you like)" in pdf_pages(guide, "en")[0]


# Legacy


@pytest.mark.req("ISP-16", "ISP-17")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", LEGACY)
def test_isp_16_isp_17_a_legacy_guide_warns_at_its_top_and_offers_the_modern_one(
    key: str, language: Language
) -> None:
    guide = of_any_kind(key, language)
    said = guides.words(language, guide.kind)
    assert guide.warning is not None
    assert guide.modern_alternative is not None
    assert re.search(r"20\d\d", guide.warning)
    assert said.risk in guide.warning
    modern = client_of(guide.modern_alternative.client)
    assert not modern.legacy
    assert modern.kind == guide.kind
    assert modern.title.said(language) in guide.modern_alternative.text
    forms = (
        Page(guides.guide_html(guide, language)).text,
        guides.guide_text(guide, language),
    )
    for form in forms:
        places = [
            form.index(part)
            for part in (said.warning, guide.warning, guide.modern_alternative.text, said.anyway)
        ]
        assert places == sorted(places)
        assert places[-1] < form.index(said.settings)


@pytest.mark.parametrize("key", ["windows-mail", "windows-xp"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_legacy_pdf_warns_at_its_top(key: str, language: Language) -> None:
    first = pdf_pages(of_any_kind(key, language), language)[0]
    said = guides.words(language, client_of(key).kind)
    assert first.index(said.warning) < first.index(said.settings)


@pytest.mark.parametrize("key", MODERN)
def test_a_guide_for_a_supported_program_does_not_warn(key: str) -> None:
    guide = of_any_kind(key)
    assert guide.warning is None
    assert guide.modern_alternative is None
    assert guides.words("ja", guide.kind).warning not in guides.guide_text(guide, "ja")
    assert "warning" not in dict(Page(guides.guide_html(guide, "ja")).elements)


# Forms


@every_mail_guide
def test_json_is_what_the_command_line_promises_and_round_trips(
    key: str, language: Language
) -> None:
    guide = made(key, language)
    told = guides.guide_json(guide)
    assert json.loads(json.dumps(told)) == told
    own = guide.settings
    assert {name: told[name] for name in ("client", "title", "legacy", "kind", "address")} == {
        "client": key,
        "title": guide.title,
        "legacy": guide.legacy,
        "kind": "mail",
        "address": ADDRESS,
    }
    assert told["settings"] == {
        "address": ADDRESS,
        "username": ADDRESS,
        "display_name": "Hanako Yamada",
        "incoming": [
            {
                "protocol": server.protocol,
                "host": server.host,
                "port": server.port,
                "security": server.security,
            }
            for server in own.incoming
        ],
        "outgoing": {
            "host": "smtp-legacy.example.jp" if guide.legacy else "smtp.example.jp",
            "port": 587,
            "security": own.outgoing.security,
            "authentication": "password",
        },
    }
    assert told["steps"] == [
        {
            "path": list(step.path),
            "fields": [{"label": field.label, "value": field.value} for field in step.fields],
            "text": step.text,
            "commands": list(step.commands),
        }
        for step in guide.steps
    ]
    assert told["files"] == [
        {"path": file.path, "mode": "0600", "content": file.content} for file in guide.files
    ]


@every_guide
def test_the_page_needs_no_other_file_and_says_its_language(key: str, language: Language) -> None:
    source = guides.guide_html(of_any_kind(key, language), language)
    page = Page(source)
    assert page.elements[0] == ("html", (("lang", language),))
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    assert {"header", "main", "footer", "h1", "style"} <= tags
    links = [
        value for _, attributes in page.elements for name, value in attributes if name == "href"
    ]
    assert [link for link in links if link and not link.startswith("https://autoconfig.")] == [
        *("tel:0120-000-000", "mailto:support@example.jp")
    ]
    assert "url(" not in source
    assert "@import" not in source
    assert len(re.findall(r"<li>\s*<h3>", source)) == len(of_any_kind(key, language).steps)
    for identified in re.findall(r'aria-labelledby="(\w+)"', source):
        assert f'id="{identified}"' in source


def test_the_same_guide_is_the_same_pdf() -> None:
    assert guides.guide_pdf(made("thunderbird"), "ja") == guides.guide_pdf(
        made("thunderbird"), "ja"
    )


# What a phone opens


@pytest.mark.req("ISP-17")
@every_mail_guide
def test_isp_17_a_phone_opens_the_guide_or_the_profile_of_apples_mail(
    key: str, language: Language
) -> None:
    guide = made(key, language)
    what = "mobileconfig" if key in ("iphone", "apple-mail") else f"guide/{key}"
    url = f"https://autoconfig.example.jp/{what}?address=hanako.yamada%40example.jp"
    assert guide.link is not None and guide.link.url == url
    page = guides.guide_html(guide, language)
    assert guide.link.code in page
    assert guide.link.code == qr_code(url, "", guide.link.title)
    assert f'<a href="{url}">{url}</a>' in page
    assert f"\n  {url}\n" in guides.guide_text(guide, language)
    assert guides.guide_json(guide)["link"] == {"url": url, "text": guide.link.text}
    assert url in "".join("".join(pdf_pages(guide, language)).split())


@pytest.mark.req("ISP-16")
def test_isp_16_a_connection_guide_has_no_code_since_it_is_for_whoever_is_not_connected() -> None:
    for key, language in EVERY:
        if client_of(key).kind == "connection":
            guide = of_any_kind(key, language)
            assert guide.link is None and guides.guide_json(guide)["link"] is None
            assert "autoconfig" not in guides.guide_html(guide, language)


# Names that mean harm

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><h1>x</h1>",
    "&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "{smtp_host}{password}",
    '#read("/etc/passwd")',
    "#panic()",
    "*bold* _emph_ $x$ `raw` <label> @ref // comment \\",
    "]) #set text(red",
    "%s %(address)s \\1",
    'O\'Brien "Bob" \\n',
    "שלום عليكم",
    "W" * 300,
]


@pytest.mark.parametrize("key", ["windows-mail", "iphone"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_printed_as_it_is_and_does_nothing(name: str, key: str) -> None:
    harmless, hostile = made(key), made(key, name=name)
    assert hostile.settings.display_name == name
    before, after = (Page(guides.guide_html(guide, "ja")) for guide in (harmless, hostile))
    assert after.elements == before.elements
    assert after.drawn == before.drawn <= SHAPES
    assert after.text == before.text.replace("Hanako Yamada", name)
    assert guides.guide_text(hostile, "ja") == guides.guide_text(harmless, "ja").replace(
        "Hanako Yamada", name
    )
    told = guides.guide_json(hostile)
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_printed_on_paper_as_it_is(name: str) -> None:
    hostile = made("gmail-android", name=name)
    paper = "".join("".join(pdf_pages(hostile, "ja")).split())
    assert "root:" not in paper
    if name.isascii():
        assert "".join(name.split()) in paper


def test_a_name_too_long_for_a_line_does_not_run_off_the_paper() -> None:
    lines = "\n".join(pdf_pages(made("gmail-android", name="W" * 300), "ja")).splitlines()
    longest = max(line.count("W") for line in lines)
    assert 40 < longest < 80


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("Hanako\nPassword: secret", "Hanako Password: secret"),
        ("Hanako\r\n\r\nDear member", "Hanako Dear member"),
        ("Hanako\u2028next\u2029next", "Hanako next next"),
        ("\u202eHanako\u202c", "Hanako"),
        ("a\u200fb\u2066c\u2069\ufeff", "abc"),
        ("nul\x00bell\x07", "nul bell"),
        ("lone \ud800", "lone"),
        ("\u202e\n", ""),
    ],
)
def test_controls_and_direction_marks_do_not_reach_any_form(name: str, printed: str) -> None:
    guide = made("thunderbird", name=name)
    assert guide.settings.display_name == printed
    plain = made("thunderbird", name=printed)
    assert guide == plain
    assert guides.guide_html(guide, "ja") == guides.guide_html(plain, "ja")
    guides.guide_text(guide, "ja").encode()
    assert guides.guide_pdf(guide, "ja") == guides.guide_pdf(plain, "ja")


@settings(max_examples=40)
@given(name=st.text(max_size=60), key=st.sampled_from([key for key, _ in MAIL]))
def test_no_name_changes_anything_but_itself(name: str, key: str) -> None:
    guide, plain = made(key, "en", name=name), made(key, "en", name="")
    page, other = Page(guides.guide_html(guide, "en")), Page(guides.guide_html(plain, "en"))
    assert page.elements == other.elements
    assert page.drawn <= SHAPES
    text = guides.guide_text(guide, "en")
    assert text.count("\n") == guides.guide_text(plain, "en").count("\n")
    assert text.encode().decode() == text


def test_a_hostile_address_is_as_inert() -> None:
    address = '"<script>alert(1)</script>\n#panic()"@example.jp'
    own = settings_for(address, "x", POLICY.mail, legacy=False)
    guide = guides.guide_for("iphone", own, "ja", POLICY.desk, POLICY.operator)
    assert "\n" not in guide.address
    assert guide.settings.username == guide.address
    page = Page(guides.guide_html(guide, "ja"))
    assert "script" not in dict(page.elements)
    assert guide.address in page.text
    assert "".join(guide.address.split()) in "".join("".join(pdf_pages(guide, "ja")).split())


# A client's file

FILE = """
kind = "mail"
legacy = false
title.ja = "新しいソフト"
title.en = "New program"
[[steps]]
path.ja = ["設定"]
path.en = ["Settings"]
text.ja = "入力します。"
text.en = "Type."
fields = [{ label.ja = "住所", label.en = "Address", value = "{address}" }]
"""


def test_a_new_client_is_one_file() -> None:
    client = client_from("new", FILE)
    assert client.key == "new"
    assert client.title.said("en") == "New program"
    assert client.steps[0].path.said("ja") == ("設定",)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{address}", "{adress}", "unknown placeholder {adress}; there are: address, "),
        ("{address}", "{password}", "unknown placeholder {password}"),
        ("{address}", "{address.__class__}", "a brace is not part of a placeholder"),
        ("{address}", "{address!r}", "a brace is not part of a placeholder"),
        ("{address}", "{}", "a brace is not part of a placeholder"),
        ("{address}", "{{address}}", "a brace is not part of a placeholder"),
        ('text.en = "Type."', 'text.en = "Type {x}."', "unknown placeholder {x}"),
        ('["Settings"]', '["{x}"]', "unknown placeholder {x}"),
        ('label.en = "Address"', 'label.en = "{x}"', "unknown placeholder {x}"),
        ('path.en = ["Settings"]', "path.en = []", "length >= 1"),
        ('text.en = "Type."', "", "missing required field `en`"),
        ('text.en = "Type."', 'text.en = "Type\\n."', "regex"),
        ('kind = "mail"', 'kind = "fax"', "fax"),
        ("[[steps]]", 'profile.ja = "x"\nprofile.en = "{x}"\n[[steps]]', "placeholder {x}"),
        (
            'kind = "mail"',
            'kind = "connection"\nprofile.ja = "x"\nprofile.en = "x"',
            "`profile` is for mail programs",
        ),
        ('kind = "mail"', 'kind = "mail"\nsecret = 1', "unknown field `secret`"),
        ("legacy = false", "legacy = true", "`support_ended` and `modern` go with"),
        ("legacy = false", 'legacy = false\nmodern = "x"', "go with `legacy = true`"),
        ("legacy = false", "legacy = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(before: str, after: str, why: str) -> None:
    assert before in FILE
    with pytest.raises(Refused) as refused:
        client_from("new", FILE.replace(before, after))
    assert refused.value.field == "clients/new.toml"
    assert why in refused.value.why


def legacy_file(modern: str, value: str = "{pop_host}", aliases: str = "[]") -> str:
    top = f'modern = "{modern}"\naliases = {aliases}\nsupport_ended.ja = "昔"\nsupport_ended.en = "ago"'
    return FILE.replace("legacy = false", f"legacy = true\n{top}").replace("{address}", value)


def test_a_legacy_client_has_no_imap() -> None:
    client_from("old", legacy_file("new"))
    with pytest.raises(Refused, match="unknown placeholder {imap_host}"):
        client_from("old", legacy_file("new", "{imap_host}"))


@pytest.mark.parametrize(
    ("modern", "aliases", "why"),
    [
        ("none-such", "[]", "modern: no client 'none-such'"),
        ("router", "[]", "'router' that is still supported, of the same kind"),
        ("old", "[]", "modern: no client 'old' that is still supported"),
        ("new", '["new"]', "the alias 'new' belongs to 'new'"),
    ],
)
def test_clients_that_contradict_one_another_are_refused(
    modern: str, aliases: str, why: str
) -> None:
    new = client_from("new", FILE)
    old = client_from("old", legacy_file(modern, aliases=aliases))
    with pytest.raises(Refused, match=why) as refused:
        by_name({"new": new, "old": old, "router": client_of("router")})
    assert refused.value.field == "clients/old.toml"


def test_an_alias_finds_its_client() -> None:
    new = client_from("new", FILE)
    old = client_from("old", legacy_file("new", aliases='["very-old"]'))
    assert by_name({"new": new, "old": old}) == {"new": new, "old": old, "very-old": old}
