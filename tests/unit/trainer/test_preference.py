"""Losses of pairs against trl's own numbers; their labels and counts; the reference beside the data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import harness
import numpy as np
import pytest
import torch

from llmtrain_api import Place
from llmtrain_api.schema.preference import PreferenceLoss, PreferenceSpec
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.loader import held_out_passes
from llmtrain_trainer.data.reference import FILE, Referenced, joined, read_reference, write_reference
from llmtrain_trainer.loss import IGNORED, label_count, token_count
from llmtrain_trainer.tasks.preference import PairsLM, log_probabilities
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED

GOLDENS = json.loads((Path(harness.__file__).parent / "preference_goldens.json").read_text())
PAIRS = len(GOLDENS["prompts"])
BY_PAIR = [side * PAIRS + pair for pair in range(PAIRS) for side in (0, 1)]
"""Sequences of the goldens in our order: both of a pair beside each other."""


def golden_labels(*, short: bool) -> torch.Tensor:
    """Labels of the goldens' pairs, as `PairsLM.encode` gives them."""
    ids = torch.tensor(GOLDENS["ids"])[BY_PAIR]
    labels = torch.full_like(ids, IGNORED)
    bounds = np.array([GOLDENS["prompts"], GOLDENS["ends"]]).reshape(2, -1).T.tolist()
    for row, (start, end) in enumerate(bounds):
        first = 1 if short else start
        labels[row, first - 1 : end - 1] = ids[row, first:end]
    reference = torch.tensor(GOLDENS["reference"], dtype=torch.float64).view(torch.int64)
    return torch.cat([labels.view(PAIRS, 2, -1), reference[..., None]], -1)


@pytest.mark.parametrize("case", GOLDENS["cases"], ids=lambda case: f"{case['loss']} {case['beta']}")
def test_values_gradients_and_rewards_are_trls(case: dict[str, Any]) -> None:
    shape = GOLDENS["shape"]
    logits = torch.tensor(GOLDENS["logits"], dtype=torch.float64).view(shape)[BY_PAIR].requires_grad_()
    task = PairsLM(PreferenceSpec(loss=case["loss"], beta=case["beta"]))
    labels = golden_labels(short=case["loss"] == "orpo")
    loss = task.objective(SimpleNamespace(logits=logits), labels) / label_count(labels)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(case["value"], rel=1e-9)
    wanted = torch.tensor(case["gradient"], dtype=torch.float64).view(shape)[BY_PAIR]
    assert logits.grad is not None
    assert float((logits.grad - wanted).abs().max()) < 1e-9
    accuracy, margin = (task.measures(SimpleNamespace(logits=logits), labels) / PAIRS).tolist()
    assert accuracy == pytest.approx(case["accuracy"])
    assert margin == pytest.approx(case["margin"], rel=1e-9)


def test_smoothing_weighs_both_ways_round() -> None:
    logits = torch.tensor(GOLDENS["logits"], dtype=torch.float64).view(GOLDENS["shape"])[BY_PAIR]
    outputs, labels = SimpleNamespace(logits=logits), golden_labels(short=False)
    turned = labels.flip(1)

    def loss(labels: torch.Tensor, logits: torch.Tensor, smoothing: float) -> float:
        how = PreferenceSpec(loss=PreferenceLoss.DPO, beta=0.3, label_smoothing=smoothing)
        return float(PairsLM(how).objective(SimpleNamespace(logits=logits), labels))

    right = loss(labels, logits, 0.0)
    wrong = loss(turned, logits.view(PAIRS, 2, *logits.shape[1:]).flip(1).flatten(0, 1), 0.0)
    assert loss(labels, outputs.logits, 0.2) == pytest.approx(0.8 * right + 0.2 * wrong)


def row(*sides: tuple[int, int, int]) -> list[int]:
    """Two sides, each of a prompt, an answer and padding of so many tokens."""
    found = []
    for prompt, answer, padding in sides:
        one = [NOT_TRAINED | 40 + at for at in range(prompt)] + [60 + at for at in range(answer)]
        one[0] |= FIRST_OF_DOCUMENT
        left = [NOT_TRAINED | 1] * padding
        left[:1] = [NOT_TRAINED | FIRST_OF_DOCUMENT | 1] if padding else []
        found += one + left
    return found


def test_a_pass_has_both_sides_and_the_label_of_each_token_of_their_answers() -> None:
    rows = joined(np.array([row((3, 2, 11), (4, 6, 6))]), np.array([[-1.5, -2.5]]))
    inputs, labels = PairsLM(PreferenceSpec()).encode(torch.from_numpy(rows), [0])
    assert inputs["input_ids"].shape == (2, 16)  # ten tokens, and what makes a multiple of eight
    assert inputs["input_ids"][0, :5].tolist() == [40, 41, 42, 60, 61]
    assert labels.shape == (1, 2, 17)
    assert labels[0, 0, :5].tolist() == [IGNORED, IGNORED, 60, 61, IGNORED]
    assert labels[0, 1, 3:9].tolist() == [60, 61, 62, 63, 64, 65]
    assert labels[..., -1].contiguous().view(torch.float64).tolist() == [[-1.5, -2.5]]
    assert (label_count(labels), token_count(labels)) == (1, 8)


@pytest.mark.parametrize("loss", [loss for loss in PreferenceLoss if not loss.of_answers])
def test_a_spare_slot_has_neither_loss_nor_gradient(loss: PreferenceLoss) -> None:
    task = PairsLM(PreferenceSpec(loss=loss))
    rows = np.array([row((3, 2, 3), (4, 4, 0))] * 3, np.int64)
    rows = joined(rows, np.full((3, 2), -5.0)) if task.has_reference else rows
    place = Place(0, 0, 0, 0)
    [(inputs, labels)] = held_out_passes(rows, BatchPlan(4, 4, 1), place, task, torch.device("cpu"))
    assert label_count(labels) == 3
    logits = torch.randn(8, inputs["input_ids"].shape[1], 70, requires_grad=True)
    task.objective(SimpleNamespace(logits=logits), labels).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not logits.grad[6:].any()
    assert logits.grad[:6].any()
    assert log_probabilities(SimpleNamespace(logits=logits), labels).shape == (4, 2)


def test_the_reference_is_read_back_whole_or_not_at_all(tmp_path: Path) -> None:
    found = np.array([[-1.5, -2.0], [-3.25, np.nan], [-1e-300, -7.0]])
    write_reference(tmp_path, "key", found)
    again = read_reference(tmp_path, 3, "key")
    assert again is not None
    assert np.array_equal(again, found, equal_nan=True)
    assert read_reference(tmp_path, 3, "another") is None
    assert read_reference(tmp_path, 2, "key") is None
    content = bytearray((tmp_path / FILE).read_bytes())
    content[3] ^= 1
    (tmp_path / FILE).write_bytes(content)
    assert read_reference(tmp_path, 3, "key") is None


def test_rows_are_not_read_before_their_reference_is_there() -> None:
    rows = Referenced(np.zeros((2, 4), np.uint32))
    with pytest.raises(AssertionError, match="the reference is there"):
        rows[0]
    rows.reference = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    assert rows[1][-2:].view(np.float64).tolist() == [-3.0, -4.0]
