"""Answers that an exported model writes to what is held out, and the known ones: to the questions of
dialogues, or to texts that have another one to be written of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of
from .placement import device_of

MORE = 1.5
"""Of the right answer's tokens that a model may write: what does not end is wrong enough by then."""


@dataclass(frozen=True)
class Question:
    """The last turn of a dialogue, or a text of which another is to be written.

    Attributes:
        prompt: ids of all before the answer, or of the text.
        answer: ids of the answer; the last one ends it.
    """

    prompt: list[int]
    answer: list[int]


def questions(rows: Any, most: int) -> list[Question]:
    """The last answers of dialogues, spread over all that there are.

    Args:
        rows: [rows, length] tokens with their marks, whole dialogues packed into each.
        most: questions.
    """
    found = [one for row in rows for one in _of_row(np.asarray(row))]
    if len(found) <= most:
        return found
    return [found[number * len(found) // most] for number in range(most)]


def texts_to_write(rows: Any, most: int) -> list[Question]:
    """Pairs of texts, spread over all that there are.

    Args:
        rows: [rows, 2 x length] tokens with their marks: one text and then the other.
        most: pairs.
    """
    chosen = range(len(rows)) if len(rows) <= most else (number * len(rows) // most for number in range(most))
    halves = (np.split(np.asarray(rows[at]), 2) for at in chosen)
    return [Question(_own(source), _own(target)) for source, target in halves]


def _own(half: Any) -> list[int]:
    own: list[int] = ids_of(half[(half & NOT_TRAINED) == 0]).tolist()
    return own


def _of_row(row: Any) -> Iterator[Question]:
    starts = [*np.flatnonzero(row & FIRST_OF_DOCUMENT).tolist(), len(row)]
    for start, end in pairwise(starts):
        trained = np.flatnonzero((row[start:end] & NOT_TRAINED) == 0)
        if not len(trained):
            continue  # what fills a row up
        gaps = np.flatnonzero(np.diff(trained) > 1)
        first, last = int(trained[gaps[-1] + 1] if len(gaps) else trained[0]), int(trained[-1])
        ids = ids_of(row[start:end]).tolist()
        if first:
            yield Question(ids[:first], ids[first : last + 1])


def answered(model: Any, tokenizer: Any, asked: Sequence[Question], tokens: int) -> list[tuple[str, str]]:
    """What the model writes, by its most likely tokens, and what is right.

    Args:
        model: of an exported folder.
        tokenizer: its.
        asked: questions.
        tokens: that may be written in all; questions beyond are left out.
    """
    pairs: list[tuple[str, str]] = []
    for question in asked:
        most = max(1, int(MORE * len(question.answer)))
        tokens -= most
        if tokens < 0 and pairs:
            break
        written = _written(model, tokenizer, question, most)
        pairs.append((_text(tokenizer, written), _text(tokenizer, question.answer)))
    return pairs


def prompts(tokenizer: Any, asked: Sequence[Question]) -> list[str]:
    """What is read, as text."""
    return [_text(tokenizer, question.prompt) for question in asked]


@torch.no_grad()
def _written(model: Any, tokenizer: Any, question: Question, most: int) -> list[int]:
    ids = torch.tensor([question.prompt], device=device_of())
    ends = {question.answer[-1], *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])}
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=most,
        do_sample=False,
        temperature=None,
        top_k=None,
        top_p=None,
        use_cache=True,
        eos_token_id=sorted(ends),
        pad_token_id=question.answer[-1],
    )
    # a decoder beside an encoder writes after its own start, and not after what was read
    begin = 1 if model.config.is_encoder_decoder else ids.shape[1]
    found: list[int] = out[0, begin:].tolist()
    return found


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
