"""``checkpoint.from``: which output a job begins with a step of. Decided once, when the job is accepted."""

from __future__ import annotations

from llmtrain_api import CheckpointSource, Job, JobSpec, Origin, Phase, RuntimeOnRecord, changed
from llmtrain_api.rules.checkpoint import APART, overlap
from llmtrain_api.runtimes import claim_beyond
from llmtrain_api.schema.checkpoint import NO_STORE

from ..types import Plan
from .begin import refused
from .situation import Situation

FIELD = "spec.checkpoint.from"
NO_ORIGIN = "NoCheckpoint"
AGAIN_SECONDS = 15.0
EXPORT = "/export"
MOST_TOLD = 10
"""Steps that a status tells of."""


class NotYet(ValueError):
    """The other job cannot be gone on from; the message names the field and the fix."""


def begin_from(s: Situation) -> Plan | None:
    """Put on record which output the job begins with a step of; before that nothing of it begins."""
    if s.attempt is not None or s.spec is None:
        return None
    source, known = s.spec.checkpoint.source, s.status.origin
    if source is None:
        return Plan(changed(s.status, origin=None)) if known is not None else None
    if known is not None and is_of(known, source):
        return None
    try:
        found = origin_of(s.job, s.spec, source, s.seen.other)
        _require_claim(s.runtime, found)
    except NotYet as error:
        again = refused(s, NO_ORIGIN, str(error))
        # the other job may save one, or appear
        return Plan(changed(again.status, origin=None), again.actions, requeue_after=AGAIN_SECONDS)
    return Plan(changed(s.status, origin=found))


def _require_claim(runtime: RuntimeOnRecord | None, origin: Origin) -> None:
    """A job may not come by another job to a claim that its runtime does not let it name."""
    if runtime is None or origin.job is None:
        return
    beyond = claim_beyond("checkpoint.from.job", origin.uri, runtime.spec, runtime.title)
    if beyond is not None:
        raise NotYet(beyond)


def is_of(origin: Origin, source: CheckpointSource) -> bool:
    """Whether what is on record is what the spec asks for now."""
    named = origin.job == source.job if source.job else origin.uri == source.output and origin.job is None
    return named and origin.step == source.step


def origin_of(job: Job, spec: JobSpec, source: CheckpointSource, other: Job | None) -> Origin:
    """What a source means.

    Args:
        job: that begins.
        spec: of it.
        source: of it.
        other: the job that the source names.

    Raises:
        NotYet: there is no such job, or it has no such step.
    """
    if source.job is None:
        return Origin(uri=source.output or "", step=source.step)
    if source.job == job.metadata.name:
        raise NotYet(f"{FIELD}.job: {source.job} is this job itself; name another one, or remove from")
    if other is None:
        raise NotYet(
            f"{FIELD}.job: there is no job {source.job} in namespace {job.metadata.namespace}; correct the "
            f"name, or name its output as {FIELD}.output"
        )
    uri = _output_of(other, source.job)
    if overlap(uri, spec.output.uri):
        raise NotYet(f"{FIELD}.job: the output of {source.job} is {uri}; {APART}: set another output.uri")
    _require_step(other, source)
    return Origin(job=source.job, uid=other.metadata.uid, uri=uri, step=source.step)


def _output_of(other: Job, name: str) -> str:
    if other.spec.get("entrypoint") is not None:
        raise NotYet(
            f"{FIELD}.job: {name} runs a program of its own, whose checkpoints only that program reads; name "
            "a job of the trainer"
        )
    exported = other.status.results.export_uri if other.status.results else None
    uri = str(other.spec.get("output", {}).get("uri", "")).rstrip("/")
    if exported is not None and exported.endswith(EXPORT):
        uri = exported.removesuffix(EXPORT)
    if uri.startswith("s3://"):
        raise NotYet(f"{FIELD}.job: the output of {name} is {uri}: {NO_STORE}, as {FIELD}.output")
    return uri


def _require_step(other: Job, source: CheckpointSource) -> None:
    """What the other job's status can rule out; its folder is looked at when this one begins."""
    status = other.status
    newest = status.checkpoint.step if status.checkpoint else None
    if newest is None and status.phase is not Phase.SUCCEEDED:
        raise NotYet(
            f"{FIELD}.job: {source.job} has saved no checkpoint yet; this job begins once it has, or name "
            "another one"
        )
    kept = status.checkpoints or []
    if source.step is None or newest is None or source.step in kept:
        return
    if source.step > newest or (kept and len(kept) < MOST_TOLD):
        steps = ", ".join(map(str, kept or [newest]))
        raise NotYet(
            f"{FIELD}.step: got {source.step}, and {source.job} has kept step {steps}; name one of these, or "
            "leave step out for the newest"
        )
