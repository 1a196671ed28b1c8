"""Trackers of experiments: what they are told, again after what failed, and that none holds anything up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from harness.builders import job
from harness.children import PYTHONPATH

from llmtrain_api import JobFile
from llmtrain_api.schema.telemetry import TrackerKind, TrackerSpec
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch import tracking
from llmtrain_trainer.launch.tracking import Trackers, environment, require_libraries
from llmtrain_trainer.output import Output
from llmtrain_trainer.tracking.follow import Follower
from llmtrain_trainer.tracking.rows import Rows
from llmtrain_trainer.tracking.tracker import Run, open_tracker, run_of

OFFLINE = {"kind": "wandb", "offline": True}


def asked(folder: Path, attempt: int = 0, *trackers: dict[str, Any]) -> JobFile:
    return job(folder / "output", attempt=attempt, telemetry={"trackers": list(trackers or (OFFLINE,))})


def write(output: Output, attempt: int, *rows: Mapping[str, Any], name: str = "metrics.jsonl") -> None:
    folder = output.logs(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


class Told:
    """Remembers what it is told, and fails as often as it is asked to."""

    def __init__(self, failures: int = 0) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.failures, self.ends = failures, list[tuple[dict[str, float], bool]]()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no network")
        self.rows.append((step, dict(values)))

    def finish(self, summary: Mapping[str, float], *, succeeded: bool) -> None:
        self.ends.append((dict(summary), succeeded))


def follow(told: Told, of: JobFile, looks: int = 3) -> bool:
    run = run_of(of, of.spec.telemetry.trackers[0], Path(of.output) / "tracking")
    run.folder.mkdir(parents=True, exist_ok=True)
    turns = iter([True] * looks)
    return Follower(of, Output(Path(of.output)), run, lambda: told, lambda _: next(turns, False)).follow()


def test_each_step_is_told_once_with_its_evaluation(tmp_path: Path) -> None:
    output = Output(tmp_path / "output")
    write(output, 0, {"step": 1, "loss": 3.0, "phases": {"forward": 0.5}}, {"step": 2, "loss": None})
    write(output, 0, {"step": 2, "held_out_loss": 2.5}, name="evaluations.jsonl")
    output.results.write_text(json.dumps({"evalLoss": 2.5, "scores": {"accuracy": 0.9}}))
    told = Told()
    assert follow(told, asked(tmp_path))
    assert told.rows == [(1, {"loss": 3.0, "phases/forward": 0.5}), (2, {"held_out_loss": 2.5})]
    assert told.ends == [({"evalLoss": 2.5, "scores/accuracy": 0.9}, True)]


def test_the_next_attempt_tells_what_is_left_and_nothing_twice(tmp_path: Path) -> None:
    output = Output(tmp_path / "output")
    write(output, 0, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0})
    first = Told()
    follow(first, asked(tmp_path))
    assert first.ends == [({}, False)]
    write(output, 0, {"step": 3, "loss": 1.0})
    write(output, 1, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 1.0}, {"step": 4, "loss": 0.5})
    second = Told()
    follow(second, asked(tmp_path, 1))
    assert [step for step, _ in first.rows + second.rows] == [1, 2, 3, 4]


def test_what_a_tracker_refuses_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtrain_trainer.tracking.follow.LOOK_SECONDS", 0.0)
    write(Output(tmp_path / "output"), 0, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0})
    told = Told(failures=2)
    assert follow(told, asked(tmp_path))
    assert [step for step, _ in told.rows] == [1, 2]
    never = Told(failures=1000)
    assert not follow(never, job(tmp_path / "other", telemetry={"trackers": [OFFLINE]})) or not never.rows


def test_a_torn_line_is_left_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = Rows(path)
    assert list(rows.more()) == []
    path.write_text('{"step": 1, "loss": 1}\nno json\n[]\n{"step": true}\n{"step": 2, "lo')
    assert list(rows.more()) == [(1, {"loss": 1.0})]
    with path.open("a") as file:
        file.write('ss": 2}\n')
    assert list(rows.more()) == [(2, {"loss": 2.0})]


def test_a_library_that_the_image_lacks_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"spec.telemetry.trackers\[0\]: the image has no wandb"):
        require_libraries(asked(tmp_path))


def test_a_tracker_sees_its_own_secret_and_no_other() -> None:
    around = {
        "TRACKER_0_WANDB_API_KEY": "a", "TRACKER_1_MLFLOW_TRACKING_TOKEN": "b", "MODEL_HF_TOKEN": "c",
        "DATASET_AWS_SECRET_ACCESS_KEY": "d", "PUBLISH_HF_TOKEN": "e", "PATH": "/bin", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    assert environment(around, 0) == {"WANDB_API_KEY": "a", "PATH": "/bin", "PYTHONSAFEPATH": "1"}
    assert environment(around, 1)["MLFLOW_TRACKING_TOKEN"] == "b"


def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
    popen = tracking.subprocess.Popen
    monkeypatch.setattr(tracking.subprocess, "Popen", lambda _, **named: popen(hangs, **named))
    monkeypatch.setattr(tracking, "SOON_SECONDS", 0.2)
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    of = asked(tmp_path)
    trackers = Trackers(of, "job.json", Output(tmp_path / "output"))
    [child] = trackers._children
    began = time.monotonic()
    trackers.close(complete=False)
    assert child.returncode == -9
    assert time.monotonic() - began < 60


class Calls(ModuleType):
    """A library that is called as the real one is, and remembers how."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def note(self, called: str, /, *positional: Any, **named: Any) -> None:
        self.calls.append((called, positional, named))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    spec = TrackerSpec.model_validate(OFFLINE)
    return run_of(asked(tmp_path), spec, tmp_path)


def test_wandb_goes_on_with_the_run_of_the_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Calls("wandb")

    class Begun:
        summary: ClassVar[dict[str, Any]] = {}

        def log(self, data: dict[str, Any], step: int | None = None) -> None:
            module.note("log", data, step=step)

        def finish(self, exit_code: int | None = None) -> None:
            module.note("finish", exit_code=exit_code)

    def init(**named: Any) -> Begun:
        module.note("init", **named)
        return Begun()

    vars(module).update(init=init, Settings=lambda **named: named)
    monkeypatch.setitem(sys.modules, "wandb", module)
    tracker = open_tracker(TrackerKind.WANDB, run)
    tracker.log(3, {"loss": 1.0})
    tracker.finish({"evalLoss": 2.0}, succeeded=True)
    (_, _, begun), *rest = module.calls
    assert (begun["id"], begun["resume"], begun["mode"]) == (run.id, "allow", "offline")
    assert begun["config"]["training"]["maxSteps"] == 40
    assert "telemetry" not in begun["config"]
    assert rest == [("log", ({"loss": 1.0},), {"step": 3}), ("finish", (), {"exit_code": 0})]
    assert Begun.summary == {"evalLoss": 2.0}


def test_trackio_goes_on_with_the_run_of_the_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Calls("trackio")
    for name in ("init", "log", "finish"):
        vars(module)[name] = partial(module.note, name)
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    tracker = open_tracker(TrackerKind.TRACKIO, run)
    tracker.log(3, {"loss": 1.0})
    tracker.finish({}, succeeded=False)
    assert [name for name, _, _ in module.calls] == ["init", "log", "finish"]
    assert module.calls[0][2]["resume"] == "allow"
    assert "space_id" not in module.calls[0][2]


@pytest.mark.parametrize("there", [False, True])
def test_mlflow_finds_the_run_of_the_job_by_its_tag(
    run: Run, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, entities = Calls("mlflow"), ModuleType("mlflow.entities")
    known = type("Known", (), {"experiment_id": "7", "info": type("Info", (), {"run_id": "r"})})

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            module.note("client", tracking_uri)

        def __getattr__(self, name: str) -> Any:
            def call(*positional: Any, **named: Any) -> Any:
                module.note(name, *positional, **named)
                answers = {
                    "get_experiment_by_name": known if there else None,
                    "search_runs": [known] if there else [],
                    "create_experiment": "7",
                    "create_run": known,
                }
                return answers.get(name)

            return call

    vars(module)["MlflowClient"] = Client
    vars(entities).update(Metric=lambda *values: values, Param=lambda *values: values)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    tracker = open_tracker(TrackerKind.MLFLOW, run)
    tracker.log(3, {"loss": 1.0})
    tracker.finish({"evalLoss": 2.0}, succeeded=True)
    names = [name for name, _, _ in module.calls]
    assert module.calls[0][1] == (f"file:{run.folder}/mlruns",)
    assert ("create_run" in names) is not there
    assert ("search_runs", (["7"], f"tags.`llmtrain.job-uid` = '{run.id}'"), {}) in module.calls
    [logged] = [named["metrics"] for _, _, named in module.calls if "metrics" in named]
    assert [(m[0], m[1], m[3]) for m in logged] == [("loss", 1.0, 3)]
    assert module.calls[-1] == ("set_terminated", ("r", "FINISHED"), {})
