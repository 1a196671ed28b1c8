"""The documents that are nearest to a text by a model's own embedding: the mean of its last hidden states."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

DOCUMENTS = 256
"""That are compared, unless somebody asks for others."""
TOKENS = 128
"""Of a document that are looked at."""
BYTES = 32 << 20
"""Of text among which the documents are drawn."""
LONGEST = 4 * TOKENS * 8
"""Characters of a document that are kept: more than its first tokens ever have."""
NEAREST = 3
"""That are told of a text."""


@dataclass(frozen=True)
class Document:
    """A document of the training data.

    Attributes:
        where: file and line, as messages to people have it.
        text: of it, from its beginning.
    """

    where: str
    text: str


@dataclass(frozen=True)
class Drawn:
    """Documents that were drawn.

    Attributes:
        documents: in the order of the data.
        passed: how many they were drawn of.
        whole: whether these are all that there are.
    """

    documents: list[Document]
    passed: int
    whole: bool


def draw(found: Iterable[Document], most: int, limit: int = BYTES) -> Drawn:
    """Some documents, each as likely as any other that was passed (Vitter 1985, algorithm R), the same each
    time.

    Args:
        found: all, streamed.
        most: that are kept.
        limit: bytes of text after which nothing more is read.
    """
    seeded, kept, passed, read = random.Random(0), list[tuple[int, Document]](), 0, 0
    for document in found:
        if read >= limit:
            return _drawn(kept, passed, whole=False)
        read += len(document.text.encode(errors="replace"))
        place = len(kept) if len(kept) < most else seeded.randrange(passed + 1)
        if place < most:
            kept[place : place + 1] = [(passed, Document(document.where, document.text[:LONGEST]))]
        passed += 1
    return _drawn(kept, passed, whole=True)


def _drawn(kept: list[tuple[int, Document]], passed: int, *, whole: bool) -> Drawn:
    return Drawn([document for _, document in sorted(kept, key=lambda one: one[0])], passed, whole)


@torch.no_grad()
def embedding(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """A text as one direction: the mean of the last hidden states of its tokens, of length 1.

    Args:
        model: as `kinds.explainable` gives it. Of an encoder with a decoder the encoder is asked.
        ids: of the text.
    """
    tokens = torch.tensor([list(ids)], device=model.device)
    body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    states: torch.Tensor = body(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    mean = states[0].double().mean(0)
    return torch.nn.functional.normalize(mean, dim=0).cpu()


def embedded(
    model: Any, tokenizer: Any, documents: Sequence[Document], go_on: Callable[[], bool]
) -> list[tuple[Document, torch.Tensor]]:
    """Each document that has a token, with its embedding, as long as there is time.

    Args:
        model: as `embedding` wants it.
        tokenizer: its.
        documents: which.
        go_on: whether there is time for one more.
    """
    pairs = []
    for document in documents:
        if not go_on():
            break
        ids = tokenizer(document.text, truncation=True, max_length=_most(model, tokenizer), verbose=False)[
            "input_ids"
        ]
        if ids:
            pairs.append((document, embedding(model, ids)))
    return pairs


def nearest(
    of: torch.Tensor, pairs: Sequence[tuple[Document, torch.Tensor]], most: int = NEAREST
) -> list[tuple[Document, float]]:
    """The documents whose embeddings have the largest cosines with one, the nearest first."""
    cosines = [(float(of @ other), -at) for at, (_, other) in enumerate(pairs)]
    return [(pairs[-at][0], cosine) for cosine, at in sorted(cosines, reverse=True)[:most]]


def _most(model: Any, tokenizer: Any) -> int:
    positions = int(getattr(model.config, "max_position_embeddings", 0) or TOKENS)
    return min(TOKENS, positions, int(tokenizer.model_max_length))
