"""A real job whose loss explodes: it ends once, for good, and all that it leaves is JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job, spec
from harness.children import environment
from harness.trainer.launches import Launch

from llmtrain_trainer.output import Output

EXPLODES = {
    "maxSteps": 60,
    "learningRate": 10,
    "gradientClipping": 0,
    "weightDecay": 0,
    "schedule": "constant",
    "warmupSteps": 3,
}
pytestmark = pytest.mark.timeout(600)


def strictly(text: str) -> Any:
    """JSON as every other reader of it understands it: without Infinity and NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON: {text[:300]}")

    return json.loads(text, parse_constant=refuse)


def strictly_read(output: Output) -> None:
    """Read every file and log line below an output that is JSON."""
    read = 0
    for path in sorted(p for p in output.root.rglob("*") if p.is_file()):
        if path.suffix == ".json":
            strictly(path.read_text())
            read += 1
        if path.suffix in (".jsonl", ".log"):
            for line in path.read_text().splitlines():
                if line.startswith("{"):
                    strictly(line)
                    read += 1
    assert read > 10


@pytest.mark.proof
def test_on_spike_stop_ends_the_job_without_a_restart(tmp_path: Path) -> None:
    asked = spec(
        processesPerNode=1,
        training=EXPLODES | {"onSpike": "stop"},
        checkpoint={"everySteps": 1000},
        output={"uri": "pvc://out/stops"},
    )
    head = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingJob", "metadata": {"name": "stops"}}
    manifest = tmp_path / "job.yaml"
    manifest.write_text(json.dumps(head | {"spec": asked.to_json()}))
    command = [sys.executable, "-m", "llmtrain", "run", str(manifest), "--runs", str(tmp_path)]
    ended = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 1, ended.stdout
    status = json.loads((tmp_path / ".llmtrain" / "stops.json").read_text())["object"]["status"]
    assert (status["phase"], status["attempt"]) == ("Failed", 0), ended.stdout
    failure = status["failure"]
    assert failure["class"] == "Diverged"
    assert "training.onSpike is stop" in failure["message"]
    assert "training.learningRate" in failure["hint"]
    assert "onSpike: rewind" in failure["hint"]
    strictly_read(Output(tmp_path / "out" / "stops"))


def test_a_perplexity_that_is_infinite_is_left_out_and_the_job_ends_well(tmp_path: Path) -> None:
    asked = job(
        tmp_path / "output",
        processesPerNode=1,
        training=EXPLODES | {"maxSteps": 9, "learningRate": 10},
        checkpoint={"everySteps": 3},
        evaluation={"everySteps": 3},
    )
    launch = Launch(tmp_path, asked)
    try:
        assert launch.wait() == 0, launch.text()
        message = launch.message()
    finally:
        launch.end()
    assert message["outcome"] == "Complete"
    strictly_read(launch.output)
    strictly((tmp_path / launch.termination.name).read_text())
    rows = [strictly(line) for line in (launch.output.logs(0) / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 9
    results = message["results"]
    assert results["evalLoss"] > 710, "exp() of it is infinite"
    assert "perplexity" not in results
