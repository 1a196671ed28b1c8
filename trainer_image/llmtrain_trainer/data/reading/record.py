"""One row or one text as it was found, before anybody asks what is learnt from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from llmtrain_api import Task

from ...errors import ConfigError
from .decoding import REPLACEMENT

TEXT = "text"
LONGEST_LIST = 200
"""Characters of a list of columns in a message."""
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
_ROWS_OF_TASKS = (
    ({"messages"}, Task.CHAT),
    ({"conversations"}, Task.CHAT),
    ({"instruction", "output"}, Task.CHAT),
    ({"chosen", "rejected"}, Task.PREFERENCE),
    *((set(task.columns), task) for task in Task if task.on_samples and TEXT not in task.columns),
)
"""Columns by which rows of another task are known."""
_SURROGATE = re.compile("[\ud800-\udfff]")

Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Record:
    """What stands in one place of a file.

    Attributes:
        value: a row as an object by column, or a text as it is.
        file: it lies in; relative to the dataset's folder.
        number: of its line or row, from 1; 0 for a text.
        unit: what `number` counts.
        length: characters, or for tables bytes, that it takes of the file.
        replaced: bytes of it that were no text.
    """

    value: str | dict[str, Any]
    file: str
    number: int = 0
    unit: str = "line"
    length: int = 0
    replaced: int = 0

    @property
    def where(self) -> str:
        """The file and line or row, for messages."""
        return f"{self.file} {self.unit} {self.number}" if self.number else self.file


@dataclass(frozen=True, slots=True)
class Taken(Generic[Item_co]):
    """What is made of a record.

    Attributes:
        item: goes on.
        size: bytes of text in it, which ``maxBytes`` counts.
        replaced: characters of it that were none.
        empty: whether there is nothing in it to learn from.
    """

    item: Item_co
    size: int
    replaced: int
    empty: bool


class Take(Protocol[Item_co]):
    """What a task takes of records."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Columns that are read; None for all of them."""

    @property
    def asked(self) -> str:
        """What a row must hold, in words."""

    @property
    def fix(self) -> str:
        """How a row gets it."""

    def __call__(self, record: Record) -> Taken[Item_co]:
        """What is taken of a record.

        Raises:
            ConfigError: the row has not what the task needs.
        """
        ...


@dataclass(frozen=True)
class TakeText:
    """Takes the text of one column.

    Attributes:
        column: its name.
    """

    column: str = TEXT

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.column,)

    @property
    def asked(self) -> str:
        """A text, by the name of its column."""
        return f"a {self.column}"

    @property
    def fix(self) -> str:
        """The form of a row, or the field that names another column."""
        return (
            f'use {{{json.dumps(self.column)}: "..."}}, or name the column that holds the text in '
            "dataset.fields.text"
        )

    def __call__(self, record: Record) -> Taken[str]:
        """The text of a record.

        Raises:
            ConfigError: a row without text in this column.
        """
        text, replaced = text_of(record, self)
        size = len(text) if text.isascii() else len(text.encode())
        return Taken(text, size, replaced + record.replaced, not text.strip())


@dataclass(frozen=True)
class TakeRow:
    """Takes rows as they are, such as those of dialogues. What is no character is replaced in all of them.

    Attributes:
        columns: that are read; None for all.
        asked: what a row must hold, in words.
        fix: how a row gets it.
    """

    columns: tuple[str, ...] | None = None
    asked: str = "columns"
    fix: str = 'use {"messages": [...]}'

    def __call__(self, record: Record) -> Taken[Record]:
        """The record without halves of characters."""
        value, replaced = whole_characters(record.value)
        whole = Record(value, record.file, record.number, record.unit, record.length)
        return Taken(whole, record.length, replaced + record.replaced, not value)


def text_of(record: Record, take: TakeText) -> tuple[str, int]:
    """The text of a record, and how many halves of characters were replaced in it.

    Raises:
        ConfigError: a row without text in its column.
    """
    value, column = record.value, take.column
    if isinstance(value, str):
        return value, 0
    text = value.get(column)
    if isinstance(text, str):
        # half a surrogate pair is legal JSON, but no character
        return (text, 0) if text.isascii() else _SURROGATE.subn(REPLACEMENT, text)
    missing = f"it has {listed(value) or 'no field'}{hint_of_task(value)}"
    found = f"its {column} is {kind_of(text)}" if column in value else missing
    raise not_a_row(record.where, found, take)


def hint_of_task(columns: Iterable[str]) -> str:
    """For a row without text: the task that trains on rows with these columns; nothing if none does."""
    for of_task, task in _ROWS_OF_TASKS:
        if of_task <= set(columns):
            return f", which task: {task} trains on"
    return ""


def whole_characters(value: Any) -> tuple[Any, int]:
    """A JSON value with every half of a character replaced, and how many there were."""
    if isinstance(value, str):
        return (value, 0) if value.isascii() else _SURROGATE.subn(REPLACEMENT, value)
    if isinstance(value, list):
        pairs = [whole_characters(one) for one in value]
        return [one for one, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        items = [(whole_characters(key), whole_characters(one)) for key, one in value.items()]
        return {key: one for (key, _), (one, _) in items}, sum(a + b for (_, a), (_, b) in items)
    return value, 0


def not_a_row(where: str, found: str, take: Take[Any]) -> ConfigError:
    """The mistake of a row that has not what is asked.

    Args:
        where: file and line or row.
        found: what is there instead.
        take: that asks.
    """
    return ConfigError(f"{where} is no object with {take.asked}: {found}", take.fix)


def listed(columns: Sequence[str] | dict[str, Any]) -> str:
    """Names of columns, for a message."""
    text = ", ".join(sorted(ascii(str(column))[1:-1] for column in columns))
    return text if len(text) <= LONGEST_LIST else f"{text[:LONGEST_LIST]}..."


def kind_of(value: Any) -> str:
    """What a value of JSON is."""
    return _KINDS.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)
