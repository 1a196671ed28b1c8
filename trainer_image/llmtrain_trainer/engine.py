"""The DeepSpeed engine: its configuration, and one forward/backward over a step's share."""

from __future__ import annotations

import logging
from typing import Any

import deepspeed
import torch

from llmtrain_api import Precision, TrainingSpec

from .batch import BatchPlan
from .data.loader import StepBatch
from .loss import engine_loss, token_loss_sum
from .optimizer import cosine, parameter_groups


def deepspeed_config(training: TrainingSpec, plan: BatchPlan) -> dict[str, Any]:
    """DeepSpeed's JSON. Everything with a surprising default is written out."""
    return {
        "train_micro_batch_size_per_gpu": plan.micro,
        "gradient_accumulation_steps": plan.accumulation,
        "zero_optimization": {"stage": training.zero_stage},
        "zero_allow_untested_optimizer": True,
        # default 1.0: would clip although nobody asked for it
        "gradient_clipping": training.gradient_clipping,
        "bf16": {"enabled": training.precision is Precision.BF16},
        # both default to the model's dtype: bf16 sums
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": 1 << 60,
        "wall_clock_breakdown": False,
    }


def build(
    model: torch.nn.Module, training: TrainingSpec, plan: BatchPlan, total_steps: int
) -> tuple[Any, int]:
    """The engine around a model, and how many parameters decay."""
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    groups, decayed = parameter_groups(model, training.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.95), eps=1e-8)
    schedule = cosine(training.warmup_steps, total_steps)
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        lr_scheduler=lambda wrapped: torch.optim.lr_scheduler.LambdaLR(wrapped, schedule),
        config=deepspeed_config(training, plan),
        dist_init_required=False,
    )
    return engine, decayed


def forward_backward(engine: Any, batch: StepBatch, global_labels: int, plan: BatchPlan) -> torch.Tensor:
    """Gradients of the global batch's mean loss; the rank's own sum of token losses."""
    own = torch.zeros((), device=engine.device)
    for number, (ids, labels) in enumerate(batch.passes):
        if number:
            engine.step()  # inside an accumulation: no update, moves the boundary on
        loss_sum = token_loss_sum(engine(input_ids=ids).logits, labels)
        engine.backward(engine_loss(loss_sum, global_labels, plan.accumulation, plan.ranks))
        own += loss_sum.detach()
    return own
