"""The one loss: the sum of token losses over the token count of the global batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

IGNORED = -100
"""Label of a position that is not trained on."""


def token_loss_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the token losses, in fp32 at least. A batch without labels gives 0, not 0/0.

    Args:
        logits: [batch, length, vocabulary].
        labels: [batch, length], aligned with the logits; IGNORED where nothing is to be learnt.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(
        logits.flatten(0, 1).to(wide), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def label_count(labels: torch.Tensor) -> int:
    """Tokens that `token_loss_sum` sums over."""
    return int((labels != IGNORED).sum())
