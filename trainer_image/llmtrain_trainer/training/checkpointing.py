"""When the training loop saves, how it waits for it, and what becomes of a save that fails."""

from __future__ import annotations

import time
from typing import NamedTuple

from llmtrain_api import CheckpointSpec

from ..batch import Length
from ..checkpoint.interval import MOST_FAILURES, Interval, due_by_steps
from ..checkpoint.manifest import Metrics, StepFacts
from ..checkpoint.save import Checkpointer, SaveResult, Votes
from ..errors import SaveFailed
from ..parallel.engine import Engine
from ..telemetry.sinks import Progress
from .run_state import RunState


class SaveVotes(NamedTuple):
    """What a rank knows of saves when a step begins; summed up, what all of them know.

    Attributes:
        done: 1 when this rank's part of the save under way has ended, well or not.
        failed: 1 when it has ended badly.
        due: 1 when a save is due by time.
    """

    done: int
    failed: int
    due: int


class CheckpointScheduler:
    """One attempt's saves, the same on all ranks.

    One save at a time is under way; the next one waits for it. The last one, and one before stopping, are
    committed before training goes on. A save that the disk refuses is tried again at the next interval;
    `MOST_FAILURES` in a row end the attempt, as nothing that is trained from there on would be kept.
    """

    def __init__(
        self,
        files: Checkpointer,
        engine: Engine,
        spec: CheckpointSpec,
        length: Length,
        run_state: RunState,
        progress: Progress,
    ) -> None:
        self.files, self.engine, self.spec, self.run_state = files, engine, spec, run_state
        self.length, self.progress = length, progress
        self.interval = Interval(spec.every_minutes, time.monotonic())
        self.failures = 0
        self.newest: int | None = None
        self._step: int | None = None  # of the save that was begun last
        self._began = 0.0

    def votes(self) -> SaveVotes:
        """This rank's part of what is agreed each step; only rank 0's clock counts.

        Raises:
            Fenced: a newer attempt owns the output.
        """
        due = self.files.ranks.first and self.interval.due(time.monotonic())
        return SaveVotes(*self.files.votes(), int(due))

    def collect(self, votes: SaveVotes, step: int, metrics: Metrics) -> None:
        """Go on with the save that is under way, and begin one that is due by time.

        Args:
            votes: sums of all ranks' votes.
            step: optimizer steps done.
            metrics: losses of that step.

        Raises:
            SaveFailed: too many saves in a row have failed.
        """
        self._settle(self.files.count(Votes(votes.done, votes.failed)))
        if votes.due:
            self._begin(step, metrics)

    def due(self, step: int) -> bool:
        """Whether a save is due by steps, or because no step before was better."""
        return due_by_steps(step, self.length.steps, self.spec) or self._best(step)

    def after(self, step: int, metrics: Metrics) -> None:
        """Save if a save is due by steps, or because no step before was better.

        Raises:
            SaveFailed: too many saves in a row have failed.
        """
        if self.due(step):
            self._begin(step, metrics)

    def settle(self) -> None:
        """Wait for the save that is under way.

        Raises:
            SaveFailed: too many saves in a row have failed.
        """
        self._settle(self.files.finish())

    def first(self, metrics: Metrics) -> None:
        """Save the start, so that there is always something to go back to.

        Raises:
            SaveFailed: there is nothing.
        """
        if error := self._now(0, metrics):
            raise SaveFailed(error)

    def last(self, step: int, metrics: Metrics) -> None:
        """Save the end with the whole model's weights, for the export.

        Raises:
            SaveFailed: without it the job has no result.
        """
        self.settle()
        if error := self._now(step, metrics, whole=True):
            raise SaveFailed(error)

    def before_stopping(self, step: int, metrics: Metrics) -> str:
        """Save before the attempt stops; what came of it, in words."""
        self._settle(self.files.finish(), stopping=True)
        if self.newest == step:
            return f"saved at step {step}"
        if error := self._now(step, metrics):
            kept = f"saved at step {self.newest}" if self.newest else "nothing was saved by this attempt"
            return f"{error}; {kept}"
        return f"saved at step {step}"

    def _begin(self, step: int, metrics: Metrics) -> None:
        if step == self._step:  # due by steps and by time
            return
        began = time.monotonic()
        self._settle(self.files.finish())
        self._step, self._began, self.interval.since = step, began, began
        background = self.spec.background
        facts = self._facts(step, metrics)
        there = self.files.start(self.engine, facts, whole=facts.best, background=background)
        # what was written in this thread needs no further step to be agreed on
        settled = there or (None if background else self.files.finish())
        self.progress.stalled(time.monotonic() - began)
        self._settle(settled)

    def _now(self, step: int, metrics: Metrics, *, whole: bool = False) -> str | None:
        """Save and wait for it; why it failed, if it did."""
        self._began = time.monotonic()
        facts = self._facts(step, metrics)
        settled = self.files.save(self.engine, facts, whole=whole or facts.best)
        self.progress.stalled(time.monotonic() - self._began)
        self._settle(settled, stopping=True)
        return settled.error

    def _best(self, step: int) -> bool:
        """Whether the step is kept as the one with the lowest held-out loss so far."""
        found = self.run_state.evaluations
        return self.spec.keep_best and found.best_loss is not None and found.best_step == step

    def _facts(self, step: int, metrics: Metrics) -> StepFacts:
        return StepFacts(
            step=step,
            consumed_samples=self.length.consumed(step),
            metrics=metrics,
            best=self._best(step),
            run_state=self.run_state.to_json(),
        )

    def _settle(self, settled: SaveResult | None, *, stopping: bool = False) -> None:
        if settled is None:
            return
        if settled.error is None:
            self.failures, self.newest = 0, settled.step
            seconds = time.monotonic() - self._began
            kept = self.files.store.kept() if self.files.ranks.first else []
            self.progress.committed(settled.step, seconds, written=settled.written, kept=kept)
            return
        self.failures += 1
        self.progress.save_failed(settled.step, settled.error, self.failures)
        if self.failures >= MOST_FAILURES and not stopping:
            raise SaveFailed(f"{self.failures} checkpoints in a row failed; {settled.error}")
