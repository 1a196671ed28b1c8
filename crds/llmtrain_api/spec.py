"""``spec`` of an LLMTrainingJob: what a user may ask for.

Every list, map and string is bounded (the API server refuses CEL rules over unbounded ones), and every
default is here and nowhere else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import ApiModel, Rule, RuledModel

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
    TINY_GPT2 = "builtin://tiny-gpt2"


class Precision(StrEnum):
    """Number format of weights and activations during training."""

    FP32 = "fp32"
    BF16 = "bf16"


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


def _gpt2_kv_heads(model: ModelSpec) -> str | None:
    if model.name is BuiltinModel.TINY_GPT2 and model.num_kv_heads is not None:
        return "numKvHeads is for Llama models; remove it for builtin://tiny-gpt2"
    return None


class ModelSpec(RuledModel):
    """The model to train. Sizes are those of the built-in families' configuration."""

    name: BuiltinModel = Field(description="Model family: builtin://tiny-llama or builtin://tiny-gpt2.")
    hidden_size: int = Field(default=128, ge=8, le=16384, description="Width of the residual stream.")
    num_layers: int = Field(default=4, ge=1, le=256, description="Transformer blocks.")
    num_heads: int = Field(default=4, ge=1, le=256, description="Attention heads; divides hiddenSize.")
    num_kv_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Key/value heads (Llama); divides numHeads. Default: numHeads.",
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
    tied_embeddings: bool = Field(default=False, description="Share input and output embeddings (Llama).")

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
            "self.name != 'builtin://tiny-gpt2' || !has(self.numKvHeads)",
            ".numKvHeads",
            "numKvHeads is for Llama models; remove it for builtin://tiny-gpt2",
            _gpt2_kv_heads,
        ),
    )


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

    precision: Precision = Field(default=Precision.FP32, description="fp32 or bf16 (fp32 sums).")
    zero_stage: Literal[1] = Field(
        default=1, description="DeepSpeed ZeRO stage. Only 1 is proven equal to one process so far."
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Optimizer steps. Set this or epochs."
    )
    epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="Passes over the data. Default 1 when maxSteps is unset."
    )
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Peak learning rate of AdamW.")
    warmup_steps: int = Field(default=10, ge=0, le=1_000_000, description="Steps of linear warm-up.")
    weight_decay: float = Field(
        default=0.1, ge=0, le=1, description="Decay of matrices; norms and biases none."
    )
    gradient_clipping: float = Field(
        default=1.0, ge=0, le=1000, description="Largest gradient norm; 0 = off."
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
    )


class CheckpointSpec(ApiModel):
    """When to save, and how many to keep."""

    every_steps: int = Field(default=100, ge=1, le=10_000_000, description="Optimizer steps between saves.")
    keep: int = Field(default=2, ge=1, le=1000, description="Newest checkpoints to keep.")


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

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("cpu", ".cpu", QUANTITY, "use a Kubernetes quantity, such as 500m or 2", or_int=True),
        matches(
            "memory", ".memory", QUANTITY, "use a Kubernetes quantity, such as 512Mi or 4Gi", or_int=True
        ),
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


def _batch_covers_world(spec: JobSpec) -> str | None:
    world = spec.world_size
    if spec.training.global_batch_size < world:
        return (
            f"globalBatchSize {spec.training.global_batch_size} is smaller than the world size {world} "
            f"(nodes x processes); use at least {world}"
        )
    return None


WORLD_CEL = "self.nodes * (self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode)"


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
            f"self.training.globalBatchSize >= {WORLD_CEL}",
            ".training.globalBatchSize",
            "globalBatchSize must be at least the world size (nodes x processes)",
            _batch_covers_world,
        ),
    )

    @property
    def local_world_size(self) -> int:
        """Training processes on each node."""
        return self.gpus_per_node or self.processes_per_node

    @property
    def world_size(self) -> int:
        """Training processes of the gang."""
        return self.nodes * self.local_world_size
