"""Setup guides sent by mail [設定ガイドの送付]."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from isp.identity import email
from isp.journal import record
from isp.outbox import post
from isp.shift import Shift
from isp.tables import Contract, Journal
from provisioning.client_files import client_of
from provisioning.guides import guide_for, guide_pdf, guide_text
from provisioning.queries import access_named, guide_settings, mailbox_named
from provisioning.settings import ConnectionSettings, connection_settings

SENT = "guide.sent"


def send_guide(
    session: Session, shift: Shift, address: str, client: str, to: str | None = None
) -> dict[str, Any]:
    """Mail a guide to the member, in the member's language, as text and PDF (ISP-16, ISP-17).

    It goes to the member's registered mail address [連絡先メールアドレス], or to `to` where the member
    on the phone wishes so. The same guide may be sent again: each sending is recorded.
    """
    settings = guide_settings(session, shift, address, client)
    contract = _contract(session, address, client)
    customer = contract.customer
    language = customer.language
    if isinstance(settings, ConnectionSettings):
        settings = connection_settings(settings.connection_id, settings.line, language)
    guide = guide_for(client, settings, language, shift.policy.desk, shift.policy.operator)
    recipient = customer.email if to is None else email(to, "to")
    told = {"client": guide.client, "to": recipient, "language": language}
    record(session, shift, SENT, guide.address, after=told)
    times = session.scalars(
        select(func.count(Journal.id)).where(Journal.subject == guide.address, Journal.act == SENT)
    ).one()
    post(
        session,
        shift,
        "setup-guide",
        customer,
        f"{guide.address}/{times}",
        {
            "contract_number": contract.number,
            "title": guide.title,
            "guide": tuple(guide_text(guide, language).splitlines()),
        },
        recipient=recipient,
        attachments=((f"guide-{guide.client}.pdf", guide_pdf(guide, language), "application/pdf"),),
    )
    return {"address": guide.address, "customer": customer.number, **told}


def _contract(session: Session, address: str, client: str) -> Contract:
    if client_of(client).kind == "connection":
        return access_named(session, address).contract
    return mailbox_named(session, address).contract
