"""Rows of any usual form as dialogues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import ConfigError
from ..reading.record import Record, Taken, kind_of, listed, whole_characters

Message = dict[str, Any]
ROLES = ("system", "developer", "user", "assistant", "tool")
ASSISTANT = "assistant"
NAMES = {"human": "user", "gpt": ASSISTANT, "bot": ASSISTANT, "model": ASSISTANT, "function": "tool"}
"""Other words for roles."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Messages in their order.

    Attributes:
        messages: each with ``role`` and ``content``, and what else a chat template may ask for.
        where: file and line, for messages to people.
    """

    messages: tuple[Message, ...]
    where: str

    @property
    def text(self) -> str:
        """All of it in one form, for a split by content."""
        return json.dumps(self.messages, sort_keys=True, ensure_ascii=False)

    @property
    def contents(self) -> list[str]:
        """The text of each message."""
        return [str(message.get("content") or "") for message in self.messages]

    def saying(self, texts: Sequence[str]) -> Dialogue:
        """The same dialogue with other texts: one for each message, in their order."""
        if list(texts) == self.contents:
            return self
        pairs = zip(self.messages, texts, strict=True)
        return replace(self, messages=tuple({**message, "content": text} for message, text in pairs))


@dataclass(frozen=True)
class TakeDialogue:
    """Takes a dialogue of a row.

    Attributes:
        named: columns that the job names, by what they hold (``messages``, ``prompt``, ``completion``).
        columns: that are read: all.
        asked: what a row must hold, in words.
        fix: how a row gets it.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    columns: None = None
    asked: str = "a dialogue"
    fix: str = (
        'use {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}, '
        '{"prompt": "...", "completion": "..."}, or name the columns in dataset.fields'
    )

    def __call__(self, record: Record) -> Taken[Dialogue]:
        """The dialogue of a record.

        Raises:
            ConfigError: it is none; the message names file and line.
        """
        row, replaced = whole_characters(record.value)
        if not isinstance(row, dict):
            raise self._mistake(record, "it is text")
        found = self._of(record, row)
        return Taken(found, record.length, replaced + record.replaced, not found.messages)

    def _of(self, record: Record, row: dict[str, Any]) -> Dialogue:
        """What the row of a record holds."""
        messages = tuple(self._messages(record, row))
        if not any(message["role"] == ASSISTANT for message in messages):
            raise self._mistake(record, "no message is the assistant's, so there is nothing to train on")
        return Dialogue(messages, record.where)

    def _messages(self, record: Record, row: dict[str, Any]) -> list[Message]:
        if (column := self.named.get("messages")) is not None:
            return self._listed(record, row, column)
        if "prompt" in self.named or "completion" in self.named:
            return self._pair(
                record, row, self.named.get("prompt", "prompt"), self.named.get("completion", "completion")
            )
        for column in ("messages", "conversations", "conversation", "dialogue"):
            if column in row:
                return self._listed(record, row, column)
        for prompt, completion in (("prompt", "completion"), ("prompt", "response"), ("question", "answer")):
            if prompt in row and completion in row:
                return self._pair(record, row, prompt, completion)
        if "instruction" in row and "output" in row:
            more = self._text(record, row.get("input") or "", "input")
            asked = self._text(record, row["instruction"], "instruction") + (f"\n\n{more}" if more else "")
            return [said("user", asked), said(ASSISTANT, self._text(record, row["output"], "output"))]
        raise self._mistake(record, f"it has {listed(row) or 'no field'}")

    def _pair(self, record: Record, row: dict[str, Any], prompt: str, completion: str) -> list[Message]:
        for column in (prompt, completion):
            if column not in row:
                raise self._mistake(record, f"it has no {column}, but {listed(row) or 'no field'}")
        before = row[prompt]
        first = self._listed(record, row, prompt) if isinstance(before, list) else None
        asked = [said("user", self._text(record, before, prompt))] if first is None else first
        after = row[completion]
        if isinstance(after, list):
            return [*asked, *self._listed(record, row, completion)]
        return [*asked, said(ASSISTANT, self._text(record, after, completion))]

    def _listed(self, record: Record, row: dict[str, Any], column: str) -> list[Message]:
        value = row.get(column)
        if isinstance(value, str) and value.lstrip().startswith("["):  # a column of a table
            try:
                value = json.loads(value)
            except ValueError:
                raise self._mistake(record, f"its {column} is no JSON") from None
        if not isinstance(value, list):
            raise self._mistake(record, f"its {column} is {kind_of(value)}, and no list of messages")
        if not value:
            raise self._mistake(record, f"its {column} is empty")
        return [self._message(record, one, f"{column}[{at}]") for at, one in enumerate(value)]

    def _message(self, record: Record, one: Any, place: str) -> Message:
        if not isinstance(one, dict):
            raise self._mistake(record, f"its {place} is {kind_of(one)}, and no message")
        if "role" not in one and "from" in one:
            one = {**one, "role": one["from"], "content": one.get("value")}
            one = {name: value for name, value in one.items() if name not in ("from", "value")}
        role = one.get("role")
        role = NAMES.get(role, role) if isinstance(role, str) else role
        if role not in ROLES:
            shown = ascii(role)[:40] if role is not None else "missing"
            raise self._mistake(record, f"the role of its {place} is {shown}; known are {', '.join(ROLES)}")
        content = one.get("content")
        if content is None and one.get("tool_calls"):
            return {**one, "role": role, "content": ""}
        return {**one, "role": role, "content": self._text(record, content, f"{place}.content")}

    def _text(self, record: Record, value: Any, place: str) -> str:
        if isinstance(value, list) and all(
            isinstance(one, dict) and one.get("type") == "text" for one in value
        ):
            return "".join(str(one.get("text") or "") for one in value)
        if isinstance(value, str):
            return value
        raise self._mistake(record, f"its {place} is {kind_of(value)}, and no text")

    def _mistake(self, record: Record, found: str) -> ConfigError:
        return ConfigError(f"{record.where} is no row with {self.asked}: {found}", self.fix)


def said(role: str, content: str) -> Message:
    """A message."""
    return {"role": role, "content": content}


def without_oldest_turn(messages: Sequence[Message]) -> list[Message] | None:
    """The messages less the first of the user and all up to the user's next; None where that leaves nothing
    to train on. What stands before the first of the user stays."""
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    if len(users) < 2:
        return None
    left = [*messages[: users[0]], *messages[users[1] :]]
    return left if any(message["role"] == ASSISTANT for message in left) else None
