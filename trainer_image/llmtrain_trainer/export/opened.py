"""A model as anybody opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Opened:
    """A model in plain transformers.

    Attributes:
        model: on the device that computes.
        tokenizer: its own.
        resident: whether all of its weights are there.
        sane: whether its held-out loss is a number.
    """

    model: Any
    tokenizer: Any
    resident: bool
    sane: bool
