"""``status.workers``: how many pods the gang has, and how many it should have."""

from __future__ import annotations

from llmtrain_api import Workers
from llmtrain_api.names import LABEL_JOB_UID

from .situation import Situation

EDITED = "spec.nodes was edited; the gang grows when there is room for more of it"


def workers(s: Situation, ready: int, *, nodes: int | None = None, why: str | None = None) -> Workers:
    """The record of a gang's pods.

    Args:
        s: the situation.
        ready: how many of them run and are ready.
        nodes: how many they are; None = as many as before.
        why: why there are fewer than the job wants; None = as on record.
    """
    desired = s.nodes if nodes is None else nodes
    wanted = s.spec.nodes if s.spec is not None and s.spec.min_nodes is not None else desired
    if wanted == desired:
        return Workers(desired=desired, ready=ready, summary=f"{ready}/{desired}")
    old = s.status.workers
    known = old.message if old is not None and old.wanted == wanted else None
    return Workers(
        desired=desired,
        ready=ready,
        summary=f"{ready}/{desired} of {wanted}",
        wanted=wanted,
        message=(why or known or EDITED)[:4096],
    )


def selector(s: Situation) -> str:
    """What selects the job's pods, for the scale subresource."""
    return f"{LABEL_JOB_UID}={s.job.metadata.uid}"
