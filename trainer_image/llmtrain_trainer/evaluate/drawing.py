"""Answers that a model writes to one prompt, drawn by given numbers.

The answers of a group are computed together and apart from every other group, without padding, so that they
depend neither on which prompts a rank has, nor on how many at once. torch's own generators do not serve: what
they give to a prompt depends on all that was drawn before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..tasks.noise import noise

_BITS = 53
"""Of a number between 0 and 1 in fp64."""


@dataclass(frozen=True)
class Drawn:
    """One answer.

    Attributes:
        ids: its tokens, with the one that ends it.
        logps: the log-probability of each, as it was drawn.
        ended: whether it ends before it had to.
    """

    ids: list[int]
    logps: list[float]
    ended: bool


def chances(key: int, answers: int, tokens: int) -> torch.Tensor:
    """[answers, tokens] numbers from 0 up to 1, that follow from the key and the answer's number alone.

    Args:
        key: of a prompt in a step.
        answers: of a group.
        tokens: of an answer at most.
    """
    bits = np.stack([noise(key, tokens, stream=number) for number in range(answers)])
    return torch.from_numpy((bits >> np.uint64(64 - _BITS)).astype(np.float64) * 2.0**-_BITS)


@torch.no_grad()
def draw(
    model: Any,
    prompt: Sequence[int],
    by: torch.Tensor,
    temperature: float,
    ends: Collection[int],
    each: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[Drawn]:
    """A group of answers to a prompt, of the whole distribution.

    Args:
        model: of transformers, in evaluation.
        prompt: its tokens.
        by: see `chances`.
        temperature: of the distribution.
        ends: tokens that end an answer.
        each: is entered for each token, so that who watches sees that it goes on.
    """
    device = next(model.parameters()).device
    answers, most = by.shape
    by, stops = by.to(device), torch.tensor(sorted(ends), device=device)
    with each():
        out = model(input_ids=torch.tensor([list(prompt)], device=device), use_cache=True, logits_to_keep=1)
    cache, logits = out.past_key_values, out.logits[:, -1].expand(answers, -1)
    cache.batch_repeat_interleave(answers)
    ids, logps, done = [], [], torch.zeros(answers, dtype=torch.bool, device=device)
    for at in range(most):
        tokens, likely = _next(logits, by[:, at], temperature)
        ids.append(tokens)
        logps.append(likely)
        done |= torch.isin(tokens, stops)
        if at + 1 == most or bool(done.all()):
            break
        with each():
            out = model(input_ids=tokens[:, None], past_key_values=cache, use_cache=True)
            logits = out.logits[:, -1]
    found = zip(torch.stack(ids, 1).tolist(), torch.stack(logps, 1).tolist(), strict=True)
    return [_until(of_it, likely, ends) for of_it, likely in found]


def _next(logits: torch.Tensor, by: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The token that each number falls on, in fp64: rounding must not decide, and its log-probability."""
    logps = torch.log_softmax(logits.double() / temperature, dim=-1)
    below = logps.exp().cumsum(-1)
    tokens = torch.searchsorted(below, (by * below[:, -1])[:, None], right=True)
    tokens = tokens.clamp_max(logits.shape[-1] - 1)
    return tokens[:, 0], logps.gather(-1, tokens)[:, 0]


def _until(ids: list[int], logps: list[float], ends: Collection[int]) -> Drawn:
    """What was drawn up to the token that ends it."""
    for at, token in enumerate(ids):
        if token in ends:
            return Drawn(ids[: at + 1], logps[: at + 1], True)
    return Drawn(ids, logps, False)
