"""Answers that the model wrote itself, by what rules gave them: GRPO (https://arxiv.org/abs/2402.03300).

The answers of one prompt are a group, and an answer's advantage is what it got above the group's mean,
divided by the group's standard deviation (or not: Dr. GRPO, https://arxiv.org/abs/2503.20783). Each token
counts alike over the global batch, as in DAPO (https://arxiv.org/abs/2503.14476), equation 8: a mean over
each answer first would weigh tokens of short ones more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llmtrain_api.schema.reinforcement import ReinforcementSpec

from ..loss import IGNORED, token_losses
from .preference import Pass, asked_of

PROMPTS, KEYS = "prompts", "keys"
"""What a pass has before answers are written, in the place of the inputs of the model."""
LABELS, OLD, REFERENCE, ADVANTAGE = range(4)
"""Lines of labels for each answer: the label of each logit, and the bits of three fp64 numbers beside it."""
EPSILON = 1e-4
"""Beside a standard deviation that may be 0, as trl has it."""


class RewardedLM:
    """A group of answers to each prompt.

    Rows are prompts; see `data.prompts.writing`. They become passes over answers when these are there: see
    `written`.

    Args:
        how: what is maximised.
    """

    def __init__(self, how: ReinforcementSpec) -> None:
        self.how = how

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> Pass:
        """The prompts of some rows, what their answers are drawn by, and a label of each row, which says only
        that it is there."""
        signed = [key - (1 << 64) if key >= 1 << 63 else key for key in keys]
        inputs = {PROMPTS: rows, KEYS: torch.tensor(signed, dtype=torch.int64)}
        return inputs, torch.zeros(len(rows), 1, dtype=torch.int64)

    def written(self, tokens: torch.Tensor, advantages: torch.Tensor) -> Pass:
        """A pass over answers, and labels of [prompts, answers, 4 lines, length]; a token is one label.

        Args:
            tokens: [prompts, answers, length] each after its prompt, with the marks of dialogues.
            advantages: [prompts, answers].
        """
        ids, asked = asked_of(tokens.flatten(1), tokens.shape[1])
        labels = asked.view(*tokens.shape[:2], 1, -1)
        nothing = torch.zeros_like(labels)
        gain = advantages.double()[..., None, None].view(torch.int64).expand_as(labels)
        return {"input_ids": ids}, torch.cat([labels, nothing, nothing, gain], dim=2)

    def log_probabilities(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """[prompts, answers, length] of each token of the answers, in fp32 at least; 0 elsewhere."""
        asked = labels[:, :, LABELS]
        logits = outputs.logits if self.how.temperature == 1 else outputs.logits / self.how.temperature
        return -token_losses(logits, asked.flatten(0, 1)).view(asked.shape)

    def objective(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """The sum of the losses of a pass's tokens: equation 8 of DAPO's paper without its dynamic sampling,
        and beside it the divergence from the start model by equation 4 of GRPO's."""
        there = labels[:, :, LABELS] != IGNORED
        now = self.log_probabilities(outputs, labels)
        # with one update by some answers the old model is the new one, to the last bit
        old = now.detach() if self.how.iterations == 1 else _numbers(labels, OLD, there)
        gain, ratio = _numbers(labels, ADVANTAGE, there), torch.exp(now - old)
        clipped = ratio.clamp(1 - self.how.clip_low, 1 + self.how.clip_high)
        losses = -torch.minimum(ratio * gain, clipped * gain)
        if self.how.beta:
            losses = losses + self.how.beta * divergence(now, _numbers(labels, REFERENCE, there))
        total = torch.where(there, losses, 0.0).sum()
        return total.to(torch.promote_types(outputs.logits.dtype, torch.float32))


def known(one: Pass, line: int, values: torch.Tensor) -> Pass:
    """A pass with what is known of its tokens in one of the lines.

    Args:
        one: as `RewardedLM.written` gives it.
        line: `OLD` or `REFERENCE`.
        values: [prompts, answers, length].
    """
    inputs, labels = one
    labels = labels.clone()
    labels[:, :, line] = values.double().view(torch.int64)
    return inputs, labels


def divergence(now: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Schulman's estimate k3 of the divergence of the model from another, of each token that it drew: never
    below 0."""
    apart = reference - now
    return torch.exp(apart) - apart - 1


def advantages_of(rewards: torch.Tensor, how: ReinforcementSpec) -> torch.Tensor:
    """What each answer of some groups got above its group.

    Args:
        rewards: [groups, answers], in fp64.
        how: whether the group's standard deviation (of a sample) divides it.
    """
    above = rewards - rewards.mean(-1, keepdim=True)
    return above / (rewards.std(-1, keepdim=True) + EPSILON) if how.scale_by_deviation else above


def _numbers(labels: torch.Tensor, line: int, there: torch.Tensor) -> torch.Tensor:
    """The numbers that a line is the bits of, and 0 where there is no token of an answer."""
    return torch.where(there, labels[:, :, line].contiguous().view(torch.float64), 0.0)
