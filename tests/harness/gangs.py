"""Nodes, demands and claims that tests of the queue start from, in whole CPUs and GPUs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from harness.jobs import later
from llmtrain_operator.scheduling.values import SCALE, Claim, Demand, Node, Quota, View
from llmtrain_operator.types import JobRef

GPU = "nvidia.com/gpu"


def node(name: str, *, cpu: int = 0, gpu: int = 0, pods: int = 110, **fields: Any) -> Node:
    return Node(name, {"cpu": cpu * SCALE, GPU: gpu * SCALE, "pods": pods * SCALE}, **fields)


def demand(*, cpu: int = 0, gpu: int = 0, **fields: Any) -> Demand:
    requests = {"cpu": cpu * SCALE, "pods": SCALE} | ({GPU: gpu * SCALE} if gpu else {})
    return Demand(requests=requests, **fields)


def claim(name: str, nodes: int, wanted: Demand, at: float = 0.0, **fields: Any) -> Claim:
    """A gang of that many pods, applied at that second."""
    namespace = fields.pop("namespace", "default")
    return Claim(JobRef(namespace, name, f"uid-{name}"), nodes, wanted, later(at), **fields)


def view(*nodes: Node, now: datetime | None = None, **fields: Any) -> View:
    return View(now=now or later(0), nodes=nodes, **fields)


def quota(name: str = "q", used: dict[str, int] | None = None, **hard: int) -> Quota:
    """Whole units, with ``__`` for a dot in keys."""

    def scaled(amounts: dict[str, int]) -> dict[str, int]:
        return {key.replace("__", "."): value * SCALE for key, value in amounts.items()}

    return Quota(name, scaled(hard), scaled(used or {}))
