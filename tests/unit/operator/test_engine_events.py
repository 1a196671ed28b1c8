"""Events between two statuses."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase, PublishedResult, Results
from llmtrain_operator.plan.events import events_between


def test_events_are_told_once_a_change() -> None:
    old, new = JobStatus(), JobStatus(phase=Phase.RUNNING, attempt=0)
    assert [e.reason for e in events_between(old, new)] == ["Accepted", "Running"]
    assert events_between(new, new) == []


def test_a_push_is_told_beside_the_success_and_a_failed_one_as_a_warning() -> None:
    running = JobStatus(phase=Phase.RUNNING, attempt=0)

    def told(**push: str) -> list[tuple[str, bool, str]]:
        published = PublishedResult(hub="acme/a", revision="main", **push)
        done = JobStatus(phase=Phase.SUCCEEDED, attempt=0, results=Results(steps=3, published=published))
        assert events_between(done, done) == []
        return [(e.reason, e.warning, e.message) for e in events_between(running, done)]

    pushed = told(commit="abc", url="https://hub/acme/a/commit/abc")
    assert pushed[0] == ("Succeeded", False, "3 steps")
    assert pushed[1] == ("Published", False, "acme/a, commit abc of main: https://hub/acme/a/commit/abc")
    failed = told(error="the hub answers 403")
    assert failed[1:] == [("PublishFailed", True, "not pushed to acme/a: the hub answers 403")]
