"""Which answers are desirable: KTO (https://arxiv.org/abs/2402.01306, equation 8), over rows of one answer.

Beside its answer a row has a mismatched sequence: the same prompt with the answer to another one. How much
likelier such have become, a mean over the global batch and not less than 0, estimates the divergence from the
model that training starts from. It is what rewards are compared with, and has no gradient. As it is of the
whole batch, a step has two phases: `JudgedLM.settle` finds it, and then the answers are trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from llmtrain_api.schema.preference import PreferenceSpec

from ..loss import IGNORED
from ..token_marks import ids_of
from .objective import Objective
from .preference import SIDES, Answers, Pass, answers, asked_of

Evaluated = Callable[[list[Pass], Objective], list[torch.Tensor]]
"""Finds something in the outputs and labels of passes, without training."""
Added = Callable[..., Sequence[float]]
"""Sums of numbers over all ranks."""
LABEL = 1
"""Columns of a row between its tokens and its reference: 1 where the answer is desirable, else 0."""
MISMATCHED, MISMATCHED_LABELS = "mismatched_ids", "mismatched_labels"
"""What a pass has beside the inputs of the model."""


class JudgedLM:
    """An answer a row, which is desirable or not; see `data.judged.writing` for the row.

    Args:
        how: what is minimised.

    Attributes:
        divergence: what rewards are compared with, in nats; `settle` finds that of a global batch.
    """

    has_reference = True

    def __init__(self, how: PreferenceSpec) -> None:
        self.how = how
        self.divergence = 0.0

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> Pass:
        """A pass over both sequences of some rows, and labels of [rows, 2, length + 1]: the label of each
        logit of the answer's sequence with the bits of its reference, and a line that ends with whether the
        answer is desirable. A row is one label. `sequences` parts the pass into two for the model.
        """
        del keys
        length = (rows.shape[1] - LABEL - SIDES) // SIDES
        reference = rows[:, -SIDES:]
        ids, labels = _side(rows[:, :length], reference[:, 0])
        others, asked = _side(rows[:, length : SIDES * length], reference[:, 1])
        told = torch.full_like(labels, IGNORED)
        told[..., -1] = ids_of(rows[:, -SIDES - 1 : -SIDES])
        inputs = {"input_ids": ids, MISMATCHED: others, MISMATCHED_LABELS: asked}
        return inputs, torch.cat([labels, told], dim=1)

    def sequences(self, one: Pass) -> list[Pass]:
        """The answers of a pass and its mismatched sequences, each for the model; without a label where a
        slot is spare."""
        inputs, labels = one
        spare = (labels == IGNORED).flatten(1).all(1)
        mismatched = inputs[MISMATCHED_LABELS].masked_fill(spare[:, None, None], IGNORED)
        return [
            ({"input_ids": inputs["input_ids"]}, labels[:, :1]),
            ({"input_ids": inputs[MISMATCHED]}, mismatched),
        ]

    def settle(self, passes: list[Pass], evaluated: Evaluated, added: Added) -> list[Pass]:
        """Find the divergence of a global batch; the passes over its answers, as the model takes them.

        Args:
            passes: of this rank, as `encode` gives them.
            evaluated: of the engine, or of a model.
            added: over the gang.
        """
        mismatched = [self.sequences(one)[1] for one in passes]
        own = torch.stack(evaluated(mismatched, _likelier)).sum(0).tolist()
        total, count = added(*own)
        mean = total / max(1.0, count)
        self.divergence = 0.0 if mean < 0 else mean  # what is no number stays none
        return [({"input_ids": inputs["input_ids"]}, labels) for inputs, labels in passes]

    def objective(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """The sum of the losses of a pass's answers."""
        found, desirable = _judged(outputs, labels)
        above = self.how.beta * (_ratios(found) - self.divergence)
        losses = torch.where(
            desirable,
            self.how.desirable_weight * torch.sigmoid(-above),
            self.how.undesirable_weight * torch.sigmoid(above),
        )
        total = torch.where(found.there, losses, 0.0).sum()
        return total.to(torch.promote_types(outputs.logits.dtype, torch.float32))

    def measures(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """Sums over the answers of a pass: how many are on the right side of the divergence, the rewards of
        the desirable ones, how many these are, and the rewards of the others."""
        found, desirable = _judged(outputs, labels)
        ratios = _ratios(found)
        right = torch.where(desirable, ratios > self.divergence, ratios < self.divergence)
        rewards = self.how.beta * ratios
        return torch.stack(
            [
                (right & found.there).sum().to(rewards.dtype),
                torch.where(desirable, rewards, 0.0).sum(),
                (desirable & found.there).sum().to(rewards.dtype),
                torch.where(desirable, 0.0, rewards).sum(),
            ]
        )

    def figures(self, sums: Sequence[float], count: float) -> dict[str, float]:
        """What sums of `measures` over so many answers say; nothing of a kind that does not occur."""
        right, desirable, wanted, others = sums
        told = {"accuracy": right / count, "divergence": self.divergence}
        if wanted:
            told["desirable_reward"] = desirable / wanted
        if count > wanted:
            told["undesirable_reward"] = others / (count - wanted)
        return told


def settled(task: Any, passes: list[Pass], evaluated: Evaluated, added: Added) -> list[Pass]:
    """Passes as the model takes them, after the first phase of a task that has two; see `JudgedLM.settle`."""
    return task.settle(passes, evaluated, added) if isinstance(task, JudgedLM) else passes


def _side(tokens: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of one sequence of each row, and labels of [rows, 1, length + 1] with the bits of its reference."""
    ids, labels = asked_of(tokens, 1)
    return ids, torch.cat([labels, reference[:, None]], dim=-1)[:, None]


def _judged(outputs: Any, labels: torch.Tensor) -> tuple[Answers, torch.Tensor]:
    """What a pass says of its answers, and whether each is desirable."""
    return answers(outputs, labels[:, :1]), labels[:, 1, -1] == 1


def _ratios(found: Answers) -> torch.Tensor:
    """How much likelier each answer has become, in nats; 0 for a spare slot."""
    return torch.where(found.there, (found.logps - found.reference)[:, 0], 0.0)


def _likelier(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """The sum of that over the sequences of a pass, and how many there are."""
    found = answers(outputs, labels)
    return torch.stack([_ratios(found).sum(), found.there.sum().to(found.logps.dtype)])
