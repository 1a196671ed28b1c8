"""The documents of files, up to a limit, and what was counted on the way."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, cast

from ...errors import ConfigError
from .blocks import block_length, blocks
from .counts import ReadCounts
from .decoding import Decoder, too_many
from .forms import Form, unreadable
from .limits import evenly, in_order
from .rows import Row, rows_of_json, rows_of_lines
from .survey import DataFile

MISSES = 100
"""After so many rows one after another that no longer fit, the rest of a file is not looked at."""
COMPRESSION = 4
"""Bytes of text that are expected of a byte of a compressed file."""

Progress = Callable[[int], None]
"""Told how many bytes of the files have been passed since the last call."""


def no_progress(_: int) -> None:
    """Report no progress: nobody waits for this reader."""


class Reader:
    """Reads files one after another.

    A limit is shared between them, so that none hides the others; what one does not use, later ones may.

    Args:
        files: in their order.
        limit: bytes of text in all; None for all there is.
        counts: is filled.
        library: whether the files are a program's: the first ones are read, each as one document.
        progress: see `Progress`.
    """

    def __init__(
        self,
        files: Sequence[DataFile],
        limit: int | None,
        counts: ReadCounts,
        *,
        library: bool = False,
        progress: Progress = no_progress,
    ) -> None:
        self._files, self._limit, self._counts, self._progress = files, limit, counts, progress
        sizes = [file.size * (COMPRESSION if file.compressed else 1) for file in files]
        self._allowed = (in_order if library else evenly)(sizes, limit)
        self._length = (1 << 62) if library else block_length(sum(self._allowed))
        self._left = 0 if limit is None else limit - sum(self._allowed)

    def documents(self) -> Iterator[str]:
        """All documents with a visible character.

        Raises:
            ConfigError: a file that cannot be read, or that is not what its name says.
        """
        counts = self._counts
        for file, allowed in zip(self._files, self._allowed, strict=True):
            self._left += allowed
            counts.bytes_total += file.size
            if self._limit is not None and self._cannot_fit(file):
                self._count_cut(file.size)
                self._progress(file.size)
            else:
                counts.files += 1
                yield from self._file(file)
        if too_many(counts.replaced, counts.bytes_total):
            raise ConfigError(
                f"{counts.replaced} characters in {counts.bytes_total} bytes are no text, the first in "
                f"{counts.first_replaced}",
                "convert the files to UTF-8 (iconv -f ITS-ENCODING -t utf-8)",
            )

    def _cannot_fit(self, file: DataFile) -> bool:
        """Whether nothing is left, or the file is one document that is too long: then it is not opened."""
        is_one = _is_text(file) and not file.compressed and file.size <= self._length
        return self._left <= 0 or (is_one and file.size > self._left)

    def _count_cut(self, not_read: int) -> None:
        self._counts.files_cut += 1
        self._counts.bytes_not_read += not_read

    def _file(self, file: DataFile) -> Iterator[str]:
        decoder = Decoder(file.name)
        try:
            with file.path.open("rb") as raw, _stream(raw, file) as stream:
                yield from self._fitting(file, self._rows(file, decoder, raw, stream), decoder, raw)
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(file.name, error) from None
        finally:
            self._count_replaced(file.name, decoder.replaced, decoder.first)

    def _rows(self, file: DataFile, decoder: Decoder, raw: IO[bytes], stream: IO[bytes]) -> Iterator[Row]:
        chunks = self._watched(file, decoder, raw, stream)
        if file.form is Form.LINES:
            yield from rows_of_lines(chunks, file.name)
        elif file.form is Form.JSON:
            yield from rows_of_json(chunks, file.name)
        else:
            yield from (Row(text, 0, len(text)) for text in blocks(chunks, self._length))

    def _watched(self, file: DataFile, decoder: Decoder, raw: IO[bytes], stream: IO[bytes]) -> Iterator[str]:
        reported = 0
        try:
            for chunk in decoder.chunks(stream):
                now = min(file.size, raw.tell())
                self._progress(now - reported)
                reported = now
                yield chunk
        finally:
            self._progress(file.size - reported)

    def _fitting(
        self, file: DataFile, rows: Iterator[Row], decoder: Decoder, raw: IO[bytes]
    ) -> Iterator[str]:
        """The documents that the limit allows."""
        taken, missed, cut = 0, 0, False
        for row in rows:
            self._count_replaced(file.name, row.replaced, "(half of a character pair)")
            size = len(row.text.encode())
            fits = self._limit is None or size <= self._left
            if not row.text.strip():
                self._counts.empty += 1
            elif fits:
                self._left -= size
                yield row.text
            if fits:
                taken, missed = taken + row.length, 0
                continue
            cut, missed = True, missed + 1
            if missed == MISSES or _is_text(file):
                break
        if cut:
            on_disk = raw.tell() / max(1, decoder.fetched) * decoder.consumed / max(1, decoder.characters)
            self._count_cut(max(0, file.size - round(taken * on_disk)))

    def _count_replaced(self, name: str, count: int, where: str) -> None:
        if count and not self._counts.first_replaced:
            self._counts.first_replaced = f"{name} {where}"
        self._counts.replaced += count


def _stream(raw: IO[bytes], file: DataFile) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(raw)) if file.compressed else raw


def _is_text(file: DataFile) -> bool:
    return file.form in (Form.TEXT, Form.MARKDOWN)
