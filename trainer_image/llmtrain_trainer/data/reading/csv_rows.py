"""Rows of comma- or tab-separated values, as spreadsheets and programs save them (RFC 4180)."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...errors import ConfigError
from .json_rows import LONGEST_ROW, lines
from .record import Record, Take, hint_of_task, listed

DELIMITERS = ",;\t|"
QUOTING_FIX = 'write a field with quotes, delimiters or line ends as "...", and a quote in it as ""'
_SAID = "sep="
"""How a spreadsheet says the delimiter, in a line before the header."""


def rows_of_csv(chunks: Iterator[str], name: str, take: Take[Any]) -> Iterator[Record]:
    """The row of each record, by the names in the first line.

    Raises:
        ConfigError: no header with the columns that are wanted, a row of another length, or wrong quotes.
    """
    csv.field_size_limit(LONGEST_ROW)
    numbered = lines(chunks, name)
    first = next((line for line in numbered if line[1].strip("\ufeff \t\r")), None)
    if first is None:
        return
    said = first[1].strip().lower()
    if said.startswith(_SAID) and len(said) == len(_SAID) + 1:
        delimiter, before = said[-1], first[0]
    else:
        delimiter, before = delimiter_of(first[1], name), first[0] - 1
        numbered = itertools.chain([first], numbered)
    held = _Lines(numbered)
    table = csv.reader(held, delimiter=delimiter, strict=True)
    header: list[str] | None = []
    while not header:
        header = _next(table, name, before)
        if header is None:
            return
    columns = _columns(header, name, take)
    while True:
        at = before + table.line_num + 1
        row = _next(table, name, before)
        if row is None:
            return
        length = held.taken()
        if not row:
            continue
        if len(row) != len(header):
            raise ConfigError(
                f"{name} line {at} has {len(row)} fields, and the header has {len(header)}", QUOTING_FIX
            )
        yield Record({column: row[place] for column, place in columns}, name, at, "line", length)


class _Lines:
    """Lines with their ends, counted in characters."""

    def __init__(self, numbered: Iterator[tuple[int, str]]) -> None:
        self._numbered, self._length = numbered, 0

    def __iter__(self) -> Iterator[str]:
        for _, line in self._numbered:
            self._length += len(line) + 1
            yield line + "\n"

    def taken(self) -> int:
        """Characters since the last call."""
        length, self._length = self._length, 0
        return length


def _next(table: Any, name: str, before: int) -> list[str] | None:
    try:
        row: list[str] | None = next(table, None)
    except csv.Error as error:
        raise ConfigError(
            f"{name} line {before + table.line_num} cannot be read as a row: {error}", QUOTING_FIX
        ) from None
    return row


def _columns(header: list[str], name: str, take: Take[Any]) -> list[tuple[str, int]]:
    names = [column.strip().lstrip("\ufeff") for column in header]
    twice = next((column for column, count in Counter(names).items() if count > 1 and column), None)
    if twice is not None:
        raise ConfigError(f"{name} has two columns that are named {twice!r}", "rename one of them")
    wanted = names if take.columns is None else take.columns
    return [(column, names.index(column)) for column in required(wanted, names, name)]


def required(wanted: tuple[str, ...] | list[str], columns: list[str], name: str) -> list[str]:
    """The columns that are wanted, each of which must be there.

    Args:
        wanted: names.
        columns: that the file has.
        name: of the file.

    Raises:
        ConfigError: one of them is missing; names those that are there.
    """
    missing = next((column for column in wanted if column not in columns), None)
    if missing is not None:
        raise ConfigError(
            f"{name} has no column {missing!r}: its columns are {listed(columns)}{hint_of_task(columns)}",
            "name the column that holds the text in dataset.fields.text, or only the files that have it: "
            "pvc://CLAIM/FOLDER/*.jsonl",
        )
    return list(wanted)


def delimiter_of(header: str, name: str) -> str:
    """What separates the fields of a header: the most frequent candidate outside of quotes."""
    if ".tsv" in name.lower().rpartition("/")[2]:
        return "\t"
    outside = "".join(header.split('"')[::2])
    counts = {one: outside.count(one) for one in DELIMITERS}
    best = max(DELIMITERS, key=lambda one: counts[one])
    return best if counts[best] else ","
