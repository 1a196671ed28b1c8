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
