"""What every policy looks at: the observation, sorted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from llmtrain_api import Attempt, InvalidJob, Job, JobSpec, JobStatus, parse_spec

from ..manifests.names import pod_name
from ..types import JobRef, Observed, Plan, Pod
from .spec_cache import ReadSpec, SpecCache


@dataclass(frozen=True, slots=True)
class Situation:
    """One job at one moment.

    Attributes:
        spec: None when this operator cannot read it; then ``mistakes`` says why.
        attempt: the attempt on record; None before the first.
        pods: the pods that are ranks of this job; strangers' are left out, and left alone.
        current: pods of that attempt by rank.
        stale: this job's pods of any other attempt.
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
    def this_attempt(self) -> Attempt:
        """The record of the current attempt. Only for a started job."""
        if self.status.attempts:
            return self.status.attempts[-1]
        return Attempt(number=self.attempt or 0, started_at=self.now)


Policy = Callable[[Situation], Plan | None]
"""One rule of the decision: an answer, or None to let the next one decide."""


def look(seen: Observed, now: datetime) -> Situation:
    """Sort the observation."""
    spec, mistakes = _SPECS.read(
        orjson.dumps(seen.job.spec, option=orjson.OPT_SORT_KEYS), seen.settings.file_outputs
    )
    attempt = seen.job.status.attempt
    ranks = tuple(p for p in seen.pods if is_rank_of(seen.job, p))
    names = Counter(p.name for p in ranks)
    return Situation(
        seen=seen,
        now=now,
        spec=spec,
        mistakes=mistakes,
        attempt=attempt,
        pods=ranks,
        current={p.rank: p for p in ranks if p.attempt == attempt},
        stale=tuple(p for p in ranks if p.attempt != attempt),
        twins=tuple(sorted(name for name, count in names.items() if count > 1)),
    )


def is_rank_of(job: Job, pod: Pod) -> bool:
    """Whether the pod is a rank of this very job: namespace, controller, and the name that attempt and rank
    give must agree. Labels do not count: anybody may write them, in any namespace."""
    meta = job.metadata
    if pod.owner != JobRef(meta.namespace, meta.name, meta.uid):
        return False
    workers = job.status.workers
    in_gang = pod.rank >= 0 and (workers is None or pod.rank < workers.desired)
    return in_gang and pod.name == pod_name(meta.name, pod.attempt, pod.rank)


NOT_INSPECTED = "this version of the operator trains built-in models only, as it inspects no others yet"


def _read(raw: bytes, file_outputs: bool) -> ReadSpec:
    try:
        spec = parse_spec(orjson.loads(raw), strict=False)
    except InvalidJob as invalid:
        return None, tuple(invalid.mistakes)
    if spec.model.builtin is None:
        return None, (f"spec.model.name: got {spec.model.name!r}; {NOT_INSPECTED}",)
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
