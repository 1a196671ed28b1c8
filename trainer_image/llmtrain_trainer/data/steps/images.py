"""Renders all dialogues with images into rows, and keeps each image as the model sees it."""

from __future__ import annotations

from ...errors import ConfigError
from ...models.location import folder_of
from ..chat.samples import TOO_LONG, UNSEEN, dialogues_of, fitting
from ..images.dialogue import ImageDialogue
from ..images.picture import root_of
from ..images.preparing import ImageStore, described, processor_of, write_processor
from ..images.template import ImageTemplate
from ..images.writing import ImageRowWriter
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..store import TOKENIZER
from .dialogues import template_of


def write_seen(made: Preparation, train: ImageRowWriter, held_out: ImageRowWriter) -> list[ReadCounts]:
    """Write the rows and the images of both sides of the split.

    Args:
        made: whose dialogues.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a template or a processor that cannot be used, an image that may not be opened, or no
            dialogue that has room.
    """
    processor = processor_of(made.job, made.folder / TOKENIZER)
    if folder_of(made.job) is None:
        write_processor(made.job, processor, made.folder / TOKENIZER)
    how = described(made.job, processor)
    template, counts = (
        ImageTemplate(template_of(made), how.token, how.tokens),
        [ReadCounts() for _ in made.sources],
    )
    progress = made.progress.begin("rows")
    with ImageStore(made.folder, processor, how) as images:
        for source, counted in zip(made.sources, counts, strict=True):
            root = root_of(source)
            for for_evaluation, dialogue in dialogues_of(made.job, source, counted, progress):
                assert isinstance(dialogue, ImageDialogue)
                for sample in fitting(dialogue, template, train.each, counted):
                    writer = held_out if for_evaluation else train
                    writer.add_seen(sample.ids, sample.trained, images.count)
                    for number in sample.images:
                        images.add(dialogue.pictures[number], root)
            train.end_source()
            held_out.end_source()
            if counted.dialogues[TOO_LONG] + counted.dialogues[UNSEEN] and not (
                train.sources[-1].rows + held_out.sources[-1].rows
            ):
                raise ConfigError(
                    f"{source.field} {source.name}: no turn of its dialogues fits with an image into "
                    f"{train.each} tokens, of which an image takes {how.tokens}",
                    "raise training.sequenceLength",
                )
        made.told_of_labels = {"images": {"count": images.count, "pixels": how.size, "tokens": how.tokens}}
    return counts
