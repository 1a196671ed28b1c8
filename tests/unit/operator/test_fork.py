"""A job that goes on from another job's checkpoint: where that lies is found before it begins."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, job, running, seen

from llmtrain_api import Phase, Results, changed
from llmtrain_operator.engine.source import source_of
from llmtrain_operator.kube.api import Object
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.pod import pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.situation import cluster_mistakes, read_spec
from llmtrain_operator.types import SeenSource

FROM_JOB: dict[str, Any] = {"from": {"job": "first", "step": 40}}
OTHER: Object = {
    **json.loads(job(running()).model_dump_json(by_alias=True)),
    "spec": {"output": {"uri": "pvc://checkpoints/first/"}},
}


def found(**results: Any) -> Object:
    status = running(phase=Phase.SUCCEEDED, results=Results.model_validate({"steps": 9} | results))
    return OTHER | {"status": status.to_json()}


@pytest.mark.parametrize(
    ("other", "uri"),
    [
        (OTHER, "pvc://checkpoints/first"),
        (found(exportUri="pvc://checkpoints/first-1234abcd/export"), "pvc://checkpoints/first-1234abcd"),
        (OTHER | {"status": {"phase": 7}}, "pvc://checkpoints/first"),
    ],
)
def test_a_job_is_known_by_the_output_that_it_really_has(other: Object, uri: str) -> None:
    asked = job(checkpoint=FROM_JOB)
    assert source_of(asked, {(asked.metadata.namespace, "first"): other}.get) == SeenSource(uri)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (None, "there is no job first in namespace"),
        (
            OTHER | {"spec": {"output": {"uri": "s3://bucket/a"}}},
            "writes to s3://bucket/a, which",
        ),
        (OTHER | {"spec": {}}, "has no output that can be read"),
    ],
)
def test_a_job_that_cannot_begin_says_why_and_looks_again(other: Object | None, words: str) -> None:
    asked = job(checkpoint=FROM_JOB)
    source = source_of(asked, lambda _: other)
    assert source is not None
    decided = plan(replace(seen(asked), source=source), T0)
    condition = decided.status.condition("Accepted")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "NoCheckpoint")
    assert words in condition.message
    assert condition.message.startswith("spec.checkpoint.from.job: ")
    assert (decided.status.attempt, decided.actions, decided.requeue_after) == (None, (), 60.0)


def test_it_is_put_on_record_once_and_the_other_job_may_go() -> None:
    asked = job(checkpoint=FROM_JOB)
    source = source_of(asked, lambda _: OTHER)
    begun = plan(replace(seen(asked), source=source), T0).status
    assert begun.attempt == 0
    assert begun.resolved is not None
    assert begun.resolved.checkpoint_from == "pvc://checkpoints/first"
    started = changed(asked, status=begun)
    assert source_of(started, lambda _: None) is None
    later = plan(seen(started), T0 + timedelta(seconds=1)).status
    assert later.resolved == begun.resolved


def test_ranks_see_the_other_output_and_cannot_write_there() -> None:
    asked = job(checkpoint=FROM_JOB)
    source = SeenSource("pvc://results/first")
    started = changed(asked, status=plan(replace(seen(asked), source=source), T0).status)
    spec, _ = read_spec(started, True, None)
    assert spec is not None
    made = pod(started, spec, 0, 0, "image", SETTINGS)["spec"]
    [mount] = [m for m in made["containers"][0]["volumeMounts"] if m["name"] == "from"]
    assert mount == {"name": "from", "mountPath": "/mnt/from", "readOnly": True}
    [volume] = [v for v in made["volumes"] if v["name"] == "from"]
    assert volume["persistentVolumeClaim"]["claimName"] == "results"
    told = json.loads(config_map(started, spec, 0, SETTINGS)["data"]["job.json"])
    assert told["checkpointFrom"] == "/mnt/from/first"
    plain = changed(asked, status=plan(seen(job()), T0).status)
    assert "from" not in [v["name"] for v in pod(plain, spec, 0, 0, "image", SETTINGS)["spec"]["volumes"]]


def test_an_output_that_no_pod_has_is_refused_in_a_cluster() -> None:
    spec, _ = read_spec(job(checkpoint={"from": {"output": "file:///runs/first"}}), True, None)
    assert spec is not None
    assert cluster_mistakes(spec) == [
        "spec.checkpoint.from.output: got 'file:///runs/first', a folder that no pod has; use pvc://CLAIM/FOLDER"
    ]
