"""The decision: ``plan(seen, now)``. Pure, total, idempotent.

It may be called at any moment, any number of times, on any state that a crash left. The policies below are
asked in order and the first that answers wins.
"""

from __future__ import annotations

from datetime import datetime

from ..types import Observed, Plan
from .begin import begin, leave_deleted, refuse
from .create import clear_old_attempts, create_gang, tell_twins
from .elastic import fit, resize
from .finish import close, succeed
from .limits import in_time, start_in_time
from .notices import with_notices
from .origin import begin_from
from .queue import stand_in_queue
from .rerun import run_again
from .restart import recover
from .runtime import await_runtime
from .setup import set_up
from .situation import Policy, look
from .start_deadline import give_up_start
from .status import observe
from .stopping import stop
from .suspend import hold
from .user_stop import go_on

POLICIES: tuple[Policy, ...] = (
    leave_deleted,  # the job is going: its children go with it
    run_again,  # a person wants one that is over to be tried again
    close,  # finished: nothing may run on
    await_runtime,  # nothing begins without the runtime that it asks for
    refuse,  # the spec cannot be run: say why, create nothing
    begin_from,  # a step of another job: which output that is goes on record, once
    hold,  # suspended: nothing begins; no longer: the next attempt
    set_up,  # a pod without GPUs first: prepare the data
    begin,  # there is room: put attempt 0 on record before anything exists
    tell_twins,  # two pods of one rank: nothing is decided by chance
    succeed,  # rank 0 is done: write the results
    stop,  # to be suspended, or at a limit: its ranks save, its pods go
    start_in_time,  # its gang did not get up
    go_on,  # a person stopped the attempt with all that ran it: the next one, at no cost
    recover,  # a rank failed: root cause, budget, next attempt on record
    clear_old_attempts,  # no pod of a new attempt before the last of the old one is gone
    stand_in_queue,  # it gave its room back: not a pod before it is let in again
    fit,  # of a gang that may have fewer nodes: as many as there is room for
    create_gang,  # Service, ConfigMap, all pods at once
    give_up_start,  # part of it holds nodes, and the rest does not get up: back into the queue
    resize,  # it has fewer nodes than it wants, and there is room for more: a checkpoint, then a larger gang
    observe,  # it runs, or waits: say how far and why
)


def plan(seen: Observed, now: datetime) -> Plan:
    """What to do for one job.

    Args:
        seen: the job as just read, its pods, the last report, the installation's settings.
        now: the current moment, UTC.
    """
    situation = look(seen, now)
    for policy in POLICIES:
        decision = policy(situation)
        if decision is not None:
            return with_notices(situation, in_time(situation, decision))
    raise AssertionError("observe() answers always")
