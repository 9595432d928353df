"""The qualified invoice on paper and screen: all that the law asks for, on every page (ALL-01)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper import SHIPPED, fonts, lines, pages, placed, text, unprinted

from billing.documents import DocumentLine, InvoiceDocument, invoice_html, invoice_pdf
from isp.documents import Addressee, Language
from isp.month import Month
from isp.policy import parse, profile_text
from isp.tax import RateTotal, tax_totals

POLICY = parse(profile_text("consumer-isp"))
HANAKO = Addressee("C00000042", "山田 花子", "150-0001", "東京都渋谷区神宮前1-2-3")
LINES = (
    DocumentLine("光ファミリー 月額料金", "K00000001", 5_200, 10),
    DocumentLine("飲料水", "", 1_080, 8, reduced=True),
    DocumentLine("契約解除料", "K00000001", 4_900, 0),
    DocumentLine("口座振替手数料", "", 200, 10),
)
ENGLISH = (
    DocumentLine("Hikari Family, monthly fee", "K00000001", 5_200, 10),
    DocumentLine("Water", "", 1_080, 8, reduced=True),
)
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def invoice(lines: tuple[DocumentLine, ...] = LINES, **changed: object) -> InvoiceDocument:
    taxes = tax_totals([(line.net, line.tax_rate) for line in lines], "floor")
    made = InvoiceDocument(
        number="R00000123",
        customer=HANAKO,
        month=Month.parse("2026-04"),
        issued_on=date(2026, 5, 3),
        due_on=date(2026, 5, 25),
        method="account-transfer",
        lines=lines,
        taxes=taxes,
        net=sum(total.net for total in taxes),
        tax=sum(total.tax for total in taxes),
        gross=sum(total.net + total.tax for total in taxes),
        issuer=POLICY.operator,
        desk=POLICY.desk,
    )
    return replace(made, **changed)  # type: ignore[arg-type] # names are tested


CREDIT = invoice(
    (DocumentLine("光ファミリー 月額料金", "K00000001", -5_200, 10),),
    kind="credit-note",
    number="CN00000007",
    refers_to="R00000101",
    due_on=None,
)


class Page(HTMLParser):
    """The elements of a page in order, and its text without spaces."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += re.sub(r"\s", "", data)


def said(document: InvoiceDocument, form: str) -> str:
    """What the reader reads, without spaces."""
    if form == "pdf":
        return text(invoice_pdf(document))
    return Page(invoice_html(document)).text


both_forms = pytest.mark.parametrize("form", ["pdf", "html"])


@both_forms
@pytest.mark.parametrize(
    "required",
    [
        "適格請求書",
        "サンプルネット株式会社",
        f"登録番号{POLICY.operator.registration_number}",
        "山田花子様",
        "R00000123",
        "発行日2026年5月3日",
        "取引期間2026年4月1日から2026年4月30日",
        "光ファミリー月額料金K0000000110%5,200円",
        "飲料水8%※1,080円",
        "契約解除料K00000001対象外4,900円",
        "※は軽減税率(8%)の対象です。",
        "対価の額(税抜)消費税額税込",
        "10%5,400円540円5,940円",
        "8%※1,080円86円1,166円",
        "対象外4,900円0円4,900円",
        "合計11,380円626円12,006円",
        "ご請求金額(税込)12,006円",
        "2026年5月25日に、ご登録の口座から振り替えます",
    ],
)
def test_all_01_a_qualified_invoice_says_all_that_it_must(form: str, required: str) -> None:
    assert required in said(invoice(), form)


@both_forms
@pytest.mark.parametrize(
    "required",
    [
        "適格返還請求書",
        f"登録番号{POLICY.operator.registration_number}",
        "CN00000007",
        "元の請求書R00000101",
        "取引期間2026年4月1日から2026年4月30日",
        "ご返還金額(税込)5,720円",
        "光ファミリー月額料金K0000000110%-5,200円",
        "10%-5,200円-520円-5,720円",
    ],
)
def test_all_01_a_credit_note_is_a_qualified_return_invoice(form: str, required: str) -> None:
    assert required in said(CREDIT, form)


@both_forms
def test_a_credit_note_asks_for_no_payment(form: str) -> None:
    assert not re.search("お支払|お振替日|ご請求金額", said(CREDIT, form))


@both_forms
def test_all_01_the_mark_is_for_the_reduced_rate_alone(form: str) -> None:
    """From 2014-04 to 2019-09 8 % was the standard rate."""
    then = invoice((DocumentLine("月額料金", "K1", 1_000, 8),), month=Month.parse("2018-05"))
    written = said(then, form)
    assert "8%1,000円80円1,080円" in written
    assert "※" not in written
    now = said(replace(then, month=Month.parse("2019-10")), form)
    assert "8%※1,000円80円1,080円" in now
    assert "※は軽減税率" in now


@both_forms
@pytest.mark.parametrize(("corporation", "name"), [(True, "山田商店御中"), (False, "山田商店様")])
def test_all_01_the_recipient_is_named_as_is_due(form: str, corporation: bool, name: str) -> None:
    customer = Addressee("C1", "山田商店", "1500001", "東京都", corporation)
    assert name in said(invoice(customer=customer), form)


@both_forms
@pytest.mark.parametrize(
    ("method", "label", "how"),
    [
        ("account-transfer", "お振替日2026年5月25日", "前日までに残高をご確認ください"),
        ("card", "カードご利用日2026年5月25日", "お手続きは不要です"),
        ("invoice", "お支払期限2026年5月25日", "2026年5月25日までにお支払いください"),
    ],
)
def test_isp_03_each_method_says_what_happens_when(
    form: str, method: str, label: str, how: str
) -> None:
    written = said(invoice(method=method), form)
    assert label in written
    assert how in written


@both_forms
def test_the_way_to_pay_is_printed_as_given(form: str) -> None:
    rows = (("お振込先", "みずほ銀行 東京営業部"), ("口座番号", "普通 1234567"))
    assert "お振込先みずほ銀行東京営業部口座番号普通1234567" in said(
        invoice(method="invoice", how_to_pay=rows), form
    )


@both_forms
@pytest.mark.parametrize("kind", ["invoice", "credit-note"])
@pytest.mark.parametrize("method", ["account-transfer", "card", "invoice"])
def test_all_05_the_english_invoice_is_english(form: str, kind: str, method: str) -> None:
    customer = Addressee("C00000042", "Hanako Yamada", "150-0001", "1-2-3 Jingumae, Tokyo")
    document = invoice(
        ENGLISH, customer=customer, language="en", kind=kind, method=method, refers_to="R1"
    )
    written = said(document, form)
    assert "SampleNetK.K." in written
    assert f"Registrationnumber{POLICY.operator.registration_number}" in written
    assert "Periodofsupply1April2026to30April2026" in written
    assert "8%※¥1,080" in written
    assert "※marksitemsatthereducedtaxrateof8%." in written
    assert "10%¥5,200¥520¥5,720" in written
    assert JAPANESE.findall(written) == []


@pytest.mark.req("ALL-01", "ISP-22")
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_long_invoice_repeats_heading_desk_and_number_on_every_page(language: Language) -> None:
    ja = language == "ja"
    many = tuple(
        DocumentLine(f"{'回線' if ja else 'line'} {ordinal:03d}", f"K{ordinal:08d}", 100, 10)
        for ordinal in range(120)
    )
    printed = pages(invoice_pdf(invoice(many, language=language)))
    assert len(printed) > 2
    heading = "内容契約番号税率金額(税抜)" if ja else "DescriptionContractTaxrateAmount(beforetax)"
    for number, page in enumerate(printed, 1):
        assert page.count(heading) == 1
        assert page.count("R00000123") == 1
        assert POLICY.desk.phone in page
        assert "10:00-21:00" in page
        assert page.endswith(f"{number}/{len(printed)}")
    together = "".join(printed)
    assert [n for n in range(120) if together.count(f"K{n:08d}10%") != 1] == []
    assert together.count("13,200") == 3


@both_forms
def test_isp_22_the_desk_stands_on_the_invoice(form: str) -> None:
    assert f"サポートデスク{POLICY.desk.phone}受付時間10:00-21:00" in said(invoice(), form)


def test_the_window_of_the_envelope_shows_the_addressee_alone() -> None:
    """Long envelope, size 3: the window lies 22 to 112 mm from the left, 12 to 57 from the top."""
    seen = [at for at in placed(invoice_pdf(invoice())) if at.left < 118 and at.top < 57]
    assert re.sub(r"\s", "", "".join(at.text for at in seen)) == (
        "〒150-0001東京都渋谷区神宮前1-2-3山田花子様会員番号C00000042"
    )
    assert min(at.left for at in seen) > 22
    assert min(at.top for at in seen) > 15


def test_the_longest_recipient_is_printed_whole() -> None:
    customer = Addressee("C1", "長い名前の会社" * 28, "150-0001", "東京都渋谷区神宮前" * 22, True)
    seen = [
        at
        for at in placed(invoice_pdf(invoice(customer=customer)))
        if at.left < 118 and at.top < 58
    ]
    shown = re.sub(r"\s", "", "".join(at.text for at in seen))
    assert shown == f"〒150-0001{customer.address}{customer.name}御中会員番号C1"


def test_amounts_stand_out_in_bold_type() -> None:
    document = invoice_pdf(invoice())
    assert {"NotoSansJP-Regular", "NotoSansJP-Bold"} <= fonts(document) <= SHIPPED
    assert unprinted(document) == 0


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "&amp;&lt;b&gt;",
        "#panic() *x* $y$",
        "{{ 7 * 7 }}",
    ],
)
def test_markup_in_values_prints_as_it_is_written(hostile: str) -> None:
    plain = hostile.replace(" ", "")
    rows = (DocumentLine(hostile, hostile, 100, 10),)
    honest = invoice((DocumentLine("x", "x", 100, 10),), how_to_pay=(("x", "x"),))
    forged = invoice(
        rows,
        customer=Addressee(hostile, hostile, "1500001", hostile),
        number=hostile,
        how_to_pay=((hostile, hostile),),
    )
    page = Page(invoice_html(forged))
    assert page.elements == Page(invoice_html(honest)).elements
    assert page.text.count(plain) >= 8
    assert said(forged, "pdf").count(plain) >= 7


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_no_value_breaks_an_invoice(anything: str) -> None:
    document = invoice(
        (DocumentLine(anything, anything, 100, 10),),
        customer=Addressee(anything, anything, anything, anything),
        number=anything,
    )
    assert "110円" in said(document, "pdf")
    assert "110円" in said(document, "html")


def test_a_description_cannot_forge_a_line() -> None:
    forged = invoice((DocumentLine("月額料金\n値引き -100円", "K1", 100, 10),))
    assert [line for line in lines(invoice_pdf(forged)) if line.startswith("値引き")] == []


@both_forms
def test_what_is_hidden_in_a_value_is_left_out(form: str) -> None:
    """A mark that turns the direction of writing would show another amount than the bytes say."""
    written = said(invoice((DocumentLine("a\u202eb\x1b\x00c", "K1", 100, 10),)), form)
    assert "abcK110%100円" in written


def test_the_same_invoice_gives_the_same_bytes() -> None:
    assert invoice_pdf(invoice()) == invoice_pdf(invoice())
    assert invoice_pdf(invoice()) != invoice_pdf(CREDIT)


def test_the_page_loads_nothing() -> None:
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", invoice_html(invoice()))


def test_totals_are_printed_not_computed() -> None:
    """The document says what was billed, also where today's rule would round otherwise."""
    written = said(invoice(taxes=(RateTotal(10, 105, 11),), tax=11, gross=116, net=105), "pdf")
    assert "10%105円11円116円" in written
