"""What a task takes of the records of files, up to a limit, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import IO, Generic, TypeVar

from ...errors import ConfigError
from .blocks import block_length, blocks
from .compression import DAMAGED, unpacked
from .counts import ReadCounts
from .csv_rows import rows_of_csv
from .decoding import Decoder, too_many
from .forms import TEXTS, Form, unreadable
from .json_rows import rows_of_json, rows_of_lines
from .limits import evenly, in_order
from .parquet_rows import rows_of_parquet
from .record import Record, Take
from .survey import DataFile

Item = TypeVar("Item")

MISSES = 100
"""After so many rows one after another that no longer fit, the rest of a file is not looked at."""
COMPRESSION = 4
"""Bytes of text that are expected of a byte of a compressed file, or of a table that packs its columns."""
_ROWS = {Form.LINES: rows_of_lines, Form.JSON: rows_of_json, Form.CSV: rows_of_csv}

Progress = Callable[[int], None]
"""Told how many bytes of the files have been passed since the last call."""


def no_progress(_: int) -> None:
    """Report no progress: nobody waits for this reader."""


class Reader(Generic[Item]):
    """Reads files one after another.

    A limit is shared between them, so that none hides the others; what one does not use, later ones may.

    Args:
        files: in their order.
        limit: bytes of text in all; None for all there is.
        counts: is filled.
        take: what is taken of each record.
        library: whether the files are a program's: the first ones are read, each as one document.
        progress: see `Progress`.
    """

    def __init__(
        self,
        files: Sequence[DataFile],
        limit: int | None,
        counts: ReadCounts,
        take: Take[Item],
        *,
        library: bool = False,
        progress: Progress = no_progress,
    ) -> None:
        self._files, self._limit, self._counts, self._progress = files, limit, counts, progress
        self._take = take
        sizes = [file.size * (COMPRESSION if is_packed(file) else 1) for file in files]
        self._allowed = (in_order if library else evenly)(sizes, limit)
        self._length = (1 << 62) if library else block_length(sum(self._allowed))
        self._left = 0 if limit is None else limit - sum(self._allowed)

    def items(self) -> Iterator[Item]:
        """What is taken of all records that are not empty.

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
        is_one = file.form in TEXTS and not file.compression and file.size <= self._length
        return self._left <= 0 or (is_one and file.size > self._left)

    def _count_cut(self, not_read: int) -> None:
        self._counts.files_cut += 1
        self._counts.bytes_not_read += not_read

    def _file(self, file: DataFile) -> Iterator[Item]:
        decoder = Decoder(file.name)
        try:
            with file.path.open("rb") as raw, unpacked(raw, file.compression) as stream:
                yield from self._fitting(file, self._records(file, decoder, raw, stream), decoder, raw)
        except (OSError, *DAMAGED) as error:
            raise unreadable(file.name, error) from None
        finally:
            self._count_replaced(file.name, decoder.replaced, decoder.first)

    def _records(
        self, file: DataFile, decoder: Decoder, raw: IO[bytes], stream: IO[bytes]
    ) -> Iterator[Record]:
        if file.form is Form.PARQUET:
            yield from self._table(file, stream)
            return
        chunks = self._watched(file, decoder, raw, stream)
        if file.form in _ROWS:
            yield from _ROWS[file.form](chunks, file.name, self._take)
        else:
            yield from (Record(text, file.name, 0, "", len(text)) for text in blocks(chunks, self._length))

    def _table(self, file: DataFile, stream: IO[bytes]) -> Iterator[Record]:
        passed = 0
        for record in rows_of_parquet(stream, file.name, self._take):
            step = min(record.length, file.size - passed)
            self._progress(step)
            passed += step
            yield record
        self._progress(file.size - passed)

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
