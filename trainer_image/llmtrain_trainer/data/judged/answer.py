"""Rows as answers that are desirable or not, alone or in a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from ..chat.dialogue import Dialogue, Message
from ..pairs.pair import Pair, TakePair, prompt_text
from ..reading.record import Record, kind_of, listed

TRUTH = {"true": True, "false": False}
"""How a table writes a label."""


@dataclass(frozen=True, slots=True)
class Judged(Dialogue):
    """A prompt and one answer to it, all in `messages`.

    Attributes:
        desirable: whether the answer is.
    """

    desirable: bool = False

    @property
    @override
    def text(self) -> str:
        """The prompt: answers to one prompt are all trained on, or all held out."""
        return prompt_text(self.messages[:-1])


@dataclass(frozen=True)
class TakeJudged(TakePair):
    """Takes an answer and its label of a row, or a pair of answers, of which one is desirable.

    Attributes:
        named: columns that the job names, by what they hold (``prompt``, ``completion``, ``label``, and those
            of pairs).
    """

    asked: str = "an answer and its label"
    fix: str = (
        'use {"prompt": "...", "completion": "...", "label": true}, where prompt and completion are each a '
        'text or a list of messages, or {"prompt": "...", "chosen": "...", "rejected": "..."}, or name the '
        "columns in dataset.fields"
    )

    @override
    def _of(self, record: Record, row: dict[str, Any]) -> Dialogue:
        column = self._column("completion")
        if column not in row and any(self._column(side) in row for side in ("chosen", "rejected")):
            return super()._of(record, row)
        for needed in (self._column("prompt"), column, self._column("label")):
            if row.get(needed) is None:
                raise self._mistake(record, f"it has no {needed}, but {listed(row) or 'no field'}")
        label = self._label(record, row)
        prompt = self._messages_or(record, row, self._column("prompt"), "user")
        return Judged((*prompt, self._completion(record, row, prompt)), record.where, label)

    def _column(self, name: str) -> str:
        return self.named.get(name, name)

    def _label(self, record: Record, row: dict[str, Any]) -> bool:
        column = self._column("label")
        value = row[column]
        found = TRUTH.get(value.strip().lower()) if isinstance(value, str) else value
        if isinstance(found, bool):
            return found
        shown = ascii(value)[:40] if isinstance(value, str | int | float) else kind_of(value)
        raise self._mistake(record, f"its {column} is {shown}, and neither true nor false")

    def _completion(self, record: Record, row: dict[str, Any], prompt: list[Message]) -> Message:
        column = self._column("completion")
        side = self._side(record, row, column)
        answer = self._answer(record, column, side[len(prompt) :] if side[: len(prompt)] == prompt else side)
        if not str(answer.get("content") or "").strip():
            raise self._mistake(record, f"its {column} is empty, so there is nothing to judge")
        return answer


def judged_of(found: Dialogue) -> list[Judged]:
    """The answers of what a row holds: of a pair the better one, which is desirable, and the other."""
    if isinstance(found, Judged):
        return [found]
    assert isinstance(found, Pair)
    return [
        Judged((*found.prompt, answer), found.where, desirable)
        for answer, desirable in ((found.chosen, True), (found.rejected, False))
    ]
