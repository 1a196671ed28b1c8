"""Where signatures lie, and what was decided about each document, beside the tokens of the same set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....files import fsync_file, read_json, write_json
from .decision import Signatures, copies

DECIDED = "duplicates.json"


def signatures_file(folder: Path, name: str) -> Path:
    """The signatures of a unit's documents."""
    return folder / f"unit-{name}.signatures"


def copies_file(folder: Path, name: str) -> Path:
    """One byte for each document of a unit: 1 for one that is a copy, and dropped."""
    return folder / f"unit-{name}.copies"


def decided(folder: Path, names: Sequence[str]) -> bool:
    """Whether it was decided about all documents of these units."""
    counts = (read_json(folder / DECIDED) or {}).get("documents")
    if not isinstance(counts, dict) or list(counts) != list(names):
        return False
    files = (copies_file(folder, name) for name in names)
    sizes = [file.stat().st_size if file.is_file() else None for file in files]
    return sizes == list(counts.values())


def decide(folder: Path, names: Sequence[str], similarity: float | None) -> int:
    """Decide about all documents, from the signatures of all units.

    Args:
        folder: of both.
        names: of the units, in order.
        similarity: of near copies; None for exact ones alone.

    Returns:
        How many are dropped.
    """
    found = Signatures([signatures_file(folder, name) for name in names], near=similarity is not None)
    dropped, first = copies(found, similarity).astype(np.uint8), 0
    for name, count in zip(names, found.counts, strict=True):
        path = copies_file(folder, name)
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        dropped[first : first + count].tofile(partial)
        fsync_file(partial)
        partial.replace(path)
        first += count
    write_json(folder / DECIDED, {"documents": dict(zip(names, found.counts, strict=True))})
    return int(dropped.sum())


def read_copies(folder: Path, name: str) -> Any:
    """Whether each document of a unit is a copy [documents]."""
    return np.fromfile(copies_file(folder, name), np.uint8).astype(bool)


def forget_signatures(folder: Path, names: Sequence[str]) -> None:
    """Delete what nobody needs once all is decided."""
    for name in names:
        signatures_file(folder, name).unlink(missing_ok=True)
