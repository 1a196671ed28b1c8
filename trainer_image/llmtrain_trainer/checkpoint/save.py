"""Saving and loading a step: every rank writes, all agree that it is written, rank 0 commits.

A save has two pieces of work: each rank's files, then rank 0's commit. Either may run in a thread; how many
ranks have finished a piece is a number among those that all ranks sum up at each step anyway, so no rank ever
waits for another rank's disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from llmtrain_api import Layout

from .. import distributed, log
from ..distributed import Ranks
from ..errors import ConfigError, Fenced
from ..parallel.engine import Engine
from .background import Work
from .commit import write_part
from .fence import Fence
from .full_weights import Entries, write_whole
from .hyperparameters import kept
from .manifest import STATE, WEIGHTS, Manifest, StepFacts
from .mapped import MappedFiles
from .restore import restore
from .resume import Resume
from .shards import Shards
from .snapshot import SnapshotEngine
from .store import CheckpointStore


@dataclass(frozen=True)
class SaveResult:
    """How a save ended, the same on all ranks.

    Attributes:
        step: optimizer steps of the checkpoint.
        error: why it could not be written; None = it is committed.
        written: False when it was there already.
    """

    step: int
    error: str | None = None
    written: bool = True


class Votes(NamedTuple):
    """What a rank knows of the save that is under way; summed up, what all of them know.

    Attributes:
        done: 1 when this rank's work has ended, well or not.
        failed: 1 when it has ended badly.
    """

    done: int
    failed: int


@dataclass
class _Pending:
    """The save that is under way."""

    step: int
    folder: Path
    work: Work
    commit: Callable[[], None]
    background: bool
    committing: bool = False


class Checkpointer:
    """Writes checkpoints of one attempt.

    The attempt's folder is held open and written through its descriptor: DeepSpeed makes missing folders,
    and a path would let it make a folder again that a newer attempt has moved away.
    """

    def __init__(
        self, fence: Fence, ranks: Ranks, layout: Layout, fingerprints: dict[str, Any], store: CheckpointStore
    ) -> None:
        self.fence, self.ranks, self.layout = fence, ranks, layout
        self.fingerprints, self.store = fingerprints, store
        self._files = SnapshotEngine()
        self._pending: _Pending | None = None
        try:
            self._folder = os.open(fence.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise Fenced(f"the folder of attempt {fence.attempt} was moved away by a newer writer") from None

    def save(self, engine: Engine, facts: StepFacts, *, whole: bool = False) -> SaveResult:
        """Save and commit a step, all ranks together, before it returns. See `start`."""
        ended = self.start(engine, facts, whole=whole, background=False) or self.finish()
        assert ended is not None
        return ended

    def start(
        self, engine: Engine, facts: StepFacts, *, whole: bool = False, background: bool = True
    ) -> SaveResult | None:
        """Copy a step's state, all ranks together, and begin to write it. No other save may be under way.

        Args:
            engine: whose state is saved.
            facts: what the manifest says of the step.
            whole: write the whole model's weights too.
            background: write in a thread, while training goes on.

        Returns:
            None, or the end of it when the step is there already.

        Raises:
            Fenced: a newer attempt owns the output; nothing was committed.
        """
        assert self._pending is None, "the save before must be settled first"
        self.fence.check()
        step = facts.step
        # asked of one rank, as a file that one node already sees another may not
        found = self.ranks.first and self.store.has(step, whole=whole)
        [there] = distributed.all_reduce_sum(self.ranks, int(found))
        if there:
            return SaveResult(step, written=False)
        self.store.begin(step)
        folder = Path(f"/proc/self/fd/{self._folder}") / f"step-{step}"
        weights = self._copy(engine, folder, whole=whole, hold=background)
        work = self._work(partial(self._write, folder, weights), background)
        commit = partial(self.store.commit, folder, self._head(facts), self.layout, whole=whole)
        self._pending = _Pending(step, folder, work, commit, background)
        return None

    def _copy(self, engine: Engine, folder: Path, *, whole: bool, hold: bool) -> Entries:
        """Take this rank's state, all ranks together; the files of whole weights that it wrote already."""
        self._files.begin(folder, hold=hold)
        self._files.attach(engine.raw, leave_out_weights=_in_optimizer(engine))
        engine.raw.save_checkpoint(
            str(folder), tag=STATE, save_latest=False, exclude_frozen_parameters=engine.frozen
        )
        if not whole:
            return {}
        try:
            written = write_whole(engine, self.ranks, folder / WEIGHTS)
        except OSError as error:  # after the last exchange between ranks
            self._files.error = self._files.error or error
            return {}
        return {f"{WEIGHTS}/{name}": entry for name, entry in written.items()}

    def _write(self, folder: Path, weights: Entries) -> None:
        self.store.upload(folder, write_part(self._files, folder, self.ranks.rank, weights))

    def _head(self, facts: StepFacts) -> Manifest:
        """The manifest, but for the files, which are known only when all ranks have written."""
        return Manifest(
            **dict(facts),
            job_uid=self.fence.job_uid,
            attempt=self.fence.attempt,
            world_size=self.ranks.world,
            layout=asdict(self.layout),
            fingerprints=self.fingerprints,
        )

    def votes(self) -> Votes:
        """This rank's part of what all ranks exchange at each step.

        Raises:
            Fenced: a newer attempt owns the output.
        """
        if self._pending is None or not self._pending.work.done:
            return Votes(0, 0)
        return Votes(1, int(self._pending.work.failure() is not None))

    def count(self, votes: Votes) -> SaveResult | None:
        """Go on, given the sums of all ranks' votes. Every rank calls it with the same sums.

        Returns:
            The end of the save, once all ranks know it.
        """
        one = self._pending
        if one is None or votes.done < self.ranks.world:
            return None
        if votes.failed:
            return self._give_up(one)
        if one.committing:
            self._pending = None
            self.store.clear(one.folder)
            return SaveResult(one.step)
        one.committing = True
        if self.ranks.first:
            one.work = self._work(one.commit, one.background)
        return None

    def finish(self) -> SaveResult | None:
        """Wait for the save that is under way, all ranks together; None when there is none."""
        settled = None
        while self._pending and settled is None:
            self._pending.work.wait()
            settled = self.count(Votes(*distributed.all_reduce_sum(self.ranks, *self.votes())))
        return settled

    def _work(self, act: Callable[[], None], background: bool) -> Work:
        def guarded() -> None:
            try:
                act()
            except OSError:
                self.fence.check()  # a folder that a newer attempt moved away looks like a broken disk
                raise

        return Work(guarded, background=background)

    def _give_up(self, one: _Pending) -> SaveResult:
        """All ranks' work has ended, so what they wrote may go; it may be what fills the disk."""
        self._pending = None
        error = one.work.failure()
        own = self.store.refusal(one.step, error) if error else ""
        reasons = [text for text in distributed.all_gather_text(self.ranks, own) if text]
        self.store.clear(one.folder)
        return SaveResult(one.step, reasons[0] if reasons else "unknown error")


def load_from(store: CheckpointStore, engine: Engine, folder: Path, resume: Resume) -> None:
    """Load a step that was fetched. See `load`.

    Raises:
        OSError: a part of it is damaged, which is on record then, or could not be got.
    """
    try:
        load(engine, folder, resume, store.mapped(resume.step))
    except OSError as error:
        store.tell_damaged(resume.step, error)
        raise


def load(engine: Engine, folder: Path, resume: Resume, files: MappedFiles | None = None) -> int | None:
    """Load a committed step into a fresh engine, all ranks together: bit-equal where the layout is the same.

    What the job says of its optimizer holds, not what the checkpoint was written under.

    Args:
        engine: of this job's layout.
        folder: of the step.
        resume: how it was saved, and what of it is wanted.
        files: its states, where not all of them may lie in the folder.

    Returns:
        Bytes of tensors that this rank read of a step of another layout; None where DeepSpeed read its own.

    Raises:
        ConfigError: it was saved in another layout and cannot be put into this one, or a file of it names
            code that is no part of a checkpoint.
        OSError: a part of it could not be got.
    """
    with kept(engine):
        return _load(engine, folder, resume, files)


def _load(engine: Engine, folder: Path, resume: Resume, files: MappedFiles | None) -> int | None:
    if not resume.as_saved(engine.layout):
        source = Shards(folder / STATE, resume.layout, files, skip_optimizer=resume.weights_only)
        restore(engine, source)
        told = {"read_bytes": source.asked, "of_bytes": source.size, "downloaded_bytes": source.files.got}
        log.get().info("state read in another layout", **told)
        return source.asked
    SnapshotEngine().attach(engine.raw)  # DeepSpeed reads each file through it
    own = partial(_load_trained, engine) if engine.frozen else None
    where, _ = engine.raw.load_checkpoint(str(folder), tag=STATE, custom_load_fn=own)
    if where is None:
        raise RuntimeError(f"DeepSpeed found nothing to load in {folder.name}")
    if _in_optimizer(engine):
        engine.raw.optimizer.update_lp_params()
    return None


def _in_optimizer(engine: Engine) -> bool:
    """Whether the trained weights of a checkpoint are in the optimizer's files alone.

    With ZeRO 1 and 2 DeepSpeed saves them twice. Beside frozen weights that would be a fourth of all.
    """
    return engine.frozen and engine.layout.zero in (1, 2)


def _load_trained(engine: Engine, src: dict[str, Any], dst: torch.nn.Module) -> None:
    """Load what a checkpoint has of a model that is frozen in part. DeepSpeed would ask for all of it."""
    missing, unknown = dst.load_state_dict(src, strict=False)
    trained = {name for name, parameter in dst.named_parameters() if parameter.requires_grad}
    lost = sorted(trained.intersection(missing)) if engine.layout.zero == 0 else []
    if lost or unknown:
        raise ConfigError(
            f"the checkpoint lacks {lost} and has {unknown} beside what is trained",
            "use another output.uri, or the version that wrote it",
        )
