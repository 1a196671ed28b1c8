"""A person stopped everything that ran an attempt, and wants it to go on."""

from __future__ import annotations

from llmtrain_api import Attempt, Failure, FailureClass, Phase, changed
from llmtrain_api.schema.status import MAX_ATTEMPTS

from ..types import Plan
from .conditions import with_condition
from .finish import close_attempt
from .restart import evidence
from .situation import Situation

STOPPED = "stopped on request"


def go_on(s: Situation) -> Plan | None:
    """The next attempt after one that was stopped on request.

    That is nobody's failure: it takes nothing from a budget and is not waited for. An attempt of which
    nothing was created yet is created as it is.
    """
    if s.attempt is None or s.attempt != s.seen.settings.interrupted_attempt:
        return None
    if s.this_attempt.created_at is None and not s.current:
        return None
    found = evidence(s)
    closed = close_attempt(
        s,
        failure=Failure(failure_class=FailureClass.INFRASTRUCTURE, message=STOPPED),
        checkpoint_step=max(
            (e.checkpoint_step for e in found if e.checkpoint_step is not None), default=None
        ),
        resumed_step=max((e.resumed_step for e in found if e.resumed_step is not None), default=None),
    )
    number = s.this_attempt.number + 1
    status = changed(
        closed,
        phase=Phase.STARTING,
        attempt=number,
        attempts=[*closed.attempts, Attempt(number=number, started_at=s.now)][-MAX_ATTEMPTS:],
        failure=None,
        waiting=None,
    )
    return Plan(with_condition(status, "Running", False, "Stopped", STOPPED, s.now))
