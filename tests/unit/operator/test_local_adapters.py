"""Adapters on a laptop: each is trained once, and the router file is whole whatever is killed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from llmtrain_api.sweeps import parse_sweep
from llmtrain_operator.kube.api import Object
from llmtrain_operator.local import adapters, saved_jobs, saved_sweeps
from llmtrain_operator.local.check import CheckRequest
from llmtrain_operator.local.check_sweep import check_sweep, check_sweep_data
from llmtrain_operator.local.command import Request
from llmtrain_operator.local.saved_jobs import JobFolder
from llmtrain_operator.local.scale_down import GangOverrides
from llmtrain_operator.local.sweep import run_sweep

NAMES = ("ann", "bob", "cy")
MANIFEST: dict[str, Any] = {
    "apiVersion": "llmtrain.dev/v1alpha1",
    "kind": "LLMTrainingSweep",
    "metadata": {"name": "all"},
    "spec": {
        "job": {
            "model": {"name": "pvc://checkpoints/base/export", "adapter": {"rank": 8, "alpha": 8}},
            "training": {"maxSteps": 8},
            "output": {"uri": "pvc://checkpoints/personal"},
        },
        "adapters": [{"name": name, "dataset": {"name": f"pvc://data/{name}"}} for name in NAMES],
    },
}
LOSSES = {"all-ann": 1.5, "all-bob": 2.5, "all-cy": 3.5}
ROUTER = {
    "version": 1,
    "sweep": "all",
    "folder": "pvc://checkpoints/personal",
    "base": {"name": "pvc://checkpoints/base/export", "digest": "c" * 64, "path": "../base/export"},
    "adapters": [
        {
            "name": name,
            "path": f"{name}/export/adapter",
            "rank": 8,
            "alpha": 8,
            "sha256": "a" * 64,
            "data": "d" * 64,
            "evalLoss": LOSSES[f"all-{name}"],
        }
        for name in NAMES
    ],
    "failed": [],
    "waiting": [],
}


class Killed(BaseException):
    """What nothing survives."""


class Laptop:
    """Plays `llmtrain run` of one job."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran, self.mended = folder, list[str](), False
        self.failing: set[str] = set()
        self.manifest = MANIFEST

    def run(self, request: Request, _: TextIO) -> int:
        job = json.loads(request.manifest.read_text())
        name = job["metadata"]["name"]
        self.ran.append(name)
        folder = JobFolder(self.folder, "default", name)
        folder.folder.parent.mkdir(parents=True, exist_ok=True)
        failed = name in self.failing
        job["metadata"] |= {"uid": "u", "generation": 1}
        # as a runtime would have it
        job["spec"]["training"] = {**job["spec"]["training"], "learningRate": 1e-3}
        folder.save({**job, "status": BROKEN if failed else trained(name, job["spec"])}, "output")
        return 1 if failed else 0

    def go(self) -> tuple[int, str]:
        path = self.folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(self.manifest))
        request = Request(
            path, self.folder, None, GangOverrides(), new=False, command="llmtrain run sweep.yaml"
        )
        out = io.StringIO()
        return run_sweep(request, out, self.run), out.getvalue()

    @property
    def router(self) -> Object:
        found: Object = json.loads((self.folder / "checkpoints/personal/router.json").read_text())
        return found


BROKEN: Object = {"phase": "Failed", "failure": {"class": "UserError", "message": "pvc://data/bob: no text"}}


def trained(name: str, spec: Object) -> Object:
    results = {
        "evalLoss": LOSSES.get(name, 4.5),
        "exportUri": f"{spec['output']['uri']}/export",
        "adapter": {"weights": "a" * 64, "data": "d" * 64},
    }
    shape = {
        "architecture": "LlamaForCausalLM",
        **dict.fromkeys(("hidden", "layers", "heads", "kvHeads", "headSize", "width"), 1),
        **dict.fromkeys(("vocabulary", "positions", "parameters"), 1),
    }
    resolved = {
        "image": "local",
        "worldSize": 1,
        "layout": "DP 1",
        "model": {"shape": shape, "digest": "c" * 64},
    }
    return {"phase": "Succeeded", "results": results, "resolved": resolved}


def test_each_is_trained_and_the_router_file_has_them(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    code, text = laptop.go()
    assert code == 0
    assert laptop.ran == list(LOSSES)
    assert laptop.router == ROUTER
    assert "adapter all-bob (1/3 over)" in text
    assert str(tmp_path / "checkpoints/personal/router.json") in text
    assert laptop.go()[0] == 0
    assert laptop.ran == list(LOSSES), "what is trained is not trained again"


def test_one_that_fails_is_told_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laptop = Laptop(tmp_path)
    laptop.failing = {"all-bob"}
    code, text = laptop.go()
    assert code == 1
    assert "2 of 3 adapters can be served" in capsys.readouterr().err
    assert "pvc://data/bob: no text" in text
    assert [one["name"] for one in laptop.router["adapters"]] == ["ann", "cy"]
    assert laptop.router["failed"] == [{"name": "bob", "reason": "pvc://data/bob: no text"}]
    laptop.failing = set()
    assert laptop.go()[0] == 0
    assert laptop.ran == [*LOSSES, "all-bob"]
    assert laptop.router == ROUTER


def test_one_whose_data_are_others_now_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop = Laptop(tmp_path)
    laptop.go()
    own = [dict(one) for one in MANIFEST["spec"]["adapters"]]
    own[0] = {**own[0], "dataset": {"name": "pvc://data/ann-2"}}
    own[2] = {**own[2], "training": {"maxSteps": 9}}
    laptop.manifest = {**MANIFEST, "spec": {**MANIFEST["spec"], "adapters": own}}
    assert laptop.go()[0] == 2
    assert "spec.adapters[0]: ann was trained with another dataset" in capsys.readouterr().err
    assert laptop.ran == list(LOSSES), "its output is not written over"
    job = MANIFEST["spec"]["job"]
    laptop.manifest["spec"]["job"] = {**job, "output": {**job["output"], "ifExists": "new"}}
    assert laptop.go()[0] == 0
    assert laptop.ran == [*LOSSES, "all-ann", "all-cy"]


def test_of_a_longer_list_the_new_ones_alone_are_trained(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.go()
    more = [*MANIFEST["spec"]["adapters"], {"name": "dan", "dataset": {"name": "pvc://data/dan"}}]
    laptop.manifest = {**MANIFEST, "spec": {**MANIFEST["spec"], "adapters": more}}
    assert laptop.go()[0] == 0
    assert laptop.ran == [*LOSSES, "all-dan"]
    assert [one["name"] for one in laptop.router["adapters"]] == [*NAMES, "dan"]


def test_where_none_is_trained_there_is_no_router_file(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.failing = set(LOSSES)
    assert laptop.go()[0] == 1
    assert not (tmp_path / "checkpoints").exists()


def dying(monkeypatch: pytest.MonkeyPatch, at: int, *, before: bool) -> list[Path]:
    """Whoever writes the n-th file is killed before or after it; the files that were written."""
    written: list[Path] = []
    real: Callable[[Path, Object], None] = saved_jobs.replace_json

    def replace(file: Path, found: Object) -> None:
        last = len(written) == at
        if last and before:
            raise Killed
        written.append(file)
        real(file, found)
        if last:
            raise Killed

    for module in (saved_jobs, saved_sweeps, adapters):
        monkeypatch.setattr(module, "replace_json", replace)
    return written


@pytest.mark.parametrize("before", [True, False])
def test_a_kill_at_any_write_loses_no_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    with monkeypatch.context() as patch:
        writes = dying(patch, -1, before=before)
        Laptop(tmp_path / "calm").folder.mkdir()
        Laptop(tmp_path / "calm").go()
    assert sum(file.name == "router.json" for file in writes) == 3
    for number in range(len(writes)):
        folder = tmp_path / str(number)
        folder.mkdir()
        laptop = Laptop(folder)
        with monkeypatch.context() as patch:
            dying(patch, number, before=before)
            with pytest.raises(Killed):
                laptop.go()
        if (folder / "checkpoints/personal/router.json").exists():
            found = laptop.router
            names = [one["name"] for one in found["adapters"]]
            assert [*names, *found["waiting"]] == list(NAMES), "whole, if not the newest"
        assert laptop.go()[0] == 0
        assert laptop.router == ROUTER, number
        assert len(laptop.ran) <= len(NAMES) + 1


def test_one_process_alone_runs_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laptop = Laptop(tmp_path)
    with JobFolder(tmp_path, "default", "sweep~all").locked():
        assert laptop.go()[0] == 2
    assert "another process runs this sweep (pid " in capsys.readouterr().err
    assert laptop.ran == []


def test_it_is_checked_with_its_adapters_and_the_first_job(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    job = {**MANIFEST["spec"]["job"], "model": {"name": "Qwen/Qwen3-0.6B", "adapter": {}}}
    manifest = {**MANIFEST, "spec": {**MANIFEST["spec"], "job": job}}
    path.write_text(yaml.safe_dump(manifest))
    out = io.StringIO()
    check_sweep(CheckRequest(path, tmp_path, data=False), out)
    assert "jobs          3, 1 at the same time; an adapter each, over Qwen/Qwen3-0.6B" in out.getvalue()
    assert all(name in out.getvalue() for name in LOSSES)
    _, found = check_sweep_data(CheckRequest(path, tmp_path, data=False))
    assert found["trials"][1] == {"job": "all-bob", "adapter": "bob"}
    many = [{"name": f"n{number}", "dataset": {"name": "pvc://data/ann"}} for number in range(30)]
    path.write_text(yaml.safe_dump({**manifest, "spec": {**manifest["spec"], "adapters": many}}))
    assert len(parse_sweep(yaml.safe_load(path.read_text())).spec.adapters or []) == 30
    check_sweep(CheckRequest(path, tmp_path, data=False), out)
    assert "and 10 more" in out.getvalue()
