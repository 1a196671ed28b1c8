"""What a run has decided so far: steps it skips, when it ends, which evaluation was the best.

All of it follows from numbers that every rank has alike, so all ranks decide alike. A checkpoint's manifest
keeps the whole of it, so that a resumed attempt judges each step exactly as the one before would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, ValidationError

from llmtrain_api import EarlyStoppingSpec, OnSpike, TrainingSpec
from llmtrain_api.messages import figure
from llmtrain_api.schema.base import ApiModel

from ..errors import ConfigError, DivergedError
from .spikes import Average, Spike, SpikeDetector, StepGuard

MAX_REWINDS = 3
STOP_HINT = "lower training.learningRate, raise training.warmupSteps, or set training.onSpike: rewind"
REWIND_HINT = (
    "lower training.learningRate, raise training.warmupSteps, or look at the samples that were skipped"
)


@dataclass(frozen=True)
class Evaluations:
    """The held-out losses so far.

    Attributes:
        last: step of the last one.
        best_step: step of the lowest one.
        best_loss: the lowest one; None before the first.
        mark: what the next gain is measured from.
        without_gain: evaluations since the last gain.
    """

    last: int = 0
    best_step: int = 0
    best_loss: float | None = None
    mark: float | None = None
    without_gain: int = 0

    def with_loss(self, step: int, loss: float, min_delta: float = 0.0) -> Evaluations:
        """The same with one more evaluation.

        One that a resume repeats is not counted, and a loss that is not finite is no gain.
        """
        if step <= self.last:
            return self
        after = replace(self, last=step, without_gain=self.without_gain + 1)
        if not math.isfinite(loss):
            return after
        if self.best_loss is None or loss < self.best_loss:
            after = replace(after, best_step=step, best_loss=loss)
        if self.mark is None or loss < self.mark - min_delta:
            after = replace(after, mark=loss, without_gain=0)
        return after

    def stop(self, rule: EarlyStoppingSpec | None) -> str | None:
        """Why training should end now; None while it should not."""
        if rule is None or self.without_gain < rule.patience:
            return None
        best = "none is finite"
        if self.best_loss is not None:
            best = f"the best is {self.best_loss:.4f} of step {self.best_step}"
        return (
            f"early stopping at step {self.last}: {self.without_gain} evaluations without a gain of more "
            f"than {rule.min_delta:g}; {best}"
        )


class SavedRunState(ApiModel):
    """``run_state`` in a checkpoint's manifest: all that `RunState` decides by.

    A checkpoint of an older version lacks some of it, and is resumed with the defaults.
    """

    skipped_steps: tuple[int, ...] = ()
    dropped_steps: int = Field(default=0, ge=0)
    dropped_in_a_row: int = Field(default=0, ge=0)
    evaluations: Evaluations = Evaluations()
    losses: Average = Average()
    norms: Average = Average()


class RunState:
    """The decisions of one attempt.

    Attributes:
        skipped: steps, numbered as they are when done, whose samples are passed over.
        evaluations: held-out losses.
        dropped: steps that the engine dropped, as their gradients were not finite.
    """

    def __init__(self, training: TrainingSpec) -> None:
        self.policy, self.stopping = training.on_spike, training.early_stopping
        self.scales = training.precision.scales_losses
        self.skipped: tuple[int, ...] = ()
        self.evaluations = Evaluations()
        self._spikes, self._guard = SpikeDetector(), StepGuard()

    @property
    def dropped(self) -> int:
        """Steps that the engine dropped, as their gradients were not finite."""
        return self._guard.dropped

    @property
    def stop_reason(self) -> str | None:
        """Why training ends before its last step, once it does."""
        return self.evaluations.stop(self.stopping)

    def judge(self, step: int, loss: float, norm: float | None, *, applied: bool) -> Spike | None:
        """Note a step, and what spiked in it.

        A step that the loss scaling of fp16 drops is part of finding the scale, and no spike.

        Raises:
            DivergedError: too many dropped steps in a row, or a spike that must end the job.
        """
        self._guard.observe(step, applied=applied)
        if not applied and self.scales:
            return None
        spike = self._spikes.observe(loss, norm)
        if spike is None and not applied:
            spike = Spike("gradient norm", math.nan, None)
        if spike is None or self.policy is OnSpike.WARN:
            return spike
        if self.policy is OnSpike.STOP:
            raise DivergedError(f"step {step}: {spike}, and training.onSpike is stop", STOP_HINT)
        if applied and len(self.skipped) >= MAX_REWINDS:
            raise DivergedError(f"step {step}: {spike}, after {MAX_REWINDS} rewinds", REWIND_HINT)
        return spike

    def rewinds(self, spike: Spike | None, *, applied: bool) -> bool:
        """Whether to go back: a step that was dropped has done no harm, and was skipped by that already."""
        return spike is not None and applied and self.policy is OnSpike.REWIND

    def skip(self, step: int) -> None:
        """Never train on this step's samples again."""
        self.skipped = tuple(sorted({*self.skipped, step}))

    def evaluated(self, step: int, loss: float) -> None:
        """Note a held-out loss."""
        least = self.stopping.min_delta if self.stopping else 0.0
        self.evaluations = self.evaluations.with_loss(step, loss, least)

    def to_json(self) -> dict[str, Any]:
        """The state as a checkpoint's manifest holds it: see `SavedRunState`."""
        return SavedRunState(
            skipped_steps=self.skipped,
            dropped_steps=self._guard.dropped,
            dropped_in_a_row=self._guard.in_a_row,
            evaluations=self.evaluations,
            losses=self._spikes.losses,
            norms=self._spikes.norms,
        ).to_json()

    def restore(self, raw: dict[str, Any]) -> None:
        """Go on from a checkpoint; steps skipped since it was written stay skipped.

        Raises:
            ConfigError: the manifest holds no state that this version can read.
        """
        try:
            saved = SavedRunState.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(
                f"the run_state in the checkpoint's manifest cannot be read: {error.errors()[0]['msg']}",
                "use another output.uri, or the version that wrote it",
            ) from error
        self.skipped = tuple(sorted({*self.skipped, *saved.skipped_steps}))
        self._guard.dropped, self._guard.in_a_row = saved.dropped_steps, saved.dropped_in_a_row
        self.evaluations = saved.evaluations
        self._spikes = SpikeDetector(saved.losses, saved.norms)

    def results(self, *, early: bool) -> dict[str, Any]:
        """What the job's results say of it.

        Args:
            early: training ends before its last step.
        """
        best = self.evaluations
        return {
            "stop_reason": self.stop_reason if early else None,
            "skipped_steps": len(self.skipped) + self.dropped,
            "best_step": best.best_step if best.best_loss is not None else None,
            "best_eval_loss": figure(best.best_loss),
        }
