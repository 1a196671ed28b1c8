"""What serves an export that is an image in a registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from harness.jobs import job, manifest, running

from llmtrain import exports
from llmtrain.cli.app import main
from llmtrain.errors import Mistake
from llmtrain.render.serve import deployment_and_service, inference_service
from llmtrain.render.served import AdapterAlone, Served, hints
from llmtrain_api import Job, Phase, Results, Task

CHAT = Served("helpdesk", Task.CHAT, "pvc://checkpoints/helpdesk/export", namespace="team")
IMAGE = "oci://registry.example.com/team/helpdesk@sha256:" + "ab" * 32


def vllm(served: Served) -> dict[str, Any]:
    pod: dict[str, Any] = deployment_and_service(served)[0]["spec"]["template"]["spec"]
    return pod


def finished(spec: dict[str, Any], published: dict[str, str] | None) -> Job:
    told = {"steps": 3, "exportUri": "s3://models/tiny/export", "published": published}
    return job(running(phase=Phase.SUCCEEDED, results=Results.model_validate(told)), **spec)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[Any], str]:
    code = main(["serve", *words])
    printed = capsys.readouterr()
    return code, list(yaml.safe_load_all(printed.out)), printed.err


def test_an_image_is_mounted_where_a_claim_is_and_no_program_of_it_runs() -> None:
    served = replace(CHAT, uri=IMAGE, secret="pull")
    pod, reference = vllm(served), IMAGE.removeprefix("oci://")
    assert pod["volumes"][0]["image"] == {"reference": reference, "pullPolicy": "IfNotPresent"}
    assert vllm(served)["containers"][0]["volumeMounts"][0] == {
        "name": "export",
        "mountPath": "/models/export",
        "readOnly": True,
    }
    assert vllm(served)["containers"][0]["args"][0] == "/models/export/models"
    beside = vllm(replace(served, adapter=AdapterAlone("owner/base", None, 16)))["containers"][0]["args"]
    assert "--tokenizer=/models/export/models" in beside
    assert "--lora-modules=helpdesk=/models/export/models/adapter" in beside
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert "initContainers" not in pod
    predictor = inference_service(served)["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == f"oci+native://{reference}"
    assert predictor["imagePullSecrets"] == [{"name": "pull"}]
    assert "imagePullSecrets" not in inference_service(replace(CHAT, secret="keys"))["spec"]["predictor"]


def test_of_a_job_the_image_is_served_where_that_is_asked_for() -> None:
    place = {"oci": "registry.example.com/team/helpdesk", "revision": "v1"}
    output = {"uri": "s3://models/tiny", "secret": "store", "publish": {"oci": place["oci"]}}
    spec = manifest(output=output)["spec"]
    pushed = finished(spec, place | {"url": IMAGE})
    assert (exports.of_job(pushed, in_registry=True).uri, exports.of_job(pushed).secret) == (IMAGE, "store")
    assert exports.of_job(pushed, in_registry=True).secret is None
    failed = finished(spec, place | {"error": "no room"})
    with pytest.raises(Mistake, match="the push failed: no room"):
        exports.of_job(failed, in_registry=True)
    with pytest.raises(Mistake, match=r"set output\.publish\.oci"):
        exports.of_job(finished(spec, None), in_registry=True)


def test_an_image_is_named_by_its_repository(capsys: pytest.CaptureFixture[str]) -> None:
    code, [item], hint = run(capsys, IMAGE, "--task", "chat", "--secret", "pull", "-n", "team")
    assert (code, item) == (0, inference_service(replace(CHAT, uri=IMAGE, secret="pull")))
    assert hint.count("\n") == 1
    tagged = run(capsys, "oci+native://localhost:5000/helpdesk:v1", "--task", "chat")[1][0]
    assert tagged["metadata"]["name"] == "helpdesk"
    assert tagged["spec"]["predictor"]["model"]["storageUri"] == "oci+native://localhost:5000/helpdesk:v1"


def test_whoever_applies_it_hears_what_nodes_must_know() -> None:
    image = replace(CHAT, uri=IMAGE)
    assert "ImageVolume" in hints(image, plain=True)[0]
    assert "oci+native" in hints(image, plain=False)[0]
    assert "--secret" in hints(image, plain=True)[1]
    assert len(hints(replace(image, secret="pull"), plain=True)) == 1
