"""Sealing anew with the current key [鍵の更新]; see `isp.sealing`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from isp.sealing import Seal


def reseal(session: Session, seal: Seal, column: InstrumentedAttribute[Any]) -> int:
    """Seal every value of a column with the current key; how many. Killed, it is run again."""
    values = session.scalars(select(column).where(column.is_not(None))).all()
    for sealed in values:
        session.execute(
            update(column.class_)
            .where(column == sealed)
            .values({column.key: seal.reseal(sealed)})
            .execution_options(synchronize_session=False)
        )
    return len(values)
