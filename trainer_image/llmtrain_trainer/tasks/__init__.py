"""What is learnt from a row of tokens: its inputs and its labels. One task a file.

Labels are aligned with the logits (position by position, nothing is shifted later), so that one loss serves
every task and a sequence can be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from llmtrain_api import JobSpec, ModelShape, Packing, Task, task_of

from .causal import CausalLM
from .masked import MaskedLM
from .seq2seq import SpanCorruption

Inputs = dict[str, torch.Tensor]
SPECIAL: dict[Task, list[str]] = {
    Task.CAUSAL: [],
    Task.MASKED: MaskedLM.SPECIAL,
    Task.SEQ2SEQ: SpanCorruption.SPECIAL,
}
"""Tokens that a task needs beside the end-of-document token."""


class Encoder(Protocol):
    """Turns rows of token ids into a forward pass."""

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[Inputs, torch.Tensor]:
        """Inputs of the model by name, and the label of each of its logits.

        Args:
            rows: [rows, length] token ids.
            keys: a number a row that all random choices of that row follow from.
        """
        ...


def encoder(spec: JobSpec, shape: ModelShape, eos: int) -> Encoder:
    """The task of a job.

    Args:
        spec: the job.
        shape: its model's.
        eos: id of the end-of-document token.
    """
    separator = eos if spec.training.packing is Packing.DOCUMENTS else None
    return encoder_of(task_of(spec, shape), shape.vocabulary, separator)


def encoder_of(task: Task, vocabulary: int, separator: int | None) -> Encoder:
    """A task by what it depends on.

    Args:
        task: which.
        vocabulary: entries of the tokenizer.
        separator: id between documents that must not see each other; None where they may.
    """
    if task is Task.MASKED:
        return MaskedLM(vocabulary)
    return SpanCorruption(vocabulary) if task is Task.SEQ2SEQ else CausalLM(separator)


def special_tokens(task: Task) -> list[str]:
    """Tokens that a task needs beside the end-of-document token, in the order of their ids."""
    return SPECIAL[task]


__all__ = ["Encoder", "Inputs", "encoder", "encoder_of", "special_tokens"]
