"""Saving and loading a step: every rank writes, rank 0 checks, hashes and commits."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmtrain_api import Layout, to_rfc3339

from .. import distributed, log
from ..distributed import Ranks
from ..errors import Fenced
from ..files import discard, fsync_folder, inventory, sync_tree, write_json
from ..parallel.engine import Engine
from .fence import Fence
from .manifest import MANIFEST, broken
from .whole import WEIGHTS, write_index, write_whole

STATE = "state"


class Checkpointer:
    """Writes checkpoints of one attempt.

    The attempt's folder is held open and written through its descriptor: DeepSpeed makes missing folders,
    and a path would let it make a folder again that a newer attempt has moved away.
    """

    def __init__(
        self, fence: Fence, ranks: Ranks, layout: Layout, fingerprints: dict[str, Any], keep: int
    ) -> None:
        self.fence, self.ranks, self.layout = fence, ranks, layout
        self.fingerprints, self.keep = fingerprints, keep
        try:
            self._folder = os.open(fence.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise Fenced(f"the folder of attempt {fence.attempt} was moved away by a newer writer") from None

    def save(
        self,
        engine: Engine,
        step: int,
        consumed: int,
        metrics: dict[str, float | None],
        *,
        course: dict[str, Any] | None = None,
        whole: bool = False,
    ) -> bool:
        """Save and commit a step, all ranks together. Whether it was written (not when it is there already).

        Args:
            engine: whose state is saved.
            step: optimizer steps done.
            consumed: samples used.
            metrics: kept in the manifest.
            course: what was decided so far (`Course.to_json`), kept in the manifest for a resume.
            whole: write the whole model's weights too.

        Raises:
            Fenced: a newer attempt owns the output; nothing was committed.
        """
        target = self.fence.output.step(step)
        self.fence.check()
        # asked of one rank, as a file that one node already sees another may not
        there, _ = distributed.agree(
            self.ranks, int(self.ranks.first and target.is_dir() and broken(target) is None), stop=False
        )
        if there:
            return False
        folder = Path(f"/proc/self/fd/{self._folder}") / f"step-{step}"
        try:
            engine.raw.save_checkpoint(str(folder), tag=STATE, save_latest=False)
            if whole:
                write_whole(engine, folder / WEIGHTS)
            sync_tree(folder)
        except OSError:
            self.fence.check()
            raise
        distributed.barrier()
        if self.ranks.first:
            if whole:
                write_index(folder / WEIGHTS, self.layout.pipeline)
            self._commit(folder, step, consumed, metrics, course or {})
        distributed.barrier()
        return True

    def _commit(
        self,
        folder: Path,
        step: int,
        consumed: int,
        metrics: dict[str, float | None],
        course: dict[str, Any],
    ) -> None:
        files = inventory(folder)
        states = [name for name in files if name.endswith("_optim_states.pt")]
        expected = self.ranks.world if self.layout.zero else 0  # without ZeRO the model's file has them
        if len(states) != expected:
            raise RuntimeError(f"{len(states)} of {expected} ranks' optimizer states were written")
        manifest = {
            "version": 1,
            "jobUid": self.fence.job_uid,
            "attempt": self.fence.attempt,
            "step": step,
            "consumedSamples": consumed,
            "time": to_rfc3339(datetime.now(UTC)),
            "worldSize": self.ranks.world,
            "layout": asdict(self.layout),
            "fingerprints": self.fingerprints,
            "metrics": metrics,
            "course": course,
            "files": files,
        }
        write_json(folder / MANIFEST, manifest)
        fsync_folder(folder)
        target = self.fence.output.step(step)
        if target.exists():
            # only a torn one gets here; a whole one was found above and kept
            log.get().warning("replacing a torn checkpoint", step=step, reason=broken(target))
            target.rename(target.with_name(f".torn-{target.name}-{self.fence.attempt}"))
        self.fence.commit(f"step-{step}", target)
        self._retain()

    def _retain(self) -> None:
        """Delete all but the newest. Renamed first, so that no half-deleted step is ever seen."""
        for step in self.fence.output.committed()[self.keep :]:
            self.fence.check()
            gone = self.fence.output.checkpoints / f".deleted-step-{step}"
            self.fence.output.step(step).rename(gone)
            discard(gone)


def load(engine: Any, folder: Path) -> None:
    """Load a committed step into an engine, all ranks together."""
    where, _ = engine.load_checkpoint(str(folder), tag=STATE)
    if where is None:
        raise RuntimeError(f"DeepSpeed found nothing to load in {folder.name}")
