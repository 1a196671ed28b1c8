"""What is minimised: a sum over labels, whose count over the global batch it is divided by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..loss import IGNORED, token_loss_sum

_PLACE_BITS = 32
"""Bits of a label that are a place; the others are a length."""
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


def spans(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the first and of the last token of each sample's answer among the sample's own tokens.

    A sample has two labels, so that the loss of a label is the mean of both.

    Args:
        outputs: of a model with two logits a token.
        labels: of shape [batch, 2], as `placed` makes them.
    """
    logits = torch.stack([outputs.start_logits, outputs.end_logits], dim=1)
    asked = labels != IGNORED
    places = torch.arange(logits.shape[-1], device=logits.device)
    # a softmax over what fills up would make the loss depend on the other samples of a batch
    beyond = asked[..., None] & (places >= (labels >> _PLACE_BITS)[..., None])
    wanted = torch.where(asked, labels & ((1 << _PLACE_BITS) - 1), IGNORED)
    return token_loss_sum(logits.masked_fill(beyond, -torch.inf), wanted)


def placed(places: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Labels of `spans`, each with the length of its sample.

    Args:
        places: [batch, 2] the places of the first and the last token of the answers.
        lengths: [batch] tokens of the samples.
    """
    return places | (lengths[:, None] << _PLACE_BITS)


def numbers_of(labels: torch.Tensor) -> torch.Tensor:
    """The fp32 numbers that labels are the bits of. As bits are not negative, none of them is `IGNORED`."""
    bits = torch.where(labels >= 1 << 31, labels - (1 << 32), labels)
    return bits.to(torch.int32).view(torch.float32)
