"""Why an invoice says what it says [請求の根拠]: for every yen the rule, the dates and the price.

Pure: what is known of a line goes in, sentences in Japanese and English with the numbers of the
requirements come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing.drafting import LEAVING, MethodKind
from isp.charges import ChargeKind, PricePeriod, price_in
from isp.documents import Language, day, yen
from isp.documents import month as written
from isp.legal import CustomerKind, is_capped
from isp.money import Rounding
from isp.month import Month
from isp.tax import RateTotal

ALWAYS = 1950
"""A price valid since before this year has always been valid."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason: what it is about, yen, the rule in both languages, and what it rests on."""

    about: str
    kind: str
    amount: int | None
    rule: Mapping[Language, str]
    dates: Mapping[str, date | Month]
    price: int | None
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaving:
    """How the contract of a line ends: the complete application and the last charged month."""

    received_on: date
    last_charged_month: Month
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """What of a contract decides its charges; yen net."""

    corporation: bool
    concluded_on: date
    opened_on: date | None
    charged_from: Month | None
    term_months: int
    free_months: int
    installation_fee: int
    prices: tuple[PricePeriod, ...]
    leaving: Leaving | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was billed."""

    kind: ChargeKind
    description: str
    month: Month
    net: int
    contract: ContractTerms | None


def explain_line(line: Line) -> Explanation:
    """The rule behind one line."""
    contract = line.contract
    if line.kind == "transfer-fee":
        return _explained(line, _TRANSFER_FEE, {"month": line.month}, line.net, ("ISP-05",))
    if contract is None:
        return _explained(line, _BY_HAND, {"month": line.month}, None, ("ALL-01",))
    if line.kind == "monthly":
        return _monthly(line, contract)
    if line.kind == "opening":
        dates = _known(opened_on=contract.opened_on, charged_from=contract.charged_from)
        return _explained(line, _OPENING, dates, line.net, ("ISP-02",))
    if contract.leaving is not None and line.kind in LEAVING:
        return _leaving(line, contract, contract.leaving)
    if contract.leaving is not None and line.kind == "adjustment":
        dates = _known(received_on=contract.leaving.received_on, opened_on=contract.opened_on)
        return _explained(line, _OPENING_RETURNED, dates, line.net, ("ISP-14",))
    return _explained(line, _BY_HAND, {"month": line.month}, None, ("ALL-01",))


def _explained(
    line: Line,
    rule: Mapping[Language, str],
    dates: Mapping[str, date | Month],
    price: int | None,
    requirements: tuple[str, ...],
) -> Explanation:
    return Explanation(line.description, line.kind, line.net, rule, dates, price, requirements)


def _known(**dates: date | Month | None) -> dict[str, date | Month]:
    return {name: value for name, value in dates.items() if value is not None}


def _sentences(
    texts: Mapping[Language, str], amounts: Mapping[str, int] | None = None, **values: Any
) -> dict[Language, str]:
    """The sentences with amounts, days and months as their language writes them."""

    def said(language: Language) -> dict[str, Any]:
        money = {name: yen(amount, language) for name, amount in (amounts or {}).items()}
        return money | {
            name: day(value, language)
            if isinstance(value, date)
            else written(value, language)
            if isinstance(value, Month)
            else value
            for name, value in values.items()
        }

    return {language: text.format_map(said(language)) for language, text in texts.items()}


_TRANSFER_FEE: Mapping[Language, str] = {
    "ja": "口座振替手数料は、振り替える金額がある月に、会員お1人につき月1回かかります。"
    "ご契約の数にはよりません。",
    "en": "The handling fee of account transfer is charged once per member and month, in months "
    "with something to collect, however many contracts there are.",
}
_OPENING: Mapping[Language, str] = {
    "ja": "初期費用は、開通月の料金とあわせて1回だけ請求します。",
    "en": "The opening fee is charged once, together with the month of opening.",
}
_OPENING_RETURNED: Mapping[Language, str] = {
    "ja": "初期契約解除により、先に請求した初期費用をお返しします。",
    "en": "The contract was withdrawn in time, so the opening fee billed before is given back.",
}
_BY_HAND: Mapping[Language, str] = {
    "ja": "担当者が記録した金額です。理由は監査記録にあります。",
    "en": "An amount recorded by an operator; the journal has the reason.",
}


_MONTHLY: Mapping[Language, str] = {
    "ja": "月額料金は、開通日({opened_on})の属する月から月単位でかかり、日割りはありません。"
    "{month}の料金は{price}(税抜)です。",
    "en": "The monthly fee runs from the month of opening ({opened_on}) for whole months, without "
    "proration. The price in {month} is {price} before tax.",
}
_PRICE_SINCE: Mapping[Language, str] = {
    "ja": "この料金は{since}から適用されています。",
    "en": " This price is in force since {since}.",
}
_FREE: Mapping[Language, str] = {
    "ja": "最初の{free}か月は無料でした。",
    "en": " The first {free} months were free.",
}
_LAST: Mapping[Language, str] = {
    "ja": "解約のお申し込み({received_on})により、料金は{last}分までです。",
    "en": " By the application to leave ({received_on}) charges end with {last}.",
}


def _joined(*texts: Mapping[Language, str]) -> dict[Language, str]:
    return {"ja": "".join(t["ja"] for t in texts), "en": "".join(t["en"] for t in texts)}


def _monthly(line: Line, contract: ContractTerms) -> Explanation:
    price, leaving = price_in(contract.prices, line.month), contract.leaving
    since = max(
        (period.since for period in contract.prices if period.since <= line.month),
        default=contract.prices[0].since,
    )
    texts = [_MONTHLY]
    dates = _known(opened_on=contract.opened_on, charged_from=contract.charged_from)
    requirements: tuple[str, ...] = ("ISP-02",)
    if since.year > ALWAYS:
        texts.append(_PRICE_SINCE)
        dates["price_since"] = since
    if contract.free_months:
        texts.append(_FREE)
    if leaving is not None:
        texts.append(_LAST)
        dates |= _known(received_on=leaving.received_on, last_charged=leaving.last_charged_month)
        requirements += ("ISP-09",)
    rule = _sentences(
        _joined(*texts),
        {"price": price},
        opened_on=contract.opened_on,
        month=line.month,
        since=since,
        free=contract.free_months,
        received_on=leaving and leaving.received_on,
        last=leaving and leaving.last_charged_month,
    )
    return _explained(line, rule, dates, price, requirements)


_EARLY_FEE: Mapping[Language, str] = {
    "ja": "{concluded_on}に成立したご契約(最低利用期間{term}か月)の解約のお申し込みを、更新月では"
    "ない{received_on}に受け付けたため、契約解除料がかかります。",
    "en": "The application to leave the contract concluded on {concluded_on} (minimum term {term} "
    "months) was received on {received_on}, outside the renewal month, so the early termination "
    "fee is due.",
}
_CAPPED: Mapping[Language, str] = {
    "ja": "法令により、月額料金1か月分が上限です。",
    "en": " By law it is at most one monthly fee.",
}
_NEXT_RUN: Mapping[Language, str] = {
    "ja": "{last}分は請求済みだったため、次の請求に含めました。",
    "en": " {last} had been billed already, so it came with the next run.",
}
_REMAINING: Mapping[Language, str] = {
    "ja": "工事費{fee}(税抜)のうち、最低利用期間{term}か月に対してまだご利用のない分です。"
    "期間からご利用月数を引いて1を足した月数を、期間で割った割合です(1円未満切り捨て)。",
    "en": "Of the installation fee of {fee} before tax, the part of the term of {term} months not "
    "yet used: (term - months used + 1) / term, rounded down.",
}
_WORK_DONE: Mapping[Language, str] = {
    "ja": "初期契約解除({received_on})では、行った工事の費用を法令の上限まで請求します。",
    "en": "On early withdrawal ({received_on}) the installation work done is charged up to the "
    "legal maximum.",
}


def _leaving(line: Line, contract: ContractTerms, leaving: Leaving) -> Explanation:
    """Early termination fee or installation work."""
    kind: CustomerKind = "corporation" if contract.corporation else "individual"
    if line.kind == "installation":
        texts = [_WORK_DONE if leaving.withdrawn else _REMAINING]
        requirements: tuple[str, ...] = ("ISP-14",) if leaving.withdrawn else ("ISP-13",)
        price = contract.installation_fee
    elif is_capped(kind, contract.concluded_on):
        texts, requirements, price = [_EARLY_FEE, _CAPPED], ("ISP-11", "ISP-13"), line.net
    else:
        texts, requirements, price = [_EARLY_FEE], ("ISP-11",), line.net
    if line.month != leaving.last_charged_month:
        texts.append(_NEXT_RUN)
    rule = _sentences(
        _joined(*texts),
        {"fee": contract.installation_fee},
        concluded_on=contract.concluded_on,
        term=contract.term_months,
        received_on=leaving.received_on,
        last=leaving.last_charged_month,
    )
    dates = _known(
        concluded_on=contract.concluded_on,
        received_on=leaving.received_on,
        last_charged=leaving.last_charged_month,
    )
    return _explained(line, rule, dates, price, requirements)


_ROUNDED: Mapping[Rounding, Mapping[Language, str]] = {
    "floor": {"ja": "切り捨て", "en": "rounded down"},
    "half-up": {"ja": "四捨五入", "en": "rounded half up"},
    "ceil": {"ja": "切り上げ", "en": "rounded up"},
}
_TAX: Mapping[Language, str] = {
    "ja": "{month}の税率{rate}%の合計{net}にかかる消費税です(端数は請求書ごと、税率ごとに1回だけ"
    "{rounded})。",
    "en": "Consumption tax on {net} at {rate} %, the rate in {month}, {rounded} once per invoice "
    "and rate.",
}
_UNTAXED: Mapping[Language, str] = {
    "ja": "契約解除料など、消費税のかからない金額の合計です。",
    "en": "The sum of what is not taxable, such as an early termination fee.",
}


def explain_tax(total: RateTotal, month: Month, rounding: Rounding) -> Explanation:
    """How the tax of one rate came about (ALL-01)."""
    languages: tuple[Language, Language] = ("ja", "en")
    rule = {
        language: _sentences(
            _TAX if total.rate else _UNTAXED,
            {"net": total.net},
            month=month,
            rate=total.rate,
            rounded=_ROUNDED[rounding][language],
        )[language]
        for language in languages
    }
    about = f"{total.rate} %"
    return Explanation(about, "tax", total.tax, rule, {"month": month}, total.net, ("ALL-01",))


_DUE: Mapping[MethodKind, Mapping[Language, str]] = {
    "account-transfer": {
        "ja": "口座振替は翌月{day}日です。金融機関の休業日にあたるときは翌営業日になります。",
        "en": "Account transfer is drawn on day {day} of the next month, moved to the next bank "
        "business day.",
    },
    "card": {
        "ja": "カードのご利用日は、請求対象月の末日です。カード会社の明細には1か月から3か月後に"
        "記載されます。",
        "en": "A card sale is dated the last day of the month it bills; the card company shows it "
        "one to three months later.",
    },
    "invoice": {
        "ja": "お支払期限は翌月末日です。休業日にあたるときは翌営業日になります。",
        "en": "Payable by the end of the next month, moved to the next business day.",
    },
}
_MOVED: Mapping[Language, str] = {
    "ja": "{collect_on}に振替または請求ができなかったため、その翌月末日(休業日のときは翌営業日)が"
    "お支払期限です。",
    "en": "It could not be collected on {collect_on}, so it is payable by the end of the month "
    "after, moved to the next business day.",
}
_DUE_BY: Mapping[MethodKind, tuple[str, ...]] = {
    "account-transfer": ("ISP-07",),
    "card": ("ISP-06",),
    "invoice": ("BIZ-13",),
}


def explain_due_date(
    method: MethodKind, month: Month, due_on: date, transfer_day: int, failed_on: date | None
) -> Explanation:
    """Why an invoice is due on its day; `failed_on` where a collection before came back unpaid."""
    dates = _known(month=month, due_on=due_on, collect_on=failed_on)
    if failed_on is not None and method == "invoice":
        rule = _sentences(_MOVED, collect_on=failed_on)
        return Explanation("due_on", "due-date", None, rule, dates, None, ("ISP-07",))
    rule = _sentences(_DUE[method], day=transfer_day)
    return Explanation("due_on", "due-date", None, rule, dates, None, _DUE_BY[method])
