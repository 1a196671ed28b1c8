"""A job with trackers, whose libraries are stand-ins: one that works, and one that never answers."""

from __future__ import annotations

import json
from pathlib import Path

from harness.builders import job
from harness.trainer.launches import Launch

WORKS = """
import json, os
class Settings:
    def __init__(self, **named): pass
class Run:
    summary = {}
    def __init__(self, folder): self.file = open(os.path.join(folder, "said.jsonl"), "a", buffering=1)
    def log(self, data, step=None): self.file.write(json.dumps([step, sorted(data)]) + "\\n")
    def finish(self, exit_code=None):
        said = {"exit": exit_code, "key": os.environ.get("WANDB_API_KEY"), **self.summary}
        self.file.write(json.dumps(said) + "\\n")
def init(**named): return Run(named["dir"])
"""
HANGS = "import time\ntime.sleep(3600)\n"


def test_a_tracker_is_told_and_one_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / "wandb.py").write_text(WORKS)
    (libraries / "trackio.py").write_text(HANGS)
    trackers = [{"kind": "wandb", "offline": True}, {"kind": "trackio", "offline": True}]
    asked = job(tmp_path / "output", telemetry={"trackers": trackers}, evaluation={"everySteps": 20})
    launch = Launch(tmp_path, asked, more={"TRACKER_0_WANDB_API_KEY": "secret"}, libraries=libraries)
    try:
        assert launch.wait() == 0, launch.text()
    finally:
        launch.end()
    said = (launch.output.root / "tracking" / "0-wandb" / "said.jsonl").read_text().splitlines()
    *rows, last = map(json.loads, said)
    steps = [step for step, _ in rows]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 41))
    assert any("held_out_loss" in names for _, names in rows)
    assert all("loss" in names for step, names in rows if step == 7)
    assert (last["exit"], last["key"]) == (0, "secret")
    assert last["evalLoss"] > 0
    assert "a tracker took too long to end" in launch.text()
    assert "secret" not in launch.text()


def test_a_library_that_is_not_there_ends_the_job_before_its_data(tmp_path: Path) -> None:
    asked = job(tmp_path / "output", telemetry={"trackers": [{"kind": "mlflow", "offline": True}]})
    launch = Launch(tmp_path, asked)
    try:
        assert launch.wait() == 78, launch.text()
    finally:
        launch.end()
    assert "the image has no mlflow" in launch.message()["message"]
    assert "pip install mlflow" in launch.message()["hint"]
    assert not launch.output.data.exists()
