"""Rules over ``spec.training`` and what else they depend on, memory among it."""

from __future__ import annotations

from ..estimate.choice import too_large
from ..estimate.host import host_too_small
from ..estimate.logits import not_chunked
from ..families import BUILTIN, task_of
from ..layouts.proven import stages
from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.training import Packing, Recompute
from ..shape import Task
from .cel import UNCUT, task_in
from .parallelism import WAYS, family_cel, refused_layout
from .sized import Sized, SizedRule

NOT_CAUSAL = [str(name) for name, family in BUILTIN.items() if family.task is not Task.CAUSAL]

SAMPLES_CEL = task_in(task for task in Task if task.on_samples)
HEADED_CEL = task_in(task for task in Task if task.headed)


def _packed(job: Sized) -> str | None:
    spec = job.spec
    chat = spec.task is Task.CHAT
    if chat and spec.parallelism.sequence > 1:
        return "task chat keeps dialogues apart, and parallelism.sequence drops that mask; use sequence 1"
    if spec.training.packing is Packing.CONCAT or chat:
        return None
    if spec.task is not None and spec.task.on_samples:
        return f"packing documents is for text, and task {spec.task} has a sample a row; use concat"
    if task_of(spec, job.shape) is not Task.CAUSAL:
        return f"packing documents is for decoder-only models, {spec.model.name} is none; use concat"
    if spec.parallelism.sequence > 1:
        return (
            "packing documents with parallelism.sequence: Ulysses drops the mask; use concat, or sequence 1"
        )
    return None


def _data_parallel_only(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.on_samples:
        return None
    cut = [way for way in WAYS if getattr(spec.parallelism, way) > 1]
    if cut:
        return (
            f"{cut[0]} with task {spec.task}: samples have padding, and no layout but data parallelism with "
            f"ZeRO is proven equal to one process for them; use {cut[0]} 1"
        )
    return None


def _not_compiled(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.on_samples or not spec.training.compile:
        return None
    return (
        f"compile with task {spec.task}: batches of samples have many lengths, and layers would be compiled "
        "for each; set compile to false"
    )


def _no_adapter(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.headed or spec.model.adapter is None:
        return None
    return (
        f"adapters would leave the head of task {spec.task} as it is, which is new and must be trained; "
        "remove model.adapter"
    )


def _reaches(job: Sized) -> str | None:
    length, positions = job.spec.training.sequence_length, job.shape.positions
    if length <= positions:
        return None
    return (
        f"sequenceLength {length} is more than the {positions} positions of {job.spec.model.name}; use at "
        f"most {positions}, or a model with scaled rotary positions (rope_scaling in its config.json)"
    )


def _half(spec: JobSpec) -> str | None:
    if not spec.training.precision.scales_losses:
        return None
    if not spec.gpus_per_node:
        return "precision fp16 with gpusPerNode 0: CPUs have no fp16 training; use bf16 or fp32, or GPUs"
    if spec.parallelism.ranks > 1:
        return "precision fp16 is for data parallelism only; use bf16, or remove parallelism"
    return None


def _evaluated(spec: JobSpec) -> str | None:
    if spec.training.early_stopping is None or spec.evaluation.every_steps:
        return None
    return "earlyStopping with evaluation.everySteps 0 would never act; set evaluation.everySteps"


def _compiled(job: Sized) -> str | None:
    if not job.spec.training.compile:
        return None
    why = refused_layout(job, compiled=True)
    return f"compiled layers: {why}; or set compile to false" if why else None


def _compiled_cel() -> str:
    """The part of `_compiled` that CEL can say: which family may be compiled, how cut, in which stage."""
    cut = [
        f"(self.parallelism.{way} == 1 || {family_cel(kind, compile_layers=True)})"
        for way, kind in WAYS.items()
    ]
    stage = f"(!has(self.training.zeroStage) || self.training.zeroStage in {stages(compile_layers=True)})"
    allowed = [family_cel("dp", compile_layers=True), *cut, stage]
    return f"!self.training.compile || ({' && '.join(allowed)})"


def _selective(spec: JobSpec) -> str | None:
    if spec.training.recompute is not Recompute.SELECTIVE or spec.parallelism.tensor == 1:
        return None
    return (
        f"activationCheckpointingMode selective with parallelism.tensor {spec.parallelism.tensor}: tensor "
        "parallelism sums in place what would be kept, and gradients would be wrong; use full, or tensor 1"
    )


def _chunked(job: Sized) -> str | None:
    wrong = not_chunked(job.shape, job.spec)
    if wrong is None or not job.spec.training.chunked_logits:
        return None
    return (
        f"chunkedLogits with {wrong}: it is for tasks causal and chat by data parallelism in fp32 or "
        "bf16, with logits as the output layer makes them; set chunkedLogits to false"
    )


def _host(job: Sized) -> str | None:
    return host_too_small(job.shape, job.spec)


def _fits(job: Sized) -> str | None:
    return too_large(job.shape, job.spec) if job.spec.training.zero_stage is None else None


RULES: tuple[Rule, ...] = (
    SizedRule(
        f"self.training.packing == 'concat' && !{task_in([Task.CHAT])} || "
        f"(self.training.packing == 'concat' || !{SAMPLES_CEL}) && "
        f"self.parallelism.sequence == 1 && !(self.model.name in {NOT_CAUSAL})",
        ".training.packing",
        "packing documents, and task chat, are for decoder-only models without parallelism.sequence, and not "
        "for samples; use concat",
        _packed,
    ),
    Rule(
        f"!{SAMPLES_CEL} || {UNCUT}",
        ".parallelism",
        "tasks on samples are proven for data parallelism with ZeRO only; use tensor, pipeline, sequence 1",
        _data_parallel_only,
    ),
    Rule(
        f"!{SAMPLES_CEL} || !self.training.compile",
        ".training.compile",
        "batches of samples have many lengths, and layers would be compiled for each; set compile to false",
        _not_compiled,
    ),
    Rule(
        f"!{HEADED_CEL} || !has(self.model.adapter)",
        ".model.adapter",
        "adapters would leave the new head of this task untrained; remove model.adapter",
        _no_adapter,
    ),
    SizedRule(None, ".training.sequenceLength", "must be within the model's positions", _reaches),
    Rule(
        "!has(self.training.precision) || self.training.precision != 'fp16' || "
        f"(self.gpusPerNode > 0 && {UNCUT})",
        ".training.precision",
        "fp16 needs gpusPerNode above 0 and no parallelism but data; use bf16 or fp32",
        _half,
    ),
    Rule(
        "!has(self.training.earlyStopping) || self.evaluation.everySteps > 0",
        ".training.earlyStopping",
        "earlyStopping judges evaluations; set evaluation.everySteps above 0",
        _evaluated,
    ),
    SizedRule(
        "!has(self.training.chunkedLogits) || !self.training.chunkedLogits || "
        f"(!has(self.training.precision) || self.training.precision != 'fp16') && {UNCUT}",
        ".training.chunkedLogits",
        "chunkedLogits is for tasks causal and chat by data parallelism in fp32 or bf16; set it to false",
        _chunked,
    ),
    Rule(
        "self.parallelism.tensor == 1 || !has(self.training.activationCheckpointingMode) || "
        f"self.training.activationCheckpointingMode != '{Recompute.SELECTIVE}'",
        ".training.activationCheckpointingMode",
        "selective with tensor parallelism would make wrong gradients; use full, or tensor 1",
        _selective,
    ),
)
PROVEN: tuple[Rule, ...] = (
    SizedRule(
        _compiled_cel(),
        ".training.compile",
        "compiled layers of this family are not proven equal to one process, or not when it is cut like "
        "this or with this zeroStage; set compile to false",
        _compiled,
    ),
)
"""It counts on the rules of parallelism."""
MEMORY: tuple[Rule, ...] = (
    SizedRule(None, ".resources", "training must fit into memory", _fits),
    SizedRule(None, ".resources", "a node's processes must fit into its memory", _host),
)
"""They count on all other rules."""
