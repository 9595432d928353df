"""Where an invoice stands after something has happened to it [消込]: status and planned collection."""

from __future__ import annotations

from sqlalchemy.orm import Session

from billing.collecting import status_of
from billing.queries import balance, has_failed, open_collection
from billing.tables import Invoice


def settle(session: Session, invoice: Invoice) -> int:
    """Set the status by what is still to be paid, and return it in yen.

    A collection that is only planned is reduced to it, or withdrawn where nothing is left.
    """
    owed = balance(session, invoice)
    collection = open_collection(session, invoice.id)
    if collection is not None and collection.state == "planned":
        if owed > 0:
            collection.amount = owed
        else:
            collection.state = "withdrawn"
    invoice.status = status_of(
        owed,
        void=invoice.status == "void",
        exported=collection is not None and collection.state == "exported",
        failed=has_failed(session, invoice.id),
    )
    session.flush()
    return owed
