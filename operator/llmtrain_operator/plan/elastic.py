"""Gangs that may have fewer nodes than their job wants (``spec.minNodes``): how many the next attempt has,
and when one is ended for another number."""

from __future__ import annotations

from llmtrain_api import EndReason, JobStatus, Phase, Waiting, changed

from ..types import Plan
from .backoff import seconds_to_restart
from .clock import seconds_left
from .debug_hold import held_for_debugging
from .queue import told
from .situation import Situation
from .sizes import sized
from .status import derive, observe
from .stopping import stopping
from .suspend import SAVING

LOOK_SECONDS = 15.0
"""How often a gang that wants more nodes asks whether there is room for them."""
MAX_GROW_SECONDS = 86_400.0


def fit(s: Situation) -> Plan | None:
    """How many pods the gang of a new attempt has: as many as there is room for now, within ``minNodes`` and
    the room that the gang before it held. Without room for ``minNodes`` it queues: no pod of it was made."""
    if not _may_differ(s) or s.spec is None:
        return None
    if seconds_to_restart(s) > 0:
        # what a node that comes back soon makes of the room is not known yet
        return None
    answer = s.seen.admission
    if answer is None:
        return Plan(s.status, asks=True)
    if answer.admitted:
        return Plan(sized(s, derive(s), s.spec))
    if not answer.reason:
        return Plan(derive(s), requeue_after=answer.retry_after)
    queued = changed(derive(s), phase=Phase.QUEUED, waiting=told(s, answer))
    return Plan(queued, requeue_after=answer.retry_after)


def _may_differ(s: Situation) -> bool:
    record = s.this_attempt
    decided = s.attempt is None or record.nodes is not None or record.created_at is not None
    return not decided and not s.current and s.spec is not None and s.spec.min_nodes is not None


def resize(s: Situation) -> Plan | None:
    """End an attempt that runs with another number of nodes than the job wants: at once where it has too
    many, and where there is room for more once it has run for a while."""
    spec, record = s.spec, s.this_attempt
    if spec is None or spec.min_nodes is None or s.status.phase is not Phase.RUNNING:
        return None
    if record.running_at is None or s.nodes == spec.nodes:
        return None
    if s.nodes > spec.nodes:
        return Plan(_stopping(s, spec.nodes, f"spec.nodes is {spec.nodes} now"))
    if held_for_debugging(s) is not None:
        # somebody looks around in its pods
        return None
    wait = seconds_left(record.running_at, seconds_to_grow(s), s.now)
    if wait <= 0 and s.seen.admission is None:
        return Plan(s.status, asks=True)
    answer = s.seen.admission
    if wait <= 0 and answer is not None and answer.admitted:
        room = spec.nodes if answer.nodes is None else answer.nodes
        if room > s.nodes:
            return Plan(_stopping(s, room, f"there is room for {room} of {spec.nodes} nodes again"))
    seen = observe(s)
    again = max(wait, LOOK_SECONDS)
    return Plan(seen.status, seen.actions, min(again, seen.requeue_after or again))


def seconds_to_grow(s: Situation) -> float:
    """How long a gang runs at least before it is ended to grow: twice as long after each gang that did not
    get up, as then what is known of the room is wrong."""
    late = sum(a.reason is EndReason.START_DEADLINE for a in s.status.attempts)
    return min(s.seen.settings.grow_seconds * 2.0 ** min(late, 16), MAX_GROW_SECONDS)


def _stopping(s: Situation, nodes: int, why: str) -> JobStatus:
    text = f"{why}: {SAVING}, and a gang of {nodes} follows"
    waiting = Waiting(reason="Resizing", message=text, since=s.now)
    return changed(stopping(s, EndReason.RESIZED, nodes), waiting=waiting)
