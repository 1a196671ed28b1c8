"""From the signatures of all documents to those that are dropped.

The first of equal documents stays, in the order of the job's sources and files. It depends on the documents
and nothing else. In memory are a byte for each document, 16 for each pair that is found in a band, and what
`PART` documents take while they are sorted, about 110 bytes each; signatures stay on the disk.

Near copies: documents meet in bands of `ROWS` values each (locality-sensitive hashing); those that meet are
compared by all their values. A document is dropped when it is as similar as asked to one that stays: not to
one that is dropped itself, so that no chain leads from one text to quite another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .signatures import EXACT, NEAR, PERMUTATIONS

PART = 1 << 21
"""Documents that are sorted at once."""
PAIRS = 1 << 15
"""Pairs that are compared at once."""
LEADERS = 16
"""Different documents of a bucket that others of it are compared with."""
ROWS = {0.5: 3, 0.65: 4, 0.75: 6, 0.9: 8}
"""Values in a band from which similarity on; all 128 make 42 to 16 bands. A pair exactly as similar as asked
meets with probability 1 - (1 - s^rows)^bands: 0.996 at 0.5, 0.998 at 0.65, 0.998 at 0.8, 0.9999 at 0.9."""


class Signatures:
    """The signatures of all documents, in files.

    Args:
        files: one after another.
        near: whether they have a MinHash.
    """

    def __init__(self, files: Sequence[Path], *, near: bool) -> None:
        kind = NEAR if near else EXACT
        self._parts = [
            np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind) for path in files
        ]
        self.counts = [len(part) for part in self._parts]
        self._first = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._first[-1])

    def parts(self) -> Iterator[tuple[int, Any]]:
        """Pieces of all signatures, each with the number of its first document."""
        for first, part in zip(self._first, self._parts, strict=False):
            for start in range(0, len(part), PART):
                yield int(first) + start, part[start : start + PART]

    def near(self, numbers: Any) -> Any:
        """The MinHash of documents [count, PERMUTATIONS]."""
        found = np.empty((len(numbers), PERMUTATIONS), np.uint16)
        files = np.searchsorted(self._first, numbers, "right") - 1
        for file in np.unique(files):
            chosen = files == file
            found[chosen] = self._parts[file]["near"][numbers[chosen] - self._first[file]]
        return found


def copies(signatures: Signatures, similarity: float | None) -> Any:
    """Which documents are dropped [documents].

    Args:
        signatures: of all documents.
        similarity: of near copies; None for exact copies alone.
    """
    dropped = np.zeros(len(signatures), bool)
    for numbers, starts in _groups(signatures, "exact", dropped):
        again = np.ones(len(numbers), bool)
        again[starts] = False
        dropped[numbers[again]] = True
    if similarity is not None:
        _drop_near(signatures, similarity, dropped)
    return dropped


def _drop_near(signatures: Signatures, similarity: float, dropped: Any) -> None:
    rows = next(count for bound, count in sorted(ROWS.items(), reverse=True) if similarity >= bound)
    found = [
        pairs
        for band in range(PERMUTATIONS // rows)
        for numbers, starts in _groups(signatures, slice(band * rows, (band + 1) * rows), dropped)
        for pairs in _similar(signatures, numbers, starts, similarity)
    ]
    if not found:
        return
    pairs = np.unique(np.concatenate(found), axis=0)
    kept: dict[int, int] = {}
    for later, earlier in pairs.tolist():
        if dropped[later]:
            continue
        # one that was dropped stands for the one that it is a copy of
        stays = kept.get(earlier, earlier)
        if stays == earlier or _are_similar(signatures, later, stays, similarity):
            dropped[later] = True
            kept[later] = stays


def _are_similar(signatures: Signatures, one: int, other: int, similarity: float) -> bool:
    first, second = signatures.near(np.array([one, other]))
    return float((first == second).mean()) >= similarity


def _groups(signatures: Signatures, key: str | slice, dropped: Any) -> Iterator[tuple[Any, Any]]:
    """Documents that share a key and are not dropped, part by part.

    Yields:
        Numbers of the documents that have others with their key, in order of key and then number, and where
        each key begins.
    """
    parts = max(1, -(-len(signatures) // PART))
    for part in range(parts):
        held = [_chosen(block, first, key, dropped, part, parts) for first, block in signatures.parts()]
        if not held:
            continue
        keys, numbers = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        keys, numbers = keys[order], numbers[order]
        new = np.ones(len(keys), bool)
        new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        alone = new & np.append(new[1:], True)
        numbers, new = numbers[~alone], new[~alone]
        if len(numbers):
            yield numbers, np.flatnonzero(new)


def _chosen(block: Any, first: int, key: str | slice, dropped: Any, part: int, parts: int) -> tuple[Any, Any]:
    here = ~dropped[first : first + len(block)]
    if isinstance(key, str):
        values = block[key]
        low, high = values[:, 0], values[:, 1]
    else:
        here = here & (block["long"] == 1)
        low, high = _folded(block["near"][:, key])
    here = here & (low % np.uint64(parts) == np.uint64(part))
    return np.stack([low[here], high[here]], axis=1), first + np.flatnonzero(here)


def _folded(values: Any) -> tuple[Any, Any]:
    """Two numbers for the values of a band: all their bits where there are eight of them or fewer."""
    wide = np.zeros((len(values), 2), np.uint64)
    for place in range(values.shape[1]):
        half = place // 4 % 2
        wide[:, half] = wide[:, half] * np.uint64(0x9E3779B97F4A7C15 if place >= 8 else 1 << 16) + values[
            :, place
        ].astype(np.uint64)
    return wide[:, 0], wide[:, 1]


def _similar(signatures: Signatures, numbers: Any, starts: Any, similarity: float) -> Iterator[Any]:
    """Pairs of a bucket, the later first, that are as similar as asked: all others with the first, then those
    that are not similar to it with their first, and so on."""
    group = np.zeros(len(numbers), np.int64)
    group[starts] = 1
    group = np.cumsum(group)
    for _ in range(LEADERS):
        new = np.ones(len(group), bool)
        new[1:] = group[1:] != group[:-1]
        leaders = numbers[np.maximum.accumulate(np.where(new, np.arange(len(group)), 0))]
        others = np.flatnonzero(~new)
        close = np.zeros(len(group), bool)
        for start in range(0, len(others), PAIRS):
            chosen = others[start : start + PAIRS]
            equal = signatures.near(numbers[chosen]) == signatures.near(leaders[chosen])
            close[chosen] = equal.mean(axis=1) >= similarity
        if close.any():
            yield np.stack([numbers[close], leaders[close]], axis=1)
        left = ~new & ~close
        numbers, group = numbers[left], group[left]
        if not len(numbers):
            return
