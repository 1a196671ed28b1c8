"""A push to a registry of MLflow: the files go to a run, then a new version of a model names them.

The library is none of the image, as that of a tracker is not: `pip install mlflow-skinny` brings it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmtrain_api import JobFile, PublishedResult
from llmtrain_api.names import PUBLISH_SECRET_PREFIX
from llmtrain_api.schema.publish import MlflowPlace, PublishSpec

from ...tracking.mlflow_tracker import TAG
from . import tries
from .lineage import JOB_UID
from .masking import causes, told
from .provider import Refused

FOLDER = "model"
"""Of the run, with the files."""
THERE_IS_NONE, THERE_IS_ONE = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
SECRETS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
LIBRARY = "use an image built from the trainer's with `pip install mlflow-skinny`"
ACCESS = (
    "give it MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, of somebody "
    "who may write to {uri}: in a cluster by a Secret that spec.output.publish.secret names, on a laptop in "
    "the environment"
)
BY_HAND = (
    "the model is in the output; `mlflow artifacts log-artifacts --local-dir FOLDER/export` and register it"
)


def prepare_process() -> None:
    """Settings that the library reads: the Secret's, no tries beside ours, and a word to nobody else."""
    for name, value in list(os.environ.items()):
        if name.startswith(f"{PUBLISH_SECRET_PREFIX}MLFLOW_"):
            os.environ[name.removeprefix(PUBLISH_SECRET_PREFIX)] = value
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(int(tries.SILENT_SECONDS))
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


class MlflowPush:
    """One folder and the registered model that gets it as a new version.

    Args:
        job: whose export it is.
        asked: where it goes.
        place: the same, as a server of MLflow.
        folder: the export.
        lineage: where the model comes from.
    """

    def __init__(
        self,
        job: JobFile,
        asked: PublishSpec,
        place: MlflowPlace,
        folder: Path,
        lineage: Mapping[str, str],
    ) -> None:
        self.job, self.asked, self.place = job, asked, place
        self.folder, self.lineage = folder, lineage
        self.target = place.model

    def push(self) -> PublishedResult:
        """Push it, or find the version that an earlier try has made without hearing of it."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.place.uri, registry_uri=self.place.uri)
        self._ensure_model(client)
        own = f"name='{self.target}' and tags.`{JOB_UID}` = '{self.job.job.uid}'"
        for version in client.search_model_versions(own):
            return self._done(str(version.version))
        run = self._run(client)
        client.log_artifacts(run.info.run_id, str(self.folder), FOLDER)
        made = client.create_model_version(
            self.target,
            f"{run.info.artifact_uri}/{FOLDER}",
            run_id=run.info.run_id,
            tags=dict(self.lineage),
            description=f"Model of LLMTrainingJob {self.job.job.namespace}/{self.job.job.name}",
            await_creation_for=int(tries.SILENT_SECONDS),
        )
        return self._done(str(made.version))

    def _ensure_model(self, client: Any) -> None:
        try:
            client.get_registered_model(self.target)
        except Exception as error:
            if _code(error) != THERE_IS_NONE:
                raise
            try:
                client.create_registered_model(self.target)
            except Exception as raced:
                if _code(raced) != THERE_IS_ONE:
                    raise

    def _run(self, client: Any) -> Any:
        """The run that keeps the files: that of the job's tracker, where there is one."""
        known = client.get_experiment_by_name(self.place.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.place.experiment)
        for run in client.search_runs([experiment], f"tags.`{TAG}` = '{self.job.job.uid}'"):
            return run
        run = client.create_run(experiment, tags={TAG: self.job.job.uid}, run_name=self.job.job.name)
        client.set_terminated(run.info.run_id)
        return run

    def _done(self, version: str) -> PublishedResult:
        url = f"{self.place.uri.rstrip('/')}/#/models/{quote(self.target)}/versions/{version}"
        return PublishedResult(mlflow=self.target, model_version=version, url=url)

    def refused(self, error: Exception) -> Refused:
        """What an error of the library means."""
        if isinstance(error, ImportError):
            return Refused("the image has no mlflow", True, LIBRARY)
        every = list(causes(error))
        status = next((found for one in every if (found := _status(one)) is not None), None)
        words = told(error, [os.environ.get(name) for name in SECRETS])
        if status is None:
            return Refused(words, isinstance(error, ValueError), BY_HAND)
        helps = ACCESS.format(uri=self.place.uri) if status in (401, 403) else BY_HAND
        return Refused(f"MLflow answers {status} ({words})", status in tries.FOR_GOOD, helps)


def _code(error: Exception) -> str | None:
    """What MLflow calls the error; None of another library's."""
    return getattr(error, "error_code", None)


def _status(error: BaseException) -> int | None:
    """The answer's, of MLflow's errors and of those of the library that it sends files by. Of its own it says
    500 also where nobody has answered."""
    answered: int | None = getattr(getattr(error, "response", None), "status_code", None)
    own = getattr(error, "get_http_status_code", None)
    found = own() if own is not None and answered is None else answered
    return None if own is not None and found == HTTPStatus.INTERNAL_SERVER_ERROR else found
