"""Renders all pairs of answers into rows of two sequences, with marks for what is trained on."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import ConfigError
from ..chat.samples import dialogues_of
from ..pairs.pair import Pair
from ..pairs.samples import LEFT_OUT, rendered
from ..pairs.writing import PairWriter
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..sources import Text
from .dialogues import copies_of, template_of


def write_pairs(made: Preparation, train: PairWriter, held_out: PairWriter) -> list[ReadCounts]:
    """Write the rows of both sides of the split.

    Args:
        made: whose pairs.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a template that cannot be used, or no pair that can be learnt from.
    """
    template, counts = template_of(made), [ReadCounts() for _ in made.sources]
    progress = made.progress.begin("rows")
    for number, (source, counted) in enumerate(zip(made.sources, counts, strict=True)):
        for for_evaluation, pair in dialogues_of(
            made.job, source, counted, progress, copies_of(made, number)
        ):
            assert isinstance(pair, Pair)
            if (sides := rendered(pair, template, train.each, counted)) is not None:
                (held_out if for_evaluation else train).add_pair(*sides)
        train.end_source()
        held_out.end_source()
        if not train.sources[-1].rows + held_out.sources[-1].rows:
            require_some(source, train.each, counted, LEFT_OUT, "pair")
    return counts


def require_some(
    source: Text, length: int, counts: ReadCounts, left_out: Mapping[str, str], what: str
) -> None:
    """That every pair is left out is another mistake than that there are none, which is told later.

    Args:
        source: whose.
        length: tokens of a sequence.
        counts: of what was left out.
        left_out: why, by what `counts` calls it.
        what: a row is.

    Raises:
        ConfigError: something was left out.
    """
    found = [f"{counts.dialogues[name]} {why}" for name, why in left_out.items() if counts.dialogues[name]]
    if found:
        raise ConfigError(
            f"{source.field} {source.name}: no {what} is left to train on with {length} tokens a sequence: "
            f"{'; '.join(found)}",
            f"give {what}s whose text is there and differs, or raise training.sequenceLength",
        )
