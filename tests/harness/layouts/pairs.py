"""Losses of pairs by one process: each answer alone, without padding, and by the papers' formulas."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from harness.layouts.rows import LENGTH, Row

from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED


def of_pairs(row: Row, model: Any, rows: torch.Tensor, device: str) -> torch.Tensor:
    """The summed loss of some rows of pairs."""
    total = torch.zeros((), device=device)
    for one in rows:
        chosen, rejected = (_answer(model, side, device) for side in one[: 2 * LENGTH].view(2, LENGTH))
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


def _answer(model: Any, side: torch.Tensor, device: str) -> torch.Tensor:
    begins = torch.nonzero(side[1:] & FIRST_OF_DOCUMENT).flatten().tolist()
    side = side[: begins[0] + 1] if begins else side
    ids = (side & ID).to(device)
    logits = model(input_ids=ids[None]).logits[0]
    wide = torch.promote_types(logits.dtype, torch.float32)
    found = F.log_softmax(logits[:-1].to(wide), -1)[torch.arange(len(ids) - 1), ids[1:]]
    return found[(side[1:] & NOT_TRAINED) == 0]
