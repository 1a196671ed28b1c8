"""What a person may write, what the CRD says of it, and that both are one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.bad_manifests import BAD, SEEN_BY_OPERATOR
from harness.jobs import manifest
from pydantic import ValidationError

from llmtrain_api import InvalidJob, JobSpec, JobStatus, Progress, changed, parse_manifest, parse_spec
from llmtrain_api.__main__ import PAGES, TARGETS, other_files, render
from llmtrain_api.generate.crd import custom_resource_definition, structural
from llmtrain_api.runtimes import parse_runtime
from llmtrain_api.sweeps import parse_sweep

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_generated_files_are_up_to_date(target: Path) -> None:
    assert target.read_text() == render(for_chart="helm" in target.parts), "run `make generate`"


@pytest.mark.parametrize("path", other_files(), ids=lambda path: path.name)
def test_generated_files_of_runtimes_are_up_to_date(path: Path) -> None:
    assert path.read_text() == other_files()[path], "run `make generate`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make generate`"


def test_the_reference_has_every_field_of_the_schema() -> None:
    def fields(node: Any, path: str) -> list[tuple[str, str]]:
        properties = node.get("properties", node.get("items", {}).get("properties", {}))
        found = [(path, name) for name in properties]
        return found + [one for name, child in properties.items() for one in fields(child, name)]

    [version] = custom_resource_definition()["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    everything = [one for one in fields(root, "") if one[0] or one[1] in ("spec", "status")]
    text = next(path for path in PAGES if path.name == "reference.md").read_text().partition("# Runtimes")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len([one for one in everything if one[0]])
    for _, name in everything[2:]:
        assert any(row.startswith(f"| `{name}` |") for row in rows), name


def test_crd_stays_small_enough_for_client_side_apply() -> None:
    kept = json.dumps(yaml.safe_load(render(for_chart=False)))
    assert len(kept.encode()) < 210_000, "kubectl keeps it as JSON in an annotation, which holds 256 KiB"


def test_every_example_is_valid() -> None:
    examples = sorted((ROOT / "examples").glob("*.yaml"))
    assert examples
    for path in examples:
        for document in yaml.safe_load_all(path.read_text()):
            kinds: dict[str, Callable[[object], object]]
            kinds = {"LLMTrainingJob": parse_manifest, "LLMTrainingSweep": parse_sweep}
            kinds.get(document["kind"], parse_runtime)(document)


@pytest.mark.parametrize("name", [*BAD, *SEEN_BY_OPERATOR])
def test_a_bad_manifest_names_the_field_and_the_fix(name: str) -> None:
    bad = (BAD | SEEN_BY_OPERATOR)[name]
    with pytest.raises(InvalidJob) as caught:
        parse_manifest(bad.manifest)
    assert any(bad.field in mistake for mistake in caught.value.mistakes), caught.value.mistakes
    assert any(bad.fix in mistake for mistake in caught.value.mistakes), caught.value.mistakes


def test_answers_that_are_desirable_or_not_have_columns_of_their_own_and_are_one_sequence() -> None:
    fields = {"prompt": "q", "completion": "a", "label": "good", "chosen": "x"}
    asked = manifest(
        task="preference",
        dataset={"name": "pvc://talks/all", "fields": fields},
        training={"preference": {"loss": "kto", "desirableWeight": 2}},
    )
    _, spec = parse_manifest(asked)
    assert (spec.judges_answers, spec.sequences_a_sample) == (True, 1)
    pairs = manifest(task="preference", dataset={"name": "pvc://talks/all"})
    _, spec = parse_manifest(pairs)
    assert (spec.judges_answers, spec.sequences_a_sample) == (False, 2)


def test_pods_fields_take_what_a_pod_takes() -> None:
    taken = manifest(
        annotations={"Team.example.com/x": "any text\n", "y": ""},
        nodeSelector={"node-role.kubernetes.io/gpu": "", f"{'a' * 253}/{'b' * 63}": "c" * 63},
        tolerations=[
            {"operator": "Exists"},
            {"key": "", "operator": "Exists", "value": ""},
            {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 0},
        ],
        resources={"cpu": "1500m", "cpuLimit": 1.5},
    )
    spec = parse_manifest(taken)[1]
    assert spec.tolerations[2].operator == "Equal"
    # as the API server does
    assert parse_manifest(manifest(nodeSelector={"pool": None}))[1].node_selector == {}
    assert JobSpec.model_validate(spec.to_json(), extra="forbid") == spec


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_manifest(manifest(nodes=0, image="", typo=1, dataset=None))
    said = " ".join(caught.value.mistakes)
    for field in ("spec.nodes", "spec.image", "spec.typo", "spec.dataset"):
        assert field in said


def test_operator_ignores_a_field_that_it_does_not_know() -> None:
    spec = manifest()["spec"] | {"fromTheFuture": {"x": 1}}
    assert parse_spec(spec, strict=False).nodes == 2
    with pytest.raises(InvalidJob):
        parse_spec(spec, strict=True)


def test_models_survive_a_round_trip() -> None:
    spec = parse_spec(manifest()["spec"], strict=True)
    assert JobSpec.model_validate(spec.to_json(), extra="forbid") == spec
    status = JobStatus.model_validate({"phase": "Running", "conditions": [], "failure": None})
    assert JobStatus.model_validate(status.to_json()) == status


def walk(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return []
    found = [(path, node)]
    for name, child in node.get("properties", {}).items():
        found += walk(child, f"{path}.{name}")
    if "items" in node:
        found += walk(node["items"], f"{path}[]")
    return found


def test_schema_is_structural_and_bounded() -> None:
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    nodes = walk(schema["properties"]["spec"]) + walk(schema["properties"]["status"])
    assert len(nodes) > 80
    for path, node in nodes:
        assert "$ref" not in node, path
        assert "title" not in node, path
        assert "type" in node or node.get("x-kubernetes-preserve-unknown-fields"), path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
            assert "maxLength" in node["additionalProperties"], path
        if node.get("type") == "string" and ".spec" in path:
            assert {"maxLength", "enum", "format"} & node.keys(), path


def test_a_union_without_a_structural_form_is_refused() -> None:
    with pytest.raises(ValueError, match="union"):
        structural({"anyOf": [{"type": "object"}, {"type": "array"}]}, {})


def test_default_objects_are_written_out() -> None:
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    training = schema["properties"]["spec"]["properties"]["training"]
    defaults = parse_spec(manifest()["spec"], strict=True).training
    assert training["default"]["globalBatchSize"] == defaults.global_batch_size


def test_an_optional_object_has_no_default_so_that_unset_stays_unset() -> None:
    training = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "spec"
    ]["properties"]["training"]
    assert "default" not in training["properties"]["earlyStopping"]
    assert "earlyStopping" not in training["default"]
    assert parse_spec(manifest()["spec"], strict=True).training.early_stopping is None
    assert "x-unset" not in render(for_chart=False)


def test_an_object_that_must_be_there_has_no_default_that_answers_for_it() -> None:
    spec = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "spec"
    ]
    assert spec["required"] == ["output"]
    asked_for = ("model", "dataset", "output")
    assert not any("default" in spec["properties"][name] for name in asked_for)


def test_generated_yaml_has_no_anchors() -> None:
    assert "&id" not in render(for_chart=False)


def test_a_change_of_a_model_is_checked() -> None:
    progress = Progress(step=1)
    assert changed(progress, step=5) == Progress(step=5)
    with pytest.raises(TypeError, match="Progress has no field los"):
        changed(progress, los=1.5)
    with pytest.raises(ValidationError, match="step"):
        changed(progress, step="five")


SHORT_FOR_PER = re.compile(
    r"\b(sequences|tokens|ranks|processes|pods|gpus|memory|steps|nats?|bytes) (a|an) [a-z]|one a node"
)


def test_every_description_says_per_and_is_a_sentence() -> None:
    """`kubectl explain` shows them to people who know none of our habits."""
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    nodes = walk(schema["properties"]["spec"]) + walk(schema["properties"]["status"])
    for path, node in nodes:
        text = node.get("description")
        if text is None:
            continue
        assert not SHORT_FOR_PER.search(text.lower()), f"{path}: {text}"
        assert "``" not in text, f"{path}: {text}"
        assert text.rstrip()[-1] in ".)", f"{path}: {text}"
        assert len(text.split()) >= 2, f"{path}: {text}"
    for path, node in nodes:
        assert "description" in node or path.endswith("[]"), path
