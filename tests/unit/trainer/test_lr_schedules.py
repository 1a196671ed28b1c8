"""Learning rates at pinned steps, and against transformers where it has the same curve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import get_scheduler

from llmtrain_api import TrainingSpec
from llmtrain_trainer.optim.lr_schedules import schedule

TOTAL, WARMUP = 100, 9


def share(**training: Any) -> list[float]:
    spec = TrainingSpec.model_validate({"warmupSteps": WARMUP, **training})
    at = schedule(spec, TOTAL)
    return [at(step) for step in range(TOTAL + 1)]


PINNED: dict[str, tuple[dict[str, Any], dict[int, float]]] = {
    "the default": ({}, {0: 0.1, 8: 0.9, 9: 1.0, 54: 0.5577672884, 99: 0.10026814, 100: 0.1}),
    "cosine to nothing": ({"schedule": "cosine", "minLearningRate": 0}, {9: 1.0, 100: 0.0}),
    "linear": ({"schedule": "linear", "minLearningRate": 0.2}, {8: 0.9, 9: 1.0, 35: 0.77142857, 100: 0.2}),
    "constant": ({"schedule": "constant"}, {0: 0.1, 8: 0.9, 9: 1.0, 99: 1.0, 100: 1.0}),
    "wsd over a fifth": ({"schedule": "wsd"}, {8: 0.9, 9: 1.0, 79: 1.0, 80: 1.0, 90: 0.55, 100: 0.1}),
    "wsd over 10 steps": (
        {"schedule": "wsd", "decaySteps": 10, "minLearningRate": 0},
        {89: 1.0, 90: 1.0, 95: 0.5, 99: 0.1, 100: 0.0},
    ),
    "wsd longer than the job": (
        {"schedule": "wsd", "decaySteps": 500, "minLearningRate": 0},
        {8: 0.9, 9: 1.0, 100: 0.0},
    ),
    "no warm-up": ({"warmupSteps": 0, "schedule": "linear", "minLearningRate": 0}, {0: 1.0, 50: 0.5}),
    "nothing but warm-up": ({"warmupSteps": 1000}, {0: 1 / 1001, 99: 100 / 1001}),
}


@pytest.mark.parametrize("name", PINNED)
def test_pinned(name: str) -> None:
    training, points = PINNED[name]
    found = share(**training)
    assert {at: found[at] for at in points} == pytest.approx(points, abs=1e-8)


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant", "wsd"])
def test_it_never_rises_after_the_warm_up_nor_leaves_its_bounds(kind: str) -> None:
    found = share(schedule=kind, minLearningRate=0.25)
    assert found[:WARMUP] == sorted(found[:WARMUP])
    assert found[WARMUP:] == sorted(found[WARMUP:], reverse=True)
    assert max(found) == 1.0
    assert min(found[WARMUP:]) == pytest.approx(1.0 if kind == "constant" else 0.25)


ORACLES: dict[str, tuple[str, dict[str, Any]]] = {
    "cosine": ("cosine_with_min_lr", {"min_lr_rate": 0.2}),
    "linear": ("linear", {}),
    "constant": ("constant_with_warmup", {}),
    "wsd": (
        "warmup_stable_decay",
        {"num_decay_steps": 25, "decay_type": "linear", "min_lr_ratio": 0.2},
    ),
}


@pytest.mark.parametrize("kind", ORACLES)
def test_after_the_warm_up_it_is_what_transformers_has(kind: str) -> None:
    """Its warm-up starts with a step of nothing, ours does not."""
    name, more = ORACLES[kind]
    floor = 0.0 if kind == "linear" else 0.2
    decay = {"decaySteps": 25} if kind == "wsd" else {}
    mine = share(schedule=kind, minLearningRate=floor, **decay)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_scheduler(name, optimizer, WARMUP, TOTAL, scheduler_specific_kwargs=more or None)
    for step in range(TOTAL):
        if step >= WARMUP:
            assert mine[step] == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), step
        optimizer.step()
        theirs.step()
