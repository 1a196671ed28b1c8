"""Ranges of a weight out of pieces that were cut another way: only the numbers that are asked for are read.

A weight is looked at as a matrix whose columns are what a tensor-parallel cut divides: the dimensions before
the cut are its rows, the others its columns. A shard has all rows and some columns; a rank of ZeRO has some
of a shard's numbers in the order of its rows. Without a cut there is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """What a rank holds of a weight.

    Attributes:
        whole: shape of the whole model's weight.
        own: shape of this rank's shard, which is the whole one where no tensor-parallel rank cuts it.
        rank: of the tensor-parallel group.
        start: the first number of the shard that is held.
        stop: the one after the last.
    """

    whole: Shape
    own: Shape
    rank: int
    start: int
    stop: int


@dataclass(frozen=True)
class Shard:
    """What one tensor-parallel rank, or stage, saved of a weight.

    Attributes:
        shape: of it.
        pieces: its numbers in the order of its rows, in as many pieces as ranks had them.
    """

    shape: Shape
    pieces: Sequence[torch.Tensor]


def cut_at(whole: Shape, shard: Shape) -> int | None:
    """The dimension that a shard is shorter in; None where it is the whole.

    Raises:
        ValueError: it differs in more than one dimension, or in their number.
    """
    if len(whole) != len(shard):
        raise ValueError(f"{shard} is no shard of {whole}")
    found = [at for at, (size, own) in enumerate(zip(whole, shard, strict=True)) if size != own]
    if len(found) > 1:
        raise ValueError(f"{shard} is no shard of {whole}")
    return found[0] if found else None


Need = Callable[[torch.Tensor], None]
"""Called with each part of a piece before it is read."""


def read_range(
    wanted: Wanted, shards: Sequence[Shard], need: Need = lambda _: None
) -> tuple[torch.Tensor, int]:
    """The numbers that are wanted, flat, and how many numbers were read for them.

    Args:
        wanted: which.
        shards: of all tensor-parallel ranks, in their order; one where the weight is whole.
        need: sees to it that a part is there.

    Raises:
        ValueError: the shards are not that weight.
    """
    there, here = cut_at(wanted.whole, shards[0].shape), cut_at(wanted.whole, wanted.own)
    if there is not None and here is not None and there != here:
        raise ValueError(f"one layout cuts dimension {there}, the other {here}")
    at = next((one for one in (here, there) if one is not None), 0)
    columns, width = prod(wanted.whole[at:]), prod(wanted.own[at:])
    if there is not None and sum(prod(one.shape[at:]) for one in shards) != columns:
        raise ValueError(f"its shards do not make {wanted.whole}")
    if wanted.start >= wanted.stop:
        return shards[0].pieces[0][:0], 0
    first, last = wanted.start // width, -(-wanted.stop // width)
    left = wanted.rank * width if here is not None else 0
    inside = wanted.start - first * width
    if last - first == 1:  # of one row only a part may be wanted
        left, width, inside = left + inside, wanted.stop - wanted.start, 0
    out = torch.empty(last - first, width, dtype=shards[0].pieces[0].dtype)
    begin = 0
    for shard in shards if there is not None else shards[:1]:
        size = prod(shard.shape[at:])
        low, high = max(left, begin), min(left + width, begin + size)
        if low < high:
            _fill(out[:, low - left : high - left], shard.pieces, size, first, low - begin, need)
        begin += size
    return out.flatten()[inside : inside + wanted.stop - wanted.start], out.numel()


def _fill(
    out: torch.Tensor, pieces: Sequence[torch.Tensor], width: int, first: int, left: int, need: Need
) -> None:
    """Copy a rectangle of a shard.

    Args:
        out: what is filled: rows from ``first`` on, columns from ``left`` on.
        pieces: the shard's numbers.
        width: of its rows.
        first: row.
        left: column.
        need: see `read_range`.
    """
    start = 0
    for piece in pieces:
        low, high = max(start, first * width), min(start + piece.numel(), (first + len(out)) * width)
        while low < high:
            row, column = divmod(low, width)
            rows = (high - low) // width if not column else 0
            end = low + rows * width if rows else min(high, (row + 1) * width)
            found = piece[low - start : end - start].view(max(1, rows), -1)
            a, b = max(left, column), min(left + out.shape[1], column + found.shape[1])
            if a < b:
                part = found[:, a - column : b - column]
                need(part)
                out[row - first : row - first + len(found), a - left : b - left].copy_(part)
            low = end
        start += piece.numel()
