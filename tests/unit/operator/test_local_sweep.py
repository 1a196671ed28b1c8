"""A sweep on a laptop: the cluster's trials and winner, job after job, on from where it was stopped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from llmtrain_api.names import LABEL_SWEEP
from llmtrain_api.sweeps import job_name, parse_sweep, trials_of
from llmtrain_operator.local.check import CheckRequest
from llmtrain_operator.local.check_sweep import check_sweep, check_sweep_data
from llmtrain_operator.local.command import Request
from llmtrain_operator.local.saved_jobs import FOLDER, JobFolder
from llmtrain_operator.local.saved_sweeps import load_sweep
from llmtrain_operator.local.scale_down import GangOverrides
from llmtrain_operator.local.sweep import run_sweep
from llmtrain_operator.local.sweep_file import is_sweep

MANIFEST: dict[str, Any] = {
    "apiVersion": "llmtrain.dev/v1alpha1",
    "kind": "LLMTrainingSweep",
    "metadata": {"name": "rates"},
    "spec": {
        "job": {
            "model": {"name": "builtin://tiny-llama"},
            "dataset": {"name": "builtin://python-stdlib"},
            "training": {"maxSteps": 8},
            "output": {"uri": "pvc://checkpoints/sweep"},
        },
        "search": "random",
        "trials": 3,
        "parameters": [{"field": "training.learningRate", "min": 1e-4, "max": 1e-1, "scale": "log"}],
    },
}


class Laptop:
    """Plays `llmtrain run` of one job: the loss is the distance of the learning rate from 0.01."""

    def __init__(self, folder: Path, manifest: dict[str, Any] = MANIFEST, **changes: Any) -> None:
        self.folder, self.ran = folder, list[str]()
        self.codes: dict[str, int] = {}
        path = folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(manifest))
        fields: dict[str, Any] = {"output": None, "new": False, "command": "llmtrain run sweep.yaml"}
        self.request = Request(path, folder, overrides=GangOverrides(None, None), **fields | changes)

    def run(self, request: Request, _: TextIO) -> int:
        job = json.loads(request.manifest.read_text())
        name = job["metadata"]["name"]
        self.ran.append(name)
        self.labels = job["metadata"]["labels"]
        code = self.codes.get(name, 0)
        if code == 75:
            return code
        rate = job["spec"]["training"]["learningRate"]
        ended = {0: {"phase": "Succeeded", "results": {"evalLoss": abs(rate - 0.01)}}, 1: {"phase": "Failed"}}
        metadata = {**job["metadata"], "uid": "u", "generation": 1}
        folder = JobFolder(self.folder, "default", name)
        folder.folder.parent.mkdir(parents=True, exist_ok=True)
        folder.save({**job, "metadata": metadata, "status": ended[code]}, "output")
        return code

    def go(self) -> tuple[int, str]:
        out = io.StringIO()
        return run_sweep(self.request, out, self.run), out.getvalue()


def test_each_trial_runs_and_the_best_is_named(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    code, text = laptop.go()
    assert code == 0
    assert laptop.ran == ["rates-0", "rates-1", "rates-2"]
    spec = parse_sweep(MANIFEST).spec
    rates = {job_name("rates", spec, t.number, 0): t.values["training.learningRate"] for t in trials_of(spec)}
    best = min(rates, key=lambda name: abs(rates[name] - 0.01))
    assert f"best: {best}, evalLoss" in text
    assert all(name in text for name in rates)
    kept = load_sweep(tmp_path, "default", "rates")
    assert kept is not None
    assert (kept["status"]["best"]["job"], len(kept["status"]["trials"])) == (best, 3), "for the page"
    assert laptop.labels == {LABEL_SWEEP: "rates"}


def test_what_was_stopped_goes_on_and_what_is_over_is_not_run_again(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.codes["rates-1"] = 75
    assert laptop.go()[0] == 75
    assert laptop.ran == ["rates-0", "rates-1"]
    laptop.codes.clear()
    assert laptop.go()[0] == 0
    assert laptop.ran == ["rates-0", "rates-1", "rates-1", "rates-2"]


def test_new_runs_all_of_them_again(tmp_path: Path) -> None:
    Laptop(tmp_path).go()
    again = Laptop(tmp_path, new=True)
    assert again.go()[0] == 0
    assert again.ran == ["rates-0", "rates-1", "rates-2"]


def test_a_trial_that_fails_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laptop = Laptop(tmp_path)
    laptop.codes = {"rates-0": 1}
    assert laptop.go()[0] == 0
    laptop = Laptop(tmp_path, new=True)
    laptop.codes = dict.fromkeys(("rates-0", "rates-1", "rates-2"), 1)
    assert laptop.go()[0] == 1
    assert "no trial has come to a value of evalLoss" in capsys.readouterr().err


def test_a_trial_whose_end_is_not_on_disk_is_not_run_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop = Laptop(tmp_path)

    def torn(request: Request, out: TextIO) -> int:
        code = laptop.run(request, out)
        (tmp_path / FOLDER / "rates-0.json").write_text("{")
        assert laptop.ran == ["rates-0"]
        return code

    assert run_sweep(laptop.request, io.StringIO(), torn) == 1
    said = capsys.readouterr().err
    assert said.startswith("rates-0 has run, and no file in ")
    assert said.endswith("; see to that folder, and run this command again\n")


def test_a_mistake_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {**MANIFEST["spec"], "trials": None}
    laptop = Laptop(tmp_path, {**MANIFEST, "spec": spec})
    assert laptop.go()[0] == 2
    assert "spec.trials" in capsys.readouterr().err
    assert laptop.ran == []
    assert Laptop(tmp_path, output=tmp_path / "there").go()[0] == 2
    assert "--output" in capsys.readouterr().err


def test_which_files_are_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for text, found in (
        (yaml.safe_dump(MANIFEST), True),
        ("kind: LLMTrainingJob", False),
        (yaml.safe_dump_all([MANIFEST, MANIFEST]), False),
        ("{", False),
        ("", False),
    ):
        path.write_text(text)
        assert is_sweep(path) is found, text
    assert not is_sweep(tmp_path / "nowhere")


def test_a_sweep_is_checked_with_its_trials_and_the_first_job(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    out = io.StringIO()
    assert check_sweep(CheckRequest(laptop.request.manifest, tmp_path, data=False), out) == 0
    text = out.getvalue()
    sweep = parse_sweep(MANIFEST)
    assert "jobs          3, 1 at the same time; the best has the least evalLoss" in text
    for trial in trials_of(sweep.spec):
        assert job_name("rates", sweep.spec, trial.number, 0) in text
        assert trial.texts()["training.learningRate"] in text
    assert "rates-0: nothing is wrong with the manifest" in text
    assert "memory        a rank needs about" in text
    code, found = check_sweep_data(CheckRequest(laptop.request.manifest, tmp_path, data=False))
    assert (code, found["accepted"], found["mistakes"]) == (0, True, [])
    assert [trial["parameters"] for trial in found["trials"]] == [t.texts() for t in trials_of(sweep.spec)]
    assert found["first"]["name"] == found["trials"][0]["job"] == "rates-0"


def test_a_mistake_in_a_sweep_is_told_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {**MANIFEST, "spec": {**MANIFEST["spec"], "trials": 0}}
    laptop = Laptop(tmp_path, wrong)
    out = io.StringIO()
    assert check_sweep(CheckRequest(laptop.request.manifest, tmp_path, data=False), out) == 2
    assert "spec.trials" in capsys.readouterr().err
    assert out.getvalue() == ""
    code, found = check_sweep_data(CheckRequest(laptop.request.manifest, tmp_path, data=False))
    assert (code, found["accepted"]) == (2, False)
    assert "spec.trials" in found["mistakes"][0]


def test_rounds_and_many_trials_are_told_short(tmp_path: Path) -> None:
    many = {"field": "training.seed", "values": list(range(30))}
    spec = {**MANIFEST["spec"], "search": "grid", "parameters": [many], "halving": {"minSteps": 2}}
    del spec["trials"]
    out = io.StringIO()
    request = Laptop(tmp_path, {**MANIFEST, "spec": spec}).request
    assert check_sweep(CheckRequest(request.manifest, tmp_path, data=False), out) == 0
    assert "round 0       30 trials of 2 steps" in out.getvalue()
    assert "and 10 more" in out.getvalue()
