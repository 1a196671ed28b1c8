"""Masked tokens (BERT, https://arxiv.org/abs/1810.04805, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from ..loss import IGNORED
from .noise import lowest, noise

MASK_ID = 1
"""Id of the mask token: the tokenizer has the end-of-document token first, then the task's."""


class MaskedLM:
    """15 % of the positions are asked; of those 80 % are masked, 10 % random, 10 % as they are."""

    SPECIAL: ClassVar[list[str]] = ["<|mask|>"]
    SHARE = 0.15

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

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
            shown = torch.where(fate < 8, MASK_ID, torch.where(fate == 8, other, rows[row, asked]))
            ids[row, asked] = shown
        return {"input_ids": ids}, labels
