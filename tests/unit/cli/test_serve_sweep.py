"""What serves a sweep of adapters: all that are trained, by their names, over one base, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.jobs import FACTS, manifest, running

from llmtrain.cli.app import main
from llmtrain.errors import Mistake
from llmtrain.render.serve import deployment_and_service
from llmtrain.render.served import refusal
from llmtrain.sweep_exports import of_sweep, router_in
from llmtrain_api import Task
from llmtrain_api.schema.status.sweep import SweepStatus
from llmtrain_operator.local.saved_jobs import JobFolder
from llmtrain_operator.local.saved_sweeps import save_sweep

FOLDER = "pvc://checkpoints/personal"
NAMES = ("ann", "bob", "cy", "dan")
Object = dict[str, Any]


def spec(base: str = "owner/base", folder: str = FOLDER, **job: Any) -> Object:
    adapters = [{"name": name, "dataset": {"name": f"pvc://data/{name}"}} for name in NAMES]
    model = {"name": base, "adapter": {"rank": 20}} | ({} if "://" in base else {"secret": "hub"})
    return {"job": {"model": model, "output": {"uri": folder}, **job}, "adapters": adapters}


def record(number: int, phase: str, folder: str = FOLDER, **fields: Any) -> Object:
    name = NAMES[number]
    found: Object = {"job": f"all-{name}", "number": number, "values": {}, "phase": phase, **fields}
    if phase == "Succeeded":
        found["adapter"] = {
            "name": name,
            "uri": f"{folder}/{name}/export/adapter",
            "rank": 20,
            "alpha": 32,
            "weights": "a" * 64,
            "data": "b" * 64,
        }
    return found


def sweep(folder: str = FOLDER, base: str = "owner/base", phases: tuple[str, ...] = (), **job: Any) -> Object:
    phases = phases or ("Succeeded", "Failed", "Succeeded", "Running")
    trials = [record(n, phase, folder) for n, phase in enumerate(phases)]
    trials[1] |= {"message": "no text in it"} if phases[1] == "Failed" else {}
    status = {"trials": trials, "base": {"name": base, "revision": None if "://" in base else "c" * 40}}
    meta = {"name": "all", "namespace": "default"}
    return {"metadata": meta, "spec": spec(base, folder, **job), "status": status}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    keep(tmp_path, sweep())
    return tmp_path


def keep(runs: Path, found: Object) -> None:
    status = SweepStatus.model_validate(found["status"])
    save_sweep(runs, "default", "all", found["spec"], status)


def keep_job(runs: Path, **job: Any) -> None:
    """The job of the first adapter, as it was left."""
    asked = manifest("all-ann", **{**spec(**job)["job"], "dataset": {"name": "pvc://data/ann"}})
    asked["spec"]["output"] = {"uri": f"{FOLDER}/ann", "merged": False}
    status: Object = running().to_json() | {"phase": "Succeeded"}
    status["results"] = {"steps": 1, "exportUri": f"{FOLDER}/ann/export"}
    status["resolved"] = {"image": "x", "worldSize": 1, "layout": "DP 1", "model": FACTS}
    asked["metadata"] |= {"uid": "u", "generation": 1, "resourceVersion": "1"}
    folder = JobFolder(runs, "default", "all-ann")
    folder.folder.parent.mkdir(parents=True, exist_ok=True)
    folder.save({**asked, "status": status}, "output")


def run(capsys: pytest.CaptureFixture[str], runs: Path, *words: str) -> tuple[int, list[Any], str]:
    code = main(["serve", "all", "--runs", str(runs), *words])
    printed = capsys.readouterr()
    return code, list(yaml.safe_load_all(printed.out)), printed.err


def pod(items: list[Any]) -> Object:
    [deployment] = [one for one in items if one["kind"] == "Deployment"]
    found: Object = deployment["spec"]["template"]["spec"]
    return found


def test_all_that_are_trained_are_served_by_their_names(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_job(runs)
    code, items, told = run(capsys, runs, "--plain", "--gpus", "1")
    assert code == 0, told
    assert [one["kind"] for one in items] == ["ConfigMap", "Deployment", "Service"]
    arguments = pod(items)["containers"][0]["args"]
    assert arguments == [
        "owner/base",
        f"--revision={'c' * 40}",
        "--tokenizer=/models/export/ann/export",
        "--served-model-name=base",
        "--enable-lora",
        "--lora-modules",
        "ann=/models/export/ann/export/adapter",
        "cy=/models/export/cy/export/adapter",
        "--max-loras=2",
        "--max-lora-rank=32",
        "--port=8000",
    ]
    assert pod(items)["containers"][0]["volumeMounts"][0] == {
        "name": "export",
        "mountPath": "/models/export",
        "subPath": "personal",
        "readOnly": True,
    }
    assert "bob" not in json.dumps(items[1:]), "what failed is never routed to"
    assert "adapter bob is not served: no text in it" in told
    assert "not trained yet, and not served: dan" in told


def test_the_router_file_is_beside_them_and_alone(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_job(runs)
    _, items, _ = run(capsys, runs, "--plain", "--gpus", "1", "--name", "ours")
    assert items[0]["metadata"] == {"name": "ours-router", "namespace": "default"}
    found = json.loads(items[0]["data"]["router.json"])
    assert ([one["name"] for one in found["adapters"]], found["waiting"]) == (["ann", "cy"], ["dan"])
    assert found["failed"] == [{"name": "bob", "reason": "no text in it"}]
    code, [alone], _ = run(capsys, runs, "--router")
    assert (code, alone) == (0, found)


def test_of_jobs_that_are_gone_the_task_is_asked_for(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, told = run(capsys, runs, "--plain")
    assert code == 2
    assert "--task" in told
    code, items, _ = run(capsys, runs, "--plain", "--task", "chat", "--gpus", "1")
    assert code == 0
    assert pod(items)["containers"][0]["envFrom"] == [{"secretRef": {"name": "hub"}}]


def test_a_base_of_a_claim_is_mounted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, sweep(base="pvc://models/base"))
    code, items, told = run(capsys, tmp_path, "--plain", "--task", "causal", "--gpus", "1")
    assert code == 0, told
    container = pod(items)["containers"][0]
    assert container["args"][0] == "/models/base"
    assert [one["mountPath"] for one in container["volumeMounts"]][:2] == ["/models/export", "/models/base"]


def test_of_a_bucket_exports_alone_are_copied() -> None:
    found = sweep("s3://bucket/all")
    served = of_sweep(found, None, Task.CHAT).served
    assert served.uri == "s3://bucket/all"
    [copy] = pod(deployment_and_service(served))["initContainers"]
    assert copy["args"][3:] == [
        "--exclude=*",
        "--include=ann/export/*",
        "--include=cy/export/*",
        "s3://bucket/all",
        "/models/export",
    ]


def test_many_adapters_have_room_for_eight_at_a_time() -> None:
    served = of_sweep(sweep(phases=("Succeeded",) * 4), None, Task.CHAT).served
    assert served.adapter is not None
    many = tuple((f"n{number}", f"n{number}/export/adapter") for number in range(20))
    arguments = pod(deployment_and_service(replace(served, adapter=replace(served.adapter, many=many))))
    assert "--max-loras=8" in arguments["containers"][0]["args"]


def test_what_cannot_be_served_is_told_with_the_fix(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, items, told = run(capsys, runs, "--task", "chat")
    assert (code, items) == (2, [])
    assert "use --plain" in told
    assert "output.merged" not in told, "a sweep of adapters exports no whole model"
    served = replace(of_sweep(sweep(base="s3://bucket/base"), None, Task.CHAT).served, gpus=1)
    assert "copy it to a claim" in (refusal(served, plain=True) or "")
    with pytest.raises(Mistake, match="no adapter of all is trained yet: no text in it"):
        router_in(sweep(phases=("Waiting", "Failed", "Waiting", "Waiting")))
    values = sweep()
    values["spec"] = {
        "job": values["spec"]["job"],
        "parameters": [{"field": "training.seed", "values": [1]}],
    }
    with pytest.raises(Mistake, match="name the job of its best trial"):
        router_in(values)
    keep(runs, values)
    assert run(capsys, runs, "--plain")[0] == 2


def test_a_name_of_nothing_is_a_job_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, told = run(capsys, tmp_path, "--plain")
    assert code == 3
    assert "all" in told
