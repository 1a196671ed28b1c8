"""The one ordered function that turns a folder of weights into an engine of a layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch

from llmtrain_api import JobSpec, Layout, ModelShape, Place, TrainingSpec, task_of
from llmtrain_api.estimate.memory import reduce_bucket

from ..batch import BatchPlan
from ..models import adapters, document_attention
from ..models.families import TRAINED
from ..models.head import Head
from ..models.pipeline_stages import whole_name
from ..models.start import configuration_of, empty_model, start_weights
from ..optim.lr_schedules import Share, schedule
from ..optim.optimizer import adamw, parameter_groups, size_of
from .compiled import attention_of, compile_layers, compiled_layers
from .engine import Engine, deepspeed_config
from .head_loss import HeadLoss
from .pipeline import PipelineEngine, StageLoss, build_stage
from .put import start_from
from .recompute import recompute
from .sequence import SequenceEngine, register
from .tensor import TensorEngine, tensor_config
from .unsharded import DataParallelEngine, UnshardedEngine
from .zero import sharded_from_the_start

MakeOptimizer = Callable[[Iterable[dict[str, Any]], TrainingSpec], torch.optim.Optimizer]
Named = list[tuple[str, torch.nn.Parameter]]


@dataclass(frozen=True)
class Built:
    """What this rank's part of the model is, ZeRO's sharding apart.

    Attributes:
        parameters: trained numbers.
        frozen: numbers that are not trained.
        decayed: those with weight decay.
        attention: its implementation, as transformers names it.
        compiled: layers that torch.compile compiles.
    """

    parameters: int
    frozen: int
    decayed: int
    attention: str
    compiled: int


def build(
    folder: Path,
    spec: JobSpec,
    shape: ModelShape,
    layout: Layout,
    place: Place,
    plan: BatchPlan,
    total_steps: int,
    make_optimizer: MakeOptimizer = adamw,
    *,
    weights: bool = True,
    head: Head | None = None,
    share: Share | None = None,
) -> tuple[Engine, Built]:
    """Model, optimizer and engine of this rank, and what they are.

    Args:
        folder: of the model that training starts from, as Hugging Face has it.
        spec: the job.
        shape: the whole model's.
        layout: how the gang is cut, as the job was told; nothing of it is decided here.
        place: this rank's coordinates in it.
        plan: how a global batch is cut.
        total_steps: optimizer steps of the whole job.
        make_optimizer: from parameter groups; another one only to prove a layout.
        weights: whether what is trained begins as the folder says; without, a checkpoint must follow, as
            weights and optimizer are whatever the memory holds. What is frozen is always the folder's.
        head: that the task trains; None for a language model's own.
        share: of the peak learning rate that a step takes; None as the job's schedule says.
    """
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    config = configuration_of(folder, head=head)
    share = share or schedule(spec.training, total_steps)
    engine, built = _build(config, spec, shape, layout, place, plan, share, make_optimizer)
    if weights or engine.frozen:
        adapted = spec.model.adapter is not None
        found = start_weights(folder, task_of(spec, shape), spec.training.seed, adapted=adapted, head=head)
        start_from(engine, found, trained=weights)
    return engine, built


def _build(
    config: Any,
    spec: JobSpec,
    shape: ModelShape,
    layout: Layout,
    place: Place,
    plan: BatchPlan,
    share: Share,
    make_optimizer: MakeOptimizer,
) -> tuple[Engine, Built]:
    """The engine of this rank's kind, without weights."""

    def initialize(model: torch.nn.Module, named: Named, mpu: Any = None) -> tuple[Any, Built]:
        return _initialize(model, named, spec, shape, layout, plan, share, make_optimizer, mpu)

    if layout.pipeline > 1:
        loss = StageLoss()
        stage = build_stage(config, layout, loss, spec.training.recompute)
        engine, built = initialize(stage, [(whole_name(name), p) for name, p in stage.named_parameters()])
        return PipelineEngine(engine, layout, place, plan, loss), built
    model = _whole_model(config, spec, shape, layout, plan)
    named = [(adapters.whole_name(name), p) for name, p in model.named_parameters()]
    if layout.tensor > 1:
        shapes = {name: tuple(p.shape) for name, p in named}
        engine, built = initialize(model, named)
        return TensorEngine(engine, layout, place, plan, shapes), built
    if layout.sequence > 1:
        engine, built = initialize(model, named, register(model, layout, plan.micro))
        return SequenceEngine(engine, layout, place, plan), built
    engine, built = initialize(model, named)
    if layout.zero:
        own = Engine(engine, layout, place, plan)
    else:
        own = _unsharded(engine, spec, layout, place, plan, built.parameters)
    own.head = HeadLoss(model) if spec.training.chunked_logits else None
    return own, built


def _whole_model(config: Any, spec: JobSpec, shape: ModelShape, layout: Layout, plan: BatchPlan) -> Any:
    """The model of a rank that is no stage of a pipeline, without weights, ready to be cut and trained."""
    with sharded_from_the_start(layout, spec.training.precision, plan.micro):
        model = empty_model(config, task_of(spec, shape), torch.float32)
    if family := TRAINED.get(shape.architecture):
        family.prepare(model)
    if attention := document_attention.attention_of(shape, spec, layout):
        model.set_attn_implementation(attention)
    recompute(model, spec.training.recompute)
    if spec.model.adapter:
        adapters.add(model, spec, shape, spec.model.adapter)
    return model.train()


def _unsharded(
    engine: Any, spec: JobSpec, layout: Layout, place: Place, plan: BatchPlan, parameters: int
) -> Engine:
    """The engine of ranks that hold whole models: this package reduces their gradients, not DeepSpeed."""
    engine.enable_backward_allreduce = False
    clipping = spec.training.gradient_clipping
    if layout.data == 1:
        return UnshardedEngine(engine, layout, place, plan, clipping)
    room = reduce_bucket(spec, parameters)
    return DataParallelEngine(engine, layout, place, plan, clipping, room)


def _initialize(
    model: torch.nn.Module,
    named: Named,
    spec: JobSpec,
    shape: ModelShape,
    layout: Layout,
    plan: BatchPlan,
    share: Share,
    make_optimizer: MakeOptimizer,
    mpu: Any,
) -> tuple[Any, Built]:
    training = spec.training
    family = TRAINED.get(shape.architecture)
    groups, decayed = parameter_groups(
        named, training.weight_decay, lambda name: family is not None and family.unused(name, shape)
    )
    if training.compile:
        compile_layers(model)
    trained = sum(size_of(p) for _, p in named if p.requires_grad)
    frozen = sum(size_of(p) for _, p in named) - trained
    built = Built(trained, frozen, decayed, attention_of(model), compiled_layers(model))
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=make_optimizer(groups, training),
        lr_scheduler=lambda wrapped: torch.optim.lr_scheduler.LambdaLR(wrapped, share),
        config=deepspeed_config(spec, layout, plan, built.parameters) | tensor_config(layout),
        dist_init_required=False,
        mpu=mpu,
    )
    return engine, built
