"""Rules that need the model's sizes: they run where its shape is known, built in or inspected."""

from __future__ import annotations

from dataclasses import dataclass

from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..shape import ModelShape

OF_CONFIG = {
    "numHeads": "num_attention_heads",
    "numKvHeads": "num_key_value_heads",
    "intermediateSize": "intermediate_size",
    "numLayers": "num_hidden_layers",
}
"""Sizes that rules speak of, as most architectures have them in their configuration."""


@dataclass(frozen=True)
class Sized:
    """A job, and the shape of its model."""

    spec: JobSpec
    shape: ModelShape

    def named(self, field: str) -> str:
        """A size as its user knows it.

        Args:
            field: the name in ``spec.model``, such as ``numHeads``.
        """
        return f"model.{field}" if self.spec.model.builtin else f"{OF_CONFIG[field]} of its config.json"


@dataclass(frozen=True)
class SizedRule(Rule):
    """A rule whose `broken` takes a `Sized`."""
