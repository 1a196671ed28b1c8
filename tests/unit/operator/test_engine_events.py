"""Events between two statuses."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase
from llmtrain_operator.plan.events import events_between


def test_events_are_told_once_a_change() -> None:
    old, new = JobStatus(), JobStatus(phase=Phase.RUNNING, attempt=0)
    assert [e.reason for e in events_between(old, new)] == ["Accepted", "Running"]
    assert events_between(new, new) == []
