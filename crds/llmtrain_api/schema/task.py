"""``spec.task``: what a model learns."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is learnt: the next token, masked tokens, or hidden spans."""

    CAUSAL = "causal"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"
