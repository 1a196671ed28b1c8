"""The next token of an answer: dialogues of one row do not see each other, and only answers count."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..loss import IGNORED
from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of
from .objective import tokens


class ChatLM:
    """Each position's label is the next token, where that is of an answer.

    Rows have marks beside the ids: see `token_marks`.
    """

    objective = staticmethod(tokens)

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        del keys
        ids = ids_of(rows)
        first = (rows & FIRST_OF_DOCUMENT) != 0
        asked = ((rows & NOT_TRAINED) == 0) & ~first
        labels = torch.full_like(ids, IGNORED)
        labels[:, :-1] = torch.where(asked[:, 1:], ids[:, 1:], IGNORED)
        place = torch.arange(rows.shape[1], device=rows.device).expand_as(rows)
        begins = torch.where(first, place, 0).cummax(dim=1).values
        return {"input_ids": ids, "position_ids": place - begins}, labels
