"""``status.resolved``: what defaults and arithmetic make of the spec. The layout is decided here alone."""

from __future__ import annotations

from math import ceil

from llmtrain_api import JobSpec, ModelShape, Resolved, Starter, changed, choose, shape_of, task_of
from llmtrain_api.recipes import nearest, use_of
from llmtrain_api.schema.hyperparameters import kept


def why_precision(spec: JobSpec) -> str:
    """The number format of training, and where it comes from."""
    training = spec.training
    if "precision" in training.model_fields_set:
        return f"{training.precision}, as precision says"
    return f"{training.precision}, the default on {'GPUs' if spec.gpus_per_node else 'CPUs'}"


def why_learning_rate(spec: JobSpec) -> str | None:
    """The peak learning rate, and where it comes from; None where nothing is trained."""
    rate, preset = spec.training.learning_rate, spec.default_learning_rate
    if spec.evaluation.only:
        return None
    if "learning_rate" in spec.training.model_fields_set:
        return f"{rate:g}, as learningRate says"
    return f"{rate:g}, the default {preset.what}: {preset.source}"


def why_defaults(spec: JobSpec) -> dict[str, str]:
    """What of ``training`` is as the table of defaults has it, and where that comes from."""
    if spec.evaluation.only:
        return {}
    return {row.field: f"{row.text}: {row.source}" for row in kept(spec.training.to_json())}


def recipe_for(spec: JobSpec, shape: ModelShape) -> str | None:
    """A published recipe of the same task at the nearest size; None where there is none."""
    preference, adapted = spec.training.preference, spec.model.adapter is not None
    loss = preference.loss if preference else None
    use = use_of(task_of(spec, shape), pretrained=spec.model.pretrained, adapted=adapted, loss=loss)
    return None if use is None or spec.evaluation.only else nearest(use, shape.parameters).text[:512]


def resolve(spec: JobSpec, shape: ModelShape, image: str) -> Resolved:
    """What defaults and arithmetic make of the spec. The layout is decided here, and nowhere after.

    accumulation = ceil(global batch / (micro-batch x data-parallel ranks)); slots left over carry no label.
    Of a program of one's own only the gang is known.
    """
    if spec.entrypoint is not None:
        how = f"{spec.entrypoint.words[0]}, started by {spec.entrypoint.starter}"
        if spec.entrypoint.starter is Starter.NONE:
            how = f"{spec.entrypoint.words[0]}, started once on each node"
        return Resolved(image=spec.image or image, world_size=spec.world_size, layout=how[:256])
    training, choice = spec.training, choose(shape, spec)
    layout, micro = choice.layout, choice.micro_batch
    return Resolved(
        image=spec.image or image,
        world_size=spec.world_size,
        layout=f"{layout} {training.precision.value} ({layout.why})",
        parallelism=layout,
        precision=why_precision(spec),
        learning_rate=why_learning_rate(spec),
        defaults=why_defaults(spec),
        recipe=recipe_for(spec, shape),
        micro_batch=micro,
        micro_batch_reason=choice.why_micro_batch,
        activation_checkpointing=choice.recompute is not None,
        activation_checkpointing_mode=choice.recompute,
        activation_checkpointing_reason=choice.why_checkpointing,
        chunked_logits=choice.chunked,
        chunked_logits_reason=choice.why_chunked,
        accumulation=ceil(training.global_batch_size / (micro * layout.data)),
        global_batch=training.global_batch_size,
    )


def resolved_for(known: Resolved, spec: JobSpec, nodes: int) -> Resolved:
    """What was decided, decided again for a gang of another number of nodes: image and model stay.

    Args:
        known: as on record.
        spec: the job.
        nodes: of the gang.
    """
    shape = known.model.shape if known.model is not None else shape_of(spec)
    found = resolve(spec.with_nodes(nodes), shape, known.image)
    return changed(found, image=known.image, model=known.model)
