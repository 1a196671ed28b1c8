"""Rows of the usual forms as pairs of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from typing_extensions import override

from ..chat.dialogue import ASSISTANT, Dialogue, Message, TakeDialogue, said
from ..reading.record import Record, listed


@dataclass(frozen=True, slots=True)
class Pair(Dialogue):
    """A prompt and two answers to it, all in `messages`: the last but one is the better answer.

    Attributes:
        implicit: whether the row had no prompt of its own: it is what both of its dialogues begin with.
    """

    implicit: bool = False

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the answers."""
        return self.messages[:-2]

    @property
    def chosen(self) -> Message:
        """The better answer."""
        return self.messages[-2]

    @property
    def rejected(self) -> Message:
        """The other answer."""
        return self.messages[-1]

    @property
    @override
    def text(self) -> str:
        """The prompt: pairs of one prompt are all trained on, or all held out."""
        return prompt_text(self.prompt)


@dataclass(frozen=True)
class TakePair(TakeDialogue):
    """Takes a pair of answers of a row.

    Attributes:
        named: columns that the job names, by what they hold (``prompt``, ``chosen``, ``rejected``).
    """

    named: Mapping[str, str] = field(default_factory=dict)
    asked: str = "a pair of answers"
    fix: str = (
        'use {"prompt": "...", "chosen": "...", "rejected": "..."}, each a text or a list of messages, or '
        "without prompt two lists of messages that begin alike, or name the columns in dataset.fields; rows "
        "with one completion and a label are for loss kto of task preference"
    )

    @override
    def _of(self, record: Record, row: dict[str, Any]) -> Dialogue:
        prompt, sides, implicit = self._parts(record, row)
        answers = [self._answer(record, *side) for side in sides.items()]
        return Pair((*prompt, *answers), record.where, implicit)

    def _parts(
        self, record: Record, row: dict[str, Any]
    ) -> tuple[list[Message], dict[str, list[Message]], bool]:
        """The prompt, what follows it in each column, and whether the prompt is implicit."""
        columns = [self.named.get(name, name) for name in ("chosen", "rejected")]
        for column in columns:
            if column not in row:
                raise self._mistake(record, f"it has no {column}, but {listed(row) or 'no field'}")
        sides = {column: self._side(record, row, column) for column in columns}
        column = self.named.get("prompt", "prompt")
        if row.get(column) is None:
            if "prompt" in self.named:
                raise self._mistake(record, f"it has no {column}, but {listed(row)}")
            prompt = _common(*sides.values())
            if not prompt:
                raise self._mistake(record, "it has no prompt, and its answers begin with no common message")
            return prompt, {name: side[len(prompt) :] for name, side in sides.items()}, True
        prompt = self._messages_or(record, row, column, "user")
        if all(side[: len(prompt)] == prompt for side in sides.values()):  # each side repeats it
            sides = {name: side[len(prompt) :] for name, side in sides.items()}
        return prompt, sides, False

    def _side(self, record: Record, row: dict[str, Any], column: str) -> list[Message]:
        return self._messages_or(record, row, column, ASSISTANT)

    def _messages_or(self, record: Record, row: dict[str, Any], column: str, role: str) -> list[Message]:
        """The messages of a column, or its text as one message."""
        value = row[column]
        if isinstance(value, str) and not value.lstrip().startswith('[{"'):  # such is a list in a table
            return [said(role, value)]
        return self._listed(record, row, column)

    def _answer(self, record: Record, column: str, messages: Sequence[Message]) -> Message:
        if len(messages) != 1 or messages[0]["role"] != ASSISTANT:
            roles = ", ".join(str(message["role"]) for message in messages) or "nothing"
            raise self._mistake(record, f"its {column} has {roles} after the prompt, and no single answer")
        return messages[0]


def prompt_text(prompt: Sequence[Message]) -> str:
    """A prompt in one form, for a split by it."""
    return json.dumps(prompt, sort_keys=True, ensure_ascii=False)


def _common(one: list[Message], other: list[Message]) -> list[Message]:
    """What two dialogues begin with, but never the last message of either."""
    most = max(0, min(len(one), len(other)) - 1)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one[:most], other[:most], strict=True))
    return [message for message, _ in alike]
