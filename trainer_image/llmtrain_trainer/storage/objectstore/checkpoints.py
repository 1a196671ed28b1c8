"""Checkpoints in an object store: written into private folders, uploaded by all ranks, made by a record."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from typing_extensions import override

from llmtrain_api import Layout

from ... import distributed, log
from ...checkpoint.commit import part_of, write_manifest
from ...checkpoint.fence import Fence
from ...checkpoint.manifest import MANIFEST, STATE, Manifest, manifest_of
from ...checkpoint.mapped import MappedFiles
from ...checkpoint.store import CheckpointStore
from ...distributed import Ranks
from ...files import discard
from .ledger import Ledger
from .parts import DamagedPart, StepParts
from .record import Record, commit, damaged
from .steps import Readers, best_of, fetch_step, prefix_of, retired, sound


class ObjectCheckpointStore(CheckpointStore):
    """One attempt's steps in the store."""

    def __init__(
        self,
        ledger: Ledger,
        fence: Fence,
        ranks: Ranks,
        keep: int,
        readers: Readers,
        *,
        keep_best: bool = False,
    ) -> None:
        self.ledger, self.bucket, self.fence = ledger, ledger.bucket, fence
        self.ranks, self.keep, self.keep_best, self.readers = ranks, keep, keep_best, readers
        self._saves = itertools.count()
        self._prefix = ""
        self._saved: dict[int, bool] = {}  # steps of this attempt, and whether they have the whole weights

    @override
    def has(self, step: int, *, whole: bool) -> bool:
        # a step that another attempt committed was the start, or was found torn
        if step in self._saved:
            return self._saved[step] or not whole
        return False

    @override
    def begin(self, step: int) -> None:
        # no two saves write under one prefix
        self._prefix = prefix_of(step, self.fence, next(self._saves))

    @override
    def upload(self, folder: Path, names: list[str]) -> None:
        self.bucket.upload(folder, names, self._prefix)

    @override
    def commit(self, folder: Path, head: Manifest, layout: Layout, *, whole: bool) -> None:
        step, prefix = head.step, self._prefix
        lists = [part_of(rank) for rank in range(layout.world)]
        self.bucket.download(prefix, [name for name in lists if not (folder / name).exists()], folder)
        write_manifest(folder, head, layout)
        self.bucket.upload(folder, [MANIFEST], prefix)
        before = self.ledger.read()
        old = retired(self.bucket, before, step, self.keep, self._spared(before, head, whole=whole))
        now = self.ledger.append(commit(self.fence, step, prefix, old))
        self._saved[step] = whole
        for gone in sorted(set(before.steps.values()) - set(now.steps.values())):
            try:
                self.bucket.delete(gone)
            except OSError as error:  # the step is committed; the next attempt deletes what is left
                log.get().warning("an old checkpoint could not be deleted", error=str(error))

    def _spared(self, before: Record, head: Manifest, *, whole: bool) -> int | None:
        """The step that stays as the best one when another is committed."""
        if not self.keep_best or (head.best and whole):
            return None
        older = [step for step in best_of(self.bucket, before) if step < head.step]
        return older[0] if older else None

    @override
    def kept(self) -> list[int]:
        return self.ledger.newest.committed

    @override
    def clear(self, folder: Path) -> None:
        # what is in the store, or is not to be, need not fill the node's disk
        if self.ranks.local_rank == 0:
            discard(folder)
            for step in self.fence.output.committed():
                discard(self.fence.output.step(step))

    @override
    def newest(self) -> int | None:
        return self._first_whole(sound)

    @override
    def best(self) -> int | None:
        return self._first_whole(partial(best_of, self.bucket))

    def _first_whole(self, of: Callable[[Record], list[int]]) -> int | None:
        for step in self._seen_alike(of):
            fault = self._fetch(step) if self.ranks.local_rank == 0 else None
            [failed] = distributed.all_reduce_sum(self.ranks, int(fault is not None))
            if not failed:
                return step
            if fault:
                log.get().warning("checkpoint is torn and passed over", reason=fault)
        return None

    def _seen_alike(self, of: Callable[[Record], list[int]]) -> list[int]:
        """Steps as one rank sees them, so that all ranks ask for the same ones."""
        own = " ".join(map(str, of(self.ledger.read()))) if self.ranks.first else ""
        return [int(step) for step in distributed.all_gather_text(self.ranks, own)[0].split()]

    @override
    def fetch(self, step: int) -> Path:
        error = None
        if self.ranks.local_rank == 0 and not self.fence.output.step(step).is_dir():
            error = self._fetch(step)
        [failed] = distributed.all_reduce_sum(self.ranks, int(error is not None))
        if failed:
            raise OSError(error or f"another node could not get step {step}")
        return self.fence.output.step(step)

    @override
    def mapped(self, step: int) -> MappedFiles:
        prefix, folder = self.ledger.read().steps[str(step)], self.fence.output.step(step)
        return StepParts(self.bucket, prefix, folder, manifest_of(folder), STATE)

    @override
    def tell_damaged(self, step: int, error: OSError) -> None:
        if isinstance(error, DamagedPart):
            self.ledger.append(damaged(self.fence, step, f"it was read in another layout: {error}"))

    def _fetch(self, step: int) -> str | None:
        try:
            prefix = self.ledger.read().steps[str(step)]
            reason = fetch_step(self.bucket, prefix, self.fence, step, readers=self.readers)
        except (OSError, KeyError) as error:
            reason = str(error)
        return f"step {step}: {reason}" if reason else None

    @override
    def refusal(self, step: int, error: OSError) -> str:
        return f"step {step} could not be saved: {error.strerror or error}"
