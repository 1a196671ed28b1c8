"""The whole model's weights as files of safetensors, streamed out of whatever layout holds them.

The export is made of these very files, so they are named and cut as Hugging Face's are. Before a step with
them is committed, the ranks read them back and compare their own parts bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import distributed, log
from ..distributed import Ranks
from ..errors import ConfigError, ExportMismatch
from ..files import entry_of
from ..models.headers import INDEX
from ..models.source import Source
from ..models.stream import LARGEST, Shapes, TensorFile, dealt, numbered, write_index
from ..models.weights import Weights
from ..parallel.engine import Engine
from ..parallel.put import holds

Entries = dict[str, dict[str, Any]]
"""Files with their lines of a manifest."""


@dataclass(frozen=True)
class Planned:
    """One file that is to be written.

    Attributes:
        rank: that writes it.
        shapes: of its tensors, in their order.
    """

    rank: int
    shapes: Shapes


def write_whole(engine: Engine, ranks: Ranks, folder: Path, largest: int = LARGEST) -> Entries:
    """Write the weights, all ranks together: the first rank of each pipeline stage writes, and the first of
    all an index.

    One tensor is gathered at a time, and none is held on to.

    Args:
        engine: that holds them.
        ranks: this rank's place.
        folder: of them; made where something is written.
        largest: bytes of a file.

    Returns:
        Files that this rank wrote, with the digests of what they were meant to be.

    Raises:
        OSError: the disk refused; no other rank waits for this one then.
        ExportMismatch: what was written is not what the ranks hold. All of them raise it.
    """
    files, width = _plan(engine, ranks, largest)
    writer = _Writer(folder, {name: one.shapes for name, one in files.items() if one.rank == ranks.rank})
    for name, parameter in engine.named_parameters():
        with engine.gathered(name, parameter) as whole:
            writer.take(name, whole)
    writer.end()
    if ranks.first:
        writer.attempt(partial(_write_index, folder, files, width, writer.entries))
    [failed] = distributed.all_reduce_sum(ranks, int(writer.error is not None))
    if writer.error:
        raise writer.error
    if not failed:
        _compare(engine, ranks, folder, files)
    return writer.entries


def _plan(engine: Engine, ranks: Ranks, largest: int) -> tuple[dict[str, Planned], int]:
    """The files by name, the same on every rank, and the bytes of a number.

    A tensor that is shared by two stages is the first one's.
    """
    place, own = engine.place, ""
    if place.data == place.tensor == place.sequence == 0:
        named = list(engine.named_parameters())
        width = named[0][1].dtype.itemsize
        own = json.dumps([width, place.pipeline, {name: engine.whole_shape(name, p) for name, p in named}])
    told = {
        rank: json.loads(text) for rank, text in enumerate(distributed.all_gather_text(ranks, own)) if text
    }
    seen: set[str] = set()
    planned = list[Planned]()
    for rank, (width, _, shapes) in sorted(told.items(), key=lambda one: one[1][1]):
        mine = {name: tuple(shape) for name, shape in shapes.items() if name not in seen}
        seen.update(mine)
        planned += [Planned(rank, part) for part in dealt(mine, width, largest) if part]
    return {numbered(at, len(planned)): one for at, one in enumerate(planned)}, width


def _write_index(folder: Path, files: dict[str, Planned], width: int, entries: Entries) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_index(folder, {name: one.shapes for name, one in files.items()}, width)
    entries[INDEX] = entry_of(folder / INDEX)


class _Writer:
    """Writes this rank's files. It never raises: a rank that leaves early leaves the others waiting.

    Attributes:
        error: what the disk refused first.
        entries: of the files that are written.
    """

    def __init__(self, folder: Path, files: dict[str, Shapes]) -> None:
        self.error: OSError | None = None
        self.entries: Entries = {}
        self._folder, self._left = folder, list(files.items())
        self._wanted = {name for shapes in files.values() for name in shapes}
        self._file: TensorFile | None = None

    def attempt(self, act: Callable[[], None]) -> None:
        """Do something unless the disk has refused before."""
        if self.error:
            return
        try:
            act()
        except OSError as error:
            self.error = error

    def take(self, name: str, whole: torch.Tensor) -> None:
        """Write a tensor, if it is one of this rank's."""
        if name in self._wanted:
            self.attempt(partial(self._write, name, whole))

    def _write(self, name: str, whole: torch.Tensor) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            file, shapes = self._left[0]
            self._file = TensorFile(self._folder / file, shapes, whole.dtype)
        self._file.add(name, whole)
        if self._file.whole:
            file, _ = self._left.pop(0)
            self.entries[file] = self._file.sync()
            self._file.close()
            self._file = None

    def end(self) -> None:
        """Close what the disk left half written."""
        if self._file:
            self._file.close()


def _compare(engine: Engine, ranks: Ranks, folder: Path, files: dict[str, Planned]) -> None:
    """Read the files back, each rank its own part of what it holds.

    Replicas divide the tensors among themselves. In an object store a rank does not see the files of another
    node, which are verified by their digests when they are fetched.

    Raises:
        ExportMismatch: a rank holds other bits.
    """
    stage = engine.place.pipeline
    mine = [name for name, one in files.items() if engine.layout.place(one.rank).pipeline == stage]
    there = all((folder / name).exists() for name in mine)
    [see] = distributed.all_reduce_sum(ranks, int(there))
    fault, compared = "", 0
    if there:
        try:
            weights = Weights(Source(folder, only=mine))
            fault, compared = _differing(engine, weights, divide=see == ranks.world)
        except (OSError, ConfigError) as error:
            fault = str(error)
    faults = [one for one in distributed.all_gather_text(ranks, fault[:1000]) if one]
    if faults:
        raise ExportMismatch(f"the weights that were written are not those that were trained: {faults[0]}")
    log.get().info("weights read back", rank=ranks.rank, tensors=compared)


def _differing(engine: Engine, weights: Weights, *, divide: bool) -> tuple[str, int]:
    """The first tensor of which this rank holds something else, in words, and how many were compared.

    A tensor that an earlier stage wrote is compared there.
    """
    layout, place = engine.layout, engine.place
    copies = layout.data * layout.sequence if divide and layout.zero < 3 else 1
    own = place.data * layout.sequence + place.sequence if copies > 1 else 0
    compared = 0
    for number, (name, parameter) in enumerate(engine.named_parameters()):
        if number % copies == own and weights.found(name) is not None:
            if not holds(engine, name, parameter, weights):
                return name, compared
            compared += 1
    return "", compared
