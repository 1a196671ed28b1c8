"""Ids of the tokens that mean something to a task. They are looked up in the tokenizer, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llmtrain_api import Task
from llmtrain_api.families.t5 import SENTINELS as SENTINELS

from .errors import ConfigError

EOS, MASK, PAD = "<|endoftext|>", "<|mask|>", "<|pad|>"
"""Names in a tokenizer that is trained here."""
CLS, SEP = "<|cls|>", "<|sep|>"
"""Before a text, and after each, in a tokenizer that is trained here for samples."""
TURN = ("<|im_start|>", "<|im_end|>")
"""Begin and end of a message, in a tokenizer that is trained here."""
HIDDEN = tuple(f"<|hidden-{number}|>" for number in range(SENTINELS))
"""Names of the tokens that stand for hidden spans, in a tokenizer that is trained here."""
T5_HIDDEN = tuple(f"<extra_id_{number}>" for number in range(SENTINELS))
"""Their names in a tokenizer of T5, whose ids fall."""


@dataclass(frozen=True)
class Tokens:
    """Special tokens of one tokenizer.

    Attributes:
        eos: ends a document.
        mask: stands for a token that is asked.
        pad: fills up; a decoder begins with it.
        sentinels: stand for hidden spans, first to last.
        before: what the tokenizer puts before each text, such as the token that begins one.
        after: what it puts after each text, but for ``eos``.
        start: what a decoder beside an encoder begins with.
        segments: whether the model is told which of two texts a token is of.
    """

    eos: int
    mask: int | None = None
    pad: int | None = None
    sentinels: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    start: int | None = None
    segments: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form in which a data folder holds it."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tokens:
        """The same, read back from what `to_json` gave, through JSON."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
        }
        return cls(**fields)


OURS = Tokens(eos=0, mask=1, pad=1, sentinels=tuple(range(2, 2 + SENTINELS)))
"""What tokenizers that were trained here have: the end of a document first, then those of the task."""


def special_names(task: Task) -> list[str]:
    """Tokens that a task needs beside the end-of-document token, in the order of their ids."""
    if task.on_samples:
        return [PAD, CLS, SEP] if task.headed else [PAD]
    return {Task.CHAT: [*TURN], Task.MASKED: [MASK], Task.SEQ2SEQ: [PAD, *HIDDEN]}.get(task, [])


def require_tokens(tokens: Tokens, task: Task, where: str) -> None:
    """Look for what a task needs.

    Raises:
        ConfigError: the tokenizer does not have it.
    """
    if task is Task.MASKED and tokens.mask is None:
        raise ConfigError(f"{where}: its tokenizer has no mask token, which masked training needs", _WAY_OUT)
    if task is Task.SEQ2SEQ and (tokens.pad is None or len(tokens.sentinels) < SENTINELS):
        raise ConfigError(
            f"{where}: its tokenizer has no pad token or not {SENTINELS} tokens {T5_HIDDEN[0]}, "
            f"{T5_HIDDEN[1]} ..., which hidden spans need",
            _WAY_OUT,
        )


_WAY_OUT = "set spec.task to what the model has learnt, or name another model"
