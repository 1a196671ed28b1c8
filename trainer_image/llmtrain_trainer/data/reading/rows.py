"""Texts of JSON: one object a line, or an array of objects, a row at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from .decoding import REPLACEMENT

FIELD = "text"
FIX = 'use {"text": "..."}'
LONGEST_ROW = 32 << 20
"""Characters. A row is held in memory as a whole."""

_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = "\ufeff"
"""A byte order mark; inside of a file where files that begin with one were put together."""
_BLANK = re.compile(rf"[ \t\r\n{_MARK}]*")
_SEPARATOR = re.compile(rf"[ \t\r\n,{_MARK}]*")


def lines(chunks: Iterator[str], name: str) -> Iterator[tuple[int, str]]:
    """The lines of a text and their numbers, ended by a line feed only: JSON may hold all other separators.

    Raises:
        ConfigError: a line that is too long to be held.
    """
    rest: list[str] = []
    held, number = 0, 0
    for chunk in chunks:
        first, *others = chunk.split("\n")
        rest.append(first)
        held += len(first)
        for other in others:
            number += 1
            yield number, "".join(rest)
            rest, held = [other], len(other)
        if held > LONGEST_ROW:
            raise _too_long(name, number + 1)
    if held:
        yield number + 1, "".join(rest)


@dataclass(frozen=True, slots=True)
class Row:
    """One document as it was found.

    Attributes:
        text: the document.
        replaced: characters of it that JSON may spell and that are none.
        length: characters that it takes in the file.
    """

    text: str
    replaced: int
    length: int


def rows_of_lines(chunks: Iterator[str], name: str) -> Iterator[Row]:
    """The row of each line. Blank lines are skipped.

    Raises:
        ConfigError: a line that is no object with a text.
    """
    for number, line in lines(chunks, name):
        row = line.lstrip(_MARK)
        if row.strip():
            yield _row(_parsed(row, name, number), len(line) + 1, name, number)


def rows_of_json(chunks: Iterator[str], name: str) -> Iterator[Row]:
    """The row of each object of an array, or of objects one after another.

    Raises:
        ConfigError: something that is no object with a text.
    """
    for number, value, length in _Values(chunks, name):
        yield _row(value, length, name, number)


def _row(row: Any, length: int, name: str, number: int) -> Row:
    text = row.get(FIELD) if isinstance(row, dict) else None
    if isinstance(text, str):
        # half a surrogate pair is legal JSON, but no character
        text, replaced = (text, 0) if text.isascii() else _SURROGATE.subn(REPLACEMENT, text)
        return Row(text, replaced, length)
    if not isinstance(row, dict):
        found = f"it is {_kind(row)}"
    elif FIELD in row:
        found = f"its {FIELD} is {_kind(row[FIELD])}"
    else:
        fields = ", ".join(sorted(ascii(key)[1:-1] for key in row))
        found = f"it has {fields[:100] or 'no field'}"
    raise ConfigError(f"{name} line {number} is no object with a text: {found}", FIX)


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _parsed(line: str, name: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_json(name, number, error) from None


class _Values:
    """JSON values one after another, or of one array, parsed out of a window on the text."""

    def __init__(self, chunks: Iterator[str], name: str) -> None:
        self._chunks, self._name = chunks, name
        self._window, self._at, self._line, self._ended = "", 0, 1, False
        self._decode = json.JSONDecoder().raw_decode

    def __iter__(self) -> Iterator[tuple[int, Any, int]]:
        """Each value, the line that it begins in, and its length."""
        self._pass(_BLANK)
        array = self._next() == "["
        self._at += array
        while True:
            self._pass(_SEPARATOR)
            if (array and self._next() == "]") or not self._next():
                return
            line = self._line
            yield line, *self._value()

    def _value(self) -> tuple[Any, int]:
        while True:
            try:
                value, end = self._decode(self._window, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended:
                    raise _not_json(self._name, self._line, error) from None
                if len(self._window) - self._at > LONGEST_ROW:
                    raise _too_long(self._name, self._line) from None
                self._grow()
            else:
                length = end - self._at
                self._move(end)
                return value, length

    def _next(self) -> str:
        return self._window[self._at : self._at + 1]

    def _pass(self, pattern: re.Pattern[str]) -> None:
        while True:
            found = pattern.match(self._window, self._at)
            self._move(found.end() if found else self._at)
            if self._ended or self._next():
                return
            self._grow()

    def _move(self, to: int) -> None:
        self._line += self._window.count("\n", self._at, to)
        self._at = to

    def _grow(self) -> None:
        """At least twice as long, so that a long value is not parsed again for each chunk."""
        parts = [self._window[self._at :]]
        wanted = len(parts[0])
        self._at = 0
        for chunk in self._chunks:
            parts.append(chunk)
            wanted -= len(chunk)
            if wanted <= 0:
                break
        else:
            self._ended = True
        self._window = "".join(parts)


def _not_json(name: str, number: int, error: Exception) -> ConfigError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return ConfigError(f"{name} line {number} is no object with a text: it is not JSON ({reason})", FIX)


def _too_long(name: str, number: int) -> ConfigError:
    return ConfigError(
        f"{name} line {number} is a row of more than {LONGEST_ROW >> 20} Mi characters",
        "split it into several rows",
    )
