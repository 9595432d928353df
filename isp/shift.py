"""The shift that does the work [当番]: who acts, on which day, by which policy, in which folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from isp.calendar import Day
from isp.policy import Policy

if TYPE_CHECKING:
    from isp.sealing import Seal


@dataclass(frozen=True)
class Shift:
    """Handed to every run beside the session; runs read no clock, environment or file themselves.

    `root` is the folder of `isp.toml`, from which relative paths in the policy count.
    """

    policy: Policy
    day: Day
    actor: str
    root: Path

    @cached_property
    def seal(self) -> Seal:
        """The key that seals bank accounts, read from its file when it is first needed."""
        from isp.sealing import Seal

        return Seal(self.root / self.policy.database.key_file)
