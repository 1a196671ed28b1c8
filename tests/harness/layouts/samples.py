"""Samples for proofs of tasks that have their answers beside the text, and each of them computed alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness.layouts.twins import TWINS

from llmtrain_api import Task
from llmtrain_trainer.models.head import Head, head_of
from llmtrain_trainer.special_tokens import Tokens
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED

EOS, PAD, CLASSES = 0, 1, 3
SHORTEST = 3


def tokens_of(family: str) -> Tokens:
    """What encoders of these tasks must know of a tokenizer."""
    start = TWINS[family]["decoder_start_token_id"] if family == "bart" else PAD
    return Tokens(eos=EOS, pad=PAD, start=start, segments=family == "bert")


def head(task: Task) -> Head | None:
    """Three classes, or one number."""
    labels = (
        ("LABEL_0",)
        if task in (Task.REGRESSION, Task.REWARD)
        else tuple(f"class {at}" for at in range(CLASSES))
    )
    labels = ("LABEL_0", "LABEL_1") if task is Task.QUESTIONS else labels
    return head_of(task, labels, PAD)


def samples(task: Task, count: int, length: int, vocabulary: int) -> np.ndarray[Any, Any]:
    """Rows of noise of most unequal lengths, some of them pairs of texts."""
    generator = np.random.default_rng(11)

    def text() -> np.ndarray[Any, Any]:
        row = np.full(length, PAD | NOT_TRAINED, np.uint32)
        size = int(generator.integers(SHORTEST, length + 1))
        row[:size] = generator.integers(40, vocabulary, size)
        return row

    if task is Task.REWARD:
        return pairs(generator, count, length, vocabulary)
    if task is Task.TEXT2TEXT:
        # what fills up is also a token of texts
        rows = np.stack([np.concatenate([text(), text()]) for _ in range(count)])
        return np.where((rows == 41), np.uint32(PAD), rows)
    rows = np.stack([text() for _ in range(count)])
    if task is Task.TOKENS:
        tags = generator.integers(0, CLASSES, rows.shape).astype(np.uint32)
        # ranks get most unequal numbers of words
        untagged = generator.random(rows.shape) < generator.random((count, 1)) / 2
        return np.concatenate([rows, np.where(untagged | (rows >= NOT_TRAINED), NOT_TRAINED, tags)], axis=1)
    rows[::2, SHORTEST - 1] |= FIRST_OF_DOCUMENT
    if task is Task.QUESTIONS:
        lengths = (rows < NOT_TRAINED).sum(axis=1)[:, None]
        places = np.sort(generator.integers(0, lengths, (count, 2)), axis=1).astype(np.uint32)
        return np.concatenate([rows, places], axis=1)
    if task is Task.REGRESSION:
        labels = generator.normal(size=count).astype(np.float32).view(np.uint32)
    else:
        labels = generator.integers(0, CLASSES, count).astype(np.uint32)
    return np.concatenate([rows, labels[:, None]], axis=1)


def pairs(generator: np.random.Generator, count: int, length: int, vocabulary: int) -> np.ndarray[Any, Any]:
    """Rows of two sequences with the marks of pairs, filled up with another token than the model knows."""
    sides = generator.integers(40, vocabulary, (count, 2, length)).astype(np.uint32)
    sides[..., 0] |= FIRST_OF_DOCUMENT
    for one in sides.reshape(-1, length):
        end = generator.integers(SHORTEST, length + 1)
        one[:1] |= NOT_TRAINED
        one[end:] = EOS | NOT_TRAINED
        one[end : end + 1] |= FIRST_OF_DOCUMENT
    return sides.reshape(count, -1)


def losses_alone(
    model: Any, task: Task, rows: torch.Tensor, device: str
) -> Iterator[tuple[torch.Tensor, int]]:
    """The summed loss of each sample, without padding, by transformers or torch; and its labels."""
    for row in rows.to(device):
        if task is Task.TEXT2TEXT:
            source, target = (_own(half) for half in row.chunk(2))
            loss = model(input_ids=source[None], labels=target[None]).loss  # a mean over the target
            yield loss * len(target), len(target)
            continue
        if task is Task.TOKENS:
            own, tags = row.chunk(2)
            labels = torch.where(tags < CLASSES, tags, -100)[: len(_own(own))]
            logits = model(input_ids=_own(own)[None]).logits[0]
            wide = torch.promote_types(logits.dtype, torch.float32)
            yield F.cross_entropy(logits.to(wide), labels, reduction="sum"), int((labels >= 0).sum())
            continue
        if task is Task.QUESTIONS:
            own = _own(row[:-2])
            begun = ((row[: len(own)] & FIRST_OF_DOCUMENT) != 0).long().cumsum(0)
            first, last = row[-2:, None]
            told = {"start_positions": first, "end_positions": last, "token_type_ids": begun[None]}
            yield 2 * model(input_ids=own[None], **told).loss, 2
            continue
        if task is Task.REWARD:
            better, other = (model(input_ids=_rendered(side)[None]).logits[0, 0] for side in row.chunk(2))
            margin = better.to(torch.promote_types(better.dtype, torch.float32)) - other
            yield torch.log1p(torch.exp(-margin)), 1
            continue
        ids, marks = _own(row[:-1]), row[:-1][(row[:-1] & NOT_TRAINED) == 0]
        inputs = {"input_ids": ids[None]}
        if model.config.model_type == "bert":
            inputs["token_type_ids"] = ((marks & FIRST_OF_DOCUMENT) != 0).long().cumsum(0)[None]
        logits = model(**inputs).logits
        wide = torch.promote_types(logits.dtype, torch.float32)
        if task is Task.REGRESSION:
            wanted = np.asarray([int(row[-1])], np.uint32).view(np.float32)
            yield F.mse_loss(logits[0].to(wide), torch.from_numpy(wanted).to(device, wide)), 1
        else:
            yield F.cross_entropy(logits.to(wide), row[-1:]), 1


def _rendered(side: torch.Tensor) -> torch.Tensor:
    begins = torch.nonzero(side[1:] & FIRST_OF_DOCUMENT).flatten().tolist()
    return (side[: begins[0] + 1] if begins else side) & ID


def _own(row: torch.Tensor) -> torch.Tensor:
    return row[(row & NOT_TRAINED) == 0] & ID
