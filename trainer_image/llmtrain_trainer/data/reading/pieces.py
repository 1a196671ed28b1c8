"""Parts of files that are read on their own, whoever reads the others."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

from typing_extensions import override

from .decoding import encoding_of
from .forms import TEXTS, Form
from .parquet_rows import opened, packed_size
from .survey import DataFile

BLANK = re.compile(rb"\n[ \t\r]*\n")
NEAR, FAR = 1 << 16, 1 << 20
"""Bytes in which a blank line, and a line's end, are looked for."""
_LONGEST_CHARACTER = 4
"""Bytes, in UTF-8."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a part of one.

    Attributes:
        file: that it is of.
        start: first byte of the part, or first row group of a table.
        end: the one after the last; None for the end of the file.
        size: bytes on the disk.
    """

    file: DataFile
    start: int
    end: int | None
    size: int

    @property
    def is_part(self) -> bool:
        """Whether it is less than the file."""
        return self.start > 0 or self.end is not None


def whole(file: DataFile) -> Piece:
    """The file as one piece."""
    return Piece(file, 0, None, file.size)


def pieces_of(file: DataFile, most: int, columns: Sequence[str] | None) -> list[Piece]:
    """Parts of a file of about so many bytes; all of it where a part cannot be read alone.

    Args:
        file: that is cut.
        most: bytes of a part.
        columns: of a table that are read; None for all.
    """
    if file.size <= most or file.compression:
        return [whole(file)]
    if file.form is Form.PARQUET:
        return _row_groups(file, most, columns)
    if file.form not in (*TEXTS, Form.LINES):
        return [whole(file)]
    with file.path.open("rb") as raw:
        if encoding_of(raw.read(4))[1] != "utf-8":
            return [whole(file)]
    count = -(-file.size // most)
    at = [file.size * number // count for number in range(count)] + [file.size]
    return [Piece(file, a, b, b - a) for a, b in pairwise(at)]


def _row_groups(file: DataFile, most: int, columns: Sequence[str] | None) -> list[Piece]:
    with file.path.open("rb") as raw:
        table = opened(raw, file.name)
        names = columns or table.schema_arrow.names
        sizes = [packed_size(table.metadata.row_group(n), names) for n in range(table.num_row_groups)]
    ends, held = [], 0
    for group, size in enumerate(sizes):
        held += size
        if held >= most:
            ends.append(group + 1)
            held = 0
    if not ends or ends[-1] < len(sizes):
        ends.append(len(sizes))
    if len(ends) == 1:
        return [whole(file)]
    starts = [0, *ends[:-1]]
    return [
        Piece(file, a, b, file.size * b // len(sizes) - file.size * a // len(sizes))
        for a, b in zip(starts, ends, strict=True)
    ]


def border(file: IO[bytes], at: int, size: int, form: Form) -> int:
    """Where the part begins whose first byte was planned to be ``at``: no line and no character is cut.

    It follows from the file and ``at`` alone, so the part before ends where this one begins.

    Args:
        file: that can be sought in.
        at: the byte that was planned.
        size: of the file.
        form: of the file.
    """
    if at <= 0 or at >= size:
        return min(max(at, 0), size)
    file.seek(at - 1)
    if form is Form.LINES:
        return _after_line(file, at - 1, size)
    text = file.read(FAR)
    blank = BLANK.search(text, 0, NEAR)
    if blank is not None:
        return at - 1 + blank.end()
    line = text.find(b"\n")
    if line >= 0:
        return at + line
    near = text[1 : 1 + _LONGEST_CHARACTER]
    end = at + len(near) if len(near) < _LONGEST_CHARACTER else at
    return next((at + n for n, byte in enumerate(near) if byte & 0xC0 != 0x80), end)


def _after_line(file: IO[bytes], at: int, size: int) -> int:
    while True:
        text = file.read(FAR)
        if not text:
            return size
        found = text.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(text)


class Window(io.RawIOBase):
    """The bytes of a stream up to a place, from where it stands."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def lines_before(file: IO[bytes], at: int) -> int:
    """Lines that end before a byte."""
    file.seek(0)
    count, left = 0, at
    while left > 0 and (text := file.read(min(FAR, left))):
        count += text.count(b"\n")
        left -= len(text)
    return count
