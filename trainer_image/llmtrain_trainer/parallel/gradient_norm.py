"""The norm of gradients that lie in a few large flat tensors."""

from __future__ import annotations

from collections.abc import Iterable

import torch

PIECE = 4096
"""Numbers whose squares are summed at once. One fp32 sum over a bucket of 8 million numbers is 2e-4 off."""


def norm_of(flats: Iterable[torch.Tensor]) -> torch.Tensor:
    """The Euclidean norm of all numbers of some flat tensors, in fp32; sums of pieces are added in fp64."""
    norms = [part for flat in flats for part in _norms(flat)]
    total: torch.Tensor = torch.linalg.vector_norm(torch.cat(norms).double())
    return total.float()


def _norms(flat: torch.Tensor) -> Iterable[torch.Tensor]:
    """Norms of a flat tensor's pieces: those that are whole, and of what is left."""
    whole = flat.numel() - flat.numel() % PIECE
    yield torch.linalg.vector_norm(flat[:whole].view(-1, PIECE), dim=1)
    yield torch.linalg.vector_norm(flat[whole:]).view(1)
