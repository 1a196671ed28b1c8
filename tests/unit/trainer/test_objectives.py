"""Sums that are minimised, against torch's own losses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llmtrain_trainer.loss import IGNORED, label_count
from llmtrain_trainer.tasks import objective

NUMBERS = [0.0, -0.0, 1.5, -2.25, -100.0, 3e38, -1e-40, float(np.float32(1 / 3))]


def bits(numbers: list[float]) -> torch.Tensor:
    """Labels of a regression, as rows of data have them."""
    found = np.asarray(numbers, np.float32).view(np.uint32).astype(np.int64)
    return torch.from_numpy(found)[:, None]


def test_numbers_come_back_from_their_bits_and_none_is_a_spare_slot() -> None:
    labels = bits(NUMBERS)
    assert objective.numbers_of(labels).flatten().tolist() == np.asarray(NUMBERS, np.float32).tolist()
    assert label_count(labels) == len(NUMBERS)


def test_squares_are_torchs_and_spare_slots_add_nothing() -> None:
    logits = torch.tensor([[0.5], [2.0], [float("inf")]], dtype=torch.float64, requires_grad=True)
    labels = bits([1.0, -100.0, 7.0])
    labels[2] = IGNORED
    loss = objective.squares(SimpleNamespace(logits=logits), labels)
    wanted = torch.tensor([[1.0], [-100.0]], dtype=torch.float64)
    assert float(loss.detach()) == float(F.mse_loss(logits[:2].detach(), wanted, reduction="sum"))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([-1.0, 204.0, 0.0])


def test_classes_are_cross_entropy_of_samples() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64)
    labels = torch.tensor([[2], [IGNORED], [0], [1]])
    found = objective.classes(SimpleNamespace(logits=logits), labels)
    wanted = F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")
    assert float(found) == pytest.approx(float(wanted), rel=1e-12)


def test_spans_are_cross_entropy_of_both_ends_among_a_samples_own_tokens() -> None:
    begin, end = torch.randn(2, 3, 6, dtype=torch.float64).unbind()
    begin.requires_grad_()
    lengths, places = torch.tensor([6, 4, 3]), torch.tensor([[2, 5], [0, 3], [1, 1]])
    labels = objective.placed(places, lengths)
    labels[2] = IGNORED
    found = objective.spans(SimpleNamespace(start_logits=begin, end_logits=end), labels)
    wanted = sum(
        float(F.cross_entropy(logits[at, : lengths[at]].detach(), places[at, side]))
        for at in range(2)
        for side, logits in enumerate((begin, end))
    )
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-12)
    assert label_count(labels) == 4
    gradient = torch.autograd.grad(found, begin)[0]
    assert gradient[1, 4:].tolist() == [0, 0]
    assert gradient[2].tolist() == [0] * 6
