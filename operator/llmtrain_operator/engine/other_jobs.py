"""The job that another one names in ``checkpoint.from``."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from llmtrain_api import Job

from ..kube.jobs import JobStore

OtherJobs = Callable[[str, str], Job | None]
"""The job of a namespace and a name; None where there is none."""


def job_by_name(jobs: JobStore) -> OtherJobs:
    """The jobs of a cluster, as they are known."""

    def find(namespace: str, name: str) -> Job | None:
        found = jobs.find((namespace, name))
        if found is None:
            return None
        try:
            return Job.model_validate_json(found.raw)
        except ValidationError:
            # a newer operator wrote it, or nobody did who knows how: nothing of it can be used
            return None

    return find


def other_job(job: Job, others: OtherJobs) -> Job | None:
    """The job that this one goes on from, while that is not on record yet."""
    if job.status.attempt is not None:
        return None
    checkpoint = job.spec.get("checkpoint")
    source = checkpoint.get("from") if isinstance(checkpoint, dict) else None
    name = source.get("job") if isinstance(source, dict) else None
    return others(job.metadata.namespace, name) if isinstance(name, str) else None
