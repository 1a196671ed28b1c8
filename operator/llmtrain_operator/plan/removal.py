"""Pods that have to go: asked kindly, asked again, and removed by force when their node does not answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from llmtrain_api import JobStatus

from ..manifests.names import pod_group_name
from ..manifests.pod_group import kind_of
from ..types import Action, DeleteChild, DeletePod, Plan, Pod
from .situation import Situation

KILL_GRACE_SECONDS = 1
"""Peers of a dead rank cannot save: the rest of the old gang goes quickly."""
OVERDUE_SECONDS = 15.0


def removals(s: Situation, pods: tuple[Pod, ...], grace_seconds: int = KILL_GRACE_SECONDS) -> list[Action]:
    """Deletes for those that are not on their way out soon enough already, or should long be gone: then
    the answer tells whether they are, in case the event that said so was lost.

    Args:
        s: the situation.
        pods: those that are to go.
        grace_seconds: their grace time.
    """
    soon = s.now + timedelta(seconds=grace_seconds + 1)
    long_ago = s.now - timedelta(seconds=OVERDUE_SECONDS)
    found: list[Action] = []
    for p in pods:
        if overdue(s, p, grace_seconds):
            found.append(DeletePod(p.name, p.uid, 0))
        elif p.deletion_deadline is None or not long_ago <= p.deletion_deadline <= soon:
            found.append(DeletePod(p.name, p.uid, grace_seconds))
    begun = {p.attempt for p in pods if p.stage is None and p.deletion_deadline is None}
    return [*without_groups(s, sorted(begun)), *found]


def without_groups(s: Situation, attempts: Iterable[int]) -> list[Action]:
    """Deletes of the PodGroups of attempts whose pods go: with them a gang scheduler would keep room for pods
    that do not come."""
    kind = kind_of(s.seen.settings)
    if kind is None:
        return []
    return [DeleteChild(kind.resource, pod_group_name(s.job.metadata.name, n)) for n in attempts]


def asked_to_go(s: Situation, status: JobStatus, left: tuple[Pod, ...]) -> Plan:
    """That status, and each of these pods asked to go, with its whole grace time to save in."""
    actions = tuple(removals(s, left, s.seen.settings.grace_seconds))
    return Plan(status, actions, requeue_after=OVERDUE_SECONDS if left else None)


def overdue(s: Situation, pod: Pod, grace_seconds: int) -> bool:
    """Whether the pod should have been gone for so long that nobody is there to end it.

    Its name is then freed by force. A process of it that still runs is fenced: names differ by attempt, and
    the output takes writes of the newest attempt only. The time is counted by the operator's own clock, from
    the moment at which the attempt's end was put on record and its pods were asked to go; the deadline in the
    pod is by another clock, which serves only where ours was set back meanwhile.

    Args:
        s: the situation.
        pod: one that is to go.
        grace_seconds: the grace time that it was given.
    """
    if pod.deletion_deadline is None:
        return False
    asked = s.gone_since
    if asked > s.now:
        asked = pod.deletion_deadline
    return (s.now - asked).total_seconds() >= grace_seconds + s.seen.settings.lost_node_seconds
