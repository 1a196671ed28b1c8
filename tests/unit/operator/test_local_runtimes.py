"""Runtimes in the file of a job, where there is no cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.jobs import manifest

from llmtrain_operator.local.manifest_file import Refused, parsed


def runtime(name: str = "small", kind: str = "LLMTrainingRuntime", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "llmtrain.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def written(folder: Path, *documents: dict[str, Any]) -> Path:
    path = folder / "job.yaml"
    path.write_text("\n---\n".join(json.dumps(one) for one in documents))
    return path


def test_a_runtime_beside_the_job_is_applied_and_told(tmp_path: Path) -> None:
    defaults = {"resources": {"memory": "8Gi"}}
    path = written(tmp_path, manifest(runtime="small"), runtime(defaults=defaults), runtime("other"))
    found = parsed(path)
    assert found.spec.resources.memory == "8Gi"
    assert found.document["spec"]["resources"] == {"memory": "8Gi"}
    assert "LLMTrainingRuntime small" in found.note


def test_that_one_is_not_there_is_told(tmp_path: Path) -> None:
    found = parsed(written(tmp_path, manifest(runtime="h100")))
    assert "h100 is not in this file" in found.note
    assert parsed(written(tmp_path, manifest())).note == ""


def test_a_job_beyond_its_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"spec.nodes: got 2.*LLMTrainingRuntime small.*bounds.maxNodes"):
        parsed(written(tmp_path, runtime(bounds={"maxNodes": 1}), manifest(runtime="small")))
    private = runtime(kind="ClusterLLMTrainingRuntime", namespaces=["nlp"])
    with pytest.raises(Refused, match="not for jobs of namespace default"):
        parsed(written(tmp_path, private, manifest(runtime="small")))


def test_a_wrong_runtime_is_refused_with_its_name_and_the_field(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"LLMTrainingRuntime small: spec.bounds.maxNode: is not a field"):
        parsed(written(tmp_path, runtime(bounds={"maxNode": 1}), manifest()))


def test_two_jobs_are_still_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="2 documents"):
        parsed(written(tmp_path, manifest(), manifest("other"), runtime()))
