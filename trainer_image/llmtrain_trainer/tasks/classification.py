"""A class or a number of each sample, which is a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .objective import Objective
from .padded import padded_inputs


class Labelled:
    """Each sample has one label: the number of its class, or the bits of its number.

    Args:
        objective: over the model's outputs.
        segments: whether the model is told which of two texts a token is of.
    """

    def __init__(self, objective: Objective, *, segments: bool) -> None:
        self.objective, self.segments = objective, segments

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them; the last column is the label."""
        del keys
        return padded_inputs(rows[:, :-1], segments=self.segments), rows[:, -1:].clone()
