"""Rows of files as samples: texts, and what is to be learnt of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmtrain_api import Task

from ...errors import ConfigError
from ..reading.record import Record, Taken, kind_of, listed, whole_characters
from .answers import Answer, answers_of

LONGEST_CLASS = 256
"""Characters of a class at most: what is longer is a text."""
LARGEST = 3.4028234663852886e38
"""The largest number of fp32, which targets are held in."""
OPTIONAL = ("textPair",)
"""Columns that a row need not have."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample.

    Attributes:
        texts: that are read: one or two; with task text2text the one that is read and the one to be written.
        where: file and line, for messages to people.
        label: the class, the number, or the tag of each word; None where the last text is to be learnt.
        answers: that stand in the second text, best known first; None of other tasks.
    """

    texts: tuple[str, ...]
    where: str
    label: str | float | tuple[str, ...] | None = None
    answers: tuple[Answer, ...] | None = None

    @property
    def text(self) -> str:
        """All that is read in one form, for a split by content: equal texts fall on the same side, and all
        questions on one text."""
        return json.dumps(self.texts if self.answers is None else self.texts[1:], ensure_ascii=False)

    @property
    def contents(self) -> list[str]:
        """Its texts."""
        return list(self.texts)

    def saying(self, texts: Sequence[str]) -> Sample:
        """The same sample with other texts: one for each, in their order."""
        return replace(self, texts=tuple(texts))


@dataclass(frozen=True)
class TakeSample:
    """Takes a sample of a row.

    Attributes:
        task: what is learnt.
        named: columns that the job names, by the field that names them.
        columns: that are read: all.
    """

    task: Task
    named: Mapping[str, str] = field(default_factory=dict)
    columns: None = None

    @property
    def asked(self) -> str:
        """The names of its columns."""
        return " and ".join(self._column(name) for name in self.task.columns if name not in OPTIONAL)

    @property
    def fix(self) -> str:
        """The form of a row, or the field that names other columns."""
        text = json.dumps("...")
        values = {"label": "1.5" if self.task is Task.REGRESSION else text}
        values |= dict.fromkeys(("tokens", "tags"), json.dumps(["..."]))
        values["answers"] = '{"text": ["..."], "answer_start": [17]}'
        needed = [name for name in self.task.columns if name not in OPTIONAL]
        shown = ", ".join(f"{json.dumps(self._column(name))}: {values.get(name, text)}" for name in needed)
        return f"use {{{shown}}}, or name the columns in dataset.fields"

    def __call__(self, record: Record) -> Taken[Sample]:
        """The sample of a record.

        Raises:
            ConfigError: it is none; the message names file and line.
        """
        row, replaced = whole_characters(record.value)
        if not isinstance(row, dict):
            raise self._mistake(record, "it is text")
        if self.task is Task.TOKENS:
            return Taken(self._tagged(record, row), record.length, replaced + record.replaced, empty=False)
        if self.task is Task.QUESTIONS:
            asked = self._asked(record, row)
            empty = not all(text.strip() for text in asked.texts)
            return Taken(asked, record.length, replaced + record.replaced, empty)
        texts = [self._text(record, row, name) for name in self.task.columns if name != "label"]
        found = tuple(text for text in texts if text is not None)
        label = self._label(record, row) if "label" in self.task.columns else None
        if self.task is Task.TEXT2TEXT and not found[-1].strip():
            raise self._mistake(
                record, f"its {self._column('target')} is empty, so there is nothing to learn"
            )
        sample = Sample(found, record.where, label)
        return Taken(sample, record.length, replaced + record.replaced, not found[0].strip())

    def _tagged(self, record: Record, row: dict[str, Any]) -> Sample:
        words, tags = (self._listed(record, row, name) for name in self.task.columns)
        if len(words) != len(tags):
            raise self._mistake(record, f"it has {len(words)} words and {len(tags)} tags")
        if wrong := next((word for word in words if not isinstance(word, str) or not word.strip()), None):
            raise self._mistake(record, f"{ascii(wrong)[:40]} is no word")
        named = [_class(tag) for tag in tags]
        if None in named:
            tag = tags[named.index(None)]
            raise self._mistake(record, f"{ascii(tag)[:40]} is no tag, which is a text or a whole number")
        return Sample(tuple(words), record.where, tuple(str(name) for name in named))

    def _asked(self, record: Record, row: dict[str, Any]) -> Sample:
        texts = tuple(self._text(record, row, name) or "" for name in ("question", "context"))
        try:
            answers = answers_of(row, self.named.get("answers"), texts[1])
        except ValueError as error:
            raise self._mistake(record, str(error)) from None
        return Sample(texts, record.where, answers=answers)

    def _listed(self, record: Record, row: dict[str, Any], name: str) -> list[Any]:
        column = self._column(name)
        value = row.get(column)
        if isinstance(value, str) and value.lstrip().startswith("["):  # a column of a table
            try:
                value = json.loads(value)
            except ValueError:
                raise self._mistake(record, f"its {column} is no JSON") from None
        if not isinstance(value, list) or not value:
            raise self._mistake(record, self._instead(row, column, "list with something in it"))
        return value

    def _column(self, name: str) -> str:
        return self.named.get(name, self.task.columns[name])

    def _text(self, record: Record, row: dict[str, Any], name: str) -> str | None:
        column = self._column(name)
        value = row.get(column)
        if value is None and name in OPTIONAL and name not in self.named:
            return None
        if isinstance(value, str):
            return value
        raise self._mistake(record, self._instead(row, column, "text"))

    def _label(self, record: Record, row: dict[str, Any]) -> str | float:
        column = self._column("label")
        value = row.get(column)
        if self.task is Task.REGRESSION:
            number = _number(value)
            if number is None:
                raise self._mistake(record, self._instead(row, column, "finite number"))
            return number
        name = _class(value)
        if name is None:
            raise self._mistake(
                record, self._instead(row, column, "class, which is a text or a whole number")
            )
        if len(name) > LONGEST_CLASS:
            raise self._mistake(
                record, f"its {column} has {len(name)} characters, and a class has {LONGEST_CLASS} at most"
            )
        return name

    def _instead(self, row: dict[str, Any], column: str, wanted: str) -> str:
        if column not in row:
            return f"it has no {column}, but {listed(row) or 'no field'}"
        value = row[column]
        shown = f" {ascii(value)[:40]}" if isinstance(value, str | int | float) else ""
        return f"its {column} is {kind_of(value)}{shown}, and no {wanted}"

    def _mistake(self, record: Record, found: str) -> ConfigError:
        return ConfigError(f"{record.where} is no row with {self.asked}: {found}", self.fix)


def _class(value: Any) -> str | None:
    """The name of a class; None where it is none. Tables may hold whole numbers as 1.0."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """A number that fp32 has; None where it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST and math.isfinite(value) else None
