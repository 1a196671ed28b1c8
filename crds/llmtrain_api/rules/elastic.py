"""Rules over ``spec.minNodes``: whatever number of nodes a gang may begin with, it could be applied with."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec
from .parallelism import CUT_CEL

MAX_SIZES = 32
"""Numbers of nodes from minNodes to nodes: each is checked like a job of its own."""
LOCAL_CEL = "(self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode)"


def _at_most_all(spec: JobSpec) -> str | None:
    if spec.min_nodes is None or spec.min_nodes <= spec.nodes:
        return None
    return f"got {spec.min_nodes}, more than nodes {spec.nodes}; use at most that, or raise nodes"


def _few_sizes(spec: JobSpec) -> str | None:
    if spec.min_nodes is None or spec.nodes - spec.min_nodes < MAX_SIZES:
        return None
    least = spec.nodes - MAX_SIZES + 1
    return (
        f"got {spec.min_nodes}, and nodes {spec.nodes} is {MAX_SIZES} or more above it; use at least {least}"
    )


def _whole_copies(spec: JobSpec) -> str | None:
    cut, local = spec.parallelism.ranks, spec.local_world_size
    if not spec.elastic or local % cut == 0:
        return None
    return (
        f"tensor x pipeline x sequence = {cut} does not divide the {local} processes of a node, so "
        f"not every number of nodes from {spec.min_nodes} to {spec.nodes} is whole copies of the model; "
        "remove minNodes, or change parallelism"
    )


def smaller_sizes(spec: JobSpec) -> range:
    """Numbers of nodes below ``nodes`` that a gang of the job may have."""
    return range(spec.min_nodes if spec.min_nodes is not None else spec.nodes, spec.nodes)


RULES: tuple[Rule, ...] = (
    Rule(
        "!has(self.minNodes) || self.minNodes <= self.nodes",
        ".minNodes",
        "minNodes must be at most nodes",
        _at_most_all,
    ),
    Rule(
        f"!has(self.minNodes) || self.nodes - self.minNodes < {MAX_SIZES}",
        ".minNodes",
        f"nodes must be less than {MAX_SIZES} above minNodes",
        _few_sizes,
    ),
    Rule(
        f"!has(self.minNodes) || self.minNodes == self.nodes || {LOCAL_CEL} % {CUT_CEL} == 0",
        ".minNodes",
        "with minNodes, tensor x pipeline x sequence must divide the processes of a node",
        _whole_copies,
    ),
    Rule(
        "!has(self.minNodes) || !has(self.queueName)",
        ".minNodes",
        "another scheduler's queue lets in whole gangs only; remove minNodes or queueName",
        lambda spec: (
            None
            if spec.min_nodes is None or spec.queue_name is None
            else f"got {spec.min_nodes} with queueName {spec.queue_name!r}; another scheduler's queue lets "
            "in whole gangs only; remove one of them"
        ),
    ),
)
