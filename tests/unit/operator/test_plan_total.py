"""Whatever pods say, `plan` answers, and its status is one that the API server takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from harness.jobs import SETTINGS, T0, UID, job, later, pod
from harness.openapi import mistakes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmtrain_api import Attempt, JobStatus, Outcome, Phase, ProgressReport, Setup, SetupStage, Stage
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.messages import figure, read_termination_message
from llmtrain_api.schema.status import FailureClass
from llmtrain_operator.plan import plan
from llmtrain_operator.types import LastReport, Observed, Pod, PodPhase, Refusal, RefusalKind, Termination

VERSION = custom_resource_definition()["spec"]["versions"][0]
STATUS = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]

ODD_NUMBERS = (
    -1,
    -7,
    0,
    1,
    20,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    10**22,
    10**24,
    10**30,
    0.5,
    4e11,
    1e30,
    1e300,
)
numbers = st.one_of(st.sampled_from(ODD_NUMBERS), st.integers(0, 2**53), st.floats(allow_nan=False))
texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["x" * n for n in (255, 256, 257, 512, 1024, 2048, 4096, 5000)]),
    st.sampled_from(["\x00", "\ud83d\ude00" * 0 + "😀" * 256, "{}", "null", "[]", "1"]),
)
EDGES = (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC, microsecond=0))
moments = st.sampled_from([None, T0, later(5), later(4000), *EDGES])
steps = st.lists(numbers, max_size=12)
values = st.one_of(st.none(), numbers, texts, st.booleans())


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


FIGURES = ("epoch", "loss", "evalLoss", "perplexity", "learningRate", "gradNorm", "tokensPerSecond", "mfu")
COUNTS = ("step", "totalSteps", "etaSeconds", "resumedStep", "checkpointStep")
reports = st.builds(
    lambda fields, stage: fields | {"jobUid": UID, "attempt": 0, "stage": stage},
    objects({**dict.fromkeys((*FIGURES, *COUNTS), numbers), "resumedNote": texts, "checkpoints": steps}),
    st.sampled_from([stage.value for stage in Stage]),
)
results = objects(
    {
        **dict.fromkeys(("steps", "skippedSteps", "bestStep", "trainLoss", "evalLoss", "perplexity"), values),
        **dict.fromkeys(("bestEvalLoss", "unigramEntropy", "stopReason", "exportUri", "sample"), values),
    }
)
endings = objects(
    {
        "version": st.sampled_from([1, 1, 1, 2, "1"]),
        "outcome": st.sampled_from([*(outcome.value for outcome in Outcome), "Odd", None]),
        "failureClass": st.sampled_from([*(kind.value for kind in FailureClass), "Odd", None]),
        **dict.fromkeys(("rank", "exitCode", "resumedStep", "checkpointStep"), values),
        **dict.fromkeys(("message", "hint", "logTail"), values),
        "checkpoints": st.one_of(values, steps),
        "cascade": st.sampled_from([True, False, None, "yes"]),
        "results": st.one_of(st.none(), results, values),
    }
)
messages = st.one_of(endings.map(json.dumps), texts)


def report_of(raw: dict[str, Any]) -> ProgressReport | None:
    """What the operator takes of it: what it refuses, nobody plans with."""
    try:
        return ProgressReport.model_validate_json(json.dumps(raw))
    except ValidationError:
        return None


@st.composite
def pods(draw: Callable[[st.SearchStrategy[Any]], Any], attempt: int, rank: int) -> Pod:
    phase = draw(st.sampled_from(PodPhase))
    ended = phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)
    code = 0 if phase is PodPhase.SUCCEEDED else draw(st.sampled_from([1, 75, 78, 137, 255, 2**31 - 1]))
    end = Termination(code, draw(texts), draw(messages), draw(moments))
    return pod(
        attempt,
        rank,
        phase,
        reason=draw(texts),
        message=draw(texts),
        node=draw(st.sampled_from([None, "node1"])),
        hold=draw(st.one_of(st.none(), st.tuples(texts, texts))) if phase is PodPhase.PENDING else None,
        disruption=draw(st.one_of(st.none(), texts)),
        deletion_deadline=draw(st.sampled_from([None, None, later(30), *EDGES])),
        termination=end if ended and draw(st.integers(0, 5)) else None,
    )


def checked(seen: Observed, now: datetime) -> JobStatus:
    """The planned status, as the API server would hold it."""
    raw = orjson.loads(orjson.dumps(plan(seen, now).status.to_json()))
    assert mistakes(raw, STATUS) == []
    return JobStatus.model_validate(raw)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_plan_answers_whatever_pods_say_and_its_status_fits_the_crd(data: st.DataObject) -> None:
    status = checked(Observed(job(), (), None, None, SETTINGS), T0)
    for moment in range(1, 6):
        attempt = status.attempt or 0
        gang = tuple(data.draw(pods(attempt, rank)) for rank in range(2) if data.draw(st.integers(0, 9)))
        said = report_of(data.draw(reports))
        heard = LastReport(said.model_copy(update={"attempt": attempt}), later(moment)) if said else None
        kind = data.draw(st.sampled_from([None, None, None, *RefusalKind]))
        refusal = Refusal(kind, data.draw(texts)) if kind else None
        lost = frozenset(data.draw(st.sets(st.integers(0, 1), max_size=1)))
        asked = job(status, suspend=data.draw(st.sampled_from([False, False, True])))
        status = checked(Observed(asked, gang, heard, refusal, SETTINGS, lost=lost), later(60 * moment))


ODD_ENDINGS: list[dict[str, Any]] = [
    {"checkpointStep": -1},
    {"resumedStep": -7},
    {"checkpointStep": 10**24},
    {"exitCode": 10**22},
    {"rank": -1},
    {"results": {"steps": 10**30}},
    {"results": {"steps": 1, "trainLoss": 1e300}},
    {"message": "x" * 5000},
]
ODD_REPORTS: list[dict[str, Any]] = [
    *({"etaSeconds": eta} for eta in (4e11, 1e300)),
    *({"step": step} for step in (-1, 10**30)),
    *({figure: 1e300} for figure in ("loss", "tokensPerSecond")),
]


@pytest.mark.parametrize("outcome", ["Failed", "Complete"])
@pytest.mark.parametrize("odd", ODD_ENDINGS, ids=str)
def test_an_odd_ending_still_ends_the_attempt(outcome: str, odd: dict[str, Any]) -> None:
    status = JobStatus(
        phase=Phase.RUNNING, attempt=0, attempts=[Attempt(number=0, started_at=T0, created_at=T0)]
    )
    phase, code = (PodPhase.FAILED, 1) if outcome == "Failed" else (PodPhase.SUCCEEDED, 0)
    end = Termination(code, "Error", json.dumps({"outcome": outcome, "failureClass": "UserError"} | odd), T0)
    gang = (pod(0, 0, phase, termination=end), pod(0, 1, PodPhase.FAILED, termination=end))
    after = checked(Observed(job(status), gang, None, None, SETTINGS), later(60))
    assert after.phase is (Phase.RESTARTING if outcome == "Failed" else Phase.SUCCEEDED)


@pytest.mark.parametrize("odd", ODD_REPORTS, ids=str)
def test_an_odd_report_is_refused_before_anybody_plans_with_it(odd: dict[str, Any]) -> None:
    assert report_of({"jobUid": UID, "attempt": 0, "stage": "train"} | odd) is None


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_plan_answers_whatever_a_pod_before_the_gang_says(data: st.DataObject) -> None:
    status = JobStatus()
    for moment in range(6):
        setup = status.setup or Setup(stage=SetupStage.PREPARE, number=0, generation=1, started_at=T0)
        numbers = data.draw(st.sets(st.sampled_from([setup.number, setup.number, setup.number + 1])))
        found = tuple(
            replace(data.draw(pods(n, 0)), stage=setup.stage, name=f"tiny-{setup.stage.value}-{n}")
            for n in sorted(numbers)
        )
        said = report_of(data.draw(reports))
        heard = LastReport(said, later(moment)) if said else None
        kind = data.draw(st.sampled_from([None, None, None, *RefusalKind]))
        refusal = Refusal(kind, data.draw(texts)) if kind else None
        lost = frozenset(data.draw(st.sets(st.just(0))))
        suspend = data.draw(st.sampled_from([False, False, False, True]))
        asked = job(status, prepare={"nodes": data.draw(st.sampled_from([1, 1, 1, 0]))}, suspend=suspend)
        status = checked(Observed(asked, found, heard, refusal, SETTINGS, lost=lost), later(60 * moment))


@settings(max_examples=300, deadline=None)
@given(messages)
def test_a_termination_message_is_read_or_not_and_never_raises(text: str) -> None:
    found = read_termination_message(text)
    assert (
        found is None
        or mistakes(found.to_json().get("results", {"steps": 0}), STATUS["properties"]["results"]) == []
    )


@pytest.mark.parametrize(
    "field", ["checkpointStep", "resumedStep", "exitCode", "rank", "results", "logTail", "hint"]
)
def test_an_odd_figure_does_not_take_the_reason_of_a_failure_along(field: str) -> None:
    told = {"outcome": "Failed", "failureClass": "ConfigError", "message": "no such folder", field: -(10**24)}
    found = read_termination_message(json.dumps(told))
    assert found is not None
    assert (found.failure_class, found.message) == (FailureClass.CONFIG_ERROR, "no such folder")
    assert field not in found.to_json()


@pytest.mark.parametrize(
    "told",
    [
        {"outcome": "Odd"},
        {"outcome": "Failed", "failureClass": 5},
        {"outcome": "Failed", "version": 2},
        {},
        [],
    ],
)
def test_what_decides_is_never_left_out(told: Any) -> None:
    assert read_termination_message(json.dumps(told)) is None


@pytest.mark.parametrize("field", [*FIGURES, *COUNTS])
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e300", "1e31"])
def test_a_report_with_a_figure_out_of_bounds_is_refused(field: str, text: str) -> None:
    raw = f'{{"jobUid": "u", "attempt": 0, "stage": "train", "{field}": {text}}}'
    with pytest.raises(ValidationError, match=field):
        ProgressReport.model_validate_json(raw)


def test_what_no_message_may_hold_is_left_out_by_the_sender() -> None:
    assert [figure(x) for x in (float("nan"), float("inf"), -float("inf"), 1e31, None)] == [None] * 5
    assert (figure(2.5), figure(-1e30), figure(0)) == (2.5, -1e30, 0)
