"""Documents as token ids, those with a hole part by part, with a special token before each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..special_tokens import Tokens
from .documents import Document
from .holes import PSM, SPM, Holes, Parts
from .reading.counts import ReadCounts
from .rows import Ids

ANCHOR = "☺"
"""Stands before a part inside a document, for a tokenizer that begins each text with a space of its own."""
SPACES = ("▁", "Ġ")
"""How tokens spell such a space."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a document is encoded on its own.

    Attributes:
        held_out: the document's side of the split.
        lead: ids that stand before it.
        drop: ids that its own begin with, which are not of the document.
        last: whether the document ends with it.
    """

    held_out: bool
    lead: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    last: bool = True


def within(tokenizer: Any) -> tuple[str, tuple[int, ...]]:
    """What is put before a text so that its tokens are those of a text inside another, and the ids of that.

    Returns:
        Nothing for tokenizers that encode a text the same wherever it stands.
    """
    if not str(tokenizer.encode("x", add_special_tokens=False).tokens[0]).startswith(SPACES):
        return "", ()
    return ANCHOR, tuple(tokenizer.encode(ANCHOR, add_special_tokens=False).ids)


def told(
    documents: Iterable[Document],
    holes: Holes | None,
    tokens: Tokens,
    inside: tuple[str, tuple[int, ...]],
    counts: ReadCounts,
) -> Iterator[tuple[Part, str]]:
    """The parts of documents in the order in which a model reads them; held-out documents stay whole.

    Args:
        documents: cleaned and split.
        holes: None where no document is cut.
        tokens: the tokenizer's special ones.
        inside: of `within`.
        counts: is told of documents that are cut.
    """
    for document in documents:
        cut = holes.parts(document.text) if holes and not document.held_out else None
        if cut is None:
            yield Part(document.held_out), document.text
            continue
        counts.holes[SPM if cut.suffix_first else PSM] += 1
        yield from _in_order(cut, tokens, *inside)


def _in_order(cut: Parts, tokens: Tokens, anchor: str, ids: tuple[int, ...]) -> Iterator[tuple[Part, str]]:
    prefix, middle, suffix = ((token,) for token in tokens.hole)
    if cut.suffix_first:
        yield Part(False, prefix + suffix, ids, last=False), anchor + cut.suffix
        yield Part(False, middle, last=False), cut.prefix
        yield Part(False, (), ids), anchor + cut.middle
    else:
        yield Part(False, prefix, last=False), cut.prefix
        yield Part(False, suffix, ids, last=False), anchor + cut.suffix
        yield Part(False, middle, ids), anchor + cut.middle


def joined(parts: Iterable[tuple[Part, Ids]], tokens: Tokens) -> Iterator[tuple[bool, Ids]]:
    """Documents with their side of the split, from their encoded parts.

    Raises:
        RuntimeError: a tokenizer made one token of the end of what stood before a part and its beginning.
    """
    held: list[Ids | Sequence[int]] = []
    for part, ids in parts:
        if part.drop and tuple(ids[: len(part.drop)].tolist()) != part.drop:
            raise RuntimeError("the tokenizer does not part a text from what stands before it")
        held += [part.lead, ids[len(part.drop) :]]
        if part.last:
            whole = [np.asarray(one, np.uint32) for one in (tokens.before, *held, tokens.after)]
            yield part.held_out, np.concatenate(whole)
            held = []
