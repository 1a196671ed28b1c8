"""Digests of large files that several threads, or machines, can check at once. Imports nothing heavy.

A file's line of a manifest has its size and its sha256. That of a file of more than `CHUNK` bytes also has
the sha256 of each chunk of it, so that no thread has to read it from front to back. The digest of the whole
file stays, as versions that know of no chunks look for it, and people have ``sha256sum``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cores import CPU_MAX, cores

CHUNK = 16 << 20
"""Bytes of a chunk: a node that needs a part of a file in an object store gets it in such chunks."""
BLOCK = 1 << 20
"""Bytes that are read at once: they stay in a core's cache until they are hashed."""
MOST_THREADS = 16
"""That hash at once: a disk gives no more."""
WORTH_A_THREAD = 1 << 16
"""Bytes: what is smaller is hashed before another thread has begun."""
Line = Mapping[str, Any]
"""``size`` and ``sha256`` of a file; of a large one also ``chunk``, bytes of each but the last, and
``chunks``, their digests."""


class Digest:
    """The digests of bytes that come one after another.

    The chunk's is computed beside the whole file's, in a thread that begins with the first large piece.
    """

    def __init__(self) -> None:
        self.size = 0
        self._chunk = CHUNK
        self._whole, self._part = hashlib.sha256(), hashlib.sha256()
        self._done: list[str] = []
        self._left = self._chunk
        self._beside: ThreadPoolExecutor | None = None

    def update(self, data: memoryview) -> None:
        """Take in the next bytes; they may change again once this returns."""
        if len(data) < WORTH_A_THREAD:
            self._whole.update(data)
            self._cut(data)
        else:
            self._beside = self._beside or ThreadPoolExecutor(1, "digest")
            future: Future[None] = self._beside.submit(self._cut, data)
            self._whole.update(data)
            future.result()
        self.size += len(data)

    def line(self) -> dict[str, Any]:
        """The line of a manifest."""
        line: dict[str, Any] = {"size": self.size, "sha256": self._whole.hexdigest()}
        if self.size > self._chunk:
            last = [self._part.hexdigest()] if self._left < self._chunk else []
            line |= {"chunk": self._chunk, "chunks": [*self._done, *last]}
        return line

    def close(self) -> None:
        """End the thread."""
        if self._beside:
            self._beside.shutdown()

    def _cut(self, data: memoryview) -> None:
        while data:
            part, data = data[: self._left], data[self._left :]
            self._part.update(part)
            self._left -= len(part)
            if not self._left:
                self._done.append(self._part.hexdigest())
                self._part, self._left = hashlib.sha256(), self._chunk


@dataclass(frozen=True)
class Piece:
    """Bytes that are to have a digest.

    Attributes:
        name: of the file, as a manifest has it.
        path: of the file.
        start: the first byte.
        stop: the one after the last.
        sha256: their digest.
        alone: whether they are the whole file.
    """

    name: str
    path: Path
    start: int
    stop: int
    sha256: str
    alone: bool

    def fault(self) -> str | None:
        """What is wrong with them, in words."""
        try:
            if digest_of_range(self.path, self.start, self.stop) == self.sha256:
                return None
        except OSError as error:
            return f"{self.name}: {error.strerror}"
        where = "" if self.alone else f" in bytes {self.start} to {self.stop}"
        return f"{self.name} has another sha256{where} than its manifest says"


def pieces_of(path: Path, name: str, line: Line) -> Iterator[Piece]:
    """What of a file is to be read, as independent pieces."""
    size, chunk, chunks = line["size"], line.get("chunk"), line.get("chunks")
    if not chunk or not chunks:
        yield Piece(name, path, 0, size, line["sha256"], alone=True)
        return
    for number, sha256 in enumerate(chunks):
        start = number * chunk
        yield Piece(name, path, start, min(start + chunk, size), sha256, alone=False)


def first_fault(pieces: Iterable[Piece], threads: int | None = None) -> str | None:
    """The first piece that is not as its digest says, in words. All cores read and hash at once.

    Args:
        pieces: in the order in which faults are told.
        threads: that do so; by default one a core.
    """
    with ThreadPoolExecutor(threads or threads_here(), "verify") as pool:
        for fault in pool.map(Piece.fault, pieces):
            if fault:
                pool.shutdown(wait=False, cancel_futures=True)
                return fault
    return None


def threads_here(cpu_max: Path = CPU_MAX) -> int:
    """Threads that hash at once in this pod: more than its processors would wait for each other.

    Args:
        cpu_max: where the kernel tells the pod's limit.
    """
    return min(MOST_THREADS, cores(cpu_max))


def digest_of_range(path: Path, start: int, stop: int) -> str:
    """Hex digest of a part of a plain file.

    Raises:
        OSError: it cannot be read.
    """
    digest, room = hashlib.sha256(), memoryview(bytearray(min(BLOCK, max(1, stop - start))))
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        file.seek(start)
        left = stop - start
        while left:
            count = file.readinto(room[: min(left, len(room))])
            if not count:
                break  # shorter than it was: the digest will differ
            digest.update(room[:count])
            left -= count
    return digest.hexdigest()


def unlike(root: Path, name: str, line: Line) -> str | None:
    """What can be seen to be wrong with a file without reading it, in words.

    Args:
        root: the folder, without links in its path.
        name: of the file below it, which stays inside.
        line: of its manifest.
    """
    path = root / name
    try:
        if path.resolve() != path:
            return f"{name} is a link, and links are not followed"
        found = path.stat()
    except OSError as error:
        return f"{name}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{name} is no plain file"
    if found.st_size != line["size"]:
        return f"{name} has {found.st_size} bytes instead of {line['size']}"
    return None
