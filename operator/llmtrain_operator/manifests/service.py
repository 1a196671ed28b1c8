"""The headless Service of a job."""

from __future__ import annotations

from llmtrain_api import Job
from llmtrain_api.names import LABEL_JOB_UID, LABEL_RANK, MASTER_PORT

from ..types import Manifest
from . import names


def service(job: Job) -> Manifest:
    """Selects rank 0 only, as every further endpoint costs API writes, and publishes it before it is
    ready, as the other ranks look it up while it starts."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(job, names.service_name(job.metadata.name), names.job_labels(job)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL_JOB_UID: job.metadata.uid, LABEL_RANK: "0"},
            "ports": [{"name": "rendezvous", "port": MASTER_PORT}],
        },
    }
