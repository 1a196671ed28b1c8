"""Rows of JSON: one object a line, or an array of objects, a row at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ...errors import ConfigError
from .record import Record, Take, kind_of, not_a_row

LONGEST_ROW = 32 << 20
"""Characters. A row is held in memory as a whole."""

_MARK = "\ufeff"
"""A byte order mark; inside of a file where files that begin with one were put together."""
_ARRAY = "it is an array, as a .json file holds: name the file so, or put each object on a line of its own"
_BLANK = re.compile(rf"[ \t\r\n{_MARK}]*")
_SEPARATOR = re.compile(rf"[ \t\r\n,{_MARK}]*")


def lines(chunks: Iterator[str], name: str, before: int = 0) -> Iterator[tuple[int, str]]:
    """The lines of a text and their numbers, ended by a line feed only: JSON may hold all other separators.

    Raises:
        ConfigError: a line that is too long to be held.
    """
    rest: list[str] = []
    held, number = 0, before
    for chunk in chunks:
        first, *others = chunk.split("\n")
        rest.append(first)
        held += len(first)
        for other in others:
            number += 1
            yield number, "".join(rest)
            rest, held = [other], len(other)
        if held > LONGEST_ROW:
            raise too_long(name, number + 1)
    if held:
        yield number + 1, "".join(rest)


def rows_of_lines(chunks: Iterator[str], name: str, take: Take[Any], before: int = 0) -> Iterator[Record]:
    """The row of each line. Blank lines are skipped.

    Args:
        chunks: of the text.
        name: of the file.
        take: what is asked of a row.
        before: lines of the file before this text.

    Raises:
        ConfigError: a line that is no object.
    """
    for number, line in lines(chunks, name, before):
        row = line.lstrip(_MARK)
        if row.strip():
            value = _parsed(row, name, number, take)
            if isinstance(value, list):
                raise not_a_row(f"{name} line {number}", _ARRAY, take)
            yield _record(value, len(line) + 1, name, number, take)


def rows_of_json(chunks: Iterator[str], name: str, take: Take[Any]) -> Iterator[Record]:
    """The row of each object of an array, or of objects one after another.

    Raises:
        ConfigError: something that is no object.
    """
    for number, value, length in _Values(chunks, name, take):
        yield _record(value, length, name, number, take)


def _record(row: Any, length: int, name: str, number: int, take: Take[Any]) -> Record:
    if not isinstance(row, dict):
        raise not_a_row(f"{name} line {number}", f"it is {kind_of(row)}", take)
    return Record(row, name, number, "line", length)


def _parsed(line: str, name: str, number: int, take: Take[Any]) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_json(name, number, error, take) from None


class _Values:
    """JSON values one after another, or of one array, parsed out of a window on the text."""

    def __init__(self, chunks: Iterator[str], name: str, take: Take[Any]) -> None:
        self._chunks, self._name, self._take = chunks, name, take
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
                    raise _not_json(self._name, self._line, error, self._take) from None
                if len(self._window) - self._at > LONGEST_ROW:
                    raise too_long(self._name, self._line) from None
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


def _not_json(name: str, number: int, error: Exception, take: Take[Any]) -> ConfigError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return not_a_row(f"{name} line {number}", f"it is not JSON ({reason})", take)


def too_long(name: str, number: int) -> ConfigError:
    """The mistake of a row that cannot be held in memory."""
    return ConfigError(
        f"{name} line {number} is a row of more than {LONGEST_ROW >> 20} Mi characters",
        "split it into several rows",
    )
