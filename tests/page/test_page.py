"""The page as a person has it: a headless Chromium beside a job that trains on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from harness.children import ROOT, environment
from harness.jobs import T0, UID, manifest, quick_manifest, running

from llmtrain_api import Failure, FailureClass, Phase, Progress
from llmtrain_api.names import LABEL_SWEEP
from llmtrain_api.schema.status.sweep import BestTrial, SweepPhase, SweepStatus, TrialRecord
from llmtrain_operator.local.saved_jobs import JobFolder
from llmtrain_operator.local.saved_sweeps import save_sweep

WEB = ROOT / "web"
STEPS = 100_000
"""More than there is time for: the test suspends it."""


def has_failed(runs: Path) -> None:
    """A job that ran out of memory, as `llmtrain run` leaves it."""
    failure = Failure(
        failure_class=FailureClass.OUT_OF_MEMORY,
        message="rank 1: CUDA out of memory, tried to allocate 2.00 GiB",
        hint="a smaller training.microBatchSize, or activationCheckpointing: true",
        rank=1,
        exit_code=1,
        log_tail="step 12\ntorch.OutOfMemoryError: CUDA out of memory",
        time=T0,
    )
    body = manifest("too-big")
    body["metadata"] |= {
        "uid": UID,
        "generation": 1,
        "resourceVersion": "9",
        "creationTimestamp": T0.isoformat(),
    }
    status = running(phase=Phase.FAILED, failure=failure)
    JobFolder(runs, "default", "too-big").save(body | {"status": status.to_json()}, str(runs / "too-big"))


def has_swept(runs: Path) -> None:
    """A sweep of two trials that are over, as `llmtrain run` leaves it."""
    values = {"rates-0": ("0.001", 2.25), "rates-1": ("0.01", 1.75)}
    records = [
        TrialRecord(job=job, number=k, values={"training.learningRate": rate}, phase="Succeeded", value=loss)
        for k, (job, (rate, loss)) in enumerate(values.items())
    ]
    best = BestTrial(job="rates-1", values=records[1].values, value=1.75, value_text="1.75")
    status = SweepStatus(phase=SweepPhase.SUCCEEDED, summary="2/2", trials=records, best=best)
    parameters = [{"field": "training.learningRate", "values": [0.001, 0.01]}]
    spec = {"job": manifest()["spec"], "parameters": parameters, "objective": {"metric": "evalLoss"}}
    save_sweep(runs, "default", "rates", spec, status)
    for job, (_, loss) in values.items():
        body = manifest(job)
        body["metadata"] |= {"uid": f"uid-{job}", "labels": {LABEL_SWEEP: "rates"}}
        over = running(phase=Phase.SUCCEEDED, progress=Progress(step=20, total_steps=20, loss=loss))
        JobFolder(runs, "default", job).save(body | {"status": over.to_json()}, str(runs / job))


def began(*words: str) -> tuple[subprocess.Popen[str], str]:
    """A verb of `llmtrain`, and the first line that it says."""
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Addresses: of the page beside a job, and of one that outlives it."""
    runs = tmp_path / "runs"
    (runs / ".llmtrain").mkdir(parents=True)
    has_failed(runs)
    has_swept(runs)
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(quick_manifest("helpdesk", STEPS, nodes=1)))
    job, beside = began("run", str(file), "--runs", str(runs), "--web")
    web, address = began("web", "--runs", str(runs))
    try:
        yield beside.removeprefix("page: "), address
    finally:
        for process in (job, web):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=120)
            process.wait()


def answers(address: str) -> bool:
    """Whether somebody serves the page there."""
    try:
        with urlopen(address.partition("#")[0], timeout=10) as response:
            return b"Training jobs" in response.read()
    except OSError:
        return False


@pytest.mark.timeout(400)
def test_a_person_sees_curves_move_reads_why_follows_logs_and_suspends(
    page: tuple[str, str], tmp_path: Path
) -> None:
    assert shutil.which("node"), "Node is needed: it drives the browser"
    beside, address = page
    assert answers(beside)
    shots = Path(os.environ.get("LLMTRAIN_SHOTS", tmp_path))
    command = ["node", "test/drive.mjs", address, str(shots), "helpdesk", "too-big", "rates"]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=360, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["violations"] == [], "axe"
    # the stranger's page is told no by design
    assert [one for one in seen["errors"] if "401" not in one] == [], "scripts, policy, width"
    assert seen["foreign"] == []
    for width in (1440, 390):
        before, after = seen[f"points{width}"]
        assert after > before, "the curve moves"
    assert "CUDA out of memory" in seen["why"]
    assert "microBatchSize" in seen["why"]
    assert "step" in seen["log"]
    assert "stands still" in seen["suspended"] or "no process runs it" in seen["suspended"]
    assert "token" in seen["stranger"]
    assert "rates-1" in seen["best"]
    assert seen["sorted"] == ["rates-1", "rates-0"], "by the metric, on a click"
    assert answers(address)
    assert not answers(beside), "the page beside a job ends with it"
