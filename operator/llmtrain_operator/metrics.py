"""Prometheus series: the operator's own, and one set a job, read from what is known at scrape time.

A job's series go when the job goes: nothing is kept between scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .engine.known_jobs import KnownJobs
from .engine.workqueue import WorkQueue
from .kube.store import PodStore

LABELS = ("namespace", "name")
GAUGES: dict[str, str] = {
    "step": "Optimizer steps done.",
    "total_steps": "Optimizer steps in all.",
    "progress_ratio": "Share of the steps done, 0 to 1.",
    "loss": "Training loss, nat a token.",
    "eval_loss": "Held-out loss, nat a token.",
    "perplexity": "Held-out perplexity.",
    "tokens_per_second": "Tokens trained on a second.",
    "mfu_ratio": "Model FLOP/s over the bf16 peak of the job's GPUs, 0 to 1.",
    "eta_timestamp_seconds": "Expected end, seconds since 1970.",
    "workers_ready": "Running pods of the current attempt.",
    "workers_desired": "Pods of the gang.",
    "checkpoint_step": "Newest committed checkpoint.",
    "waiting_since_timestamp_seconds": "Since when the job waits for what it waits for, seconds since 1970.",
    "reporting_lost": "1 while an attempt that has reported is silent, else 0.",
    "straggler": "1 while a rank computes 1.5 times as long as the median of its peers, else 0.",
    "gpus": "GPUs of the current gang.",
    "gpu_seconds": "GPU-seconds used by all attempts.",
    "wasted_gpu_seconds": "Those that were computed again, or will be.",
    "cost": "What they cost, at the price that the installation gives.",
}


class JobCollector(Collector):
    """``llmtrain_job_*{namespace,name}``."""

    def __init__(
        self, known: KnownJobs, queue: WorkQueue, store: PodStore, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._known = known
        self._queue = queue
        self._store = store
        self._leads = leads

    def collect(self) -> Iterable[Metric]:
        """All series of this moment."""
        jobs = list(self._known.jobs.values()) if self._leads() else []
        yield GaugeMetricFamily(
            "llmtrain_operator_leader",
            "Whether this operator acts: 1, or 0 = it stands by.",
            value=self._leads(),
        )
        yield GaugeMetricFamily(
            "llmtrain_operator_queue_depth", "Jobs waiting to be looked at.", value=len(self._queue)
        )
        yield GaugeMetricFamily("llmtrain_operator_pods", "Worker pods known.", value=len(self._store))
        phase = GaugeMetricFamily(
            "llmtrain_job_phase", "1, with the phase the job is in.", labels=[*LABELS, "phase"]
        )
        restarts = CounterMetricFamily("llmtrain_job_restarts", "Restarts of the gang.", labels=LABELS)
        gauges = {
            n: GaugeMetricFamily(f"llmtrain_job_{n}", text, labels=LABELS) for n, text in GAUGES.items()
        }
        datasets = GaugeMetricFamily(
            "llmtrain_job_dataset_eval_loss",
            "Loss of the finished job's model on a set of evaluation.datasets, nat a token.",
            labels=[*LABELS, "dataset"],
        )
        for job in jobs:
            who = (job.ref.namespace, job.ref.name)
            if job.phase:
                phase.add_metric((*who, job.phase), 1.0)
            restarts.add_metric(who, job.restarts)
            for series, value in job.figures.items():
                gauges[series].add_metric(who, value)
            for name, loss in job.datasets.items():
                datasets.add_metric((*who, name), loss)
        yield phase
        yield restarts
        yield from gauges.values()
        yield datasets


class OperatorMetrics:
    """The registry and the counters that are moved as things happen."""

    def __init__(
        self, known: KnownJobs, queue: WorkQueue, store: PodStore, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(JobCollector(known, queue, store, leads))
        self._reports = Counter(
            "llmtrain_operator_reports",
            "Progress reports taken or refused.",
            ["code"],
            registry=self.registry,
        )
        self._notifications = Counter(
            "llmtrain_operator_notifications",
            "Tries to deliver a notification: delivered, failed (it is tried again) or refused (given up).",
            ["outcome"],
            registry=self.registry,
        )

        self._traces = Counter(
            "llmtrain_operator_trace_batches",
            "Batches of spans that went to the collector of traces: sent, or failed (they are lost).",
            ["outcome"],
            registry=self.registry,
        )

    def count_traces(self, outcome: str) -> None:
        """One more batch with that outcome."""
        self._traces.labels(outcome).inc()

    def count_notification(self, outcome: str) -> None:
        """One more try with that outcome."""
        self._notifications.labels(outcome).inc()

    def count_report(self, code: str) -> None:
        """One more answer with that HTTP status."""
        self._reports.labels(code).inc()
