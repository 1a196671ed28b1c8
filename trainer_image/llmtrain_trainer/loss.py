"""The one loss: the sum of token losses over the token count of the global batch.

Computed a chunk of positions at a time: neither pass ever holds a second copy of all logits in fp32, which at
a vocabulary of 128k tokens is more than the rest of a small model's activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from llmtrain_api.estimate.activations import LOSS_CHUNK

IGNORED = -100
"""Label of a position that is not trained on."""
CHUNK = LOSS_CHUNK
"""Numbers of a chunk, as the estimate of memory counts them."""


def token_loss_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the token losses, in fp32 at least. A batch without labels gives 0, not 0/0.

    Args:
        logits: [batch, length, vocabulary].
        labels: [batch, length], aligned with the logits; IGNORED where nothing is to be learnt.
    """
    found: torch.Tensor = _ChunkedLoss.apply(logits.flatten(0, 1), labels.flatten())  # type: ignore[no-untyped-call]
    return found


class _ChunkedLoss(torch.autograd.Function):
    """Cross-entropy, summed. Keeps the logits as they came; the gradient computes the softmax again."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        kind = wide(logits.dtype)
        total = torch.zeros((), dtype=kind, device=logits.device)
        for rows, wanted in _chunks(logits, labels):
            total += F.cross_entropy(rows.to(kind), wanted, ignore_index=IGNORED, reduction="sum")
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """softmax(logits) - 1 at the label, times what arrives; 0 where nothing is to be learnt."""
        logits, labels = ctx.saved_tensors
        return logits_gradient(logits, labels, gradient.expand(labels.shape)), None


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of each token, in fp32 at least; 0 where nothing is to be learnt.

    Args:
        logits: [batch, length, vocabulary].
        labels: [batch, length], aligned with the logits.
    """
    found: torch.Tensor = _ChunkedLosses.apply(logits.flatten(0, 1), labels.flatten())  # type: ignore[no-untyped-call]
    return found.view(labels.shape)


class _ChunkedLosses(torch.autograd.Function):
    """As `_ChunkedLoss`, each token by itself."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        kind = wide(logits.dtype)
        found = [
            F.cross_entropy(rows.to(kind), wanted, ignore_index=IGNORED, reduction="none")
            for rows, wanted in _chunks(logits, labels)
        ]
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """softmax(logits) - 1 at the label, times what arrives at that token; 0 where nothing is learnt."""
        logits, labels = ctx.saved_tensors
        return logits_gradient(logits, labels, gradients), None


def logits_gradient(logits: torch.Tensor, labels: torch.Tensor, arriving: torch.Tensor) -> torch.Tensor:
    """Gradient of the logits, a chunk at a time.

    Args:
        logits: [tokens, vocabulary].
        labels: [tokens].
        arriving: at each token's loss: [tokens].
    """
    found = torch.empty_like(logits)
    at = 0
    for rows, wanted in _chunks(logits, labels):
        used = wanted != IGNORED
        part = torch.softmax(rows.to(wide(logits.dtype)), dim=-1)
        part[torch.arange(len(rows), device=rows.device), wanted.clamp_min(0)] -= 1
        part *= (used * arriving[at : at + len(rows)])[:, None]
        found[at : at + len(rows)] = part
        del part  # or the next chunk's would be there beside it
        at += len(rows)
    return found


def wide(dtype: torch.dtype) -> torch.dtype:
    """What sums of numbers of a dtype are computed in."""
    return torch.promote_types(dtype, torch.float32)


def _chunks(logits: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    count = chunk_rows(logits.shape[-1])
    return zip(torch.split(logits, count), torch.split(labels, count), strict=True)


def chunk_rows(vocabulary: int) -> int:
    """Tokens of a chunk."""
    return max(1, CHUNK // vocabulary)


def token_count(labels: torch.Tensor) -> int:
    """Tokens that are trained on; the last column of three dimensions is none, see `label_count`."""
    if labels.dim() == 4:
        return label_count(labels)
    tokens = labels[..., :-1] if labels.dim() == 3 else labels
    return int((tokens != IGNORED).sum())


def label_count(labels: torch.Tensor) -> int:
    """What a sum of losses is divided by: labels; of labels of three dimensions, whose rows are pairs of
    answers, the rows that have any; of four, which have numbers beside the labels of answers, the first line
    of each answer."""
    given = (labels[:, :, 0] if labels.dim() == 4 else labels) != IGNORED
    return int(given.flatten(1).any(1).sum() if labels.dim() == 3 else given.sum())
