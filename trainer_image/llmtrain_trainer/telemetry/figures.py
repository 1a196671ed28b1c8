"""What a step's outcome means: rates, shares, what is left."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmtrain_api import ReinforcementFigures

from ..batch import BatchPlan, Length
from .flops import mfu
from .phases import Seconds

SMOOTHING = 0.9


@dataclass(frozen=True)
class StepResult:
    """One optimizer step, as all ranks agree on it.

    Attributes:
        step: its number.
        loss: a mean over labels, without the penalty.
        learning_rate: of it.
        gradient_norm: before clipping.
        tokens: that were trained on.
        applied: whether the weights were changed.
        fairness_penalty: squared gap of the step's pairs of sentences, a mean; None where there are none.
        reinforcement: what came of answers that the model wrote; None of other tasks.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float | None
    tokens: int
    applied: bool
    fairness_penalty: float | None = field(default=None, kw_only=True)
    reinforcement: ReinforcementFigures | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class StepReport(StepResult):
    """All that is known of a step: every sink shows a part of it.

    Attributes:
        total_steps: optimizer steps of the whole job.
        seconds: wall time of the step.
        smooth_seconds: the same, smoothed; rates and the ETA are by it.
        samples: sequences trained on.
        padding: share of the step's sequences that only fill the batch.
        epoch: passes over the data, with fraction.
        progress: share of the steps done, 0 to 1.
        eta_seconds: expected time until the last step.
        tokens_per_second: of all ranks.
        tokens_per_second_per_device: of one rank.
        model_flops_per_second: of all ranks, as `flops` counts.
        mfu: share of the devices' peak; None where no peak is known.
        phases: seconds by phase of this rank.
        measured: whether the phases were measured in this step, not estimated.
    """

    total_steps: int
    seconds: float
    smooth_seconds: float
    samples: int
    padding: float
    epoch: float
    progress: float
    eta_seconds: float
    tokens_per_second: float
    tokens_per_second_per_device: float
    model_flops_per_second: float
    mfu: float | None
    phases: Seconds
    measured: bool


RULE = "reward_"
"""Before the name of a rule, for what it gave."""


def answers_of(result: StepResult) -> dict[str, float]:
    """What came of a step's answers by flat names; nothing of tasks without."""
    return {} if result.reinforcement is None else flat(result.reinforcement)


def flat(found: ReinforcementFigures) -> dict[str, float]:
    """Figures of answers by flat names."""
    told = found.model_dump(exclude={"rewards"}, exclude_none=True)
    return told | {f"{RULE}{one.name}": one.mean for one in found.rewards}


class Pace:
    """Seconds a step, smoothed over the steps of an attempt.

    The first step begins much that no other does (memory, kernels, connections) and takes several times as
    long: with the second it is forgotten, or rates and the ETA would be wrong by that for dozens of steps.
    """

    def __init__(self) -> None:
        self._smooth = 0.0
        self._steps = 0

    def step(self, seconds: float) -> float:
        """A step took this long; what one takes by all so far."""
        self._steps += 1
        known = self._steps > 2
        self._smooth = SMOOTHING * self._smooth + (1 - SMOOTHING) * seconds if known else seconds
        return self._smooth


@dataclass(frozen=True)
class Workload:
    """What is the same in every step of a job.

    Attributes:
        world: devices that compute; on a CPU, processes.
        sequence_flops: of one training sequence.
        peak: FLOP/s of one device at most, if known.
    """

    length: Length
    plan: BatchPlan
    world: int
    sequence_flops: float
    peak: float | None

    def report(
        self, result: StepResult, seconds: float, smooth: float, phases: Seconds, *, measured: bool
    ) -> StepReport:
        """All figures of a step.

        Args:
            result: the step.
            seconds: its wall time.
            smooth: the same, smoothed.
            phases: of this rank.
            measured: whether they are no estimate.
        """
        samples = self.length.consumed(result.step) - self.length.consumed(result.step - 1)
        slots = self.plan.accumulation * self.plan.micro * self.plan.ranks
        rate, flops = result.tokens / smooth, samples * self.sequence_flops / smooth
        return StepReport(
            **vars(result),
            total_steps=self.length.steps,
            seconds=seconds,
            smooth_seconds=smooth,
            samples=samples,
            padding=1 - samples / slots,
            epoch=self.length.consumed(result.step) / self.length.samples,
            progress=result.step / self.length.steps,
            eta_seconds=(self.length.steps - result.step) * smooth,
            tokens_per_second=rate,
            tokens_per_second_per_device=rate / self.world,
            model_flops_per_second=flops,
            mfu=mfu(flops, self.world, self.peak),
            phases=phases,
            measured=measured,
        )
