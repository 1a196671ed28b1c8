"""What is remembered of the jobs between two looks at them: a few figures each, never the object."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from llmtrain_api import ConditionType, Job

from ..types import JobRef
from .workqueue import Key


@dataclass(frozen=True, slots=True)
class KnownJob:
    """One job as it was last read or written.

    Attributes:
        phase: empty before the first.
        figures: what is known, by the name of its series.
        datasets: losses of the finished job's model on sets that it was measured on apart, by their names.
    """

    ref: JobRef
    phase: str
    final: bool
    restarts: int
    figures: dict[str, float]
    datasets: dict[str, float]


@dataclass
class KnownJobs:
    """Each job that exists, by key: what /metrics tells. Goes when the job goes."""

    jobs: dict[Key, KnownJob] = field(default_factory=dict)

    def note(self, job: Job) -> None:
        """Take a job as it is now."""
        status = job.status
        self.jobs[job.metadata.namespace, job.metadata.name] = KnownJob(
            ref=ref(job),
            phase=status.phase.value if status.phase else "",
            final=status.phase is not None and status.phase.final,
            restarts=status.restarts.total if status.restarts else 0,
            figures={name: float(v) for name, v in job_values(job).items() if v is not None},
            datasets={
                one.name: one.eval_loss
                for one in (status.results.datasets if status.results else ())
                if one.eval_loss is not None
            },
        )


def ref(job: Job) -> JobRef:
    """Which job it is, as its pods are filed."""
    return JobRef(job.metadata.namespace, job.metadata.name, job.metadata.uid)


def job_values(job: Job) -> dict[str, float | None]:
    """The figures of one job; None = not known."""
    progress, workers, status = job.status.progress, job.status.workers, job.status
    done = progress.step if progress else None
    total = progress.total_steps if progress else None
    return {
        "step": done,
        "total_steps": total,
        "progress_ratio": done / total if done is not None and total else None,
        "loss": progress.loss if progress else None,
        "eval_loss": progress.eval_loss if progress else None,
        "perplexity": progress.perplexity if progress else None,
        "tokens_per_second": progress.tokens_per_second if progress else None,
        "mfu_ratio": progress.mfu if progress else None,
        "eta_timestamp_seconds": progress.eta.timestamp() if progress and progress.eta else None,
        "workers_ready": workers.ready if workers else None,
        "workers_desired": workers.desired if workers else None,
        "checkpoint_step": status.checkpoint.step if status.checkpoint else None,
        "waiting_since_timestamp_seconds": _moment(status.waiting.since if status.waiting else None),
        "reporting_lost": _holds(job, "ReportingLost"),
        "straggler": _holds(job, "Straggler"),
        "gpus": _gpus(job),
        "gpu_seconds": status.usage.gpu_seconds if status.usage else None,
        "wasted_gpu_seconds": status.usage.wasted_gpu_seconds if status.usage else None,
        "cost": status.usage.cost if status.usage else None,
    }


def _moment(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _holds(job: Job, condition: ConditionType) -> float:
    found = job.status.condition(condition)
    return float(found is not None and found.status == "True")


def _gpus(job: Job) -> float | None:
    """Of the pods that the gang has now, by its own word or that of its runtime."""
    defaults = job.status.runtime.spec.get("defaults") if job.status.runtime else None
    each = ((defaults if isinstance(defaults, dict) else {}) | job.spec).get("gpusPerNode")
    ready = job.status.workers.ready if job.status.workers else None
    return float(each * ready) if isinstance(each, int) and ready is not None else None
