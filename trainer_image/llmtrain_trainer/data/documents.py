"""One pipeline from a source to its documents: read, clean, split.

The tokenizer and the training rows both read through it, so that neither sees what the other does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmtrain_api import JobFile

from . import cleaning
from .reading.counts import ReadCounts
from .reading.reader import Progress, no_progress
from .reading.record import TakeText
from .reading.survey import DataFile
from .sources import Text, is_held_out, of_pieces, read_of, surveyed
from .units.plan import Unit, units_of


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
    for unit in units_of_source(job, source, found.files):
        yield from documents_of_unit(job, source, unit, counts, progress)


def units_of_source(job: JobFile, source: Text, files: Sequence[DataFile], number: int = 0) -> list[Unit]:
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
        in_one=bool(cleaning.asked(job.spec)),
    )


def documents_of_unit(
    job: JobFile, source: Text, unit: Unit, counts: ReadCounts, progress: Progress = no_progress
) -> Iterator[Document]:
    """The documents of a unit; see `documents_of`."""
    take = TakeText(source.column)
    texts = of_pieces(source, unit.pieces, unit.bounds, take, counts, progress)
    for step, settings in cleaning.asked(job.spec):
        texts = _counted(step, settings, texts, counts)
    for text in texts:
        if text.strip():
            yield Document(text, is_held_out(text, job.spec.dataset.held_out_fraction))


def _counted(
    step: cleaning.CleaningStep, settings: cleaning.Settings, texts: Iterator[str], counts: ReadCounts
) -> Iterator[str]:
    def going_in() -> Iterator[str]:
        for text in texts:
            counts.cleaned[step.name] += 1
            yield text

    for text in step.clean(going_in(), settings):
        counts.cleaned[step.name] -= 1
        yield text
