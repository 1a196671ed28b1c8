"""What serves an export: manifests as KServe and Kubernetes have them, and refusals with what can be done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.jobs import FACTS, job, manifest, running
from kubernetes.client import ApiClient

from llmtrain import exports
from llmtrain.cli.app import main
from llmtrain.errors import Mistake
from llmtrain.render.serve import deployment_and_service, inference_service
from llmtrain.render.served import KSERVE_TASKS, VLLM_IMAGE, AdapterAlone, Served, hints, refusal
from llmtrain_api import Job, ModelFacts, Phase, Resolved, Results, Task

CHAT = Served("helpdesk", Task.CHAT, "pvc://checkpoints/helpdesk/export", namespace="team")
IMAGE = "oci://registry.example.com/team/helpdesk@sha256:" + "ab" * 32
KSERVE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: helpdesk
  namespace: team
  labels: {app.kubernetes.io/name: llmtrain-export, app.kubernetes.io/instance: helpdesk}
spec:
  predictor:
    model:
      modelFormat: {name: huggingface}
      args: [--model_name=helpdesk, --task=text_generation]
      storageUri: pvc://checkpoints/helpdesk/export
      resources:
        requests: {cpu: "4", memory: 16Gi, nvidia.com/gpu: "1"}
        limits: {memory: 16Gi, nvidia.com/gpu: "1"}
"""
"""As the CRD of KServe takes it."""


def vllm(served: Served) -> dict[str, Any]:
    pod: dict[str, Any] = deployment_and_service(served)[0]["spec"]["template"]["spec"]
    return pod


def container(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = vllm(served)["containers"][0]
    return found


def finished(spec: dict[str, Any] | None = None, facts: ModelFacts | None = None, **results: Any) -> Job:
    told = {"steps": 3, "exportUri": "pvc://checkpoints/tiny/export"} | results
    resolved = Resolved(image="i", world_size=1, layout="dp1", model=facts)
    status = running(phase=Phase.SUCCEEDED, results=Results.model_validate(told), resolved=resolved)
    return job(status, **(spec or {}))


def test_kserve_gets_an_inference_service() -> None:
    assert inference_service(CHAT) == yaml.safe_load(KSERVE)


@pytest.mark.parametrize("task", KSERVE_TASKS)
def test_kserve_is_told_every_task_in_its_words(task: Task) -> None:
    arguments = inference_service(replace(CHAT, task=task))["spec"]["predictor"]["model"]["args"]
    assert f"--task={KSERVE_TASKS[task]}" in arguments
    assert ("--return_raw_logits" in arguments) is (task in (Task.REGRESSION, Task.REWARD))
    assert ("--backend=huggingface" in arguments) is (KSERVE_TASKS[task] != "text_generation")


@pytest.mark.parametrize("task", sorted(set(Task) - set(KSERVE_TASKS)))
@pytest.mark.parametrize("plain", [False, True])
def test_what_no_runtime_serves_is_refused(task: Task, plain: bool) -> None:
    assert "the model card has a program" in str(refusal(replace(CHAT, task=task), plain=plain))


def test_without_a_gpu_kserve_takes_the_runtime_that_needs_none() -> None:
    model = inference_service(replace(CHAT, gpus=0))["spec"]["predictor"]["model"]
    assert "--backend=huggingface" in model["args"]
    assert "nvidia.com/gpu" not in model["resources"]["limits"]


@pytest.mark.parametrize("uri", [CHAT.uri, "s3://bucket/helpdesk/export", "pvc://checkpoints", IMAGE])
def test_every_field_of_the_plain_manifests_is_one_of_kubernetes(uri: str) -> None:
    served = replace(CHAT, uri=uri, gpus=2, secret="keys", adapter=AdapterAlone("pvc://models/b", None, 16))
    for item, kind in zip(deployment_and_service(served), ("V1Deployment", "V1Service"), strict=True):
        body = type("Answer", (), {"data": json.dumps(item)})
        client = ApiClient()
        back = client.sanitize_for_serialization(client.deserialize(body, kind))
        assert back == item, "a field that Kubernetes does not know is lost"


def test_the_service_finds_the_pods_and_their_port() -> None:
    deployment, service = deployment_and_service(CHAT)
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert service["spec"]["ports"][0]["targetPort"] == container(CHAT)["ports"][0]["name"]
    assert "--port=8000" in container(CHAT)["args"]


def test_a_claim_is_mounted_at_the_export_and_never_written() -> None:
    pod = vllm(CHAT)
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "checkpoints", "readOnly": True}
    assert container(CHAT)["volumeMounts"][0] == {
        "name": "export",
        "mountPath": "/models/export",
        "subPath": "helpdesk/export",
        "readOnly": True,
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a Service called vllm would set VLLM_PORT"


def test_a_bucket_is_copied_first_with_the_keys_of_a_secret() -> None:
    [copy] = vllm(replace(CHAT, uri="s3://bucket/helpdesk/export", secret="keys"))["initContainers"]
    assert copy["args"][-2:] == ["s3://bucket/helpdesk/export", "/models/export"]
    assert copy["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "envFrom" not in container(replace(CHAT, uri="s3://bucket/x", secret="keys"))


def test_an_adapter_is_served_over_its_base() -> None:
    alone = AdapterAlone("owner/base", "c" * 40, 20, "hub")
    found = container(replace(CHAT, adapter=alone))
    assert found["args"][:2] == ["owner/base", f"--revision={'c' * 40}"]
    assert "--lora-modules=helpdesk=/models/export/adapter" in found["args"]
    assert "--max-lora-rank=32" in found["args"]
    assert found["envFrom"] == [{"secretRef": {"name": "hub"}}]
    on_claim = replace(CHAT, adapter=replace(alone, base="pvc://models/base", secret=None))
    assert container(on_claim)["args"][0] == "/models/base"
    assert [one["persistentVolumeClaim"]["claimName"] for one in vllm(on_claim)["volumes"][:2]] == [
        "checkpoints",
        "models",
    ]


ALONE = AdapterAlone("owner/base", None, 16)


@pytest.mark.parametrize(
    ("changes", "plain", "told"),
    [
        ({"uri": "file:///tmp/export"}, False, "use --uri pvc://"),
        ({"task": Task.CLASSIFICATION}, True, "leave out --plain"),
        ({"task": Task.TEXT2TEXT}, True, "leave out --plain"),
        ({"gpus": 0}, True, "--gpus 1"),
        ({"adapter": ALONE}, False, "output.merged: true"),
        ({"adapter": replace(ALONE, rank=1000)}, True, "merge it"),
        ({"adapter": replace(ALONE, base="s3://bucket/base")}, True, "output.merged: true"),
    ],
)
def test_what_cannot_be_served_is_told_with_the_fix(changes: dict[str, Any], plain: bool, told: str) -> None:
    assert told in (refusal(replace(CHAT, **changes), plain=plain) or "")


@pytest.mark.parametrize("plain", [True, False])
def test_what_can_be_served_is_not_refused(plain: bool) -> None:
    assert refusal(CHAT, plain=plain) is None
    assert refusal(replace(CHAT, gpus=0, image="mine"), plain=plain) is None


def test_whoever_applies_it_hears_of_keys_only_where_they_lack() -> None:
    stored = replace(CHAT, uri="s3://bucket/x")
    assert hints(CHAT, plain=True) == hints(CHAT, plain=False) == []
    assert "--secret" in hints(stored, plain=True)[0]
    assert "--service-account" in hints(stored, plain=False)[0]
    assert hints(replace(stored, secret="keys"), plain=True) == []
    assert hints(replace(stored, service_account="sa"), plain=False) == []


def test_of_a_job_all_is_known() -> None:
    found = exports.of_job(finished({"task": "chat", "dataset": {"name": "pvc://data/dialogues"}}))
    assert (found.name, found.namespace, found.task) == ("tiny", "default", Task.CHAT)
    assert (found.uri, found.gpus, found.memory) == ("pvc://checkpoints/tiny/export", 0, "5Gi")


def test_of_an_adapters_job_its_base_is_known() -> None:
    facts = ModelFacts.model_validate(FACTS)
    output = {"uri": "pvc://checkpoints/tiny", "merged": False}
    hub = {"model": {"name": "owner/base", "adapter": {"rank": 4}, "secret": "hub"}, "output": output}
    assert exports.of_job(finished(hub, facts)).adapter == AdapterAlone("owner/base", "c" * 40, 4, "hub")
    built = {"model": {"name": "builtin://tiny-llama", "adapter": {"rank": 4}}, "output": output}
    alone = exports.of_job(finished(built)).adapter
    assert alone is not None
    assert alone.base == "pvc://checkpoints/tiny/data/step-0"
    merged = {"model": hub["model"]}
    assert exports.of_job(finished(merged, facts)).adapter is None


def test_a_job_without_an_export_is_told_so() -> None:
    with pytest.raises(Mistake, match="no export yet"):
        exports.of_job(job(running()))
    with pytest.raises(Mistake, match="no export yet"):
        exports.of_job(finished(exportUri=None))
    own = {"model": None, "dataset": None, "training": None, "entrypoint": {"command": ["./mine"]}}
    with pytest.raises(Mistake, match="program of its own"):
        exports.of_job(finished(own))


def export(folder: Path, architecture: str = "LlamaForCausalLM", card: str | None = None) -> Path:
    place = folder / "helpdesk" / "export"
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    (place / "model.safetensors").write_bytes(b"0" * 1000)
    if card is not None:
        (place / "README.md").write_text(card)
    return place


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_tells_its_task_by_its_card(inside: bool, tmp_path: Path) -> None:
    place = export(tmp_path, card="---\ntags:\n- llmtrain\n- chat\n---\n# helpdesk\n")
    found = exports.of_folder(place if inside else place.parent, "pvc://c/f", None)
    assert (found.name, found.task, found.uri, found.memory) == ("helpdesk", Task.CHAT, "pvc://c/f", "5Gi")


@pytest.mark.parametrize("card", [None, "no metadata", "---\ntags: 3\n---\n", "---\n: [\n---\n", "---\n"])
def test_a_folder_without_such_a_card_tells_it_by_its_architecture(card: str | None, tmp_path: Path) -> None:
    place = export(tmp_path, "BertForTokenClassification", card)
    assert exports.of_folder(place, "pvc://c/f", None).task is Task.TOKENS
    assert exports.of_folder(place, "pvc://c/f", Task.MASKED).task is Task.MASKED


def test_a_folder_that_is_none_or_lies_nowhere_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"no config\.json"):
        exports.of_folder(tmp_path, "pvc://c/f", None)
    place = export(tmp_path, "Strange")
    with pytest.raises(Mistake, match="--task"):
        exports.of_folder(place, "pvc://c/f", None)
    with pytest.raises(Mistake, match="--uri pvc://CLAIM/FOLDER"):
        exports.of_folder(place, None, Task.CAUSAL)
    (tmp_path / "export" / "adapter").mkdir(parents=True)
    with pytest.raises(Mistake, match="adapter alone"):
        exports.of_folder(tmp_path, "pvc://c/f", None)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[Any], str]:
    code = main(["serve", *words])
    printed = capsys.readouterr()
    return code, list(yaml.safe_load_all(printed.out)), printed.err


def test_the_verb_prints_what_kubectl_applies(capsys: pytest.CaptureFixture[str]) -> None:
    where = "pvc://checkpoints/helpdesk/export"
    assert run(capsys, where, "--task", "chat", "-n", "team") == (0, [yaml.safe_load(KSERVE)], "")
    code, items, _ = run(capsys, where, "--task", "chat", "-n", "team", "--plain", "--name", "other")
    assert code == 0
    assert items == deployment_and_service(replace(CHAT, name="other"))
    code, [listed], _ = run(capsys, where, "--task", "chat", "-n", "team", "--plain", "-o", "json")
    assert (code, listed["kind"], listed["items"]) == (0, "List", deployment_and_service(CHAT))
    assert items[0]["spec"]["template"]["spec"]["containers"][0]["image"] == VLLM_IMAGE


def test_no_anchor_stands_in_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "s3://bucket/helpdesk", "--task", "chat", "--plain"]) == 0
    printed = capsys.readouterr()
    assert "&id" not in printed.out
    assert printed.err.startswith("--- the bucket is read without keys")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pvc://c/f",), "--task"),
        (("pvc://c/f", "--task", "chap"), "there is no task 'chap'"),
        (("pvc://c/f", "--task", "chat", "--memory", "lots"), "--memory: 'lots'"),
        (("pvc://c/f", "--task", "chat", "--name", "Big_Name"), "--name"),
        (("pvc://c/Big_Name", "--task", "chat"), "--name"),
        (("pvc://c/f", "--task", "chat", "--image", "x"), "--plain"),
        (("pvc://c/f", "--task", "chat", "--secret", "x"), "--plain"),
        (("./nothing/here",), "no config.json"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, items, error = run(capsys, *words)
    assert (code, items) == (2, [])
    assert told in error
    assert error.count("\n") == 1


def test_the_manifest_of_a_job_is_enough() -> None:
    """`manifest` is what a person writes: nothing more of a job is needed than its status has."""
    assert exports.of_job(finished(manifest()["spec"])).task is Task.CAUSAL
