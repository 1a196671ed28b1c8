"""Annotation ``llmtrain.dev/rerun``: a person wants a job that is over to be tried again."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase, Restarts, RuntimeOnRecord, changed
from llmtrain_api.names import ANNOTATION_RERUN

from ..types import Plan
from .attempts import next_attempt
from .conditions import with_condition
from .runtime import SOON_SECONDS, renewed
from .situation import Situation, read_spec

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
    if s.attempt is not None and s.seen.runtime is not None and not s.seen.runtime.known:
        return Plan(s.status, requeue_after=SOON_SECONDS)
    runtime, in_the_way = renewed(s) if s.attempt is not None else (None, None)
    if in_the_way is not None:
        # the text is not taken note of: the job is run again once that is put right
        told = changed(s.status, waiting=in_the_way)
        return Plan(told) if told != s.status else None
    again = _attempt(s, runtime) if s.attempt is not None else _setup(s)
    again = changed(again, rerun=asked, restarts=Restarts() if s.attempt is not None else again.restarts)
    for kind in ("Complete", "Failed"):
        if again.condition(kind) is not None:
            again = with_condition(again, kind, False, "Rerun", "", s.now)
    return Plan(again)


def _attempt(s: Situation, runtime: RuntimeOnRecord | None) -> JobStatus:
    """Under the runtime as it is now; the layout stays as it was decided."""
    following = next_attempt(s, s.status, phase=Phase.QUEUED, reason="Rerun")
    spec, _ = read_spec(s.job, s.seen.settings.file_outputs, runtime)
    resolved = s.status.resolved
    if resolved is not None and spec is not None and spec.image is not None:
        resolved = changed(resolved, image=spec.image)
    following = changed(following, results=None, runtime=runtime, resolved=resolved)
    if following.condition("RuntimeChanged") is None:
        return following
    return with_condition(following, "RuntimeChanged", False, "Rerun", "", s.now)


def _setup(s: Situation) -> JobStatus:
    """It failed before its first attempt: what comes before the gang begins anew."""
    setup = s.status.setup
    if setup is not None:
        setup = changed(setup, generation=ANOTHER_SPEC)
    return changed(s.status, phase=Phase.PENDING, setup=setup, failure=None, waiting=None, progress=None)
