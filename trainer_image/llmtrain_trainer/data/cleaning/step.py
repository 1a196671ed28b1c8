"""What a cleaning step is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrain_api.schema.cleaning import CleaningSpec

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Dropped:
    """A document is left out.

    Attributes:
        reason: of the step, for the report; empty where a step has one reason alone.
    """

    reason: str = ""


Cleaner = Callable[[str, "Counter[str]"], "str | Dropped"]
"""Gives the cleaned text, and counts what it found in it by name. The same text gives the same."""


@dataclass(frozen=True)
class CleaningStep:
    """One way of cleaning a text on its own.

    Attributes:
        name: for the key, the log and the report.
        version: raised whenever the same settings would give other text.
        settings: JSON-ready, of what a job asks for; None where it does not ask for the step.
        cleaner: made once for many texts, by the settings.
        judges: whether it keeps or drops a document as a whole, and changes nothing; else it is applied to
            each message of a dialogue.
    """

    name: str
    version: int
    settings: Callable[[CleaningSpec], Settings | None]
    cleaner: Callable[[Settings], Cleaner]
    judges: bool = False
