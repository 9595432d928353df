"""The contract document and the renewal notice: what a member must read is there (ISP-13 to ISP-19)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest
from paper import pages, placed, text, unprinted

from isp.documents import Addressee, Language
from isp.letters import (
    ContractDocument,
    RenewalNotice,
    contract_document_pdf,
    line_name,
    renewal_notice_pdf,
    speed_statement,
)
from isp.month import Month
from isp.policy import parse, profile_text

POLICY = parse(profile_text("consumer-isp"))
CONTRACT = ContractDocument(
    contract_number="K00000001",
    customer=Addressee("C00000042", "Hanako Yamada", "150-0001", "Jingumae 1-2-3"),
    plan_name="Hikari Family",
    line="flets-hikari-next",
    concluded_on=date(2026, 4, 10),
    issued_on=date(2026, 4, 11),
    monthly_fee=5_200,
    monthly_fee_gross=5_720,
    opening_fee=3_000,
    free_months=2,
    installation_fee=24_000,
    term_months=24,
    term_start=Month.parse("2026-04"),
    term_end=Month.parse("2028-03"),
    renewal_month=Month.parse("2028-04"),
    early_fee=4_900,
    cutoff_day=15,
    withdrawal_days=8,
    withdrawal_until=date(2026, 4, 18),
    withdrawal_installation_maximum=25_000,
    consumer=True,
    transfer_fee=200,
    operator=POLICY.operator,
    desk=POLICY.desk,
)
RENEWAL = RenewalNotice(
    contract_number="K00000001",
    customer=CONTRACT.customer,
    plan_name="Hikari Family",
    issued_on=date(2028, 2, 15),
    renewal_month=Month.parse("2028-04"),
    early_fee=4_900,
    cheapest_day=date(2028, 4, 15),
    last_free_day=date(2028, 4, 30),
    next_term_end=Month.parse("2030-03"),
    operator=POLICY.operator,
    desk=POLICY.desk,
)
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def contract(language: Language = "ja", **changed: object) -> str:
    return text(contract_document_pdf(replace(CONTRACT, language=language, **changed)))  # type: ignore[arg-type] # names are tested


def renewal(language: Language = "ja", **changed: object) -> str:
    return text(renewal_notice_pdf(replace(RENEWAL, language=language, **changed)))  # type: ignore[arg-type] # names are tested


@pytest.mark.parametrize(
    "said",
    [
        "契約書面",
        "K00000001",
        "HanakoYamada様",
        "HikariFamily",
        "フレッツ光ネクスト",
        "契約成立日2026年4月10日",
        "5,200円(税込5,720円)",
        "開通月から2か月は、月額料金がかかりません",
        "3,000円(税抜)",
        "24,000円(税抜)",
        "200円(税抜)",
        "24か月(2026年4月から2028年3月まで",
        "更新月2028年4月",
        "更新月から数えてさらに24か月、自動的に更新",
        "4,900円更新月以外に解約",
        "毎月15日までに受け付けた場合はその月の末日、16日以降に受け付けた場合は翌月の末日",
        "工事費×(24−ご利用月数+1)÷24",
        "サンプルネット株式会社〒100-0001東京都千代田区千代田1-1",
    ],
)
def test_isp_15_the_contract_document_says_all_terms(said: str) -> None:
    assert said in contract()


@pytest.mark.parametrize(
    "said",
    [
        "Contractdocument",
        "FLET'SHikariNext",
        "Concludedon10April2026",
        "¥5,200(¥5,720withtax)",
        "¥3,000beforetax",
        "24months(April2026toMarch2028",
        "RenewalmonthApril2028",
        "¥4,900,duewhenyourcancellationreachesusoutsidetherenewalmonth",
        "Completebyday15ofamonth:thelastdayofthatmonth",
        "withdrawfromthiscontractinwritingorbymailwithin8days",
        "until18April2026",
    ],
)
def test_all_05_the_contract_document_in_english(said: str) -> None:
    document = contract("en")
    assert said in document
    assert JAPANESE.findall(document) == []


def test_isp_14_a_consumer_reads_how_to_withdraw() -> None:
    document = contract()
    assert "初期契約解除" in document
    assert "受け取りになった日を1日目として8日目(2026年4月18日" in document
    assert "契約解除料、違約金、開通手数料はいただきません" in document
    assert "25,000円(税抜)を上限" in document
    assert f"メール:{POLICY.desk.email}" in document


@pytest.mark.parametrize("language", ["ja", "en"])
def test_isp_14_a_company_has_no_such_right(language: Language) -> None:
    document = contract(language, consumer=False)
    assert not re.search("初期契約解除|withdrawal", document)
    assert re.search("工事費の残額|Restofinstallation", document), "companies owe it too"


def test_a_plan_without_term_and_fee_says_so() -> None:
    document = contract(term_months=1, early_fee=0, installation_fee=0, free_months=0)
    assert "最低利用期間ありません" in document
    assert "契約解除料ありません" in document
    assert not re.search("工事費|無料期間|自動的に更新", document.partition("初期契約解除")[0])


@pytest.mark.parametrize(
    ("line", "name", "reaches"),
    [
        ("flets-hikari-next", "フレッツ 光ネクスト", "1Gbps"),
        ("b-flets", "Bフレッツ", "100Mbps"),
        ("flets-adsl", "フレッツ・ADSL", "47Mbps"),
        ("none", "", ""),
    ],
)
def test_isp_19_speed_is_best_effort_per_line_type(line: str, name: str, reaches: str) -> None:
    document = contract(line=line)
    assert name.replace(" ", "") in document
    assert reaches in document
    assert "通信速度はベストエフォート方式です。実際の速度を保証するものではなく" in document
    assert line_name(line, "ja") == name
    assert speed_statement(line, "en").endswith("and with the time of day.")
    assert "best effort" in speed_statement(line, "en")


@pytest.mark.parametrize(
    "said",
    [
        "更新月2028年4月",
        "2028年4月から2030年3月まで、自動的に更新",
        "2028年4月1日から2028年4月30日まで",
        "2028年4月15日この日までに受け付けると、2028年4月分のご請求で終了します。",
        "翌日以降は、2028年5月分の料金もかかります",
        "4,900円更新月以外に解約",
    ],
)
def test_isp_15_the_renewal_notice_names_month_fee_and_cheapest_day(said: str) -> None:
    assert said in renewal()


def test_all_05_the_renewal_notice_in_english() -> None:
    document = renewal("en")
    assert "CheapestlastdaytoapplyChargesthenendwithApril2028" in document.replace(
        "15April2028", ""
    )
    assert "receivedfrom1April2028to30April2028" in document
    assert JAPANESE.findall(document) == []


def test_a_renewal_without_a_fee_names_none() -> None:
    document = renewal(early_fee=0)
    assert "期間外の契約解除料かかりません" in document
    assert "契約解除料がかからないお申し込み期間" not in document


@pytest.mark.parametrize("language", ["ja", "en"])
def test_isp_22_letters_name_the_desk_on_every_page(language: Language) -> None:
    for document in (
        contract_document_pdf(replace(CONTRACT, language=language)),
        renewal_notice_pdf(replace(RENEWAL, language=language)),
    ):
        for page in pages(document):
            assert POLICY.desk.phone in page
            assert "10:00-21:00" in page
        assert unprinted(document) == 0


def test_the_window_of_the_envelope_shows_the_addressee_alone() -> None:
    """Long envelope, size 3: the window lies 22 to 112 mm from the left, 12 to 57 from the top."""
    long_name = "株式会社" + "とても長い名前の会社" * 4
    customer = Addressee("C00000042", long_name, "150-0001", "東京都渋谷区神宮前" * 6, True)
    for document in (
        contract_document_pdf(replace(CONTRACT, customer=customer)),
        renewal_notice_pdf(replace(RENEWAL, customer=customer)),
    ):
        seen = [at for at in placed(document) if at.left < 118 and at.top < 57]
        shown = re.sub(r"\s", "", "".join(at.text for at in seen))
        assert shown == f"〒150-0001{customer.address}{long_name}御中会員番号C00000042"
        assert min(at.left for at in seen) > 22
        assert min(at.top for at in seen) > 15
