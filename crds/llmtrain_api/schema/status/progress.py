"""How far and how fast: ``status.progress`` and ``status.checkpoint``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel, Time
from ..reinforcement import MAX_REWARDS
from .values import Count, Figure, Rate, Text


class RewardFigure(ApiModel):
    """What one rule gave."""

    name: Annotated[str, Field(max_length=32)] = Field(description="The reward's name.")
    mean: Figure = Field(description="What it gave an answer, with its weight, on average.")


class ReinforcementFigures(ApiModel):
    """What came of answers that the model wrote itself, means over them; of task reinforcement."""

    reward: Figure = Field(description="Reward of an answer.")
    rewards: list[RewardFigure] = Field(
        default_factory=list, max_length=MAX_REWARDS, description="What each rule gave, in their order."
    )
    deviation: Rate = Field(description="Standard deviation of the rewards within a group of answers.")
    without_signal: Rate = Field(
        description="Share of the groups whose answers all got the same, from which nothing is learnt."
    )
    kl: Figure | None = Field(
        default=None,
        description="Divergence from the model that training starts from, in nats per token; empty where "
        "beta is 0.",
    )
    answer_tokens: Rate = Field(description="Tokens of an answer.")
    ended: Rate = Field(description="Share of the answers that end before maxNewTokens.")


class Figures(ApiModel):
    """Figures of training that rank 0 reports and the status shows under the same names."""

    step: Count | None = Field(default=None, description="Optimizer steps done.")
    total_steps: Count | None = Field(default=None, description="Optimizer steps in all.")
    epoch: Rate | None = Field(default=None, description="Passes over the data so far, with fraction.")
    loss: Figure | None = Field(default=None, description="Training loss of the step, in nats per token.")
    fairness_penalty: Figure | None = Field(
        default=None,
        description="With training.fairness: squared gap of log-likelihood, in nat squared, mean over the "
        "pairs of the step and without its weight. It is no part of loss.",
    )
    eval_loss: Figure | None = Field(
        default=None, description="Loss of the newest evaluation on the held-out data, in nats per token."
    )
    perplexity: Figure | None = Field(
        default=None, description="Perplexity of the newest evaluation on the held-out data."
    )
    learning_rate: Figure | None = Field(default=None, description="Learning rate of the step.")
    grad_norm: Figure | None = Field(default=None, description="Norm of the gradient before clipping.")
    reinforcement: ReinforcementFigures | None = Field(
        default=None, description="What came of the step's answers, with task reinforcement."
    )
    tokens_per_second: Rate | None = Field(
        default=None, description="Tokens that all ranks together train on per second."
    )
    mfu: Rate | None = Field(
        default=None,
        description="Model FLOP/s over the peak of the job's GPUs (bf16 dense), from 0 to 1, counting "
        "6N + 12LHQT per token.",
    )


class PreparationFigures(ApiModel):
    """How far data preparation is. Node 0 reports it in the stage `prepare`, and in no other."""

    prepared_bytes: Count | None = Field(
        default=None,
        description="Bytes of the dataset's files that preparation has passed, over all of its passes.",
    )
    bytes_to_prepare: Count | None = Field(
        default=None,
        description="Bytes that it passes in all: once for the rows, and up to 64 MiB for a tokenizer.",
    )


class Progress(Figures, PreparationFigures):
    """How far and how fast training is, as rank 0 last reported."""

    stage: Text | None = Field(
        default=None,
        description="What the trainer does: prepare, wait (for the other nodes), train, evaluate or export.",
    )
    percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Share of the steps done, in percent; while data are prepared, of the bytes to prepare.",
    )
    summary: Text | None = Field(default=None, description="Step and total steps, as kubectl get shows them.")
    percent_text: Text | None = Field(default=None, description="The same as kubectl get shows it.")
    loss_text: Text | None = Field(
        default=None, description="Loss to three decimals, as kubectl get shows it."
    )
    tokens_per_second_text: Text | None = Field(
        default=None, description="Tokens per second without decimals, as kubectl get shows them."
    )
    eta: Time | None = Field(
        default=None,
        description="When the last step is expected to be done; while data are prepared, when they will be.",
    )
    eta_text: Text | None = Field(default=None, description="Time until then, as kubectl get shows it.")
    updated_at: Time | None = Field(default=None, description="When rank 0 reported these figures.")


class Checkpoint(ApiModel):
    """The newest committed checkpoint."""

    step: Count = Field(description="Step after which it was saved.")
    time: Time | None = Field(default=None, description="When the operator learnt of it.")
    uri: Text | None = Field(default=None, description="Where it lies.")
