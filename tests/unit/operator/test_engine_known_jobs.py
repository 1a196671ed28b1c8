"""The metrics of a job."""

from __future__ import annotations

from harness.jobs import job

from llmtrain_api import JobStatus, Progress
from llmtrain_operator.engine.known_jobs import job_values


def test_metrics_leave_out_what_is_not_known() -> None:
    values = job_values(job())
    assert values["loss"] is None
    assert values["progress_ratio"] is None
    assert values["mfu_ratio"] is None


def test_metrics_tell_the_share_of_the_peak() -> None:
    asked = job()
    told = asked.model_copy(update={"status": JobStatus(progress=Progress(mfu=0.41))})
    assert job_values(told)["mfu_ratio"] == 0.41
