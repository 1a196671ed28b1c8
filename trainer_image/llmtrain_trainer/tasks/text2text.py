"""The text of each sample's other text: a translation, a summary."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..loss import IGNORED
from .objective import tokens
from .padded import padded


class TextToText:
    """An encoder reads one half of a row, a decoder writes the other.

    Args:
        start: id that the decoder begins with.
    """

    objective = staticmethod(tokens)

    def __init__(self, start: int) -> None:
        self.start = start

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        del keys
        source, target = rows.chunk(2, dim=1)
        ids, mask = padded(source)
        written, asked = padded(target)
        # the padding may be a token that is written, so that the mask decides and not the id
        labels = torch.where(asked == 1, written, IGNORED)
        begun = torch.full_like(written, self.start)
        begun[:, 1:] = written[:, :-1]
        return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": begun}, labels
