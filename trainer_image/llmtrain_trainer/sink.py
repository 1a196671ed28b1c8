"""A new file whose digest is that of the bytes that were meant. Standard library only."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from .digests import Digest

PIECE = 8 << 20
"""Bytes that are written at once, at most."""


class Sink(io.RawIOBase):
    """A new file, written once from front to back. Its digest is that of the bytes that were meant, so a
    disk that writes others is found out, and nothing is read again.

    Attributes:
        error: what the disk refused a write with.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._digest = Digest()
        self.error: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write the first bytes of a buffer, at most a piece; all calls let other threads run."""
        view = memoryview(data).cast("B")[:PIECE]
        try:
            count = os.write(self._fd, view)
        except OSError as error:
            self.error = error
            raise
        self._digest.update(view[:count])
        return count

    def sync(self) -> dict[str, Any]:
        """Force it to the disk; its line of a manifest."""
        os.fsync(self._fd)
        return self._digest.line()

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._fd)
            self._digest.close()
        super().close()
