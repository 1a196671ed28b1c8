"""The layout is decided once: before the first attempt, for all that follow."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from harness.jobs import T0, job, seen

from llmtrain_api import Attempt, Job, JobFile, JobSpec, JobStatus, Layout, ModelShape, changed, layout_of
from llmtrain_operator.plan import plan
from llmtrain_operator.types import Create


def another(shape: ModelShape, spec: JobSpec) -> Layout:
    """What a later version of the operator might decide."""
    layout = layout_of(shape, spec)
    return Layout(layout.data, layout.tensor, layout.pipeline, layout.sequence, 3, "another version")


def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plan.begin", "manifests.config"):
        monkeypatch.setattr(import_module(f"llmtrain_operator.{name}"), "layout_of", another)


def told(status: JobStatus, **spec: Any) -> JobFile:
    """The job file of the attempt on record."""
    decision = plan(seen(job(status, **spec)), T0)
    [found] = [a for a in decision.actions if isinstance(a, Create) and a.resource == "configmaps"]
    return JobFile.model_validate(json.loads(found.manifest["data"]["job.json"]), extra="forbid")


def begun(**spec: Any) -> JobStatus:
    return plan(seen(job(**spec)), T0).status


def again(status: JobStatus) -> JobStatus:
    """The status when attempt 1 has gone on record."""
    first = changed(status.attempts[0], ended_at=T0)
    return changed(status, attempt=1, attempts=[first, Attempt(number=1, started_at=T0)])


def test_the_job_file_says_what_the_status_says() -> None:
    status = begun()
    assert status.resolved is not None
    assert status.resolved.parallelism == Layout(data=2, zero=1)
    assert status.resolved.layout == "dp2 zero1 fp32 (zero1: the lowest, and it fits)"
    assert told(status).layout == Layout(data=2, zero=1)
    assert told(status).layout.why == "zero1: the lowest, and it fits"


def test_a_later_version_does_not_change_the_layout_of_a_job_that_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = Job.model_validate(job(begun()).model_dump(by_alias=True, mode="json")).status
    upgraded(monkeypatch)
    assert told(status).layout == Layout(data=2, zero=1)
    assert told(again(status)).layout == Layout(data=2, zero=1)
    # a job that begins now gets what is decided now
    assert told(begun()).layout == Layout(data=2, zero=3)
