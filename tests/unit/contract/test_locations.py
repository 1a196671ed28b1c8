"""Where data and results may lie, and what is said of a place that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from harness.folder_names import FOLDERS, HIDDEN, WRONG
from harness.jobs import SETTINGS, job, manifest

from llmtrain_api import InvalidJob, parse_manifest, parse_spec
from llmtrain_api.names import DATASET_MOUNT, OUTPUT_MOUNT
from llmtrain_operator.manifests.config import job_file
from llmtrain_operator.manifests.pod import pod

CLEAR = [name for name in FOLDERS if name not in HIDDEN]


def refused(**spec: Any) -> str:
    with pytest.raises(InvalidJob) as caught:
        parse_manifest(manifest(**spec))
    [mistake] = caught.value.mistakes
    return mistake


@pytest.mark.parametrize("scheme", ["pvc://lake/", "file:///"])
@pytest.mark.parametrize("name", sorted({*FOLDERS, *HIDDEN}))
def test_a_dataset_may_lie_in_any_folder_of_a_file_system(scheme: str, name: str) -> None:
    for written in (f"{scheme}{name}", f"{scheme}{name}/"):
        mixture = [{"name": written, "weight": 1}, {"name": "builtin://python-stdlib", "weight": 1}]
        assert parse_manifest(manifest(dataset={"name": written}))[1].dataset.name == written
        assert parse_manifest(manifest(dataset={"mixture": mixture}))[1].dataset.sources[0].name == written


@pytest.mark.parametrize("scheme", ["pvc://lake/", "file:///", "s3://models/"])
@pytest.mark.parametrize("name", sorted({*CLEAR, *HIDDEN}))
def test_a_model_may_lie_in_a_hidden_folder_as_those_of_the_hubs_cache_do(scheme: str, name: str) -> None:
    assert parse_manifest(manifest(model={"name": scheme + name}))[1].model.name == scheme + name


@pytest.mark.parametrize("scheme", ["pvc://lake/", "file:///", "s3://models/"])
def test_an_output_may_lie_in_any_folder_that_is_not_hidden(scheme: str) -> None:
    for name in CLEAR:
        parse_manifest(manifest(output={"uri": scheme + name}))
    for name in HIDDEN:
        told = refused(output={"uri": scheme + name})
        assert told.startswith("spec.output.uri: got ")
        assert "is hidden: use a name that does not begin with a dot" in told


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("scheme", ["pvc://lake/", "file:///"])
def test_a_wrong_folder_is_named_with_its_part_or_character(scheme: str, name: str) -> None:
    for field, spec in (
        ("spec.dataset.name", {"dataset": {"name": scheme + name}}),
        ("spec.dataset.mixture[0].name", {"dataset": {"mixture": [{"name": scheme + name, "weight": 1}]}}),
        ("spec.output.uri", {"output": {"uri": scheme + name}}),
        ("spec.model.name", {"model": {"name": scheme + name}}),
    ):
        told = refused(**spec)
        assert told.startswith(f"{field}: got ")
        assert WRONG[name] in told
        assert not any(char in told for char in "\x00\n\x85\u2028\u202e"), "the sentence itself is clean"


@pytest.mark.parametrize("claim", ["Lake", "my_lake", "-lake", "a..b", ""])
def test_a_wrong_claim_has_a_sentence_of_its_own(claim: str) -> None:
    for told in (refused(dataset={"name": f"pvc://{claim}/x"}), refused(output={"uri": f"pvc://{claim}/x"})):
        assert f"the claim {claim!r} must be lowercase letters, digits, '-' or '.'" in told


def test_what_is_no_place_at_all_is_told_the_forms() -> None:
    for name in ("", "/data", "lake", "http://x/y", "builtin://python", "pvc:/lake/x"):
        assert "use builtin://python-stdlib, builtin://random-tokens, pvc://CLAIM/FOLDER" in refused(
            dataset={"name": name}
        )
        assert "use pvc://CLAIM/FOLDER" in refused(output={"uri": name})
    assert "the bucket 'My_data' must be" in refused(dataset={"name": "s3://My_data/x"})
    assert "the bucket 'My_models' must be" in refused(output={"uri": "s3://My_models/x"})


@pytest.mark.parametrize("name", CLEAR)
def test_a_pod_mounts_claims_only_and_is_told_the_folder_as_it_is(name: str) -> None:
    """Kubernetes reads ``$(HOME)`` in a variable and ``:`` in a mount: no folder's name is in either."""
    of = job(dataset={"name": f"pvc://lake/{name}"}, output={"uri": f"pvc://lake/out/{name}/"})
    spec = parse_spec(of.spec, strict=True)
    made = pod(of, spec, 0, 0, "image", SETTINGS)["spec"]
    assert name not in [part for mount in made["containers"][0]["volumeMounts"] for part in mount.values()]
    assert {m["mountPath"] for m in made["containers"][0]["volumeMounts"]} >= {DATASET_MOUNT, OUTPUT_MOUNT}
    assert not any("subPath" in mount for mount in made["containers"][0]["volumeMounts"])
    told = job_file(of, spec, 0, SETTINGS)
    assert (told.dataset, told.output) == (f"{DATASET_MOUNT}/{name}", f"{OUTPUT_MOUNT}/out/{name}")


@pytest.mark.parametrize(
    ("data", "output"), [("pvc://lake/x", "pvc://lake/x/"), ("pvc://lake", "pvc://lake")]
)
def test_one_folder_is_not_dataset_and_output(data: str, output: str) -> None:
    mixture = [{"name": "builtin://python-stdlib", "weight": 1}, {"name": data, "weight": 1}]
    for dataset in ({"name": data}, {"mixture": mixture}):
        told = refused(dataset=dataset, output={"uri": output})
        assert told.startswith("spec.output.uri: got ")
        assert "a folder of spec.dataset too; use another folder" in told
    parse_manifest(manifest(dataset={"name": "pvc://lake"}, output={"uri": "pvc://lake/runs/a"}))
