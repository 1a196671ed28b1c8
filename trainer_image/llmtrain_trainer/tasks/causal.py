"""The next token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..loss import IGNORED
from .objective import tokens


class CausalLM:
    """Each position's label is the next token.

    Args:
        separator: id that ends a document, when documents of one row must not see each other: positions
            start again after it (transformers derives the mask from that), and no document's first token is
            asked of the one before.
    """

    objective = staticmethod(tokens)

    def __init__(self, separator: int | None) -> None:
        self.separator = separator

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        del keys
        labels = torch.full_like(rows, IGNORED)
        labels[:, :-1] = rows[:, 1:]
        if self.separator is None:
            return {"input_ids": rows}, labels
        labels[rows == self.separator] = IGNORED
        return {"input_ids": rows, "position_ids": positions(rows, self.separator)}, labels


def positions(rows: torch.Tensor, separator: int) -> torch.Tensor:
    """Positions that start at 0 again after each separator."""
    place = torch.arange(rows.shape[1], device=rows.device).expand_as(rows)
    begins = torch.zeros_like(rows)
    begins[:, 1:] = torch.where(rows[:, :-1] == separator, place[:, 1:], 0)
    return place - begins.cummax(dim=1).values
