"""What the queue decides on. Plain frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from llmtrain_api.schema.quantity import quantity

from ..types import JobRef

Amounts = Mapping[str, int]
"""Resource name to amount, in thousandths: 1 CPU is 1000, a byte is 1000, a GPU is 1000."""
SCALE = 1000


def amount(text: str | int) -> int:
    """A Kubernetes quantity in thousandths, rounded up; 0 for what is no quantity above 0."""
    try:
        return int((quantity(str(text)) * SCALE).to_integral_value(ROUND_CEILING))
    except ValueError:
        return 0


def shown(resource: str, value: int) -> str:
    """An amount as people write it, such as ``64Gi`` or ``2.5``."""
    whole = Decimal(value) / SCALE
    if resource.rpartition(".")[2] in ("memory", "ephemeral-storage"):
        for unit, size in (("Gi", 2**30), ("Mi", 2**20)):
            if whole >= size:
                return f"{float(whole / size):.4g}{unit}"
    return f"{float(whole):.12g}"


def total(parts: Iterable[Amounts]) -> dict[str, int]:
    """The sum, resource by resource."""
    found: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = found.get(name, 0) + value
    return found


class Taint(NamedTuple):
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str
    effect: str


class Tolerated(NamedTuple):
    """A toleration of a pod; an empty key with ``Exists`` tolerates all, an empty effect every effect."""

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, taint: Taint) -> bool:
        """Whether a node with that taint is no matter."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return (self.key, self.value) == (taint.key, taint.value)


class Expression(NamedTuple):
    """One term of a required node affinity."""

    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the scheduler sees it.

    Attributes:
        allocatable: what pods may request on it in all, ``pods`` among them.
        taints: a cordoned node has that of ``unschedulable``, as the scheduler gives it.
        ready: whether its kubelet answers.
    """

    name: str
    allocatable: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready: bool = True


@dataclass(frozen=True)
class Demand:
    """What one pod of a gang asks for; all pods of a gang ask for the same.

    Attributes:
        requests: what it takes of a node, one of ``pods`` included.
        limits: what a quota may count too.
        affinity: required node affinity: alternatives, each of terms that must all hold; none = any node.
    """

    requests: Amounts
    limits: Amounts = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity: tuple[tuple[Expression, ...], ...] = ()
    tolerations: tuple[Tolerated, ...] = ()
    priority_class: str = ""


@dataclass(frozen=True)
class Claim:
    """A gang that wants to start, or that has been let in.

    Attributes:
        job: whose.
        nodes: its pods.
        demand: of each.
        created: when the job was applied: first come, first served.
        priority: value of its PriorityClass; the higher is first.
        not_before: until when it waits for itself, after it found no room.
        eta: when it expects to be done; None = not known.
        placed: its pods that are on nodes and have not ended, by node.
        made: its pods that exist and have not ended, on a node or not.
        least: fewest pods that it would start with; None = all of them.
        refits: whether it was let in, and its next gang is as large as room allows, within what it held.
        wants: how many pods it would have if there were more room; 0 = no more than it has.
        yields: whether its gang may be ended for one of higher priority.
        leaves: whether its gang is being ended for good, so that its room is free soon.
    """

    job: JobRef
    nodes: int
    demand: Demand
    created: datetime
    priority: int = 0
    not_before: datetime | None = None
    eta: datetime | None = None
    placed: Mapping[str, int] = field(default_factory=dict)
    made: int = 0
    least: int | None = None
    refits: bool = False
    wants: int = 0
    yields: bool = False
    leaves: bool = False

    @property
    def unplaced(self) -> int:
        """Pods that have no node yet."""
        return max(0, self.nodes - sum(self.placed.values()))


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota of a namespace.

    Attributes:
        hard: what it allows, by its own keys such as ``requests.cpu`` or ``pods``.
        used: what is counted already.
        priority: terms over the priority class that a pod must meet to be counted.
        counts: whether it counts pods like ours at all; a quota of pods that end by themselves does not.
    """

    name: str
    hard: Amounts
    used: Amounts
    priority: tuple[Expression, ...] = ()
    counts: bool = True


@dataclass(frozen=True)
class View:
    """The cluster at one moment.

    Attributes:
        now: the moment.
        nodes: None = not known, as they may not be listed.
        used: requests of all pods on a node that have not ended, whoever made them.
        quotas: by namespace.
        one_at_a_time: whether a gang must be on its nodes before the next one is let in: where nodes are not
            known and no autoscaler adds what is missing.
    """

    now: datetime
    nodes: tuple[Node, ...] | None
    used: Mapping[str, Amounts] = field(default_factory=dict)
    quotas: Mapping[str, tuple[Quota, ...]] = field(default_factory=dict)
    one_at_a_time: bool = False
