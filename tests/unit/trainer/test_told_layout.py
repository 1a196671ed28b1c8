"""A rank takes its place, its batches and its engine from the layout in ``job.json``, not from the spec."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from harness.builders import job

from llmtrain_api import JobSpec, Layout, ModelShape, Place, changed
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.output import Output
from llmtrain_trainer.special_tokens import OURS
from llmtrain_trainer.training import loop


class Built(Exception):
    """Ends the constructor of `Training` where it asks for its engine."""

    def __init__(self, layout: Layout, place: Place, plan: BatchPlan) -> None:
        self.layout, self.place, self.plan = layout, place, plan


def test_a_rank_obeys_the_layout_that_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = job(tmp_path / "run", training={"globalBatchSize": 8, "microBatchSize": 4})
    assert wanted.layout == Layout(data=2, zero=0)
    told = Layout(tensor=2, zero=2, why="decided by another version")

    def build(
        folder: Path,
        spec: JobSpec,
        shape: ModelShape,
        layout: Layout,
        place: Place,
        plan: BatchPlan,
        steps: int,
        weights: bool,
        head: object,
        share: object,
    ) -> Any:
        del folder, spec, shape, steps, weights, head, share
        raise Built(layout, place, plan)

    monkeypatch.setattr(loop, "build", build)
    monkeypatch.setattr(loop, "open_train", lambda *_: np.zeros((64, 32), np.uint16))
    start = cast(Any, SimpleNamespace(output=Output(tmp_path / "run"), resume=None))
    marker = cast(Any, SimpleNamespace(special=OURS, rows=(64,), labels=()))
    startup = cast(Any, SimpleNamespace(done=lambda _: None))
    ranks = Ranks(1, 2, 1, torch.device("cpu"))
    with pytest.raises(Built) as asked:
        loop.Training(changed(wanted, layout=told), start, ranks, marker, startup)
    found = asked.value
    assert (found.layout, found.layout.why) == (told, told.why)
    assert found.place == Place(data=0, tensor=1, pipeline=0, sequence=0)
    assert (found.plan.ranks, found.plan.accumulation) == (1, 2)
