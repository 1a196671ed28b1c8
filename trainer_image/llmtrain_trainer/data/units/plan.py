"""Which parts of a source are prepared on their own. It follows from the files and the job alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmtrain_api.schema.source import PYTHON_STDLIB

from ..reading.blocks import block_length
from ..reading.limits import evenly, in_order
from ..reading.pieces import Piece, pieces_of, whole
from ..reading.reader import Bounds, text_sizes
from ..reading.survey import DataFile

UNIT = 64 << 20
"""Bytes of a unit, about; what a kill costs at most for each process."""


@dataclass(frozen=True)
class Unit:
    """A part of a source.

    Attributes:
        source: its number in the job's list.
        number: in the source.
        pieces: of files, in order.
        bounds: how far they are read.
    """

    source: int
    number: int
    pieces: tuple[Piece, ...]
    bounds: Bounds

    @property
    def name(self) -> str:
        """For its files."""
        return f"{self.source:02}-{self.number:06}"

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(piece.size for piece in self.pieces)

    def identity(self) -> list[object]:
        """All that its content depends on besides the settings of the job."""
        pieces = [[p.file.name, p.file.size, p.file.version, p.start, p.end] for p in self.pieces]
        return [pieces, self.bounds.length, self.bounds.limit, self.bounds.first]


def units_of(
    files: Sequence[DataFile],
    *,
    name: str,
    number: int,
    limit: int | None,
    columns: Sequence[str] | None,
) -> list[Unit]:
    """The units of a source.

    A limit that cuts is shared between all its files: such a source is one unit.

    Args:
        files: in their order.
        name: of the source.
        number: of the source in the job's list.
        limit: bytes of text in all; None for all there is.
        columns: of tables that are read; None for all.
    """
    pieces = [whole(file) for file in files]
    library = name == PYTHON_STDLIB
    sizes = text_sizes(pieces)
    cuts = limit is not None and sum(sizes) > limit
    allowed = sum((in_order if library else evenly)(sizes, limit))
    length = (1 << 62) if library else block_length(allowed)
    if cuts:
        return [Unit(number, 0, tuple(pieces), Bounds(length, limit if cuts else None, library))]
    groups = _grouped(piece for file in files for piece in pieces_of(file, UNIT, columns))
    return [Unit(number, place, tuple(group), Bounds(length)) for place, group in enumerate(groups)]


def _grouped(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    held: list[Piece] = []
    size = 0
    for piece in pieces:
        if held and size + piece.size > UNIT:
            yield held
            held, size = [], 0
        held.append(piece)
        size += piece.size
    if held:
        yield held
