"""The next token of an answer, in dialogues with images: one dialogue a row, and only answers count."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..loss import IGNORED
from ..pictures import Images
from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of
from .objective import tokens
from .padded import MULTIPLE


class ImageChatLM:
    """Each position's label is the next token, where that is of an answer; images are read beside the ids.

    What fills a row up is at its end, where a decoder sees it from no token of the dialogue.

    Args:
        images: of the rows.
    """

    objective = staticmethod(tokens)

    def __init__(self, images: Images) -> None:
        self.images = images

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        del keys
        marked, begins, described = rows[:, :-1], rows[:, -1], self.images.described
        own = ((marked & FIRST_OF_DOCUMENT) != 0).cumsum(dim=1) == 1
        longest = int(own.sum(dim=1).max())
        marked = marked[:, : -(-longest // MULTIPLE) * MULTIPLE]
        ids = ids_of(marked)
        asked = (marked & (NOT_TRAINED | FIRST_OF_DOCUMENT)) == 0
        labels = torch.full_like(ids, IGNORED)
        labels[:, :-1] = torch.where(asked[:, 1:], ids[:, 1:], IGNORED)
        counts = (ids == described.token).sum(dim=1) // described.tokens
        numbers = [
            first + at
            for first, count in zip(ids_of(begins).tolist(), counts.tolist(), strict=True)
            for at in range(count)
        ]
        return {"input_ids": ids, "pixel_values": torch.from_numpy(self.images.inputs(numbers))}, labels
