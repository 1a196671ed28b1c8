"""The processes that tell trackers of experiments: begun beside the ranks on node 0, and ended after them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

from llmtrain_api import JobFile
from llmtrain_api.names import (
    DATASET_SECRET_PREFIX,
    MODEL_SECRET_PREFIX,
    PUBLISH_SECRET_PREFIX,
    tracker_secret_prefix,
)
from llmtrain_api.schema.telemetry import TrackerKind

from .. import log, process
from ..errors import ConfigError
from ..output import Output
from ..tracking.tracker import MODULES

LEAST_PRIORITY = 10
END_SECONDS = 20.0
"""What trackers get to send what is left of a job that is complete."""
SOON_SECONDS = 2.0
"""The same of an attempt that is not: the next one goes on with what is left."""


def require_libraries(job: JobFile) -> None:
    """Look for the libraries, before anything is done for long.

    Raises:
        ConfigError: one is not in the image.
    """
    for number, asked in enumerate(job.spec.telemetry.trackers):
        _require(f"spec.telemetry.trackers[{number}]", MODULES[asked.kind], MODULES[asked.kind])
    publish = job.spec.output.publish
    if publish is not None and publish.mlflow is not None:
        _require("spec.output.publish.mlflow", MODULES[TrackerKind.MLFLOW], "mlflow-skinny")


def _require(field: str, module: str, distribution: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{field}: the image has no {module}",
            f"use an image built from the trainer's with `pip install {distribution}`, or remove it",
        )


class Trackers:
    """One process for each tracker. None of them can hold up, end or fail the job."""

    def __init__(self, job: JobFile, job_path: str, output: Output) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        for number, asked in enumerate(job.spec.telemetry.trackers):
            path = output.logs(job.attempt) / f"tracker-{number}-{asked.kind}.log"
            try:
                self._children.append(_started(job_path, number, path))
            except OSError as error:
                log.get().warning("a tracker could not be started", tracker=asked.kind, error=str(error))

    def close(self, *, complete: bool) -> None:
        """Let them send what is left, and end those that take longer."""
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()
        until = time.monotonic() + (END_SECONDS if complete else SOON_SECONDS)
        for child in self._children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                log.get().warning("a tracker took too long to end; see its log for what it was not told")
        self._children.clear()


def _started(job_path: str, number: int, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llmtrain_trainer", "track", job_path, "--number", str(number)]
    env = environment(os.environ, number)
    return process.start(command, env, path, stdin=subprocess.PIPE, niceness=LEAST_PRIORITY)


def environment(around: os._Environ[str] | dict[str, str], number: int) -> dict[str, str]:
    """The variables of the tracker of that number: its own secret, and nobody else's."""
    own = tracker_secret_prefix(number)
    foreign = (MODEL_SECRET_PREFIX, DATASET_SECRET_PREFIX, PUBLISH_SECRET_PREFIX, tracker_secret_prefix(None))
    kept = {name: value for name, value in around.items() if not name.startswith(foreign)}
    secret = {name.removeprefix(own): value for name, value in around.items() if name.startswith(own)}
    kept.pop("HF_HUB_OFFLINE", None)
    return kept | secret | {"PYTHONSAFEPATH": "1"}
