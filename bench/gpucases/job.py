"""A whole job by ``llmtrain run``: prepared, trained, killed, resumed, exported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.children import processes

from .runner import Context

RANK = "-u -m llmtrain_trainer.training.rank"
"""In the command of a rank."""
PATIENCE = 800.0
"""Seconds for one wait; the case's own limit is what ends it on a GPU."""


def manifest(*, tiny: bool) -> dict[str, Any]:
    """What a user writes."""
    steps = 40 if tiny else 600
    model = {"hiddenSize": 32, "numLayers": 2, "vocabSize": 512} if tiny else {"hiddenSize": 256}
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingJob",
        "metadata": {"name": "card"},
        "spec": {
            "model": {"name": "builtin://tiny-llama", **model},
            "dataset": {"name": "builtin://python-stdlib", "maxBytes": 400_000 if tiny else 4_000_000},
            **({"processesPerNode": 1} if tiny else {"gpusPerNode": 1}),
            "resources": {"memory": "16Gi"},
            "training": {
                "precision": "bf16",
                "maxSteps": steps,
                "globalBatchSize": 4 if tiny else 32,
                "microBatchSize": 4 if tiny else 16,
                "sequenceLength": 32 if tiny else 256,
                "packing": "documents",
            },
            "checkpoint": {"everySteps": 10 if tiny else 100},
            "evaluation": {"everySteps": 0, "maxSequences": 32},
            "output": {"uri": "pvc://claim/run"},
        },
    }


def killed_and_resumed(context: Context) -> None:
    """Kill the rank with SIGKILL after its first checkpoint; the job must end with all its steps."""
    began = time.monotonic()
    asked = manifest(tiny=context.tiny)
    steps = asked["spec"]["training"]["maxSteps"]
    path, runs = context.folder / "job.yaml", context.folder / "runs"
    path.write_text(json.dumps(asked))
    output = runs / "claim" / "run"
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain", "run", str(path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    log = context.folder / "run.log"
    with log.open("wb") as file:
        run = subprocess.Popen(
            [*command, "--runs", str(runs)], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _until(lambda: list(output.glob("checkpoints/step-*/manifest.json")), run, log)
        [rank] = processes(str(runs), RANK)
        os.kill(rank, signal.SIGKILL)
        killed = time.monotonic()
        _until(lambda: run.poll() is not None, None, log)
    finally:
        run.kill()
        context.say({"seconds": round(time.monotonic() - began, 1), "code": run.wait()})
        context.say({"log": log.read_text(errors="replace")[-5000:]})
        context.say(_left(output))
    status = json.loads((runs / ".llmtrain" / "card.json").read_text())["object"]["status"]
    context.say({"after_kill_seconds": round(time.monotonic() - killed, 1), "status": status})
    assert status["phase"] == "Succeeded", status["phase"]
    assert status["results"]["steps"] == steps
    assert status["attempt"] == 1, "it was to be started again once"
    assert status["attempts"][-1].get("resumedStep", 0) > 0, status["attempts"]
    context.say({"text": _written(output)})


def _left(output: Path) -> dict[str, Any]:
    """What ranks said at the start of each attempt, what they warned of, and the last figures."""
    found: dict[str, Any] = {"started": [], "built": [], "warnings": [], "rates": []}
    for log in sorted(output.glob("**/rank-*.log")):
        for line in log.read_text(errors="replace").splitlines():
            low = line.lower()
            for word, name in (("started up", "started"), ("engine built", "built"), ("warn", "warnings")):
                if word in low and len(found[name]) < 12:
                    found[name].append(line[:600])
    for rows in sorted(output.glob("**/metrics.jsonl")):
        last = [json.loads(line) for line in rows.read_text().splitlines()[-2:]]
        found["rates"] += last
    return found


def _written(output: Path) -> str:
    """What the exported model writes: it opens in plain transformers."""
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", "generate"]
    exports = [path.parent for path in output.glob("**/export/model.safetensors")]
    done = subprocess.run(
        [*command, str(exports[0]), "def ", "--tokens", "24"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout


def _until(holds: Callable[[], object], run: subprocess.Popen[bytes] | None, log: Path) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        if run is not None and run.poll() is not None:
            raise AssertionError(f"ended too early:\n{log.read_text(errors='replace')[-3000:]}")
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.02)
