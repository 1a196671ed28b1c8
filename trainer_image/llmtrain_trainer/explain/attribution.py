"""How much each token of a text adds to what a model says: gradient x input, and attention rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From the embeddings of tokens to the one number that is explained."""


def contributions(forward: Forward, embedded: torch.Tensor) -> torch.Tensor:
    """Gradient x input (Shrikumar et al. 2016): to first order, how much each token adds to a number.

    Args:
        forward: gives the number.
        embedded: [rows, tokens, width] the embeddings of the tokens.

    Returns:
        [rows, tokens], in fp32 at least.
    """
    with torch.enable_grad():
        given = embedded.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(forward(given), given)
    wide = torch.promote_types(given.dtype, torch.float32)
    return (gradient.to(wide) * given.detach().to(wide)).sum(-1)


def rollout(attentions: Sequence[torch.Tensor]) -> torch.Tensor:
    """Attention rollout (Abnar & Zuidema 2020, section 3): what reaches each place of the last layer from
    where, when each layer passes on one half of what it had and one half of what it attends to.

    Args:
        attentions: [heads, tokens, tokens] of each layer, first to last.

    Returns:
        [tokens, tokens]; each row sums to 1.
    """
    size, device = attentions[0].shape[-1], attentions[0].device
    kept = torch.eye(size, dtype=torch.promote_types(attentions[0].dtype, torch.float32), device=device)
    passed = kept
    for layer in attentions:
        mixed = layer.to(kept.dtype).mean(0) + kept
        passed = (mixed / mixed.sum(-1, keepdim=True)) @ passed
    return passed
