"""What every policy looks at: the observation, sorted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from llmtrain_api import Attempt, InvalidJob, Job, JobSpec, JobStatus, RuntimeOnRecord, parse_spec
from llmtrain_api.runtimes import beyond, effective

from ..manifests.names import pod_name, setup_name
from ..types import JobRef, Observed, Plan, Pod, PodPhase
from .allowed import not_allowed
from .spec_cache import ReadSpec, SpecCache


@dataclass(frozen=True, slots=True)
class Situation:
    """One job at one moment.

    Attributes:
        spec: with the defaults of its runtime; None when this operator cannot read it; then ``mistakes`` says
            why.
        runtime: what the job began with; before the first attempt, as it is now. None = none.
        out_of_bounds: where the job goes further than that lets it; they are among the mistakes.
        attempt: the attempt on record; None before the first.
        pods: this job's own pods; strangers' are left out, and left alone.
        current: pods of that attempt by rank; before the first attempt the pod on record, as 0.
        stale: this job's pods that have to go before others come: of any other attempt, or of the time before
            the first.
        twins: names under which two pods of one rank are known; the API serves only one at a time.
    """

    seen: Observed
    now: datetime
    spec: JobSpec | None
    mistakes: tuple[str, ...]
    attempt: int | None
    pods: tuple[Pod, ...]
    current: Mapping[int, Pod]
    stale: tuple[Pod, ...]
    twins: tuple[str, ...]
    runtime: RuntimeOnRecord | None = None
    out_of_bounds: tuple[str, ...] = ()

    @property
    def job(self) -> Job:
        """The object."""
        return self.seen.job

    @property
    def status(self) -> JobStatus:
        """The status on record."""
        return self.seen.job.status

    @property
    def nodes(self) -> int:
        """Ranks of the gang: as promised when the attempt began."""
        workers = self.status.workers
        if workers is not None:
            return workers.desired
        return self.spec.nodes if self.spec else 0

    @property
    def created_at(self) -> datetime | None:
        """When all pods that are on record existed."""
        if self.attempt is not None:
            return self.this_attempt.created_at
        return self.status.setup.created_at if self.status.setup else None

    @property
    def gone_since(self) -> datetime:
        """When it went on record that other pods than the current ones are to go, or these too."""
        if self.attempt is None and self.status.setup is not None:
            return self.status.setup.ended_at or self.status.setup.started_at
        record = self.this_attempt
        return record.ended_at or record.stopping_at or record.started_at

    @property
    def this_attempt(self) -> Attempt:
        """The record of the current attempt. Only for a started job."""
        if self.status.attempts:
            return self.status.attempts[-1]
        return Attempt(number=self.attempt or 0, started_at=self.now)


Policy = Callable[[Situation], Plan | None]
"""One rule of the decision: an answer, or None to let the next one decide."""


def look(seen: Observed, now: datetime) -> Situation:
    """Sort the observation."""
    runtime = in_force(seen)
    spec, mistakes = read_spec(seen.job, seen.settings.file_outputs, runtime)
    bounds = () if spec is None else out_of_bounds(seen.job, spec, runtime)
    attempt = seen.job.status.attempt
    pods = tuple(p for p in seen.pods if is_pod_of(seen.job, p))
    names = Counter(p.name for p in pods)
    current = {p.rank: p for p in pods if _is_current(seen.job, p)}
    return Situation(
        seen=seen,
        now=now,
        spec=spec,
        mistakes=(*mistakes, *bounds, *(not_allowed(spec, seen.settings) if spec else ())),
        attempt=attempt,
        pods=pods,
        current=current,
        stale=tuple(p for p in pods if not _is_current(seen.job, p) and not _may_stay(p)),
        twins=tuple(sorted(name for name, count in names.items() if count > 1)),
        runtime=runtime,
        out_of_bounds=bounds,
    )


def in_force(seen: Observed) -> RuntimeOnRecord | None:
    """The runtime that a job is under: what it began with, and before its first attempt as it is now."""
    if seen.job.status.attempt is not None:
        return seen.job.status.runtime
    return seen.runtime.found if seen.runtime is not None else None


def out_of_bounds(job: Job, spec: JobSpec, runtime: RuntimeOnRecord | None) -> tuple[str, ...]:
    """Where a job goes further than its runtime lets it, a sentence each.

    Args:
        job: whose.
        spec: its spec with the defaults of that runtime.
        runtime: None = nothing is beyond it.
    """
    if runtime is None:
        return ()
    return tuple(beyond(job.spec, spec, runtime.spec, runtime.title))


def read_spec(job: Job, file_outputs: bool, runtime: RuntimeOnRecord | None) -> ReadSpec:
    """The spec of a job with the defaults of its runtime, or None and why it cannot be run.

    Args:
        job: whose.
        file_outputs: whether a folder of the pod is an output that stays.
        runtime: the one that the job is under.
    """
    raw = job.spec if runtime is None else effective(job.spec, runtime.spec)
    return _SPECS.read(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS), file_outputs)


def _is_current(job: Job, pod: Pod) -> bool:
    """Whether it is of the attempt on record, or the pod on record before the first."""
    attempt, setup = job.status.attempt, job.status.setup
    if attempt is not None:
        return pod.stage is None and pod.attempt == attempt
    return setup is not None and (pod.stage, pod.attempt) == (setup.stage, setup.number)


def _may_stay(pod: Pod) -> bool:
    """What ran before the gang and has ended well is in nobody's way, and its log may be wanted."""
    return pod.stage is not None and pod.phase is PodPhase.SUCCEEDED and not pod.others_run


def is_pod_of(job: Job, pod: Pod) -> bool:
    """Whether the pod is one of this very job: namespace, controller, and the name that attempt and rank give
    must agree. Labels do not count: anybody may write them, in any namespace."""
    meta = job.metadata
    if pod.owner != JobRef(meta.namespace, meta.name, meta.uid):
        return False
    if pod.stage is not None:
        return pod.name == setup_name(meta.name, pod.stage, pod.attempt)
    most = most_ranks(job.status, pod.attempt)
    in_gang = pod.rank >= 0 and (most is None or pod.rank < most)
    return in_gang and pod.name == pod_name(meta.name, pod.attempt, pod.rank)


def most_ranks(status: JobStatus, attempt: int) -> int | None:
    """How many ranks the gang of an attempt may have; None while no gang is on record.

    Gangs of one job may differ in size: a pod of a larger one before is the job's own all the same.
    """
    for record in reversed(status.attempts):
        if record.number == attempt and record.nodes is not None:
            return record.nodes
    if status.workers is None:
        return None
    return max([status.workers.desired, *(a.nodes for a in status.attempts if a.nodes is not None)])


def _read(raw: bytes, file_outputs: bool) -> ReadSpec:
    try:
        spec = parse_spec(orjson.loads(raw), strict=False)
    except InvalidJob as invalid:
        return None, tuple(invalid.mistakes)
    return spec, () if file_outputs else tuple(cluster_mistakes(spec))


_SPECS = SpecCache(_read)


def cluster_mistakes(spec: JobSpec) -> list[str]:
    """What is right on a laptop and wrong in a cluster."""
    if spec.output.uri.startswith("pvc://") or spec.output.in_object_store:
        return []
    return [
        f"spec.output.uri: got {spec.output.uri!r}, a folder that is gone with its pod; "
        "use pvc://CLAIM/FOLDER, such as pvc://checkpoints/my-run"
    ]
