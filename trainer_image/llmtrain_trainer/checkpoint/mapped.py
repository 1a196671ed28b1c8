"""Files of a checkpoint that are mapped into memory: of them all, only what is looked at is ever read."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from typing_extensions import override


class MappedFiles(Protocol):
    """The states that all ranks saved, in one folder.

    Attributes:
        sparse: whether tensors may not be there before they are needed.
        got: bytes that this process has downloaded.
    """

    sparse: bool

    @property
    def got(self) -> int:
        """See above."""

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name.

        Raises:
            FileNotFoundError: the folder is not there.
        """

    def structure_of(self, name: str) -> Path:
        """A file that may be mapped: what `torch.load` itself reads of it is there, and what tensors hold may
        not be.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it could not be read.
        """

    def need(self, tensor: torch.Tensor) -> None:
        """See to it that all bytes of a mapped tensor, or of a part of one, are there.

        Raises:
            OSError: they could not be read, or are not those that were saved.
        """


class FolderFiles(MappedFiles):
    """Files that lie in a folder, all of them: what is not looked at is not read by the kernel."""

    sparse = False
    got = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def sizes(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self._folder.iterdir()}

    @override
    def structure_of(self, name: str) -> Path:
        return self._folder / name

    @override
    def need(self, tensor: torch.Tensor) -> None:
        pass
