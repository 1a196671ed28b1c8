"""The documents that a job was trained on, each with its file and line, read once more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmtrain_api import JobFile, task_of
from llmtrain_api.schema.source import RANDOM_TOKENS

from ..data.chat.samples import dialogues_of
from ..data.cleaning.pipeline import Pipeline
from ..data.reading.counts import ReadCounts
from ..data.reading.record import Record, Taken, TakeText
from ..data.sources import Text, in_turn, is_held_out, taken, texts_of
from ..errors import ConfigError
from .nearest import Document


@dataclass(frozen=True)
class TakeDocument:
    """Takes the text of one column, and where it stands.

    Attributes:
        text: takes the text.
    """

    text: TakeText

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return self.text.columns

    @property
    def asked(self) -> str:
        """A text, by the name of its column."""
        return self.text.asked

    @property
    def fix(self) -> str:
        """How a row gets it."""
        return self.text.fix

    def __call__(self, record: Record) -> Taken[Document]:
        """The document of a record.

        Raises:
            ConfigError: a row without text in this column.
        """
        found = self.text(record)
        return Taken(Document(record.where, found.item), found.size, found.replaced, found.empty)


def documents_in(source: Text) -> Iterator[Document]:
    """The documents of a source as they are.

    Raises:
        ConfigError: a folder without a readable document.
    """
    return taken(source, TakeDocument(TakeText(source.column)))


def trained_on(job: JobFile) -> Iterator[Document]:
    """The documents of a job that are not held out, of each source in turn.

    Raises:
        ConfigError: there are none, or such as are not here.
    """
    dataset = job.spec.dataset
    if dataset.name == RANDOM_TOKENS:
        raise ConfigError("the training data are random tokens, and no documents")
    if any(source.on_hub for source in dataset.sources):
        raise ConfigError("the training data lie on a hub, which is asked before training alone")
    task = task_of(job.spec, job.shape)
    read = _rows if task.on_dialogues or task.on_samples else _texts
    return in_turn([read(job, source) for source in texts_of(job)])


def _texts(job: JobFile, source: Text) -> Iterator[Document]:
    pipeline, fraction = Pipeline(job.spec), job.spec.dataset.held_out_fraction
    for document in documents_in(source):
        text = pipeline.text(document.text, ReadCounts())
        if text is not None and text.strip() and not is_held_out(text, fraction):
            yield Document(document.where, text)


def _rows(job: JobFile, source: Text) -> Iterator[Document]:
    for held_out, row in dialogues_of(job, source):
        if not held_out:
            yield Document(row.where, "\n\n".join(row.contents))
