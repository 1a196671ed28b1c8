"""From applied to the first attempt."""

from __future__ import annotations

from dataclasses import replace

from llmtrain_api import JobStatus, Phase, Restarts, changed, shape_of

from ..types import Plan
from .attempts import first_attempt
from .conditions import with_condition
from .queue import ACCEPTED, wait_for_room
from .removal import OVERDUE_SECONDS, removals
from .resolved import resolve
from .situation import Situation
from .sizes import sized
from .workers import selector, workers


def leave_deleted(s: Situation) -> Plan | None:
    """A job that is being deleted takes its children with it; every write of ours would only race that."""
    return Plan(s.status) if s.job.metadata.deletion_timestamp is not None else None


def refuse(s: Situation) -> Plan | None:
    """A spec that cannot be run: the reason goes on record and nothing is created.

    A job that has started is never refused: an older operator must not stop what a newer one accepted.
    """
    if s.attempt is not None or not s.mistakes:
        return None
    only_bounds = s.out_of_bounds and len(s.mistakes) == len(s.out_of_bounds)
    return refused(s, "OutOfBounds" if only_bounds else "InvalidSpec", "; ".join(s.mistakes))


def refused(s: Situation, reason: str, message: str) -> Plan:
    """Nothing begins with this spec; what a former one has begun goes."""
    status = changed(
        s.status,
        phase=Phase.PENDING,
        observed_generation=s.job.metadata.generation,
        waiting=None,
        failure=None,
        progress=None,
        resolved=None,
        runtime=s.runtime,
    )
    status = setup_ended(s, status)
    status = with_condition(status, "Accepted", False, reason, message, s.now)
    return nothing_runs(s, status)


def setup_ended(s: Situation, status: JobStatus) -> JobStatus:
    """The status with the end of what ran before the gang, if anything did."""
    setup = s.status.setup
    if setup is None or setup.ended_at is not None:
        return status
    return changed(status, setup=changed(setup, ended_at=s.now))


def nothing_runs(s: Situation, status: JobStatus) -> Plan:
    """That status, and the end of all pods that are there."""
    left = tuple(p for p in s.pods if not p.terminal or p.others_run)
    return Plan(status, tuple(removals(s, left)), requeue_after=OVERDUE_SECONDS if left else None)


def begin(s: Situation) -> Plan | None:
    """Put attempt 0 and all that follows from the spec on record, once there is room for its gang. Pods come
    in a later plan."""
    if s.attempt is not None or s.spec is None:
        return None
    waits = wait_for_room(s)
    if waits is not None:
        return waits if waits.asks else _with_room_cleared(s, waits)
    setup = s.status.setup
    decided = s.status.resolved if is_for_this_spec(s) else None
    if setup is not None and setup.ended_at is None:
        setup = changed(setup, ended_at=s.now)
    status = JobStatus(
        phase=Phase.STARTING,
        attempt=0,
        restarts=Restarts(),
        workers=workers(s, 0, nodes=s.spec.nodes),
        selector=selector(s),
        attempts=first_attempt(s.now),
        resolved=decided or resolve(s.spec, shape_of(s.spec), s.seen.settings.trainer_image),
        setup=setup,
        runtime=s.runtime,
        origin=s.status.origin,
        placement=s.seen.admission.placement if s.seen.admission else None,
        conditions=s.status.conditions,
        rerun=s.status.rerun,
        observed_generation=s.job.metadata.generation,
    )
    status = sized(s, status, s.spec)
    return Plan(with_condition(status, "Accepted", True, "Accepted", ACCEPTED, s.now))


def _with_room_cleared(s: Situation, waits: Plan) -> Plan:
    """What prepared has ended, and a sidecar of it may run on: it goes, or it would hold for ever
    what its own gang waits for."""
    left = tuple(p for p in s.pods if p.terminal and p.others_run)
    actions = tuple(removals(s, left))
    return replace(waits, actions=actions, requeue_after=OVERDUE_SECONDS) if left else waits


def is_for_this_spec(s: Situation) -> bool:
    """Whether what ran before the gang, if anything did, was for the spec and the runtime as they are now."""
    if s.status.setup is None or s.status.setup.generation != s.job.metadata.generation:
        return False
    before, now = s.status.runtime, s.runtime
    return (before and before.digest) == (now and now.digest)
