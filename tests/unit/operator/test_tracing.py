"""Traces of how attempts start: what a status, pods and reports come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, UID, job, later, pod, report, running, seen
from structlog.testing import capture_logs

from llmtrain_api import (
    Attempt,
    Condition,
    EndReason,
    FailureClass,
    Job,
    JobStatus,
    Phase,
    Progress,
    Setup,
    SetupStage,
    Stage,
    changed,
    parse_spec,
)
from llmtrain_operator.manifests.pod import pod as pod_manifest
from llmtrain_operator.trace_ids import ROOT, span_id, trace_id, traceparent
from llmtrain_operator.tracing.spans import Span, Start, spans_of
from llmtrain_operator.tracing.tracer import Tracer

ALL = [
    ROOT,
    "accept",
    "queue",
    "create pods",
    "schedule",
    "start pods",
    "prepare data",
    "gather",
    "first step",
]


def accepted(at: datetime) -> Condition:
    return Condition(type="Accepted", status="True", reason="Accepted", last_transition_time=at)


def starting(number: int = 0, phase: Phase = Phase.STARTING, **fields: Any) -> JobStatus:
    """The status of a job whose attempt was put on record 10 s after it was applied."""
    record = Attempt(number=number, started_at=later(10), **fields)
    status = changed(
        running(), phase=phase, attempt=number, attempts=[record], conditions=[accepted(later(1))]
    )
    return changed(status, progress=None)


def applied(status: JobStatus, **spec: Any) -> Job:
    found = job(status, **spec)
    return changed(found, metadata=changed(found.metadata, creation_timestamp=T0))


def with_nodes(at: float | None) -> tuple[Any, ...]:
    return tuple(pod(0, rank, scheduled_at=None if at is None else later(at + rank)) for rank in range(2))


class Told:
    """Takes what is told."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.spans: list[list[Span]] = []

    def __call__(self, _: Job, start: Start, spans: list[Span]) -> None:
        self.starts.append(start)
        self.spans.append(spans)

    def names(self) -> list[list[str]]:
        return [[span.name for span in spans] for spans in self.spans]


def note(tracer: Tracer, status: JobStatus, now: float, *pods: Any, **more: Any) -> None:
    tracer.note(replace(seen(applied(status), pods), **more), later(now))


def test_each_part_of_a_start_ends_where_the_next_begins() -> None:
    told = Told()
    tracer = Tracer(told)
    note(tracer, starting(), 10)
    note(tracer, starting(created_at=later(12)), 12, *with_nodes(None))
    up = starting(phase=Phase.RUNNING, created_at=later(12), running_at=later(20))
    note(tracer, up, 20, *with_nodes(14))
    note(tracer, up, 21, *with_nodes(14), report=report(at=later(21), stage=Stage.PREPARE, step=None))
    note(tracer, up, 23, *with_nodes(14), report=report(at=later(23), stage=Stage.WAIT, step=None))
    note(tracer, up, 25, *with_nodes(14), report=report(at=later(25), step=0))
    assert told.spans == [], "its first step is not done"
    note(tracer, up, 31, *with_nodes(14), report=report(at=later(31), step=1))
    note(tracer, up, 32, *with_nodes(14), report=report(at=later(32), step=2))
    [spans] = told.spans
    assert [span.name for span in spans] == ALL
    root, *parts = spans
    moments = [0, 1, 10, 12, 15, 20, 23, 25, 31]
    assert [(one.begin, one.end) for one in parts] == [(later(a), later(b)) for a, b in pairwise(moments)]
    assert (root.begin, root.end, root.within) == (T0, later(31), False)
    assert not any(span.error for span in spans)


def test_what_prepared_before_the_gang_is_a_part_of_it() -> None:
    told = Told()
    setup = Setup(
        stage=SetupStage.PREPARE,
        number=1,
        generation=1,
        started_at=later(2),
        ended_at=later(8),
        created_at=later(3),
    )
    up = changed(starting(phase=Phase.RUNNING, created_at=later(12), running_at=later(20)), setup=setup)
    note(Tracer(told), up, 31, *with_nodes(14), report=report(at=later(31), step=1))
    found = {span.name: (span.begin, span.end) for span in told.spans[0]}
    assert found["prepare"] == (later(2), later(8))
    assert found["queue"] == (later(8), later(10))


def test_an_attempt_that_queues_again_tells_how_long() -> None:
    told = Told()
    tracer = Tracer(told)
    before = Attempt(number=0, started_at=T0, ended_at=later(10), reason=EndReason.NO_ROOM)

    def again(phase: Phase, **fields: Any) -> JobStatus:
        status = starting(1, phase, **fields)
        return changed(status, attempts=[before, *status.attempts])

    note(tracer, again(Phase.QUEUED), 11)
    note(tracer, again(Phase.QUEUED), 40)
    note(tracer, again(Phase.STARTING), 50)
    note(
        tracer,
        again(Phase.RUNNING, created_at=later(51), running_at=later(55)),
        60,
        report=report(1, later(60)),
    )
    found = {span.name: (span.begin, span.end) for span in told.spans[0]}
    assert found["queue"] == (later(10), later(50))
    assert found["create pods"] == (later(50), later(51))
    assert "accept" not in found


def test_a_resumed_attempt_has_begun_with_a_step_beyond_its_checkpoint() -> None:
    told = Told()
    tracer = Tracer(told)
    up = starting(phase=Phase.RUNNING, created_at=later(12), running_at=later(20))
    note(tracer, up, 25, report=report(at=later(25), step=100, resumed_step=100))
    assert told.spans == []
    note(tracer, up, 26, report=report(at=later(26), step=101, resumed_step=100))
    assert told.starts[0].first_step == later(26)


def test_an_attempt_that_fails_before_its_first_step_tells_where() -> None:
    told = Told()
    tracer = Tracer(told)
    note(tracer, starting(created_at=later(12)), 13, *with_nodes(None))
    failed = Attempt(
        number=0,
        started_at=later(10),
        created_at=later(12),
        ended_at=later(40),
        failure_class=FailureClass.INFRASTRUCTURE,
        message="node1 is gone",
    )
    following = changed(
        starting(1), attempts=[failed, Attempt(number=1, started_at=later(40))], phase=Phase.RESTARTING
    )
    note(tracer, following, 41)
    [spans] = told.spans
    assert [span.name for span in spans] == [ROOT, "accept", "queue", "create pods", "schedule"]
    assert (spans[-1].end, spans[-1].error, spans[0].error) == (later(40), "node1 is gone", "node1 is gone")
    assert spans[-2].error == ""


def test_a_program_that_tells_nothing_has_a_start_until_its_pods_run() -> None:
    told = Told()
    tracer = Tracer(told)
    note(tracer, starting(created_at=later(12)), 13, *with_nodes(13))
    done = starting(phase=Phase.SUCCEEDED, created_at=later(12), running_at=later(20), ended_at=later(900))
    note(tracer, done, 901, *with_nodes(13))
    assert told.names() == [[ROOT, "accept", "queue", "create pods", "schedule", "start pods"]]
    assert told.spans[0][0].end == later(20)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_clocks_that_disagree_never_make_a_span_end_before_it_begins(order: tuple[int, int]) -> None:
    moments = [later(30), later(20)]
    start = Start(
        0, 2, T0, let_in=later(1), created=moments[order[0]], scheduled=moments[order[1]], running=later(25)
    )
    assert all(span.begin <= span.end for span in spans_of(replace(start, first_step=later(24))))


def test_a_trace_is_told_once_whoever_acts() -> None:
    told = Told()
    up = starting(phase=Phase.RUNNING, created_at=later(12), running_at=later(20))
    far = changed(up, progress=Progress(step=7, updated_at=later(60)))
    next_operator = Tracer(told)
    note(next_operator, far, 70, report=report(at=later(70), step=8))
    note(next_operator, far, 75, report=report(at=later(75), step=9))
    ended = changed(far, attempts=[changed(far.attempts[0], ended_at=later(80))], phase=Phase.SUCCEEDED)
    note(Tracer(told), ended, 90)
    assert told.spans == []
    resumed = changed(up, progress=Progress(step=7, updated_at=later(5)))
    note(Tracer(told), resumed, 70, report=report(at=later(70), step=8))
    assert len(told.spans) == 1, "those figures are of the attempt before"


def test_a_job_that_is_gone_is_forgotten() -> None:
    told = Told()
    tracer = Tracer(told)
    note(tracer, starting(), 11)
    tracer.forget(UID)
    assert tracer._jobs == {}


def test_ranks_are_told_what_to_join_only_where_somebody_collects() -> None:
    found = job(running())

    def environment(attempt: int, **settings: Any) -> dict[str, str]:
        spec = parse_spec(found.spec, strict=True)
        made = pod_manifest(found, spec, attempt, 1, "trainer:1", replace(SETTINGS, **settings))
        [container] = made["spec"]["containers"]
        return {one["name"]: one.get("value", "") for one in container["env"]}

    assert "TRACEPARENT" not in environment(0)
    told = environment(3, traces=True)["TRACEPARENT"]
    version, trace, parent, flags = told.split("-")
    assert (version, flags) == ("00", "01")
    assert (int(trace, 16), int(parent, 16)) == (trace_id(UID, 3), span_id(UID, 3))
    assert (len(trace), len(parent)) == (32, 16)
    assert told != environment(4, traces=True)["TRACEPARENT"]
    assert told == traceparent(UID, 3)


def test_what_goes_wrong_with_a_trace_is_told_in_the_log_alone() -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no trace")

    up = starting(phase=Phase.RUNNING, created_at=later(12), running_at=later(20))
    with capture_logs() as logs:
        note(Tracer(broken), up, 31, report=report(at=later(31), step=1))
    assert [one["event"] for one in logs] == ["trace-fault"]
