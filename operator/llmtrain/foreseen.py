"""What the operator would make of a job that is not there yet: a dry run's second half."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from llmtrain_api import Job, JobSpec, SetupStage
from llmtrain_operator.local.check_text import BARE
from llmtrain_operator.plan.setup import stages_of
from llmtrain_operator.plan.situation import read_spec
from llmtrain_operator.scheduling.claims import Claims
from llmtrain_operator.scheduling.values import shown

FIRST = {
    SetupStage.INSPECT: "a pod that looks at the model",
    SetupStage.PREPARE: "a pod that prepares the data",
}


def mistakes_of(job: Job) -> list[str]:
    """Why the operator would make nothing of it, though the API server takes it in."""
    _, mistakes = read_spec(job, BARE.file_outputs, None)
    return list(mistakes)


def made_of(job: Job) -> Iterator[str]:
    """What it would make of one without mistakes, a line each."""
    spec, _ = read_spec(job, BARE.file_outputs, None)
    if spec is None:
        return
    first = [FIRST[stage] for stage in stages_of(spec)]
    if first:
        yield f"first, without GPUs: {', then '.join(first)}"
    yield _gang(job, spec)


def _gang(job: Job, spec: JobSpec) -> str:
    claim = Claims(BARE).of(job, datetime.now(UTC))
    asked = claim.demand.requests.items() if claim is not None else ()
    each = ", ".join(f"{name} {shown(name, amount)}" for name, amount in sorted(asked) if name != "pods")
    count = f"{spec.nodes} pod{'' if spec.nodes == 1 else 's'}"
    least = f" (at least {spec.min_nodes})" if spec.min_nodes else ""
    more = f"; runtime {spec.runtime} may add to that" if spec.runtime else ""
    return f"gang: {count}{least}, each with {each}{more}"
