"""Ranks run in the layout that ``job.json`` says, also where the spec alone would give another."""

from __future__ import annotations

from pathlib import Path

from harness.trainer.launches import Launch, job

from llmtrain_api import Layout, changed
from llmtrain_trainer.checkpoint.manifest import MANIFEST, layout_of
from llmtrain_trainer.files import read_json


def test_ranks_run_in_the_layout_that_they_are_told(tmp_path: Path) -> None:
    wanted = job(tmp_path / "run", training={"maxSteps": 4}, checkpoint={"everySteps": 4})
    assert wanted.layout == Layout(data=2, zero=1)
    told = Layout(data=2, zero=2, why="decided by another version")
    launch = Launch(tmp_path, changed(wanted, layout=told))
    assert launch.wait() == 0, launch.text()
    manifest = read_json(launch.output.step(4) / MANIFEST)
    assert manifest is not None
    assert layout_of(manifest) == told
    # what DeepSpeed wrote, not what we say of it: gradients are sharded from stage 2 on
    rank_log = launch.output.rank_log(0, 0).read_text()
    assert '"layout": "dp2 zero2"' in rank_log
    assert "decided by another version" in rank_log
