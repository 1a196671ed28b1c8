"""``spec.telemetry``: where else the curves of a job are told."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .scheduling import ObjectName

MAX_TRACKERS = 3
NEEDS_SERVER = "an MLflow server is named by uri, such as https://mlflow.example.com; or set offline: true"


class TrackerKind(StrEnum):
    """A service, or a library, that keeps curves of runs."""

    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


def _server(found: TrackerSpec) -> str | None:
    missing = found.kind is TrackerKind.MLFLOW and not found.offline and found.uri is None
    return NEEDS_SERVER if missing else None


class TrackerSpec(RuledModel):
    """One tracker of experiments. What it does, and whether it can be reached, never stops the job."""

    kind: TrackerKind = Field(
        description="wandb, mlflow or trackio. Its library must be in the trainer's image: an image built "
        "from the usual one with pip install of it."
    )
    project: str = Field(
        default="llmtrain",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]*$",
        description="Project, or experiment, that the run belongs to.",
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=128, description="Name of the run. Default: the job's."
    )
    uri: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^[A-Za-z0-9][^\s]*$",
        description="Server of wandb or mlflow (https://...); of trackio the Space, OWNER/NAME.",
    )
    secret: ObjectName | None = Field(
        default=None,
        description="Secret in the job's namespace whose keys become the tracker's environment, such as "
        "WANDB_API_KEY, MLFLOW_TRACKING_TOKEN or HF_TOKEN.",
    )
    offline: bool = Field(
        default=False,
        description="Write into the folder tracking of the output alone, to be sent later by the "
        "tracker's own program (wandb sync).",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.kind != 'mlflow' || self.offline || has(self.uri)",
            ".uri",
            NEEDS_SERVER,
            _server,
        ),
    )


class TelemetrySpec(ApiModel):
    """Where else the curves of a job are told, beside its status, Prometheus, TensorBoard and the output."""

    trackers: list[TrackerSpec] = Field(
        default_factory=list, max_length=MAX_TRACKERS, description="Trackers of experiments."
    )
