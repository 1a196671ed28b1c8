"""Hyper-parameters of a job that names none, each with where it comes from.

What published recipes train with is another table, `llmtrain_api.recipes`: nothing is decided by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Value = float | int | str | tuple[float, ...]


@dataclass(frozen=True)
class Default:
    """What a field of ``training`` is where the job does not say.

    Attributes:
        field: its path below ``training``.
        value: what it gets.
        what: the jobs that it is for, in words.
        source: who uses it, or why it is so.
    """

    field: str
    value: Value
    what: str
    source: str

    @property
    def text(self) -> str:
        """The value as a person writes it."""
        if isinstance(self.value, tuple):
            return ", ".join(f"{one:g}" for one in self.value)
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value)


@dataclass(frozen=True)
class LearningRate(Default):
    """A peak learning rate of AdamW."""

    value: float


def _rate(value: float, what: str, source: str) -> LearningRate:
    return LearningRate("learningRate", value, what, source)


FROM_NOTHING = _rate(
    1e-3, "from random weights", "small models take more than the 6e-4 of 125M in arXiv:2005.14165, table 2.1"
)
FROM_WEIGHTS = _rate(2e-5, "for a model that exists", "arXiv:2307.09288, section 3.1")
ADAPTERS = _rate(2e-4, "for adapters beside a model that exists", "arXiv:2305.14314, appendix B")
PAIRS = _rate(1e-6, "for answers that are compared", "trl's documentation of DPO")
PAIRS_ADAPTERS = _rate(1e-5, "for adapters by compared answers", "trl's documentation of DPO")
REINFORCED = _rate(1e-6, "for answers that are rewarded", "arXiv:2402.03300, section 4.2")
REINFORCED_ADAPTERS = _rate(
    1e-5,
    "for adapters by answers that are rewarded",
    "ten times that of all weights, as for compared answers",
)
"""With more than the last four a model soon writes nothing else than what no rejected answer looks like; with
the second a model that was trained before keeps what it knows."""

ANY = "for any job"
_LLAMA, _GPT3 = "arXiv:2307.09288, section 2.2", "arXiv:2005.14165, appendix B"
SCHEDULE = Default("schedule", "cosine", ANY, f"{_GPT3}; {_LLAMA}")
MIN_RATE = Default("minLearningRate", 0.1, ANY, f"{_GPT3}; {_LLAMA}")
WARMUP = Default(
    "warmupSteps", 10, ANY, "our own: AdamW's averages must mean something; longer jobs take 1 to 10 %"
)
BETAS = Default("betas", (0.9, 0.95), ANY, f"{_GPT3}; {_LLAMA}")
EPSILON = Default("epsilon", 1e-8, ANY, _GPT3)
WEIGHT_DECAY = Default("weightDecay", 0.1, ANY, f"{_GPT3}; {_LLAMA}")
CLIPPING = Default("gradientClipping", 1.0, ANY, f"{_GPT3}; {_LLAMA}")
BATCH = Default("globalBatchSize", 16, ANY, "arXiv:2305.14314, appendix B; from scratch far more is usual")
EPOCHS = Default("epochs", 1, "where maxSteps is unset too", "our own: every sample once")
DEFAULTS: tuple[Default, ...] = (
    FROM_NOTHING,
    FROM_WEIGHTS,
    ADAPTERS,
    PAIRS,
    PAIRS_ADAPTERS,
    REINFORCED,
    REINFORCED_ADAPTERS,
    SCHEDULE,
    MIN_RATE,
    WARMUP,
    BETAS,
    EPSILON,
    WEIGHT_DECAY,
    CLIPPING,
    BATCH,
    EPOCHS,
)
"""Every default that a choice lies behind."""
FIXED = (SCHEDULE, MIN_RATE, WARMUP, BETAS, EPSILON, WEIGHT_DECAY, CLIPPING, BATCH)
"""Those that do not depend on the model or the task."""


def default_learning_rate(
    *, pretrained: bool, adapted: bool, pairs: bool = False, rewarded: bool = False
) -> LearningRate:
    """The peak learning rate of a job that names none.

    Args:
        pairs: whether it learns from answers that are compared.
        pretrained: whether it starts from weights that there are.
        adapted: whether adapters are trained, and no other weights.
        rewarded: whether it learns from rewards of its own answers.
    """
    if not pretrained:
        return FROM_NOTHING
    if rewarded:
        return REINFORCED_ADAPTERS if adapted else REINFORCED
    if pairs:
        return PAIRS_ADAPTERS if adapted else PAIRS
    return ADAPTERS if adapted else FROM_WEIGHTS


def kept(values: dict[str, object]) -> Iterator[Default]:
    """Defaults that a job's ``training`` has as they are.

    Args:
        values: its fields, by their names in a manifest.
    """
    for row in FIXED:
        wanted: object = list(row.value) if isinstance(row.value, tuple) else row.value
        if values.get(row.field) == wanted:
            yield row
