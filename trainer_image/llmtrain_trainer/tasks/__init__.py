"""What is learnt from a row of tokens: its inputs and its labels. One task a file.

Labels are aligned with the logits (position by position, nothing is shifted later), so that one loss serves
every task and a sequence can be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from llmtrain_api import JobSpec, ModelShape, Packing, Task, task_of
from llmtrain_api.families import FAMILIES
from llmtrain_api.schema.preference import PreferenceSpec

from ..pictures import open_images
from ..special_tokens import OURS, Tokens, require_tokens, special_names
from . import objective
from .causal import CausalLM
from .chat import ChatLM
from .classification import Labelled
from .image_chat import ImageChatLM
from .infilling import TextInfilling
from .kto import JudgedLM
from .masked import MaskedLM
from .objective import Objective
from .preference import PairsLM
from .question_answering import Spans
from .reinforcement import RewardedLM
from .reward import Rewards
from .seq2seq import SpanCorruption
from .text2text import TextToText
from .token_classification import Tagged

Inputs = dict[str, torch.Tensor]


class Encoder(Protocol):
    """Turns rows of token ids into a forward pass, and says what is minimised over its outputs."""

    @property
    def objective(self) -> Objective:
        """The sum of losses over the labels that `encode` gives."""

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[Inputs, torch.Tensor]:
        """Inputs of the model by name, and the label of each of its logits.

        Args:
            rows: [rows, length] token ids.
            keys: a number a row that all random choices of that row follow from.
        """
        ...


def encoder(spec: JobSpec, shape: ModelShape, tokens: Tokens, data: Path | None = None) -> Encoder:
    """The task of a job.

    Args:
        spec: the job.
        shape: its model's.
        tokens: its tokenizer's special ones.
        data: folder of its data, where rows name what lies beside them.
    """
    if task_of(spec, shape) is Task.IMAGE_CHAT and data is not None:
        return ImageChatLM(open_images(data))
    if spec.task is Task.PREFERENCE:
        how = spec.training.preference or PreferenceSpec()
        return JudgedLM(how) if spec.judges_answers else PairsLM(how)
    if spec.task is Task.REINFORCEMENT and spec.training.reinforcement is not None:
        return RewardedLM(spec.training.reinforcement)
    if spec.task is Task.REWARD:
        return Rewards(tokens.eos if tokens.pad is None else tokens.pad)
    documents = spec.training.packing is Packing.DOCUMENTS
    infills = FAMILIES[shape.architecture].infills
    return encoder_of(task_of(spec, shape), shape.vocabulary, tokens, documents=documents, infills=infills)


def encoder_of(
    task: Task, vocabulary: int, tokens: Tokens, *, documents: bool, infills: bool = False
) -> Encoder:
    """A task by what it depends on.

    Args:
        task: which.
        vocabulary: entries of the embeddings.
        tokens: the tokenizer's special ones.
        documents: whether documents of one row must not see each other.
        infills: whether the model learns hidden spans as BART does.

    Raises:
        ConfigError: the tokenizer does not have a token that the task needs.
    """
    require_tokens(tokens, task, "the model", infills=infills)
    if task is Task.MASKED and tokens.mask is not None:
        return MaskedLM(vocabulary, tokens.mask)
    if task is Task.SEQ2SEQ and infills and tokens.mask is not None:
        return TextInfilling(tokens.eos if tokens.start is None else tokens.start, tokens.mask)
    if task is Task.SEQ2SEQ and tokens.pad is not None:
        return SpanCorruption(tokens.pad, tokens.sentinels)
    if task is Task.CHAT:
        return ChatLM()
    if task is Task.CLASSIFICATION:
        return Labelled(objective.classes, segments=tokens.segments)
    if task is Task.REGRESSION:
        return Labelled(objective.squares, segments=tokens.segments)
    if task is Task.TOKENS:
        return Tagged()
    if task is Task.QUESTIONS:
        return Spans(segments=tokens.segments)
    if task is Task.TEXT2TEXT and tokens.start is not None:
        return TextToText(tokens.start)
    return CausalLM(tokens.eos if documents else None)


__all__ = ["OURS", "Encoder", "Inputs", "Tokens", "encoder", "encoder_of", "require_tokens", "special_names"]
