"""How many pods the gang of an attempt has, where the job lets it have fewer than it wants."""

from __future__ import annotations

from llmtrain_api import JobSpec, JobStatus, changed

from .resolved import resolved_for
from .situation import Situation
from .workers import workers


def sized(s: Situation, status: JobStatus, spec: JobSpec) -> JobStatus:
    """The status with the size that the queue has let the newest attempt have, and all that follows from it:
    its layout, and how the same global batch is computed. Written before a pod of it is made.

    Args:
        s: the situation, with the queue's answer.
        status: whose newest attempt it is.
        spec: the job; without ``minNodes`` nothing is to be decided.
    """
    if spec.min_nodes is None:
        return status
    answer = s.seen.admission
    nodes = spec.nodes
    if answer is not None and answer.nodes is not None:
        nodes = min(answer.nodes, spec.nodes)
    attempts = [*status.attempts[:-1], changed(status.attempts[-1], nodes=nodes)]
    resolved = status.resolved
    if resolved is not None and resolved.world_size != nodes * spec.local_world_size:
        resolved = resolved_for(resolved, spec, nodes)
    why = answer.message if answer is not None else ""
    return changed(
        status, workers=workers(s, 0, nodes=nodes, why=why or None), attempts=attempts, resolved=resolved
    )
