"""How far and how fast: ``status.progress`` and ``status.checkpoint``."""

from __future__ import annotations

from pydantic import Field

from ..base import ApiModel, Time
from .values import Count, Figure, Rate, Text


class Figures(ApiModel):
    """Figures of training that rank 0 reports and the status shows under the same names."""

    step: Count | None = None
    total_steps: Count | None = None
    epoch: Rate | None = None
    loss: Figure | None = None
    eval_loss: Figure | None = None
    perplexity: Figure | None = None
    learning_rate: Figure | None = None
    grad_norm: Figure | None = None
    tokens_per_second: Rate | None = None
    mfu: Rate | None = Field(
        default=None,
        description="Model FLOP/s over the peak of the job's GPUs (bf16 dense), from 0 to 1, counting "
        "6N + 12LHQT per token.",
    )


class Progress(Figures):
    """How far and how fast training is, as rank 0 last reported."""

    stage: Text | None = Field(
        default=None,
        description="What the trainer does: prepare, wait (for the other nodes), train, evaluate or export.",
    )
    percent: int | None = Field(default=None, ge=0, le=100)
    summary: Text | None = Field(default=None, description="Step and total steps, as kubectl get shows them.")
    percent_text: Text | None = None
    loss_text: Text | None = Field(
        default=None, description="Loss to three decimals, as kubectl get shows it."
    )
    tokens_per_second_text: Text | None = None
    eta: Time | None = None
    eta_text: Text | None = None
    updated_at: Time | None = None


class Checkpoint(ApiModel):
    """The newest committed checkpoint."""

    step: Count
    time: Time | None = None
    uri: Text | None = None
