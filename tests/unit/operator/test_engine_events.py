"""Events between two statuses."""

from __future__ import annotations

from dataclasses import replace

from harness.jobs import T0, job, later, pod, running, seen

from llmtrain_api import JobStatus, Phase, PublishedResult, Results
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.events import events_between


def test_events_are_told_once_a_change() -> None:
    old, new = JobStatus(), JobStatus(phase=Phase.RUNNING, attempt=0)
    assert [e.reason for e in events_between(old, new)] == ["Accepted", "Running"]
    assert events_between(new, new) == []


def test_a_gang_that_gives_its_room_to_others_says_so_while_it_saves() -> None:
    """Whoever watches for preemptions sees it at once, with the reason, and before the job queues again."""
    before = running(0)
    asked = seen(job(before), (pod(0, 0), pod(0, 1)))
    goes = plan(replace(asked, reclaimed="job default/urgent needs its room"), T0).status
    [event] = events_between(before, goes)
    assert (event.reason, event.warning) == ("Preempted", False)
    assert event.message.startswith("job default/urgent needs its room")
    gone = plan(seen(job(goes)), later(30)).status
    assert [e.reason for e in events_between(goes, gone)] == ["Queued"]


def test_a_push_is_told_beside_the_success_and_a_failed_one_as_a_warning() -> None:
    running = JobStatus(phase=Phase.RUNNING, attempt=0)

    def told(**push: str | None) -> list[tuple[str, bool, str]]:
        published = PublishedResult.model_validate({"hub": "acme/a", "revision": "main"} | push)
        done = JobStatus(phase=Phase.SUCCEEDED, attempt=0, results=Results(steps=3, published=published))
        assert events_between(done, done) == []
        return [(e.reason, e.warning, e.message) for e in events_between(running, done)]

    pushed = told(commit="abc", url="https://hub/acme/a/commit/abc")
    assert pushed[0] == ("Succeeded", False, "3 steps")
    assert pushed[1] == ("Published", False, "acme/a, commit abc of main: https://hub/acme/a/commit/abc")
    image = {
        "hub": None,
        "oci": "r.example.com/a",
        "digest": "sha256:ab",
        "url": "oci://r.example.com/a@sha256:ab",
    }
    assert told(**image)[1][2] == "r.example.com/a, digest sha256:ab of main: oci://r.example.com/a@sha256:ab"
    version = {"hub": None, "mlflow": "helpdesk", "revision": None, "modelVersion": "3", "url": "https://m/3"}
    assert told(**version)[1][2] == "helpdesk, version 3: https://m/3"
    failed = told(error="the hub answers 403")
    assert failed[1:] == [("PublishFailed", True, "not pushed to acme/a: the hub answers 403")]
