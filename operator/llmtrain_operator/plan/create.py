"""One attempt's gang: the old one is gone, the new one is created at once."""

from __future__ import annotations

from datetime import timedelta

from llmtrain_api import Failure, FailureClass, JobSpec, changed

from ..manifests.config import config_map
from ..manifests.names import config_name
from ..manifests.network_policy import network_policy
from ..manifests.pod import pod
from ..manifests.service import service
from ..types import Action, CreateChild, CreatePod, DeleteChild, DeletePod, Plan, Pod, RefusalKind
from .finish import fail
from .situation import Situation
from .status import derive

KILL_GRACE_SECONDS = 1
"""Peers of a dead rank cannot save: the rest of the old gang goes quickly."""
OVERDUE_SECONDS = 15.0
MAX_BACKOFF_SECONDS = 60.0


def clear_old_attempts(s: Situation) -> Plan | None:
    """Delete every pod of an earlier attempt, and wait until the last is gone from the API."""
    if not s.stale:
        return None
    return Plan(derive(s), tuple(deletions(s, s.stale)), requeue_after=OVERDUE_SECONDS)


def deletions(s: Situation, pods: tuple[Pod, ...]) -> list[Action]:
    """Deletes for those that are not on their way out soon enough already, or should long be gone: then
    the answer tells whether they are, in case the event that said so was lost."""
    soon = s.now + timedelta(seconds=KILL_GRACE_SECONDS + 1)
    long_ago = s.now - timedelta(seconds=OVERDUE_SECONDS)
    return [
        DeletePod(p.name, p.uid, KILL_GRACE_SECONDS)
        for p in pods
        if p.deletion_deadline is None or p.deletion_deadline > soon or p.deletion_deadline < long_ago
    ]


def create_gang(s: Situation) -> Plan | None:
    """Create what is missing of the attempt, until all its pods exist; that moment goes on record.

    Before ``createdAt`` a missing pod was not created yet, unless this process saw it go; after it, it
    is lost.
    """
    if s.this_attempt.created_at is not None:
        return None
    refusal = s.seen.refusal
    if refusal is not None and refusal.kind is RefusalKind.REJECTED:
        return fail(
            s,
            Failure(
                failure_class=FailureClass.CONFIG_ERROR,
                message=f"the API server refused a pod of this job: {refusal.message}"[:4096],
                hint="change the job, the namespace's limits or its Pod Security level, then apply it again",
            ),
        )
    if s.spec is None:
        return Plan(derive(s))
    wait = (s.this_attempt.started_at - s.now).total_seconds() + backoff(s)
    if wait > 0:
        return Plan(derive(s), requeue_after=wait)
    missing = [rank for rank in range(s.nodes) if rank not in s.current]
    if missing:
        return Plan(derive(s), tuple(_creations(s, s.spec, missing)))
    attempts = [*s.status.attempts[:-1], changed(s.this_attempt, created_at=s.now)]
    return Plan(changed(derive(s), attempts=attempts))


def backoff(s: Situation) -> float:
    """Seconds between going on record and creating: none at first, then 2, 4, 8 ... 60."""
    total = s.status.restarts.total if s.status.restarts else 0
    return 0.0 if total < 2 else min(2.0 ** min(total - 1, 10), MAX_BACKOFF_SECONDS)


def _creations(s: Situation, spec: JobSpec, missing: list[int]) -> list[Action]:
    attempt = s.this_attempt.number
    settings = s.seen.settings
    image = s.status.resolved.image if s.status.resolved else settings.trainer_image
    pods: list[Action] = [CreatePod(pod(s.job, spec, attempt, rank, image, settings)) for rank in missing]
    if s.current:
        return pods
    over: list[Action] = []
    if attempt > 0:
        # its pods are gone; a quota may count ConfigMaps
        over.append(DeleteChild("configmaps", config_name(s.job.metadata.name, attempt - 1)))
    if settings.network_policy:
        over.append(CreateChild("networkpolicies", network_policy(s.job, spec, settings)))
    return [
        *over,
        CreateChild("services", service(s.job)),
        CreateChild("configmaps", config_map(s.job, spec, attempt, settings)),
        *pods,
    ]
