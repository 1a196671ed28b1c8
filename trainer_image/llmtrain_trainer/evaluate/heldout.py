"""Token-weighted held-out loss, by a trained engine's ranks or by one process on an exported folder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..data.prepare import Ids
from ..loss import label_count, token_loss_sum


@torch.no_grad()
def loss_sum(
    model: Any, rows: Ids, micro: int, device: torch.device, *, rank: int = 0, ranks: int = 1
) -> tuple[float, int]:
    """Sum of token losses over this rank's share of the sequences, and the number of tokens."""
    training = model.training
    model.eval()
    losses, tokens = 0.0, 0
    mine = rows[rank::ranks]
    for first in range(0, len(mine), micro):
        ids = torch.from_numpy(mine[first : first + micro].astype(np.int64)).to(device)
        losses += float(token_loss_sum(model(input_ids=ids).logits, ids))
        tokens += label_count(ids)
    model.train(training)
    return losses, tokens


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it overflows."""
    return math.exp(loss) if loss < 700 else math.inf
