"""Annotation ``llmtrain.dev/rerun``: a person wants a job that is over to be tried again."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase, Restarts, changed
from llmtrain_api.names import ANNOTATION_RERUN

from ..types import Plan
from .attempts import next_attempt
from .conditions import with_condition
from .situation import Situation

ANOTHER_SPEC = 0
"""A generation that no object has."""


def run_again(s: Situation) -> Plan | None:
    """The next attempt of a job that is over, once for each text of the annotation.

    It goes on from the newest checkpoint, and what counted against the job is forgotten. A text that is seen
    while the job is not over is taken note of and has no effect: no later end is answered with a start that
    nobody asked for.
    """
    asked = s.job.metadata.annotations.get(ANNOTATION_RERUN, "")[:256]
    if not asked or asked == s.status.rerun:
        return None
    if s.status.phase is None or not s.status.phase.final:
        return Plan(changed(s.status, rerun=asked))
    again = _attempt(s) if s.attempt is not None else _setup(s)
    again = changed(again, rerun=asked, restarts=Restarts() if s.attempt is not None else again.restarts)
    for kind in ("Complete", "Failed"):
        if again.condition(kind) is not None:
            again = with_condition(again, kind, False, "Rerun", "", s.now)
    return Plan(again)


def _attempt(s: Situation) -> JobStatus:
    following = next_attempt(s, s.status, phase=Phase.QUEUED, reason="Rerun")
    return changed(following, results=None)


def _setup(s: Situation) -> JobStatus:
    """It failed before its first attempt: what comes before the gang begins anew."""
    setup = s.status.setup
    if setup is not None:
        setup = changed(setup, generation=ANOTHER_SPEC)
    return changed(s.status, phase=Phase.PENDING, setup=setup, failure=None, waiting=None, progress=None)
