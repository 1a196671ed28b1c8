"""The export pushed to where ``output.publish`` says: all of it or nothing, and once whatever restarts.

A place that says no, or that is away, never fails the job: what became of the push is put on record. No
torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from llmtrain_api import JobFile, PublishedResult, Results

from ... import log
from ...files import write_json
from ...records import PublishedRecord, record_or_none
from ...storage.start_marker import Start
from . import hub, mlflow
from .hub import HubPush
from .lineage import lineage
from .mlflow import MlflowPush
from .oci import OciPush
from .provider import Provider
from .tries import pushed


def prepare_process() -> None:
    """Settings that libraries read when they are loaded."""
    hub.prepare_process()
    mlflow.prepare_process()


def publish(job: JobFile, start: Start, sleep: Callable[[float], None] = time.sleep) -> PublishedResult:
    """Push the folder, unless it was pushed before, and put on record what became of it.

    Raises:
        Fenced: a newer attempt owns the output, and pushes it.
    """
    output = start.output
    known = record_or_none(output.published, PublishedRecord)
    if known is not None and known.job_uid == job.job.uid and known.published.error is None:
        log.get().info("the export was pushed before", url=known.published.url)
        return known.published
    start.fence.check()
    found = pushed(provider_of(job, start), sleep)
    write_json(output.published, PublishedRecord(job_uid=job.job.uid, published=found).to_json())
    return found


def provider_of(job: JobFile, start: Start) -> Provider:
    """What pushes the export to where the job says."""
    asked, folder = job.spec.output.publish, start.output.export
    assert asked is not None
    if asked.hub is not None:
        return HubPush(job, asked, folder)
    said = lineage(job, start, record_or_none(start.output.results, Results) or Results())
    if asked.mlflow is not None:
        return MlflowPush(job, asked, asked.mlflow, folder, said)
    return OciPush(job, asked, folder, said)
