"""``spec.training.preference``: what is minimised over pairs of answers, of which one is preferred, or over
single answers that are desirable or not."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel


class PreferenceLoss(StrEnum):
    """What is minimised over a pair, or with KTO over an answer.

    DPO: https://arxiv.org/abs/2305.18290, equation 7. IPO: https://arxiv.org/abs/2310.12036, equation 17.
    ORPO: https://arxiv.org/abs/2403.07691, equation 6. KTO: https://arxiv.org/abs/2402.01306, equation 8.
    """

    DPO = "dpo"
    IPO = "ipo"
    ORPO = "orpo"
    KTO = "kto"

    @property
    def has_reference(self) -> bool:
        """Whether what is trained is compared with the model that training starts from."""
        return self is not PreferenceLoss.ORPO

    @property
    def of_answers(self) -> bool:
        """Whether a sample is one answer with a label, and not a pair."""
        return self is PreferenceLoss.KTO


def _smoothed(preference: PreferenceSpec) -> str | None:
    if not preference.label_smoothing or preference.loss is PreferenceLoss.DPO:
        return None
    return f"labelSmoothing is for loss dpo; remove it, or use dpo instead of {preference.loss}"


def _weighed(name: str, field: str) -> Rule:
    """A weight of answers only with the loss that has answers of two kinds."""

    def why(preference: PreferenceSpec) -> str | None:
        if getattr(preference, field) == 1 or preference.loss.of_answers:
            return None
        return f"{name} is for loss kto; remove it, or use kto instead of {preference.loss}"

    return Rule(
        f"self.{name} == 1.0 || self.loss == 'kto'",
        f".{name}",
        f"{name} is for loss kto; remove it, or use kto",
        why,
    )


class PreferenceSpec(RuledModel):
    """How preferences are learnt. A pair counts as one sample, whatever its answers' lengths, and with loss
    kto an answer does."""

    loss: PreferenceLoss = Field(
        default=PreferenceLoss.DPO,
        description="dpo, ipo (of answers' means over tokens), orpo (without a reference: it also learns "
        "the chosen answers themselves), or kto (of single answers that are desirable or not, in no pairs).",
    )
    beta: float = Field(
        default=0.1,
        gt=0,
        le=100,
        description="How much the model is held to the one that it starts from (dpo, ipo, kto); with orpo "
        "the weight of the odds ratio.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        le=0.49,
        description="With dpo: share of the pairs that are expected to be the wrong way round.",
    )

    desirable_weight: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="With kto: weight of answers that are desirable. Where one kind is rare, raise its "
        "weight: weight times count of both should be alike, or up to a third more of the desirable ones.",
    )
    undesirable_weight: float = Field(
        default=1.0, gt=0, le=100, description="With kto: weight of answers that are not desirable."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.labelSmoothing == 0.0 || self.loss == 'dpo'",
            ".labelSmoothing",
            "labelSmoothing is for loss dpo; remove it, or use dpo",
            _smoothed,
        ),
        _weighed("desirableWeight", "desirable_weight"),
        _weighed("undesirableWeight", "undesirable_weight"),
    )
