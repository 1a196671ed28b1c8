"""Scores of held-out samples against their definitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llmtrain_trainer.evaluate.scores import entities, macro_f1, of_classes, of_numbers, of_tags, said
from llmtrain_trainer.loss import IGNORED


def test_macro_f1_is_the_mean_over_classes_that_occur_or_are_said() -> None:
    wanted, found = np.asarray([0, 0, 1, 1, 2]), np.asarray([0, 1, 1, 1, 3])
    # classes: 0 -> 2*1/3, 1 -> 2*2/5, 2 -> 0, 3 -> 0
    assert macro_f1(found, wanted) == pytest.approx((2 / 3 + 4 / 5 + 0 + 0) / 4)
    assert macro_f1(wanted, wanted) == 1.0


def test_classes_are_compared_beside_the_most_frequent_one() -> None:
    logits = np.eye(3)[[0, 1, 1, 2]]
    scores = of_classes(logits, torch.tensor([[0], [1], [0], [2]]), [5, 1, 2])
    assert scores == {
        "accuracy": 0.75,
        "majorityAccuracy": 0.5,
        "macroF1": pytest.approx((2 / 3 + 2 / 3 + 1) / 3),
    }


def test_numbers_are_compared_beside_the_mean() -> None:
    wanted = np.asarray([1.0, 2.0, 4.0], np.float32)
    labels = torch.from_numpy(wanted.view(np.uint32).astype(np.int64))[:, None]
    scores = of_numbers(np.asarray([[1.0], [3.0], [4.0]]), labels, mean=2.0)
    assert scores == {
        "mse": pytest.approx(1 / 3),
        "meanMse": pytest.approx(5 / 3),
        "pearson": pytest.approx(float(np.corrcoef([1, 3, 4], wanted)[0, 1])),
    }
    assert "pearson" not in of_numbers(np.ones((3, 1)), labels, mean=2.0)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O B-A I-A O", {("A", 1, 2)}),
        ("B-A B-A I-B I-B", {("A", 0, 0), ("A", 1, 1), ("B", 2, 3)}),
        ("I-A O I-A I-A", {("A", 0, 0), ("A", 2, 3)}),
        ("O O", set()),
    ],
)
def test_entities_are_what_conll_counts(tags: str, found: set[Any]) -> None:
    assert entities(tags.split()) == found


def test_an_entity_is_right_as_a_whole() -> None:
    labels = ["B-A", "I-A", "O"]
    # one of two is found, and one that is none
    pairs = [([0, 1, 2, 0], [0, 1, 2, 2]), ([0, 2], [0, 1])]
    scores = of_tags(pairs, labels, [1, 1, 5])
    assert scores["entityF1"] == pytest.approx(2 * 1 / (3 + 2))
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["majorityAccuracy"] == pytest.approx(2 / 6)
    assert "entityF1" not in of_tags(pairs, ["NOUN", "VERB", "X"], [1, 1, 1])


def test_spare_slots_say_nothing() -> None:
    class Model:
        def eval(self) -> None: ...

        def __call__(self, input_ids: torch.Tensor) -> Any:
            return SimpleNamespace(logits=input_ids.float())

    passes: Any = [
        ({"input_ids": torch.tensor([[1, 2], [3, 4]])}, torch.tensor([[7], [IGNORED]])),
        ({"input_ids": torch.tensor([[5, 6], [7, 8]])}, torch.tensor([[IGNORED], [9]])),
    ]
    outputs, labels = said(Model(), passes)
    assert outputs.tolist() == [[1, 2], [7, 8]]
    assert labels.tolist() == [[7], [9]]
