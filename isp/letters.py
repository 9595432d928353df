"""Letters about a contract [契約書面・更新のご案内] (ISP-15).

The contract document says everything the member is bound to and may do; the renewal notice says
when leaving is free. Both fold into a window envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from isp.documents import Addressee, Language, day, letterhead, month, pdf, yen
from isp.month import Month
from isp.policy import Desk, Operator

_LINES: Final[Mapping[str, Mapping[Language, tuple[str, str]]]] = {
    "flets-hikari-next": {
        "ja": (
            "フレッツ 光ネクスト",
            "技術規格上の最大速度は、回線のタイプにより100Mbpsから1Gbpsです。",
        ),
        "en": (
            "FLET'S Hikari Next",
            "By its technical standard the line reaches 100 Mbps to 1 Gbps at most, by its type.",
        ),
    },
    "b-flets": {
        "ja": ("Bフレッツ", "技術規格上の最大速度は100Mbpsです。"),
        "en": ("B FLET'S", "By its technical standard the line reaches 100 Mbps at most."),
    },
    "flets-adsl": {
        "ja": (
            "フレッツ・ADSL",
            "技術規格上の最大速度は、回線のタイプにより下り1.5Mbpsから47Mbps、上り512kbpsから5Mbps"
            "です。収容局から遠いほど、また電話線の状態により、大きく低下します。",
        ),
        "en": (
            "FLET'S ADSL",
            "By its technical standard the line reaches 1.5 to 47 Mbps down and 512 kbps to 5 Mbps "
            "up at most, by its type. It becomes much slower with the distance to the exchange and "
            "with the state of the telephone wire.",
        ),
    },
}
_BEST_EFFORT: Final[Mapping[Language, str]] = {
    "ja": "通信速度はベストエフォート方式です。実際の速度を保証するものではなく、ご利用の機器や配線、"
    "回線の混み具合、時間帯などにより低下します。",
    "en": "Speed is best effort: no actual speed is guaranteed. It falls with your equipment and "
    "wiring, with the load of the line and with the time of day.",
}


def line_name(line: str, language: Language) -> str:
    """The line type [回線種別] as people know it; empty for a contract without a line."""
    return _LINES[line][language][0] if line in _LINES else ""


def speed_statement(line: str, language: Language) -> str:
    """That speed is best effort [ベストエフォート], and what the line type reaches (ISP-19)."""
    if line not in _LINES:
        return _BEST_EFFORT[language]
    reaches = _LINES[line][language][1]
    return f"{reaches}{'' if language == 'ja' else ' '}{_BEST_EFFORT[language]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDocument:
    """The contract document [契約書面]: fees in whole yen before tax unless named `_gross`.

    `line` is the line type. `consumer` decides whether the right of early withdrawal applies;
    `withdrawal_until` is its last day as counted from the receipt that is on record (ISP-14).
    """

    contract_number: str
    customer: Addressee
    plan_name: str
    line: str
    concluded_on: date
    issued_on: date
    monthly_fee: int
    monthly_fee_gross: int
    opening_fee: int
    free_months: int
    installation_fee: int
    term_months: int
    term_start: Month
    term_end: Month
    renewal_month: Month
    early_fee: int
    cutoff_day: int
    withdrawal_days: int
    withdrawal_until: date
    withdrawal_installation_maximum: int
    consumer: bool
    transfer_fee: int
    operator: Operator
    desk: Desk
    language: Language = "ja"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalNotice:
    """The notice before the renewal month [更新月のご案内] (ISP-15); `early_fee` in whole yen.

    `cheapest_day` is the last day on which leaving costs least, `last_free_day` the last one
    without the early termination fee.
    """

    contract_number: str
    customer: Addressee
    plan_name: str
    issued_on: date
    renewal_month: Month
    early_fee: int
    cheapest_day: date
    last_free_day: date
    next_term_end: Month
    operator: Operator
    desk: Desk
    language: Language = "ja"


def contract_document_pdf(document: ContractDocument) -> bytes:
    """The contract document as PDF: fees, term, renewal month, leaving, withdrawal, speed."""
    language = document.language

    def paid(amount: int) -> str:
        return yen(amount, language)

    return pdf(
        "letters/contract.typ",
        {
            **letterhead(document.customer, document.operator, document.desk, language),
            "contract_number": document.contract_number,
            "name": document.customer.name,
            "plan_name": document.plan_name,
            "line": line_name(document.line, language),
            "speed": speed_statement(document.line, language),
            "concluded_on": day(document.concluded_on, language),
            "issued_on": day(document.issued_on, language),
            "monthly_fee": paid(document.monthly_fee),
            "monthly_fee_gross": paid(document.monthly_fee_gross),
            "opening_fee": paid(document.opening_fee),
            "free_months": document.free_months,
            "installation_fee": paid(document.installation_fee),
            "has_installation": document.installation_fee > 0,
            "transfer_fee": paid(document.transfer_fee),
            "term_months": document.term_months,
            "term_start": month(document.term_start, language),
            "term_end": month(document.term_end, language),
            "renewal_month": month(document.renewal_month, language),
            "early_fee": paid(document.early_fee),
            "has_early_fee": document.early_fee > 0,
            "cutoff_day": document.cutoff_day,
            "consumer": document.consumer,
            "withdrawal_days": document.withdrawal_days,
            "withdrawal_until": day(document.withdrawal_until, language),
            "withdrawal_installation_maximum": paid(document.withdrawal_installation_maximum),
        },
    )


def renewal_notice_pdf(notice: RenewalNotice) -> bytes:
    """The renewal notice as PDF: the renewal month, the fee outside it, the cheapest day."""
    language = notice.language
    return pdf(
        "letters/renewal.typ",
        {
            **letterhead(notice.customer, notice.operator, notice.desk, language),
            "contract_number": notice.contract_number,
            "plan_name": notice.plan_name,
            "issued_on": day(notice.issued_on, language),
            "renewal_month": month(notice.renewal_month, language),
            "renewal_first": day(notice.renewal_month.first, language),
            "following_month": month(notice.renewal_month + 1, language),
            "early_fee": yen(notice.early_fee, language),
            "has_early_fee": notice.early_fee > 0,
            "cheapest_day": day(notice.cheapest_day, language),
            "last_free_day": day(notice.last_free_day, language),
            "next_term_end": month(notice.next_term_end, language),
        },
    )
