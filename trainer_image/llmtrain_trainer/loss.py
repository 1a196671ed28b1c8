"""The one loss: the sum of token losses over the token count of the global batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

IGNORED = -100
"""Label of a position that is not trained on."""


def token_loss_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the next-token losses, in fp32 at least. A batch without labels gives 0, not 0/0.

    Args:
        logits: [batch, length, vocabulary].
        labels: [batch, length], not shifted; IGNORED where nothing is to be learnt.
    """
    shifted = logits[:, :-1]
    wide = torch.promote_types(shifted.dtype, torch.float32)
    return F.cross_entropy(
        shifted.flatten(0, 1).to(wide), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def label_count(labels: torch.Tensor) -> int:
    """Tokens that `token_loss_sum` sums over."""
    return int((labels[:, 1:] != IGNORED).sum())


def engine_loss(loss_sum: torch.Tensor, global_tokens: int, accumulation: int, ranks: int) -> torch.Tensor:
    """What to give to the engine's backward, which averages over accumulation steps and ranks.

    The mean of means is not the mean when ranks hold different numbers of labels, so both averages are
    undone: what arrives in the gradient is the sum of token losses over the global batch's token count.
    """
    return loss_sum * (accumulation * ranks / global_tokens)
