"""The place of an answer in a text: its first and its last token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .objective import placed, spans
from .padded import padded_inputs


class Spans:
    """A sample is a window: a question and a part of a text, and where the answer begins and ends.

    Where the answer is not in the window, both are its first token, which stands for no answer (Devlin et al.
    2019).

    Args:
        segments: whether the model is told which of both a token is of.
    """

    objective = staticmethod(spans)

    def __init__(self, *, segments: bool) -> None:
        self.segments = segments

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them; their last two columns are places."""
        del keys
        inputs = padded_inputs(rows[:, :-2], segments=self.segments)
        return inputs, placed(rows[:, -2:], inputs["attention_mask"].sum(dim=1))
