"""``spec`` of an LLMTrainingSweep: one job with other values in some fields, or with many datasets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema

from .base import ApiModel, Rule, RuledModel
from .status.runtime import ANY
from .sweep_adapters import ADAPTER_RULES, MAX_ADAPTERS, SweepAdapter

MAX_TRIALS = 256
MAX_PARAMETERS = 16
MAX_VALUES = 64
MAX_PARALLEL = 64
FIELD = r"[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*"
Value = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
"""Whatever a field of a job may hold."""


class Scale(StrEnum):
    """How values are spread over a range."""

    LINEAR = "linear"
    LOG = "log"


class Search(StrEnum):
    """How trials get their values."""

    GRID = "grid"
    RANDOM = "random"


class Goal(StrEnum):
    """Which of two values of the metric is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


def _range(found: SweepParameter) -> str | None:
    if (found.values is None) == (found.min is None and found.max is None):
        return "needs either values, or min and max; set one of the two"
    return None


def _both_ends(found: SweepParameter) -> str | None:
    if (found.min is None) != (found.max is None):
        return "a range needs min and max; set both"
    return None


def _order(found: SweepParameter) -> str | None:
    if found.min is None or found.max is None or found.min < found.max:
        return None
    return f"got {found.max:g}, and min is {found.min:g}; set max above min"


def _log(found: SweepParameter) -> str | None:
    if found.scale is Scale.LINEAR or found.min is None or found.min > 0:
        return None
    return f"got {found.min:g} with scale log; set min above 0"


class SweepParameter(RuledModel):
    """A field of the job, and what it is tried with."""

    field: str = Field(
        max_length=128,
        pattern=f"^{FIELD}$",
        description="Path of the field in the job's spec, such as training.learningRate.",
    )
    values: list[Value] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="Values to try. A grid tries each, a random search chooses one for each trial.",
    )
    min: float | None = Field(
        default=None, description="Lower end of a range that a random search chooses from."
    )
    max: float | None = Field(default=None, description="Upper end of that range.")
    scale: Scale = Field(
        default=Scale.LINEAR,
        description="log: each power of ten of the range is as likely as any other, as for learning rates.",
    )
    whole: bool = Field(default=False, description="Round to whole numbers.")

    rules: ClassVar[tuple[Rule, ...]] = (
        # CEL does not see a list of anything
        Rule(None, ".values", "a parameter needs either values, or min and max", _range),
        Rule("has(self.min) == has(self.max)", ".max", "a range needs min and max", _both_ends),
        Rule(
            "!has(self.min) || !has(self.max) || self.min < self.max",
            ".max",
            "max must be above min",
            _order,
        ),
        Rule(
            "self.scale != 'log' || !has(self.min) || self.min > 0.0",
            ".min",
            "with scale log, min must be above 0",
            _log,
        ),
    )


class SweepObjective(ApiModel):
    """What makes one trial better than another."""

    metric: str = Field(
        default="evalLoss",
        max_length=128,
        pattern=f"^{FIELD}$",
        description="Path of a figure in a job's status.results, such as evalLoss, scores.accuracy, "
        "answers.bleu or preference.rewardAccuracy.",
    )
    goal: Goal | None = Field(
        default=None,
        description="minimize or maximize. Default: minimize losses, perplexity, entropy and errors, "
        "maximize all else.",
    )


class HalvingSpec(ApiModel):
    """Short runs first, and longer ones of the best alone (https://arxiv.org/abs/1502.07943)."""

    min_steps: int = Field(
        ge=1, le=100_000_000, description="Optimizer steps of the first round, in which all trials run."
    )
    factor: int = Field(
        default=3,
        ge=2,
        le=10,
        description="Each round runs so many times as long, up to the job's maxSteps, with as many times "
        "fewer trials.",
    )


def _grid_of_values(spec: SweepSpec) -> str | None:
    named = [p.field for p in spec.parameters if p.values is None]
    if spec.search is Search.RANDOM or not named:
        return None
    return f"{named[0]} is a range, and a grid tries values; give it values, or set search: random"


def _trials_of_random(spec: SweepSpec) -> str | None:
    if (spec.search is Search.RANDOM) == (spec.trials is not None):
        return None
    if spec.trials is None:
        return "is missing with search: random; say how many trials to make"
    return "a grid has as many trials as combinations; remove trials, or set search: random"


class SweepSpec(RuledModel):
    """One job tried with other values in some of its fields, or an adapter for each of many datasets. Each
    trial, and each adapter, is a job of its own."""

    job: Annotated[dict[str, Any], ANY] = Field(
        description="spec of the jobs. The output of each is a folder of its own name in output.uri; "
        "without a dataset.cache of their own they share prepared data in the folder cache beside them."
    )
    parameters: list[SweepParameter] = Field(
        default_factory=list,
        min_length=1,
        max_length=MAX_PARAMETERS,
        description="Fields of the job, and what to try.",
    )
    adapters: list[SweepAdapter] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ADAPTERS,
        description="In place of parameters: adapters (LoRA) over the one base that job.model names, each "
        "with a dataset of its own. Each is exported alone, to the folder of its name in job.output.uri. "
        "More may be added at the end of the list at any time.",
    )
    search: Search = Field(
        default=Search.GRID,
        description="grid: every combination of values. random: values chosen for each trial by its seed.",
    )
    trials: int | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description="Number of trials of a random search."
    )
    parallel: int = Field(
        default=1, ge=1, le=MAX_PARALLEL, description="Most jobs at the same time. May be edited."
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Seed of a random search: the same seed, the same trials."
    )
    objective: SweepObjective = Field(
        default_factory=SweepObjective, description="What makes one trial better than another."
    )
    halving: HalvingSpec | None = Field(
        default=None, description="End bad trials early. Default: every trial runs to its end."
    )
    suspend: bool = Field(
        default=False, description="Begin no more trials; those that run go on. May be edited."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.search != 'grid' || !has(self.parameters) || self.parameters.all(p, !has(p.min))",
            ".parameters",
            "a grid tries values; give each parameter values, or set search: random",
            _grid_of_values,
        ),
        Rule(
            "(self.search == 'random') == has(self.trials)",
            ".trials",
            "trials is for search: random, which needs it",
            _trials_of_random,
        ),
        *ADAPTER_RULES,
    )
