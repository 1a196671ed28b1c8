"""Where the checkpoint of another job lies that a job is to begin from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from llmtrain_api import Job

from ..kube.api import Object
from ..types import SeenSource

FindJob = Callable[[tuple[str, str]], Object | None]
"""A job by namespace and name."""
EXPORT = "/export"


def source_of(job: Job, find: FindJob) -> SeenSource | None:
    """What ``checkpoint.from`` of a job comes to; None where it names none, or the job has begun.

    Args:
        job: that is to begin.
        find: knows the other jobs.
    """
    if job.status.attempt is not None:
        return None
    wanted = _wanted(job)
    name, output = wanted.get("job"), wanted.get("output")
    if not isinstance(name, str):
        return SeenSource(output) if isinstance(output, str) else None
    namespace = job.metadata.namespace
    raw = find((namespace, name))
    if raw is None:
        return SeenSource(
            None,
            f"spec.checkpoint.from.job: there is no job {name} in namespace {namespace}; correct the name, "
            "or name its output by checkpoint.from.output",
        )
    uri = output_of(raw)
    if uri is None or uri.startswith("s3://"):
        where = "has no output that can be read" if uri is None else f"writes to {uri}, which is no folder"
        return SeenSource(
            None, f"spec.checkpoint.from.job: job {name} {where}; name one whose output is pvc://CLAIM/FOLDER"
        )
    return SeenSource(uri)


def output_of(raw: Object) -> str | None:
    """The output that a job really has: the one that its results name, or else that of its spec."""
    try:
        results = Job.model_validate(raw).status.results
    except ValidationError:
        results = None
    if results is not None and results.export_uri is not None and results.export_uri.endswith(EXPORT):
        return results.export_uri.removesuffix(EXPORT)
    output = (raw.get("spec") or {}).get("output")
    uri = output.get("uri") if isinstance(output, dict) else None
    return uri.rstrip("/") if isinstance(uri, str) else None


def _wanted(job: Job) -> dict[str, Any]:
    checkpoint = job.spec.get("checkpoint")
    found = checkpoint.get("from") if isinstance(checkpoint, dict) else None
    return found if isinstance(found, dict) else {}
