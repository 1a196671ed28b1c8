"""Steps that change or drop documents before anything else sees them: one file and one row of `STEPS` each.

They stand between reading and the held-out split, so that copies which cleaning makes equal fall on one side,
and the tokenizer and the training rows see the same cleaned text. Their settings are part of the data's key,
so another setting prepares the data again. No torch and no numpy: the launcher reads the key.

A step of `STEPS` sees one text alone. Two do not, and are no rows of it: copies are found in a pass of their
own over all sources (`duplicates`), and swapped copies are added after the split (`swaps`).
"""

from __future__ import annotations

from typing import Any

from llmtrain_api import JobSpec
from llmtrain_api.schema.cleaning import SIMILARITY, CleaningSpec, Duplicates

from . import swaps
from .length import LENGTH
from .masking import MASK
from .quality import QUALITY
from .step import CleaningStep, Settings
from .unicode import REPAIR
from .whitespace import WHITESPACE

STEPS: tuple[CleaningStep, ...] = (REPAIR, WHITESPACE, MASK, LENGTH, QUALITY)
"""All steps on single texts, in the order in which they are applied. Those that judge come last."""

DUPLICATES, DUPLICATES_VERSION = "duplicates", 1


def asked(spec: JobSpec) -> list[tuple[CleaningStep, Settings]]:
    """The steps on single texts that a job asks for, with their settings."""
    cleaning = spec.dataset.cleaning or CleaningSpec()
    found = ((step, step.settings(cleaning)) for step in STEPS)
    return [(step, settings) for step, settings in found if settings is not None]


def duplicates_of(spec: JobSpec) -> dict[str, Any] | None:
    """Which copies a job wants dropped; None for none."""
    cleaning = spec.dataset.cleaning
    if cleaning is None or cleaning.duplicates is None:
        return None
    if cleaning.duplicates is Duplicates.EXACT:
        return {"kind": "exact"}
    return {"kind": "near", "similarity": cleaning.similarity or SIMILARITY}


def key_of(spec: JobSpec) -> list[dict[str, Any]]:
    """All that the cleaned text depends on besides the text."""
    steps = [(step.name, step.version, dict(settings)) for step, settings in asked(spec)]
    if (found := duplicates_of(spec)) is not None:
        steps.append((DUPLICATES, DUPLICATES_VERSION, found))
    if spec.dataset.cleaning and (terms := swaps.settings(spec.dataset.cleaning)) is not None:
        steps.append((swaps.NAME, swaps.VERSION, terms))
    return [{"name": name, "version": version, "settings": settings} for name, version, settings in steps]
