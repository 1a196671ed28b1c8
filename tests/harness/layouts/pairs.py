"""Losses of pairs, and of answers that are desirable or not, by one process: each answer alone, without
padding, and by the papers' formulas."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from harness.layouts.rows import LENGTH, Row

from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED


def of_pairs(row: Row, model: Any, rows: torch.Tensor, device: str) -> torch.Tensor:
    """The summed loss of the rows of a global batch."""
    if row.loss == "kto":
        return _of_answers(model, rows, device)
    total = torch.zeros((), device=device)
    for one in rows:
        chosen, rejected = (answer(model, side, device) for side in one[: 2 * LENGTH].view(2, LENGTH))
        reference = one[2 * LENGTH :].view(torch.float64).tolist() if row.loss != "orpo" else None
        total = total + _loss(row.loss, chosen, rejected, reference)
    return total


def _loss(
    kind: str, chosen: torch.Tensor, rejected: torch.Tensor, reference: list[float] | None, beta: float = 0.3
) -> torch.Tensor:
    """Of log-probabilities of the tokens of both answers."""
    if reference is None:
        better, other = chosen.mean(), rejected.mean()
        odds = [one.exp() / (1 - one.exp()) for one in (better, other)]
        return -better - beta * torch.log(torch.sigmoid(torch.log(odds[0] / odds[1])))
    if kind == "dpo":
        ratio = (chosen.sum() - reference[0]) - (rejected.sum() - reference[1])
        return torch.log(1 + torch.exp(-beta * ratio))
    means = [(chosen.sum() - reference[0]) / len(chosen), (rejected.sum() - reference[1]) / len(rejected)]
    return (means[0] - means[1] - 0.5 / beta) ** 2


def _of_answers(
    model: Any, rows: torch.Tensor, device: str, beta: float = 0.3, weights: tuple[float, float] = (0.7, 1.25)
) -> torch.Tensor:
    """Equation 8 of KTO's paper, each line of it by itself; with one divergence for all rows."""
    ratios: list[list[torch.Tensor]] = [[], []]
    for one in rows:
        reference = one[-2:].view(torch.float64).tolist()
        for side, found in enumerate(ratios):
            with torch.set_grad_enabled(torch.is_grad_enabled() and side == 0):
                said = answer(model, one[side * LENGTH : (side + 1) * LENGTH], device)
            found.append(said.sum() - reference[side])
    divergence = max(0.0, float(torch.stack(ratios[1]).double().mean()))
    total = torch.zeros((), device=device)
    for one, ratio in zip(rows, ratios[0], strict=True):
        desirable = int(one[2 * LENGTH] & ID)
        distance = ratio - divergence if desirable else divergence - ratio
        total = total + weights[desirable] * (1 - 1 / (1 + torch.exp(-beta * distance)))
    return total


def answer(model: Any, side: torch.Tensor, device: str) -> torch.Tensor:
    """Log-probabilities of the tokens of one sequence that are asked."""
    begins = torch.nonzero(side[1:] & FIRST_OF_DOCUMENT).flatten().tolist()
    side = side[: begins[0] + 1] if begins else side
    ids = (side & ID).to(device)
    logits = model(input_ids=ids[None]).logits[0]
    wide = torch.promote_types(logits.dtype, torch.float32)
    found = F.log_softmax(logits[:-1].to(wide), -1)[torch.arange(len(ids) - 1), ids[1:]]
    return found[(side[1:] & NOT_TRAINED) == 0]
