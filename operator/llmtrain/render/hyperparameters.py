"""``llmtrain presets --hyperparameters``: the tables of recipes and of defaults."""

from __future__ import annotations

from typing import Any

from llmtrain_api.recipes import recipes
from llmtrain_api.schema.hyperparameters import DEFAULTS

from .rows import Table

COLUMNS = (
    "TASK",
    "MODEL",
    "SIZE",
    "RATE",
    "WARM-UP",
    "SCHEDULE",
    "A STEP",
    "LENGTH",
    "DECAY",
    "BETAS",
    "LORA",
    "SOURCE",
)


def recipes_table() -> Table:
    """A row a recipe."""
    rows: list[tuple[str, ...]] = []
    for row in recipes():
        decay = "" if row.decay is None else f"{row.decay:g}"
        how = (
            f"{row.rate:g}",
            row.warmup,
            row.schedule,
            row.batch,
            row.length,
            decay,
            row.betas,
            row.adapter,
        )
        rows.append((row.use.value, row.model, row.size, *how, row.source))
    return Table(COLUMNS, rows)


def defaults_table() -> Table:
    """A row a default."""
    rows: list[tuple[str, ...]] = [(row.field, row.text, row.what, row.source) for row in DEFAULTS]
    return Table(("FIELD", "VALUE", "FOR", "SOURCE"), rows)


def as_data() -> dict[str, Any]:
    """Both tables for programs."""
    told = [{name: value for name, value in row.to_json().items() if value != ""} for row in recipes()]
    defaults = [{"field": d.field, "value": d.text, "for": d.what, "source": d.source} for d in DEFAULTS]
    return {"recipes": told, "defaults": defaults}
