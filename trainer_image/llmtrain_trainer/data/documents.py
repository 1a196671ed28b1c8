"""One pipeline from a source to its documents: read, clean, drop copies, split.

The tokenizer and the training rows both read through it, so that neither sees what the other does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from llmtrain_api import JobFile

from .cleaning import DUPLICATES
from .cleaning.pipeline import Pipeline
from .cleaning.swaps import swap_of
from .reading.counts import ReadCounts
from .reading.reader import Progress, no_progress
from .reading.record import TakeText
from .reading.survey import DataFile
from .sources import Text, is_held_out, of_pieces, read_of, surveyed
from .units.plan import Unit, units_of

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Document:
    """A cleaned text and its side of the split."""

    text: str
    held_out: bool


def documents_of(
    job: JobFile, source: Text, counts: ReadCounts | None = None, progress: Progress = no_progress
) -> Iterator[Document]:
    """The documents of a source as all later steps see them.

    Args:
        job: whose cleaning and split it is.
        source: one of the job's.
        counts: is filled.
        progress: told of bytes that are passed.
    """
    counts = ReadCounts() if counts is None else counts
    found = surveyed(source, TakeText(source.column).columns)
    counts.skipped.update(found.skipped)
    counts.examples = found.skipped_text()
    for unit in units_of_source(source, found.files):
        yield from documents_of_unit(job, source, unit, counts, progress)


def units_of_source(source: Text, files: Sequence[DataFile], number: int = 0) -> list[Unit]:
    """The units that a source is prepared in; one for a look at it."""
    if source.glance is not None:
        pieces, bounds = read_of(source, files)
        return [Unit(number, 0, tuple(pieces), bounds)]
    return units_of(
        files,
        name=source.name,
        number=number,
        limit=source.limit,
        columns=TakeText(source.column).columns,
    )


def documents_of_unit(
    job: JobFile,
    source: Text,
    unit: Unit,
    counts: ReadCounts,
    progress: Progress = no_progress,
    copies: Sequence[bool] | None = None,
) -> Iterator[Document]:
    """The documents of a unit; see `documents_of`.

    Args:
        job: whose cleaning and split it is.
        source: one of the job's.
        unit: of the source.
        counts: is filled.
        progress: told of bytes that are passed.
        copies: of each cleaned text of the unit whether it is a copy of another, and dropped.

    Yields:
        Documents; after one for training its copy with swapped terms, where the job asks for one.
    """
    swap = swap_of(job.spec.dataset.cleaning)
    texts = cleaned_texts(job, source, unit, counts, progress)
    for text in texts if copies is None else without(texts, copies, counts):
        held_out = is_held_out(text, job.spec.held_out_fraction)
        yield Document(text, held_out)
        if swap is not None and not held_out and (swapped := swap(text)) != text:
            counts.added += 1
            yield Document(swapped, held_out=False)


def cleaned_texts(
    job: JobFile, source: Text, unit: Unit, counts: ReadCounts, progress: Progress = no_progress
) -> Iterator[str]:
    """The texts of a unit after the steps that look at each alone; see `documents_of_unit`."""
    pipeline = Pipeline(job.spec)
    for text in of_pieces(source, unit.pieces, unit.bounds, TakeText(source.column), counts, progress):
        cleaned = pipeline.text(text, counts)
        if cleaned is None:
            continue
        if cleaned.strip():
            yield cleaned
        else:
            counts.empty += 1


def without(items: Iterator[Item], copies: Sequence[bool], counts: ReadCounts) -> Iterator[Item]:
    """The items that are no copies.

    Args:
        items: documents of a unit or of a source.
        copies: whether each of them is one.
        counts: is told of those.

    Raises:
        RuntimeError: there are more or fewer items than when copies were looked for.
    """
    passed = 0
    for item in items:
        if passed == len(copies):
            raise RuntimeError("the text changed while it was prepared")
        if copies[passed]:
            counts.cleaned[DUPLICATES] += 1
        else:
            yield item
        passed += 1
    if passed != len(copies):
        raise RuntimeError("the text changed while it was prepared")
