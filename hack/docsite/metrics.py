"""``docs/metrics.md``: every series that the operator and the ranks expose, asked of their own registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from llmtrain_api import JobFile, JobIdentity, Rendezvous, layout_of, parse_spec, shape_of
from llmtrain_api.names import METRICS_PORT
from llmtrain_operator.engine.known_jobs import KnownJob, KnownJobs
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.metrics import GAUGES, OperatorMetrics
from llmtrain_operator.types import JobRef
from llmtrain_trainer.telemetry.prometheus import JobSeries, RankSeries

from .navigation import DOCS

PAGE = DOCS / "metrics.md"
_ENDS = {"counter": "_total", "histogram": "_bucket"}
_HEAD = """# Metrics

Generated from the registries of operator and trainer by `make generate`.

The chart's `monitoring` brings monitors, alerts ([runbooks.md](runbooks.md)) and Grafana boards of them.
Units are those of the names. A figure that is not known yet is not there, or `NaN`, and never 0.
"""
JOBS: tuple[dict[str, Any], ...] = (
    {"training": {"fairness": {"pairs": "pvc://claim/pairs.jsonl"}}},
    {"task": "reinforcement", "training": {"reinforcement": {"rewards": [{"kind": "json"}]}}},
)
"""What jobs have series for that others have not."""


def page() -> str:
    """The whole page."""
    ranks = f"Ranks: port {METRICS_PORT} of each pod, and the next ones for more ranks of a pod"
    parts = [_HEAD, *_table("The operator: `/metrics` of its pod", operator_registry().collect())]
    found = {metric.name: metric for special in JOBS for metric in rank_registry(special).collect()}
    parts += _table(ranks, found.values())
    return "\n".join(parts)


def operator_registry() -> CollectorRegistry:
    """The operator's, with one job that has every figure, so that each series shows its labels."""
    some = KnownJob(
        JobRef("team", "job", "uid"), "Running", False, 0, dict.fromkeys(GAUGES, 0.0), {"news": 0.0}
    )
    own = OperatorMetrics(KnownJobs({("team", "job"): some}), WorkQueue(), PodStore())
    own.count_report("200")
    return own.registry


def rank_registry(special: Mapping[str, Any] = JOBS[0]) -> CollectorRegistry:
    """That of rank 0 on a GPU: what any rank has, and what is the job's.

    Args:
        special: fields of the job's spec beside those that every job has.
    """
    ranks = RankSeries(torch.device("cuda"))
    JobSeries(ranks.registry, _job(special), with_mfu=True)
    return ranks.registry


def _job(special: Mapping[str, Any]) -> JobFile:
    places = {"dataset": {"name": "pvc://claim/rows"}, "output": {"uri": "pvc://claim/run"}}
    spec = parse_spec({"model": {"name": "builtin://tiny-llama"}, **places, **special}, strict=True)
    shape = shape_of(spec)
    return JobFile(
        job=JobIdentity(name="job", namespace="team", uid="uid"),
        attempt=0,
        spec=spec,
        shape=shape,
        layout=layout_of(shape, spec),
        rendezvous=Rendezvous(master_address="localhost", master_port=1, id="0"),
        output="/output",
        scratch="/scratch",
    )


def _table(title: str, metrics: Iterable[Metric]) -> Iterator[str]:
    yield f"## {title}\n\n| series | kind | labels | |\n|---|---|---|---|"
    for metric in sorted(metrics, key=lambda metric: metric.name):
        labels = ", ".join(f"`{name}`" for name in _labels(metric))
        name = metric.name + _ENDS.get(metric.type, "")
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"
    yield ""


def _labels(metric: Metric) -> list[str]:
    found = dict.fromkeys(name for sample in metric.samples for name in sample.labels)
    return [name for name in found if name != "le"]
