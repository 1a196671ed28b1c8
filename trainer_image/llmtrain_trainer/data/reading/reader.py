"""What a task takes of the records of files, up to a limit, and what was counted on the way."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Generic, TypeVar, cast

from ...errors import ConfigError
from ...git_lfs import LONGEST, require_content
from .blocks import blocks
from .compression import DAMAGED, unpacked
from .counts import ReadCounts
from .csv_rows import rows_of_csv
from .decoding import Decoder, too_many
from .forms import TEXTS, Form, unreadable
from .json_rows import rows_of_json, rows_of_lines
from .limits import evenly, in_order
from .parquet_rows import rows_of_parquet
from .pieces import Piece, Window, border, lines_before
from .record import Record, Take
from .survey import DataFile

Item = TypeVar("Item")

MISSES = 100
"""After so many rows one after another that no longer fit, the rest of a file is not looked at."""
COMPRESSION = 4
"""Bytes of text that are expected of a byte of a compressed file, or of a table that packs its columns."""
_ROWS = {Form.JSON: rows_of_json, Form.CSV: rows_of_csv}

Progress = Callable[[int], None]
"""Told how many bytes of the files have been passed since the last call."""


def no_progress(_: int) -> None:
    """Report no progress: nobody waits for this reader."""


@dataclass(frozen=True)
class Bounds:
    """How far is read.

    Attributes:
        length: characters of a document of plain text at most.
        limit: bytes of text in all; None for all there is.
        first: whether the first files are read whole when there is a limit, instead of some of each.
    """

    length: int
    limit: int | None = None
    first: bool = False


class Reader(Generic[Item]):
    """Reads pieces of files one after another.

    A limit is shared between them, so that none hides the others; what one does not use, later ones may.

    Args:
        pieces: in their order.
        bounds: how far is read.
        counts: is filled.
        take: what is taken of each record.
        progress: see `Progress`.
        exact: whether lines of the file before a piece are counted, for messages.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        bounds: Bounds,
        counts: ReadCounts,
        take: Take[Item],
        *,
        progress: Progress = no_progress,
        exact: bool = False,
    ) -> None:
        self._pieces, self._limit, self._counts, self._progress = pieces, bounds.limit, counts, progress
        self._take, self._exact, self._length = take, exact, bounds.length
        sizes = text_sizes(pieces)
        self._allowed = (in_order if bounds.first else evenly)(sizes, bounds.limit)
        self._left = 0 if bounds.limit is None else bounds.limit - sum(self._allowed)

    def items(self) -> Iterator[Item]:
        """What is taken of all records that are not empty.

        Raises:
            ConfigError: a file that cannot be read, or that is not what its name says.
        """
        counts = self._counts
        for piece, allowed in zip(self._pieces, self._allowed, strict=True):
            self._left += allowed
            counts.bytes_total += piece.size
            if self._limit is not None and self._cannot_fit(piece.file):
                self._count_cut(piece.size)
                self._progress(piece.size)
            else:
                counts.files += piece.start == 0
                yield from self._piece(piece)

    def _cannot_fit(self, file: DataFile) -> bool:
        """Whether nothing is left, or the file is one document that is too long: then it is not opened."""
        is_one = file.form in TEXTS and not file.compression and file.size <= self._length
        return self._left <= 0 or (is_one and file.size > self._left)

    def _count_cut(self, not_read: int) -> None:
        self._counts.files_cut += 1
        self._counts.bytes_not_read += not_read

    def _piece(self, piece: Piece) -> Iterator[Item]:
        file = piece.file
        try:
            with file.path.open("rb") as raw:
                if file.size < LONGEST:
                    require_content(raw.read(LONGEST), file.name)
                    raw.seek(0)
                if piece.is_part and file.form is not Form.PARQUET:
                    yield from self._part(piece, raw)
                    return
                with unpacked(raw, file.compression) as stream:
                    yield from self._stream(piece, Decoder(file.name), raw, stream, 0)
        except (OSError, *DAMAGED) as error:
            raise unreadable(file.name, error) from None

    def _part(self, piece: Piece, raw: IO[bytes]) -> Iterator[Item]:
        file = piece.file
        ends = (piece.start, file.size if piece.end is None else piece.end)
        start, end = (border(raw, at, file.size, file.form) for at in ends)
        lines = lines_before(raw, start) if self._exact else None if start else 0
        raw.seek(start)
        stream = cast("IO[bytes]", io.BufferedReader(Window(raw, max(0, end - start)), 1 << 16))
        yield from self._stream(piece, Decoder(file.name, start, lines), raw, stream, lines or 0)

    def _stream(
        self, piece: Piece, decoder: Decoder, raw: IO[bytes], stream: IO[bytes], lines: int
    ) -> Iterator[Item]:
        try:
            yield from self._fitting(
                piece.file, self._records(piece, decoder, raw, stream, lines), decoder, raw
            )
        finally:
            self._count_replaced(piece.file.name, decoder.replaced, decoder.first)

    def _records(
        self, piece: Piece, decoder: Decoder, raw: IO[bytes], stream: IO[bytes], lines: int
    ) -> Iterator[Record]:
        file = piece.file
        if file.form is Form.PARQUET:
            yield from self._table(piece, stream)
            return
        chunks = self._watched(piece, decoder, raw, stream)
        if file.form is Form.LINES:
            yield from rows_of_lines(chunks, file.name, self._take, lines)
        elif file.form in _ROWS:
            yield from _ROWS[file.form](chunks, file.name, self._take)
        else:
            yield from (Record(text, file.name, 0, "", len(text)) for text in blocks(chunks, self._length))

    def _table(self, piece: Piece, stream: IO[bytes]) -> Iterator[Record]:
        passed = 0
        groups = None if piece.end is None else range(piece.start, piece.end)
        for record in rows_of_parquet(stream, piece.file.name, self._take, groups):
            step = min(record.length, piece.size - passed)
            self._progress(step)
            passed += step
            yield record
        self._progress(piece.size - passed)

    def _watched(self, piece: Piece, decoder: Decoder, raw: IO[bytes], stream: IO[bytes]) -> Iterator[str]:
        reported = 0
        try:
            for chunk in decoder.chunks(stream):
                now = min(piece.size, max(0, raw.tell() - piece.start))
                self._progress(now - reported)
                reported = now
                yield chunk
        finally:
            self._progress(piece.size - reported)

    def _fitting(
        self, file: DataFile, records: Iterator[Record], decoder: Decoder, raw: IO[bytes]
    ) -> Iterator[Item]:
        """What the limit allows."""
        passed, missed, cut = 0, 0, False
        for record in records:
            taken = self._take(record)
            self._count_replaced(record.where, taken.replaced, "")
            fits = self._limit is None or taken.size <= self._left
            if taken.empty:
                self._counts.empty += 1
            elif fits:
                self._left -= taken.size
                yield taken.item
            if fits:
                passed, missed = passed + record.length, 0
                continue
            cut, missed = True, missed + 1
            if missed == MISSES or file.form in TEXTS:
                break
        if cut:
            self._count_cut(max(0, file.size - round(passed * _on_disk(file, decoder, raw))))

    def _count_replaced(self, name: str, count: int, where: str) -> None:
        if count and not self._counts.first_replaced:
            self._counts.first_replaced = f"{name} {where}".rstrip()
        self._counts.replaced += count


def _on_disk(file: DataFile, decoder: Decoder, raw: IO[bytes]) -> float:
    """Bytes of the file that its records took for each of their length, so far."""
    if file.form is Form.PARQUET:
        return 1.0
    return raw.tell() / max(1, decoder.fetched) * decoder.consumed / max(1, decoder.characters)


def is_packed(file: DataFile) -> bool:
    """Whether its text is longer than the file."""
    return bool(file.compression) or file.form is Form.PARQUET


def text_sizes(pieces: Sequence[Piece]) -> list[int]:
    """Bytes of text that are expected of each piece."""
    return [piece.size * (COMPRESSION if is_packed(piece.file) else 1) for piece in pieces]


def require_text(counts: ReadCounts) -> None:
    """Few of all characters may be replaced ones.

    Raises:
        ConfigError: there are so many that the text must be something else.
    """
    if too_many(counts.replaced, counts.bytes_total):
        raise ConfigError(
            f"{counts.replaced} characters in {counts.bytes_total} bytes are no text, the first in "
            f"{counts.first_replaced}",
            "convert the files to UTF-8 (iconv -f ITS-ENCODING -t utf-8)",
        )
