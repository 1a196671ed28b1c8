"""Which of two answers is better: DPO, IPO and ORPO, over rows of two sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from llmtrain_api import JobSpec
from llmtrain_api.schema.preference import PreferenceLoss, PreferenceSpec

from ..loss import IGNORED, token_losses
from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of

Pass = tuple[dict[str, torch.Tensor], torch.Tensor]
SIDES = 2
MULTIPLE = 8
"""Passes are cut to a multiple of so many tokens, so that a GPU's matrix products stay aligned."""


@dataclass(frozen=True)
class Answers:
    """What the model says of the answers of some pairs; each tensor is [pairs, 2], the better answer first,
    and log-probabilities are fp64. Of rows with one answer it is [rows, 1].

    Attributes:
        logps: log-probability of the answer.
        tokens: how many it has.
        reference: log-probability under the model that training starts from; 0 where nothing is compared.
        there: of each pair, whether it is one and not a spare slot: [pairs].
    """

    logps: torch.Tensor
    tokens: torch.Tensor
    reference: torch.Tensor
    there: torch.Tensor


def answers(outputs: Any, labels: torch.Tensor) -> Answers:
    """What a pass says of its pairs.

    Args:
        outputs: of the model, whose logits are [2 x pairs, length, vocabulary].
        labels: as `PairsLM.encode` gives them, or of one answer a row [rows, 1, length + 1].
    """
    asked = labels[..., :-1]
    tokens = (asked != IGNORED).sum(-1)
    there = tokens.gt(0).any(-1)
    losses = token_losses(outputs.logits, asked.flatten(0, 1))
    # fp64, as what counts is a small difference of large sums
    logps = -losses.double().sum(-1).view(asked.shape[:2])
    # a spare slot has a finite loss, and so no gradient that is not a number
    logps = torch.where(there[:, None], logps, -1.0)
    reference = labels[..., -1].contiguous().view(torch.float64)
    return Answers(logps, tokens.clamp_min(1), torch.where(there[:, None], reference, 0.0), there)


def asked_of(rows: torch.Tensor, count: int = SIDES) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of all sequences of some rows, cut to a pass, and the label of each of their logits: the tokens of
    the answers. Each [rows x count, length].

    Args:
        rows: see `sides_of`.
        count: sequences of a row.
    """
    sides, padding, length = sides_of(rows, count)
    ids = ids_of(sides)
    labels = torch.full_like(ids, IGNORED)
    asked = ((sides & NOT_TRAINED) == 0) & ~padding
    labels[:, :-1] = torch.where(asked[:, 1:], ids[:, 1:], IGNORED)
    return ids[:, :length].contiguous(), labels[:, :length]


def sides_of(rows: torch.Tensor, count: int = SIDES) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Both sequences of some pairs, one beside the other; where each is filled up; and the length of a pass
    that has all of them.

    Args:
        rows: [pairs, 2 x length] tokens with their marks.
        count: sequences of a row, where they are not two.
    """
    sides = rows.reshape(-1, rows.shape[1] // count)
    first = (sides & FIRST_OF_DOCUMENT) != 0
    first[:, 0] = False
    place = torch.arange(sides.shape[1], device=rows.device).expand_as(sides)
    padding = first.cummax(dim=1).values
    length = int(torch.where(padding, 0, place + 1).max())
    return sides, padding, min(sides.shape[1], -(-length // MULTIPLE) * MULTIPLE)


def log_probabilities(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """[pairs, 2] log-probabilities of the answers."""
    return answers(outputs, labels).logps


def has_reference(spec: JobSpec) -> bool:
    """Whether a job compares what it trains with what it starts from."""
    return (spec.training.preference or PreferenceSpec()).loss.has_reference


class PairsLM:
    """Two sequences a row; of each the answer at its end is asked.

    Rows have marks beside the ids, as those of dialogues (see `token_marks`). Where the loss compares with
    the model that training starts from, two more columns are the bits of its fp64 log-probabilities.

    Args:
        how: what is minimised.
    """

    def __init__(self, how: PreferenceSpec) -> None:
        self.how = how
        self._of_pair = _LOSSES[how.loss]

    @property
    def has_reference(self) -> bool:
        """Whether rows must have the columns of the reference."""
        return self.how.loss.has_reference

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs of [2 x rows, length], and labels of [rows, 2, length + 1]: of each side the label of each
        of its logits, and the bits of the answer's log-probability under the reference. A row is one label.

        No position has a mask: what fills a sequence up stands after all of it, where nothing looks.
        """
        del keys
        ids, labels = asked_of(rows[:, :-SIDES] if self.has_reference else rows)
        reference = rows[:, -SIDES:] if self.has_reference else torch.zeros_like(rows[:, :SIDES])
        by_row = labels.reshape(len(rows), SIDES, -1)
        return {"input_ids": ids}, torch.cat([by_row, reference[..., None]], dim=-1)

    def sequences(self, one: Pass) -> list[Pass]:
        """What the model reads of a pass: all of it at once."""
        return [one]

    def objective(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """The sum of the losses of a pass's pairs."""
        found = answers(outputs, labels)
        total = torch.where(found.there, self._of_pair(found, self.how), 0.0).sum()
        return total.to(torch.promote_types(outputs.logits.dtype, torch.float32))

    def measures(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """Sums over the pairs of a pass: how many are the right way round, and their margin (`MEASURES`)."""
        found = answers(outputs, labels)
        rewards = self.how.beta * (
            found.logps - found.reference if self.has_reference else found.logps / found.tokens
        )
        margin = torch.where(found.there, rewards[:, 0] - rewards[:, 1], 0.0)
        return torch.stack([(margin > 0).sum().to(margin.dtype), margin.sum()])

    def figures(self, sums: Sequence[float], count: float) -> dict[str, float]:
        """Means over so many pairs, from sums of `measures`."""
        return means(sums, count)


MEASURES = ("reward_accuracy", "reward_margin")


def means(sums: Sequence[float], count: float) -> dict[str, float]:
    """What sums over so many pairs say, by `MEASURES`."""
    return {name: found / count for name, found in zip(MEASURES, sums, strict=True)}


def _dpo(found: Answers, how: PreferenceSpec) -> torch.Tensor:
    """Equation 7 of https://arxiv.org/abs/2305.18290; with label smoothing that of conservative DPO
    (https://ericmitchell.ai/cdpo.pdf): each pair is the wrong way round with that probability."""
    ratios = found.logps - found.reference
    logits = how.beta * (ratios[:, 0] - ratios[:, 1])
    right, wrong = -F.logsigmoid(logits), -F.logsigmoid(-logits)
    return (
        right if not how.label_smoothing else (1 - how.label_smoothing) * right + how.label_smoothing * wrong
    )


def _ipo(found: Answers, how: PreferenceSpec) -> torch.Tensor:
    """Equation 17 of https://arxiv.org/abs/2310.12036, over means of an answer's tokens, as trl has it."""
    ratios = (found.logps - found.reference) / found.tokens
    return (ratios[:, 0] - ratios[:, 1] - 1 / (2 * how.beta)).square()


def _orpo(found: Answers, how: PreferenceSpec) -> torch.Tensor:
    """Equations 6 and 7 of https://arxiv.org/abs/2403.07691: the better answer's own loss, a mean over its
    tokens, and the weighted loss of the odds ratio."""
    means = found.logps / found.tokens
    odds = means - torch.log1p(-torch.exp(means))
    return -means[:, 0] - how.beta * F.logsigmoid(odds[:, 0] - odds[:, 1])


_LOSSES: dict[PreferenceLoss, Callable[[Answers, PreferenceSpec], torch.Tensor]] = {
    PreferenceLoss.DPO: _dpo,
    PreferenceLoss.IPO: _ipo,
    PreferenceLoss.ORPO: _orpo,
}
