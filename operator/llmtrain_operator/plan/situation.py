"""What every policy looks at: the observation, sorted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from llmtrain_api import Attempt, InvalidJob, Job, JobSpec, JobStatus, parse_spec

from ..types import Observed, Pod
from .spec_cache import ReadSpec, SpecCache


@dataclass(frozen=True, slots=True)
class Situation:
    """One job at one moment.

    Attributes:
        spec: None when this operator cannot read it; then ``mistakes`` says why.
        attempt: the attempt on record; None before the first.
        current: pods of that attempt by rank.
        stale: this job's pods of any other attempt.
    """

    seen: Observed
    now: datetime
    spec: JobSpec | None
    mistakes: tuple[str, ...]
    attempt: int | None
    current: Mapping[int, Pod]
    stale: tuple[Pod, ...]

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
        return self.status.attempts[-1]


def look(seen: Observed, now: datetime) -> Situation:
    """Sort the observation."""
    spec, mistakes = _SPECS.read(
        orjson.dumps(seen.job.spec, option=orjson.OPT_SORT_KEYS), seen.settings.file_outputs
    )
    attempt = seen.job.status.attempt
    return Situation(
        seen=seen,
        now=now,
        spec=spec,
        mistakes=mistakes,
        attempt=attempt,
        current={p.rank: p for p in seen.pods if p.attempt == attempt},
        stale=tuple(p for p in seen.pods if p.attempt != attempt),
    )


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
