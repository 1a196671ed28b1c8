"""Documents to rows of fixed length, source after source, and which held-out rows are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmtrain_api.schema.mixture_shares import apportioned

Ids = npt.NDArray[Any]


@dataclass(frozen=True)
class Written:
    """What one source came to."""

    documents: int
    rows: int


class Rows(Protocol):
    """Rows of token ids, by their number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Ids: ...


class OfSources:
    """What all sources came to, from what each did."""

    sources: list[Written]

    @property
    def rows(self) -> int:
        """Rows of all sources."""
        return sum(source.rows for source in self.sources)

    @property
    def documents(self) -> int:
        """Documents of all sources."""
        return sum(source.documents for source in self.sources)


@dataclass(frozen=True)
class Side(OfSources):
    """The rows of one side of the split, those of the sources one after another.

    Attributes:
        view: the rows.
        sources: what each source came to.
        length: tokens of a row.
        dtype: of the ids.
        columns: of a row, where it has more than its tokens.
        own_tokens: of all rows, where they are filled up.
    """

    view: Rows
    sources: list[Written]
    length: int
    dtype: np.dtype[Any]
    columns: int | None = None
    own_tokens: int | None = None

    @property
    def tokens_a_row(self) -> float:
        """Tokens of a row, on average where rows are filled up."""
        return self.length if self.own_tokens is None else self.own_tokens / max(1, self.rows)

    def take(self, chosen: Iterable[int]) -> Ids:
        """Some rows, in memory."""
        found = [self.view[at] for at in chosen]
        return np.stack(found) if found else np.zeros((0, self.columns or self.length), self.dtype)


class SequenceWriter(OfSources):
    """Joins documents with an end token between them and writes them as rows of fixed length.

    Attributes:
        sources: what each source that has ended came to; their rows lie one after another.
        highest: the largest token id so far.
    """

    def __init__(self, path: Path, length: int, dtype: str, eos: int) -> None:
        self.path, self.length, self.dtype, self.eos = path, length, np.dtype(dtype), eos
        self.sources: list[Written] = []
        self.highest = 0
        self._rows = self._documents = 0
        self._rest: Ids = np.zeros(0, self.dtype)
        self._file = path.open("wb")

    def add(self, ids: Iterable[int] | Ids) -> None:
        """Append one document."""
        whole_ids = np.append(np.asarray(ids, np.int64), self.eos)
        self.highest = max(self.highest, int(whole_ids.max()))
        document = whole_ids.astype(self.dtype)
        joined = np.concatenate([self._rest, document])
        whole = len(joined) // self.length * self.length
        self._file.write(joined[:whole].tobytes())
        self._rest = joined[whole:]
        self._rows += whole // self.length
        self._documents += 1

    def end_source(self) -> None:
        """End a source: no row has tokens of two. What does not fill a row is dropped."""
        self.sources.append(Written(self._documents, self._rows))
        self._rows = self._documents = 0
        self._rest = self._rest[:0]

    def side(self) -> Side:
        """Finish the file; its rows and what they came to."""
        return Side(self.close(), list(self.sources), self.length, self.dtype)

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def close(self) -> Ids:
        """Finish the file and map it."""
        self._file.close()
        if not self.rows:
            return np.zeros((0, self.length), self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(self.rows, self.length))


@contextmanager
def closed_if_it_fails(writers: Sequence[SequenceWriter]) -> Iterator[None]:
    """Leave no file open where what is written turns out to be of no use."""
    try:
        yield
    except BaseException:
        for writer in writers:
            writer.abandon()
        raise


def held_out_counts(rows: Sequence[int], parts: Sequence[int], most: int) -> list[int]:
    """How many held-out rows of each source are used: in proportion to the parts, at least 1 where there is
    one.

    As many as the source that runs out first allows: the loss over them is that of the mixture, not of its
    longest source.

    Args:
        rows: held-out rows of each source.
        parts: of each source in a block of the order.
        most: rows in all at most, not below the number of sources.
    """
    present = [number for number, count in enumerate(rows) if count]
    if not present:
        return [0] * len(rows)
    weights = [parts[number] for number in present]
    allowed = min(rows[number] * sum(weights) // parts[number] for number in present)
    total = max(min(most, allowed), len(present))
    used = dict(zip(present, apportioned(weights, total), strict=True))
    return [used.get(number, 0) for number in range(len(rows))]


def spread(rows: Sequence[int], counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """Which rows are used: spread evenly over each source, so that they are not one document's.

    Args:
        rows: of each source; they lie one after another.
        counts: how many of each.
    """
    first, chosen = 0, []
    for all_rows, count in zip(rows, counts, strict=True):
        chosen.append(first + np.linspace(0, all_rows - 1, count).astype(np.int64))
        first += all_rows
    return np.concatenate(chosen)
