"""``spec.dataset.fillInTheMiddle``: training documents of which a part in the middle is told last."""

from __future__ import annotations

from pydantic import Field

from .base import ApiModel


class FillInTheMiddleSpec(ApiModel):
    """How many training documents get a hole, and how they are told (Bavarian et al. 2022)."""

    rate: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of the training documents that are cut at two random places, and whose middle "
        "comes last. The others stay as they are.",
    )
    spm_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Of these, the share that is told as suffix, prefix, middle (SPM); the rest as prefix, "
        "suffix, middle (PSM).",
    )
