"""Of a gang that fails, the rank is named that failed first, whatever the others say of their own end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.children import environment
from harness.failures.gangs import NAMES, RANKS, asked, guilty
from harness.failures.labels import LABELS

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch.torchrun import Failed, Stop, Torchrun
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import RankRecord, read_record

pytestmark = pytest.mark.timeout(400)
FULL = "the_disk_is_full"
"""Told of the node, whose ranks all have one disk."""


@pytest.fixture(scope="module")
def caused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gangs")
    command = [sys.executable, "-W", "ignore", "-m", "harness.failures.gangs", str(root), *NAMES]
    subprocess.run(command, env=environment(), check=True)
    return root


def outputs(folder: Path) -> Output:
    return Output(folder / "output")


@pytest.mark.parametrize("name", NAMES)
def test_the_rank_that_failed_is_named_with_its_failure(caused: Path, name: str) -> None:
    folder = caused / name
    torchrun = Torchrun(asked(folder), "job.json", outputs(folder), 0, Stop())
    torchrun.log.parent.mkdir(parents=True, exist_ok=True)
    torchrun.log.write_text((folder / "torchrun.log").read_text())
    with pytest.raises(ConfigError if name == FULL else Failed) as failed:
        torchrun._judge(1)
    if isinstance(failed.value, Failed):
        verdict, label = failed.value.verdict, LABELS[name]
        log = outputs(folder).rank_log(0, guilty(name)).read_text(errors="replace")[-2000:]
        assert verdict.rank == guilty(name), log
        assert (verdict.failure_class, verdict.reason or None) == (label.failure_class, label.reason), log
        assert not verdict.cascade


def test_others_did_feel_it_and_said_so(caused: Path) -> None:
    echoes = 0
    for name in NAMES:
        for rank in range(RANKS):
            record = read_record(outputs(caused / name).rank_end(0, rank), RankRecord)
            echoes += record is not None and rank != guilty(name)
    assert echoes > len(NAMES) / 2, "of each gang two could have"
    assert {guilty(name) for name in NAMES} == set(range(RANKS))
