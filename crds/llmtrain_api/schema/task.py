"""``spec.task``: what a model learns."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is learnt: the next token, answers in dialogues, masked tokens, or hidden spans."""

    CAUSAL = "causal"
    CHAT = "chat"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"

    @property
    def usual(self) -> Task:
        """The task of the architectures that can learn this one."""
        return Task.CAUSAL if self is Task.CHAT else self
