"""Steps that change or drop documents before anything else sees them: one file and one row of `STEPS` each.

They stand between reading and the held-out split, so that copies which cleaning makes equal fall on one side,
and the tokenizer and the training rows see the same cleaned text. Their settings are part of the data's key,
so another setting prepares the data again. No torch: the launcher reads the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrain_api import JobSpec

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class CleaningStep:
    """One way of cleaning.

    Attributes:
        name: for the key, the log and the report.
        version: raised whenever the same settings would give other text.
        settings: JSON-ready, from a job; None where the job does not ask for the step.
        clean: the texts of one source, cleaned, in their order. Called once for each pass over the source.
    """

    name: str
    version: int
    settings: Callable[[JobSpec], Settings | None]
    clean: Callable[[Iterator[str], Settings], Iterator[str]]


STEPS: tuple[CleaningStep, ...] = ()
"""All cleaning steps, in the order in which they are applied."""


def asked(spec: JobSpec) -> list[tuple[CleaningStep, Settings]]:
    """The steps that a job asks for, with their settings."""
    found = ((step, step.settings(spec)) for step in STEPS)
    return [(step, settings) for step, settings in found if settings is not None]


def key_of(spec: JobSpec) -> list[dict[str, Any]]:
    """All that the cleaned text depends on besides the text."""
    return [
        {"name": step.name, "version": step.version, "settings": dict(settings)}
        for step, settings in asked(spec)
    ]
