"""The layout is decided once: before the first attempt, for all that follow."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from harness.jobs import T0, job, seen

from llmtrain_api import (
    Attempt,
    Choice,
    Job,
    JobFile,
    JobSpec,
    JobStatus,
    Layout,
    ModelShape,
    Recompute,
    changed,
    choose,
)
from llmtrain_operator.plan import plan
from llmtrain_operator.types import CreateChild


def another(shape: ModelShape, spec: JobSpec) -> Choice:
    """What a later version of the operator might decide."""
    choice = choose(shape, spec)
    layout = replace(choice.layout, zero=3, why="another version")
    return replace(choice, layout=layout, micro_batch=2, recompute=Recompute.SELECTIVE)


def another_layout(shape: ModelShape, spec: JobSpec) -> Layout:
    return another(shape, spec).layout


def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plan.resolved", "manifests.config"):
        monkeypatch.setattr(import_module(f"llmtrain_operator.{name}"), "choose", another)
    monkeypatch.setattr(import_module("llmtrain_operator.manifests.config"), "layout_of", another_layout)


def told(status: JobStatus, **spec: Any) -> JobFile:
    """The job file of the attempt on record."""
    decision = plan(seen(job(status, **spec)), T0)
    [found] = [a for a in decision.actions if isinstance(a, CreateChild) and a.resource == "configmaps"]
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
    assert status.resolved.parallelism == Layout(data=2, zero=0)
    assert status.resolved.layout == "dp2 zero0 fp32 (zero0: the lowest, and it fits)"
    assert told(status).layout == Layout(data=2, zero=0)
    assert told(status).layout.why == "zero0: the lowest, and it fits"


def test_a_later_version_does_not_change_the_layout_of_a_job_that_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = Job.model_validate(job(begun()).model_dump(by_alias=True, mode="json")).status
    upgraded(monkeypatch)
    assert told(status).layout == Layout(data=2, zero=0)
    assert told(again(status)).layout == Layout(data=2, zero=0)
    assert computed(told(again(status))) == (8, None)
    # a job that begins now gets what is decided now
    assert told(begun()).layout == Layout(data=2, zero=3)
    assert computed(told(begun())) == (2, "selective")


def test_what_a_person_writes_into_a_job_wins_over_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    status = begun()
    assert computed(told(again(status))) == (8, None)
    asked = {"microBatchSize": 4, "activationCheckpointing": True}
    assert computed(told(again(status), training={"maxSteps": 20, **asked})) == (4, "full")
    upgraded(monkeypatch)
    selective = begun()
    for written, way in ((True, "full"), (False, None)):
        asked = {"maxSteps": 20, "activationCheckpointing": written}
        assert computed(told(again(selective), training=asked)) == (2, way)


def test_a_status_of_an_older_version_says_less() -> None:
    status = begun()
    assert status.resolved is not None
    older = changed(status, resolved=changed(status.resolved, activation_checkpointing=None))
    assert computed(told(again(older))) == (8, None)
    old = changed(status, resolved=changed(status.resolved, activation_checkpointing=True))
    assert computed(told(again(old))) == (8, "full")


def test_how_logits_are_made_is_kept_as_it_was_decided_unless_the_job_says_it() -> None:
    status = begun()
    assert status.resolved is not None
    assert status.resolved.chunked_logits is False
    for decided, written, right in (
        (True, {}, True),
        (False, {}, False),
        (None, {}, False),
        (True, {"chunkedLogits": False}, False),
        (False, {"chunkedLogits": True}, True),
    ):
        kept = changed(status, resolved=changed(status.resolved, chunked_logits=decided))
        file = told(again(kept), training={"maxSteps": 20, **written})
        assert file.spec.training.chunked_logits is right


def computed(file: JobFile) -> tuple[int, str | None]:
    """What ranks are told of their passes."""
    training = file.spec.training
    return training.micro_batch_size, training.recompute
