"""The penalty on the gap of log-likelihood between both texts of a pair, beside what a task minimises.

Of a pair it is (log p(a) - log p(b))^2, where the log-likelihood of a text is the sum over all of its tokens.
It is not divided by their number: the texts differ in few words, and a mean would make the same difference
count the less the longer the sentence around it is. This is the score by which CrowS-Pairs (Nangia et al.
2020, https://arxiv.org/abs/2010.00133) and `evaluation.fairness` compare, and what Qian et al. (2019,
https://arxiv.org/abs/1905.12801) hold alike for single words; the square is that of logit pairing (Kannan et
al. 2018, https://arxiv.org/abs/1803.06373; of texts that differ in a term: Garg et al. 2019,
https://arxiv.org/abs/1809.10610).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .preference import SIDES, Pass, answers, asked_of


class AlikePairs:
    """Two texts a row; of each all tokens are asked but the one that it begins after."""

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> Pass:
        """Inputs of [2 x rows, length], and labels of [rows, 2, length + 1] as those of `PairsLM`, with
        nothing to compare with. A row is one label.
        """
        del keys
        ids, labels = asked_of(rows)
        by_row = labels.reshape(len(rows), SIDES, -1)
        return {"input_ids": ids}, torch.cat([by_row, torch.zeros_like(by_row[..., :1])], dim=-1)

    @staticmethod
    def objective(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """The sum of the squared gaps of a pass's pairs."""
        found = answers(outputs, labels)
        gaps = found.logps[:, 0] - found.logps[:, 1]
        total = torch.where(found.there, gaps, 0.0).square().sum()
        return total.to(torch.promote_types(outputs.logits.dtype, torch.float32))
