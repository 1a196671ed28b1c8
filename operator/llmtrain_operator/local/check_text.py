"""What a person reads of a job that was checked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from llmtrain_api import JobSpec, Metadata, ModelShape, Resolved, applied, choose
from llmtrain_api.estimate.memory import Memory, estimate
from llmtrain_api.estimate.zero_stage import limit, said

from ..plan.allowed import not_allowed
from ..plan.situation import cluster_mistakes
from ..types import PlanSettings
from .scale_down import gang_text

BARE = PlanSettings(trainer_image="", report_url=None, ca_certificate="")
"""An installation of which nothing is known."""


def lines_of(metadata: Metadata, spec: JobSpec, shape: ModelShape, resolved: Resolved) -> Iterator[str]:
    """What the job will be, once nothing is wrong with it.

    Args:
        metadata: its name.
        spec: what it says.
        shape: its model's.
        resolved: what was decided for it.
    """
    yield f"{metadata.name}: nothing is wrong with the manifest"
    for sentence in (*cluster_mistakes(spec), *not_allowed(spec, BARE)):
        yield f"in a cluster  {sentence}"
    if spec.entrypoint is not None:
        yield f"program       {shlex.join(spec.entrypoint.words)}"
        yield f"gang          {gang_text(spec)}, {spec.world_size} ranks, each {resolved.layout}"
        return
    yield f"model         {_model(spec, shape, resolved)}"
    yield f"gang          {gang_text(spec)}, {spec.world_size} ranks"
    yield f"layout        {resolved.layout}"
    yield f"precision     {resolved.precision}"
    length, times = spec.training.sequence_length, resolved.accumulation or 1
    yield (
        f"batch         {resolved.global_batch} sequences of {length:,} tokens a step: on each rank "
        f"{resolved.micro_batch} at once, {times} time{'' if times == 1 else 's'}"
    )
    yield f"rate          {resolved.learning_rate}"
    if resolved.recipe:
        yield f"compare       {resolved.recipe}"
    yield f"micro-batch   {resolved.micro_batch_reason}"
    yield f"checkpointing {resolved.activation_checkpointing_reason}"
    choice = choose(shape, spec)
    yield f"memory        {_memory(estimate(shape, applied(choice, spec), choice.layout), limit(spec))}"


def _model(spec: JobSpec, shape: ModelShape, resolved: Resolved) -> str:
    facts = resolved.model
    words = [
        spec.model.name,
        shape.architecture,
        f"{shape.parameters:,} parameters",
        f"vocabulary {shape.vocabulary:,}",
        f"{shape.positions:,} positions",
    ]
    if facts is not None and facts.revision:
        words.append(f"commit {facts.revision[:12]}")
    if facts is not None and facts.stored:
        words.append(f"stored as {facts.stored}")
    return ", ".join(words)


def _memory(need: Memory, room: float) -> str:
    optimizer = need.master + need.moments
    parts = {
        "weights": need.weights,
        "gradients": need.gradients + need.buckets,
        "optimizer": optimizer,
        "activations" if need.backward >= need.update else "update": max(need.backward, need.update),
    }
    each = ", ".join(f"{name} {said(size)}" for name, size in parts.items())
    return f"a rank needs about {said(need.peak)} of {said(room)}: {each}"
