"""A question with each part of a long text, so that every part is read once at least."""

from __future__ import annotations

from typing import Any, NamedTuple

from .answers import Answer

SHARED = 3
"""The part of a window that the next one reads once more: one of so many."""


class Window(NamedTuple):
    """A question and a part of its text.

    Attributes:
        ids: all of its tokens.
        first: the place of the text's first token.
        offsets: begin and end in the text of each of its tokens there, in characters.
    """

    ids: list[int]
    first: int
    offsets: list[tuple[int, int]]

    def span(self, answers: tuple[Answer, ...]) -> tuple[int, int]:
        """The places of the first and the last token of the answer; twice 0 where it is not all there."""
        if not answers or not self.offsets:
            return 0, 0
        begin, end = answers[0].start, answers[0].start + len(answers[0].text)
        if begin < self.offsets[0][0] or end > self.offsets[-1][1]:
            return 0, 0
        met = [at for at, (low, high) in enumerate(self.offsets) if low < end and high > begin]
        return (self.first + met[0], self.first + met[-1]) if met else (0, 0)


def windows_of(tokenizer: Any, question: str, context: str, length: int) -> tuple[list[Window], bool]:
    """The windows of a text, and whether the question had to lose its end.

    Args:
        tokenizer: is set to cut.
        question: that is asked; has half of a window at most.
        context: what is read.
        length: tokens of a window at most.
    """
    tokenizer.no_truncation()
    room = length - tokenizer.num_special_tokens_to_add(True)
    asked = tokenizer.encode(question, add_special_tokens=False)
    cut = len(asked.ids) > room // 2
    if cut:
        question = question[: asked.offsets[room // 2 - 1][1]]
        asked = tokenizer.encode(question, add_special_tokens=False)
    own = room - len(asked.ids)
    tokenizer.enable_truncation(length, stride=own // SHARED, strategy="only_second")
    encoding = tokenizer.encode(question, context)
    return [_window(one) for one in (encoding, *encoding.overflowing)], cut


def _window(encoding: Any) -> Window:
    own = [at for at, kind in enumerate(encoding.sequence_ids) if kind == 1]
    first = own[0] if own else len(encoding.ids)
    return Window(list(encoding.ids), first, [tuple(encoding.offsets[at]) for at in own])
