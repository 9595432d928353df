"""Record numbers [番号]: a prefix from the policy and eight digits, never used twice."""

from __future__ import annotations

import re
from reprlib import repr as shown

from sqlalchemy import func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from isp.errors import Refused


def written(prefix: str, ordinal: int) -> str:
    """`C00000012`."""
    if ordinal > 99_999_999:
        raise Refused("number", f"{prefix}{'9' * 8} is in use, and no number comes after it")
    return f"{prefix}{ordinal:08d}"


def next_ordinal(session: Session, column: InstrumentedAttribute[str], prefix: str) -> int:
    """The ordinal after the highest number in use with this prefix and form.

    Numbers kept from another system (migration) count where they have our form. The table stays
    locked to the end of the transaction, so that two operators never get the same number: ask
    before anything is written.
    """
    if session.get_bind().dialect.name == "postgresql":
        table = column.class_.__tablename__
        session.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
    ours = (
        column.between(written(prefix, 0), prefix + "9" * 8),
        func.length(column) == len(prefix) + 8,
        func.ltrim(func.substr(column, len(prefix) + 1), "0123456789") == "",
    )
    highest = session.scalar(select(func.max(column)).where(*ours))
    return int(highest.removeprefix(prefix)) + 1 if highest else 1


def given_number(number: str, prefix: str) -> str:
    """A number kept from another system: the prefix and 1 to 17 letters, digits or hyphens."""
    if not re.fullmatch(re.escape(prefix) + r"[0-9A-Z-]{1,17}", number, re.ASCII):
        raise Refused(
            "number", f"{shown(number)} must be {prefix} and up to 17 digits, capitals or hyphens"
        )
    return number
