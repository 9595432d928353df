"""How the product refuses: one line naming the field, the rule and the remedy (ALL-04)."""

from __future__ import annotations

from collections.abc import Iterable


class Refused(Exception):
    """Bad input, or a rule of the business forbids it; nothing was changed. Exit code 2."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class RowsRefused(Refused):
    """A file was refused whole; every bad row is reported with its line number.

    `rows` holds (line number, field, why), the header being line 1.
    """

    def __init__(self, file: str, rows: Iterable[tuple[int, str, str]]) -> None:
        self.rows = tuple(rows)
        super().__init__(file, f"{len(self.rows)} bad row(s), nothing was imported")


class Fault(Exception):
    """The machine's fault, not the operator's: a missing file, a locked database. Exit code 1."""
