"""``spec.training.preference``: what is minimised over pairs of answers, of which one is preferred."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel


class PreferenceLoss(StrEnum):
    """What is minimised over a pair.

    DPO: https://arxiv.org/abs/2305.18290, equation 7. IPO: https://arxiv.org/abs/2310.12036, equation 17.
    ORPO: https://arxiv.org/abs/2403.07691, equation 6.
    """

    DPO = "dpo"
    IPO = "ipo"
    ORPO = "orpo"

    @property
    def has_reference(self) -> bool:
        """Whether what is trained is compared with the model that training starts from."""
        return self is not PreferenceLoss.ORPO


def _smoothed(preference: PreferenceSpec) -> str | None:
    if not preference.label_smoothing or preference.loss is PreferenceLoss.DPO:
        return None
    return f"labelSmoothing is for loss dpo; remove it, or use dpo instead of {preference.loss}"


class PreferenceSpec(RuledModel):
    """How pairs of answers are learnt from. A pair counts as one sample, whatever its answers' lengths."""

    loss: PreferenceLoss = Field(
        default=PreferenceLoss.DPO,
        description="dpo, ipo (of answers' means over tokens), or orpo (without a reference: it also learns "
        "the chosen answers themselves).",
    )
    beta: float = Field(
        default=0.1,
        gt=0,
        le=100,
        description="How much the model is held to the one that it starts from (dpo, ipo); with orpo the "
        "weight of the odds ratio.",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        le=0.49,
        description="With dpo: share of the pairs that are expected to be the wrong way round.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.labelSmoothing == 0.0 || self.loss == 'dpo'",
            ".labelSmoothing",
            "labelSmoothing is for loss dpo; remove it, or use dpo",
            _smoothed,
        ),
    )
