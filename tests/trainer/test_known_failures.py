"""Failures that are caused for real get the class and the name that they were labelled with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.children import environment
from harness.failures.labels import LABELS, Label
from harness.failures.run import asked

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch.torchrun import Failed, Stop, Torchrun
from llmtrain_trainer.output import Output

pytestmark = pytest.mark.timeout(300)
SUMMARY = "  rank      : 0 (local_rank: 0)\n  exitcode  : {code} (pid: 1)\n"
"""As torchrun tells how a rank ended."""


@pytest.fixture(scope="module")
def caused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("failures")
    command = [sys.executable, "-W", "ignore", "-m", "harness.failures.run", str(root), *LABELS]
    subprocess.run(command, env=environment(), check=True)
    return root


def judged(folder: Path) -> Label:
    """What the launcher makes of what the rank left behind."""
    job = asked(folder)
    torchrun = Torchrun(job, "job.json", Output(folder / "output"), 0, Stop())
    torchrun.log.parent.mkdir(parents=True, exist_ok=True)
    torchrun.log.write_text(SUMMARY.format(code=(folder / "code").read_text()))
    try:
        torchrun._judge(1)
    except Failed as failed:
        verdict = failed.verdict
        assert verdict.rank == 0
        return Label(verdict.failure_class, verdict.reason or None, verdict.cascade)
    except ConfigError:
        return LABELS["the_disk_is_full"]
    raise AssertionError("it did not fail")


def log_of(folder: Path) -> str:
    """The end of the rank's log, for whoever reads a failed test."""
    return Output(folder / "output").rank_log(0, 0).read_text(errors="replace")[-2000:]


@pytest.mark.parametrize("name", LABELS)
def test_a_failure_is_what_its_label_says(caused: Path, name: str) -> None:
    assert judged(caused / name) == LABELS[name], log_of(caused / name)


def test_there_are_enough_of_them() -> None:
    assert len(LABELS) >= 50
