"""Letters with passwords: readable without doubt, complete, and the only place that shows them."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper import SHIPPED, fonts, lines, pages, placed, text, unprinted

from isp.documents import Addressee, Language
from isp.policy import parse, profile_text
from provisioning.guides import guide_for, guide_json
from provisioning.letters import (
    MailboxCredential,
    ReissueLetter,
    WelcomeLetter,
    reissue_pdf,
    spelled,
    welcome_pdf,
)
from provisioning.settings import settings_for

POLICY = parse(profile_text("consumer-isp"))
HANAKO = Addressee("C00000042", "Hanako Yamada", "150-0001", "1-2-3 Jingumae")
WELCOME = WelcomeLetter(
    customer=HANAKO,
    contract_number="K00000001",
    plan_name="Hikari Family",
    opened_on=date(2026, 4, 20),
    connection_id="x7k2m9@ppp.example.jp",
    connection_password="kT7wQ2mZx9RbHd",
    mailboxes=(
        MailboxCredential("hanako@example.jp", "Wn4vGy8pLc3sXe"),
        MailboxCredential("taro@example.jp", "pQ7rS8tU9vW2xY"),
    ),
    mail=POLICY.mail,
    first_guide=None,
    operator=POLICY.operator,
    desk=POLICY.desk,
)
REISSUE = ReissueLetter(
    customer=HANAKO,
    contract_number="K00000001",
    kind="mailbox",
    name="hanako@example.jp",
    password="Wn4vGy8pLc3sXe",
    reissued_on=date(2026, 8, 1),
    operator=POLICY.operator,
    desk=POLICY.desk,
)
LANGUAGES: tuple[Language, ...] = ("ja", "en")
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
both_languages = pytest.mark.parametrize("language", LANGUAGES)


@both_languages
def test_isp_01_the_letter_carries_all_that_a_member_needs(language: Language) -> None:
    document = welcome_pdf(replace(WELCOME, language=language))
    written = lines(document)
    for exact in (
        "x7k2m9@ppp.example.jp",
        "kT7wQ2mZx9RbHd",
        "hanako@example.jp",
        "Wn4vGy8pLc3sXe",
        "taro@example.jp",
        "pQ7rS8tU9vW2xY",
    ):
        assert [line for line in written if exact in line.split()], exact
    incoming, outgoing = ("受信", "送信") if language == "ja" else ("Incoming", "Outgoing")
    for server in (
        f"{incoming}IMAPimap.example.jp993SSL/TLS",
        f"{incoming}POP3pop.example.jp995SSL/TLS",
        f"{outgoing}SMTPsmtp.example.jp587STARTTLS",
    ):
        assert server in text(document)
    assert "HanakoYamada" in text(document)
    assert "K00000001" in text(document)
    assert unprinted(document) == 0


@both_languages
def test_isp_01_the_first_guide_comes_with_the_letter(language: Language) -> None:
    address = "hanako@example.jp"
    own = settings_for(address, "Hanako Yamada", POLICY.mail, legacy=False)
    guide = guide_json(guide_for("thunderbird", own, language, POLICY.desk, POLICY.operator))
    document = welcome_pdf(replace(WELCOME, first_guide=guide, language=language))
    written = text(document)
    assert str(guide["title"]).replace(" ", "") in written
    steps = guide["steps"]
    assert isinstance(steps, list)
    for step in steps:
        assert step["text"].replace(" ", "") in written
        assert ">".join(step["path"]).replace(" ", "") in written
        for field in step["fields"]:
            assert f"{field['label']}{field['value']}".replace(" ", "") in written


def test_a_step_may_name_its_path_in_one_text() -> None:
    step = {
        "path": "設定 > 接続",
        "fields": [{"label": "ID", "value": "x7"}],
        "text": "入力します。",
    }
    document = welcome_pdf(replace(WELCOME, first_guide={"title": "ルーター", "steps": [step]}))
    assert "設定>接続入力します。IDx7" in text(document)


def test_a_guide_of_another_shape_is_an_error() -> None:
    with pytest.raises(TypeError, match="a step holds path, fields and text"):
        welcome_pdf(replace(WELCOME, first_guide={"title": "x", "steps": ["y"]}))


@pytest.mark.parametrize(
    ("kind", "name", "label", "act"),
    [
        ("mailbox", "hanako@example.jp", "メールアドレス", "受信と送信の両方"),
        ("connection", "x7k2m9@ppp.example.jp", "接続ID", "接続設定(PPPoE)"),
    ],
)
def test_isp_01_a_lost_password_comes_anew_by_letter(
    kind: str, name: str, label: str, act: str
) -> None:
    document = reissue_pdf(replace(REISSUE, kind=kind, name=name))  # type: ignore[arg-type] # one of two words
    written = text(document)
    assert f"{label}{name}" in written
    assert [line for line in lines(document) if "Wn4vGy8pLc3sXe" in line.split()]
    assert act in written
    assert "再発行日2026年8月1日" in written
    assert "これまでのパスワードは、すでに使えません" in written


@both_languages
@pytest.mark.parametrize("kind", ["mailbox", "connection"])
def test_all_05_letters_exist_in_both_languages(language: Language, kind: str) -> None:
    reissue = replace(REISSUE, kind=kind, language=language)  # type: ignore[arg-type] # one of two words
    for document in (welcome_pdf(replace(WELCOME, language=language)), reissue_pdf(reissue)):
        assert bool(JAPANESE.search(text(document))) == (language == "ja")


@both_languages
def test_isp_22_the_desk_stands_on_every_page(language: Language) -> None:
    many = tuple(MailboxCredential(f"m{n}@example.jp", "Wn4vGy8pLc3sXe") for n in range(12))
    printed = pages(welcome_pdf(replace(WELCOME, mailboxes=many, language=language)))
    assert len(printed) > 2
    for page in printed:
        assert POLICY.desk.phone in page
        assert "10:00-21:00" in page


def test_before_the_opening_the_letter_names_no_day() -> None:
    assert "開通日2026年4月20日" in text(welcome_pdf(WELCOME))
    assert "開通日" not in text(welcome_pdf(replace(WELCOME, opened_on=None)))


def test_a_contract_without_mailboxes_has_no_mail_in_its_letter() -> None:
    written = text(welcome_pdf(replace(WELCOME, mailboxes=())))
    assert "メール" not in written.partition("大切なお知らせ")[0].replace(
        "インターネットとメールのご利用", ""
    )


# Reading a password


@pytest.mark.parametrize(
    ("sign", "japanese", "english"),
    [
        ("O", ("大文字", "オー"), ("capital", "oscar")),
        ("o", ("小文字", "オー"), ("small", "oscar")),
        ("0", ("数字", "ゼロ"), ("digit", "zero")),
        ("l", ("小文字", "エル"), ("small", "lima")),
        ("I", ("大文字", "アイ"), ("capital", "india")),
        ("1", ("数字", "イチ"), ("digit", "one")),
        ("-", ("記号", "ハイフン"), ("sign", "hyphen")),
        ("|", ("記号", "縦線"), ("sign", "bar")),
        ("é", ("小文字", ""), ("small", "")),
    ],
)
def test_isp_01_a_sign_is_read_without_doubt(
    sign: str, japanese: tuple[str, str], english: tuple[str, str]
) -> None:
    assert spelled(sign, "ja") == ((sign, *japanese),)
    assert spelled(sign, "en") == ((sign, *english),)


@both_languages
def test_every_sign_on_a_keyboard_has_a_reading_of_its_own(language: Language) -> None:
    signs = string.ascii_letters + string.digits + string.punctuation
    read = spelled(signs, language)
    assert "".join(sign for sign, _, _ in read) == signs
    assert len({(kind, reading) for _, kind, reading in read}) == len(signs)
    assert [sign for sign, _, reading in read if not reading] == []


@both_languages
def test_isp_01_the_readings_stand_under_the_password(language: Language) -> None:
    signs = string.ascii_letters + string.digits + string.punctuation
    for password in (signs[:32], signs[32:64], signs[64:]):
        document = reissue_pdf(replace(REISSUE, password=password, language=language))
        written = text(document)
        assert password in written
        for sign, kind, reading in spelled(password, language):
            assert re.sub(r"\s", "", reading) in written
            assert kind in written
            assert sign in written
        assert unprinted(document) == 0


def test_isp_01_passwords_are_set_in_a_font_that_tells_signs_apart() -> None:
    used = fonts(reissue_pdf(REISSUE))
    assert "JetBrainsMono-Bold" in used
    assert used <= SHIPPED


def test_the_window_of_the_envelope_shows_no_secret() -> None:
    for document in (welcome_pdf(WELCOME), reissue_pdf(REISSUE)):
        seen = [at.text for at in placed(document) if at.left < 118 and at.top < 57]
        assert re.sub(r"\s", "", "".join(seen)) == (
            "〒150-00011-2-3JingumaeHanakoYamada様会員番号C00000042"
        )


def test_isp_01_passwords_do_not_show_where_a_letter_is_logged() -> None:
    logged = f"{WELCOME!r} {REISSUE!r} {WELCOME.mailboxes!r}"
    assert "hanako@example.jp" in logged
    for password in ("kT7wQ2mZx9RbHd", "Wn4vGy8pLc3sXe", "pQ7rS8tU9vW2xY"):
        assert password not in logged


@settings(max_examples=30)
@given(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=30)
)
def test_any_password_prints_as_it_is(password: str) -> None:
    document = reissue_pdf(replace(REISSUE, password=password))
    assert password in text(document)
    assert unprinted(document) == 0


@pytest.mark.parametrize("hostile", ["#panic()", "*x* $y$ `z`", "<b>&amp;</b>", "\\"])
def test_markup_in_a_value_prints_as_it_is_written(hostile: str) -> None:
    document = welcome_pdf(
        replace(
            WELCOME,
            customer=Addressee("C1", hostile, "1500001", "Tokyo"),
            connection_id=hostile,
            first_guide={
                "title": hostile,
                "steps": [{"path": [hostile], "fields": [], "text": hostile}],
            },
        )
    )
    assert text(document).count(hostile.replace(" ", "")) == 5


def test_the_same_letter_gives_the_same_bytes() -> None:
    assert welcome_pdf(WELCOME) == welcome_pdf(WELCOME)


@pytest.mark.req("ISP-01")
def test_isp_01_the_joining_letter_goes_out_before_the_day_of_opening_is_known() -> None:
    said = text(welcome_pdf(replace(WELCOME, opened_on=None)))
    assert "開通日" not in said
    assert WELCOME.contract_number in said
