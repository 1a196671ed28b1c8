"""Threads of a rank: ranks that have more of them than cores wait for each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job, least_spec

from llmtrain_trainer.cores import cores, threads_of_rank
from llmtrain_trainer.launch import torchrun
from llmtrain_trainer.launch.torchrun import Stop, Torchrun
from llmtrain_trainer.output import Output


@pytest.mark.parametrize(
    ("told", "expected"),
    [("max 100000", 4), ("150000 100000", 2), ("10000 100000", 1), ("900000 100000", 4), ("nonsense", 4)],
)
def test_processors_of_a_pod(
    told: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text(told)
    assert cores(tmp_path / "cpu.max") == expected
    assert cores(tmp_path / "of-no-control-group") == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"resources": {"cpu": "1"}}, 1),
        ({"resources": {"cpu": "500m"}}, 1),
        ({"resources": {"cpu": "6"}}, 6),
        ({"resources": {"cpu": "6500m"}}, 7),
        ({"resources": {"cpu": "64"}}, 8),
        ({"resources": {"cpu": "6"}, "nodes": 2, "processesPerNode": 2}, 3),
        ({"resources": {"cpu": "1"}, "processesPerNode": 2}, 1),
        ({"resources": {"cpu": "1", "memory": "16Gi"}, "gpusPerNode": 2}, 4),
    ],
)
def test_ranks_share_what_their_pod_asks_for(changes: dict[str, Any], expected: int) -> None:
    assert threads_of_rank(least_spec(**changes), 8) == expected


def test_ranks_see_their_share_unless_somebody_says_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchrun, "cores", lambda: 8)
    asked = job(tmp_path / "output", processesPerNode=2, resources={"cpu": "6"})
    here = Torchrun(asked, "job.json", Output(tmp_path / "output"), 0, Stop())
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert here.environment()["OMP_NUM_THREADS"] == "3"
    assert here.environment()["TORCHINDUCTOR_COMPILE_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert here.environment()["OMP_NUM_THREADS"] == "5"
