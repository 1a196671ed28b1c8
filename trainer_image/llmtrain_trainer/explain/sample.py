"""What is explained: one text as a model reads it, cut to what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from llmtrain_api import Task

from ..errors import ConfigError
from ..loss import IGNORED
from ..tasks import Encoder
from ..token_marks import FIRST_OF_DOCUMENT, ids_of
from .kinds import Kind

TOKENS = 256
"""Of a text that are looked at, unless somebody asks for others."""
LEAST = {Kind.NEXT: 2}
"""Tokens without which there is nothing to tell."""
AS_TRAINED = (
    Task.CLASSIFICATION,
    Task.REGRESSION,
    Task.TOKENS,
    Task.QUESTIONS,
    Task.TEXT2TEXT,
    Task.SEQ2SEQ,
)
"""Tasks whose rows become a model's inputs as in training."""


@dataclass(frozen=True)
class Sample:
    """A text for a model.

    Attributes:
        source: where it comes from, for people.
        ids: of its tokens.
        left_out: tokens beyond them, which are not looked at.
        answer: ids that are to be written of it; None where the model shall write them itself.
        more: other inputs of the model, a number a token.
    """

    source: str
    ids: list[int]
    left_out: int = 0
    answer: list[int] | None = None
    more: Mapping[str, list[int]] = field(default_factory=dict)

    def inputs(self, device: torch.device) -> dict[str, torch.Tensor]:
        """All but the ids, with a batch of one."""
        found = {name: torch.tensor([values], device=device) for name, values in self.more.items()}
        return {"attention_mask": torch.ones(1, len(self.ids), dtype=torch.long, device=device)} | found

    def tokens(self, device: torch.device) -> torch.Tensor:
        """The ids, with a batch of one."""
        return torch.tensor([self.ids], device=device)


def room_of(model: Any, tokenizer: Any, most: int = TOKENS) -> int:
    """Tokens of a text that a model sees and that are looked at."""
    positions = int(getattr(model.config, "max_position_embeddings", 0) or most)
    return max(1, min(most, positions, int(tokenizer.model_max_length)))


def of_text(kind: Kind, tokenizer: Any, text: str, source: str, most: int) -> Sample:
    """A text as whoever uses the tokenizer encodes it.

    Raises:
        ConfigError: too little of it to tell anything.
    """
    whole = tokenizer(text, verbose=False)["input_ids"]
    cut = tokenizer(text, truncation=True, max_length=most, verbose=False)
    ids, more = [int(one) for one in cut["input_ids"]], {}
    if "token_type_ids" in cut:
        more["token_type_ids"] = [int(one) for one in cut["token_type_ids"]]
    if len(ids) < LEAST.get(kind, 1):
        raise ConfigError(
            f"{source} has {len(ids)} tokens, and at least {LEAST.get(kind, 1)} are needed",
            "use a longer text",
        )
    return Sample(source, ids, len(whole) - len(ids), more=more)


def of_row(task: Task, encoder: Encoder, rows: Any, at: int, most: int) -> Sample:
    """A held-out row as the model was trained on it.

    Args:
        task: of the job.
        encoder: of the task.
        rows: that are held out.
        at: which of them.
        most: tokens.
    """
    row, source = np.asarray(rows[at]).astype(np.int64), f"held-out row {at + 1} of {len(rows)}"
    if task in AS_TRAINED:
        return _as_trained(encoder, torch.from_numpy(row[None]), at, most, source)
    ids = ids_of(_first(row, task)).tolist()
    return Sample(source, ids[:most], max(0, len(ids) - most))


def _first(row: Any, task: Task) -> Any:
    """The first dialogue of a row, or of a pair the better answer's; of running text all of it."""
    if not task.on_dialogues:
        return row
    begun = np.flatnonzero(row & FIRST_OF_DOCUMENT)
    return row[: begun[1]] if len(begun) > 1 else row


def _as_trained(encoder: Encoder, row: torch.Tensor, at: int, most: int, source: str) -> Sample:
    inputs, labels = encoder.encode(row, [at])
    ids = inputs["input_ids"][0]
    own = inputs["attention_mask"][0] == 1 if "attention_mask" in inputs else torch.ones_like(ids) == 1
    kept = {name: inputs[name][0][own].tolist()[:most] for name in ("token_type_ids",) if name in inputs}
    answer = labels[0][labels[0] != IGNORED].tolist()[:most] if "decoder_input_ids" in inputs else None
    length = int(own.sum())
    return Sample(source, ids[own].tolist()[:most], max(0, length - most), answer, kept)
