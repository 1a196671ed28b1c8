"""A job with a program of its own: what is decided for it, what its pods are told and given."""

from __future__ import annotations

import json
from typing import Any

from harness.bad_manifests import own_program
from harness.jobs import SETTINGS, T0, UID, complete, ended, pod, running, seen

from llmtrain_api import Job, JobFile, JobStatus, Outcome, Phase, Results, TerminationMessage, changed
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.pod import pod as pod_manifest
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.events import events_between
from llmtrain_operator.plan.setup import stages_of
from llmtrain_operator.plan.situation import look
from llmtrain_operator.types import PodPhase


def job(status: JobStatus | None = None, **spec: Any) -> Job:
    raw = own_program(**spec)
    raw["metadata"] |= {"uid": UID, "resourceVersion": "7", "generation": 1}
    if status is not None:
        raw["status"] = status.to_json()
    return Job.model_validate(raw)


def test_it_begins_at_once_with_its_own_image_and_nothing_of_a_model_decided() -> None:
    found = look(seen(job(image="mine:1", gpusPerNode=8)), T0)
    assert found.spec is not None
    assert stages_of(found.spec) == (), "no model to look at, no data to prepare"
    decided = plan(seen(job(image="mine:1", gpusPerNode=8)), T0).status.resolved
    assert decided is not None
    assert (decided.image, decided.world_size) == ("mine:1", 16)
    assert decided.layout == "python3, started by torchrun"
    assert (decided.parallelism, decided.micro_batch, decided.global_batch) == (None, None, None)


def test_its_pods_run_the_launcher_in_its_image_with_the_output_alone() -> None:
    found = look(seen(job(image="mine:1")), T0)
    assert found.spec is not None
    container = pod_manifest(found.job, found.spec, 0, 0, "mine:1", SETTINGS)["spec"]["containers"][0]
    assert (container["image"], container["args"]) == ("mine:1", ["launch"])
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {"config", "token", "scratch", "output"}
    told = JobFile.model_validate(
        json.loads(config_map(found.job, found.spec, 0, SETTINGS)["data"]["job.json"])
    )
    assert told.spec.entrypoint is not None
    assert told.spec.entrypoint.words == ["python3", "train.py"]
    assert told.layout.world == told.spec.world_size == 2


def test_the_end_of_a_program_that_told_of_no_steps_keeps_what_is_known() -> None:
    done = TerminationMessage(outcome=Outcome.COMPLETE, results=Results())
    pods = tuple(
        pod(0, rank, PodPhase.SUCCEEDED, termination=ended(done if rank == 0 else complete(), 0, T0))
        for rank in range(2)
    )
    before = running()
    after = plan(seen(job(before), pods), T0).status
    assert after.phase is Phase.SUCCEEDED
    assert after.progress is None
    assert [event.message for event in events_between(before, after)] == ["done"]
    told = changed(done, results=Results(steps=60))
    pods = (pod(0, 0, PodPhase.SUCCEEDED, termination=ended(told, 0, T0)), pods[1])
    steps = plan(seen(job(before), pods), T0).status.progress
    assert steps is not None
    assert (steps.step, steps.percent) == (60, 100)
