"""Peak learning rates of jobs that name none, each with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRate:
    """A rate that a job gets.

    Attributes:
        rate: the peak, of AdamW.
        what: that it is for, in words.
        source: who uses it.
    """

    rate: float
    what: str
    source: str


FROM_NOTHING = LearningRate(
    1e-3, "from random weights", "small models take more than the 6e-4 of 125M in arXiv:2005.14165, table 2.1"
)
FROM_WEIGHTS = LearningRate(2e-5, "for a model that exists", "arXiv:2307.09288, section 3.1")
ADAPTERS = LearningRate(2e-4, "for adapters beside a model that exists", "arXiv:2305.14314, appendix B")
PAIRS = LearningRate(1e-6, "for answers that are compared", "trl's documentation of DPO")
PAIRS_ADAPTERS = LearningRate(1e-5, "for adapters by compared answers", "trl's documentation of DPO")
REINFORCED = LearningRate(1e-6, "for answers that are rewarded", "arXiv:2402.03300, section 4.2")
REINFORCED_ADAPTERS = LearningRate(
    1e-5,
    "for adapters by answers that are rewarded",
    "ten times that of all weights, as for compared answers",
)
"""With more than the last four a model soon writes nothing else than what no rejected answer looks like; with
the first a model that was trained before forgets what it knows."""


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
