"""What a person reads of a job that was checked, and what a program does."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from llmtrain_api import JobSpec, Metadata, ModelShape, Resolved, applied, choose
from llmtrain_api.estimate.memory import Memory, estimate
from llmtrain_api.estimate.zero_stage import limit, said

from ..kube.api import Object
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
    yield f"logit chunks  {resolved.chunked_logits_reason}"
    choice = choose(shape, spec)
    yield f"memory        {_memory(estimate(shape, applied(choice, spec), choice.layout), limit(spec))}"


def data_of(spec: JobSpec, shape: ModelShape, resolved: Resolved) -> Object:
    """The same for programs.

    Args:
        spec: what the job says.
        shape: its model's.
        resolved: what was decided for it, as ``status.resolved`` will have it.
    """
    found: Object = {
        "inCluster": [*cluster_mistakes(spec), *not_allowed(spec, BARE)],
        "nodes": spec.nodes,
        "ranks": spec.world_size,
        "resolved": resolved.to_json(),
    }
    if spec.entrypoint is not None:
        return found
    choice = choose(shape, spec)
    need = estimate(shape, applied(choice, spec), choice.layout)
    found["model"] = {
        "name": spec.model.name,
        "architecture": shape.architecture,
        "parameters": shape.parameters,
        "vocabulary": shape.vocabulary,
        "positions": shape.positions,
    }
    found["rankBytes"] = {"peak": need.peak, "limit": int(limit(spec)), **_parts(need)}
    return found


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
    each = ", ".join(f"{name} {said(size)}" for name, size in _parts(need).items())
    return f"a rank needs about {said(need.peak)} of {said(room)}: {each}"


def _parts(need: Memory) -> dict[str, int]:
    return {
        "weights": need.weights,
        "gradients": need.gradients + need.buckets,
        "optimizer": need.master + need.moments,
        "activations" if need.backward >= need.update else "update": max(need.backward, need.update),
    }
