"""``checkpoint.from``: which output a job begins with a step of, decided once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from harness.jobs import SETTINGS, T0, job, manifest, seen

from llmtrain_api import (
    Checkpoint,
    Job,
    JobStatus,
    Origin,
    Phase,
    Results,
    RuntimeOnRecord,
    Setup,
    SetupStage,
    changed,
)
from llmtrain_operator.engine.other_jobs import job_by_name, other_job
from llmtrain_operator.kube.jobs import JobStore, seen_job
from llmtrain_operator.manifests.config import job_file
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.manifests.pod import setup_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.situation import look
from llmtrain_operator.types import Observed, Plan, SeenRuntime

BASE = "99999999-2222-3333-4444-555555555555"
URI = "pvc://checkpoints/base"


def other(status: dict[str, Any] | None = None, **spec: Any) -> Job:
    raw = manifest("base", **spec)
    raw["metadata"] |= {"uid": BASE, "resourceVersion": "3", "generation": 1}
    told = JobStatus(checkpoint=Checkpoint(step=50), checkpoints=[50, 40], attempt=0, phase=Phase.RUNNING)
    raw["status"] = (changed(told, **(status or {}))).to_json()
    return Job.model_validate(raw)


def observed(
    found: Job | None, status: JobStatus | None = None, step: int | None = None, **more: Any
) -> Observed:
    checkpoint = {"from": {"job": "base"} | ({"step": step} if step else {})}
    asked = job(status, **({"checkpoint": checkpoint, "training": {"maxSteps": 100}} | more))
    return replace(seen(asked), other=found)


def refusal(decision: Plan) -> str:
    condition = decision.status.condition("Accepted")
    assert condition is not None
    assert (condition.status, condition.reason, decision.actions) == ("False", "NoCheckpoint", ())
    assert decision.status.origin is None
    assert decision.requeue_after is not None, "the other job may come"
    return condition.message


def test_it_goes_on_record_before_anything_begins_and_stays() -> None:
    first = plan(observed(other(), step=40), T0)
    found = Origin(job="base", uid=BASE, uri=URI, step=40)
    assert (first.status.origin, first.status.attempt, first.actions) == (found, None, ())
    gone = plan(observed(None, first.status, step=40), T0)
    assert (gone.status.attempt, gone.status.origin) == (0, found), "the other job was deleted meanwhile"
    told = job_file(
        job(gone.status, checkpoint={"from": {"job": "base", "step": 40}}), spec_of(), 0, SETTINGS
    )
    assert told.origin is not None
    assert (told.origin.step, told.origin.uid, told.origin.folder) == (40, BASE, "/mnt/output/base")


@pytest.mark.parametrize("claims", [["mine"], ["mine", "checkpoints"], None])
def test_a_job_comes_by_another_to_no_claim_that_its_runtime_keeps_from_it(claims: list[str] | None) -> None:
    bounds = {} if claims is None else {"bounds": {"claims": claims}}
    record = RuntimeOnRecord(kind="LLMTrainingRuntime", name="team", digest="d", spec=bounds)
    asked = observed(other(), step=40, runtime="team", output={"uri": "pvc://mine/fork"})
    decision = plan(replace(asked, runtime=SeenRuntime(record)), T0)
    if claims == ["mine"]:
        told = "spec.checkpoint.from.job: got 'checkpoints', and LLMTrainingRuntime team does not allow it"
        assert refusal(decision).startswith(told)
    else:
        assert decision.status.origin is not None


def spec_of(**more: Any) -> Any:
    found = look(observed(None, **more), T0).spec
    assert found is not None
    return found


def test_another_step_is_looked_up_anew_and_none_is_forgotten() -> None:
    first = plan(observed(other(), step=40), T0)
    again = plan(observed(other(), first.status, step=50), T0)
    assert again.status.origin == Origin(job="base", uid=BASE, uri=URI, step=50)
    without = plan(seen(job(first.status)), T0)
    assert without.status.origin is None


@pytest.mark.parametrize(
    ("found", "step", "told"),
    [
        (None, None, "there is no job base in namespace default; correct the name"),
        (other({"checkpoint": None, "checkpoints": None}), None, "base has saved no checkpoint yet"),
        (other(), 60, "got 60, and base has kept step 50, 40; name one of these"),
        (other(), 30, "got 30, and base has kept step 50, 40"),
        (
            other(output={"uri": "s3://bucket/base"}),
            None,
            "the output of base is s3://bucket/base: a step is copied",
        ),
        (other(output={"uri": "pvc://checkpoints/tiny/in"}), None, "set another output.uri"),
        (
            other(entrypoint={"command": ["a"]}, model=None, dataset=None, training=None),
            None,
            "a program of its own",
        ),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(found: Job | None, step: int | None, told: str) -> None:
    message = refusal(plan(observed(found, step=step), T0))
    assert message.startswith("spec.checkpoint.from.")
    assert told in message


def test_it_is_refused_to_go_on_from_itself() -> None:
    checkpoint = {"from": {"job": "tiny"}}
    assert "is this job itself" in refusal(plan(observed(other(), checkpoint=checkpoint), T0))


def test_a_refused_job_begins_once_the_other_has_a_checkpoint() -> None:
    first = plan(observed(other({"checkpoint": None, "checkpoints": None})), T0)
    refusal(first)
    second = plan(observed(other(), first.status), T0)
    assert second.status.origin is not None
    third = plan(observed(other(), second.status), T0)
    accepted = third.status.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, third.status.attempt) == ("True", 0)


def test_the_output_that_was_really_used_is_taken() -> None:
    done = other({"phase": Phase.SUCCEEDED, "results": Results(export_uri=f"{URI}-99999999/export")})
    origin = plan(observed(done), T0).status.origin
    assert origin is not None
    assert origin.uri == f"{URI}-99999999"


def test_a_folder_is_taken_as_it_is_named() -> None:
    source = {"output": "pvc://old/run", "step": 7}
    origin = plan(observed(None, checkpoint={"from": source}), T0).status.origin
    assert origin == Origin(uri="pvc://old/run", step=7)


def test_another_claim_is_mounted_read_only_and_the_own_one_once() -> None:
    for uri, folder, mounted in (
        ("pvc://old/run", "/mnt/origin/old/run", True),
        (URI, "/mnt/output/base", False),
    ):
        status = JobStatus(origin=Origin(uri=uri))
        of = job(status, checkpoint={"from": {"output": uri}})
        spec = spec_of(checkpoint={"from": {"output": uri}})
        told = job_file(of, spec, 0, SETTINGS).origin
        assert told is not None
        assert told.folder == folder
        prepares = Setup(stage=SetupStage.PREPARE, number=0, generation=0, started_at=T0)
        for pod in (build_pod(of, spec, 0, 0, "i", SETTINGS), setup_pod(of, spec, prepares, "i", SETTINGS)):
            mounts = [m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] == "origin"]
            volumes = [v for v in pod["spec"]["volumes"] if v["name"] == "origin"]
            expected = [{"name": "origin", "mountPath": "/mnt/origin/old", "readOnly": True}]
            assert mounts == (expected if mounted else [])
            assert [v["persistentVolumeClaim"]["claimName"] for v in volumes] == (["old"] if mounted else [])
        inspects = changed(prepares, stage=SetupStage.INSPECT)
        assert "origin" not in str(setup_pod(of, spec, inspects, "i", SETTINGS)["spec"])


def test_the_other_job_is_found_by_its_name_until_the_job_has_begun() -> None:
    store = JobStore()
    store.upsert(seen_job(other().to_json()))
    find = job_by_name(store)
    asked = observed(None).job
    found = other_job(asked, find)
    assert found is not None
    assert found.metadata.uid == BASE
    assert other_job(changed(asked, status=JobStatus(attempt=0)), find) is None
    assert other_job(job(), find) is None
    odd = orjson.loads(orjson.dumps(asked.to_json())) | {"spec": {"checkpoint": {"from": {"job": 3}}}}
    assert other_job(Job.model_validate(odd), find) is None
