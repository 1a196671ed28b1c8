"""Rules that need the model's sizes: they run where its shape is known, built in or inspected."""

from __future__ import annotations

from dataclasses import dataclass

from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..shape import ModelShape


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
        return f"model.{field}"


@dataclass(frozen=True)
class SizedRule(Rule):
    """A rule whose `broken` takes a `Sized`."""
