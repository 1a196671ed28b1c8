"""Where a model comes from, in a few words that go with it to wherever it is pushed."""

from __future__ import annotations

from llmtrain_api import JobFile, Results, Task, task_of

from ...storage.start_marker import Start
from ..markdown import location

OWN = "dev.llmtrain."
"""What our keys begin with."""
JOB_UID = f"{OWN}job-uid"
"""Tells a push of this job from every other one."""
LONGEST = 500
"""Characters of a word: older servers of MLflow take no more."""


def lineage(job: JobFile, start: Start, results: Results) -> dict[str, str]:
    """What tells this model from every other one. The same export has the same words, on whatever day.

    Args:
        job: whose export it is.
        start: of the attempt that pushes it.
        results: of the job.
    """
    task: Task = task_of(job.spec, job.shape)
    step = results.exported_step if results.exported_step is not None else results.steps
    found = {
        JOB_UID: job.job.uid,
        f"{OWN}job": f"{job.job.namespace}/{job.job.name}",
        f"{OWN}task": str(task),
        f"{OWN}step": None if step is None else str(step),
        f"{OWN}base-model": location(job.spec.model.name),
        f"{OWN}base-revision": job.model.revision if job.model else None,
        f"{OWN}base-digest": job.model.digest if job.model else None,
        f"{OWN}dataset": ", ".join(location(source.name) for source in job.spec.dataset.sources),
        f"{OWN}data-digest": start.fingerprints.get("data"),
        f"{OWN}tokenizer-digest": start.fingerprints.get("tokenizer"),
    }
    return {name: str(value)[:LONGEST] for name, value in found.items() if value}
