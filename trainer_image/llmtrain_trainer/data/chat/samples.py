"""From a source to what is written of its dialogues: read, split, shortened where they are too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from llmtrain_api import JobFile, Task, task_of

from ..cleaning.pipeline import Pipeline
from ..cleaning.swaps import swap_of
from ..documents import without
from ..images.dialogue import TakeImageDialogue
from ..judged.answer import TakeJudged
from ..labelled.sample import Sample, TakeSample
from ..pairs.pair import TakePair
from ..prompts.prompt import TakePrompt
from ..reading.counts import ReadCounts
from ..reading.reader import Progress, no_progress
from ..reading.record import Take
from ..sources import Text, is_held_out, taken
from .dialogue import Dialogue, Message, TakeDialogue, without_oldest_turn
from .template import Rendered

Whole = Dialogue | Sample
"""What a row of a file is where a task does not read plain text."""
CUT, TOO_LONG, SEPARATE = "shortened", "tooLong", "answersApart"
"""What `ReadCounts.dialogues` counts: dialogues that lost their oldest turns, such whose last turn alone is
longer than a row and which are left out, and samples of one answer each, of templates that need that."""
UNSEEN = "withoutImage"
"""The same: dialogues that would be left without an image once they are cut."""
Sample_co = TypeVar("Sample_co", bound=Rendered, covariant=True)


def dialogues_of(
    job: JobFile,
    source: Text,
    counts: ReadCounts | None = None,
    progress: Progress = no_progress,
    copies: Sequence[bool] | None = None,
) -> Iterator[tuple[bool, Any]]:
    """The dialogues or samples of a source, and whether each is for evaluation only; after one for training
    its copy with swapped terms, where the job asks for one.

    Args:
        job: whose cleaning and split it is.
        source: one of the job's.
        counts: is filled.
        progress: told of bytes that are passed.
        copies: of each cleaned dialogue whether it is a copy of another, and dropped.

    Raises:
        ConfigError: a row that is no dialogue; the message names file and line.
    """
    counts = ReadCounts() if counts is None else counts
    swap = swap_of(job.spec.dataset.cleaning)
    found = cleaned_dialogues(job, source, counts, progress)
    for dialogue in found if copies is None else without(found, copies, counts):
        held_out = is_held_out(dialogue.text, job.spec.held_out_fraction)
        yield held_out, dialogue
        if swap is None or held_out:
            continue
        swapped = dialogue.saying([swap(text) for text in dialogue.contents])
        if swapped != dialogue:
            counts.added += 1
            yield False, swapped


def cleaned_dialogues(
    job: JobFile, source: Text, counts: ReadCounts, progress: Progress = no_progress
) -> Iterator[Whole]:
    """The dialogues or samples of a source after the steps that look at each alone: their texts are cleaned
    one by one, and keep their order; see `dialogues_of`."""
    pipeline = Pipeline(job.spec)
    for dialogue in taken(source, take_of(job, source), counts, progress):
        texts = pipeline.messages(dialogue.contents, counts)
        if texts is None:
            continue
        if any(texts):
            yield dialogue.saying(texts)
        else:
            counts.empty += 1


def take_of(job: JobFile, source: Text) -> Take[Whole]:
    """What a job takes of the rows of a source's files."""
    task, named = task_of(job.spec, job.shape), source.named_columns or {}
    if task.on_samples:
        return TakeSample(task, named)
    if job.spec.judges_answers:
        return TakeJudged(named)
    if (how := job.spec.training.reinforcement) is not None:
        return TakePrompt(named, with_answer=how.needs_answers)
    if task is Task.IMAGE_CHAT:
        return TakeImageDialogue(named)
    return TakePair(named) if task.on_pairs else TakeDialogue(named)


class Samples(Protocol[Sample_co]):
    """Whatever renders messages into samples."""

    def samples(self, messages: Sequence[Message], where: str) -> Iterator[Sample_co]:
        """What is trained on of a dialogue: one sample, or one for each answer."""
        ...


def fitting(
    dialogue: Dialogue, template: Samples[Sample_co], length: int, counts: ReadCounts
) -> Iterator[Sample_co]:
    """The samples of a dialogue, each of at most `length` tokens: cut from the left by whole turns.

    Args:
        dialogue: whose.
        template: renders it.
        length: tokens of a row.
        counts: is told what was cut or left out.
    """
    messages: list[Message] | None = [*dialogue.messages]
    cut = False
    while messages is not None:
        samples = list(template.samples(messages, dialogue.where))
        fit = [sample for sample in samples if len(sample.ids) <= length]
        if fit:
            kept = [sample for sample in fit if sample.complete]
            if not kept:
                counts.dialogues[UNSEEN] += 1
                return
            counts.dialogues[CUT] += cut or len(kept) < len(samples)
            counts.dialogues[SEPARATE] += len(kept) if len(samples) > 1 else 0
            yield from kept
            return
        messages, cut = without_oldest_turn(messages), True
    counts.dialogues[TOO_LONG] += 1
