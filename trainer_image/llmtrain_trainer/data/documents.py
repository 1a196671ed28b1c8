"""One pipeline from a source to its documents: read, clean, split.

The tokenizer and the training rows both read through it, so that neither sees what the other does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmtrain_api import JobFile

from . import cleaning
from .reading.counts import ReadCounts
from .reading.reader import Progress, no_progress
from .sources import Text, documents, is_held_out


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
    texts = documents(source, counts, progress)
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
