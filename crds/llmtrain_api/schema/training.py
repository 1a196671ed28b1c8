"""``spec.training``: how the model is trained."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.config import JsonDict

from .base import Rule, RuledModel
from .fairness import FairnessPenaltySpec
from .hyperparameters import ADAPTERS, FROM_NOTHING, FROM_WEIGHTS, PAIRS, PAIRS_ADAPTERS
from .optimization import EarlyStoppingSpec, OnSpike, Schedule
from .preference import PreferenceSpec
from .reinforcement import ReinforcementSpec


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


class Recompute(StrEnum):
    """Which activations of a layer are computed again in the backward pass."""

    SELECTIVE = "selective"
    FULL = "full"


def _one_length(training: TrainingSpec) -> str | None:
    if training.max_steps is not None and training.epochs is not None:
        return "both maxSteps and epochs are set; keep one of them"
    return None


def _micro_batch(training: TrainingSpec) -> str | None:
    if "micro_batch_size" not in training.model_fields_set:
        return None
    if training.micro_batch_size <= training.global_batch_size:
        return None
    return (
        f"microBatchSize {training.micro_batch_size} is larger than globalBatchSize "
        f"{training.global_batch_size}; lower microBatchSize"
    )


def _recompute(training: TrainingSpec) -> str | None:
    if training.activation_checkpointing_mode is None or training.activation_checkpointing:
        return None
    if "activation_checkpointing" not in training.model_fields_set:
        return None
    return (
        f"activationCheckpointingMode {training.activation_checkpointing_mode} with activationCheckpointing "
        "false; remove one of them"
    )


def _decay_steps(training: TrainingSpec) -> str | None:
    if training.decay_steps is None or training.schedule is Schedule.WSD:
        return None
    return f"decaySteps is for schedule wsd; remove it, or use wsd instead of {training.schedule}"


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


def default_precision(gpus: int) -> Precision:
    """The number format of a job that names none: GPUs multiply bf16 about 15 times as fast as fp32.

    Args:
        gpus: of a node.
    """
    return Precision.BF16 if gpus else Precision.FP32


class TrainingSpec(RuledModel):
    """How to train. Gradient accumulation follows from the batch sizes and the world size."""

    precision: Precision = Field(
        default=Precision.FP32,
        # what it is where it is left out depends on gpusPerNode: `JobSections` says so
        json_schema_extra=_without_default,
        description="Number format: fp32, bf16 (with sums in fp32), or fp16 (on GPUs only). Default: bf16 on "
        "GPUs, fp32 on CPUs.",
    )
    zero_stage: int | None = Field(
        default=None,
        ge=0,
        le=3,
        description="ZeRO stage: 0 shards nothing (fp32 by data parallelism only: elsewhere it means 1), 1 "
        "the optimizer, 2 also the gradients, 3 also the weights. Default: the lowest that fits into memory.",
    )
    activation_checkpointing: bool = Field(
        default=False,
        # where it is left out it follows from memory: `estimate.choice` decides
        json_schema_extra=_without_default,
        description="Compute activations again in the backward pass instead of keeping them. Default: only "
        "where training does not fit into memory without.",
    )
    activation_checkpointing_mode: Recompute | None = Field(
        default=None,
        description="Which activations of a layer are computed again. full: all but what it is given; "
        "selective: all but what matrix products and attention made, which costs memory and little time. Set "
        "by itself it turns activationCheckpointing on. Default: full where activationCheckpointing is true; "
        "elsewhere the first of both that fits into memory, selective before full.",
    )
    compile: bool = Field(
        default=False,
        description="Compile each transformer layer with torch.compile. The first step takes minutes longer.",
    )
    chunked_logits: bool = Field(
        default=False,
        # as activation_checkpointing
        json_schema_extra=_without_default,
        description="Make the logits of a few tokens at a time, with their loss and its gradient, and never "
        "those of a whole pass, which with a large vocabulary are most of its memory. For tasks causal and "
        "chat by data parallelism. Default: only where training does not fit into memory without.",
    )
    packing: Packing = Field(
        default=Packing.CONCAT,
        description="How documents share a sequence. concat: they see each other; documents: they do not "
        "(decoder-only models).",
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Number of optimizer steps. Set this or epochs."
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of passes over the data; with dataset.mixture, a pass is as many "
        "samples as all sources hold, drawn by weight. Default: 1 when maxSteps is unset.",
    )
    learning_rate: float = Field(
        default=FROM_NOTHING.value,
        gt=0,
        le=10,
        # what it is where it is left out depends on the model: `JobSections` says so
        json_schema_extra=_without_default,
        description=f"Peak learning rate of AdamW. Default: {FROM_NOTHING.value} from random weights, "
        f"{FROM_WEIGHTS.value} for a model that exists, and {ADAPTERS.value} for adapters beside one; with "
        f"tasks preference and reinforcement {PAIRS.value} and {PAIRS_ADAPTERS.value}; status.resolved has "
        "its source.",
    )
    schedule: Schedule = Field(
        default=Schedule.COSINE,
        description="Learning rate after the warm-up: cosine or linear down to the floor, constant, or wsd "
        "(constant, then linear down over the last decaySteps).",
    )
    warmup_steps: int = Field(
        default=10,
        ge=0,
        le=1_000_000,
        description="Number of steps over which the learning rate rises to its peak.",
    )
    min_learning_rate: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Lowest learning rate of the schedule, as a share of learningRate.",
    )
    decay_steps: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Number of last steps over which wsd decays. Default: a fifth of all steps.",
    )
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=[0.9, 0.95],
        min_length=2,
        max_length=2,
        description="Decay rates of AdamW's averages of the gradient and of its square.",
    )
    epsilon: float = Field(
        default=1e-8, gt=0, le=1, description="Term of AdamW that keeps it from dividing by zero."
    )
    weight_decay: float = Field(
        default=0.1, ge=0, le=1, description="Weight decay of matrices; norms and biases have none."
    )
    gradient_clipping: float = Field(
        default=1.0, ge=0, le=1000, description="Largest gradient norm; 0 turns clipping off."
    )
    on_spike: OnSpike = Field(
        default=OnSpike.WARN,
        description="What to do at a step whose loss or gradient norm leaps or is not finite: warn; rewind "
        "to the newest checkpoint and skip the step's samples (3 times at most); or stop the job.",
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=None, description="End training when the held-out loss stops improving. Default: never."
    )
    preference: PreferenceSpec | None = Field(
        default=None,
        description="With task preference: what is minimised over pairs of answers, or over answers that are "
        "desirable or not. Default: DPO.",
    )
    fairness: FairnessPenaltySpec | None = Field(
        default=None,
        description="With task causal: a penalty on the gap of log-likelihood between both texts of pairs, "
        "so that the model finds neither likelier. Default: none.",
    )
    reinforcement: ReinforcementSpec | None = Field(
        default=None,
        description="With task reinforcement, which needs it: the rules that reward answers, and how the "
        "model learns from them.",
    )
    global_batch_size: int = Field(
        default=16,
        ge=1,
        le=1_000_000,
        description="Sequences per optimizer step, over all ranks; with task preference and reward pairs of "
        "them, but with loss kto single ones; with task reinforcement prompts, each with a group of answers.",
    )
    micro_batch_size: int = Field(
        default=8,
        ge=1,
        le=65536,
        # where it is left out it follows from memory: `estimate.choice` decides
        json_schema_extra=_without_default,
        description="Sequences (pairs, or groups of answers) per rank and forward pass. Default: the most "
        "that fit into memory, up to 8 sequences on CPUs and 32,768 tokens on GPUs.",
    )
    sequence_length: int = Field(default=128, ge=8, le=1_048_576, description="Tokens per sequence.")
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Seed of the initial weights and of the order of the data."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.maxSteps) && has(self.epochs))",
            ".maxSteps",
            "both maxSteps and epochs are set; keep one of them",
            _one_length,
        ),
        Rule(
            "!has(self.microBatchSize) || self.microBatchSize <= self.globalBatchSize",
            ".microBatchSize",
            "microBatchSize must not be larger than globalBatchSize",
            _micro_batch,
        ),
        Rule(
            "!has(self.activationCheckpointingMode) || !has(self.activationCheckpointing) || "
            "self.activationCheckpointing",
            ".activationCheckpointingMode",
            "activationCheckpointingMode with activationCheckpointing false; remove one of them",
            _recompute,
        ),
        Rule(
            "!has(self.decaySteps) || self.schedule == 'wsd'",
            ".decaySteps",
            "decaySteps is for schedule wsd; remove it, or use wsd",
            _decay_steps,
        ),
    )

    @property
    def says_recompute(self) -> bool:
        """Whether the job says itself what is computed again."""
        return not self.model_fields_set.isdisjoint(
            ("activation_checkpointing", "activation_checkpointing_mode")
        )

    @property
    def recompute(self) -> Recompute | None:
        """What the backward pass computes again, as the job says or was told; None where it is nothing."""
        if self.activation_checkpointing_mode is not None:
            return self.activation_checkpointing_mode
        return Recompute.FULL if self.activation_checkpointing else None
