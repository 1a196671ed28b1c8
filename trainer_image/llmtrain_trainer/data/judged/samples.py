"""From an answer to the rendered sequence that a row holds, or to why there is none."""

from __future__ import annotations

from collections.abc import Iterator

from ..chat.dialogue import Dialogue, Message, without_oldest_turn
from ..chat.samples import CUT, TOO_LONG
from ..chat.template import Rendered, Template
from ..pairs.pair import Pair
from ..pairs.samples import EMPTY, EQUAL
from ..reading.counts import ReadCounts
from .answer import Judged, judged_of

LEFT_OUT = {
    EQUAL: "pairs have two equal answers and are left out, as each would be desirable and not",
    EMPTY: "answers have no text and are left out",
    TOO_LONG: "answers are left out, as their last turn alone is longer than training.sequenceLength; to "
    "train on them raise it",
}


def rendered(
    found: Dialogue, template: Template, length: int, counts: ReadCounts
) -> Iterator[tuple[Rendered, bool]]:
    """The sequences of what a row of a file holds, each of at most `length` tokens, and whether its answer is
    desirable; cut from the left by whole turns.

    Args:
        found: an answer, or a pair.
        template: renders it.
        length: tokens of a sequence.
        counts: is told what was cut or left out.
    """
    if isinstance(found, Pair) and found.contents[-1] == found.contents[-2]:
        counts.dialogues[EQUAL] += 1
        return
    for judged in judged_of(found):
        if not judged.contents[-1].strip():
            counts.dialogues[EMPTY] += 1
        elif (sequence := _fitting(judged, template, length, counts)) is not None:
            yield sequence, judged.desirable


def _fitting(judged: Judged, template: Template, length: int, counts: ReadCounts) -> Rendered | None:
    messages: list[Message] | None = [*judged.messages]
    cut = False
    while messages is not None:
        sequence = template.answer(messages, judged.where)
        if len(sequence.ids) <= length:
            counts.dialogues[CUT] += cut
            return sequence
        messages, cut = without_oldest_turn(messages), True
    counts.dialogues[TOO_LONG] += 1
    return None
