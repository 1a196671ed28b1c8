"""Answers that a model wrote, with what rules gave them, for proofs of task reinforcement; and their loss by
one process: each answer alone, without padding, token by token by the papers' formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from llmtrain_api import JobSpec
from llmtrain_trainer.tasks.reinforcement import OLD, REFERENCE, Pass, RewardedLM, known
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED

EOS, GROUP = 0, 3
HOW: dict[str, Any] = {
    "rewards": [{"kind": "json"}],
    "groupSize": GROUP,
    "maxNewTokens": 24,
    "temperature": 0.8,
    "beta": 0.3,
    "clipLow": 0.2,
    "clipHigh": 0.3,
    "iterations": 2,
}
"""What is maximised; with two updates a step ratios differ from 1, and some are clipped."""


def rows(samples: int, length: int, vocabulary: int) -> np.ndarray[Any, Any]:
    """Rows of a group each: its answers' tokens with their marks, and the bits of what is known of them."""
    generator = np.random.default_rng(12)
    tokens = generator.integers(40, vocabulary, (samples, GROUP, length))
    tokens[..., 0] |= FIRST_OF_DOCUMENT
    for one in tokens.reshape(-1, length):
        end = int(generator.integers(6, length + 1))
        one[: int(generator.integers(1, end))] |= NOT_TRAINED
        one[end:] = EOS | NOT_TRAINED
        one[end : end + 1] |= FIRST_OF_DOCUMENT
    known_of_tokens = generator.normal(-np.log(vocabulary), 0.4, (samples, 2, GROUP, length))
    advantages = generator.normal(0, 1, (samples, GROUP))
    parts = [tokens, *(found.view(np.int64) for found in (known_of_tokens, advantages))]
    return np.concatenate([part.reshape(samples, -1) for part in parts], axis=1)


def parts(row: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of some rows the tokens, what old and start model say of each place, and the advantages."""
    tokens, numbers = row[..., : GROUP * length], row[..., GROUP * length :].contiguous().view(torch.float64)
    shape = row.shape[:-1]
    said = numbers[..., :-GROUP].reshape(*shape, 2, GROUP, length)
    return tokens.reshape(*shape, GROUP, length), said, numbers[..., -GROUP:]


class Given:
    """The product's task, whose rows have their answers with them."""

    def __init__(self, spec: JobSpec, length: int) -> None:
        assert spec.training.reinforcement is not None
        self._task, self._length = RewardedLM(spec.training.reinforcement), length
        self.objective = self._task.objective

    def encode(self, given: torch.Tensor, keys: Sequence[int]) -> Pass:
        """A pass over the answers of some rows."""
        del keys
        tokens, said, advantages = parts(given, self._length)
        one = self._task.written(tokens, advantages)
        width = one[1].shape[-1]
        for at, line in enumerate((OLD, REFERENCE)):
            one = known(one, line, said[:, at, :, :width])
        return one


def loss_of(model: Any, given: torch.Tensor, length: int, device: str) -> tuple[torch.Tensor, int]:
    """The summed loss of the rows of a global batch, and their tokens."""
    total, count = torch.zeros((), device=device), 0
    for row in given:
        for tokens, old, start, gain in zip(*_of_row(row, length), strict=True):
            begins = torch.nonzero(tokens[1:] & FIRST_OF_DOCUMENT).flatten().tolist()
            own = tokens[: begins[0] + 1] if begins else tokens
            ids = (own & ID).to(device)
            logits = model(input_ids=ids[None]).logits[0, :-1]
            wide = torch.promote_types(logits.dtype, torch.float32)
            every = F.log_softmax(logits.to(wide) / HOW["temperature"], -1)[
                torch.arange(len(ids) - 1), ids[1:]
            ]
            for at in torch.nonzero((own[1:] & NOT_TRAINED) == 0).flatten().tolist():
                total = total + _of_token(every[at], float(old[at]), float(start[at]), float(gain))
                count += 1
    return total, count


def _of_row(row: torch.Tensor, length: int) -> tuple[torch.Tensor, ...]:
    tokens, said, advantages = parts(row, length)
    return tokens, said[0], said[1], advantages


def _of_token(now: torch.Tensor, old: float, start: float, gain: float) -> torch.Tensor:
    ratio = torch.exp(now) / np.exp(old)
    bounded = min(max(float(ratio.detach()), 1 - HOW["clipLow"]), 1 + HOW["clipHigh"]) * gain
    gained = ratio * gain if float(ratio.detach()) * gain <= bounded else torch.tensor(bounded)
    other = np.exp(start) / torch.exp(now)
    return -gained + HOW["beta"] * (other - torch.log(other) - 1)
