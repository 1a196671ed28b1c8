"""Manifests that are changed by --set, and copied under another name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.jobs import manifest

from llmtrain import manifests
from llmtrain.errors import Mistake


def spec_with(*settings: str, **spec: Any) -> dict[str, Any]:
    return manifests.with_settings(manifest(**spec), settings)["spec"]


def test_a_setting_is_read_as_kubectl_reads_yaml() -> None:
    spec = spec_with(
        "training.learningRate=1e-4", "spec.nodes=3", "suspend=yes", "model.name=a/b", "labels.a='1'"
    )
    assert spec["training"] == {"maxSteps": 20, "learningRate": 1e-4}
    assert (spec["nodes"], spec["suspend"], spec["model"]["name"]) == (3, True, "a/b")
    assert spec["labels"] == {"a": "1"}
    assert "maxSteps" not in spec_with("training.maxSteps=")["training"]
    mixture = [{"name": "pvc://d/a", "weight": 1}, {"name": "pvc://d/b", "weight": 1}]
    found = spec_with("dataset.mixture[1].weight=3", dataset={"mixture": mixture})
    assert [one["weight"] for one in found["dataset"]["mixture"]] == [1, 3]
    assert mixture[1]["weight"] == 1, "the manifest itself stays as it is"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("training.maxSteps", "use KEY=VALUE"),
        ("training..maxSteps=1", "no path of a field"),
        ("dataset.mixture[4].weight=1", "no item 4"),
        ("nodes.deep=1", "deep"),
        ("training={", "no YAML"),
    ],
)
def test_a_wrong_setting_is_told(setting: str, told: str) -> None:
    with pytest.raises(Mistake, match=told.replace("[", r"\[")):
        spec_with(setting)


def test_a_copy_has_an_output_of_its_own() -> None:
    found = manifests.copied(manifest(suspend=True), "other", ["training.maxSteps=9"])
    assert found["metadata"] == {"name": "other", "namespace": "default"}
    assert found["spec"]["output"]["uri"] == "pvc://checkpoints/other"
    assert found["spec"]["training"]["maxSteps"] == 9
    assert "suspend" not in found["spec"]


def test_a_copy_that_would_write_to_the_same_folder_is_refused() -> None:
    shared = manifest(output={"uri": "pvc://checkpoints/shared"})
    with pytest.raises(Mistake, match=r"spec\.output\.uri"):
        manifests.copied(shared, "other", [])
    assert manifests.copied(shared, "other", ["output.uri=pvc://checkpoints/mine"])
    with pytest.raises(Mistake, match=r"spec\.output\.uri"):
        manifests.copied(shared, "other", ["output.uri=pvc://checkpoints/shared/"])


def test_every_mistake_of_a_file_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest(nodez=1, nodes=0)))
    with pytest.raises(Mistake) as caught:
        manifests.read(path)
    assert len(caught.value.mistakes) == 2
    assert all(line.startswith(str(path)) for line in caught.value.mistakes)


def test_a_file_with_a_runtime_is_not_sent_without_it(tmp_path: Path) -> None:
    runtime = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingRuntime", "metadata": {"name": "s"}}
    path = tmp_path / "job.yaml"
    path.write_text(f"{json.dumps(manifest(runtime='s'))}\n---\n{json.dumps({**runtime, 'spec': {}})}")
    with pytest.raises(Mistake, match="kubectl apply sends both"):
        manifests.read(path)


def test_a_copy_goes_on_from_a_step_when_asked() -> None:
    found = manifests.copied(manifest(checkpoint={"keep": 3}), "other", [], "7")
    assert found["spec"]["checkpoint"] == {"keep": 3, "from": {"job": "tiny", "step": 7}}
    newest = manifests.copied(manifest(), "other", ["training.maxSteps=9"], "newest")
    assert newest["spec"]["checkpoint"] == {"from": {"job": "tiny"}}
    assert "checkpoint" not in manifests.copied(manifest(), "other", [])["spec"]
    with pytest.raises(Mistake, match=r"--from-step: got 'last'; use a step"):
        manifests.copied(manifest(), "other", [], "last")
    with pytest.raises(Mistake, match=r"spec\.checkpoint\.from\.step: got 20, and training\.maxSteps is 20"):
        manifests.copied(manifest(), "other", [], 20)
