"""The outbox [送信箱]: notices are stored with the act that caused them, and sent once afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from isp.shift import Shift
from isp.tables import Customer, Outbox


def message_id(kind: str, key: str, domain: str) -> str:
    """The Message-ID of the one notice of this kind for `key`; the table refuses a second."""
    digest = hashlib.sha256(f"{kind}/{key}".encode()).hexdigest()[:24]
    return f"<{kind}.{digest}@{domain}>"


def post(
    session: Session,
    shift: Shift,
    kind: str,
    customer: Customer,
    key: str,
    values: Mapping[str, object],
    *,
    due_on: date | None = None,
    recipient: str | None = None,
    attachments: tuple[tuple[str, bytes, str], ...] = (),
) -> bool:
    """Put a notice to `customer` into the outbox; false where this one is there already (ALL-02).

    `key` tells notices of one kind apart, e.g. `K00000012/2028-04`; `attachments` are
    (file name, bytes, media type). Operator, desk and the customer's name come by themselves.
    It goes to the customer's own mail address, unless another `recipient` is given.
    """
    from isp.notices import notice

    policy = shift.policy
    identity = message_id(kind, key, policy.mail.domain)
    if session.scalar(select(Outbox.id).where(Outbox.message_id == identity)):
        return False
    common = {
        "operator": policy.operator,
        "desk": policy.desk,
        "customer_name": customer.name,
        "customer_kind": customer.kind,
        "customer_number": customer.number,
    }
    session.add(
        Outbox(
            message_id=identity,
            kind=kind,
            subject=customer.number,
            recipient=recipient or customer.email,
            due_on=due_on or shift.day.today,
            message=notice(
                kind,
                customer.language,
                {**common, **values},
                sender=policy.outbox.sender,
                recipient=recipient or customer.email,
                message_id=identity,
                date=shift.day.now,
                attachments=attachments,
            ),
        )
    )
    return True
