"""Renders all dialogues and packs them into rows of fixed length, with marks for what is trained on."""

from __future__ import annotations

import transformers

from ...errors import ConfigError
from ..chat.packing import PackedWriter
from ..chat.samples import TOO_LONG, dialogues_of, fitting
from ..chat.template import Template
from ..preparation import Preparation, ProgressLog
from ..reading.counts import ReadCounts
from ..store import TOKENIZER, TRAIN


def write_dialogues(made: Preparation) -> None:
    """Leave the rows of both sides, and what was read.

    Raises:
        ConfigError: a template that cannot be used, or no dialogue that fits into a row.
    """
    spec, pad = made.job.spec, made.tokens.eos if made.tokens.pad is None else made.tokens.pad
    whole = transformers.AutoTokenizer.from_pretrained(made.folder / TOKENIZER, local_files_only=True)
    template = Template(whole)
    length = spec.training.sequence_length
    train = made.train = PackedWriter(made.folder / TRAIN, length, pad)
    held_out = made.held_out = PackedWriter(made.folder / "heldout.bin", length, pad)
    made.counts = [ReadCounts() for _ in made.sources]
    progress = ProgressLog("rows", made.bytes_total)
    for source, counts in zip(made.sources, made.counts, strict=True):
        for for_evaluation, dialogue in dialogues_of(made.job, source, counts, progress):
            for sample in fitting(dialogue, template, length, counts):
                (held_out if for_evaluation else train).add_sample(sample.ids, sample.trained)
        train.end_source()
        held_out.end_source()
        _require_some(made, source.field, source.name, counts)
    held_out.close()
    train.close()


def _require_some(made: Preparation, field: str, name: str, counts: ReadCounts) -> None:
    """Some rows of a source must fit, and say so where they do not: what is missing else is told later."""
    written = made.train.sources[-1].rows + made.held_out.sources[-1].rows
    if not written and counts.dialogues[TOO_LONG]:
        raise ConfigError(
            f"{field} {name}: none of its {counts.dialogues[TOO_LONG]} dialogues has a turn that fits into "
            f"{made.job.spec.training.sequence_length} tokens",
            "raise training.sequenceLength",
        )
