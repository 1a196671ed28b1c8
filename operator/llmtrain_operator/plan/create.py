"""One attempt's gang: the old one is gone, the new one is created at once."""

from __future__ import annotations

from llmtrain_api import Charge, EndReason, JobSpec, JobStatus, Phase, changed

from ..manifests.config import config_map
from ..manifests.names import config_name, setup_name
from ..manifests.network_policy import network_policy
from ..manifests.placement import placed
from ..manifests.pod import pod
from ..manifests.pod_group import grouped, kind_of, pod_group
from ..manifests.service import service
from ..types import Action, CreateChild, CreatePod, DeleteChild, Manifest, Plan, RefusalKind
from .attempts import close_attempt, next_attempt, with_most
from .backoff import seconds_to_restart
from .finish import fail
from .refusals import verdict
from .removal import OVERDUE_SECONDS, removals, without_groups
from .situation import Situation
from .status import derive
from .waiting import waiting

UNREADABLE_SECONDS = 60.0


def tell_twins(s: Situation) -> Plan | None:
    """Two pods of one rank: the API cannot serve both, so one is a memory. Nothing is decided by chance."""
    if s.attempt is None or not s.twins:
        return None
    return Plan(derive(s), requeue_after=OVERDUE_SECONDS)


def clear_old_attempts(s: Situation) -> Plan | None:
    """Delete every pod of an earlier attempt or of before, and wait until the last is gone from the API."""
    if not s.stale:
        return None
    return Plan(derive(s), tuple(removals(s, s.stale)), requeue_after=OVERDUE_SECONDS)


def create_gang(s: Situation) -> Plan | None:
    """Create what is missing of the attempt, until all its pods exist; that moment goes on record.

    Before ``createdAt`` a missing pod was not created yet, unless this process saw it go; after it, it
    is lost.
    """
    if s.this_attempt.created_at is not None:
        return None
    refused = verdict(s)
    if refused is not None:
        return fail(s, refused)
    if s.spec is None:
        return Plan(derive(s), requeue_after=UNREADABLE_SECONDS)
    wait = seconds_to_restart(s)
    if wait > 0:
        return Plan(derive(s), requeue_after=wait)
    missing = [rank for rank in range(s.nodes) if rank not in s.current]
    if missing and _no_room(s):
        return Plan(_give_back(s))
    if missing:
        return Plan(derive(s), tuple(_creations(s, s.spec, missing)))
    attempts = [*s.status.attempts[:-1], changed(s.this_attempt, created_at=s.now)]
    return Plan(changed(derive(s), attempts=attempts))


def _no_room(s: Situation) -> bool:
    return s.seen.refusal is not None and s.seen.refusal.kind is RefusalKind.QUOTA


def _give_back(s: Situation) -> JobStatus:
    """Part of a gang holds nodes and does nothing: it goes, and another attempt queues again, at no cost.

    Its number is not used again, as its pods may have run.
    """
    text = f"{len(s.current)} of {s.nodes} pods fitted into the quota, and were given back"
    closed = close_attempt(s, charged_to=Charge.NOBODY, message=text, reason=EndReason.NO_ROOM)
    closed = with_most(s, closed, len(s.current))
    status = next_attempt(s, closed, phase=Phase.QUEUED, reason="NoRoom")
    return changed(status, failure=s.status.failure, waiting=waiting(s))


def _creations(s: Situation, spec: JobSpec, missing: list[int]) -> list[Action]:
    attempt = s.this_attempt.number
    settings = s.seen.settings
    image = s.status.resolved.image if s.status.resolved else settings.trainer_image
    gang = [_rank(s, spec, rank, image) for rank in missing]
    pods: list[Action] = [CreatePod(found) for found in gang]
    if s.current:
        return pods
    over: list[Action] = []
    if attempt > 0:
        # its pods are gone; a quota may count ConfigMaps
        over.append(DeleteChild("configmaps", config_name(s.job.metadata.name, attempt - 1)))
        over += without_groups(s, [attempt - 1])
    elif s.status.setup is not None:
        setup = s.status.setup
        over.append(DeleteChild("configmaps", setup_name(s.job.metadata.name, setup.stage, setup.number)))
    if settings.network_policy:
        over.append(CreateChild("networkpolicies", network_policy(s.job, spec, settings)))
    return [
        *over,
        CreateChild("services", service(s.job)),
        CreateChild("configmaps", config_map(s.job, spec, attempt, settings)),
        *_group(s, spec, gang[0]),
        *pods,
    ]


def _rank(s: Situation, spec: JobSpec, rank: int, image: str) -> Manifest:
    attempt, settings = s.this_attempt.number, s.seen.settings
    found = pod(s.job, spec, attempt, rank, image, settings, s.this_attempt.avoided_nodes or [])
    return grouped(placed(found, s.status.placement), s.job, attempt, settings)


def _group(s: Situation, spec: JobSpec, member: Manifest) -> list[Action]:
    """Where a gang scheduler starts the pods: it waits for this object, and then for all of them."""
    kind = kind_of(s.seen.settings)
    if kind is None:
        return []
    found = pod_group(s.job, spec, s.this_attempt.number, member, s.nodes, kind)
    return [CreateChild(kind.resource, found)]
