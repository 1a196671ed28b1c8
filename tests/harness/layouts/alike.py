"""Pairs of sentences that are held alike beside a batch, and their penalty as plain torch has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from harness.layouts.pairs import answer
from harness.layouts.rows import ALIKE, LENGTH, VOCAB, Row

from llmtrain_trainer.data.order import sample_at
from llmtrain_trainer.data.steps.fairness import rows_of

PAIRS = 5
"""No multiple of the pairs of a step, so that steps mix them."""


def sentences() -> np.ndarray[Any, Any]:
    """Rows of two texts of noise, most of unlike length: in those the gap is some nats."""
    generator = np.random.default_rng(9)
    sides = []
    for number in range(PAIRS):
        length = int(generator.integers(5, LENGTH - 3))
        both = (length, length + number % 3)
        sides += [[0, *generator.integers(40, VOCAB, size).tolist()] for size in both]
    return rows_of(sides, 0)


def penalty(row: Row, model: Any, step: int, device: str) -> torch.Tensor | float:
    """The term of a step, text by text; nothing for a row without one."""
    if not row.alike:
        return 0.0
    rows, per_step = torch.from_numpy(sentences().astype(np.int64)), ALIKE["pairsPerStep"]
    total = torch.zeros((), device=device)
    for place in range(step * per_step, (step + 1) * per_step):
        a, b = rows[sample_at(place, len(rows), 0)].view(2, -1)
        gap = answer(model, a, device).sum() - answer(model, b, device).sum()
        total = total + gap * gap
    return ALIKE["weight"] * total / per_step
