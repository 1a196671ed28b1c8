"""Batches by position: no iterator with a state, so that a resume needs one number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..batch import BatchPlan, Length
from ..loss import IGNORED, label_count
from .order import sample_at
from .prepare import Ids
from .store import HELD_OUT, TRAIN, Marker


@dataclass(frozen=True)
class StepBatch:
    """One rank's share of an optimizer step: (input ids, labels) for each forward pass."""

    passes: list[tuple[torch.Tensor, torch.Tensor]]

    @property
    def labels(self) -> int:
        """Tokens with a label."""
        return sum(label_count(labels) for _, labels in self.passes)


class Batches:
    """The training sequences in their order."""

    def __init__(self, rows: Ids, plan: BatchPlan, length: Length, seed: int) -> None:
        self.rows, self.plan, self.length, self.seed = rows, plan, length, seed

    def at(self, step: int, rank: int, device: torch.device) -> StepBatch:
        """What a rank trains on in the step that follows ``step`` finished ones."""
        first, after = self.length.consumed(step), self.length.consumed(step + 1)
        passes = [self._tensors(first, places, device) for places in self.plan.slots(rank, after - first)]
        return StepBatch(passes)

    def _tensors(
        self, first: int, places: list[int | None], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.zeros(len(places), self.rows.shape[1], dtype=torch.int64)
        labels = torch.full_like(ids, IGNORED)
        for slot, place in enumerate(places):
            if place is not None:
                row = self.rows[sample_at(first + place, len(self.rows), self.seed)]
                ids[slot] = labels[slot] = torch.from_numpy(row.astype(np.int64))
        return ids.to(device), labels.to(device)


def open_train(folder: Path, marker: Marker) -> Ids:
    """The training sequences, mapped into memory."""
    length = marker.key["training.sequenceLength"]
    return np.memmap(folder / TRAIN, np.dtype(marker.dtype), "r", shape=(marker.sequences, length))


def open_held_out(folder: Path) -> Ids:
    """The held-out sequences, mapped into memory."""
    rows: Ids = np.load(folder / HELD_OUT, mmap_mode="r")
    return rows
