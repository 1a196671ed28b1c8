"""Numbers of answers by a model that a job with task reward exported: a reward that is no rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import Task

from ..errors import ConfigError
from ..models.build import HEADS

WORDS = ("model", "normalizer", "pre_tokenizer", "added_tokens")
"""What of a tokenizer decides which tokens a text has."""
_WAY_OUT = "train the reward model from the model that this job starts from"


class RewardModel:
    """Gives sequences of tokens their numbers.

    Args:
        folder: an exported model with one number for its output.
        words: the tokenizer of the model in training, whose tokens it is to read.
        length: tokens of a sequence at most.
        dtype: of its weights.
        where: what messages call it.

    Raises:
        ConfigError: it cannot be opened, is no reward model, or reads other or fewer tokens.
    """

    def __init__(self, folder: Path, words: Any, length: int, dtype: torch.dtype, where: str) -> None:
        model, own, lacking = _opened(folder, dtype, where)
        self._model = model.eval().requires_grad_(False)
        self._pad = model.config.pad_token_id
        if lacking or model.config.num_labels != 1 or self._pad is None:
            why = f"has no weights of {lacking[0]}" if lacking else "gives an answer no single number"
            raise ConfigError(
                f"{where}: it {why}: it is no reward model", "name the export of a task: reward"
            )
        if _read_as(own) != _read_as(words):
            raise ConfigError(
                f"{where}: its tokenizer or its chat template is not that of the model in training", _WAY_OUT
            )
        most = int(getattr(model.config, "max_position_embeddings", length))
        if most < length:
            raise ConfigError(
                f"{where}: it reads {most} tokens at most, and a prompt with its answer may have {length}",
                "lower training.sequenceLength",
            )

    def to(self, device: torch.device) -> RewardModel:
        """Move it to a device."""
        self._model.to(device)
        return self

    @torch.no_grad()
    def numbers(self, answers: Sequence[Sequence[int]]) -> list[float]:
        """The number of each answer to one prompt.

        Args:
            answers: tokens of the prompt, of the answer and of what a template puts after it.
        """
        ids = torch.full((len(answers), max(map(len, answers))), self._pad)
        for row, answer in zip(ids, answers, strict=True):
            row[: len(answer)] = torch.tensor(answer)
        # what fills up stands after all of an answer, where nothing of a decoder looks
        logits = self._model(input_ids=ids.to(self._model.device)).logits
        return [float(number) for number in logits[:, 0].float()]


def _opened(folder: Path, dtype: torch.dtype, where: str) -> tuple[Any, Any, list[str]]:
    """Model and tokenizer, and the weights that the folder lacks."""
    try:
        model, found = HEADS[Task.REWARD].from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        own = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers and the libraries below it raise what they like
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{where} cannot be opened: {said}", "name the folder export of a job with task reward"
        ) from None
    return model, own, sorted(found["missing_keys"])


def _read_as(words: Any) -> tuple[Any, ...]:
    """What two tokenizers have in common that read dialogues alike."""
    told = json.loads(words.backend_tokenizer.to_str())
    return words.chat_template, *(told[name] for name in WORDS)
