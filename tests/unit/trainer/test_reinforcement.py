"""GRPO against its formulas in fp64: advantages, value and gradient, however a batch is cut."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llmtrain_api.schema.reinforcement import ReinforcementSpec
from llmtrain_trainer.loss import IGNORED, label_count, token_count
from llmtrain_trainer.tasks.reinforcement import (
    KEYS,
    OLD,
    PROMPTS,
    REFERENCE,
    RewardedLM,
    advantages_of,
    divergence,
    known,
)
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of

PROMPTS_OF, GROUP, EACH, VOCAB = 5, 4, 16, 30
TABLE = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
"""The whole model: the logits of the token that follows each token."""


def how(**changes: Any) -> ReinforcementSpec:
    return ReinforcementSpec.model_validate(
        {"rewards": [{"kind": "json"}], "clipHigh": 0.28, "temperature": 0.9} | changes
    )


def answers() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Answers after their prompts, what the old and the start model say of their tokens, and advantages."""
    generator = torch.Generator().manual_seed(6)
    tokens = torch.full((PROMPTS_OF, GROUP, EACH), 1 | NOT_TRAINED)
    for one in tokens.view(-1, EACH):
        end = int(torch.randint(4, EACH + 1, (), generator=generator))
        begin = int(torch.randint(1, end, (), generator=generator))
        one[:end] = torch.randint(2, VOCAB, (end,), generator=generator)
        one[:begin] |= NOT_TRAINED
        one[0] |= FIRST_OF_DOCUMENT
        one[end : end + 1] |= FIRST_OF_DOCUMENT
    apart = torch.randn(2, *tokens.shape, generator=generator, dtype=torch.float64) * 0.4
    gains = torch.randn(PROMPTS_OF, GROUP, generator=generator, dtype=torch.float64)
    said = torch.tensor(
        [[[said_of(TABLE, row, at, 0.9) for at in range(EACH)] for row in group] for group in tokens],
        dtype=torch.float64,
    )
    return tokens, said + apart[0], said + apart[1], gains


def said_of(table: torch.Tensor, row: torch.Tensor, at: int, temperature: float) -> Any:
    """The log-probability of the token after a place; 0 where it is none of an answer."""
    if at + 1 == len(row) or int(row[at + 1]) & (NOT_TRAINED | FIRST_OF_DOCUMENT):
        return 0.0
    logits = table[ids_of(int(row[at]))] / temperature
    return logits[int(row[at + 1])] - torch.log(torch.exp(logits).sum())


def by_the_formula(table: torch.Tensor, spec: ReinforcementSpec) -> tuple[torch.Tensor, int, int]:
    """Equation 8 of DAPO's paper and equation 4 of GRPO's; the tokens, and how many ratios are clipped."""
    tokens, old, start, gains = answers()
    total, count, clipped = torch.zeros((), dtype=torch.float64), 0, 0
    for group, of_old, of_start, of_group in zip(tokens, old, start, gains, strict=True):
        for row, was, began, gain in zip(group, of_old, of_start, of_group, strict=True):
            for at in range(EACH - 1):
                now = said_of(table, row, at, spec.temperature)
                if not isinstance(now, torch.Tensor):
                    continue
                before = float(now.detach()) if spec.iterations == 1 else float(was[at])
                ratio = torch.exp(now - before)
                value = float(ratio.detach())
                bound = min(max(value, 1 - spec.clip_low), 1 + spec.clip_high)
                clipped += bound != value
                gained = ratio * gain if value * gain <= bound * gain else bound * gain
                other = math.exp(float(began[at])) / torch.exp(now)
                total = total - gained + spec.beta * (other - torch.log(other) - 1)
                count += 1
    return total / count, count, clipped


def ours(table: torch.Tensor, spec: ReinforcementSpec, cut: int) -> torch.Tensor:
    """The product's loss, so many prompts in a pass; the last pass has a spare slot."""
    task, total, count = RewardedLM(spec), torch.zeros((), dtype=torch.float64), 0
    tokens, old, start, gains = answers()
    for first in range(0, PROMPTS_OF, cut):
        part = [min(at, PROMPTS_OF - 1) for at in range(first, first + cut)]
        one = task.written(tokens[part], gains[part])
        width = one[1].shape[-1]
        one = known(known(one, OLD, old[part][..., :width]), REFERENCE, start[part][..., :width])
        one[1][torch.tensor([first + at >= PROMPTS_OF for at in range(cut)])] = IGNORED
        outputs = SimpleNamespace(logits=table[one[0]["input_ids"]])
        total = total + task.objective(outputs, one[1])
        count += label_count(one[1])
        assert token_count(one[1]) == label_count(one[1])
    return total / count


@pytest.mark.parametrize("cut", [1, 2, 5])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("iterations", [1, 3])
def test_value_and_gradient_are_the_formulas_however_the_batch_is_cut(
    iterations: int, beta: float, cut: int
) -> None:
    spec = how(iterations=iterations, beta=beta)
    mine, right = (TABLE.clone().requires_grad_() for _ in range(2))
    found, (wanted, count, clipped) = ours(mine, spec, cut), by_the_formula(right, spec)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9, abs=1e-12)
    found.backward()
    wanted.backward()
    assert mine.grad is not None
    assert right.grad is not None
    assert torch.allclose(mine.grad, right.grad, rtol=1e-9, atol=1e-12)
    assert mine.grad.abs().sum() > 0.1
    assert count > 60
    assert (clipped > 10) == (iterations > 1)


def test_an_advantage_is_what_an_answer_got_above_its_group() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 3.0, 0.0]]).double()
    plain = advantages_of(rewards, how(scaleByDeviation=False))
    assert plain.tolist() == [[0.5, -0.5, -0.5, 0.5], [0.0] * 4, [-0.75, -0.75, 2.25, -0.75]]
    scaled = advantages_of(rewards, how())
    deviation = math.sqrt(4 * 0.25 / 3)
    assert scaled[0].tolist() == pytest.approx([0.5 / (deviation + 1e-4) * s for s in (1, -1, -1, 1)])
    assert scaled[1].tolist() == [0.0] * 4
    assert scaled[2].tolist() == pytest.approx([a / (1.5 + 1e-4) for a in plain[2].tolist()])


def test_the_divergence_is_never_below_0_and_on_average_the_one_of_both_distributions() -> None:
    ours, start = (torch.tensor(p, dtype=torch.float64) for p in ([0.6, 0.3, 0.1], [0.2, 0.3, 0.5]))
    found = divergence(ours.log(), start.log())
    assert (found >= 0).all()
    assert float((ours * found).sum()) == pytest.approx(float((ours * (ours / start).log()).sum()))


def test_prompts_wait_for_their_answers_with_what_these_are_drawn_by() -> None:
    rows = torch.arange(6).view(2, 3)
    inputs, labels = RewardedLM(how()).encode(rows, [5, (1 << 64) - 3])
    assert torch.equal(inputs[PROMPTS], rows)
    assert [key % (1 << 64) for key in inputs[KEYS].tolist()] == [5, (1 << 64) - 3]
    assert label_count(labels) == 2
