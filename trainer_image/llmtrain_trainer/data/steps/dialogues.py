"""Renders all dialogues and packs them into rows of fixed length, with marks for what is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import transformers

from ...errors import ConfigError
from ..chat.packing import PackedWriter
from ..chat.samples import TOO_LONG, dialogues_of, fitting
from ..chat.template import Template
from ..cleaning.duplicates.files import read_copies
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..sources import Text
from .duplicates import dialogues_name


def row_of(made: Preparation) -> tuple[int, int]:
    """Tokens of a row, and the one that fills it up."""
    tokens = made.tokens
    return made.job.spec.training.sequence_length, tokens.eos if tokens.pad is None else tokens.pad


def template_of(made: Preparation) -> Template:
    """The template of the tokenizer that the folder has.

    Raises:
        ConfigError: it has none, or one that cannot be used.
    """
    whole = transformers.AutoTokenizer.from_pretrained(made.tokenizer_folder, local_files_only=True)
    return Template(whole)


def copies_of(made: Preparation, source: int) -> Sequence[bool] | None:
    """Of each dialogue of a source, by its number, whether it is a copy; None where none is dropped."""
    return read_copies(made.copies, dialogues_name(source)) if made.copies else None


def write_dialogues(made: Preparation, train: PackedWriter, held_out: PackedWriter) -> list[ReadCounts]:
    """Write the rows of both sides.

    Args:
        made: whose dialogues.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a template that cannot be used, or no dialogue that fits into a row.
    """
    template, counts = template_of(made), [ReadCounts() for _ in made.sources]
    progress = made.progress.begin("rows")
    for number, (source, counted) in enumerate(zip(made.sources, counts, strict=True)):
        copies = copies_of(made, number)
        for for_evaluation, dialogue in dialogues_of(made.job, source, counted, progress, copies):
            for sample in fitting(dialogue, template, train.length, counted):
                (held_out if for_evaluation else train).add_sample(sample.ids, sample.trained)
        train.end_source()
        held_out.end_source()
        if not train.sources[-1].rows + held_out.sources[-1].rows:
            _require_some(source, train.length, counted)
    return counts


def _require_some(source: Text, length: int, counts: ReadCounts) -> None:
    """That no dialogue fits is another mistake than that there are none, which is told later."""
    if counts.dialogues[TOO_LONG]:
        raise ConfigError(
            f"{source.field} {source.name}: no turn of its {counts.dialogues[TOO_LONG]} dialogues "
            f"fits into {length} tokens",
            "raise training.sequenceLength",
        )
