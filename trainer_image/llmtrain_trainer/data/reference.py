"""What the model that training starts from says of each pair: log-probabilities beside the prepared data.

``reference.bin`` in the data folder: fp64 [training pairs + held-out pairs, 2], little-endian, by the number
of the row and the better answer first, or with loss kto the answer and then its mismatched sequence; NaN for
rows that the job never trains on. ``reference.json``, written last: its sha256, and a digest of all that it
depends on.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files import fsync_folder, read_json, write_json
from .rows import Ids, Rows

FILE, RECORD = "reference.bin", "reference.json"
LogProbabilities = npt.NDArray[np.float64]


def write_reference(folder: Path, key: str, found: LogProbabilities) -> str:
    """Write them, whole or not at all; their sha256. Several nodes may write the same at once."""
    content = np.ascontiguousarray(found, "<f8").tobytes()
    digest = hashlib.sha256(content).hexdigest()
    partial = folder / f".{FILE}.{os.uname().nodename}.{os.getpid()}.tmp"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)
    fsync_folder(folder)
    write_json(folder / RECORD, {"key": key, "sha256": digest, "pairs": len(found)})
    return digest


def read_reference(folder: Path, pairs: int, key: str | None = None) -> LogProbabilities | None:
    """Those of a folder; None where there are none, not whole, or of something else.

    Args:
        folder: of the data.
        pairs: rows of both sides of the split.
        key: digest of all that they depend on; None where they were just made.
    """
    said = read_json(folder / RECORD) or {}
    try:
        content = (folder / FILE).read_bytes() if said.get("pairs") == pairs else b""
    except OSError:
        return None
    if len(content) != pairs * 2 * 8 or hashlib.sha256(content).hexdigest() != said.get("sha256"):
        return None
    if key is not None and said.get("key") != key:
        return None
    return np.frombuffer(content, "<f8").reshape(pairs, 2)


class Referenced:
    """Rows with two more columns: the bits of their log-probabilities.

    Args:
        rows: of pairs.

    Attributes:
        reference: [rows, 2]; set before any row is read.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.reference: LogProbabilities | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int, /) -> Ids:
        assert self.reference is not None, "the reference is there before training reads a row"
        return joined(self._rows[row], self.reference[row])


def joined(rows: Ids, reference: LogProbabilities) -> npt.NDArray[np.int64]:
    """Rows, and the bits of their log-probabilities as whole numbers in two more columns.

    Args:
        rows: [..., columns].
        reference: [..., 2].
    """
    bits: npt.NDArray[Any] = np.ascontiguousarray(reference, np.float64).view(np.int64)
    return np.concatenate([rows.astype(np.int64), bits], axis=-1)
