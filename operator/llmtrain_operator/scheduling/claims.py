"""What each job has to do with the queue, read from the object alone."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from llmtrain_api import EndReason, Job, JobSpec, JobStatus, Phase

from ..manifests.pod import pod
from ..plan.queue import GIVEN_BACK, not_before
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


class Size(NamedTuple):
    """How many pods a job asks for or holds, by the fields of `Claim`."""

    nodes: int
    least: int | None = None
    refits: bool = False
    wants: int = 0


def size_of(spec: JobSpec, status: JobStatus) -> Size:
    """What a job asks for, or holds, by what is on record."""
    held = status.workers.desired if status.workers is not None and status.attempt is not None else None
    if spec.min_nodes is None:
        return Size(spec.nodes if held is None else held)
    before = status.attempts[-2] if len(status.attempts) > 1 else None
    told = before.next_nodes if before is not None else None
    if held is None or status.phase is Phase.QUEUED:
        late = before is not None and before.reason in GIVEN_BACK
        most = min(spec.nodes, told) if late and told is not None else spec.nodes
        return Size(most, min(spec.min_nodes, most))
    current = status.attempts[-1]
    if current.nodes is None and current.created_at is None:
        # what it held, or what there was room for when its gang was ended to grow
        kept = told if before is not None and before.reason is EndReason.RESIZED and told else held
        most = min(spec.nodes, kept)
        return Size(most, min(spec.min_nodes, most), refits=True)
    growing = current.next_nodes or 0 if current.reason is EndReason.RESIZED else 0
    runs = status.phase is Phase.RUNNING and current.stopping_at is None
    return Size(max(held, growing), wants=spec.nodes if runs and spec.nodes > held else 0)


def _leaves(status: JobStatus) -> bool:
    """Whether the attempt is being ended, and the job then has no room any more."""
    last = status.attempts[-1] if status.attempts else None
    return last is not None and last.stopping_at is not None and last.reason is not EndReason.RESIZED


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
        size = size_of(spec, status)
        return Claim(
            job=JobRef(meta.namespace, meta.name, meta.uid),
            nodes=size.nodes,
            demand=self._demand(job, spec),
            created=meta.creation_timestamp or LONG_AGO,
            not_before=not_before(status, meta.uid, now),
            eta=status.progress.eta if status.progress and status.phase is Phase.RUNNING else None,
            least=size.least,
            refits=size.refits,
            wants=size.wants,
            yields=spec.preemptible,
            leaves=_leaves(status),
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
