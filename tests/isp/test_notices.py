"""Notices: every kind in both languages names the desk, and no value gets into a header."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import date, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import meta

import templates
from isp.calendar import TOKYO
from isp.documents import Language, environment, printable
from isp.month import Month
from isp.notices import COMMON, KINDS, notice
from isp.policy import parse, profile_text

POLICY = parse(profile_text("consumer-isp"))
LANGUAGES: tuple[Language, ...] = ("ja", "en")
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
SENT_AT = datetime(2026, 5, 3, 9, 0, tzinfo=TOKYO)
VALUES: dict[str, object] = {
    "operator": POLICY.operator,
    "desk": POLICY.desk,
    "customer_name": "Hanako Yamada",
    "customer_kind": "individual",
    "customer_number": "C00000042",
    "contract_number": "K00000001",
    "plan_name": "Hikari Family",
    "concluded_on": date(2026, 4, 10),
    "line": "b-flets",
    "monthly_fee": 5_200,
    "monthly_fee_gross": 5_720,
    "opening_fee": 3_000,
    "free_months": 1,
    "installation_fee": 24_000,
    "term_months": 24,
    "term_start": Month.parse("2026-04"),
    "term_end": Month.parse("2028-03"),
    "renewal_month": Month.parse("2028-04"),
    "early_fee": 4_900,
    "cutoff_day": 15,
    "withdrawal_days": 8,
    "withdrawal_until": date(2026, 4, 17),
    "consumer": True,
    "opened_on": date(2026, 4, 20),
    "charged_from": Month.parse("2026-04"),
    "cheapest_day": date(2028, 4, 15),
    "last_free_day": date(2028, 4, 30),
    "next_term_end": Month.parse("2030-03"),
    "received_on": date(2026, 11, 16),
    "last_charged_month": Month.parse("2026-12"),
    "ends_on": date(2026, 12, 31),
    "installation": 15_000,
    "total": 17_160,
    "ended_on": date(2026, 12, 31),
    "charges_net": 5_200,
    "invoice_number": "R00000123",
    "month": Month.parse("2026-04"),
    "gross": 5_940,
    "due_on": date(2026, 5, 25),
    "method": "account-transfer",
    "debit_on": date(2026, 5, 25),
    "reason": "no funds",
    "retry_on": date(2026, 6, 23),
    "amount": 5_940,
    "paid_on": date(2026, 5, 26),
    "balance": 0,
    "address": "hanako@example.jp",
    "postal_code": "150-0001",
    "cheapest_total": 11_440,
    "moved_on": date(2026, 8, 1),
    "changed_on": date(2026, 8, 2),
    "changed": ("address", "phone"),
    "title": "Thunderbird",
    "guide": ("Steps", "", "1. [File]", "   imap.example.jp"),
}
every_notice = pytest.mark.parametrize(
    ("kind", "language"), [(kind, language) for kind in sorted(KINDS) for language in LANGUAGES]
)


def made(
    kind: str,
    language: Language = "ja",
    *,
    recipient: str = "hanako@example.com",
    sender: str = "noreply@example.jp",
    message_id: str = "<opened.0123@example.jp>",
    at: datetime = SENT_AT,
    attachments: tuple[tuple[str, bytes, str], ...] = (),
    **changed: object,
) -> bytes:
    values = {name: VALUES[name] for name in KINDS[kind]} | changed
    return notice(
        kind,
        language,
        values,
        sender=sender,
        recipient=recipient,
        message_id=message_id,
        date=at,
        attachments=attachments,
    )


def read(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert found.defects == []
    return found


def body(kind: str, language: Language = "ja", **changed: object) -> str:
    part = read(made(kind, language, **changed)).get_body(("plain",))  # type: ignore[arg-type] # values, not options
    assert part is not None
    return str(part.get_content())


# Contents


@every_notice
def test_isp_22_every_notice_names_desk_operator_and_member(kind: str, language: Language) -> None:
    said = body(kind, language)
    operator = POLICY.operator
    assert POLICY.desk.phone in said
    assert "10:00-21:00" in said
    assert (operator.name if language == "ja" else operator.name_en) in said
    assert ("Hanako Yamada 様" if language == "ja" else "Dear Hanako Yamada,") in said
    for number in ("customer_number", "contract_number", "invoice_number"):
        if number in KINDS[kind]:
            assert str(VALUES[number]) in said


@every_notice
def test_all_05_every_notice_exists_in_both_languages(kind: str, language: Language) -> None:
    message = read(made(kind, language))
    written = f"{message['Subject']}\n{body(kind, language)}"
    assert bool(JAPANESE.search(written)) == (language == "ja")
    assert message["Content-Language"] == language
    assert re.fullmatch(r"\S.{5,70}", message["Subject"])
    assert "\n\n\n" not in written.replace("\r\n", "\n")
    assert max(len(line) for line in written.splitlines()) <= 80


@every_notice
def test_a_template_uses_the_values_of_its_kind_and_no_others(
    kind: str, language: Language
) -> None:
    used: set[str] = set()
    names = {f"mail/{kind}.{language}.txt.j2"}
    engine = environment()
    assert engine.loader is not None
    while names:
        source, _, _ = engine.loader.get_source(engine, names.pop())
        parsed = engine.parse(source)
        used |= meta.find_undeclared_variables(parsed)
        names |= {name for name in meta.find_referenced_templates(parsed) if name}
    given_by_the_room = {"language", "line_name", "speed_statement"}
    assert used - given_by_the_room <= KINDS[kind]
    unused = KINDS[kind] - COMMON - used
    assert unused == set()


def test_every_template_belongs_to_a_kind() -> None:
    folder = Path(templates.__file__).parent / "mail"
    assert {file.name for file in folder.iterdir()} == {
        f"{kind}.{language}.txt.j2" for kind in KINDS for language in LANGUAGES
    }


def test_companies_are_addressed_as_such() -> None:
    assert "Hanako Yamada 御中" in body("opened", customer_kind="corporation")


@pytest.mark.req("ISP-14", "ISP-15", "ISP-19")
def test_the_contract_notice_says_term_fee_withdrawal_and_speed() -> None:
    said = body("contract-concluded")
    for term in (
        "24か月(2026年4月から2028年3月まで)",
        "更新月: 2028年4月",
        "契約解除料: 4,900円",
        "2026年4月17日",
        "初期契約解除",
        "ベストエフォート",
        "最大速度は100Mbps",
        "5,200円(税込 5,720円)",
    ):
        assert term in said
    company = body("contract-concluded", consumer=False)
    assert "初期契約解除" not in company
    assert "工事費の\n残額" in company.replace("\r\n", "\n"), "companies owe it too"
    monthly = body("contract-concluded", term_months=1, early_fee=0, installation_fee=0)
    assert "最低利用期間はありません" in monthly
    assert "契約解除料: ありません" in monthly
    assert "工事費:" not in monthly


@pytest.mark.parametrize("language", LANGUAGES)
def test_isp_15_the_renewal_notice_names_month_fee_and_cheapest_day(language: Language) -> None:
    ja = language == "ja"
    said = body("renewal-notice", language)
    for term in (
        ("2028年4月", "4,900円", "2028年4月15日")
        if ja
        else (
            "April 2028",
            "¥4,900",
            "15 April 2028",
        )
    ):
        assert term in said
    assert ("契約解除料" if ja else "termination fee") not in body(
        "renewal-notice", language, early_fee=0
    )


def test_isp_18_a_move_without_a_line_leaves_the_ordinary_rules() -> None:
    said = body("move-impossible")
    for term in ("通常の規定", "4,900円", "15,000円", "17,160円", "2028年4月15日", "11,440円"):
        assert term in said
    assert "かかりません" in body("move-impossible", early_fee=0)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("account-transfer", "お振替日: 2026年5月25日"),
        ("card", "カードご利用日: 2026年5月25日"),
        ("invoice", "お支払期限: 2026年5月25日"),
    ],
)
def test_isp_03_the_amount_billed_names_the_way_it_is_paid(method: str, said: str) -> None:
    written = body("invoice-issued", method=method)
    assert said in written
    assert "5,940円" in written


def test_isp_07_a_transfer_is_announced_with_amount_and_day() -> None:
    message = read(made("transfer-announced", "en"))
    assert message["Subject"] == "Account transfer on 25 May 2026: ¥5,940"


@pytest.mark.parametrize(
    ("retry_on", "said"),
    [(date(2026, 6, 23), "2026年6月23日に、もう一度"), (None, "請求書をお送り")],
)
def test_a_failed_transfer_says_what_comes_next(retry_on: date | None, said: str) -> None:
    assert said in body("transfer-failed", retry_on=retry_on)


@pytest.mark.parametrize(
    ("balance", "said"),
    [(0, "ありません"), (1_000, "残りのご請求額: 1,000円"), (-60, "お支払い超過額: 60円")],
)
def test_a_payment_says_what_is_left(balance: int, said: str) -> None:
    assert said in body("payment-received", balance=balance)


def test_isp_01_the_notice_of_a_new_password_does_not_carry_it() -> None:
    assert not [name for kind in KINDS for name in KINDS[kind] if "password" in name]
    assert "記載していません" in body("mailbox-password-reissued")


def test_isp_08_changed_fields_are_named_without_their_values() -> None:
    said = body("data-changed", changed=("email", "something_new"))
    assert "・連絡先メールアドレス" in said
    assert "・something_new" in said


# The message


@every_notice
def test_a_notice_passes_through_any_mail_server(kind: str, language: Language) -> None:
    message = made(kind, language, customer_name="山田 花子" * 20)
    message.decode("ascii")
    lines = message.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\r" in line or b"\n" in line for line in lines)


def test_the_headers_say_who_to_whom_and_when() -> None:
    message = read(made("opened", customer_name="山田 花子"))
    assert str(message["From"]) == f"{POLICY.operator.name} <noreply@example.jp>"
    assert str(message["To"]) == "山田 花子 <hanako@example.com>"
    assert message["Date"].datetime == SENT_AT
    assert message["Message-ID"] == "<opened.0123@example.jp>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"


@settings(max_examples=60)
@given(st.text(max_size=150))
def test_any_name_comes_back_from_the_header_as_it_was(name: str) -> None:
    raw = email.message_from_bytes(made("opened", customer_name=name))["To"]
    display_name, address = parseaddr(re.sub(r"\r\n(?=[ \t])", "", raw))
    expected = " ".join(printable(name).replace("=?", "= ?").split())
    assert address == "hanako@example.com"
    assert str(make_header(decode_header(display_name))) == expected


FORGED = "山田\r\nBcc: everybody@example.com\r\n\r\nYou have won"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_value_cannot_add_a_header_or_a_line(kind: str) -> None:
    words = {"line", "customer_kind", "method"}
    texts = {name: FORGED for name in KINDS[kind] - words if isinstance(VALUES[name], str)}
    forged, honest = read(made(kind, **texts)), read(made(kind))  # type: ignore[arg-type] # values, not options
    assert forged.keys() == honest.keys()
    content = forged.get_content()
    assert not re.search("^(Bcc|You have won)", content, re.MULTILINE)
    assert len(content.splitlines()) == len(honest.get_content().splitlines())


@pytest.mark.parametrize(
    "hostile", ["{{ operator }}", "{% include 'mail/opened.ja.txt.j2' %}", "{# x #}", "%(a)s {0}"]
)
def test_a_value_is_never_a_template(hostile: str) -> None:
    assert f"プラン: {hostile}" in body("opened", plan_name=hostile)


def test_what_looks_like_an_encoded_word_is_none() -> None:
    raw = made("opened", customer_name="=?utf-8?q?=0D=0ABcc=3A?=")
    assert read(raw)["To"].addresses[0].display_name == "= ?utf-8?q?=0D=0ABcc=3A?="


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hanako",
        "a@b.jp\r\nBcc: c@d.jp",
        "a@b.jp\n",
        "a b@c.jp",
        "a@b.jp, c@d.jp",
        "<a@b.jp>",
        "a@b.jp (x)",
        "a@b.jp ",
        "花子@b.jp",
        "a@日本.jp",
    ],
)
@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_what_is_no_address_is_refused(field: str, address: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: .* is not a mail address"):
        made("opened", **{field: address})  # type: ignore[arg-type] # one of two options


@pytest.mark.parametrize("identity", ["", "a@b", "<a@b>\r\nX: y", "<a b@c>", "<a@b>>", "<あ@b>"])
def test_what_is_no_message_id_is_refused(identity: str) -> None:
    with pytest.raises(ValueError, match="is not a Message-ID"):
        made("opened", message_id=identity)


def test_an_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        made("opened", at=SENT_AT.replace(tzinfo=None))


def test_values_are_those_of_the_kind() -> None:
    values = {name: VALUES[name] for name in KINDS["opened"]}
    for changed, why in (
        ({"plan_name": None}, "missing plan_name"),
        ({"password": "x"}, "unknown password"),
        ({"desk": "0120"}, "operator and desk"),
    ):
        given_values = {**values, **changed}
        if why.startswith("missing"):
            del given_values["plan_name"]
        with pytest.raises(ValueError, match=why):
            notice(
                "opened",
                "ja",
                given_values,
                sender="a@b.jp",
                recipient="a@b.jp",
                message_id="<a@b>",
                date=SENT_AT,
            )
    with pytest.raises(ValueError, match="no notice of kind 'greeting'"):
        notice(
            "greeting",
            "ja",
            {},
            sender="a@b.jp",
            recipient="a@b.jp",
            message_id="<a@b>",
            date=SENT_AT,
        )


# Attachments

DOCUMENT = b"%PDF-1.7 \x00\xff--=_"
ATTACHED = (("契約書面 K00000001.pdf", DOCUMENT, "application/pdf"),)


@pytest.mark.parametrize("language", LANGUAGES)
def test_attachments_arrive_whole_beside_the_text(language: Language) -> None:
    message = read(made("contract-concluded", language, attachments=ATTACHED))
    [part] = message.iter_attachments()
    assert isinstance(part, EmailMessage)
    assert part.get_filename() == "契約書面 K00000001.pdf"
    assert part.get_content_type() == "application/pdf"
    assert part.get_content() == DOCUMENT
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content() == body("contract-concluded", language)


def test_a_file_name_cannot_add_a_header() -> None:
    named = (("a.pdf\r\nX-Evil: yes", b"x", "application/pdf"),)
    message = made("opened", attachments=named)
    [part] = read(message).iter_attachments()
    assert isinstance(part, EmailMessage)
    assert part.get_filename() == "a.pdf X-Evil: yes"
    assert b"\r\nX-Evil" not in message


def test_a_name_cannot_pass_for_the_boundary() -> None:
    boundary = read(made("opened", "en", attachments=ATTACHED)).get_boundary()
    message = read(
        made("opened", "en", attachments=ATTACHED, plan_name=f"--{boundary}--", customer_name="A")
    )
    assert len(list(message.iter_parts())) == 2


@every_notice
def test_the_same_arguments_give_the_same_bytes(kind: str, language: Language) -> None:
    assert made(kind, language, attachments=ATTACHED) == made(kind, language, attachments=ATTACHED)
    assert made(kind, language) != made(kind, language, message_id="<other@example.jp>")
