"""Ranks run in the layout that ``job.json`` says, also where the spec alone would give another."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from harness.builders import job
from harness.trainer.launches import Launch

from llmtrain_api import Layout, changed
from llmtrain_trainer.checkpoint.manifest import layout_of, manifest_of
from llmtrain_trainer.checkpoint.save import STATE


def test_ranks_run_in_the_layout_that_they_are_told(tmp_path: Path) -> None:
    wanted = job(tmp_path / "run", training={"maxSteps": 4}, checkpoint={"everySteps": 4})
    assert wanted.layout == Layout(data=2, zero=0)
    told = Layout(data=2, zero=2, why="decided by another version")
    launch = Launch(tmp_path, changed(wanted, layout=told))
    assert launch.wait() == 0, launch.text()
    assert layout_of(manifest_of(launch.output.step(4))) == told
    built = next(one for one in map(json.loads, logged(launch)) if one.get("event") == "engine built")
    assert (built["layout"], built["why"]) == (str(told), told.why)
    # what DeepSpeed itself wrote: stage 2 shards gradients too, and says so in its state
    state = next((launch.output.step(4) / STATE).rglob("*optim_states.pt"))
    zero = torch.load(state, weights_only=False)["optimizer_state_dict"]["zero_stage"]
    assert int(zero) == 2


def logged(launch: Launch) -> list[str]:
    lines = launch.output.rank_log(0, 0).read_text().splitlines()
    return [line for line in lines if line.startswith("{")]
