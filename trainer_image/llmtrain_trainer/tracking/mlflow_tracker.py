"""MLflow, by its client alone: the run belongs to no process, so any attempt goes on with it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from .tracker import Run, Tracker

TAG = "llmtrain.job-uid"
MAX_PARAMETER = 500
"""Characters of a parameter that every server takes."""


class MlflowTracker:
    """A run of MLflow."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._id = client, run_id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """All figures of a step in one call."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def finish(self, summary: Mapping[str, float], *, succeeded: bool) -> None:
        """Its results as metrics, and its end."""
        for name, value in summary.items():
            self._client.log_metric(self._id, name, value)
        self._client.set_terminated(self._id, "FINISHED" if succeeded else "FAILED")


def open_run(run: Run) -> Tracker:
    """Begin the run, or go on with the one that has the job's UID as its tag."""
    if run.offline:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder is all that there is here
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client = MlflowClient(tracking_uri=f"file:{run.folder}/mlruns" if run.offline else run.uri)
    known = client.get_experiment_by_name(run.project)
    experiment = client.create_experiment(run.project) if known is None else known.experiment_id
    found = client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'")
    if found:
        run_id = found[0].info.run_id
        client.set_terminated(run_id, "RUNNING")
        return MlflowTracker(client, run_id)
    run_id = client.create_run(experiment, tags={TAG: run.id}, run_name=run.name).info.run_id
    parameters = [Param(name, value[:MAX_PARAMETER]) for name, value in flat(run.config).items()]
    client.log_batch(run_id, params=parameters[:100])
    return MlflowTracker(client, run_id)


def flat(config: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """``{"training": {"maxSteps": 9}}`` as ``{"training.maxSteps": "9"}``."""
    found: dict[str, str] = {}
    for name, value in config.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}.")
        else:
            found[path] = value if isinstance(value, str) else json.dumps(value)
    return found
