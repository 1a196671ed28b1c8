"""Batches by position: no iterator with a state, so that a resume needs one number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from llmtrain_api import Place

from ..batch import BatchPlan, Length
from ..errors import ConfigError
from ..loss import IGNORED
from ..tasks import Encoder, Inputs
from .order import Order, Source
from .rows import Ids, Rows
from .store import HELD_OUT, TRAIN, Marker, tokens_folder
from .units.stream import rows_of_set
from .units.token_set import SET, read_set
from .units.work import SIDES

Pass = tuple[Inputs, torch.Tensor]
"""Inputs of one forward pass by name, and the labels of its logits."""


class Batches:
    """The training sequences in their order, each as its task wants it.

    Args:
        rows: [sequences, length] token ids.
        plan: which slot of a batch is whose.
        length: which samples each step has.
        seed: of the order.
        task: makes inputs and labels of a row.
        sources: of a mixture, whose rows lie one after another; by default all rows are one source's.
    """

    def __init__(
        self,
        rows: Rows,
        plan: BatchPlan,
        length: Length,
        seed: int,
        task: Encoder,
        sources: Sequence[Source] = (),
    ) -> None:
        self.rows, self.plan, self.length, self.task = rows, plan, length, task
        self.order = Order(sources or [Source(len(rows), 1)], seed)

    def at(self, step: int, place: Place, device: torch.device) -> list[Pass]:
        """The passes that a rank trains on in the step that follows ``step`` finished ones."""
        first, after = self.length.consumed(step), self.length.consumed(step + 1)
        slots = self.plan.slots(place.data, after - first)
        return [self._pass(first, places, device) for places in slots]

    def _pass(self, first: int, places: list[int | None], device: torch.device) -> Pass:
        read = [(0, 0) if place is None else self.order.at(first + place) for place in places]
        chosen, keys = [row for row, _ in read], [key for _, key in read]
        return encoded(self.rows, chosen, keys, [place is None for place in places], self.task, device)


def held_out_passes(
    rows: Ids, plan: BatchPlan, place: Place, task: Encoder, device: torch.device
) -> list[Pass]:
    """A data-parallel rank's share of the held-out sequences.

    Every rank gets the same number of passes of the same shape, as layouts that communicate in the forward
    pass need; slots that are left over carry no label. The random choices of a row are the same each time.
    """
    return list(each_held_out_pass(rows, plan, place, task, device))


def each_held_out_pass(
    rows: Ids, plan: BatchPlan, place: Place, task: Encoder, device: torch.device
) -> Iterator[Pass]:
    """The same, one after another: never all in memory."""
    micro, ranks = plan.micro, plan.ranks
    count = -(-len(rows) // (micro * ranks))
    for number in range(count):
        places = [(number * micro + slot) * ranks + place.data for slot in range(micro)]
        spare = [at >= len(rows) for at in places]
        chosen = [0 if empty else at for at, empty in zip(places, spare, strict=True)]
        yield encoded(rows, chosen, chosen, spare, task, device)


def encoded(
    rows: Rows, chosen: list[int], keys: list[int], spare: list[bool], task: Encoder, device: torch.device
) -> Pass:
    """One forward pass over chosen rows; spare slots hold a row, but no label."""
    ids = torch.from_numpy(np.stack([rows[at] for at in chosen]).astype(np.int64))
    inputs, labels = task.encode(ids, keys)
    labels[torch.tensor(spare)] = IGNORED
    return {name: value.to(device) for name, value in inputs.items()}, labels.to(device)


def open_train(folder: Path, marker: Marker, cache: str | None = None) -> Rows:
    """The training sequences, mapped into memory.

    Args:
        folder: of the data.
        marker: of the folder.
        cache: the folder of ``dataset.cache``.
    """
    if marker.token_set:
        tokens = tokens_folder(folder, marker, cache)
        found = read_set(tokens)
        if found is None:
            raise ConfigError(f"{tokens} has no readable {SET}", "give the job its token set back")
        return rows_of_set(found, tokens, SIDES[0], marker.key["training.sequenceLength"])
    flat = np.memmap(folder / TRAIN, np.dtype(marker.dtype), "r")
    return flat.reshape(marker.sequences, -1)  # of a sample more columns than it has tokens


def open_held_out(folder: Path) -> Ids:
    """The held-out sequences, mapped into memory."""
    return open_rows(folder / HELD_OUT)


def open_rows(path: Path) -> Ids:
    """[sequences, length] token ids of a ``.npy`` file, mapped into memory."""
    rows: Ids = np.load(path, mmap_mode="r")
    return rows
