"""The metrics of a job."""

from __future__ import annotations

from harness.jobs import job

from llmtrain_api import JobStatus, Progress, Results
from llmtrain_operator.engine.known_jobs import KnownJobs, job_values
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.metrics import OperatorMetrics


def test_metrics_leave_out_what_is_not_known() -> None:
    values = job_values(job())
    assert values["loss"] is None
    assert values["progress_ratio"] is None
    assert values["mfu_ratio"] is None


def test_metrics_tell_the_share_of_the_peak() -> None:
    asked = job()
    told = asked.model_copy(update={"status": JobStatus(progress=Progress(mfu=0.41))})
    assert job_values(told)["mfu_ratio"] == 0.41


def test_metrics_have_the_loss_of_each_set_that_was_measured() -> None:
    counts = {"documents": 1, "sequences": 1, "of": 2, "tokens": 31}
    sets = [{"name": "news", "evalLoss": 2.5} | counts, {"name": "empty"} | counts]
    results = Results.model_validate({"steps": 20, "datasets": sets})
    known = KnownJobs()
    known.note(job().model_copy(update={"status": JobStatus(results=results)}))
    families = OperatorMetrics(known, WorkQueue(), PodStore()).registry.collect()
    (found,) = [one for one in families if one.name == "llmtrain_job_dataset_eval_loss"]
    assert [(one.labels["dataset"], one.value) for one in found.samples] == [("news", 2.5)]
