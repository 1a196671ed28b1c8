"""A person stopped everything that ran an attempt, and wants it to go on."""

from __future__ import annotations

from llmtrain_api import Charge, EndReason, Phase

from ..types import Plan
from .attempts import close_attempt, next_attempt
from .restart import evidence
from .situation import Situation

STOPPED = "stopped on request"


def go_on(s: Situation) -> Plan | None:
    """The next attempt after one that was stopped on request.

    That is nobody's failure: it takes nothing from a budget and is not waited for. An attempt of which
    nothing was created yet is created as it is.
    """
    if s.attempt is None or s.attempt != s.seen.interrupted_attempt:
        return None
    if s.this_attempt.created_at is None and not s.current:
        return None
    closed = close_attempt(
        s, charged_to=Charge.NOBODY, message=STOPPED, reason=EndReason.STOPPED, found=evidence(s)
    )
    return Plan(next_attempt(s, closed, phase=Phase.STARTING, reason="Stopped"))
