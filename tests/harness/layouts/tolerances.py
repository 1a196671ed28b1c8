"""Whether what the ranks computed is what one process computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from harness.layouts.rows import Row

GRADIENT, WEIGHTS, NORM, LOSS = 1e-5, 1e-4, 1e-5, 1e-6
HALF = 1.5
"""How much worse than one process of its precision a layout in bf16 or fp16 may be."""
LAST_PLACES = {"bf16": 2**-5, "fp16": 2**-8}
"""Four units of the last place: a norm and a loss are single numbers, whose error is luck, and another kind
of CPU rounds elsewhere. Whoever divides by a wrong count is off by tens of percent."""
NOTHING = 1e-12
"""Of the norm of all gradients: below it a gradient of fp64 is rounding alone."""
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Errors:
    """How far a run is from the fp64 one.

    Attributes:
        gradient: the worst tensor's ||g - r|| / max(||r||, 1e-3 ||r_all||); one that has no gradient, as a
            bias that moves all logits of a softmax alike, holds rounding alone: 1e-2.
        where: that tensor.
        weights: ||dw - dw_ref|| / ||dw_ref|| after five steps.
        norm: the worst relative difference of the gradient norm; None where the engine has none.
        loss: the worst relative difference of a loss, the held-out one included.
    """

    gradient: float
    where: str
    weights: float
    norm: float | None
    loss: float


def join(parts: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """A whole tensor from the shards of a tensor-parallel group, which are equal where nothing was cut."""
    if tuple(parts[0].shape) == shape:
        return parts[0]
    [cut] = [at for at, size in enumerate(shape) if parts[0].shape[at] != size]
    return torch.cat(parts, cut)


def whole(ranks: list[dict[str, Any]], what: str, like: Tensors) -> Tensors:
    """Full tensors from what the ranks hold.

    Raises:
        AssertionError: a tensor is missing, or copies differ.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for found in sorted(ranks, key=lambda r: (r["place"].pipeline, r["place"].tensor)):
        if found["place"].data == found["place"].sequence == 0:
            for name, tensor in found[what].items():
                parts.setdefault(name, []).append(tensor)
    assert parts.keys() == like.keys(), sorted(parts.keys() ^ like.keys())
    result = {}
    for name, shape in ((name, tuple(tensor.shape)) for name, tensor in like.items()):
        if tuple(parts[name][0].shape) == shape:
            copies = [float((copy - parts[name][0]).norm()) for copy in parts[name]]
            assert max(copies) <= 1e-5 * float(parts[name][0].norm()) + 1e-9, f"copies of {name} differ"
        result[name] = join(parts[name], shape)
    return result


def _least(right: torch.Tensor, everything: float) -> float:
    """The least norm that a difference is told relative to."""
    return (1e-2 if float(right.norm()) < NOTHING * everything else 1e-3) * everything


def errors(ranks: list[dict[str, Any]], exact: dict[str, Any]) -> Errors:
    """A layout's, or with one rank a single process's, against the fp64 reference."""
    right = exact["gradients"]
    everything = size(right)
    mine = whole(ranks, "gradients", right)
    worst = {
        name: float((mine[name].double() - r).norm()) / max(float(r.norm()), _least(r, everything))
        for name, r in right.items()
    }
    where = max(worst, key=lambda name: worst[name])
    moved = distance(exact["weights"], exact["initial"])
    weights = distance(whole(ranks, "weights", exact["weights"]), exact["weights"]) / moved
    norms = [(a, b) for a, b in zip(ranks[0]["norms"], exact["norms"], strict=True) if a is not None]
    losses = [
        *zip(ranks[0]["losses"], exact["losses"], strict=True),
        (ranks[0]["held_out"], exact["held_out"]),
    ]
    return Errors(
        worst[where],
        where,
        weights,
        max((abs(a / b - 1) for a, b in norms), default=None),
        max(abs(a / b - 1) for a, b in losses),
    )


def wrong(row: Row, found: Errors, alone: Errors) -> str | None:
    """What is not as it must be; None when the layout computes what one process computes.

    Args:
        row: what was run.
        found: its errors.
        alone: those of one process of the same precision.
    """
    if row.precision in LAST_PLACES:
        gradient, weights, norm, loss = (
            HALF * max(limit, value)
            for limit, value in (
                (GRADIENT, alone.gradient),
                (WEIGHTS, alone.weights),
                (NORM, alone.norm or 0.0),
                (LOSS, alone.loss),
            )
        )
        norm, loss = (max(one, LAST_PLACES[row.precision]) for one in (norm, loss))
    else:
        gradient, weights, norm, loss = GRADIENT, WEIGHTS, NORM, LOSS
    if row.precision in LAST_PLACES and found.gradient < alone.gradient / 10:
        return f"gradient error {found.gradient:.1e}: this was not computed in {row.precision}"
    checks = (
        (found.gradient, gradient, f"gradient of {found.where}"),
        (found.weights, weights, "weights after five steps"),
        (found.norm or 0.0, norm, "gradient norm"),
        (found.loss, loss, "loss"),
    )
    said = [f"{what}: {value:.1e} > {limit:.1e}" for value, limit, what in checks if not value <= limit]
    return "; ".join(said) or None


def distance(a: Tensors, b: Tensors) -> float:
    """Of all tensors together."""
    return float(torch.stack([(a[n].double() - b[n].double()).norm() for n in b]).norm())


def size(a: Tensors) -> float:
    """Norm of all tensors together."""
    return float(torch.stack([x.double().norm() for x in a.values()]).norm())
