"""The loss of reward models against trl's formula; inputs, labels and counts; the baseline beside them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from llmtrain_api import Place
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.loader import held_out_passes
from llmtrain_trainer.evaluate.scores import of_lengths
from llmtrain_trainer.loss import IGNORED, label_count
from llmtrain_trainer.tasks.reward import Rewards
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED

PAD = 5


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


def said(rewards: torch.Tensor) -> SimpleNamespace:
    """Outputs of a head, both numbers of a pair one after the other."""
    return SimpleNamespace(logits=rewards.reshape(-1, 1))


def test_value_and_gradient_are_those_of_trls_reward_trainer() -> None:
    rewards = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4
    ours, theirs = (rewards.clone().requires_grad_() for _ in range(2))
    labels = torch.zeros(6, 1, dtype=torch.int64)
    loss = Rewards(PAD).objective(said(ours), labels) / label_count(labels)
    loss.backward()
    wanted = -torch.log(1 / (1 + torch.exp(-(theirs[:, 0] - theirs[:, 1])))).mean()
    wanted.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), abs=1e-12)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert float((ours.grad - theirs.grad).abs().max()) < 1e-12


def test_measures_are_the_share_of_right_pairs_and_their_margin() -> None:
    rewards = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0], [9.0, 0.0]])
    labels = torch.tensor([[0], [0], [0], [IGNORED]])
    assert Rewards(PAD).measures(said(rewards), labels).tolist() == [1.0, -2.0]


def test_a_pass_has_both_sides_filled_up_as_the_model_knows_it() -> None:
    rows = torch.tensor([row((3, 2, 11), (4, 6, 6))])
    inputs, labels = Rewards(PAD).encode(rows, [0])
    ids = inputs["input_ids"]
    assert ids.shape == (2, 16)  # ten tokens, and what makes a multiple of eight
    assert ids[0].tolist() == [40, 41, 42, 60, 61, *[PAD] * 11]
    assert ids[1].tolist() == [40, 41, 42, 43, 60, 61, 62, 63, 64, 65, *[PAD] * 6]
    assert label_count(labels) == 1


def test_a_spare_slot_has_neither_loss_nor_gradient() -> None:
    rows = np.array([row((3, 2, 3), (4, 4, 0))] * 3, np.int64)
    plan, place = BatchPlan(4, 4, 1), Place(0, 0, 0, 0)
    [(inputs, labels)] = held_out_passes(rows, plan, place, Rewards(PAD), torch.device("cpu"))
    assert (label_count(labels), len(inputs["input_ids"])) == (3, 8)
    logits = torch.randn(8, 1)
    logits[6:] = torch.tensor([[torch.inf], [0.0]])
    logits.requires_grad_()
    loss = Rewards(PAD).objective(SimpleNamespace(logits=logits), labels)
    loss.backward()
    three = Rewards(PAD).objective(said(logits.detach()[:6]), labels[:3])
    assert float(loss.detach()) == pytest.approx(float(three))
    assert logits.grad is not None
    assert not logits.grad[6:].any()
    assert logits.grad[:6].all()


def test_the_baseline_takes_the_longer_answer() -> None:
    rows = [row((3, 4, 1), (3, 2, 3)), row((1, 2, 5), (3, 4, 1)), row((1, 2, 5), (6, 2, 0))]
    assert of_lengths(np.array(rows)) == 0.5
    assert of_lengths(np.array(rows[:1])) == 1.0
