"""Rows as prompts, and the right answer where a reward compares with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from ..chat.dialogue import ASSISTANT, Dialogue, Message, said, without_oldest_turn
from ..pairs.pair import TakePair, prompt_text
from ..reading.record import Record, kind_of, listed

MAX_ANSWER = 256
"""Bytes of a right answer at most: it is compared as a whole, so it is short."""


@dataclass(frozen=True, slots=True)
class Prompt(Dialogue):
    """A prompt: messages of which none answers the last one.

    Attributes:
        answer: the right one; None where nothing compares with it.
    """

    answer: str | None = None

    @property
    @override
    def text(self) -> str:
        """The prompt: equal ones are all trained on, or all held out."""
        return prompt_text(self.messages)

    @property
    def shorter(self) -> list[Message] | None:
        """Its messages less the oldest turn; None where there is one turn alone."""
        left = without_oldest_turn([*self.messages, said(ASSISTANT, "")])
        return left[:-1] if left else None


@dataclass(frozen=True)
class TakePrompt(TakePair):
    """Takes a prompt of a row.

    Attributes:
        named: columns that the job names, by what they hold (``prompt``, ``answer``).
        with_answer: whether a row must have a right answer.
    """

    asked: str = "a prompt"
    fix: str = (
        'use {"prompt": "..."}, a text or a list of messages, with "answer": "..." where a reward compares '
        "with the right one, or name the columns in dataset.fields"
    )
    with_answer: bool = False

    @override
    def _of(self, record: Record, row: dict[str, Any]) -> Dialogue:
        column = self.named.get("prompt", "prompt")
        if row.get(column) is None:
            raise self._mistake(record, f"it has no {column}, but {listed(row) or 'no field'}")
        messages = self._messages_or(record, row, column, "user")
        self._unanswered(record, column, messages)
        return Prompt(tuple(messages), record.where, self._right(record, row) if self.with_answer else None)

    def _unanswered(self, record: Record, column: str, messages: Sequence[Message]) -> None:
        if messages[-1]["role"] == ASSISTANT:
            raise self._mistake(record, f"its {column} ends with an answer, which the model is to write")
        if not str(messages[-1].get("content") or "").strip():
            raise self._mistake(record, f"its {column} is empty")

    def _right(self, record: Record, row: dict[str, Any]) -> str:
        column = self.named.get("answer", "answer")
        value = row.get(column)
        if value is None:
            raise self._mistake(
                record, f"it has no {column}, which a reward compares with, but {listed(row) or 'no field'}"
            )
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._mistake(record, f"its {column} is {kind_of(value)}, and neither a text nor a number")
        text = str(value).strip()
        if not text:
            raise self._mistake(record, f"its {column} is empty")
        if (size := len(text.encode())) > MAX_ANSWER:
            raise self._mistake(
                record, f"its {column} has {size} bytes, and a right answer has {MAX_ANSWER} at most"
            )
        return text
