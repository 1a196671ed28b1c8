"""Nodes, pods of anybody, priority classes and quotas: from the API's JSON to what the queue decides on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from .demand import expressions, requests_of
from .values import Amounts, Node, Quota, Taint, amount

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
ENDED = frozenset({"Succeeded", "Failed"})
COUNTING_SCOPES = frozenset({"NotTerminating", "NotBestEffort"})
"""A worker pod has requests and no deadline of its own."""
PRIORITY_SCOPE = "PriorityClass"


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of an object.

    Attributes:
        deletion_deadline: ``deletionTimestamp``, or None.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    deletion_deadline: object = None


@dataclass(frozen=True, slots=True)
class SeenNode(Seen):
    """A node."""

    node: Node = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class SeenPod(Seen):
    """A pod, whoever made it.

    Attributes:
        node: where it is; empty = nowhere yet.
        requests: what it takes of that node; nothing once it has ended.
        owner: UID of its controller.
        ended: whether it has.
    """

    node: str = ""
    requests: Amounts = field(default_factory=dict)
    owner: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class SeenClass(Seen):
    """A PriorityClass.

    Attributes:
        is_default: whether it is that of pods that name none.
    """

    value: int = 0
    is_default: bool = False


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class _Owner(_Struct, frozen=True):
    uid: str = ""
    controller: bool | None = None


class _Meta(_Struct, frozen=True):
    name: str
    uid: str
    resource_version: str
    namespace: str = ""
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str | None = None

    @property
    def seen(self) -> dict[str, Any]:
        """As the fields of `Seen`."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resource_version": int(self.resource_version),
            "deletion_deadline": self.deletion_timestamp,
        }


class _Taint(_Struct, frozen=True):
    key: str
    value: str = ""
    effect: str = ""


class _Condition(_Struct, frozen=True):
    type: str
    status: str


class _NodeSpec(_Struct, frozen=True):
    unschedulable: bool = False
    taints: list[_Taint] | None = None


class _NodeStatus(_Struct, frozen=True):
    allocatable: dict[str, str | int] | None = None
    conditions: list[_Condition] | None = None


class _Node(_Struct, frozen=True):
    metadata: _Meta
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _Resources(_Struct, frozen=True):
    requests: dict[str, str | int] | None = None
    limits: dict[str, str | int] | None = None


class _Container(_Struct, frozen=True):
    resources: _Resources | None = None
    restart_policy: str | None = None


class _PodSpec(_Struct, frozen=True):
    node_name: str | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    overhead: dict[str, str | int] | None = None


class _PodStatus(_Struct, frozen=True):
    phase: str = "Pending"


class _Pod(_Struct, frozen=True):
    metadata: _Meta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _Class(_Struct, frozen=True):
    metadata: _Meta
    value: int = 0
    global_default: bool | None = None


def decode_node(raw: bytes) -> SeenNode | None:
    """A node; None for what is none."""
    try:
        found = msgspec.json.decode(raw, type=_Node)
    except msgspec.ValidationError:
        return None
    taints = [Taint(t.key, t.value, t.effect) for t in found.spec.taints or ()]
    if found.spec.unschedulable and UNSCHEDULABLE not in taints:
        taints.append(UNSCHEDULABLE)
    ready = all(c.status == "True" for c in found.status.conditions or () if c.type == "Ready")
    node = Node(
        name=found.metadata.name,
        allocatable={name: amount(text) for name, text in (found.status.allocatable or {}).items()},
        labels=found.metadata.labels or {},
        taints=tuple(taints),
        ready=ready,
    )
    return SeenNode(**found.metadata.seen, node=node)


def decode_any_pod(raw: bytes) -> SeenPod | None:
    """A pod; None for what is none."""
    try:
        found = msgspec.json.decode(raw, type=_Pod)
    except msgspec.ValidationError:
        return None
    ended = found.status.phase in ENDED
    spec = msgspec.to_builtins(found.spec)
    owners = (o.uid for o in found.metadata.owner_references or () if o.controller)
    return SeenPod(
        **found.metadata.seen,
        node=found.spec.node_name or "",
        requests={} if ended or not found.spec.node_name else requests_of(spec),
        owner=next(owners, ""),
        ended=ended,
    )


def decode_class(raw: bytes) -> SeenClass | None:
    """A PriorityClass; None for what is none."""
    try:
        found = msgspec.json.decode(raw, type=_Class)
    except msgspec.ValidationError:
        return None
    return SeenClass(**found.metadata.seen, value=found.value, is_default=bool(found.global_default))


class _QuotaSpec(_Struct, frozen=True):
    scopes: list[str] | None = None
    scope_selector: dict[str, Any] | None = None


class _QuotaStatus(_Struct, frozen=True):
    hard: dict[str, str | int] | None = None
    used: dict[str, str | int] | None = None


class _Quota(_Struct, frozen=True):
    metadata: _Meta
    spec: _QuotaSpec = _QuotaSpec()
    status: _QuotaStatus = _QuotaStatus()


def decode_quota(raw: bytes) -> Quota | None:
    """A ResourceQuota; None for what is none. A scope that is not known makes it count nothing: then the API
    server's own answer decides."""
    try:
        found = msgspec.json.decode(raw, type=_Quota)
    except msgspec.ValidationError:
        return None
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in found.spec.scopes or ()]
    terms += (found.spec.scope_selector or {}).get("matchExpressions") or ()
    others = [t for t in terms if t.get("scopeName") != PRIORITY_SCOPE]
    priority = [{**t, "key": PRIORITY_SCOPE} for t in terms if t.get("scopeName") == PRIORITY_SCOPE]
    return Quota(
        name=found.metadata.name,
        hard={key: amount(text) for key, text in (found.status.hard or {}).items()},
        used={key: amount(text) for key, text in (found.status.used or {}).items()},
        priority=expressions(priority),
        counts=all(t.get("scopeName") in COUNTING_SCOPES for t in others),
    )
