"""Activations that layers compute again in the backward pass instead of keeping them: all, or the cheap ones.

Selective: what matrix products and fused attention made is kept, which is most of a layer's arithmetic, and
the rest (norms, activation functions, rotary positions, residual sums) is computed again from it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from deepspeed.runtime.activation_checkpointing.checkpointing import non_reentrant_checkpoint
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from llmtrain_api import Recompute

_ATEN = torch.ops.aten
_FUSED = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
)
KEPT = [
    _ATEN.mm.default,
    _ATEN.addmm.default,
    *(getattr(_ATEN, name).default for name in _FUSED),
]
"""Not batched products: those are the scores of an attention that is not fused, with length x length numbers
a head, which are what is worth computing again."""


def recompute(model: Any, again: Recompute | None) -> None:
    """Have a model's layers compute activations again.

    Args:
        model: of transformers.
        again: which of them; None: none.
    """
    if again is not None:
        model.gradient_checkpointing_enable(_options(again))


def checkpoint_of(again: Recompute | None) -> Callable[..., Any]:
    """What runs a pipeline's layer so that its activations are computed again."""
    if again is Recompute.SELECTIVE:
        return partial(checkpoint, **_options(again))
    return non_reentrant_checkpoint  # type: ignore[no-any-return]


def _options(again: Recompute) -> dict[str, Any]:
    options: dict[str, Any] = {"use_reentrant": False}
    if again is Recompute.SELECTIVE:
        options["context_fn"] = partial(create_selective_checkpoint_contexts, KEPT)
    return options
