"""Token-weighted held-out loss of one process on an exported folder."""

from __future__ import annotations

from typing import Any

import torch

from ..data.loader import Pass
from ..loss import label_count, token_loss_sum


@torch.no_grad()
def loss_sum(model: Any, passes: list[Pass]) -> tuple[float, int]:
    """Sum of the token losses, and the number of labels."""
    model.eval()
    model.config.use_cache = False  # with a cache transformers does not look for documents in the positions
    losses, labels_seen = 0.0, 0
    for inputs, labels in passes:
        losses += float(token_loss_sum(model(**inputs).logits, labels))
        labels_seen += label_count(labels)
    return losses, labels_seen
