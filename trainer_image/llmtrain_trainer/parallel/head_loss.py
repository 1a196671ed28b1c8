"""The loss of an output layer whose logits are never there all at once.

Logits, their loss and their gradient are made of a chunk of tokens at a time, in the forward pass: each logit
is computed once, as in the plain loss, and what is left for the backward pass is as wide as the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from ..loss import IGNORED, chunk_rows, logits_gradient, wide


def head_loss_sum(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """`token_loss_sum` of the logits that an output layer makes of hidden states.

    Args:
        hidden: [batch, length, width].
        weight: [vocabulary, width].
        bias: [vocabulary]; None: the layer has none.
        labels: [batch, length], aligned with the hidden states; IGNORED where nothing is to be learnt.
    """
    given = hidden.flatten(0, 1), weight, bias, labels.flatten(), torch.is_grad_enabled()
    found: torch.Tensor = _HeadLoss.apply(*given)  # type: ignore[no-untyped-call]
    return found


class _HeadLoss(torch.autograd.Function):
    """Gradients are those of the sum; the backward pass only scales them, once."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        learning: bool,
    ) -> torch.Tensor:
        needed = [learning and one for one in ctx.needs_input_grad[:3]]
        of_hidden = torch.empty_like(hidden) if needed[0] else None
        # over many chunks, so their sum is in fp32 whatever they are in
        sums = [
            torch.zeros_like(one, dtype=wide(one.dtype)) if one is not None and wanted else None
            for one, wanted in zip((weight, bias), needed[1:], strict=True)
        ]
        total = torch.zeros((), dtype=wide(hidden.dtype), device=hidden.device)
        count = chunk_rows(weight.shape[0])
        for at in range(0, len(hidden), count):
            chunk = slice(at, at + count)
            own = None if of_hidden is None else of_hidden[chunk]
            total += _loss_of(hidden[chunk], weight, bias, labels[chunk], own, *sums)
        ctx.gradients = (of_hidden, *sums)
        ctx.dtypes = [None if one is None else one.dtype for one in (hidden, weight, bias)]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """What was found, times what arrives."""
        found, ctx.gradients = ctx.gradients, None  # scaled in place, so not there a second time
        scaled = [
            None if one is None else one.mul_(gradient).to(dtype)
            for one, dtype in zip(found, ctx.dtypes, strict=True)
        ]
        return (*scaled, None, None)


def _loss_of(
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    of_rows: torch.Tensor | None,
    of_weight: torch.Tensor | None,
    of_bias: torch.Tensor | None,
) -> torch.Tensor:
    """The loss of one chunk; whatever is made of it is gone before the next one's.

    Args:
        rows: the chunk's hidden states.
        weight: the layer's.
        bias: the layer's.
        labels: the chunk's.
        of_rows: where their gradient goes; None, as for what follows: nobody needs it.
        of_weight: what the chunk's gradient is added to.
        of_bias: what the chunk's gradient is added to.
    """
    logits = F.linear(rows, weight, bias)
    found = F.cross_entropy(logits.to(wide(logits.dtype)), labels, ignore_index=IGNORED, reduction="sum")
    if of_rows is None and of_weight is None and of_bias is None:
        return found
    gradient = logits_gradient(logits, labels, found.new_ones(len(rows)))
    if of_rows is not None:
        torch.mm(gradient, weight, out=of_rows)
    if of_weight is not None and of_weight.dtype == rows.dtype:
        of_weight.addmm_(gradient.t(), rows)
    elif of_weight is not None:
        of_weight += gradient.t() @ rows
    if of_bias is not None:
        of_bias += gradient.sum(0, dtype=of_bias.dtype)
    return found


class HeadLoss:
    """Has the output layer of a model sum the losses of a pass itself, where it is told the labels.

    Args:
        model: of transformers, with a linear output layer.
    """

    def __init__(self, model: Any) -> None:
        self._layer = model.get_output_embeddings()
        self._labels: torch.Tensor | None = None
        self._layer.forward = self._forward

    @contextmanager
    def of(self, labels: torch.Tensor) -> Iterator[None]:
        """While it lasts, the model gives the sum of the losses in the place of logits."""
        self._labels = labels
        try:
            yield
        finally:
            self._labels = None

    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # of the layer as it is now: ZeRO 3 gathers its weight before it runs
        weight, bias = self._layer.weight, self._layer.bias
        if self._labels is None:
            return F.linear(hidden, weight, bias)
        return head_loss_sum(hidden, weight, bias, self._labels)
