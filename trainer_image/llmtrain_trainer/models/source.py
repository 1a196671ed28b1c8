"""Numbers of a Hugging Face folder, any range of any tensor, without reading the rest."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import ConfigError
from .headers import Entry, LocalFiles, read_files, read_headers

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""What weights may be stored as, by the dtype's name in a header."""


NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""A file that is larger than the memory may be mapped, as nothing is written. Python names it from 3.13."""


class Source:
    """The tensors of a folder of safetensors by name. Files are mapped, so that only what is used is read.

    The ranks of a node share what the system has read once, and a tensor costs a rank no memory of its own.

    Args:
        folder: one file, or several with an index.
        where: what messages call the folder; by default its path.
        only: names of files, to look at these alone; None for all that the folder's index names.

    Attributes:
        asked: bytes that were asked for until now.

    Raises:
        ConfigError: the folder has no weights that can be read; see `read_headers`.
        FileNotFoundError: one of ``only`` is not there.
    """

    def __init__(self, folder: Path, where: str = "", only: Sequence[str] | None = None) -> None:
        self.folder = folder
        self.where = where or str(folder)
        files = LocalFiles(folder, where)
        self.entries = (
            read_headers(files)
            if only is None
            else read_files(files, {name: (folder / name).stat().st_size for name in only})
        )
        self.asked = 0
        self._mapped: dict[str, mmap.mmap] = {}

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        return sorted(self.entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's dimensions.

        Raises:
            KeyError: the folder has none of that name.
        """
        return self._entry(name).shape

    def flat(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Numbers of a tensor in the order of its rows, in the dtype that they are stored in.

        Args:
            name: of the tensor.
            start: the first of them.
            stop: the one after the last of them.

        Raises:
            KeyError: the folder has none of that name.
            ConfigError: they are no weights, such as quantised ones.
        """
        entry = self._entry(name)
        if not 0 <= start <= stop <= entry.numbers:
            raise IndexError(f"{name} has {entry.numbers} numbers, not {start} to {stop}")
        dtype = DTYPES.get(entry.dtype)
        if dtype is None:
            raise ConfigError(
                f"{self.where}: {name} is stored as {entry.dtype}, which cannot be trained",
                f"use weights that are stored as {', '.join(DTYPES)}",
            )
        if start == stop:
            return torch.empty(0, dtype=dtype)
        size = dtype.itemsize
        self.asked += (stop - start) * size
        offset, mapped = entry.start + start * size, self._map(entry.file)
        if offset % size:  # only a foreign writer leaves a header of such a length
            return torch.frombuffer(bytearray(mapped[offset : offset + (stop - start) * size]), dtype=dtype)
        return torch.frombuffer(mapped, dtype=dtype, count=stop - start, offset=offset)

    def read(self, name: str) -> torch.Tensor:
        """One tensor, in the dtype that it is stored in.

        Raises:
            KeyError: the folder has none of that name.
        """
        entry = self._entry(name)
        return self.flat(name, 0, entry.numbers).view(entry.shape)

    def _entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise KeyError(f"{self.folder} has no tensor {name}")
        return self.entries[name]

    def _map(self, file: str) -> mmap.mmap:
        """A file in memory. It is private: what is written to a tensor is never written to the file."""
        if file not in self._mapped:
            with (self.folder / file).open("rb") as opened:
                self._mapped[file] = mmap.mmap(
                    opened.fileno(), 0, mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
                )
        return self._mapped[file]
