"""Text infilling (BART, https://arxiv.org/abs/1910.13461, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llmtrain_api.families.bart import hidden_and_spans

from .noise import lowest, noise
from .objective import tokens


class TextInfilling:
    """Spans of the input are replaced by one mask token each; the target is the whole text.

    30 % of the tokens, in spans whose lengths are of a Poisson distribution with mean 3, where one of length
    0 puts a mask in. How many tokens and spans is fixed, so that all rows of one length give inputs of one
    length: the lengths are those of the distribution, given that sum. No two spans touch.

    Args:
        start: id that the decoder begins with.
        mask: id of the mask token.
    """

    objective = staticmethod(tokens)

    def __init__(self, start: int, mask: int) -> None:
        self.start, self.mask = start, mask

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        inputs = np.stack([self._hide(row.numpy(), key) for row, key in zip(rows, keys, strict=True)])
        shifted = torch.full_like(rows, self.start)
        shifted[:, 1:] = rows[:, :-1]
        return {"input_ids": torch.from_numpy(inputs), "decoder_input_ids": shifted}, rows.clone()

    def _hide(self, row: np.ndarray, key: int) -> np.ndarray:
        hidden, spans = hidden_and_spans(len(row))
        # independent Poisson numbers, given their sum, are what balls come to that fall into bins alike
        sizes = np.bincount((noise(key, hidden) % np.uint64(spans)).astype(np.int64), minlength=spans)
        slots = lowest(key, len(row) - hidden + 1, spans, 1)  # before which of the tokens that stay
        mask = np.array([self.mask], row.dtype)
        source, at, shown = [], 0, 0
        for slot, size in zip(slots, sizes, strict=True):
            source += [row[at : at + slot - shown], mask]
            at, shown = at + slot - shown + size, slot
        return np.concatenate([*source, row[at:]])
