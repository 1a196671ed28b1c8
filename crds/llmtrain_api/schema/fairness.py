"""Files of pairs of sentences, for ``evaluation.fairness`` and ``training.fairness``."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .locations import PART, forms, matches, mistake


class PairsFile(RuledModel):
    """Names a file of pairs of sentences."""

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "pairs",
            ".pairs",
            forms(PART, bucket=False),
            "use pvc://CLAIM/FILE or file:///FILE; no folder may be empty, '.' or '..'",
            why=lambda uri: mistake(uri, hidden=True, bucket=False),
        ),
    )
    pairs: str = Field(
        max_length=512,
        description="pvc://CLAIM/FILE or file:///FILE: a file of JSON lines with the texts a and b, which "
        "differ in who or what they are about, and category.",
    )


class FairnessSpec(PairsFile):
    """Pairs of sentences that the exported model is asked to compare."""


class FairnessPenaltySpec(PairsFile):
    """Pairs of sentences whose texts are to become equally likely while the model is trained.

    Added to the task's loss is weight times the mean, over the pairs of the step, of the square of
    log p(a) - log p(b), each a sum over the tokens of the whole text.
    """

    weight: float = Field(
        default=0.1,
        gt=0,
        le=1000,
        description="What the squared gap, in nats squared, is multiplied by before it is added to the loss, "
        "which is in nats per token.",
    )
    pairs_per_step: int = Field(
        default=8,
        ge=1,
        le=4096,
        description="Pairs of each optimizer step, over all ranks; at most all pairs of the file. Which ones "
        "follows from the step and the seed alone.",
    )
