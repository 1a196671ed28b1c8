"""A checkpoint in an object store that is read in parts, as another layout does: a node gets no part twice.

A file of a step has its size from the start, and holes where nothing was looked at. What is looked at is got
in chunks, as the manifest has a digest of each, and held against it before anybody reads it. The ranks of a
node share the file: who needs a chunk locks it, and finds it there if another one was faster.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import zipfile
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from typing_extensions import override

from ...checkpoint.manifest import FileEntry, Manifest
from ...checkpoint.mapped import MappedFiles
from ...digests import CHUNK
from .bucket import Bucket

ALIGNMENT = 64
"""Of what a record of a file of torch's holds."""
LEAST, MOST = 34, 34 + 28 + ALIGNMENT
"""Bytes of a record before that, beside its name: headers, those of a large file, and padding."""
CONTENT = "/data/"
"""In the names of records that are the numbers of tensors."""


class DamagedPart(OSError):
    """What the store gave is not what was saved."""


class Part:
    """One file, as far as it is there.

    Attributes:
        path: of it.
        got: bytes that were downloaded by this process.
    """

    def __init__(self, bucket: Bucket, key: str, path: Path, entry: FileEntry) -> None:
        self.path, self.got = path, 0
        self._bucket, self._key, self._entry = bucket, key, entry
        self._chunk = entry.chunk or max(1, entry.size)
        self._digests = entry.chunks or (entry.sha256,)
        # by bytes of content: header's place and length of the name together
        self._records = defaultdict[int, list[int]](list)
        self._known = set[int]()  # chunks that are there
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path) as file:
            os.ftruncate(file, entry.size)

    def need(self, start: int, stop: int) -> None:
        """See to it that bytes are there.

        Raises:
            DamagedPart: they are not those that were saved.
            OSError: the store or the disk refused.
        """
        asked = range(start // self._chunk, -(-min(stop, self._entry.size) // self._chunk))
        if self._known.issuperset(asked):
            return
        # a gang may have written more files than a process may have open
        with _opened(self.path) as file, _opened(self.path.with_name(f".{self.path.name}.there")) as there:
            for number in asked:
                with _locked(there, number):
                    if os.pread(there, 1, number) != b"1":
                        self._get(number, file)
                        os.pwrite(there, b"1", number)
                self._known.add(number)

    def _get(self, number: int, file: int) -> None:
        start, digest = number * self._chunk, hashlib.sha256()
        stop = min(start + self._chunk, self._entry.size)
        for at in range(start, stop, CHUNK):  # a file that an older version saved is one chunk
            content = self._read(at, min(at + CHUNK, stop))
            digest.update(content)
            _write(file, content, at)
        if digest.hexdigest() != self._digests[number]:
            raise DamagedPart(
                f"{self.path.name} has another sha256 in bytes {start} to {stop} than its manifest says"
            )

    def _read(self, start: int, stop: int) -> bytes:
        try:
            content = self._bucket.read_range(self._key, start, stop)
        except FileNotFoundError as error:
            raise DamagedPart(f"{self.path.name} is not there any more: {error}") from None
        self.got += len(content)
        return content

    def structure(self) -> None:
        """Get all but the numbers of tensors: the list of records at the end, and all that is no tensor.

        Raises:
            DamagedPart: it is not what was saved.
            OSError: the store or the disk refused, or it is no file of torch's.
        """
        seen = _Seen(self)
        try:
            with zipfile.ZipFile(seen) as records:
                listed = records.infolist()
        except zipfile.BadZipFile as error:
            raise seen.error or DamagedPart(f"{self.path.name}: {error}") from None
        for record in listed:
            before, start = len(record.filename), record.header_offset
            if CONTENT not in record.filename:
                self.need(start, start + MOST + before + record.compress_size)
            elif record.filename.endswith(f"{CONTENT}0"):
                self.need(start, start + MOST + before)  # torch counts the places of the others from it
            if CONTENT in record.filename:
                self._records[record.file_size].append(start + before)

    def require_record(self, start: int, size: int) -> None:
        """A tensor is where one of its size was saved.

        Raises:
            DamagedPart: none of that size begins there.
        """
        there = any(LEAST <= start - end <= MOST for end in self._records[size])
        if start % ALIGNMENT or not there:
            raise DamagedPart(f"{self.path.name} lists no tensor of {size} bytes at {start}")

    def read(self, start: int, size: int) -> bytes:
        """Bytes of it."""
        self.need(start, start + size)
        with _opened(self.path) as file:
            return os.pread(file, size, start)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self._entry.size


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _locked(file: int, number: int) -> Iterator[None]:
    """The other ranks of this node wait; the system unlocks it for a process that dies."""
    fcntl.lockf(file, fcntl.LOCK_EX, 1, number)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, number)


def _write(file: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count


class _Seen(io.RawIOBase):
    """A part as a file: what is read of it is got first.

    Attributes:
        error: why something could not be got, which who reads archives takes for a fault of the archive.
    """

    def __init__(self, part: Part) -> None:
        super().__init__()
        self._part, self._at = part, 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._part.size - self._at)
        try:
            content = self._part.read(self._at, left if size < 0 else min(size, left)) if left else b""
        except OSError as error:
            self.error = self.error or error
            raise
        self._at += len(content)
        return content


class StepParts(MappedFiles):
    """The states of a step, each got as far as it is looked at.

    Args:
        bucket: the store.
        prefix: of the states in it.
        folder: where they are on this node.
        manifest: of the step.
        within: the folder of the states, as the manifest names them.
    """

    sparse = True

    def __init__(self, bucket: Bucket, prefix: str, folder: Path, manifest: Manifest, within: str) -> None:
        self._bucket, self._prefix, self._folder, self._within = bucket, prefix, folder, within
        start = f"{within}/"
        self._entries = {
            name.removeprefix(start): entry
            for name, entry in manifest.files.items()
            if name.startswith(start)
        }
        self._parts: dict[str, Part] = {}
        self._mapped: list[tuple[int, int, Part]] = []

    @property
    def got(self) -> int:
        """Bytes that this process has downloaded."""
        return sum(part.got for part in self._parts.values())

    @override
    def sizes(self) -> dict[str, int]:
        return {name: entry.size for name, entry in self._entries.items()}

    @override
    def structure_of(self, name: str) -> Path:
        if name not in self._entries:
            raise FileNotFoundError(f"the checkpoint has no {name}")
        path = self._folder / self._within / name
        part = Part(self._bucket, f"{self._prefix}/{self._within}/{name}", path, self._entries[name])
        self._parts[name] = part
        part.structure()
        return path

    @override
    def need(self, tensor: torch.Tensor) -> None:
        if not tensor.numel():
            return
        span = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        start, length = tensor.data_ptr(), (span + 1) * tensor.dtype.itemsize
        base, part = self._place(start) or self._place_anew(start)
        storage = tensor.untyped_storage()
        part.require_record(storage.data_ptr() - base, storage.nbytes())
        part.need(start - base, start - base + length)

    def _place(self, address: int) -> tuple[int, Part] | None:
        """The file that is mapped at an address, and the address of its first byte."""
        at = bisect(self._mapped, address, key=lambda one: one[0]) - 1
        if at >= 0 and address < self._mapped[at][1]:
            return self._mapped[at][0], self._mapped[at][2]
        return None

    def _place_anew(self, address: int) -> tuple[int, Part]:
        """The same, once the kernel was asked: files are mapped by torch, which does not tell where."""
        inodes = {part.path.stat().st_ino: part for part in self._parts.values()}
        self._mapped = sorted(
            ((start, stop, inodes[inode]) for start, stop, inode in _mappings() if inode in inodes),
            key=lambda one: one[0],
        )
        found = self._place(address)
        if found is None:
            raise RuntimeError("a tensor of a checkpoint lies in none of its files")
        return found


def _mappings() -> Iterator[tuple[int, int, int]]:
    """Files that this process has mapped from their first byte on: where, and their inodes."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, _, offset, _, inode, *_ = line.split()
        if inode != "0" and int(offset, 16) == 0:
            start, stop = (int(one, 16) for one in addresses.split("-"))
            yield start, stop, int(inode)
