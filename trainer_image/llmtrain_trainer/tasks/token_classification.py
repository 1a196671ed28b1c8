"""A tag of each word of a text: names of people and places, parts of speech."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..loss import IGNORED
from ..token_marks import NOT_TRAINED
from .objective import tokens
from .padded import padded


class Tagged:
    """The first token of each word has its tag as its label; the others have none."""

    objective = staticmethod(tokens)

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them; their second half are the tags."""
        del keys
        own, tags = rows.chunk(2, dim=1)
        ids, mask = padded(own)
        tags = tags[:, : ids.shape[1]]
        labels = torch.where((tags & NOT_TRAINED) == 0, tags, IGNORED)
        return {"input_ids": ids, "attention_mask": mask}, labels
