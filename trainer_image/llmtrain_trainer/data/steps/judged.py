"""Renders all answers that are desirable or not into rows of two sequences, and counts both kinds."""

from __future__ import annotations

from ...errors import ConfigError
from ..chat.samples import dialogues_of
from ..judged.samples import LEFT_OUT, rendered
from ..judged.writing import LABELS, JudgedWriter
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from .dialogues import copies_of, template_of
from .pairs import require_some


def write_judged(made: Preparation, train: JudgedWriter, held_out: JudgedWriter) -> list[ReadCounts]:
    """Write the rows of both sides of the split, and leave how many answers are desirable.

    Args:
        made: whose answers.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a template that cannot be used, no answer that can be learnt from, or all of one kind.
    """
    template, counts = template_of(made), [ReadCounts() for _ in made.sources]
    progress = made.progress.begin("rows")
    for number, (source, counted) in enumerate(zip(made.sources, counts, strict=True)):
        copies = copies_of(made, number)
        for for_evaluation, found in dialogues_of(made.job, source, counted, progress, copies):
            for sequence, desirable in rendered(found, template, train.each, counted):
                (held_out if for_evaluation else train).add_answer(sequence, desirable=desirable)
        train.end_source()
        held_out.end_source()
        if not train.sources[-1].rows + held_out.sources[-1].rows:
            require_some(source, train.each, counted, LEFT_OUT, "answer")
    if made.glance is None or not any(counted.files_cut for counted in counts):
        _require_both(made, train)
    kinds = {"desirable": True, "undesirable": False}
    made.told_of_labels = {
        LABELS: {
            name: {"train": train.labels[kind], "heldOut": held_out.labels[kind]}
            for name, kind in kinds.items()
        }
    }
    return counts


def _require_both(made: Preparation, train: JudgedWriter) -> None:
    """Of one kind alone a model learns to write everything less, or everything more."""
    if len(train.labels) != 1:
        return
    [kind] = train.labels
    raise ConfigError(
        f"dataset {made.job.spec.dataset.source_names}: all {train.labels[kind]:,} answers to train on are "
        f"{'desirable' if kind else 'undesirable'}, and loss kto learns from both kinds",
        f"add rows whose label is {'false' if kind else 'true'}, or use task chat for good answers alone",
    )
