"""The steps of a setup guide [手順]: a screen each, or commands to type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Control = Literal["text", "choice", "secret", "empty", "ticked", "unticked", "maybe", "on", "off"]
"""How a screen has a field: an input box, a list, a password, what stays empty, a box to tick (or
to tick where it pleases), a switch."""
Drawing = Literal["window", "phone", "wiring"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a screen and what goes into it; `typed` where the member types it in letters."""

    label: str
    value: str
    typed: bool = False
    control: Control = "choice"


@dataclass(frozen=True, slots=True)
class Step:
    """One screen: the way to it, what to do there, and what to enter; or commands to type."""

    path: tuple[str, ...]
    fields: tuple[Field, ...]
    text: str
    commands: tuple[str, ...] = ()
    drawing: Drawing = "window"
