"""What is minimised: a sum over labels, whose count over the global batch it is divided by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..loss import IGNORED, token_loss_sum

Objective = Callable[[Any, torch.Tensor], torch.Tensor]
"""From a model's outputs and the labels of a pass to the sum of losses, in fp32 at least.

Labels are whole numbers; where one is `IGNORED`, nothing is added, and `loss.label_count` counts the others.
"""


def tokens(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each position's logits, for labels of shape [batch, length]."""
    return token_loss_sum(outputs.logits, labels)


def classes(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each sample's logits, for labels of shape [batch, 1]."""
    return token_loss_sum(outputs.logits[:, None], labels)


def squares(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Squared errors of each sample's one logit, for labels of shape [batch, 1] that are bits of numbers."""
    wide = torch.promote_types(outputs.logits.dtype, torch.float32)
    errors = outputs.logits.to(wide) - numbers_of(labels).to(wide)
    # not by a product: an error that is not finite would stay one
    return torch.where(labels == IGNORED, 0.0, errors).square().sum()


def numbers_of(labels: torch.Tensor) -> torch.Tensor:
    """The fp32 numbers that labels are the bits of. As bits are not negative, none of them is `IGNORED`."""
    bits = torch.where(labels >= 1 << 31, labels - (1 << 32), labels)
    return bits.to(torch.int32).view(torch.float32)
