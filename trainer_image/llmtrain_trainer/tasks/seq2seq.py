"""Span corruption (T5, https://arxiv.org/abs/1910.10683, section 3.3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from llmtrain_api.families.t5 import hidden_and_spans

from .noise import lowest
from .objective import tokens


class SpanCorruption:
    """Spans of the input are replaced by sentinels; the target is each sentinel followed by what it hides.

    15 % of the tokens in spans of 3 on average, at most 31 spans. All rows of one length give inputs of one
    length and targets of one length, so nothing is padded.

    Args:
        start: id that the decoder begins with.
        sentinels: ids that stand for hidden spans, first to last.
    """

    objective = staticmethod(tokens)

    def __init__(self, start: int, sentinels: Sequence[int]) -> None:
        self.start, self.sentinels = start, sentinels

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs and labels of some rows, as `Encoder` describes them."""
        pairs = [self._corrupt(row.numpy(), key) for row, key in zip(rows, keys, strict=True)]
        inputs = torch.from_numpy(np.stack([pair[0] for pair in pairs]))
        labels = torch.from_numpy(np.stack([pair[1] for pair in pairs]))
        shifted = torch.full_like(labels, self.start)
        shifted[:, 1:] = labels[:, :-1]
        return {"input_ids": inputs, "decoder_input_ids": shifted}, labels

    def _corrupt(self, row: np.ndarray, key: int) -> tuple[np.ndarray, np.ndarray]:
        hidden, spans = hidden_and_spans(len(row))
        sizes = _parts(hidden, spans, key, 0)
        # one token at least before each span, so that two never touch
        gaps = _parts(len(row) - hidden, spans, key, 1)
        source, target, at = [], [], 0
        for number, (gap, length) in enumerate(zip(gaps, sizes, strict=True)):
            sentinel = np.array([self.sentinels[number]], row.dtype)
            source += [row[at : at + gap], sentinel]
            target += [sentinel, row[at + gap : at + gap + length]]
            at += gap + length
        target.append(np.array([self.sentinels[spans]], row.dtype))
        return np.concatenate(source), np.concatenate(target)


def _parts(total: int, count: int, key: int, stream: int) -> list[int]:
    """``total`` cut into ``count`` parts of at least 1, at random."""
    cuts = [0, *(int(c) + 1 for c in lowest(key, total - 1, count - 1, stream)), total]
    return [after - before for before, after in pairwise(cuts)]
