"""``spec.model.adapter``: train low-rank adapters beside frozen weights (LoRA)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from .base import Rule, RuledModel

ALL_LINEAR = "all-linear"
"""Stands for every linear layer but the output layer."""
ALONE = f"{ALL_LINEAR} is every linear layer already; keep it alone, or name layers without it"
TargetName = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")
]


def _alone(adapter: AdapterSpec) -> str | None:
    if ALL_LINEAR not in adapter.targets or len(adapter.targets) == 1:
        return None
    return ALONE


class AdapterSpec(RuledModel):
    """LoRA (https://arxiv.org/abs/2106.09685): each targeted matrix W becomes W + (alpha / rank) B A, and A
    and B alone are trained."""

    rank: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="Rows of A and columns of B; at most the smaller side of each targeted matrix.",
    )
    alpha: int = Field(
        default=32, ge=1, le=65536, description="The adapters' output is scaled by alpha / rank."
    )
    targets: list[TargetName] = Field(
        default=[ALL_LINEAR],
        min_length=1,
        max_length=32,
        description="Linear layers that get adapters, by the end of their name, such as [q_proj, v_proj]. "
        "Default: [all-linear], every one but the output layer.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!('{ALL_LINEAR}' in self.targets) || size(self.targets) == 1",
            ".targets",
            ALONE,
            _alone,
        ),
    )

    @property
    def scale(self) -> float:
        """What B A is multiplied with."""
        return self.alpha / self.rank
