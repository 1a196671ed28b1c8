"""What a pod's volumes, paths and command become on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, job, seen

from llmtrain_api import JobFile
from llmtrain_operator.local.kubelet import volumes
from llmtrain_operator.local.kubelet.gpus import accelerators, gpus, inherited, threads
from llmtrain_operator.local.kubelet.volumes import VolumeRoots
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan.situation import look

PLACES = VolumeRoots(claims=Path("/home/me/runs"), private=Path("/home/me/pods/a"))


def made(**spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod of rank 1 and its attempt's ConfigMap."""
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 0, 1, "img", SETTINGS)
    manifest["metadata"]["uid"] = "pod-1"
    return manifest, config_map(found.job, found.spec, 0, SETTINGS)


def told(places: VolumeRoots = PLACES, **spec: Any) -> JobFile:
    pod, config = made(**spec)
    files = volumes.config_files(config["data"], volumes.mounts(pod, places), 4321)
    assert files["ca.crt"] == "CA"
    return JobFile.model_validate(json.loads(files["job.json"]), extra="forbid")


def test_paths_of_the_pod_are_folders_of_this_machine() -> None:
    said = told(dataset={"name": "pvc://texts/books"})
    assert said.output == "/home/me/runs/checkpoints/tiny"
    assert said.dataset == "/home/me/runs/texts/books"
    assert said.scratch == "/home/me/pods/a/scratch"
    assert said.report is not None
    assert (said.report.ca_file, said.report.token_file) == (
        "/home/me/pods/a/config/ca.crt",
        "/home/me/pods/a/token/token",
    )
    assert said.spec.output.uri == "pvc://checkpoints/tiny", "the spec is what the user wrote"


def test_the_sources_of_a_mixture_are_folders_of_this_machine() -> None:
    names = ["pvc://texts/books", "file:///mnt/dataset/own", "pvc://code", "builtin://python-stdlib"]
    said = told(dataset={"mixture": [{"name": name, "weight": 1} for name in names]})
    assert said.sources == {
        "pvc://texts/books": "/home/me/runs/texts/books",
        "file:///mnt/dataset/own": "/mnt/dataset/own",
        "pvc://code": "/home/me/runs/code",
    }
    assert [source.name for source in said.spec.dataset.sources] == names
    pod, _ = made(dataset={"mixture": [{"name": name, "weight": 1} for name in names]})
    assert [m.made for m in volumes.mounts(pod, PLACES).volumes if m.folder.parent == PLACES.claims] == [
        True,
        False,
        False,
    ]


def test_sets_that_are_measured_apart_are_folders_of_this_machine() -> None:
    names = ["pvc://texts/news", "file:///mnt/evaluation/own"]
    sets = [{"name": f"set-{at}", "source": name} for at, name in enumerate(names)]
    assert told(evaluation={"datasets": sets}).sources == {
        "pvc://texts/news": "/home/me/runs/texts/news",
        "file:///mnt/evaluation/own": "/mnt/evaluation/own",
    }


def test_the_ranks_meet_on_the_loopback_address() -> None:
    meet = told().rendezvous
    assert (meet.master_address, meet.master_port) == ("127.0.0.1", 4321)


def test_a_folder_of_this_machine_stays_though_a_volume_has_its_name() -> None:
    said = told(output={"uri": "file:///scratch/me/run"}, dataset={"name": "file:///scratch/texts"})
    assert (said.output, said.dataset) == ("/scratch/me/run", "/scratch/texts")
    assert said.scratch == "/home/me/pods/a/scratch"


@pytest.mark.parametrize("uri", ["pvc://checkpoints/tiny", "file:///data/tiny"])
def test_the_output_may_lie_somewhere_else(uri: str) -> None:
    place = "/mnt/output/tiny" if uri.startswith("pvc") else "/data/tiny"
    instead = VolumeRoots(PLACES.claims, PLACES.private, {place: Path("/else where")})
    assert told(instead, output={"uri": uri}).output == "/else where"


def test_a_name_that_only_begins_like_a_mount_path_stays() -> None:
    at = volumes.mounts(made()[0], PLACES)
    assert at.to_local("/scratchy/x") == "/scratchy/x"
    assert at.to_local("/scratch") == "/home/me/pods/a/scratch"


def test_environment_and_command_are_those_of_the_manifest() -> None:
    pod, _ = made()
    at = volumes.mounts(pod, PLACES)
    env = volumes.environment(pod, at)
    assert env["LLMTRAIN_HOLDER"] == "pod-1"
    assert env["LLMTRAIN_NODE_RANK"] == "1"
    assert env["LLMTRAIN_JOB_FILE"] == "/home/me/pods/a/config/job.json"
    assert env["HOME"] == "/home/me/pods/a/scratch"
    assert volumes.command(pod, at, "/py") == ["/py", "-m", "llmtrain_trainer", "launch"]


def test_a_secret_that_need_not_be_there_is_left_out() -> None:
    pod, _ = made()
    key = {"name": "registry", "key": ".dockerconfigjson", "optional": True}
    entry = {"name": "PUBLISH_DOCKERCONFIGJSON", "valueFrom": {"secretKeyRef": key}}
    pod["spec"]["containers"][0]["env"].append(entry)
    at = volumes.mounts(pod, PLACES)
    assert "PUBLISH_DOCKERCONFIGJSON" not in volumes.environment(pod, at)
    del key["optional"]
    with pytest.raises(ValueError, match="PUBLISH_DOCKERCONFIGJSON"):
        volumes.environment(pod, at)


def test_who_is_logged_in_stays_so_in_another_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    env = inherited({})
    assert env["HF_TOKEN_PATH"] == "/home/me/.cache/huggingface/token"
    assert env["DOCKER_CONFIG"] == "/home/me/.docker"
    assert inherited({"HF_HOME": "/hf"})["HF_TOKEN_PATH"] == "/hf/token"
    assert inherited({"XDG_CACHE_HOME": "/c"})["HF_TOKEN_PATH"] == "/c/huggingface/token"
    said = {"HF_TOKEN_PATH": "/mine", "DOCKER_CONFIG": "/other"}
    assert inherited(said).items() >= said.items()


def test_what_this_machine_has_not_is_named() -> None:
    pod, _ = made()
    pod["spec"]["volumes"].append({"name": "x", "hostPath": {"path": "/"}})
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "x", "mountPath": "/x"})
    with pytest.raises(ValueError, match="hostPath"):
        volumes.mounts(pod, PLACES)
    pod["spec"]["containers"][0]["env"].append(
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    )
    with pytest.raises(ValueError, match="IP"):
        volumes.environment(pod, volumes.Mounts((), {}))


def test_tokens_and_config_maps_of_a_pod_are_found() -> None:
    pod, _ = made()
    assert volumes.token_paths(pod) == [("token", "token")]
    assert volumes.config_maps(pod) == {"config": "tiny-0"}


def test_a_claim_that_is_only_read_is_not_made() -> None:
    at = volumes.mounts(made(dataset={"name": "pvc://texts/books"})[0], PLACES)
    assert {m.path: m.made for m in at.volumes if m.folder.parent == PLACES.claims} == {
        "/mnt/output": True,
        "/mnt/dataset": False,
    }


def test_gpus_are_shared_out_by_rank_and_hidden_from_who_asks_for_none(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl"):
        (tmp_path / name).touch()
    assert gpus({}, tmp_path) == ("0", "1", "2", "3")
    assert gpus({"CUDA_VISIBLE_DEVICES": "2,3"}, tmp_path) == ("2", "3")
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    asking, _ = made(gpusPerNode=2, resources={"memory": "6Gi"}, training={"globalBatchSize": 16})
    assert accelerators(asking, ("0", "1", "2", "3")) == {"CUDA_VISIBLE_DEVICES": "2,3"}
    assert accelerators(made()[0], ("0", "1"))["CUDA_VISIBLE_DEVICES"] == ""


def test_what_pods_inherit_holds_in_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    env = inherited({"PYTHONPATH": "a:/b", "no_proxy": "corp", "LLMTRAIN_METRICS_PORT": "9"})
    assert env["PYTHONPATH"] == f"{tmp_path}/a:/b"
    assert env["no_proxy"] == "corp,localhost,127.0.0.1"
    assert env["LLMTRAIN_METRICS_PORT"] == "9"
    assert inherited({})["LLMTRAIN_METRICS_PORT"] == "0"


def test_ranks_of_a_job_share_the_cores_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [threads(ranks) for ranks in (1, 2, 3, 16)] == ["8", "4", "2", "1"]
