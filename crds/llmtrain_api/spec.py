"""``spec`` of an LLMTrainingJob: what a user may ask for.

Every list, map and string is bounded (the API server refuses CEL rules over unbounded ones), and every
default is here and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .fit import chosen, too_large
from .layout import Layout
from .optimization import JOB_RULES, TRAINING_RULES, EarlyStoppingSpec, OnSpike, Schedule
from .proven import Asked, families, refusal

Quantity = Annotated[str, Field(max_length=20)] | int
"""A Kubernetes quantity, such as ``500m`` or ``4Gi``."""
QUANTITY = r"[1-9][0-9]*(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?"

PVC_URI = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?"
"""``pvc://CLAIM/FOLDER``: no empty, hidden or ``..`` path component."""
FILE_URI = r"file://(/[A-Za-z0-9_][A-Za-z0-9._-]*)+/?"


def matches(field: str, path: str, pattern: str, fix: str, *, or_int: bool = False) -> Rule:
    """A rule that a string has a form, with a message that says the form in words instead of a pattern.

    Args:
        field: the attribute's Python name.
        path: its path in the object, such as ``.uri``.
        pattern: what the whole string must match (RE2, so no look-around).
        fix: what would be right.
        or_int: the field may also be a positive whole number.
    """
    compiled = re.compile(pattern)
    cel = f"self{path}.matches(r'^({pattern})$')"
    if or_int:
        cel = f"type(self{path}) == int ? self{path} > 0 : {cel}"

    def broken(model: ApiModel) -> str | None:
        value = str(getattr(model, field))
        return None if compiled.fullmatch(value) else f"got {value!r}; {fix}"

    return Rule(cel, path, fix, broken)


class BuiltinModel(StrEnum):
    """Model families that are built from a configuration and a seed, without a download."""

    TINY_LLAMA = "builtin://tiny-llama"
    TINY_QWEN = "builtin://tiny-qwen"
    TINY_GPT2 = "builtin://tiny-gpt2"
    TINY_BERT = "builtin://tiny-bert"
    TINY_T5 = "builtin://tiny-t5"


class Task(StrEnum):
    """What a family learns: the next token, masked tokens, or hidden spans."""

    CAUSAL = "causal"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"


class Packing(StrEnum):
    """How documents share a row of tokens."""

    CONCAT = "concat"
    DOCUMENTS = "documents"


class Precision(StrEnum):
    """Number format of weights and activations during training."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

    @property
    def scales_losses(self) -> bool:
        """Whether small gradients must be scaled up, by a factor that is found by trying."""
        return self is Precision.FP16


class IfExists(StrEnum):
    """What to do with an output folder that another job has written to."""

    FAIL = "fail"
    RESUME = "resume"
    NEW = "new"


def _heads(model: ModelSpec) -> str | None:
    if model.hidden_size % model.num_heads == 0:
        return None
    return (
        f"hiddenSize {model.hidden_size} is not a multiple of numHeads {model.num_heads}; change one of them"
    )


def _kv_heads(model: ModelSpec) -> str | None:
    if model.num_kv_heads is None or model.num_heads % model.num_kv_heads == 0:
        return None
    return (
        f"numHeads {model.num_heads} is not a multiple of numKvHeads {model.num_kv_heads}; "
        "use a divisor of numHeads"
    )


GROUPED = (BuiltinModel.TINY_LLAMA, BuiltinModel.TINY_QWEN)
"""Families with key/value groups, and with embeddings that may be tied or not."""
GROUPED_CEL = "self.name in ['builtin://tiny-llama', 'builtin://tiny-qwen']"


def _grouped_only(model: ModelSpec) -> str | None:
    if model.name in GROUPED or model.num_kv_heads is None:
        return None
    return f"numKvHeads is for Llama and Qwen models; remove it for {model.name}"


def _tied_only(model: ModelSpec) -> str | None:
    if model.name in GROUPED or not model.tied_embeddings:
        return None
    return f"tiedEmbeddings is for Llama and Qwen models; remove it: {model.name} always ties them"


class ModelSpec(RuledModel):
    """The model to train. Sizes are those of the built-in families' configuration."""

    name: BuiltinModel = Field(
        description="Model family, built from the sizes below: builtin://tiny-llama, tiny-qwen (Qwen3), "
        "tiny-gpt2, tiny-bert or tiny-t5."
    )
    hidden_size: int = Field(default=128, ge=8, le=16384, description="Width of the residual stream.")
    num_layers: int = Field(default=4, ge=1, le=256, description="Transformer blocks.")
    num_heads: int = Field(default=4, ge=1, le=256, description="Attention heads; divides hiddenSize.")
    num_kv_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Key/value heads (Llama, Qwen); divides numHeads. Default: numHeads.",
    )
    intermediate_size: int | None = Field(
        default=None, ge=8, le=65536, description="Width of the feed-forward layer. Default: 4 x hiddenSize."
    )
    vocab_size: int = Field(
        default=2048,
        ge=300,
        le=262144,
        description="Entries of the tokenizer that is trained on the dataset.",
    )
    tied_embeddings: bool = Field(
        default=False, description="Share input and output embeddings (Llama, Qwen; the others always do)."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.hiddenSize % self.numHeads == 0",
            ".hiddenSize",
            "hiddenSize must be a multiple of numHeads",
            _heads,
        ),
        Rule(
            "!has(self.numKvHeads) || self.numHeads % self.numKvHeads == 0",
            ".numKvHeads",
            "numHeads must be a multiple of numKvHeads",
            _kv_heads,
        ),
        Rule(
            f"!has(self.numKvHeads) || {GROUPED_CEL}",
            ".numKvHeads",
            "numKvHeads is for Llama and Qwen models; remove it",
            _grouped_only,
        ),
        Rule(
            f"!self.tiedEmbeddings || {GROUPED_CEL}",
            ".tiedEmbeddings",
            "tiedEmbeddings is for Llama and Qwen models; remove it: the others always tie them",
            _tied_only,
        ),
    )

    @property
    def task(self) -> Task:
        """What the family learns."""
        if self.name is BuiltinModel.TINY_BERT:
            return Task.MASKED
        return Task.SEQ2SEQ if self.name is BuiltinModel.TINY_T5 else Task.CAUSAL

    @property
    def family(self) -> str:
        """Its name in the table of proven layouts."""
        name = self.name.removeprefix("builtin://tiny-")
        return f"{name}-tied" if self.tied_embeddings else name

    @property
    def kv_heads(self) -> int:
        """Key/value heads."""
        return self.num_kv_heads or self.num_heads

    @property
    def width(self) -> int:
        """Width of the feed-forward layer."""
        return self.intermediate_size or 4 * self.hidden_size


class DatasetSpec(RuledModel):
    """Where the text comes from."""

    name: str = Field(
        max_length=512,
        description=(
            "builtin://python-stdlib (the Python sources in the image), builtin://random-tokens (noise, for "
            "checks), pvc://CLAIM/FOLDER or file:///FOLDER with .txt, .md, .py or .jsonl files."
        ),
    )
    max_bytes: int = Field(
        default=8_000_000, ge=10_000, le=1 << 40, description="Read at most so many bytes of text."
    )
    held_out_fraction: float = Field(
        default=0.05, gt=0, le=0.5, description="Share of the documents that is kept for evaluation only."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "name",
            ".name",
            rf"builtin://python-stdlib|builtin://random-tokens|{PVC_URI}|{FILE_URI}",
            "use builtin://python-stdlib, builtin://random-tokens, pvc://CLAIM/FOLDER or file:///FOLDER",
        ),
    )


def _one_length(training: TrainingSpec) -> str | None:
    if training.max_steps is not None and training.epochs is not None:
        return "both maxSteps and epochs are set; keep one of them"
    return None


def _micro_batch(training: TrainingSpec) -> str | None:
    if training.micro_batch_size <= training.global_batch_size:
        return None
    return (
        f"microBatchSize {training.micro_batch_size} is larger than globalBatchSize "
        f"{training.global_batch_size}; lower microBatchSize"
    )


class TrainingSpec(RuledModel):
    """How to train. Gradient accumulation follows from the batch sizes and the world size."""

    precision: Precision = Field(
        default=Precision.FP32, description="fp32, bf16 (fp32 sums), or fp16 (GPUs only)."
    )
    zero_stage: int | None = Field(
        default=None,
        ge=0,
        le=3,
        description="DeepSpeed ZeRO stage: 1 shards the optimizer, 2 also gradients, 3 also weights. "
        "Unset: the lowest that fits into memory.",
    )
    activation_checkpointing: bool = Field(
        default=False, description="Compute activations again in the backward pass instead of keeping them."
    )
    packing: Packing = Field(
        default=Packing.CONCAT,
        description="concat: documents of one row see each other; documents: they do not (decoder-only).",
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Optimizer steps. Set this or epochs."
    )
    epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="Passes over the data. Default 1 when maxSteps is unset."
    )
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Peak learning rate of AdamW.")
    schedule: Schedule = Field(
        default=Schedule.COSINE,
        description="Learning rate after the warm-up: cosine or linear down to the floor, constant, or wsd "
        "(constant, then linear over the last decaySteps).",
    )
    warmup_steps: int = Field(default=10, ge=0, le=1_000_000, description="Steps of linear warm-up.")
    min_learning_rate: float = Field(
        default=0.1, ge=0, le=1, description="Floor of the schedule, as a share of learningRate."
    )
    decay_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Last steps of wsd. Default: a fifth of all steps."
    )
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=[0.9, 0.95],
        min_length=2,
        max_length=2,
        description="AdamW's averages of the gradient and of its square.",
    )
    epsilon: float = Field(default=1e-8, gt=0, le=1, description="AdamW's term against division by zero.")
    weight_decay: float = Field(
        default=0.1, ge=0, le=1, description="Decay of matrices; norms and biases none."
    )
    gradient_clipping: float = Field(
        default=1.0, ge=0, le=1000, description="Largest gradient norm; 0 = off."
    )
    on_spike: OnSpike = Field(
        default=OnSpike.WARN,
        description="A step whose loss or gradient norm leaps, or is not finite: warn; rewind to the newest "
        "checkpoint and skip the step's samples (3 times at most); or stop.",
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=None, description="End training when the held-out loss gains no more. Unset: never."
    )
    global_batch_size: int = Field(
        default=16, ge=1, le=1_000_000, description="Sequences an optimizer step, over all ranks."
    )
    micro_batch_size: int = Field(default=8, ge=1, le=65536, description="Sequences a rank and forward pass.")
    sequence_length: int = Field(default=128, ge=8, le=1_048_576, description="Tokens a sequence.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of initial weights and data order.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.maxSteps) && has(self.epochs))",
            ".maxSteps",
            "both maxSteps and epochs are set; keep one of them",
            _one_length,
        ),
        Rule(
            "self.microBatchSize <= self.globalBatchSize",
            ".microBatchSize",
            "microBatchSize must not be larger than globalBatchSize",
            _micro_batch,
        ),
        *TRAINING_RULES,
    )


class ParallelismSpec(ApiModel):
    """How each copy of the model is cut; the ranks that are left train on different data."""

    tensor: int = Field(default=1, ge=1, le=64, description="Ranks that share each matrix.")
    pipeline: int = Field(default=1, ge=1, le=256, description="Stages of consecutive layers.")
    sequence: int = Field(default=1, ge=1, le=64, description="Ranks that share each sequence (Ulysses).")

    @property
    def ranks(self) -> int:
        """Ranks of one copy of the model."""
        return self.tensor * self.pipeline * self.sequence


class ResumeFrom(StrEnum):
    """What is taken from a checkpoint that another job left in the output folder."""

    STATE = "state"
    WEIGHTS = "weights"


class CheckpointSpec(ApiModel):
    """When to save, how many to keep, and what to take from another job's."""

    every_steps: int = Field(default=100, ge=1, le=10_000_000, description="Optimizer steps between saves.")
    every_minutes: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Also save when the last save is so many minutes ago. Default: by steps only.",
    )
    background: bool = Field(
        default=True,
        alias="async",
        description="Train on while a checkpoint is written, from a copy of the state in the node's memory.",
    )
    keep: int = Field(default=2, ge=1, le=1000, description="Newest checkpoints to keep.")
    resume_from: ResumeFrom = Field(
        default=ResumeFrom.STATE,
        description="What output.ifExists: resume takes from another job's checkpoint: state (all), or "
        "weights (the optimizer starts anew; steps, data and schedule go on). A job's own are resumed fully.",
    )


class EvaluationSpec(ApiModel):
    """When to measure the held-out loss. It is always measured at the end."""

    every_steps: int = Field(default=100, ge=0, le=10_000_000, description="0 = only at the end.")
    max_sequences: int = Field(
        default=512, ge=1, le=10_000_000, description="Held-out sequences used at most, the same each time."
    )


class OutputSpec(RuledModel):
    """Where checkpoints, logs and the exported model go."""

    uri: str = Field(
        max_length=512,
        description="pvc://CLAIM/FOLDER; the claim must be ReadWriteMany when nodes > 1.",
    )
    if_exists: IfExists = Field(
        default=IfExists.FAIL,
        description="A folder that another job wrote: fail (naming it), resume from it, or new beside it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "uri",
            ".uri",
            f"{PVC_URI}|{FILE_URI}",
            "use pvc://CLAIM/FOLDER, such as pvc://checkpoints/my-run",
        ),
    )


class ResourcesSpec(RuledModel):
    """What each node of the gang gets."""

    cpu: Quantity = Field(default="1", description="CPU request of each node.")
    memory: Quantity = Field(default="4Gi", description="Memory request and limit of each node.")
    gpu_memory: Quantity = Field(
        default="80Gi", description="Memory of one GPU; decides the ZeRO stage when zeroStage is unset."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("cpu", ".cpu", QUANTITY, "use a Kubernetes quantity, such as 500m or 2", or_int=True),
        matches(
            "memory", ".memory", QUANTITY, "use a Kubernetes quantity, such as 512Mi or 4Gi", or_int=True
        ),
        matches("gpu_memory", ".gpuMemory", QUANTITY, "use a Kubernetes quantity, such as 80Gi", or_int=True),
    )


class RecoverySpec(ApiModel):
    """How often to start again."""

    max_restarts: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Restarts after application failures; refilled when a newer checkpoint was committed.",
    )
    max_infrastructure_restarts: int = Field(
        default=50, ge=0, le=1000, description="Restarts after lost, evicted or deleted pods."
    )


def _processes(spec: JobSpec) -> str | None:
    if spec.gpus_per_node and spec.processes_per_node not in (1, spec.gpus_per_node):
        return (
            f"processesPerNode {spec.processes_per_node} with gpusPerNode {spec.gpus_per_node}; remove "
            "processesPerNode: there is one process a GPU"
        )
    return None


def _divides(spec: JobSpec) -> str | None:
    cut, world = spec.parallelism.ranks, spec.world_size
    if world % cut == 0:
        return None
    return (
        f"tensor x pipeline x sequence = {cut} does not divide the world size {world} (nodes x processes); "
        "change one of them"
    )


def _batch_covers_data_ranks(spec: JobSpec) -> str | None:
    ranks = spec.world_size // spec.parallelism.ranks
    if spec.training.global_batch_size < ranks:
        return (
            f"globalBatchSize {spec.training.global_batch_size} is smaller than the {ranks} data-parallel "
            f"ranks (world size / (tensor x pipeline x sequence)); use at least {ranks}"
        )
    return None


def _whole_heads(spec: JobSpec) -> str | None:
    cut, model = spec.parallelism, spec.model
    for name, ranks in (("tensor", cut.tensor), ("sequence", cut.sequence)):
        for field, heads in (("numHeads", model.num_heads), ("numKvHeads", model.kv_heads)):
            if heads % ranks:
                return f"{name} {ranks} does not divide model.{field} {heads}; change one of them"
    return None


def _whole_matrices(spec: JobSpec) -> str | None:
    ranks, model = spec.parallelism.tensor, spec.model
    if model.width % ranks:
        return f"tensor {ranks} does not divide model.intermediateSize {model.width}; change one of them"
    return None


def _whole_sequences(spec: JobSpec) -> str | None:
    ranks, length = spec.parallelism.sequence, spec.training.sequence_length
    if length % ranks:
        return f"sequence {ranks} does not divide training.sequenceLength {length}; change one of them"
    return None


def _stage_has_layers(spec: JobSpec) -> str | None:
    if spec.parallelism.pipeline <= spec.model.num_layers:
        return None
    return (
        f"pipeline {spec.parallelism.pipeline} is more than model.numLayers {spec.model.num_layers}; "
        "each stage needs a layer"
    )


def _pipeline_zero(spec: JobSpec) -> str | None:
    if spec.parallelism.pipeline == 1 or spec.training.zero_stage in (None, 1):
        return None
    return (
        f"zeroStage {spec.training.zero_stage} with pipeline {spec.parallelism.pipeline}: DeepSpeed has no "
        "pipeline with ZeRO 2 or 3, and clips each stage by its own norm with 0; use 1"
    )


def _packed(spec: JobSpec) -> str | None:
    if spec.training.packing is Packing.CONCAT:
        return None
    if spec.model.task is not Task.CAUSAL:
        return f"packing documents is for decoder-only models, {spec.model.name} is none; use concat"
    if spec.parallelism.sequence > 1:
        return (
            "packing documents with parallelism.sequence: Ulysses drops the mask; use concat, or sequence 1"
        )
    return None


def _proven(spec: JobSpec) -> str | None:
    how = spec.training
    options = (how.packing, how.activation_checkpointing, how.precision)
    return refusal(Asked(spec.model.family, spec.layout, *options))


def _proven_cel() -> str:
    """The part of `_proven` that CEL can say: which family may be cut how, and in one way at a time."""
    family = "(self.model.name + (self.model.tiedEmbeddings ? '-tied' : ''))"
    ways = {"tensor": "tp", "pipeline": "pp", "sequence": "sp"}
    allowed = [
        f"(self.parallelism.{way} == 1 || {family} in "
        f"{[f'builtin://tiny-{name}' for name in families(kind)]})"
        for way, kind in ways.items()
    ]
    used = " + ".join(f"(self.parallelism.{way} > 1 ? 1 : 0)" for way in ways)
    return " && ".join([*allowed, f"{used} <= 1"])


def _fits(spec: JobSpec) -> str | None:
    return too_large(spec, spec.lowest_layout) if spec.training.zero_stage is None else None


WORLD_CEL = "self.nodes * (self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode)"
CUT_CEL = "(self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.sequence)"
KV_CEL = "(has(self.model.numKvHeads) ? self.model.numKvHeads : self.model.numHeads)"
WIDTH_CEL = "(has(self.model.intermediateSize) ? self.model.intermediateSize : 4 * self.model.hiddenSize)"


class JobSpec(RuledModel):
    """``spec``: twelve lines are enough, everything else has a default."""

    model: ModelSpec = Field(description="What to train.")
    dataset: DatasetSpec = Field(description="What to train on.")
    output: OutputSpec = Field(description="Where results go.")
    nodes: int = Field(default=1, ge=1, le=4096, description="Pods of the gang, one a node where possible.")
    gpus_per_node: int = Field(default=0, ge=0, le=64, description="0 = CPU and gloo.")
    processes_per_node: int = Field(
        default=1, ge=1, le=64, description="Training processes a node without GPUs."
    )
    resources: ResourcesSpec = Field(default_factory=ResourcesSpec, description="CPU and memory a node.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="How to train.")
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec, description="How the model is cut. Unset: ZeRO alone."
    )
    checkpoint: CheckpointSpec = Field(default_factory=CheckpointSpec, description="When to save.")
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec, description="When to evaluate.")
    recovery: RecoverySpec = Field(default_factory=RecoverySpec, description="When to give up.")
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Trainer image. Default: the operator's setting.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.gpusPerNode == 0 || self.processesPerNode in [1, self.gpusPerNode]",
            ".processesPerNode",
            "remove processesPerNode: with gpusPerNode there is one process a GPU",
            _processes,
        ),
        Rule(
            f"{WORLD_CEL} % {CUT_CEL} == 0",
            ".parallelism",
            "tensor x pipeline x sequence must divide the world size (nodes x processes)",
            _divides,
        ),
        Rule(
            f"self.training.globalBatchSize * {CUT_CEL} >= {WORLD_CEL}",
            ".training.globalBatchSize",
            "globalBatchSize must be at least the data-parallel ranks: the world size (nodes x processes) "
            "/ (tensor x pipeline x sequence)",
            _batch_covers_data_ranks,
        ),
        Rule(
            "self.model.numHeads % self.parallelism.tensor == 0 && "
            "self.model.numHeads % self.parallelism.sequence == 0 && "
            f"{KV_CEL} % self.parallelism.tensor == 0 && {KV_CEL} % self.parallelism.sequence == 0",
            ".parallelism",
            "tensor and sequence must divide model.numHeads and model.numKvHeads",
            _whole_heads,
        ),
        Rule(
            f"{WIDTH_CEL} % self.parallelism.tensor == 0",
            ".parallelism.tensor",
            "tensor must divide model.intermediateSize",
            _whole_matrices,
        ),
        Rule(
            "self.training.sequenceLength % self.parallelism.sequence == 0",
            ".parallelism.sequence",
            "sequence must divide training.sequenceLength",
            _whole_sequences,
        ),
        Rule(
            "self.parallelism.pipeline <= self.model.numLayers",
            ".parallelism.pipeline",
            "pipeline must not be more than model.numLayers: each stage needs a layer",
            _stage_has_layers,
        ),
        Rule(
            "self.parallelism.pipeline == 1 || !has(self.training.zeroStage) || self.training.zeroStage == 1",
            ".training.zeroStage",
            "with parallelism.pipeline use zeroStage 1",
            _pipeline_zero,
        ),
        Rule(
            "self.training.packing == 'concat' || (self.parallelism.sequence == 1 && "
            "!(self.model.name in ['builtin://tiny-bert', 'builtin://tiny-t5']))",
            ".training.packing",
            "packing documents is for decoder-only models without parallelism.sequence; use concat",
            _packed,
        ),
        *JOB_RULES,
        Rule(
            _proven_cel(),
            ".parallelism",
            "this family is not proven equal to one process when it is cut like this; use one of tensor, "
            "pipeline and sequence, with a Llama or Qwen model (tensor also with BERT and T5), or none",
            _proven,
            proof=True,
        ),
        # the last: it counts on all that is above
        Rule(None, ".resources", "training must fit into memory", _fits),
    )

    @property
    def local_world_size(self) -> int:
        """Training processes on each node."""
        return self.gpus_per_node or self.processes_per_node

    @property
    def world_size(self) -> int:
        """Training processes of the gang."""
        return self.nodes * self.local_world_size

    @property
    def layout(self) -> Layout:
        """How the gang is cut, with the ZeRO stage decided: as asked, or the lowest that fits into memory."""
        lowest, asked = self.lowest_layout, self.training.zero_stage
        if asked is None:
            return chosen(self, lowest)
        return replace(lowest, zero=max(lowest.zero, asked), why="as zeroStage says")

    @property
    def lowest_layout(self) -> Layout:
        """The layout with the lowest stage that computes rightly, whether it fits or not.

        Stage 0 shards nothing, so it is for one rank only; with bf16 it drifts (reference: DeepSpeed keeps
        another optimizer there), and pipelines need 1. Elsewhere 0 means 1. DeepSpeed's optimizer for bf16 with
        stage 1 fails in the first step with sequence parallelism, so there 1 means 2.
        """
        cut = self.parallelism
        data = self.world_size // cut.ranks
        fp32 = self.training.precision is Precision.FP32
        lowest = 0 if self.world_size == 1 and fp32 else 1 if cut.sequence == 1 or fp32 else 2
        return Layout(data, cut.tensor, cut.pipeline, cut.sequence, lowest)
