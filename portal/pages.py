"""Pages for members [設定案内ページ]: the address box, what it leads to, guides, and refusals.

No script, no cookie, no file from elsewhere; the desk stands on each of them (ISP-22).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from isp.documents import Language, environment
from isp.policy import Policy
from provisioning.addresses import MailAddress
from provisioning.client_files import clients
from provisioning.guides import guide_for, guide_html
from provisioning.settings import settings_for

PROBLEMS: Final[dict[str, dict[Language, str]]] = {
    "malformed": {
        "ja": "メールアドレスを「名前@ドメイン」の形で、1つだけ入力してください。",
        "en": "Please enter one mail address as NAME@DOMAIN.",
    },
    "not-served": {
        "ja": "当社のメールアドレスではないようです。@ の後ろをご確認ください。",
        "en": "This does not seem to be an address of ours. Please check what stands after the @.",
    },
    "no-guide": {
        "ja": "このメールソフトの設定ガイドはありません。下の一覧からお選びください。",
        "en": "There is no guide for this mail program. Please choose one from the list.",
    },
    "away": {
        "ja": "ただいまご案内できません。しばらくしてからもう一度お試しください。",
        "en": "We cannot answer at the moment. Please try again in a while.",
    },
}


def language_of(written: str, accepted: str, default: Language) -> Language:
    """`?lang=`, else what the browser prefers (`Accept-Language`), else the operator's language."""
    if written in ("ja", "en"):
        return "ja" if written == "ja" else "en"
    best: tuple[float, Language] = (0.0, default)
    for part in accepted[:200].lower().replace(" ", "").split(","):
        tag, _, weight = part.partition(";q=")
        primary = tag.partition("-")[0]
        if primary in ("ja", "en"):
            best = max(best, (_weight(weight), "ja" if primary == "ja" else "en"), key=_first)
    return best[1]


def _first(pair: tuple[float, Language]) -> float:
    return pair[0]


def _weight(written: str) -> float:
    """Between 0 and 1, as RFC 9110 (12.4.2) writes it; what is not written so counts for nothing."""
    if not written:
        return 1.0
    digits = written.replace(".", "", 1)
    return min(float(written), 1.0) if digits.isascii() and digits.isdigit() else 0.0


def front_page(policy: Policy, language: Language, address: MailAddress | None = None) -> str:
    """The box for an address; with one, the way to each guide and to the profile for Apple Mail."""
    return _page(policy, language, address, "")


def problem_page(
    policy: Policy, language: Language, problem: str, address: MailAddress | None = None
) -> str:
    """The box again, and above it what to correct; never what was entered."""
    return _page(policy, language, address, PROBLEMS[problem][language])


def _page(policy: Policy, language: Language, address: MailAddress | None, problem: str) -> str:
    mail = [client for client in clients() if client.kind == "mail"]
    return (
        environment()
        .get_template("portal/page.html")
        .render(
            language=language,
            operator=policy.operator.name if language == "ja" else policy.operator.name_en,
            desk=policy.desk,
            address=address and str(address),
            written=quote(str(address or ""), safe=""),
            problem=problem,
            programs=[
                {"key": client.key, "title": client.title.said(language), "legacy": client.legacy}
                for client in sorted(mail, key=lambda each: (bool(each.files), each.legacy))
            ],
        )
    )


def guide_page(policy: Policy, language: Language, client: str, address: MailAddress) -> str | None:
    """The guide for any address, with a name for nobody; None where no mail program is called so."""
    named = {name: each for each in clients() for name in (each.key, *each.aliases)}
    found = named.get(client.casefold())
    if found is None or found.kind != "mail":
        return None
    settings = settings_for(str(address), "", policy.mail, legacy=found.legacy)
    return guide_html(
        guide_for(found.key, settings, language, policy.desk, policy.operator), language
    )
