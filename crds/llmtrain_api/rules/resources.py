"""Rules over ``spec.resources``."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.quantity import quantity
from ..schema.spec import JobSpec, ResourcesSpec

GPU_RESOURCE = str(ResourcesSpec.model_fields["gpu_resource"].default)


def _limit_below_request(spec: JobSpec) -> str | None:
    asked, limit = spec.resources.cpu, spec.resources.cpu_limit
    if limit is None or quantity(limit) >= quantity(asked):
        return None
    return f"got {limit}, below resources.cpu {asked}; raise it to at least that, or lower resources.cpu"


def _shared_above_memory(spec: JobSpec) -> str | None:
    shared, memory = spec.resources.shared_memory, spec.resources.memory
    if shared is None or quantity(shared) <= quantity(memory):
        return None
    return (
        f"got {shared}, above resources.memory {memory}, as which it counts; lower it, or raise "
        "resources.memory"
    )


def _one_resource_twice(spec: JobSpec) -> str | None:
    rdma, gpus = spec.resources.rdma, spec.resources.gpu_resource
    if rdma is None or rdma.resource != gpus:
        return None
    return f"got {rdma.resource!r}, which gpuResource names too; name the resource of the network's devices"


RULES: tuple[Rule, ...] = (
    # CEL cannot see quantities: they have no type of OpenAPI
    Rule(None, ".resources.cpuLimit", "must be at least resources.cpu", _limit_below_request),
    Rule(None, ".resources.sharedMemory", "must be at most resources.memory", _shared_above_memory),
    Rule(
        "!has(self.resources.rdma) || self.resources.rdma.resource != "
        f"(has(self.resources.gpuResource) ? self.resources.gpuResource : '{GPU_RESOURCE}')",
        ".resources.rdma.resource",
        "gpuResource names it too; name the resource of the network's devices",
        _one_resource_twice,
    ),
)
