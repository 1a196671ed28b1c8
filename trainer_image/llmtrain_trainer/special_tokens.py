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
IMAGE = "<image>"
"""Stands for an image in a dialogue, in a tokenizer that is trained here and in those of LLaVA."""
HIDDEN = tuple(f"<|hidden-{number}|>" for number in range(SENTINELS))
"""Names of the tokens that stand for hidden spans, in a tokenizer that is trained here."""
T5_HIDDEN = tuple(f"<extra_id_{number}>" for number in range(SENTINELS))
"""Their names in a tokenizer of T5, whose ids fall."""

HOLE = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
"""What stands before each part of a document with a hole, in a tokenizer that is trained here."""
HOLES = (
    HOLE,
    ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
    ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
    ("▁<PRE>", "▁<MID>", "▁<SUF>"),
    ("<PRE>", "<MID>", "<SUF>"),
    ("<｜fim▁begin｜>", "<｜fim▁end｜>", "<｜fim▁hole｜>"),
)
"""Their names in tokenizers of code models: Qwen, StarCoder, SantaCoder, CodeLlama and DeepSeek have them."""


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
        hole: stand before prefix, middle and suffix of a document with a hole, where a job has such.
    """

    eos: int
    mask: int | None = None
    pad: int | None = None
    sentinels: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    start: int | None = None
    segments: bool = False
    hole: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form in which a data folder holds it."""
        # what older versions made has no such tokens, and must stay what it is
        told = {name: value for name, value in asdict(self).items() if value or name != "hole"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tokens:
        """The same, read back from what `to_json` gave, through JSON."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
        }
        return cls(**fields)


OURS = Tokens(eos=0, mask=1, pad=1, sentinels=tuple(range(2, 2 + SENTINELS)))
"""What tokenizers that were trained here have: the end of a document first, then those of the task."""


def special_names(task: Task, *, holes: bool = False) -> list[str]:
    """Tokens that a task needs beside the end-of-document token, in the order of their ids.

    Args:
        task: of the job.
        holes: whether documents get holes.
    """
    if holes:
        return [*HOLE]
    if task is Task.IMAGE_CHAT:
        return [*TURN, IMAGE]
    if task.on_samples:
        return [PAD, CLS, SEP] if task.headed else [PAD]
    if task.on_dialogues:
        return [*TURN]
    return {Task.MASKED: [MASK], Task.SEQ2SEQ: [PAD, *HIDDEN]}.get(task, [])


def image_token_of_ours() -> int:
    """The id of what stands for an image, in a tokenizer that is trained here."""
    return 1 + special_names(Task.IMAGE_CHAT).index(IMAGE)


def ends_of_ours(task: Task) -> list[int]:
    """The ids of what ends an answer in a dialogue, in a tokenizer that is trained here: the end of a
    document, and that of a message."""
    return [OURS.eos, 1 + special_names(task).index(TURN[1])]


def require_tokens(tokens: Tokens, task: Task, where: str, *, infills: bool = False) -> None:
    """Look for what a task needs.

    Args:
        tokens: of the tokenizer.
        task: of the job.
        where: the tokenizer is, for people.
        infills: whether the model learns hidden spans as BART does.

    Raises:
        ConfigError: the tokenizer does not have it.
    """
    if task is Task.MASKED and tokens.mask is None:
        raise ConfigError(f"{where}: its tokenizer has no mask token, which masked training needs", _WAY_OUT)
    if task is Task.SEQ2SEQ and infills:
        if tokens.mask is None:
            raise ConfigError(
                f"{where}: its tokenizer has no mask token, which stands for a hidden span",
                "set spec.task: text2text, where rows are pairs of texts, or name another model",
            )
    elif task is Task.SEQ2SEQ and (tokens.pad is None or len(tokens.sentinels) < SENTINELS):
        raise ConfigError(
            f"{where}: its tokenizer has no pad token or not {SENTINELS} tokens {T5_HIDDEN[0]}, "
            f"{T5_HIDDEN[1]} ..., which hidden spans need",
            "set spec.task: text2text, where rows are pairs of texts, or name another model",
        )


def hole_tokens(tokenizer: Any, where: str) -> tuple[int, ...]:
    """The ids of what stands before prefix, middle and suffix, by the names that code models have for them.

    Raises:
        ConfigError: the tokenizer has none of them.
    """
    for names in HOLES:
        found = [tokenizer.token_to_id(name) for name in names]
        if None not in found:
            return tuple(found)
    raise ConfigError(
        f"{where}: its tokenizer has no tokens such as {HOLE[0]}, {HOLE[1]} and {HOLE[2]} (or "
        f"{', '.join(names[0] for names in HOLES[1:])} ...), which dataset.fillInTheMiddle needs",
        "name a model of code that has learnt to fill in, or remove dataset.fillInTheMiddle",
    )


_WAY_OUT = "set spec.task to what the model has learnt, or name another model"
