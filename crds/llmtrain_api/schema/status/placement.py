"""``status.placement``: where another scheduler let the gang in, and what its pods need for that."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from ..scheduling import MAX_ANNOTATION, MAX_ENTRIES, MAX_KEY, LabelValue, TaintEffect
from .values import Text


class PlacedToleration(ApiModel):
    """A toleration as that scheduler's flavor has it: its own API has checked it."""

    key: Annotated[str, Field(max_length=MAX_KEY)] | None = Field(
        default=None, description="Key of the taint."
    )
    operator: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="How values are compared."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint.")
    toleration_seconds: int | None = Field(default=None, description="Seconds, for NoExecute.")


class Placement(ApiModel):
    """The room that a gang has in another scheduler's queue."""

    queue: Text = Field(description="The queue that let it in.")
    workload: Text = Field(description="The object of that scheduler that holds the room.")
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="Labels of the nodes that it was given."
    )
    tolerations: list[PlacedToleration] = Field(
        default_factory=list, max_length=MAX_ENTRIES, description="Taints of these nodes."
    )
    labels: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="Labels that its pods get."
    )
    annotations: dict[str, Annotated[str, Field(max_length=MAX_ANNOTATION)]] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="Annotations that its pods get."
    )
    scheduling_gates: list[Text] = Field(
        default_factory=list,
        max_length=8,
        description="What holds its pods back until that scheduler has chosen a node for each.",
    )
