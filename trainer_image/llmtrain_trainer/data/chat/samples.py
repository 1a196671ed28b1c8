"""From a source to what is written of its dialogues: read, split, shortened where they are too long."""

from __future__ import annotations

from collections.abc import Iterator

from llmtrain_api import JobFile

from ..reading.counts import ReadCounts
from ..reading.reader import Progress, no_progress
from ..sources import Text, is_held_out, taken
from .dialogue import Dialogue, Message, TakeDialogue, without_oldest_turn
from .template import Rendered, Template

CUT, TOO_LONG, SEPARATE = "shortened", "tooLong", "answersApart"
"""What `ReadCounts.dialogues` counts: dialogues that lost their oldest turns, such whose last turn alone is
longer than a row and which are left out, and samples of one answer each, of templates that need that."""


def dialogues_of(
    job: JobFile, source: Text, counts: ReadCounts | None = None, progress: Progress = no_progress
) -> Iterator[tuple[bool, Dialogue]]:
    """The dialogues of a source, and whether each is for evaluation only.

    Raises:
        ConfigError: a row that is no dialogue; the message names file and line.
    """
    take = TakeDialogue(source.dialogue_columns or {})
    for dialogue in taken(source, take, ReadCounts() if counts is None else counts, progress):
        yield is_held_out(dialogue.text, job.spec.dataset.held_out_fraction), dialogue


def fitting(dialogue: Dialogue, template: Template, length: int, counts: ReadCounts) -> Iterator[Rendered]:
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
            counts.dialogues[CUT] += cut or len(fit) < len(samples)
            counts.dialogues[SEPARATE] += len(fit) if len(samples) > 1 else 0
            yield from fit
            return
        messages, cut = without_oldest_turn(messages), True
    counts.dialogues[TOO_LONG] += 1
