"""Processors of this pod, and how many threads a rank computes in. Imports nothing heavy."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

from llmtrain_api import JobSpec
from llmtrain_api.schema.quantity import quantity

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time that a control group may take in each period, and the period's length."""


def cores(cpu_max: Path = CPU_MAX) -> int:
    """Processors that this process may use, by its affinity and the limit of its pod.

    Args:
        cpu_max: where the kernel tells the limit.
    """
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
        if quota != "max":
            count = min(count, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return count


def threads_of_rank(spec: JobSpec, available: int) -> int:
    """Threads that each rank of a node computes in, at least one.

    On CPUs ranks share what the pod has asked for, and no more: pods of the gang, and other jobs, may share
    the rest of the node, and ranks with more threads than cores wait for each other (six times as slow on
    two cores). A pod with GPUs seldom asks for the CPU time that it gets, and its ranks compute on the GPUs.

    Args:
        spec: of the job.
        available: processors that the pod may use.
    """
    asked = available if spec.gpus_per_node else min(available, ceil(quantity(spec.resources.cpu)))
    return max(1, asked // spec.local_world_size)
