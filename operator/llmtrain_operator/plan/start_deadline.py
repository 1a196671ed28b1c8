"""A gang that does not get up gives back what it holds: part of it could wait for ever for the rest."""

from __future__ import annotations

from llmtrain_api import Charge, EndReason, Phase, changed

from ..types import Plan, Pod, PodPhase
from .attempts import close_attempt, next_attempt, with_most
from .situation import Situation
from .waiting import PREPARING, held, waiting_for

SETTING_UP_SECONDS = 3600.0
"""For pods on a node whose image is pulled and whose volumes are mounted: large images take long."""


def give_up_start(s: Situation) -> Plan | None:
    """Back into the queue under a new number, at no cost, once some pod is late."""
    left = seconds_to_deadline(s)
    if left is None or left > 0:
        return None
    up = sum(p.phase is not PodPhase.PENDING for p in s.current.values())
    found = held(s)
    why = f": {found[1]}" if found else ""
    text = f"only {up} of {s.nodes} pods ran in time, and were given back{why}"
    closed = close_attempt(s, charged_to=Charge.NOBODY, message=text, reason=EndReason.START_DEADLINE)
    closed = with_most(s, closed, up)
    status = next_attempt(s, closed, phase=Phase.QUEUED, reason=EndReason.START_DEADLINE.value)
    status = changed(
        status, failure=s.status.failure, waiting=waiting_for(s, EndReason.START_DEADLINE.value, text)
    )
    return Plan(status, doubts=True)


def seconds_to_deadline(s: Situation) -> float | None:
    """When the gang counts as one that does not get up; None when it is up, or nobody waits for it."""
    limit, attempt = s.seen.settings.start_seconds, s.this_attempt
    created = attempt.created_at
    if limit is None or created is None or attempt.running_at is not None:
        return None
    pending = [p for p in s.current.values() if p.phase is PodPhase.PENDING]
    if not pending:
        return None
    # a clock that was set back makes it wait longer, and ends no gang
    waited = (s.now - created).total_seconds()
    return min((max(limit, SETTING_UP_SECONDS) if _is_set_up(p) else limit) for p in pending) - waited


def _is_set_up(pod: Pod) -> bool:
    """Whether it has a node, and the kubelet says of nothing that it cannot be done."""
    return pod.node is not None and (pod.hold is None or pod.hold[0] in PREPARING)
