"""From a pair to the two rendered sequences that a row holds, or to why there are none."""

from __future__ import annotations

from ..chat.dialogue import Message, without_oldest_turn
from ..chat.samples import CUT, TOO_LONG
from ..chat.template import Rendered, Template
from ..reading.counts import ReadCounts
from .pair import Pair

EQUAL, EMPTY, IMPLICIT, EXPLICIT = "equalAnswers", "emptyAnswers", "promptsImplicit", "promptsExplicit"
"""What `ReadCounts.dialogues` counts beside the counts of chat: pairs that are left out because their answers
do not differ, or because one has no text; pairs whose prompt is what both begin with, or has a column."""
LEFT_OUT = {
    EQUAL: "pairs have two equal answers and are left out, as they prefer none",
    EMPTY: "pairs have an answer without text and are left out",
    TOO_LONG: "pairs are left out, as their last turn alone is longer than training.sequenceLength; to "
    "train on them raise it",
}


def rendered(
    pair: Pair, template: Template, length: int, counts: ReadCounts
) -> tuple[Rendered, Rendered] | None:
    """The better and the other sequence of a pair, each of at most `length` tokens: cut from the left by
    whole turns, of both alike. None where the pair is left out.

    Args:
        pair: whose.
        template: renders it.
        length: tokens of a sequence.
        counts: is told what was cut or left out.
    """
    counts.dialogues[IMPLICIT if pair.implicit else EXPLICIT] += 1
    chosen, rejected = pair.contents[-2:]
    if not chosen.strip() or not rejected.strip():
        counts.dialogues[EMPTY] += 1
        return None
    if chosen == rejected:
        counts.dialogues[EQUAL] += 1
        return None
    prompt: list[Message] | None = [*pair.prompt]
    cut = False
    while prompt is not None:
        better, other = (
            template.answer([*prompt, answer], pair.where) for answer in (pair.chosen, pair.rejected)
        )
        if max(len(better.ids), len(other.ids)) <= length:
            counts.dialogues[CUT] += cut
            return better, other
        left, cut = without_oldest_turn([*prompt, pair.chosen]), True
        prompt = left[:-1] if left else None
    counts.dialogues[TOO_LONG] += 1
    return None
