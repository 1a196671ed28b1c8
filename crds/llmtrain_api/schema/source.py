"""A source of text: where it lies, and how much of it is read."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from .base import Rule, RuledModel
from .columns import DIALOGUE, Fields
from .locations import BUCKET, HUB_NAME, PART, forms, matches, mistake

PYTHON_STDLIB = "builtin://python-stdlib"
RANDOM_TOKENS = "builtin://random-tokens"

HUB = rf"{HUB_NAME}/{HUB_NAME}(/{PART})*"
STORED = rf"s3://{BUCKET}(/{PART})+/?|{HUB}"
NAME_FORM = rf"{PYTHON_STDLIB}|{RANDOM_TOKENS}|{forms(PART, bucket=True)}|{HUB}"
NAME_FIX = (
    f"use {PYTHON_STDLIB}, {RANDOM_TOKENS}, pvc://CLAIM/FOLDER, file:///FOLDER, s3://BUCKET/FOLDER or, of "
    "the Hugging Face hub, OWNER/NAME; no folder may be empty, '.' or '..'"
)


def name_mistake(name: str) -> str | None:
    """What is wrong with the name of a source, in words."""
    return mistake(name, hidden=True, bucket=True)


MaxBytes = Annotated[
    int,
    Field(
        ge=10_000,
        le=1 << 40,
        description="Read at most this many bytes of text. Default: all of a folder, and 8,000,000 of "
        "built-in data.",
    ),
]
Revision = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        description="Branch, tag or commit of a dataset of the hub. The commit that it names when data are "
        "prepared is used from then on. Default: the default branch.",
    ),
]


class _Named(Protocol):
    @property
    def name(self) -> str | None: ...

    @property
    def revision(self) -> str | None: ...


def _on_hub(source: _Named) -> str | None:
    if source.revision is None or (source.name is not None and re.fullmatch(HUB, source.name)):
        return None
    return f"got {source.revision!r}, but only a dataset of the hub (OWNER/NAME) has revisions; remove it"


REVISION = Rule(
    f"!has(self.revision) || (has(self.name) && self.name.matches(r'^({HUB})$'))",
    ".revision",
    "only a dataset of the hub (OWNER/NAME) has revisions; remove it, or name such a dataset",
    _on_hub,
)


class SourceSpec(RuledModel):
    """One source of a mixture."""

    name: str = Field(
        max_length=512,
        description="Where the text lies, as in dataset.name, but not builtin://random-tokens.",
    )
    weight: float = Field(
        gt=0,
        le=1_000_000,
        description="Share of the training sequences, relative to the other weights.",
    )
    max_bytes: MaxBytes | None = None
    fields: Fields | None = None
    revision: Revision | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("name", ".name", NAME_FORM, NAME_FIX, why=name_mistake),
        REVISION,
    )

    @property
    def on_hub(self) -> bool:
        """Whether it is a dataset of the Hugging Face hub."""
        return "://" not in self.name

    @property
    def on_disk(self) -> bool:
        """Whether it lies in a folder that is mounted."""
        return self.name.startswith(("pvc://", "file://"))

    @property
    def stored(self) -> bool:
        """Whether it lies in a store that may ask for credentials."""
        return re.fullmatch(STORED, self.name) is not None

    @property
    def text_column(self) -> str:
        """Column of rows that holds the text."""
        return (self.fields and self.fields.text) or "text"

    @property
    def named_columns(self) -> dict[str, str]:
        """Columns that are named, by the field that names them."""
        return self.fields.to_json() if self.fields else {}

    @property
    def dialogue_columns(self) -> dict[str, str]:
        """Columns that hold what of a dialogue, where they are named."""
        return {name: column for name, column in self.named_columns.items() if name in DIALOGUE}
