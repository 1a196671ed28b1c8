"""KTO against its formula: value and gradient, one divergence for a global batch however it is cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llmtrain_api import Place
from llmtrain_api.schema.preference import PreferenceLoss, PreferenceSpec
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.loader import held_out_passes
from llmtrain_trainer.data.reference import joined
from llmtrain_trainer.loss import label_count, token_count
from llmtrain_trainer.tasks.kto import JudgedLM, Pass
from llmtrain_trainer.tasks.preference import log_probabilities
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of

EACH, VOCAB, ROWS = 16, 50, 7
CPU = torch.device("cpu")
HOW = PreferenceSpec(loss=PreferenceLoss.KTO, beta=0.3, desirable_weight=1.3, undesirable_weight=0.7)
TABLE = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
"""The whole model: the logits of the token that follows each token."""


def data(likelier: float = 2.0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of answers, and a reference by which mismatched sequences are so much likelier now."""
    generator = np.random.default_rng(5)
    rows = np.full((ROWS, 2, EACH), 1 | NOT_TRAINED, np.int64)
    for one in rows.reshape(-1, EACH):
        end = int(generator.integers(5, EACH + 1))
        one[:end] = generator.integers(2, VOCAB, end)
        one[: int(generator.integers(1, end))] |= NOT_TRAINED
        one[0] |= FIRST_OF_DOCUMENT
        one[end : end + 1] |= FIRST_OF_DOCUMENT
    reference = np.array([[float(likelihood(TABLE, side)) for side in row] for row in rows])
    reference[:, 0] += generator.normal(0, 3, ROWS)
    reference[:, 1] += generator.normal(0, 1, ROWS) - likelier
    labels = (np.arange(ROWS) % 3 != 0).astype(np.int64)[:, None] | NOT_TRAINED
    return np.concatenate([rows.reshape(ROWS, -1), labels], axis=1), reference


def likelihood(table: torch.Tensor, side: np.ndarray[Any, Any]) -> torch.Tensor:
    """Of an answer, token by token."""
    total = torch.zeros((), dtype=torch.float64)
    for before, token in pairwise(side):
        if token & FIRST_OF_DOCUMENT:
            break
        if not token & NOT_TRAINED:
            row = table[ids_of(int(before))]
            total = total + row[int(token)] - torch.log(torch.exp(row).sum())
    return total


def by_the_formula(table: torch.Tensor, likelier: float) -> torch.Tensor:
    """Equation 8 of https://arxiv.org/abs/2402.01306, as a mean over the rows."""
    rows, reference = data(likelier)
    sides = rows[:, :-1].reshape(ROWS, 2, EACH)
    others = [
        float(likelihood(table.detach(), side[1]) - ref[1])
        for side, ref in zip(sides, reference, strict=True)
    ]
    z = max(0.0, sum(others) / ROWS)
    losses = []
    for side, ref, label in zip(sides, reference, rows[:, -1], strict=True):
        r = likelihood(table, side[0]) - ref[0]
        if ids_of(int(label)):
            losses.append(1.3 - 1.3 / (1 + torch.exp(-0.3 * (r - z))))
        else:
            losses.append(0.7 - 0.7 / (1 + torch.exp(-0.3 * (z - r))))
    return torch.stack(losses).mean()


def passes_of(task: JudgedLM, plan: BatchPlan, rank: int, likelier: float) -> list[Pass]:
    return held_out_passes(joined(*data(likelier)), plan, Place(rank, 0, 0, 0), task, CPU)


def by_ranks(
    table: torch.Tensor, ranks: int, micro: int, likelier: float
) -> tuple[torch.Tensor, list[JudgedLM]]:
    """The loss of a global batch that is cut so, and each rank's task after its first phase."""
    tasks, plan = [JudgedLM(HOW) for _ in range(ranks)], BatchPlan(ROWS, micro, ranks)
    passes = [passes_of(task, plan, rank, likelier) for rank, task in enumerate(tasks)]
    sums: list[list[float]] = []

    def evaluated(given: list[Pass], of: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            return [
                of(SimpleNamespace(logits=table[inputs["input_ids"]]), labels) for inputs, labels in given
            ]

    def noted(*own: float) -> tuple[float, ...]:
        sums.append([*own])
        return own

    for task, own in zip(tasks, passes, strict=True):
        task.settle(own, evaluated, noted)
    total, count = torch.zeros((), dtype=torch.float64), 0
    whole = [sum(column) for column in zip(*sums, strict=True)]
    for task, own in zip(tasks, passes, strict=True):
        for inputs, labels in task.settle(own, evaluated, lambda *_: whole):
            assert set(inputs) == {"input_ids"}
            total = total + task.objective(SimpleNamespace(logits=table[inputs["input_ids"]]), labels)
            count += label_count(labels)
    assert count == ROWS
    return total / count, tasks


@pytest.mark.parametrize("likelier", [2.0, -2.0], ids=["a divergence", "a divergence that is held at 0"])
@pytest.mark.parametrize(("ranks", "micro"), [(1, 7), (1, 3), (2, 1), (2, 4), (3, 2)])
def test_value_and_gradient_are_the_formulas_however_the_batch_is_cut(
    ranks: int, micro: int, likelier: float
) -> None:
    ours, right = (TABLE.clone().requires_grad_() for _ in range(2))
    loss, tasks = by_ranks(ours, ranks, micro, likelier)
    wanted = by_the_formula(right, likelier)
    loss.backward()
    wanted.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-9)
    assert ours.grad is not None
    assert right.grad is not None
    assert float((ours.grad - right.grad).abs().max()) < 1e-9
    assert float(right.grad.abs().max()) > 1e-3
    assert len({round(task.divergence, 9) for task in tasks}) == 1
    assert (tasks[0].divergence > 1) is (likelier > 0)


def test_a_divergence_that_is_no_number_is_not_hidden() -> None:
    table = TABLE.clone()
    table[:] = math.nan
    _, [task] = by_ranks(table, 1, 7, 2.0)
    assert math.isnan(task.divergence)


def test_a_pass_has_the_answer_for_training_and_the_mismatched_sequence_apart() -> None:
    task = JudgedLM(HOW)
    rows = joined(*data())[:2]
    inputs, labels = task.encode(torch.from_numpy(rows), [0, 1])
    assert label_count(labels) == 2
    own = rows[:, :EACH]
    assert token_count(labels) == int(((own & NOT_TRAINED) == 0).sum())
    assert labels[:, 1, -1].tolist() == [0, 1]
    [answers, mismatched] = task.sequences((inputs, labels))
    for number, (ids, asked) in enumerate((answers, mismatched)):
        length = ids["input_ids"].shape[1]
        wanted = ids_of(rows[:, number * EACH : number * EACH + length])
        assert ids["input_ids"].tolist() == wanted.tolist()
        assert asked.shape == (2, 1, length + 1)
        found = asked[..., -1].contiguous().view(torch.float64).flatten()
        assert found.tolist() == rows[:, -2 + number].view(np.float64).tolist()
        logits = TABLE[ids["input_ids"]]
        logps = log_probabilities(SimpleNamespace(logits=logits), asked).flatten().tolist()
        sides = rows[:, number * EACH : (number + 1) * EACH]
        assert logps == pytest.approx([float(likelihood(TABLE, side)) for side in sides])


def test_a_spare_slot_has_neither_loss_nor_gradient_nor_a_share_of_the_divergence() -> None:
    task = JudgedLM(HOW)
    # one row alone of a pass of four
    [spare] = held_out_passes(joined(*data())[:1], BatchPlan(4, 4, 1), Place(0, 0, 0, 0), task, CPU)
    assert label_count(spare[1]) == 1
    seen: list[float] = []

    def evaluated(given: list[Pass], of: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        return [of(SimpleNamespace(logits=TABLE[inputs["input_ids"]]), labels) for inputs, labels in given]

    def noted(*own: float) -> tuple[float, ...]:
        seen.extend(own)
        return own

    [(inputs, labels)] = task.settle([spare], evaluated, noted)
    assert seen[1] == 1
    logits = TABLE[inputs["input_ids"]].clone().requires_grad_()
    task.objective(SimpleNamespace(logits=logits), labels).backward()
    assert logits.grad is not None
    assert logits.grad[:1].any()
    assert not logits.grad[1:].any()
    assert task.measures(SimpleNamespace(logits=logits.detach()), labels)[2] == ids_of(int(data()[0][0, -1]))


def test_the_figures_of_evaluation_are_of_each_kind() -> None:
    task = JudgedLM(HOW)
    rows, reference = data()
    [one] = held_out_passes(joined(rows, reference), BatchPlan(8, 8, 1), Place(0, 0, 0, 0), task, CPU)
    task.divergence = 0.5
    inputs, labels = one
    sums = task.measures(SimpleNamespace(logits=TABLE[inputs["input_ids"]]), labels).tolist()
    found = task.figures(sums, ROWS)
    sides = rows[:, :EACH]
    ratios = [float(likelihood(TABLE, side)) - ref for side, ref in zip(sides, reference[:, 0], strict=True)]
    kinds = ids_of(rows[:, -1]).astype(bool)
    by_kind = [
        [0.3 * r for r, k in zip(ratios, kinds, strict=True) if bool(k) is wanted] for wanted in (True, False)
    ]
    assert found["desirable_reward"] == pytest.approx(np.mean(by_kind[0]))
    assert found["undesirable_reward"] == pytest.approx(np.mean(by_kind[1]))
    right = [(r > 0.5) if k else (r < 0.5) for r, k in zip(ratios, kinds, strict=True)]
    assert 0 < sum(right) < ROWS
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert found["divergence"] == 0.5
    assert "undesirable_reward" not in task.figures([1.0, 2.0, 2.0, 0.0], 2)
    assert "desirable_reward" not in task.figures([1.0, 0.0, 0.0, 2.0], 2)
