"""Whole dialogues in rows: nothing lost, nothing split, little padding, and marks for the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_trainer.data.chat.packing import PackedWriter, best_fit
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.tasks.chat import ChatLM
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of

PAD = 9


@given(st.lists(st.integers(1, 50), max_size=200))
def test_each_item_is_in_one_row_and_none_is_overfull(lengths: list[int]) -> None:
    rows = best_fit(lengths, 50)
    assert Counter(item for row in rows for item in row) == Counter(range(len(lengths)))
    assert all(sum(lengths[item] for item in row) <= 50 for row in rows)
    # first-fit's bound: no two rows are half empty
    assert sum(sum(lengths[item] for item in row) <= 25 for row in rows) <= 1


def test_little_is_padding_where_lengths_are_those_of_dialogues() -> None:
    lengths = np.random.default_rng(0).lognormal(5.0, 0.9, 20_000).astype(int).clip(8, 2048).tolist()
    rows = best_fit(lengths, 2048)
    assert 1 - sum(lengths) / (2048 * len(rows)) <= 0.02


def written(tmp_path: Path, samples: list[tuple[list[int], list[bool]]], length: int) -> np.ndarray:
    writer = PackedWriter(tmp_path / "rows", length, PAD)
    for ids, trained in samples:
        writer.add_sample(ids, trained)
    writer.end_source()
    assert writer.documents == len(samples)
    return np.array(writer.close())


def test_rows_have_marks_and_padding_is_apart(tmp_path: Path) -> None:
    rows = written(tmp_path, [([1, 2, 3], [False, True, True]), ([4, 5], [False, True])], 8)
    assert ids_of(rows).tolist() == [[1, 2, 3, 4, 5, PAD, PAD, PAD]]
    assert ((rows & NOT_TRAINED) != 0).tolist() == [[True, False, False, True, False, True, True, True]]
    assert np.flatnonzero(rows[0] & FIRST_OF_DOCUMENT).tolist() == [0, 3, 5]


def test_the_same_dialogues_give_the_same_rows(tmp_path: Path) -> None:
    samples = [([number] * (1 + number % 7), [True] * (1 + number % 7)) for number in range(100)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert (written(tmp_path / "a", samples, 16) == written(tmp_path / "b", samples, 16)).all()


def test_labels_are_the_next_tokens_of_answers_only(tmp_path: Path) -> None:
    rows = written(tmp_path, [([1, 2, 3], [False, True, True]), ([4, 5], [True, True])], 6)
    inputs, labels = ChatLM().encode(torch.from_numpy(rows.astype(np.int64)), [0])
    assert inputs["input_ids"].tolist() == [[1, 2, 3, 4, 5, PAD]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0]]
    # 4 is trained on, but begins a document: nobody before it could know it
    assert labels.tolist() == [[2, 3, IGNORED, 5, IGNORED, IGNORED]]


@pytest.mark.parametrize("tokens", [3, 5])
def test_memory_of_a_window_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr("llmtrain_trainer.data.chat.packing.WINDOW_TOKENS", 100)
    samples = [([1] * tokens, [True] * tokens)] * 200
    rows = written(tmp_path, samples, 20)
    assert (ids_of(rows) == 1).sum() == 200 * tokens
