"""From applied to the first attempt."""

from __future__ import annotations

from math import ceil

from llmtrain_api import (
    JobSpec,
    JobStatus,
    ModelShape,
    Phase,
    Resolved,
    Restarts,
    Workers,
    changed,
    choose,
    shape_of,
)

from ..types import Plan
from .attempts import first_attempt
from .conditions import with_condition
from .queue import ACCEPTED, wait_for_room
from .removal import OVERDUE_SECONDS, removals
from .situation import Situation


def leave_deleted(s: Situation) -> Plan | None:
    """A job that is being deleted takes its children with it; every write of ours would only race that."""
    return Plan(s.status) if s.job.metadata.deletion_timestamp is not None else None


def refuse(s: Situation) -> Plan | None:
    """A spec that cannot be run: the reason goes on record and nothing is created.

    A job that has started is never refused: an older operator must not stop what a newer one accepted.
    """
    if s.attempt is not None or not s.mistakes:
        return None
    only_bounds = s.out_of_bounds and len(s.mistakes) == len(s.out_of_bounds)
    return refused(s, "OutOfBounds" if only_bounds else "InvalidSpec", "; ".join(s.mistakes))


def refused(s: Situation, reason: str, message: str) -> Plan:
    """Nothing begins with this spec; what a former one has begun goes."""
    status = changed(
        s.status,
        phase=Phase.PENDING,
        observed_generation=s.job.metadata.generation,
        waiting=None,
        failure=None,
        progress=None,
        resolved=None,
        runtime=s.runtime,
    )
    status = setup_ended(s, status)
    status = with_condition(status, "Accepted", False, reason, message, s.now)
    return nothing_runs(s, status)


def setup_ended(s: Situation, status: JobStatus) -> JobStatus:
    """The status with the end of what ran before the gang, if anything did."""
    setup = s.status.setup
    if setup is None or setup.ended_at is not None:
        return status
    return changed(status, setup=changed(setup, ended_at=s.now))


def nothing_runs(s: Situation, status: JobStatus) -> Plan:
    """That status, and the end of all pods that are there."""
    left = tuple(p for p in s.pods if not p.terminal or p.others_run)
    return Plan(status, tuple(removals(s, left)), requeue_after=OVERDUE_SECONDS if left else None)


def begin(s: Situation) -> Plan | None:
    """Put attempt 0 and all that follows from the spec on record, once there is room for its gang. Pods come
    in a later plan."""
    if s.attempt is not None or s.spec is None:
        return None
    waits = wait_for_room(s)
    if waits is not None:
        return waits
    setup = s.status.setup
    decided = s.status.resolved if is_for_this_spec(s) else None
    if setup is not None and setup.ended_at is None:
        setup = changed(setup, ended_at=s.now)
    status = JobStatus(
        phase=Phase.STARTING,
        attempt=0,
        restarts=Restarts(),
        workers=Workers(desired=s.spec.nodes, ready=0, summary=f"0/{s.spec.nodes}"),
        attempts=first_attempt(s.now),
        resolved=decided or resolve(s.spec, shape_of(s.spec), s.seen.settings.trainer_image),
        setup=setup,
        runtime=s.runtime,
        conditions=s.status.conditions,
        rerun=s.status.rerun,
        observed_generation=s.job.metadata.generation,
    )
    return Plan(with_condition(status, "Accepted", True, "Accepted", ACCEPTED, s.now))


def is_for_this_spec(s: Situation) -> bool:
    """Whether what ran before the gang, if anything did, was for the spec and the runtime as they are now."""
    if s.status.setup is None or s.status.setup.generation != s.job.metadata.generation:
        return False
    before, now = s.status.runtime, s.runtime
    return (before and before.digest) == (now and now.digest)


def why_precision(spec: JobSpec) -> str:
    """The number format of training, and where it comes from."""
    training = spec.training
    if "precision" in training.model_fields_set:
        return f"{training.precision}, as precision says"
    return f"{training.precision}, the default on {'GPUs' if spec.gpus_per_node else 'CPUs'}"


def resolve(spec: JobSpec, shape: ModelShape, image: str) -> Resolved:
    """What defaults and arithmetic make of the spec. The layout is decided here, and nowhere after.

    accumulation = ceil(global batch / (micro-batch x data-parallel ranks)); slots left over carry no label.
    """
    training, choice = spec.training, choose(shape, spec)
    layout, micro = choice.layout, choice.micro_batch
    return Resolved(
        image=spec.image or image,
        world_size=spec.world_size,
        layout=f"{layout} {training.precision.value} ({layout.why})",
        parallelism=layout,
        precision=why_precision(spec),
        micro_batch=micro,
        micro_batch_reason=choice.why_micro_batch,
        activation_checkpointing=choice.checkpointing,
        activation_checkpointing_reason=choice.why_checkpointing,
        accumulation=ceil(training.global_batch_size / (micro * layout.data)),
        global_batch=training.global_batch_size,
    )
