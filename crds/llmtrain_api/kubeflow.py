"""The progress protocol of Kubeflow Trainer, as transformers' ``KubeflowCallback`` speaks it.

A program finds three variables in its environment and POSTs ``{"trainerStatus": {...}}`` with a bearer token
to the URL in the first. Names and meanings: transformers.integrations.KubeflowCallback.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from .messages import MAX_ETA_SECONDS, ProgressUpdate, Stage, figure
from .schema.base import ApiModel

ENV_URL = "KUBEFLOW_TRAINER_SERVER_URL"
ENV_CA_FILE = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
ENV_TOKEN_FILE = "KUBEFLOW_TRAINER_SERVER_TOKEN"
STATUS_PATH = "/v1/trainer-status"
"""Where the operator's progress server takes it."""
MAX_METRICS = 256
DONE = 100

_WHOLE = {"current_step": "step", "total_steps": "total_steps"}
_FIGURES = {
    "loss": "loss",
    "current_epoch": "epoch",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "eval_loss": "eval_loss",
    "tokens_per_second": "tokens_per_second",
    "train_tokens_per_second": "tokens_per_second",
}
"""Metrics of the protocol, by their field of a report. All others are the program's own business."""

Text = Annotated[str, Field(max_length=256)]


class Metric(ApiModel):
    """One figure, as text."""

    name: Text
    value: Text


class TrainerStatus(ApiModel):
    """What a program tells of itself."""

    progress_percentage: Annotated[int, Field(ge=0, le=DONE)] | None = None
    estimated_remaining_seconds: Annotated[int, Field(ge=0)] | None = None
    metrics: Annotated[list[Metric], Field(max_length=MAX_METRICS)] = Field(default_factory=list)


class StatusUpdate(ApiModel):
    """The body of a POST."""

    trainer_status: TrainerStatus


def read(body: bytes) -> StatusUpdate:
    """What a program posted.

    Raises:
        pydantic.ValidationError: it is none of the protocol.
    """
    return StatusUpdate.model_validate_json(body)


def update_of(told: StatusUpdate, total_steps: int | None = None) -> ProgressUpdate:
    """The same as progress of a job; figures that are no numbers, or out of bounds, are left out.

    Args:
        told: what the program posted.
        total_steps: as it told before. Its last word is 100 per cent without a step: then it is all of them.
    """
    status = told.trainer_status
    fields: dict[str, Any] = {"stage": Stage.TRAIN}
    for metric in status.metrics:
        value = _number(metric.value)
        if value is None:
            continue
        if metric.name in _WHOLE and value.is_integer() and value >= 0:
            fields[_WHOLE[metric.name]] = int(value)
        elif metric.name in _FIGURES:
            fields[_FIGURES[metric.name]] = figure(value)
    total = fields.get("total_steps", total_steps)
    if "step" not in fields and total is not None and status.progress_percentage in (0, DONE):
        fields |= {"step": total if status.progress_percentage == DONE else 0, "total_steps": total}
    left = status.estimated_remaining_seconds
    if left is not None and left <= MAX_ETA_SECONDS:
        fields["eta_seconds"] = float(left)
    return ProgressUpdate(**_allowed(fields))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _allowed(fields: dict[str, Any]) -> dict[str, Any]:
    """Without figures that a report may not hold, such as a rate below nothing."""
    return {name: value for name, value in fields.items() if value is not None and _fits(name, value)}


def _fits(name: str, value: Any) -> bool:
    try:
        ProgressUpdate(**{name: value})
    except ValueError:
        return False
    return True
