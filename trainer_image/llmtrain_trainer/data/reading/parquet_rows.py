"""Rows of parquet files, some at a time: of a row group only the pages that are needed are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import ConfigError
from .csv_rows import required
from .decoding import REPLACEMENT
from .record import Record, Take, TakeText

BATCH_ROWS = 64
"""Rows that are held at once; a row may have megabytes."""
BUFFER = 1 << 20
"""Bytes of a column that are read at once."""
LONGEST_FOOTER = 64 << 20


def rows_of_parquet(
    file: IO[bytes], name: str, take: Take[Any], groups: Sequence[int] | None = None
) -> Iterator[Record]:
    """The rows of some row groups, in order.

    Args:
        file: that can be sought in.
        name: of the file.
        take: says which columns are read.
        groups: numbers of row groups; None for all.

    Raises:
        ConfigError: a file that is damaged, or without the columns that are wanted.
    """
    try:
        table = opened(file, name)
        columns = _columns(table.schema_arrow, name, take)
        for group in range(table.num_row_groups) if groups is None else groups:
            first = sum(table.metadata.row_group(before).num_rows for before in range(group))
            size = packed_size(table.metadata.row_group(group), columns)
            yield from _rows(table, name, columns, group, first, size)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ConfigError(
            f"{name} cannot be read as parquet: {_said(error)}", "make or copy it again"
        ) from None


def opened(file: IO[bytes], name: str) -> Any:
    """A parquet file with its footer read.

    Raises:
        ConfigError: no parquet file.
    """
    try:
        return pq.ParquetFile(
            file,
            buffer_size=BUFFER,
            pre_buffer=False,
            thrift_string_size_limit=LONGEST_FOOTER,
            thrift_container_size_limit=LONGEST_FOOTER,
        )
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ConfigError(f"{name} is no parquet file: {_said(error)}", "make or copy it again") from None


def packed_size(group: Any, columns: Sequence[str]) -> int:
    """Bytes that some columns of a row group take in the file."""
    chunks = (group.column(number) for number in range(group.num_columns))
    return sum(
        chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns
    )


def _rows(table: Any, name: str, columns: list[str], group: int, first: int, size: int) -> Iterator[Record]:
    count = max(1, table.metadata.row_group(group).num_rows)
    number = first
    batches = table.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)
    for batch in batches:
        for value, replaced in _values(batch):
            number += 1
            yield Record(value, name, number, "row", -(-size // count), replaced)


def _values(batch: Any) -> Iterator[tuple[dict[str, Any], int]]:
    """Rows, and how many bytes of each were no text."""
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        names = batch.schema.names
        for row in zip(*(_decoded(batch.column(name)) for name in names), strict=True):
            yield dict(zip(names, (text for text, _ in row), strict=True)), sum(bad for _, bad in row)
    else:
        yield from ((row, 0) for row in rows)


def _decoded(column: Any) -> list[tuple[Any, int]]:
    """The values of a column; bytes that are no text are replaced and counted."""
    if not _is_text(column.type):
        return [(value, 0) for value in column.to_pylist()]
    found: list[tuple[Any, int]] = []
    for raw in column.cast(pa.large_binary()).to_pylist():
        if raw is None:
            found.append((None, 0))
            continue
        text = raw.decode("utf-8", "replace")
        own = raw.decode("utf-8", "ignore").count(REPLACEMENT)
        found.append((text, text.count(REPLACEMENT) - own))
    return found


def _columns(schema: Any, name: str, take: Take[Any]) -> list[str]:
    names = required(take.columns or tuple(schema.names), list(schema.names), name)
    if isinstance(take, TakeText):
        for column in names:
            kind = schema.field(column).type
            plain = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not _is_text(plain):
                raise ConfigError(
                    f"{name}: the column {column!r} holds {str(kind)[:100]}, and text is wanted",
                    "name a column of strings in dataset.fields.text, or save this one as strings",
                )
    return names


def _is_text(kind: Any) -> bool:
    return any(asks(kind) for asks in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
