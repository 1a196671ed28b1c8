"""How close to each other the pods of a gang are to be."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .scheduling import KEY as LABEL_KEY
from .scheduling import KEY_FIX, MAX_KEY, MAX_PREFIX, WorkerPodSpec, is_key


class TopologySpec(RuledModel):
    """One rack, block or zone for the whole gang."""

    label: str = Field(
        min_length=1,
        max_length=MAX_KEY,
        description="Label whose value names the rack, block or zone of a node, such as "
        "topology.kubernetes.io/zone.",
    )
    required: bool = Field(
        default=False,
        description="true: the gang never starts across two of them, and waits until one has room. false: "
        "the scheduler prefers one, and takes more where it must.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.label.indexOf('/') <= {MAX_PREFIX} && self.label.matches(r'^({LABEL_KEY})$')",
            ".label",
            KEY_FIX,
            lambda found: None if is_key(found.label) else f"got {found.label!r}; {KEY_FIX}",
        ),
    )


class PlacedPodSpec(WorkerPodSpec, ApiModel):
    """What is said of worker pods, and of where they are to each other."""

    topology: TopologySpec | None = Field(
        default=None,
        description="Keep the gang in one rack, block or zone, named by a label of the nodes. Default: it "
        "runs wherever there is room.",
    )
