"""``spec.evaluation.datasets``: data that a model is measured on apart, beside what is held out."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .columns import Fields
from .locations import PART, forms, matches
from .source import HUB, PYTHON_STDLIB, MaxBytes, Revision, SourceSpec, name_mistake

MOST_SETS = 16
SET_NAME = r"[a-zA-Z0-9][-_a-zA-Z0-9]*"
SOURCE_FORM = rf"{PYTHON_STDLIB}|{forms(PART, bucket=True)}|{HUB}"
SOURCE_FIX = (
    f"use {PYTHON_STDLIB}, pvc://CLAIM/FOLDER, file:///FOLDER, s3://BUCKET/FOLDER or, of the Hugging Face "
    "hub, OWNER/NAME; no folder may be empty, '.' or '..'"
)


def _on_hub(one: EvaluationSet) -> str | None:
    if one.revision is None or re.fullmatch(HUB, one.source):
        return None
    return f"got {one.revision!r}, but only a dataset of the hub (OWNER/NAME) has revisions; remove it"


class EvaluationSet(RuledModel):
    """One set: its own source, columns and limit."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=f"^{SET_NAME}$",
        description="What results call it: letters, digits, '-' and '_'. No two sets have the same.",
    )
    source: str = Field(
        max_length=512,
        description="Where it lies, as in dataset.name, but not builtin://random-tokens. A store's "
        "credentials are those of dataset.secret.",
    )
    max_bytes: MaxBytes | None = None
    fields: Fields | None = None
    revision: Revision | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("source", ".source", SOURCE_FORM, SOURCE_FIX, why=name_mistake),
        Rule(
            f"!has(self.revision) || self.source.matches(r'^({HUB})$')",
            ".revision",
            "only a dataset of the hub (OWNER/NAME) has revisions; remove it, or name such a dataset",
            _on_hub,
        ),
    )

    @property
    def as_source(self) -> SourceSpec:
        """The same as a dataset has it."""
        return SourceSpec(
            name=self.source, weight=1, max_bytes=self.max_bytes, fields=self.fields, revision=self.revision
        )
