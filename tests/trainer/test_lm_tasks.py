"""``evaluation.tasks`` whose library is missing, fails, dies or never ends: no job fails for it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from harness.builders import job, job_file, least_spec
from harness.lm_tasks import write_tasks
from harness.models.tiny import folder_of_llama
from harness.ports import free_port
from harness.trainer.launches import Launch

from llmtrain_api import JobFile, Results
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.files import write_json
from llmtrain_trainer.launch.attempt import Attempt
from llmtrain_trainer.launch.tasks import measure_tasks
from llmtrain_trainer.launch.torchrun import Stop
from llmtrain_trainer.output import Output
from llmtrain_trainer.pretrained.inspect import inspect
from llmtrain_trainer.storage.start_marker import Start

pytestmark = pytest.mark.timeout(400)
TOLD = {
    "results": {"weather": {"acc,none": 0.5, "acc_stderr,none": 0.25}},
    "versions": {"weather": 2.5},
    "n-samples": {"weather": {"original": 9, "effective": 4}},
}
EVALUATE = {
    "answers": f"    return {TOLD}\n",
    "raises": "    raise ValueError('no such thing')\n",
    "dies": "    os.kill(os.getpid(), 9)\n",
}


def library(work: Path, what: str) -> Path:
    """A library that does this in the place of the harness, once it has looked at its environment."""
    folder = work / "libraries"
    for name in ("lm_eval", "evaluate"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    (folder / "lm_eval" / "tasks.py").write_text("class TaskManager:\n    def __init__(self, **_): pass\n")
    (folder / "lm_eval" / "utils.py").write_text("import jinja2\nenv = jinja2.Environment()\n")
    (folder / "lm_eval" / "__init__.py").write_text(
        "import os\n__version__ = '9.9'\n"
        "assert not [n for n in os.environ if n.startswith(('DATASET_', 'TRACKER_', 'AWS_'))], 'a secret'\n"
        "def simple_evaluate(model_args, **_):\n"
        "    assert os.path.exists(model_args['pretrained'] + '/config.json')\n" + EVALUATE[what]
    )
    return folder


def asked(work: Path, attempt: int = 0) -> JobFile:
    if not (work / "tasks").exists():
        write_tasks(work / "tasks")
    return job(
        work / "output",
        attempt=attempt,
        dataset={"maxBytes": 200_000},
        processesPerNode=1,
        training={"maxSteps": 3, "sequenceLength": 64, "microBatchSize": 4, "globalBatchSize": 8},
        evaluation={
            "everySteps": 0,
            "tasks": {"folder": f"file://{work / 'tasks'}", "names": ["weather"], "minutes": 1},
        },
    )


SECRETS = dict.fromkeys(("DATASET_AWS_SECRET_ACCESS_KEY", "TRACKER_0_KEY", "AWS_SECRET_ACCESS_KEY"), "s3cret")
ERRORS = {
    "raises": "ValueError: no such thing",
    "dies": "the process of the tasks ended with -9: ",
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_goes_wrong_is_told_and_fails_no_job(what: str, tmp_path: Path) -> None:
    launch = Launch(tmp_path, asked(tmp_path), libraries=library(tmp_path, what), more=SECRETS)
    assert launch.wait() == 0, launch.text()
    told = launch.message()["results"]["tasks"]
    assert told["error"].startswith(ERRORS[what])
    assert told["figures"] == []
    assert json.loads(launch.output.results.read_text())["tasks"] == told
    assert (launch.output.export / "model.safetensors").exists()


def test_figures_reach_results_and_card_and_are_computed_once(tmp_path: Path) -> None:
    launch = Launch(tmp_path, asked(tmp_path), libraries=library(tmp_path, "answers"), more=SECRETS)
    assert launch.wait() == 0, launch.text()
    told = launch.message()["results"]["tasks"]
    figure = {"task": "weather", "metric": "acc", "value": 0.5, "stderr": 0.25}
    assert told == {"library": "9.9", "figures": [figure | {"rows": 4, "of": 9, "version": "2.5"}]}
    assert (
        "| `weather` | 2.5 | acc | 0.5 | 0.25 | 4 of 9 |" in (launch.output.export / "README.md").read_text()
    )
    launch.output.complete.unlink()
    (tmp_path / "libraries" / "lm_eval" / "__init__.py").write_text("raise ValueError('once more')\n")
    again = Launch(tmp_path, asked(tmp_path, attempt=1), libraries=tmp_path / "libraries")
    assert again.wait() == 0, again.text()
    assert again.message()["results"]["tasks"] == told
    assert "| `weather` | 2.5 | acc |" in (again.output.export / "README.md").read_text()


def test_a_model_that_is_only_measured_is_asked_as_it_is(tmp_path: Path) -> None:
    base, tasks = folder_of_llama(tmp_path / "model"), write_tasks(tmp_path / "tasks")
    (tmp_path / "text.txt").write_text("A document of some words tells nothing. " * 40)
    spec = least_spec(
        model={"name": f"file://{base}"},
        dataset={"name": f"file://{tmp_path / 'text.txt'}"},
        training={"sequenceLength": 32},
        evaluation={"only": True, "tasks": {"folder": f"file://{tasks}", "names": ["weather"]}},
    )
    facts = inspect(spec, str(base))
    told: dict[str, Any] = {"shape": facts.shape, "model": facts, "base": str(base), "port": free_port()}
    file = job_file(spec, tmp_path / "output", **told)
    launch = Launch(tmp_path, file, libraries=library(tmp_path, "answers"))
    assert launch.wait() == 0, launch.text()
    assert launch.message()["results"]["tasks"]["figures"][0]["value"] == 0.5


def test_an_image_without_the_library_is_refused_before_training(tmp_path: Path) -> None:
    launch = Launch(tmp_path, asked(tmp_path))
    assert launch.wait() == 78, launch.text()
    message = launch.message()
    assert message["message"] == "spec.evaluation.tasks: the image has no lm_eval"
    assert "trainer_image/lm_eval.Dockerfile" in message["hint"]
    assert not launch.output.data.exists(), "nothing was prepared before"


def test_tasks_that_never_end_are_ended_with_all_that_they_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, pids = tmp_path / "program", tmp_path / "pids"
    program.write_text(f"#!/bin/sh\nsleep 1000 & echo $! > {pids}; wait\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    file, output = asked(tmp_path), Output(tmp_path / "output")
    output.root.mkdir(parents=True)
    write_json(output.results, Results(steps=3).to_json())
    started = Start(Fence(output, file.job.uid, 0, ""), None, {})
    attempt = SimpleNamespace(job=file, path="job.json", stop=Stop(), start=started)
    evaluation = file.spec.evaluation.tasks
    assert evaluation is not None
    measure_tasks(cast(Attempt, attempt), evaluation.model_copy(update={"minutes": 1 / 60}))
    told = json.loads(output.results.read_text())
    assert told["tasks"]["error"].startswith("they took longer than ")
    assert "raise spec.evaluation.tasks.minutes, or set a limit" in told["tasks"]["error"]
    assert told["steps"] == 3
    gone_by = time.monotonic() + 30
    while Path(f"/proc/{pids.read_text().strip()}").exists() and time.monotonic() < gone_by:
        time.sleep(0.05)
    assert not Path(f"/proc/{pids.read_text().strip()}").exists()
