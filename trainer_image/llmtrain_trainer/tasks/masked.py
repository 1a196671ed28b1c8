"""Masked tokens (BERT, https://arxiv.org/abs/1810.04805, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..loss import IGNORED
from .noise import lowest, noise
from .objective import tokens


class MaskedLM:
    """15 % of the positions are asked; of those 80 % are masked, 10 % random, 10 % as they are.

    Args:
        vocabulary: entries of the embeddings, which random tokens are of.
        mask: id of the mask token.
    """

    SHARE = 0.15

    objective = staticmethod(tokens)

    def __init__(self, vocabulary: int, mask: int) -> None:
        self.vocabulary, self.mask = vocabulary, mask

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        ids, labels = rows.clone(), torch.full_like(rows, IGNORED)
        length = rows.shape[1]
        count = max(1, round(self.SHARE * length))
        for row, key in enumerate(keys):
            asked = torch.from_numpy(lowest(key, length, count))
            labels[row, asked] = rows[row, asked]
            fate = torch.from_numpy((noise(key, count, 1) % np.uint64(10)).astype(np.int64))
            other = torch.from_numpy((noise(key, count, 2) % np.uint64(self.vocabulary)).astype(np.int64))
            shown = torch.where(fate < 8, self.mask, torch.where(fate == 8, other, rows[row, asked]))
            ids[row, asked] = shown
        return {"input_ids": ids}, labels
