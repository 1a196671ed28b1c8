"""Encodes all samples into rows, and finds what is to be learnt of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llmtrain_api import Task, task_of

from ...errors import ConfigError
from ...models.headers import CONFIG
from ...models.location import folder_of
from ..chat.samples import dialogues_of
from ..cleaning.duplicates.files import read_copies
from ..labelled.classes import Classes, known_classes
from ..labelled.encoding import TOO_LONG, Encoding, bits_of
from ..labelled.questions import WRITTEN, Questions
from ..labelled.sample import Sample
from ..labelled.writer import SampleWriter
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..sources import Text
from .duplicates import dialogues_name

NUMBER = "LABEL_0"
"""What transformers calls the one output of a model that tells a number."""
PLACES = ("LABEL_0", "LABEL_1")
"""What transformers calls the outputs of a model that tells a place: where it begins, and where it ends."""


@dataclass
class Targets:
    """The numbers of a regression's training data.

    Attributes:
        count: how many there are.
        mean: of them.
        squares: sum of their squared distances from it (Welford 1962).
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, number: float) -> None:
        """One more."""
        self.count += 1
        before = number - self.mean
        self.mean += before / self.count
        self.squares += before * (number - self.mean)

    def report(self) -> dict[str, float]:
        """For people, and for the score of whoever always says the mean."""
        return {"mean": self.mean, "deviation": math.sqrt(self.squares / max(1, self.count))}


@dataclass
class _Labels:
    """What the labels of both sides come to."""

    classes: Classes = field(default_factory=Classes)
    targets: Targets = field(default_factory=Targets)

    def number(self, sample: Sample, *, held_out: bool) -> list[int]:
        if isinstance(sample.label, float):
            if not held_out:
                self.targets.add(sample.label)
            return [bits_of(sample.label)]
        names = (sample.label,) if isinstance(sample.label, str) else sample.label or ()
        return [self.classes.number(name, sample.where, held_out=held_out) for name in names]


def write_samples(made: Preparation, train: SampleWriter, held_out: SampleWriter) -> list[ReadCounts]:
    """Write the rows of both sides, and leave the classes.

    Args:
        made: whose samples.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a row that is no sample, or labels that cannot be learnt.
    """
    counts = [ReadCounts() for _ in made.sources]
    labels = _Labels(Classes(known=made.borrowed.labels if made.borrowed else ()))
    questions = Questions(made.folder / WRITTEN) if made.task is Task.QUESTIONS else None
    progress = made.progress.begin("rows")
    for number, (source, counted) in enumerate(zip(made.sources, counts, strict=True)):
        copies = read_copies(made.copies, dialogues_name(number)) if made.copies else None
        encoding = Encoding(made.job.spec, made.job.shape, made.tokenizer, made.tokens, counted)
        for side, sample in dialogues_of(made.job, source, counted, progress, copies):
            writer = held_out if side else train
            if questions is not None:
                windows = encoding.windows(sample)
                questions.add(number, sample, windows, held_out=side)
                writer.add_rows(encoding.spans(sample, windows))
                continue
            row = encoding.row(sample, partial(labels.number, sample, held_out=side))
            if row is not None:
                writer.add_row(*row)
        train.end_source()
        held_out.end_source()
        if not train.sources[-1].rows + held_out.sources[-1].rows:
            _require_some(source, train.sequence_length, counted)
    some = made.glance is not None and any(counted.files_cut for counted in counts)
    _leave_labels(made, labels, (train, held_out), some_only=some)
    if questions is not None:
        made.labels, made.told_of_labels = [*PLACES], {"questions": questions.report()}
    return counts


def _leave_labels(
    made: Preparation, labels: _Labels, writers: tuple[SampleWriter, ...], *, some_only: bool
) -> None:
    task = task_of(made.job.spec, made.job.shape)
    if task in (Task.CLASSIFICATION, Task.TOKENS):
        # a look at a part of the data sees some classes only
        if made.borrowed is not None:
            made.labels = made.borrowed.labels
        elif some_only:
            made.labels = sorted(labels.classes.numbers)
        else:
            made.labels = labels.classes.ordered(_known(made))
        for writer in writers:
            writer.relabel(labels.classes.places(made.labels))
        made.told_of_labels = {"classes": labels.classes.report(made.labels)}
    elif task is Task.REGRESSION:
        made.labels, made.told_of_labels = [NUMBER], {"numbers": labels.targets.report()}


def _known(made: Preparation) -> list[str]:
    base = folder_of(made.job)
    if base is None or not made.job.spec.model.pretrained:
        return []
    config: dict[str, Any] = json.loads((base / CONFIG).read_text(encoding="utf-8"))
    return known_classes(config)


def _require_some(source: Text, length: int, counts: ReadCounts) -> None:
    """That no target fits is another mistake than that there are no samples, which is told later."""
    if counts.dialogues[TOO_LONG]:
        raise ConfigError(
            f"{source.field} {source.name}: none of its {counts.dialogues[TOO_LONG]} targets fits into "
            f"{length} tokens",
            "raise training.sequenceLength",
        )
