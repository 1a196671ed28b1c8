"""What each job has to do with the queue, read from the object alone."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from enum import Enum, auto

import msgspec

from llmtrain_api import Job, JobSpec, Phase

from ..manifests.pod import pod
from ..plan.queue import not_before
from ..plan.situation import read_spec
from ..types import JobRef, PlanSettings
from .demand import demand_of
from .values import SCALE, Claim, Demand

MAX_DEMANDS = 4096
UNREADABLE = Demand(requests={"pods": SCALE})
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Standing(Enum):
    """Whether a job holds room, asks for it, or does neither."""

    ASKS = auto()
    HOLDS = auto()
    NEITHER = auto()


def standing(job: Job) -> Standing:
    """By what is on record: an attempt that is not in the queue was let in."""
    status = job.status
    over = status.phase is not None and (status.phase.final or status.phase is Phase.SUSPENDED)
    if over or job.metadata.deletion_timestamp is not None:
        return Standing.NEITHER
    if status.phase is Phase.QUEUED:
        return Standing.ASKS
    return Standing.NEITHER if status.attempt is None else Standing.HOLDS


class Claims:
    """Makes claims. Gangs that ask for the same share one `Demand`, so that it is looked at once.

    Args:
        settings: what the installation says of pods.
    """

    def __init__(self, settings: PlanSettings) -> None:
        self._settings = settings
        self._demands: OrderedDict[bytes, Demand] = OrderedDict()

    def of(self, job: Job, now: datetime) -> Claim | None:
        """The claim of a job; None where its spec cannot be read."""
        spec, mistakes = read_spec(job, self._settings.file_outputs, job.status.runtime)
        if spec is None or (mistakes and job.status.attempt is None):
            return None
        meta, status = job.metadata, job.status
        workers = status.workers if status.attempt is not None else None
        return Claim(
            job=JobRef(meta.namespace, meta.name, meta.uid),
            nodes=workers.desired if workers else spec.nodes,
            demand=self._demand(job, spec),
            created=meta.creation_timestamp or LONG_AGO,
            not_before=not_before(status, meta.uid, now),
            eta=status.progress.eta if status.progress and status.phase is Phase.RUNNING else None,
        )

    def _demand(self, job: Job, spec: JobSpec) -> Demand:
        body = pod(job, spec, 0, 0, spec.image or self._settings.trainer_image, self._settings)
        try:
            found = demand_of(body)
        except (AttributeError, KeyError, TypeError, ValueError):
            # a podTemplate with parts that no API server takes: its own answer ends the job, not we
            found = UNREADABLE
        key = msgspec.json.encode(found, order="deterministic")
        known = self._demands.setdefault(key, found)
        self._demands.move_to_end(key)
        while len(self._demands) > MAX_DEMANDS:
            self._demands.popitem(last=False)
        return known
