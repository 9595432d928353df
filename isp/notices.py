"""Notices by mail [お知らせメール]: one text a kind and language, complete messages (RFC 5322).

Every notice names the operator, the desk with its number and hours (ISP-22), and the member. No
notice carries a password (ISP-01).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from isp.documents import Language, environment, printable
from isp.letters import line_name, speed_statement
from isp.policy import Desk, Operator

COMMON: Final = frozenset({"operator", "desk", "customer_name", "customer_kind", "customer_number"})
"""What every kind needs: the operator and the desk of the policy, and whom it is for."""

_OWN: Final[Mapping[str, frozenset[str]]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "contract-concluded": "contract_number plan_name concluded_on line monthly_fee "
        "monthly_fee_gross opening_fee free_months installation_fee term_months term_start "
        "term_end renewal_month early_fee cutoff_day withdrawal_days withdrawal_until consumer",
        "opened": "contract_number plan_name opened_on charged_from",
        "renewal-notice": "contract_number plan_name renewal_month early_fee cheapest_day "
        "last_free_day next_term_end",
        "renewed": "contract_number plan_name term_start term_end renewal_month",
        "cancellation-received": "contract_number received_on last_charged_month ends_on "
        "early_fee installation total",
        "cancellation-incomplete": "contract_number received_on cutoff_day",
        "contract-ended": "contract_number plan_name ended_on",
        "withdrawn": "contract_number received_on charges_net",
        "invoice-issued": "invoice_number month gross due_on method",
        "transfer-announced": "invoice_number month gross debit_on",
        "transfer-failed": "invoice_number month gross debit_on reason retry_on",
        "mandate-needed": "",
        "payment-received": "invoice_number month amount paid_on balance",
        "mailbox-password-reissued": "contract_number address",
        "setup-guide": "contract_number title guide",
        "move-impossible": "contract_number postal_code address early_fee installation total "
        "cheapest_day cheapest_total",
        "moved": "contract_number postal_code address moved_on",
        "data-changed": "changed_on changed",
    }.items()
}
KINDS: Final[Mapping[str, frozenset[str]]] = {kind: COMMON | own for kind, own in _OWN.items()}
"""The values that each kind of notice needs: days as `date`, months as `Month`, amounts as whole
yen; `changed` names the changed fields, `guide` has the lines of a setup guide; `retry_on` is None where
an invoice to pay follows."""

_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>", re.ASCII)
_WIRE: Final = SMTP.clone(cte_type="7bit")
"""7 bit on the wire: a server without 8BITMIME takes it, and signatures survive."""


def _refuse_wrong_values(kind: str, values: Mapping[str, object]) -> None:
    if kind not in KINDS:
        raise ValueError(f"no notice of kind {kind!r}; there are: {', '.join(sorted(KINDS))}")
    if missing := KINDS[kind] - values.keys():
        raise ValueError(f"notice {kind}: missing {', '.join(sorted(missing))}")
    if extra := values.keys() - KINDS[kind]:
        raise ValueError(f"notice {kind}: unknown {', '.join(sorted(extra))}")


def _plain(value: object) -> object:
    """Texts become one line each, so that a name cannot forge a line of the notice."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (tuple, list)):
        return tuple(_plain(of) for of in value)
    return value


def _header(text: str) -> str:
    """`text` as it may stand in a header: what looks like an encoded word (RFC 2047) is none.

    Blanks of any width become one space, as the library loses others where it folds.
    """
    return " ".join(printable(text).replace("=?", "= ?").split())


def _address(field: str, display_name: str, address: str) -> Address:
    """A mailbox with its display name; anything but one bare ASCII address is refused.

    A name without a break is not folded: cut, it stays within the 998 characters of a line.
    """
    try:
        made = Address(display_name=_header(display_name)[:200], addr_spec=address)
    except (ValueError, IndexError, MessageError):
        made = None
    if made is None or made.addr_spec != address or not address.isascii():
        raise ValueError(f"{field}: {address!r} is not a mail address")
    return made


def notice(
    kind: str,
    language: Language,
    values: Mapping[str, object],
    *,
    sender: str,
    recipient: str,
    message_id: str,
    date: datetime,
    attachments: tuple[tuple[str, bytes, str], ...] = (),
) -> bytes:
    """A complete notice [お知らせ] as bytes with CRLF; the same arguments give the same bytes.

    `values` are exactly those that `KINDS` names. `sender` and `recipient` are bare addresses, to
    which the names of operator and member are added; `attachments` are (file name, bytes, media
    type). ValueError for wrong values, an address or a Message-ID that is none.
    """
    _refuse_wrong_values(kind, values)
    operator, desk = values["operator"], values["desk"]
    if not isinstance(operator, Operator) or not isinstance(desk, Desk):
        raise ValueError(f"notice {kind}: operator and desk are those of the policy")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"message_id: {message_id!r} is not a Message-ID")
    if date.tzinfo is None:
        raise ValueError("date: an instant has an offset")
    subject, _, body = (
        environment()
        .get_template(f"mail/{kind}.{language}.txt.j2")
        .render(
            {name: _plain(value) for name, value in values.items()},
            language=language,
            line_name=line_name,
            speed_statement=speed_statement,
        )
        .partition("\n\n")
    )
    message = EmailMessage(policy=_WIRE)
    message["From"] = _address(
        "sender", operator.name if language == "ja" else operator.name_en, sender
    )
    message["To"] = _address("recipient", str(values["customer_name"]), recipient)
    message["Subject"] = _header(subject)
    message["Date"] = date
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    # Either encoding leaves no line that could pass for the boundary below.
    message.set_content(body, cte="quoted-printable" if body.isascii() else "base64")
    message["Content-Language"] = language
    for name, content, media_type in attachments:
        main, _, sub = media_type.partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=_header(name))
    if attachments:
        # The library would draw one by lot, and the same arguments give the same bytes here.
        message.set_boundary(f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}")
    return message.as_bytes()
