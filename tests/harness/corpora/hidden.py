"""What an exported folder says is hidden in texts, in plain transformers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from harness.corpora.said import Row, Said, opened

from llmtrain_api import Task
from llmtrain_trainer.special_tokens import HIDDEN
from llmtrain_trainer.tasks.seq2seq import SpanCorruption

HIDDEN_EACH = 7
"""Of a text with hidden tokens every seventh one is."""
WITH_SPANS, WAYS = 32, 8
"""Tokens of a sequence in which spans are hidden, and in how many ways they are."""


@torch.no_grad()
def hidden_tokens(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The tokens that are hidden in the texts, which are read one after another, cut where a job cuts them.

    A model of few texts knows words by their place in a sequence, where it has read them.
    """
    model, tokenizer = opened(folder, Task.MASKED)
    ids = [token for row in rows for token in [*tokenizer(row["text"])["input_ids"], tokenizer.eos_token_id]]
    found = []
    for part in torch.tensor(ids).split(model.config.max_position_embeddings):
        hidden = torch.arange(HIDDEN_EACH // 2, len(part), HIDDEN_EACH)
        shown = part.clone()
        shown[hidden] = tokenizer.mask_token_id
        told, right = (
            tuple(tokenizer.decode([token]) for token in tokens.tolist())
            for tokens in (model(input_ids=shown[None]).logits[0, hidden].argmax(-1), part[hidden])
        )
        found.append(Said(tokenizer.decode(shown), told, right))
    return found


@torch.no_grad()
def tokens_of_spans(folder: Path, rows: Sequence[Row]) -> list[Said]:
    """The tokens of the spans that are hidden in the texts, which are read one after another, cut where a job
    cuts them, and hidden as a job hides them, in several ways; each after the ones before it of its span."""
    model, tokenizer = opened(folder, Task.SEQ2SEQ)
    ids = [token for row in rows for token in [*tokenizer(row["text"])["input_ids"], tokenizer.eos_token_id]]
    parts = torch.tensor(ids[: len(ids) // WITH_SPANS * WITH_SPANS]).view(-1, WITH_SPANS).repeat(WAYS, 1)
    spans = tokenizer.convert_tokens_to_ids(list(HIDDEN))
    inputs, labels = SpanCorruption(model.config.pad_token_id, spans).encode(parts, range(len(parts)))
    written = model(**inputs).logits.argmax(-1)
    text = ~torch.isin(labels, torch.tensor(spans))
    return [
        Said(tokenizer.decode(shown), *(tuple(map(tokenizer.decode, one[there])) for one in (told, right)))
        for shown, told, right, there in zip(inputs["input_ids"], written, labels, text, strict=True)
    ]
