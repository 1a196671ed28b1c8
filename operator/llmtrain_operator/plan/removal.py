"""Pods that have to go: asked kindly, asked again, and removed by force when their node does not answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..types import Action, DeletePod, Pod
from .situation import Situation

KILL_GRACE_SECONDS = 1
"""Peers of a dead rank cannot save: the rest of the old gang goes quickly."""
OVERDUE_SECONDS = 15.0


def removals(s: Situation, pods: tuple[Pod, ...]) -> list[Action]:
    """Deletes for those that are not on their way out soon enough already, or should long be gone: then
    the answer tells whether they are, in case the event that said so was lost."""
    soon = s.now + timedelta(seconds=KILL_GRACE_SECONDS + 1)
    long_ago = s.now - timedelta(seconds=OVERDUE_SECONDS)
    found: list[Action] = []
    for p in pods:
        if overdue(s, p):
            found.append(DeletePod(p.name, p.uid, 0))
        elif p.deletion_deadline is None or not long_ago <= p.deletion_deadline <= soon:
            found.append(DeletePod(p.name, p.uid, KILL_GRACE_SECONDS))
    return found


def overdue(s: Situation, pod: Pod) -> bool:
    """Whether the pod should have been gone for so long that nobody is there to end it.

    Its name is then freed by force. A process of it that still runs is fenced: names differ by attempt, and
    the output takes writes of the newest attempt only. Two clocks must agree that the time is over: the API
    server's, which wrote the deadline, and our own.
    """
    if pod.deletion_deadline is None:
        return False
    limit = timedelta(seconds=s.seen.settings.lost_node_seconds)
    return s.now - max(pod.deletion_deadline, _asked(s)) >= limit


def _asked(s: Situation) -> datetime:
    """The latest moment at which old pods were first asked to go, by our own clock."""
    record = s.this_attempt
    return record.ended_at or record.started_at
